"""Search against brute force: right items, right order, never short, no filtered row."""

import copy
import json
import shutil

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import ArtifactError
from recsys.config import RetrievalConfig
from recsys.index.annoy import AnnoyIndex
from recsys.index.base import Hits
from recsys.index.build import build_index, index_files, needs_index_files, open_index
from recsys.index.exact import ExactIndex
from recsys.index.growing import GrowingIndex
from recsys.index.pruned import PrunedIndex

RNG = np.random.default_rng(0)
LONG = np.concatenate([RNG.lognormal(0, 1, 300), np.ones(100)])
ITEMS = (RNG.standard_normal((400, 6)) * LONG[:, None]).astype(np.float32)
FITTED = ITEMS[:300]
QUERIES = RNG.standard_normal((5, 6)).astype(np.float32)
USERS = RNG.standard_normal((200, 6)).astype(np.float32)
NONE = np.empty(0, np.intp)


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory):
    """An index of `FITTED` of each kind."""
    made = {}
    for method in ("pruned", "annoy"):
        folder = tmp_path_factory.mktemp(method)
        config = RetrievalConfig(method=method)
        made[method] = build_index(FITTED, USERS, folder, config, seed=0)
    return made


@pytest.fixture(scope="module")
def indexes(sidecars):
    opened = {name: open_index(FITTED, path, 1)[0] for name, path in sidecars.items()}
    exactly = PrunedIndex(sidecars["pruned"].with_name("index"), slack=1.0)
    return opened | {"exact": ExactIndex(FITTED), "pruned exactly": exactly}


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
        assert scores == pytest.approx(items[rows] @ query, rel=1e-5, abs=1e-4)
        assert (np.diff(scores) <= 1e-6).all()
        if exact:
            assert scores == pytest.approx(best, rel=1e-5, abs=1e-4)


@settings(max_examples=80, deadline=None)
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
        seen=None if seen is None else as_seen(seen, n + late),
        banned=None if banned is None else np.array(sorted(banned), np.intp),
        only=None if only is None else np.array(sorted(only), np.intp),
    )
    others = set() if only is None else set(range(n + late)) - only
    common = others | (banned or set())
    check(hits, items, queries, k, [common | s for s in seen or [set()] * 3])


@pytest.mark.parametrize("method", ["exact", "pruned exactly", "pruned", "annoy"])
@settings(max_examples=25, deadline=None)
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
        seen=None if seen_share is None else as_seen(seen, n),
        banned=None if banned_share is None else banned,
        only=only,
    )
    others = set() if only is None else set(range(n)) - set(only.tolist())
    forbidden = [others | set(banned.tolist()) | own for own in seen]
    check(hits, items, QUERIES, k, forbidden, exact=method.startswith("exact") or "ly" in method)


def test_k_above_the_catalogue_and_an_empty_catalogue(tmp_path):
    hits = ExactIndex(ITEMS[:2]).search(QUERIES[:1], 50, None, NONE)
    assert len(hits.item) == 2
    empty = ITEMS[:0]
    for method in ("exact", "pruned", "annoy"):
        sidecar = None
        if method != "exact":
            (tmp_path / method).mkdir()
            config = RetrievalConfig(method=method)
            sidecar = build_index(empty, USERS, tmp_path / method, config, seed=0)
        index, _ = open_index(empty, sidecar, 1)
        assert [len(part) for part in index.search(QUERIES, 5, None, NONE)] == [0, 0, 0]
        index = GrowingIndex(index, empty)
        index.append(ITEMS[:3])
        check(index.search(QUERIES, 5), ITEMS[:3], QUERIES, 5, [set()] * 5)


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
        check(index.search(QUERIES, 20), items, QUERIES, 20, [set()] * 5)
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


# ------------------------------------------------------------------ what pruning leaves out


def test_pruned_search_looks_at_few_items_where_few_are_long(tmp_path):
    rng = np.random.default_rng(4)
    items = rng.standard_normal((50_000, 8)).astype(np.float32)
    items *= (rng.pareto(1.5, (50_000, 1)) + 0.1).astype(np.float32)
    PrunedIndex.build(items, tmp_path / "index")
    index = PrunedIndex(tmp_path / "index", slack=1.0)
    assert index.share_compared(QUERIES[:, :1] * np.ones(8, np.float32), 10) < 0.2
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    check(index.search(queries, 10, None, NONE), items, queries, 10, [set()] * 20)


# ------------------------------------------------------------------ recall


@pytest.mark.parametrize("method", ["pruned", "annoy"])
def test_the_target_recall_is_reached_on_queries_that_it_was_not_tuned_on(tmp_path, method):
    rng = np.random.default_rng(1)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    items *= rng.lognormal(0, 0.5, (3000, 1)).astype(np.float32)  # length matters: not cosine
    users, others = rng.standard_normal((2, 300, 16)).astype(np.float32)
    config = RetrievalConfig(method=method, target_recall=0.9)
    index, info = open_index(items, build_index(items, users, tmp_path, config, seed=0), 1)
    assert info["method"] == method
    assert info["queries"] == 150
    assert 0.9 <= info["recall"] <= 1
    found, best = (i.search(others, 10, None, NONE) for i in (index, ExactIndex(items)))
    recall = np.mean(
        [
            np.isin(best.item[best.query == q], found.item[found.query == q]).mean()
            for q in range(300)
        ]
    )
    assert recall == pytest.approx(info["recall"], abs=0.03)
    exact = (items[found.item] * others[found.query]).sum(axis=1)
    assert found.score == pytest.approx(exact, abs=1e-4)


def test_annoy_that_misses_the_target_says_so(tmp_path, caplog):
    rng = np.random.default_rng(2)
    items, users = rng.standard_normal((2, 4000, 24)).astype(np.float32)
    config = RetrievalConfig(method="annoy", n_trees=1, search_k=20)
    sidecar = build_index(items, users, tmp_path, config, seed=0)
    index, info = open_index(items, sidecar, 1)
    assert info["recall"] < 0.9
    assert (info["n_trees"], info["search_k"]) == (1, 20)
    assert "less than the target" in caplog.text
    assert isinstance(index, AnnoyIndex)


def test_auto_takes_annoy_only_where_lengths_rule_out_little(tmp_path):
    rng = np.random.default_rng(3)
    # Tight clusters of equally long items, all of which a bound by length must look at.
    centres = rng.standard_normal((40, 8))
    items = np.repeat(centres, 500, axis=0) + 0.05 * rng.standard_normal((20_000, 8))
    items = (items / np.linalg.norm(items, axis=1, keepdims=True)).astype(np.float32)
    users = np.float32(centres[rng.integers(40, size=100)] + 0.05 * rng.standard_normal((100, 8)))
    config = RetrievalConfig(exact_up_to=1000, target_recall=0.9)
    sidecar = build_index(items, users, tmp_path, config, seed=0)
    assert json.loads(sidecar.read_text())["method"] == "annoy"
    assert {path.name for path in tmp_path.iterdir()} == {"index-facts.json", "index.annoy"}
    (tmp_path / "b").mkdir()
    items *= rng.pareto(1.5, (20_000, 1)).astype(np.float32) + 0.01
    sidecar = build_index(items, users, tmp_path / "b", config, seed=0)
    assert json.loads(sidecar.read_text())["method"] == "pruned"


# ------------------------------------------------------------------ the files


@pytest.mark.parametrize("method", ["pruned", "annoy"])
def test_an_index_of_other_vectors_is_refused(sidecars, method):
    for others in (ITEMS[:299], ITEMS[:300, :5], ITEMS[100:400], -FITTED):
        with pytest.raises(ArtifactError, match="does not belong to this model"):
            open_index(others, sidecars[method], 1)


@pytest.mark.parametrize("method", ["pruned", "annoy"])
def test_an_index_that_was_changed_is_refused(sidecars, method, tmp_path):
    for path in index_files(sidecars[method]):
        shutil.copy(path, tmp_path)
    sidecar = tmp_path / sidecars[method].name
    open_index(FITTED, sidecar, 1)
    for path in index_files(sidecar)[1:]:
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        for content in (bytes(changed), whole[:-1], b""):
            path.write_bytes(content)
            with pytest.raises(ArtifactError, match="does not belong to this model"):
                open_index(FITTED, sidecar, 1)
        path.write_bytes(whole)
    text = sidecar.read_text()
    for wrong in ("{", "[]", "{}", text.replace(f'"method": "{method}"', '"method": "faiss"')):
        sidecar.write_text(wrong)
        with pytest.raises(ArtifactError, match="index"):
            open_index(FITTED, sidecar, 1)
    sidecar.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_index(FITTED, sidecar, 1)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_same_seed_builds_the_same_index(tmp_path, seed):
    for name in ("a", "b"):
        AnnoyIndex.build(ITEMS, tmp_path / name, 8, seed)
    assert (tmp_path / "a.annoy").read_bytes() == (tmp_path / "b.annoy").read_bytes()


def test_auto_searches_exactly_up_to_a_size():
    auto = RetrievalConfig(method="auto", exact_up_to=299)
    assert needs_index_files(300, auto)
    assert not needs_index_files(299, auto)
    assert not needs_index_files(10**9, auto.replace(method="exact"))
    assert needs_index_files(1, auto.replace(method="annoy"))
    assert needs_index_files(1, auto.replace(method="pruned"))
    assert open_index(FITTED, None, 1)[1] == {"method": "exact"}
