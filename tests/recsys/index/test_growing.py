"""Search against brute force: right items, right order, never short, no filtered row."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import RetrievalConfig
from recsys.index.build import build_index, open_index
from recsys.index.exact import ExactIndex
from recsys.index.growing import GrowingIndex
from tests.helpers.indexes import FITTED, ITEMS, NONE, QUERIES, USERS, as_seen, check_hits
from tests.helpers.thorough import times


@pytest.mark.slow
@settings(max_examples=times(30, 80))
@given(data=st.data(), n=st.integers(1, 30), k=st.integers(1, 40), late=st.integers(0, 6))
def test_exact_search_is_brute_force_under_any_filter(data, n, k, late):
    items, queries = ITEMS[: n + late], QUERIES[:3]
    index = GrowingIndex(ExactIndex(items[:n]), items[:n])
    if late:
        index.append(items[n:])
    assert len(index) == n + late
    rows = st.sets(st.integers(0, n + late - 1))
    seen = data.draw(st.none() | st.lists(rows, min_size=3, max_size=3))
    banned = data.draw(st.none() | rows)
    only = data.draw(st.none() | rows)
    hits = index.search(
        queries,
        k,
        seen=None if seen is None else as_seen(seen),
        banned=None if banned is None else np.array(sorted(banned), np.intp),
        only=None if only is None else np.array(sorted(only), np.intp),
    )
    others = set() if only is None else set(range(n + late)) - only
    common = others | (banned or set())
    check_hits(hits, items, queries, k, [common | s for s in seen or [set()] * 3])


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["exact", "screened exactly", "screened", "pruned exactly", "pruned", "annoy"]
)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    k=st.sampled_from([1, 3, 10, 250, 299, 300, 10**6]),
    seen_share=st.sampled_from([None, 0.0, 0.1, 0.95, 1.0]),
    banned_share=st.sampled_from([None, 0.0, 0.5, 0.97]),
    late=st.sampled_from([0, 7, 100]),
    filtered_by_only=st.booleans(),
)
def test_no_search_is_short_or_finds_what_is_filtered(
    indexes, method, seed, k, seen_share, banned_share, late, filtered_by_only
):
    rng = np.random.default_rng(seed)
    items = ITEMS[: 300 + late]
    index = GrowingIndex(indexes[method], FITTED)
    for start in range(300, 300 + late, 9):
        index.append(items[start : start + 9])
    n = len(items)
    seen = [set(np.flatnonzero(rng.random(n) < (seen_share or 0)).tolist()) for _ in QUERIES]
    banned = np.flatnonzero(rng.random(n) < (banned_share or 0))
    only = np.flatnonzero(rng.random(n) < 0.3) if filtered_by_only else None
    hits = index.search(
        QUERIES,
        k,
        seen=None if seen_share is None else as_seen(seen),
        banned=None if banned_share is None else banned,
        only=only,
    )
    others = set() if only is None else set(range(n)) - set(only.tolist())
    forbidden = [others | set(banned.tolist()) | own for own in seen]
    exact = method.startswith("exact") or "ly" in method
    check_hits(hits, items, QUERIES, k, forbidden, exact=exact)


def test_k_above_the_catalogue_and_an_empty_catalogue(tmp_path):
    hits = ExactIndex(ITEMS[:2]).search(QUERIES[:1], 50, None, NONE)
    assert len(hits.item) == 2
    empty = ITEMS[:0]
    for method in ("exact", "screened", "pruned", "annoy"):
        sidecar = None
        if method != "exact":
            (tmp_path / method).mkdir()
            config = RetrievalConfig(method=method)
            sidecar = build_index(empty, USERS, tmp_path / method, config, seed=0)
        index, _ = open_index(empty, sidecar, 1)
        assert [len(part) for part in index.search(QUERIES, 5, None, NONE)] == [0, 0, 0]
        index = GrowingIndex(index, empty)
        index.append(ITEMS[:3])
        check_hits(index.search(QUERIES, 5), ITEMS[:3], QUERIES, 5, [set()] * 5)


def test_no_queries():
    hits = GrowingIndex(ExactIndex(ITEMS), ITEMS).search(QUERIES[:0], 5)
    assert [len(part) for part in hits] == [0, 0, 0]


def test_the_buffer_by_hand():
    fitted = np.array([[3.0], [1.0]], np.float32)
    index = GrowingIndex(ExactIndex(fitted), fitted)
    for value in (2.0, 4.0):
        index.append(np.array([[value]], np.float32))
    hits = index.search(np.array([[1.0], [-1.0]], np.float32), 3)
    assert hits.query.tolist() == [0, 0, 0, 1, 1, 1]
    assert hits.item.tolist() == [3, 0, 2, 1, 2, 0]
    assert hits.score.tolist() == [4, 3, 2, -1, -2, -3]
    assert index.vectors(np.array([3, 0, 2])).ravel().tolist() == [4, 3, 2]


def test_copies_of_an_index_do_not_see_each_others_items():
    one = GrowingIndex(ExactIndex(FITTED), FITTED)
    for row in range(5):
        one.append(ITEMS[300 + row : 301 + row])
    two, three = copy.copy(one), copy.copy(one)
    two.append(ITEMS[310:312])
    three.append(ITEMS[320:323])
    one.append(ITEMS[330:331])
    expected = {one: [330], two: [310, 311], three: [320, 321, 322]}
    for index, last in expected.items():
        items = np.vstack([ITEMS[:305], ITEMS[last]])
        check_hits(index.search(QUERIES, 20), items, QUERIES, 20, [set()] * 5)
        assert (index.vectors(np.arange(len(items))) == items).all()


def test_appending_one_by_one_copies_little():
    index = GrowingIndex(ExactIndex(FITTED), FITTED)
    sizes = set()
    for _ in range(1000):
        index.append(ITEMS[:1])
        sizes.add(len(index._buffer.vectors))
    assert len(index) == 1300
    assert len(sizes) <= 12


def test_negative_scores_and_a_query_of_zeros_are_answered_too(indexes):
    for method, index in indexes.items():
        for query in (np.zeros((1, 6), np.float32), -QUERIES[:1]):
            hits = index.search(query, 300, None, NONE)
            assert len(hits.item) == 300, method
            assert hits.score.min() <= 0
