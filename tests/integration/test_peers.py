"""The peers of `python -m benchmarks.quality.warm --peers` are what their papers describe."""

import numpy as np
import pytest

from benchmarks.quality import peers
from benchmarks.quality.peers import (
    GRAPH_AND_AUTOENCODERS,
    SLIM,
    DenoisingEASE,
    GraphFilter,
    RecVAE,
)
from evaluation.models.external import FullEASE
from tests.helpers.evaluations import listeners_of_three_tastes

DATA = listeners_of_three_tastes(60, 24)


@pytest.mark.parametrize("name", GRAPH_AND_AUTOENCODERS)
def test_lists_are_of_the_users_taste(name: str) -> None:
    given = {"l2": 3.0} if name == "slim" else {}
    model = GRAPH_AND_AUTOENCODERS[name](tuned=False, **given).fit(DATA)
    frame = model.recommend_many([str(n) for n in range(60)], 2)
    own = frame["user_id"].astype(int) % 3 == frame["item_id"].astype(int) % 3
    assert len(frame) == 120
    assert own.mean() > 0.6


def test_a_graph_filter_by_its_formula() -> None:
    model = GraphFilter(tuned=False, vectors=5, share=0.3).fit(DATA)
    R = model._plays.toarray().astype(float)
    root = np.sqrt(R.sum(axis=0))
    N = R / np.sqrt(R.sum(axis=1))[:, None] / root
    V = np.linalg.svd(N)[2][:5].T
    expected = R @ (N.T @ N + 0.3 * (V / root[:, None]) @ (V * root[:, None]).T)
    np.testing.assert_allclose(model._scores(np.arange(len(R))), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_denoising_ease_by_its_formula(dropout: float) -> None:
    model = DenoisingEASE(tuned=False, dropout=dropout, regularization=10.0).fit(DATA)
    X = model._plays.toarray().astype(float)
    penalty = 10 + dropout / (1 - dropout) * X.sum(axis=0)
    P = np.linalg.inv(X.T @ X + np.diag(penalty))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    found, unseen = model._scores(np.arange(len(X))), X == 0
    np.testing.assert_allclose(found[unseen], (X @ B)[unseen], rtol=1e-4, atol=1e-5)
    if not dropout:
        ease = FullEASE(tuned=False, regularization=10.0).fit(DATA)
        theirs = ease._scores(np.arange(len(X)))
        np.testing.assert_allclose(found[unseen], theirs[unseen], rtol=1e-4, atol=1e-5)


def test_slim_weights_are_the_best_that_are_not_negative() -> None:
    model = SLIM(tuned=False, l1=2.0, l2=5.0).fit(DATA)
    X, W = model._plays.toarray().astype(float), model._weights.toarray()
    assert W.min() >= 0
    assert not W.diagonal().any()
    assert (W > 0).sum() > len(W)
    # Where a weight is positive its gradient is zero, elsewhere it points below zero.
    gradient = X.T @ (X @ W - X) + 2.0 + 5.0 * W
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient[W > 0]).max() < 0.2
    assert gradient.min() > -0.2


@pytest.mark.parametrize(("given", "rounds"), [({}, 10), ({"rounds": 20}, 20)])
def test_recvae_ends_where_held_out_plays_are_no_longer_found_better(
    monkeypatch, given, rounds
) -> None:
    # Of the first weight the second look is the best, and ten rounds after it training ends.
    looks = iter([0.1, 0.3, 0.2, 0.2, 0.2, 0.1, 0.1])
    monkeypatch.setattr(peers, "ndcg", lambda *_: np.array([next(looks)]))
    model = RecVAE(**given).fit(DATA)
    assert model.chosen == {"weight": 0.05, "rounds": rounds}
    assert next(looks, None) is None
