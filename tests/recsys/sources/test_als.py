"""The ALS source: implicit's factors, and the content map's for items nobody has played."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from datasets.errors import ColdtuneError
from recsys.config import SOURCES, ALSConfig, ContentMapConfig
from recsys.data import CSRArrays, TrainingData
from recsys.sources.als import ALSSource
from recsys.sources.fold_in import Gram, LeastSquaresFoldIn, least_squares, weigh_matrix
from recsys.sources.registry import make_source
from recsys.sources.weighted_als import solve_rows
from tests.helpers.recommenders import item_content

SMALL = ALSConfig(factors=6, regularization=3.0, alpha=4.0, iterations=4)


def source(shrinkage=None, **changes):
    return ALSSource(SMALL.replace(**changes), ContentMapConfig(shrinkage=shrinkage))


@pytest.mark.parametrize("weighting", ["binary", "log", "linear"])
def test_users_are_implicits_for_the_same_items_and_penalty(tastes_data, weighting):
    als = source(shrinkage=0, weighting=weighting, penalty_by_plays=0.0, iterations=1)
    found = als.factors(tastes_data)
    plays = weigh_matrix(tastes_data.plays, weighting)
    plays.data = 1 + 4 * plays.data  # implicit's confidence in a play; ours is 1 + alpha · weight
    # From the same users, both find the same items.
    peer = AlternatingLeastSquares(
        factors=6, regularization=3.0, alpha=1.0, iterations=1, use_cg=False, num_threads=1
    )
    peer.user_factors = found.users.copy()
    peer.item_factors = np.zeros_like(found.items)
    peer.partial_fit_items(np.arange(90), plays.T.tocsr())
    warm = tastes_data.user_counts > 0
    np.testing.assert_allclose(found.items[warm], peer.item_factors[warm], rtol=1e-3, atol=1e-5)
    assert not found.items[~warm].any()


def test_a_fit_has_the_least_error_that_implicits_has(tastes_data):
    plays = weigh_matrix(tastes_data.plays, "binary")
    ours = source(penalty_by_plays=0.0, iterations=40, weighting="binary").factors(tastes_data)
    peer = AlternatingLeastSquares(
        factors=6, regularization=3.0, alpha=5.0, iterations=40, use_cg=False, random_state=1,
        num_threads=1,
    )  # fmt: skip
    with threadpool_limits(1):
        peer.fit(plays, show_progress=False)

    def loss(users, items):
        wanted = plays.toarray() > 0
        wrong = np.where(wanted, 5, 1) * (wanted - users @ items.T) ** 2
        return wrong.sum() + 3.0 * ((users**2).sum() + (items**2).sum())

    assert loss(ours.users, ours.items) <= 1.02 * loss(peer.user_factors, peer.item_factors)


def test_threads_do_not_change_the_result(tastes_data):
    one, two = (source().factors(replace(tastes_data, threads=n)) for n in (1, 2))
    np.testing.assert_array_equal(one.users, two.users)
    np.testing.assert_array_equal(one.items, two.items)


def test_going_on_is_the_same_as_going_through(tastes_data):
    whole = source(iterations=5).factors(tastes_data)
    half = source(iterations=3).factors(tastes_data)
    rest = source().factors(tastes_data, start=half, iterations=2)
    np.testing.assert_array_equal(whole.items, rest.items)


def test_a_user_is_folded_in_as_the_fit_learned_them(tastes_data):
    als = source(shrinkage=0, iterations=30)
    vectors = als.fit(tastes_data)
    items = vectors.items.astype(np.float64)
    items[tastes_data.user_counts == 0] = 0
    row = tastes_data.plays[7]
    found = als.fold_in(vectors.items[row.indices], row.data, Gram(items.T @ items))
    scores, learned = items @ found, items @ vectors.users[7]
    # However long the history is, the system is the same.
    wide = Gram(np.kron(np.eye(9), items.T @ items))
    X = np.hstack([vectors.items[row.indices], np.zeros((row.nnz, 48), np.float32)])
    np.testing.assert_allclose(als.fold_in(X, row.data, wide)[:6], found, rtol=1e-4, atol=1e-6)
    assert np.abs(scores - learned).max() < 0.02 * np.abs(learned).max()


def test_cold_vectors_are_the_content_maps(tastes_data):
    als = source()
    vectors = als.fit(tastes_data)
    cold = np.flatnonzero(tastes_data.user_counts == 0)
    assert len(cold) == 10
    expected = als.item_vectors(tastes_data.content.take(cold))
    np.testing.assert_array_equal(vectors.items[cold], expected)
    assert vectors.items.dtype == vectors.users.dtype == np.float32
    # They point where the warm items of their taste point.
    taste = np.arange(90) % 3
    warm = tastes_data.user_counts > 0
    centres = np.stack([vectors.items[warm & (taste == t)].mean(axis=0) for t in range(3)])
    centres -= centres.mean(axis=0)
    assert (np.argmax(vectors.items[cold] @ centres.T, axis=1) == taste[cold]).all()


def test_plays_are_left_as_they_were(tastes_data):
    before = tastes_data.plays.copy()
    source(weighting="log").fit(tastes_data)
    np.testing.assert_array_equal(before.toarray(), tastes_data.plays.toarray())


@pytest.mark.parametrize(
    ("weighting", "value"), [("binary", 1), ("log", np.log(8)), ("linear", 7), ("relative", 1)]
)
def test_fold_in_weighs_plays_as_the_fit_does(weighting, value):
    history, gram = np.eye(2, dtype=np.float32), np.diag([3.0, 4.0])
    found = source(weighting=weighting).fold_in(history, np.full(2, 7, np.float32), Gram(gram))
    expected = least_squares(history, np.full(2, value, np.float32), gram)
    assert found == pytest.approx(expected)


def test_saved_state_gives_the_same_vectors_to_new_items(tastes_data):
    als = source()
    als.fit(tastes_data)
    again = source().restore(als.arrays())
    n_values = tastes_data.content.metadata.shape[1]
    new = item_content(np.eye(8)[:3], metadata=np.eye(3, n_values))
    np.testing.assert_array_equal(als.item_vectors(new), again.item_vectors(new))


def test_a_model_saved_before_penalties_grew_keeps_its_fold_in(tastes_data):
    als = source()
    als.fit(tastes_data)
    arrays = als.arrays()
    assert source().restore(arrays).fold_in == als.fold_in
    del arrays["scales"]
    old = source(weighting="binary").restore(arrays)
    assert old.fold_in == LeastSquaresFoldIn("binary")
    with pytest.raises(ValueError, match="scales of ALS"):
        source().restore({**als.arrays(), "scales": np.array([1.0, -1.0, 2.0])})


def test_a_solve_that_fails_is_an_error_of_ours(tastes_data):
    plays = tastes_data.plays.copy()
    plays.data[3] = 1e30
    data = TrainingData(plays, tastes_data.content, tastes_data.artists, seed=0, threads=1)
    with pytest.raises(ColdtuneError, match=r"ALS .*als\.regularization"):
        source(weighting="linear", alpha=1e12).fit(data)


def test_sources_by_name(fitted):
    made = [make_source(name, fitted.config) for name in SOURCES]
    assert [type(one).__name__ for one in made] == [
        "ALSSource", "FMSource", "EASESource", "ContentSource", "PopularitySource",
    ]  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_few_rows_are_solved_as_many_are(seed: int, n_rows: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((12, 6)).astype(np.float32)
    dense = rng.integers(0, 4, (n_rows, 12)) * rng.random((n_rows, 12))
    one = CSRArrays.from_matrix(sp.csr_matrix(dense.astype(np.float32)))
    many = CSRArrays.from_matrix(sp.csr_matrix(np.tile(dense, (5, 1)).astype(np.float32)))
    gram = (vectors.T @ vectors).astype(float)
    charges = rng.uniform(0.5, 20, n_rows)
    few = solve_rows(vectors, gram, one, 3.0, charges)
    expected = solve_rows(vectors, gram, many, 3.0, np.tile(charges, 5))[:n_rows]
    np.testing.assert_allclose(few, expected, atol=1e-4)
