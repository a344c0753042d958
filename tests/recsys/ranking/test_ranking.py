"""Lists: the shares of the sources in a score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fusion import fuse_items, make_blocks
from recsys.ranking.ranking import source_shares
from tests.helpers.thorough import times


def test_shares_by_hand():
    items = {
        "als": np.array([[1], [-1]], np.float32),
        "fm": np.array([[3], [-3]], np.float32),
        "content": np.array([[-1], [1]], np.float32),
    }
    ones = dict.fromkeys(items, 1.0)
    blocks = make_blocks(items, np.zeros(2, bool), ones, ones)
    # Standard scores of the first item: 1, 1, -1, weighted by the user's vector 1, 3 and 1.
    fused = fuse_items(blocks, items, np.zeros(2, bool))
    assert source_shares(blocks, np.array([1.0, 1.0, 1.0], np.float32), fused).tolist() == [
        [0.25, 0.75, 0.0],  # content speaks against it
        [0.0, 0.0, 1.0],  # only content speaks for it
    ]
    nothing = source_shares(blocks, np.zeros(3, np.float32), fused)
    assert nothing == pytest.approx(np.full((2, 3), 1 / 3))


@settings(max_examples=times(15, 40))
@given(
    seed=st.integers(0, 2**16),
    n_items=st.integers(1, 12),
    dimensions=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_shares_add_to_one(seed, n_items, dimensions):
    rng = np.random.default_rng(seed)
    items = {
        f"source{n}": (rng.standard_normal((n_items, d)) * (rng.random((n_items, 1)) > 0.2)).astype(
            np.float32
        )
        for n, d in enumerate(dimensions)
    }
    weights = dict.fromkeys(items, 1.0)
    blocks = make_blocks(items, np.zeros(n_items, bool), weights, weights)
    fused = fuse_items(blocks, items, np.zeros(n_items, bool))
    for _ in range(5):
        user = rng.standard_normal(fused.shape[1]).astype(np.float32)
        parts = source_shares(blocks, user, fused)
        assert parts.shape == (n_items, len(dimensions))
        assert (parts >= 0).all()
        assert (parts <= 1).all()
        assert parts.sum(axis=1) == pytest.approx(np.ones(n_items))
