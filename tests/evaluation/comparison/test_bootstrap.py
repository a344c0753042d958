import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from evaluation.comparison import bootstrap as module
from evaluation.comparison.bootstrap import Bootstrap


def by_hand(values, n_bootstrap, seed):
    n = len(values)
    chosen = np.random.default_rng(seed).integers(0, n, size=(n_bootstrap, n))
    return np.stack([np.nanmean(values[rows], axis=0) for rows in chosen])


@pytest.mark.parametrize("n", [1, 2, 37, 101])
def test_means_of_rows_drawn_with_replacement(n):
    values = np.random.default_rng(1).random((n, 3))
    np.testing.assert_allclose(Bootstrap(150, 7).means(values), by_hand(values, 150, 7), atol=1e-13)


@pytest.mark.parametrize(
    ("cells", "at_once", "kept"), [(1, 1, 0), (90, 37, 10**6), (10**6, 10**6, 10**6)]
)
def test_draws_do_not_depend_on_blocks_nor_on_what_was_drawn_before(
    monkeypatch, cells, at_once, kept
):
    values = np.random.default_rng(2).random((31, 4))
    values[:9, 1] = values[3:20, 2] = values[:9, 3] = np.nan
    rows = np.array([0, 4, 9, 30])
    own = np.full(31, np.nan)
    own[rows] = [0.0, 0.5, 0.0, 1.0]
    monkeypatch.setattr(module, "_CELLS", cells)
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_CACHE_BYTES", kept)
    bootstrap = Bootstrap(120, 5)
    for _ in range(2):
        np.testing.assert_allclose(bootstrap.means(values), by_hand(values, 120, 5), atol=1e-13)
        (part,) = bootstrap.part_means([(rows, own[rows][:, None])], 31)
        np.testing.assert_allclose(part[:, 0], bootstrap.means(own[:, None])[:, 0], atol=1e-13)
        other = np.arange(12.0)[:, None]
        np.testing.assert_allclose(bootstrap.means(other), by_hand(other, 120, 5), atol=1e-13)


def test_counts_kept_stay_within_bounds(monkeypatch):
    monkeypatch.setattr(module, "_CACHE_BYTES", 100 * 50)
    bootstrap = Bootstrap(100, 0)
    for n in (20, 30, 10, 60):
        bootstrap.means(np.ones((n, 1)))
    assert list(bootstrap._cache) == [30, 10]


def test_too_few_draws_and_no_rows_are_refused():
    with pytest.raises(InvalidArgumentError, match="at least 100, not 99"):
        Bootstrap(99, 0)
    with pytest.raises(InvalidArgumentError, match="at least one user"):
        Bootstrap(100, 0).means(np.empty((0, 2)))
