"""Search against brute force: right items, right order, never short, no filtered row."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import ArtifactError
from recsys.config import RetrievalConfig
from recsys.retrieval import AnnoyIndex, ExactIndex, Hits, Searcher, make_index, uses_annoy

RNG = np.random.default_rng(0)
ITEMS = RNG.standard_normal((400, 6)).astype(np.float32)
QUERIES = RNG.standard_normal((5, 6)).astype(np.float32)
CONFIG = RetrievalConfig(method="annoy", n_trees=8)
NONE = np.empty(0, np.intp)


@pytest.fixture(scope="module")
def annoy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.annoy"
    AnnoyIndex.build(ITEMS[:300], path, CONFIG, seed=0)
    return path


def brute_force(items, query, k, forbidden):
    """Scores of the k best rows that are allowed, best first, and how many there are."""
    allowed = np.setdiff1d(np.arange(len(items)), list(forbidden))
    return np.sort(items[allowed] @ query)[::-1][:k]


def as_seen(rows_of_each, n_items):
    table = np.zeros((len(rows_of_each), n_items), np.float32)
    for number, rows in enumerate(rows_of_each):
        table[number, list(rows)] = 1
    return sp.csr_matrix(table)


def check(hits, items, queries, k, forbidden_of_each, exact=True):
    """No filtered or repeated row, none too few, right scores in the right order."""
    assert isinstance(hits, Hits)
    assert (np.diff(hits.query) >= 0).all()
    for number, query in enumerate(queries):
        own = hits.query == number
        rows, scores = hits.item[own], hits.score[own]
        best = brute_force(items, query, k, forbidden_of_each[number])
        assert len(rows) == len(set(rows.tolist())) == len(best)
        assert not set(rows.tolist()) & set(forbidden_of_each[number])
        assert scores == pytest.approx(items[rows] @ query, abs=1e-5)
        assert (np.diff(scores) <= 1e-6).all()
        if exact:
            assert scores == pytest.approx(best, abs=1e-5)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), n=st.integers(1, 30), k=st.integers(1, 40), late=st.integers(0, 6))
def test_exact_search_is_brute_force_under_any_filter(data, n, k, late):
    items, queries = ITEMS[: n + late], QUERIES[:3]
    searcher = Searcher(ExactIndex(items[:n]), items[:n])
    if late:
        searcher.append(items[n:])
    assert len(searcher) == n + late
    rows = st.sets(st.integers(0, n + late - 1))
    seen = data.draw(st.none() | st.lists(rows, min_size=3, max_size=3))
    banned = data.draw(st.none() | rows)
    only = data.draw(st.none() | rows)
    hits = searcher.search(
        queries,
        k,
        seen=None if seen is None else as_seen(seen, n + late),
        banned=None if banned is None else np.array(sorted(banned), np.intp),
        only=None if only is None else np.array(sorted(only), np.intp),
    )
    others = set() if only is None else set(range(n + late)) - only
    common = others | (banned or set())
    check(hits, items, queries, k, [common | s for s in seen or [set()] * 3])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    k=st.sampled_from([1, 3, 10, 250, 299, 300, 10**6]),
    seen_share=st.sampled_from([None, 0.0, 0.1, 0.95, 1.0]),
    banned_share=st.sampled_from([None, 0.0, 0.5, 0.97]),
    late=st.sampled_from([0, 7, 100]),
    filtered_by_only=st.booleans(),
)
def test_annoy_is_never_short_and_finds_nothing_filtered(
    annoy_file, seed, k, seen_share, banned_share, late, filtered_by_only
):
    rng = np.random.default_rng(seed)
    items, fitted = ITEMS[: 300 + late], ITEMS[:300]
    searcher = Searcher(AnnoyIndex(annoy_file, fitted, CONFIG), fitted)
    if late:
        searcher.append(items[300:])
    n = len(items)
    seen = [set(np.flatnonzero(rng.random(n) < (seen_share or 0)).tolist()) for _ in QUERIES]
    banned = np.flatnonzero(rng.random(n) < (banned_share or 0))
    only = np.flatnonzero(rng.random(n) < 0.3) if filtered_by_only else None
    hits = searcher.search(
        QUERIES,
        k,
        seen=None if seen_share is None else as_seen(seen, n),
        banned=None if banned_share is None else banned,
        only=only,
    )
    others = set() if only is None else set(range(n)) - set(only.tolist())
    forbidden = [others | set(banned.tolist()) | own for own in seen]
    check(hits, items, QUERIES, k, forbidden, exact=False)


def test_annoy_finds_nearly_all_of_the_best(tmp_path):
    rng = np.random.default_rng(1)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    items *= rng.lognormal(0, 0.5, (3000, 1)).astype(np.float32)  # length matters: not cosine
    queries = rng.standard_normal((40, 16)).astype(np.float32)
    config = RetrievalConfig(method="annoy", n_trees=50)
    AnnoyIndex.build(items, tmp_path / "a.annoy", config, seed=0)
    found = AnnoyIndex(tmp_path / "a.annoy", items, config).search(queries, 10, None, NONE)
    best = ExactIndex(items).search(queries, 10, None, NONE)
    recall = [np.isin(found.item[found.query == q], best.item[best.query == q]) for q in range(40)]
    assert np.mean(recall) > 0.97
    # Scores are the exact inner products, whatever Annoy takes for distance.
    exact = (items[found.item] * queries[found.query]).sum(axis=1)
    assert found.score == pytest.approx(exact, abs=1e-4)


def test_k_above_the_catalogue_and_an_empty_catalogue(tmp_path):
    hits = ExactIndex(ITEMS[:2]).search(QUERIES[:1], 50, None, NONE)
    assert len(hits.item) == 2
    empty = ITEMS[:0]
    AnnoyIndex.build(empty, tmp_path / "e.annoy", CONFIG, seed=0)
    for index in (ExactIndex(empty), AnnoyIndex(tmp_path / "e.annoy", empty, CONFIG)):
        assert [len(part) for part in index.search(QUERIES, 5, None, NONE)] == [0, 0, 0]
        searcher = Searcher(index, empty)
        searcher.append(ITEMS[:3])
        check(searcher.search(QUERIES, 5), ITEMS[:3], QUERIES, 5, [set()] * 5)


def test_no_queries():
    hits = Searcher(ExactIndex(ITEMS), ITEMS).search(QUERIES[:0], 5)
    assert [len(part) for part in hits] == [0, 0, 0]


def test_the_buffer_by_hand():
    fitted = np.array([[3.0], [1.0]], np.float32)
    searcher = Searcher(ExactIndex(fitted), fitted)
    for value in (2.0, 4.0):
        searcher.append(np.array([[value]], np.float32))
    hits = searcher.search(np.array([[1.0], [-1.0]], np.float32), 3)
    assert hits.query.tolist() == [0, 0, 0, 1, 1, 1]
    assert hits.item.tolist() == [3, 0, 2, 1, 2, 0]
    assert hits.score.tolist() == [4, 3, 2, -1, -2, -3]
    assert searcher.vectors(np.array([3, 0, 2])).ravel().tolist() == [4, 3, 2]


def test_negative_scores_are_found_too():
    hits = ExactIndex(-np.abs(ITEMS)).search(np.ones((1, 6), np.float32), 400, None, NONE)
    assert len(hits.item) == 400
    assert hits.score.max() < 0


# ------------------------------------------------------------------ the index file


def test_an_index_of_other_vectors_is_refused(annoy_file):
    AnnoyIndex(annoy_file, ITEMS[:300], CONFIG)
    for others in (ITEMS[:299], ITEMS[:300, :5], ITEMS[100:400], -ITEMS[:300]):
        with pytest.raises(ArtifactError, match="does not belong to this model"):
            AnnoyIndex(annoy_file, others, CONFIG)


def test_an_index_that_was_changed_is_refused(annoy_file, tmp_path):
    copy = tmp_path / "copy.annoy"
    copy.write_bytes(annoy_file.read_bytes())
    manifest = copy.with_suffix(".json")
    with pytest.raises(ArtifactError, match=r"copy\.json: cannot be read"):
        AnnoyIndex(copy, ITEMS[:300], CONFIG)
    manifest.write_text("{")
    with pytest.raises(ArtifactError, match=r"copy\.json: cannot be read"):
        AnnoyIndex(copy, ITEMS[:300], CONFIG)
    manifest.write_text(annoy_file.with_suffix(".json").read_text())
    AnnoyIndex(copy, ITEMS[:300], CONFIG)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(ArtifactError, match="does not belong to this model"):
        AnnoyIndex(copy, ITEMS[:300], CONFIG)
    assert json.loads(manifest.read_text())["items"] == 300


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_same_seed_builds_the_same_index(tmp_path, seed):
    for name in ("a.annoy", "b.annoy"):
        AnnoyIndex.build(ITEMS, tmp_path / name, CONFIG, seed)
    assert (tmp_path / "a.annoy").read_bytes() == (tmp_path / "b.annoy").read_bytes()


def test_auto_searches_exactly_up_to_a_size(annoy_file):
    auto = RetrievalConfig(method="auto", exact_up_to=299)
    assert uses_annoy(300, auto)
    assert not uses_annoy(299, auto)
    assert not uses_annoy(10**9, auto.replace(method="exact"))
    assert uses_annoy(1, auto.replace(method="annoy"))
    assert isinstance(make_index(ITEMS[:300], CONFIG, 1, annoy_file), AnnoyIndex)
    assert isinstance(make_index(ITEMS[:300], auto.replace(exact_up_to=300), 1, None), ExactIndex)
