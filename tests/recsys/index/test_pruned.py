"""Pruned search compares few items where few are long; filters: see test_growing.py."""

import numpy as np
import pytest

from recsys.index.pruned import PrunedIndex
from tests.helpers.indexes import NONE, QUERIES, check_hits


@pytest.mark.slow
def test_pruned_search_looks_at_few_items_where_few_are_long(tmp_path):
    rng = np.random.default_rng(4)
    items = rng.standard_normal((50_000, 8)).astype(np.float32)
    items *= (rng.pareto(1.5, (50_000, 1)) + 0.1).astype(np.float32)
    PrunedIndex.build(items, tmp_path / "index")
    index = PrunedIndex(tmp_path / "index", slack=1.0)
    assert index.share_compared(QUERIES[:, :1] * np.ones(8, np.float32), 10) < 0.2
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    check_hits(index.search(queries, 10, None, NONE), items, queries, 10, [set()] * 20)
