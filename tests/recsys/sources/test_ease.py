"""EASE in low rank: at full rank it is EASE itself, below it is close; fold-in is exact."""

import numpy as np
import pytest
import scipy.sparse as sp

from datasets.arrays import Float32Array
from recsys.config import ContentMapConfig, EASEConfig
from recsys.data import TrainingData
from recsys.sources import ease as ease_source
from recsys.sources.ease import EASESource
from recsys.sources.fold_in import EASEFoldIn, Gram
from tests.helpers.recommenders import item_content

MAP = ContentMapConfig(shrinkage=0.0)


def some_plays(n_users: int = 60, n_items: int = 25, seed: int = 0) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    taste = rng.random((n_users, 3)) @ rng.random((3, n_items))
    plays = rng.random((n_users, n_items)) < 0.5 * taste / taste.mean() * 0.4
    plays[:, :2] = False  # two cold items
    plays[0, 2:6] = True
    return sp.csr_matrix(plays.astype(np.float32))


def training(plays: sp.csr_matrix, embeddings: Float32Array | None = None) -> TrainingData:
    n = plays.shape[1]
    if embeddings is None:
        embeddings = np.zeros((n, 0), np.float32)
    return TrainingData(plays, item_content(embeddings), np.arange(n), seed=0, threads=1)


def ease(plays: sp.csr_matrix, penalty: float) -> np.ndarray:
    """Steck's own formula, on the items somebody plays."""
    X = plays.toarray().astype(np.float64)
    P = np.linalg.inv(X.T @ X + penalty * np.eye(X.shape[1]))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return X @ B


@pytest.mark.parametrize("penalty", [1.0, 20.0])
def test_at_full_rank_it_is_ease(penalty: float) -> None:
    plays = some_plays()
    vectors = EASESource(EASEConfig(rank=500, regularization=penalty), MAP).fit(training(plays))
    unseen = plays.toarray() == 0
    unseen[:, :2] = False
    found, wanted = vectors.users @ vectors.items.T, ease(plays, penalty)
    np.testing.assert_allclose(found[unseen], wanted[unseen], atol=1e-5)


def test_by_hand() -> None:
    plays = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0]], np.float32))
    vectors = EASESource(EASEConfig(rank=9, regularization=4.0), MAP).fit(training(plays))
    # X'X = [[3, 2], [2, 2]], P = inv([[7, 2], [2, 6]]) = [[6, -2], [-2, 7]] / 38: B_12 = 2 / 7.
    assert vectors.users[2] @ vectors.items[1] == pytest.approx(2 / 7, abs=1e-6)


def test_a_low_rank_comes_close_and_is_reproducible() -> None:
    plays = some_plays(200, 120)
    source = EASEConfig(rank=40, regularization=20.0)
    vectors = EASESource(source, MAP).fit(training(plays))
    assert vectors.items.shape == (120, 40)
    again = EASESource(source, MAP).fit(training(plays))
    np.testing.assert_array_equal(vectors.items, again.items)
    found, wanted = vectors.users @ vectors.items.T, ease(plays, 20.0)
    assert np.corrcoef(found[:, 2:].ravel(), wanted[:, 2:].ravel())[0, 1] > 0.9


def test_of_very_many_plays_single_precision_gives_the_same_scores(monkeypatch) -> None:
    data, config = training(some_plays(200, 120)), EASEConfig(rank=8, regularization=20.0)
    monkeypatch.setattr(ease_source, "_DENSE", 0)  # as where there are too many for a dense matrix
    exact = EASESource(config, MAP).fit(data)
    monkeypatch.setattr("recsys.data.MANY_PLAYS", 0)
    single = EASESource(config, MAP).fit(data)
    assert not np.array_equal(single.items, exact.items)
    scores = exact.users @ exact.items.T
    np.testing.assert_allclose(single.users @ single.items.T, scores, atol=1e-3 * scores.max())


def test_fold_in_is_the_vector_of_a_trained_user() -> None:
    plays = some_plays()
    source = EASESource(EASEConfig(rank=12, regularization=5.0), MAP)
    vectors = source.fit(training(plays))
    for user in (0, 3, 7):
        played = plays[user].indices
        folded = source.fold_in(vectors.items[played], np.ones(len(played)), Gram(np.eye(12)))
        np.testing.assert_allclose(folded, vectors.users[user], atol=1e-4)


def test_an_item_from_its_listeners_is_the_item_of_the_fit() -> None:
    plays = some_plays()
    source = EASESource(EASEConfig(rank=12, regularization=5.0), MAP)
    vectors = source.fit(training(plays))
    restored = EASESource(EASEConfig(rank=12, regularization=5.0), MAP).restore(source.arrays())
    nothing = np.zeros(12, np.float32)
    for item in (2, 8, 11):
        listeners = vectors.users[plays.tocsc()[:, item].indices]
        found = restored.item_from_plays(nothing, listeners, np.ones(len(listeners)), np.eye(12))
        np.testing.assert_allclose(found, vectors.items[item], rtol=1e-3, atol=1e-4)


def test_cold_items_are_predicted_from_their_content() -> None:
    rng = np.random.default_rng(0)
    plays = some_plays(200, 60)
    first = EASESource(EASEConfig(rank=8, regularization=20.0), MAP).fit(training(plays))
    embeddings = (first.items @ rng.standard_normal((8, 12))).astype(np.float32)
    embeddings[0] = embeddings[5]
    source = EASESource(EASEConfig(rank=8, regularization=20.0), MAP)
    vectors = source.fit(training(plays, embeddings))
    cosine = vectors.items[0] @ vectors.items[5]
    cosine /= np.linalg.norm(vectors.items[0]) * np.linalg.norm(vectors.items[5])
    assert cosine > 0.95


def test_users_are_folded_in_by_the_weights_of_the_fit() -> None:
    plays = some_plays()
    plays.data = np.random.default_rng(2).integers(1, 50, plays.nnz).astype(np.float32)
    for weighting in ("relative", "binary"):
        source = EASESource(EASEConfig(rank=500, weighting=weighting), MAP)
        vectors = source.fit(training(plays))
        row = plays[3]
        found = source.fold_in(vectors.items[row.indices], row.data, Gram(np.eye(1)))
        np.testing.assert_allclose(found, vectors.users[3], rtol=1e-3, atol=1e-5)
        again = EASESource(EASEConfig(rank=500), MAP).restore(source.arrays())
        assert again.fold_in == source.fold_in
    arrays = source.arrays()
    del arrays["binary"]  # as models were saved before there was a choice
    assert EASESource(EASEConfig(), MAP).restore(arrays).fold_in == EASEFoldIn("binary")
