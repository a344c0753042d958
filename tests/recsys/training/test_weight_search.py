"""The search of weights: the grid, and the best of it where that is known."""

import numpy as np
import pytest

from recsys.training.validation_lists import BlendCandidates
from recsys.training.weight_search import STEP, WeightSearch, weight_grid


@pytest.mark.parametrize(("n", "points"), [(1, 1), (2, 19), (3, 171), (4, 84)])
def test_the_grid_covers_all_weights_most_even_first(n, points):
    grid = np.array(weight_grid(n))
    assert grid.shape == (points, n)
    assert grid.sum(axis=1) == pytest.approx(np.ones(points))
    assert grid.min() >= STEP - 1e-9
    assert len(np.unique(grid.round(6), axis=0)) == points
    assert np.ptp(grid[0]) <= 2 * STEP + 1e-9


def candidates_of(good: float, users: int = 200) -> BlendCandidates:
    """BlendCandidates of which source "a" ranks the played one first, and "b" at random."""
    random = np.random.default_rng(0)
    relevant = np.zeros((users, 30), bool)
    relevant[np.arange(users), random.integers(0, 30, users)] = True
    noise = random.normal(size=(2, users, 30)).astype(np.float32)
    noise[0] += np.float32(good) * relevant
    return BlendCandidates(np.arange(users), ["a", "b"], noise, relevant, np.ones(users, int))


def test_the_source_that_knows_gets_the_weight():
    search = WeightSearch(candidates_of(3.0), {"a": 0.5, "b": 0.5}, evidence=10**6, cold=False)
    found = search.best(["a", "b"])
    assert found.weights["a"] > 0.8
    assert found.ndcg.mean() > search.best(["b"]).ndcg.mean() + 0.3
    assert search.best(["b"]).weights == {"b": pytest.approx(1)}


def test_little_evidence_stays_with_the_default():
    default = {"a": 0.5, "b": 0.5}
    search = WeightSearch(candidates_of(3.0), default, evidence=0, cold=False)
    assert search.best(["a", "b"]).weights == pytest.approx(default)
