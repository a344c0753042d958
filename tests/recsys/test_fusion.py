"""Fusion: one inner product that is the weighted sum of scaled, centred scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import fusion
from recsys.fusion import fuse_items, fuse_users, make_blocks, user_scales
from tests.helpers.thorough import times


def random_case(seed, n_users, n_items, dimensions, unknown=0.2):
    """Vectors of users and items by source (some unknown), which items are cold, and blocks."""
    rng = np.random.default_rng(seed)
    names = [f"source{n}" for n in range(len(dimensions))]

    def vectors(n, d):
        table = rng.standard_normal((n, d)) * rng.uniform(0.1, 10) + rng.standard_normal(d)
        table[rng.random(n) < unknown] = 0
        return table.astype(np.float32)

    users = {name: vectors(n_users, d) for name, d in zip(names, dimensions, strict=True)}
    items = {name: vectors(n_items, d) for name, d in zip(names, dimensions, strict=True)}
    is_cold = rng.random(n_items) < 0.3
    weights = [dict(zip(names, rng.uniform(0.05, 1, len(names)), strict=True)) for _ in range(2)]
    blocks = make_blocks(items, is_cold, *weights)
    return users, items, is_cold, weights, blocks


CASES = {
    "seed": st.integers(0, 2**16),
    "n_users": st.integers(1, 5),
    "n_items": st.integers(1, 12),
    "dimensions": st.lists(st.integers(1, 6), min_size=1, max_size=3),
}


def test_fused_score_by_hand():
    # Warm items score 1, 3 for a user [1]: mean 2, deviation 1; a cold item at 4 is 2 above.
    items = {"als": np.array([[1], [3], [4]], np.float32)}
    cold = np.array([False, False, True])
    blocks = make_blocks(items, cold, {"als": 0.5}, {"als": 0.25})
    user = fuse_users(blocks, {"als": np.array([[1]], np.float32)})
    assert (fuse_items(blocks, items, cold) @ user[0]).tolist() == [-0.5, 0.5, 0.5]
    # Twice the user's vector is the same user.
    twice = fuse_users(blocks, {"als": np.array([[2]], np.float32)})
    np.testing.assert_array_equal(user, twice)


@pytest.mark.slow
@settings(max_examples=times(20, 60))
@given(**CASES)
def test_fused_score_is_the_weighted_sum_of_standard_scores(seed, n_users, n_items, dimensions):
    users, items, is_cold, (warm, cold), blocks = random_case(seed, n_users, n_items, dimensions)
    fused = fuse_users(blocks, users) @ fuse_items(blocks, items, is_cold).T

    expected = np.zeros((n_users, n_items))
    for name in items:
        p, q = users[name].astype(float), items[name].astype(float)
        known = q.any(axis=1)
        reference = q[known & ~is_cold]
        if len(reference) < 2:
            continue  # nothing to tell items apart by
        scores = p @ reference.T
        deviation = scores.std(axis=1)
        mean = scores.mean(axis=1)
        weight = np.where(is_cold, cold[name], warm[name])
        standard = (p @ q.T - mean[:, None]) / np.where(deviation > 0, deviation, np.inf)[:, None]
        expected += np.where(known, standard * weight, 0)
    assert fused == pytest.approx(expected, abs=2e-4 * max(1, np.abs(expected).max()))


@settings(max_examples=times(15, 40))
@given(**CASES)
def test_what_a_source_does_not_know_stays_zero(seed, n_users, n_items, dimensions):
    users, items, is_cold, _, blocks = random_case(seed, n_users, n_items, dimensions, 0.5)
    fused_users = fuse_users(blocks, users)
    fused_items = fuse_items(blocks, items, is_cold)
    assert fused_users.dtype == fused_items.dtype == np.float32
    assert fused_users.shape[1] == fused_items.shape[1] == sum(dimensions)
    for block in blocks:
        strange_users = ~users[block.name].any(axis=1)
        strange_items = ~items[block.name].any(axis=1)
        assert not fused_users[strange_users, block.columns].any()
        assert not fused_items[strange_items, block.columns].any()


@settings(max_examples=times(15, 40))
@given(**CASES)
def test_unfuse_gives_back_the_sources_vectors(seed, n_users, n_items, dimensions):
    _, items, is_cold, _, blocks = random_case(seed, n_users, n_items, dimensions)
    fused = fuse_items(blocks, items, is_cold)
    for block in blocks:
        back = block.unfuse_items(fused, is_cold)
        # A vector that is exactly the mean fuses to zero, which says "unknown".
        told = fused[:, block.columns].any(axis=1)
        original = items[block.name]
        tolerance = 1e-5 * (1 + float(np.abs(original).max()))
        assert back[told] == pytest.approx(original[told], abs=tolerance)
        assert not back[~told].any()


@pytest.mark.parametrize("n_items", [1, 2, 7, 1001])
def test_items_that_are_all_alike_tell_a_user_nothing(n_items):
    rng = np.random.default_rng(0)
    items = {"als": np.tile(rng.standard_normal(5), (n_items, 1)).astype(np.float32)}
    cold = np.zeros(n_items, bool)
    blocks = make_blocks(items, cold, {"als": 1.0}, {"als": 1.0})
    users = rng.standard_normal((9, 5)).astype(np.float32)
    assert not fuse_users(blocks, {"als": users}).any()


def test_no_warm_item_known_to_a_source():
    items = {"content": np.array([[0, 0], [1, 2]], np.float32)}
    cold = np.array([False, True])
    blocks = make_blocks(items, cold, {"content": 1.0}, {"content": 1.0})
    assert not fuse_users(blocks, {"content": np.ones((1, 2), np.float32)}).any()
    np.testing.assert_array_equal(fuse_items(blocks, items, cold), items["content"])


def test_gram_is_that_of_the_warm_items():
    _, items, is_cold, _, blocks = random_case(3, 1, 40, [4])
    warm = items["source0"][~is_cold].astype(float)
    assert blocks[0].gram == pytest.approx(warm.T @ warm, rel=1e-4)


def test_blocks_of_rows_do_not_change_the_result(monkeypatch):
    users, items, is_cold, _, blocks = random_case(3, 20, 30, [4, 2])
    whole = fuse_users(blocks, users), fuse_items(blocks, items, is_cold)
    scales = user_scales(blocks, users)
    monkeypatch.setattr(fusion, "_ROWS", 7)
    weights = [{block.name: getattr(block, kind) for block in blocks} for kind in ("warm", "cold")]
    again = make_blocks(items, is_cold, *weights)
    for one, other in zip(blocks, again, strict=True):
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-9)
    np.testing.assert_array_equal(fuse_users(blocks, users), whole[0])
    np.testing.assert_array_equal(fuse_items(blocks, items, is_cold), whole[1])
    np.testing.assert_array_equal(user_scales(blocks, users), scales)
