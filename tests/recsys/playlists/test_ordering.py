"""The order of a playlist: short, never worse than the one given, artists apart where possible."""

from itertools import permutations

import numpy as np
import pytest

from recsys.playlists import ordering
from recsys.playlists.ordering import same_artist_pairs, smooth_order, step_lengths


def songs(seed, n, d=5):
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def cost(vectors, artists, order):
    """Pairs of one artist first, then the length of the way."""
    order = np.asarray(order)
    return same_artist_pairs(artists[order]), np.nansum(step_lengths(vectors[order]))


@pytest.mark.parametrize("seed", range(15))
def test_never_worse_than_the_order_given(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    vectors, artists = songs(seed, n), rng.integers(-1, max(n // 2, 1), n)
    fixed_last = bool(seed % 2)
    order = smooth_order(vectors, artists, fixed_last=fixed_last)
    assert sorted(order.tolist()) == list(range(n))
    assert order[0] == 0
    assert not fixed_last or order[-1] == n - 1
    pairs, length = cost(vectors, artists, order)
    given_pairs, given_length = cost(vectors, artists, np.arange(n))
    assert (pairs, round(length, 6)) <= (given_pairs, round(given_length, 6))


@pytest.mark.parametrize("seed", range(12))
def test_artists_stand_apart_wherever_they_can(seed):
    rng = np.random.default_rng(seed)
    n = 7
    vectors, artists = songs(seed, n), rng.integers(-1, 3, n)
    order = smooth_order(vectors, artists)
    orders = ([0, *rest] for rest in permutations(range(1, n)))
    fewest = min(same_artist_pairs(artists[list(one)]) for one in orders)
    assert same_artist_pairs(artists[order]) == fewest


@pytest.mark.parametrize("seed", range(10))
def test_near_the_shortest_of_all_orders(seed):
    vectors, unknown = songs(seed, 7, d=3), np.full(7, -1)
    found = cost(vectors, unknown, smooth_order(vectors))[1]
    best = min(cost(vectors, unknown, [0, *rest])[1] for rest in permutations(range(1, 7)))
    assert found <= 1.25 * best


def test_much_shorter_than_random():
    vectors = songs(0, 60)
    order = smooth_order(vectors)
    assert np.nanmean(step_lengths(vectors[order])) < 0.6 * np.nanmean(step_lengths(vectors))


def test_long_lists_are_ordered_part_by_part(monkeypatch):
    monkeypatch.setattr(ordering, "_AT_ONCE", 20)
    vectors, artists = songs(1, 95), np.arange(95) // 2
    order = smooth_order(vectors, artists, fixed_last=True)
    assert sorted(order.tolist()) == list(range(95))
    assert (order[0], order[-1]) == (0, 94)
    assert same_artist_pairs(artists[order]) == 0
    assert np.nanmean(step_lengths(vectors[order])) < np.nanmean(step_lengths(vectors))


def test_songs_that_are_all_alike_keep_their_order():
    assert smooth_order(np.ones((6, 1), np.float32)).tolist() == [0, 1, 2, 3, 4, 5]
