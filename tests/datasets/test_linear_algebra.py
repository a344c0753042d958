"""Every solve has a finite answer, whatever finite numbers it is given."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
from numpy.typing import NDArray

from datasets.arrays import Float64Array
from datasets.errors import ColdtuneError
from datasets.linear_algebra import (
    invert_symmetric,
    right_singular_vectors,
    single_precision,
    solve_symmetric,
    symmetric_eigen,
)
from embedding.projection import project
from evaluation.models.external import FullEASE
from recsys.content.regression import KINDS, MapCandidate, fit_maps
from recsys.data import CSRArrays
from recsys.sources import ease
from recsys.sources.fold_in import (
    EASEFoldIn,
    Gram,
    LeastSquaresFoldIn,
    MeanFoldIn,
    least_squares_batch,
)
from recsys.sources.lightfm_model import EmbeddingFeatures
from tests.helpers.recommenders import dataset_of

RANDOM = np.random.default_rng(0)
WELL = RANDOM.normal(size=(6, 6))
WELL = WELL @ WELL.T + np.eye(6)

MATRICES: dict[str, Float64Array] = {
    "of full rank": WELL,
    "zero": np.zeros((6, 6)),
    "of rank 1": np.ones((6, 6)),
    "with a zero row": np.diag([1.0, 2, 3, 4, 5, 0]),
    "huge": 1e300 * np.eye(6),
    "tiny": 1e-300 * np.eye(6),
    "subnormal": np.full((6, 6), 5e-324),
    "of all sizes": np.diag([1e300, 1e150, 1.0, 1e-150, 1e-300, 0]),
    "nearly singular": np.ones((6, 6)) + 1e-17 * WELL,
    "indefinite": np.diag([1.0, -1, 1, -1, 1, -1]),
}

VECTORS = {
    "ones": np.ones(6),
    "zeros": np.zeros(6),
    "huge": np.full(6, 1e300),
    "tiny": np.full(6, 1e-310),
    "mixed": np.array([1e300, 1e-300, 0, 1, -1e300, 5e-324]),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_solve(matrix: Float64Array, vector: Float64Array) -> None:
    alone = solve_symmetric(matrix, vector)
    assert np.isfinite(alone).all()
    several = solve_symmetric(np.stack([WELL, matrix]), np.stack([vector, vector])[:, :, None])
    assert np.isfinite(several).all()
    assert several[1, :, 0] == pytest.approx(alone)


def test_what_lapack_solves_is_returned_as_it_is() -> None:
    right = RANDOM.normal(size=6)
    assert (solve_symmetric(WELL, right) == np.linalg.solve(WELL, right)).all()
    assert (invert_symmetric(WELL) == np.linalg.inv(WELL)).all()
    # A singular one beside it changes nothing.
    both = solve_symmetric(np.stack([WELL, np.zeros((6, 6))]), np.stack([right, right])[:, :, None])
    assert both[0, :, 0] == pytest.approx(np.linalg.solve(WELL, right), rel=1e-12)
    assert not both[1].any()


def test_a_singular_system_is_solved_by_least_squares() -> None:
    left, right = np.diag([2.0, 4.0, 0.0]), np.array([1.0, 1.0, 1.0])
    assert solve_symmetric(left, right).tolist() == [0.5, 0.25, 0.0]
    ones = solve_symmetric(np.ones((2, 2)), np.ones(2))
    assert ones == pytest.approx(np.linalg.lstsq(np.ones((2, 2)), np.ones(2))[0])


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_decompositions(matrix: Float64Array) -> None:
    values, vectors = symmetric_eigen(matrix)
    assert np.isfinite(values).all()
    assert vectors.T @ vectors == pytest.approx(np.eye(6), abs=1e-9)
    rows = right_singular_vectors(matrix)
    assert rows @ rows.T == pytest.approx(np.eye(6), abs=1e-9)
    assert np.isfinite(invert_symmetric(matrix)).all()


@pytest.mark.parametrize("function", ["eigh", "svd", "solve", "inv"])
def test_when_lapack_gives_up(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    expected = np.linalg.solve(WELL, np.ones(6))
    inverse = np.linalg.inv(WELL)

    def fail(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(np.linalg, function, fail)
    values, vectors = symmetric_eigen(WELL)
    assert (vectors * values) @ vectors.T == pytest.approx(WELL)
    rows = right_singular_vectors(WELL)
    assert rows @ rows.T == pytest.approx(np.eye(6))
    assert solve_symmetric(WELL, np.ones(6)) == pytest.approx(expected)
    assert invert_symmetric(WELL) == pytest.approx(inverse)


@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error_of_ours(wild: float) -> None:
    matrix = WELL.copy()
    matrix[2, 3] = wild
    for call in (
        lambda: solve_symmetric(matrix, np.ones(6)),
        lambda: symmetric_eigen(matrix),
        lambda: right_singular_vectors(matrix),
        lambda: invert_symmetric(matrix),
    ):
        with pytest.raises(ColdtuneError, match="not a finite number"):
            call()


def test_single_precision() -> None:
    values = single_precision(np.array([1e300, -1e300, 1.5, 1e-320]))
    assert values.dtype == np.float32
    assert values.tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min, 1.5, 0.0]


# ------------------------------------------------------------------ every solve of the library

TABLES: dict[str, NDArray[np.float32]] = {
    "usual": RANDOM.normal(size=(8, 3)).astype(np.float32),
    "zero": np.zeros((8, 3), np.float32),
    "all alike": np.full((8, 3), 0.1, np.float32),
    "largest": np.full((8, 3), 3e38, np.float32),
    "subnormal": np.full((8, 3), 1e-45, np.float32),
    "one wild row": np.vstack([np.full((1, 3), 1e30), RANDOM.normal(size=(7, 3))]).astype("f4"),
    "columns of all sizes": (RANDOM.normal(size=(8, 3)) * [1e30, 1, 1e-30]).astype(np.float32),
}
PLAYS = [1e-30, 1.0, 1e30]


@pytest.mark.parametrize("items", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("plays", PLAYS)
@pytest.mark.parametrize("gram", ["of the items", "zero", "subnormal"])
def test_fold_in(items: NDArray[np.float32], plays: float, gram: str) -> None:
    wide = items.astype(np.float64)
    inner = {"of the items": wide.T @ wide, "zero": np.zeros((3, 3))}.get(gram, np.eye(3) * 1e-320)
    weights = np.full(8, plays, np.float32)
    for weighting in ("binary", "log", "linear"):
        for fold_in in (LeastSquaresFoldIn(weighting), EASEFoldIn(), MeanFoldIn()):
            with np.errstate(all="ignore"):
                assert np.isfinite(fold_in(items, weights, Gram(inner))).all()
                assert np.isfinite(fold_in(items[:1], weights[:1], Gram(inner))).all()
    histories = CSRArrays(weights, np.arange(8), np.array([0, 3, 3, 8]))
    assert np.isfinite(least_squares_batch(items, histories, inner)).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mlp"])
@pytest.mark.parametrize("strength", [5e-324, 1e-30, 1.0, 1e308])
@pytest.mark.parametrize("embeddings", TABLES.values(), ids=TABLES)
def test_regressions(kind: str, strength: float, embeddings: NDArray[np.float32]) -> None:
    E, Y = embeddings.astype(np.float64), RANDOM.normal(size=(8, 2))
    for w in (np.ones(8), np.zeros(8), np.full(8, 1e-300)):
        with np.errstate(over="ignore"):
            (found,) = fit_maps(E, Y, w, [MapCandidate(kind, strength, 1)])  # type: ignore[arg-type]
        assert np.isfinite(found(E)).all()


@pytest.mark.parametrize("embeddings", TABLES.values(), ids=TABLES)
def test_projections(embeddings: NDArray[np.float32]) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        assert np.isfinite(project(embeddings, "pca").points).all()
        features = EmbeddingFeatures._principal_components(embeddings.astype(np.float64), 2)
    assert np.isfinite(features.projection).all()


@pytest.mark.parametrize("regularization", [5e-324, 1e-30, 1e308])
@pytest.mark.parametrize("n_users", [3, 12])
def test_ease(regularization: float, n_users: int) -> None:
    rows = [(f"u{user}", f"i{user % 4}", 1.0) for user in range(n_users)]
    dataset = dataset_of(rows, [f"i{number}" for number in range(6)])
    with np.errstate(all="ignore"):
        peer = FullEASE(tuned=False, regularization=regularization).fit(dataset)
        assert np.isfinite(peer.recommend_many(["u0", "u1"], 4)["score"]).all()


@pytest.mark.parametrize("same", [True, False])
def test_truncated_singular_values(same: bool) -> None:
    plays = sp.random(40, 30, 0.1, "csr", random_state=0)
    plays.data[:] = 1
    if same:  # one direction only, where more are asked for
        plays = sp.csr_matrix(np.ones((40, 30)))
    for rank in (3, 30):
        values, right = ease._truncated_svd(plays, rank, 0)
        assert np.isfinite(values).all()
        assert np.isfinite(right).all()


def test_singular_values_that_do_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = sp.csr_matrix((RANDOM.random((40, 30)) < 0.3).astype(float))
    expected = ease._truncated_svd(plays, 3, 0)[0]

    def fail(*_: object, **__: object) -> None:
        raise scipy.sparse.linalg.ArpackNoConvergence("no convergence", [], [])

    monkeypatch.setattr(scipy.sparse.linalg, "svds", fail)
    assert ease._truncated_svd(plays, 3, 0)[0] == pytest.approx(expected, rel=0.02)
