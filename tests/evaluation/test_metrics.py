import json
import os
import subprocess
import sys
import time
from itertools import product
from math import log2
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datasets.errors import InvalidArgumentError
from evaluation.judging import Hits, Judge
from evaluation.metrics import RANKING_METRICS, item_auc, ranking_metrics


def hits(*lists, relevant):
    """Hits of lists written as "x.x": x is a hit, . a miss; shorter ones end early."""
    k = max(map(len, lists))
    matrix = np.array([[c == "x" for c in one.ljust(k, ".")] for one in lists])
    return of_matrix(matrix, np.array(relevant), [len(one) for one in lists])


def of_matrix(matrix, n_relevant, lengths=None):
    """Hits of lists of items that are all different."""
    n_users, k = matrix.shape
    lengths = np.full(n_users, k) if lengths is None else np.array(lengths)
    items = np.where(np.arange(k) < lengths[:, None], np.arange(k), -1)
    return Hits(matrix, n_relevant, lengths, items)


# User 1: hits at ranks 1 and 3, four relevant. User 2: one hit at rank 2, one relevant.
# User 3: no list at all.
WORKED = hits("x.x.", ".x..", "", relevant=[4, 1, 2])
BY_HAND = {
    ("precision", 2): [1 / 2, 1 / 2, 0],
    ("precision", 4): [2 / 4, 1 / 4, 0],
    ("recall", 2): [1 / 4, 1, 0],
    ("recall", 4): [2 / 4, 1, 0],
    ("hit", 1): [1, 0, 0],
    ("hit", 4): [1, 1, 0],
    ("ndcg", 2): [1 / (1 + 1 / log2(3)), 1 / log2(3), 0],
    ("ndcg", 4): [(1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2 + 1 / log2(5)), 1 / log2(3), 0],
    ("map", 2): [(1 / 1) / 2, (1 / 2) / 1, 0],
    ("map", 4): [(1 / 1 + 2 / 3) / 4, (1 / 2) / 1, 0],
    ("mrr", 1): [1, 0, 0],
    ("mrr", 4): [1, 1 / 2, 0],
}


@pytest.mark.parametrize("metric_and_k", BY_HAND)
def test_worked_by_hand(metric_and_k):
    metric, k = metric_and_k
    values = RANKING_METRICS[metric](WORKED, k)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, BY_HAND[metric, k])


def test_k_out_of_range():
    for k in (0, 5):
        with pytest.raises(InvalidArgumentError, match="k must be 1 to 4"):
            RANKING_METRICS["recall"](WORKED, k)


@settings(max_examples=80, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 8))), st.integers(0, 5))
def test_invariants(matrix, spare):
    n_relevant = np.maximum(matrix.sum(axis=1) + spare, 1)
    given = of_matrix(matrix, n_relevant)
    k = matrix.shape[1]
    values = ranking_metrics(given, [k])
    for (name, _), value in values.items():
        assert ((value >= 0) & (value <= 1 + 1e-12)).all(), name
        assert ((value > 0) == matrix.any(axis=1)).all(), name
    # The best order there is gets nDCG and MAP of 1 where every place or relevant item is a hit.
    best = of_matrix(np.arange(k) < n_relevant[:, None], n_relevant)
    for name in ("ndcg", "map", "mrr", "hit"):
        np.testing.assert_allclose(RANKING_METRICS[name](best, k), 1.0)
    # Moving hits to the front never lowers a value.
    front = of_matrix(-np.sort(-matrix.astype(int), axis=1) > 0, n_relevant)
    for (name, _), value in ranking_metrics(front, [k]).items():
        assert (value >= values[name, k] - 1e-12).all(), name


@pytest.fixture(scope="module")
def toy():
    """Lists of 40 users over 30 items, some of them short, and what ranx and trec_eval say."""
    rng = np.random.default_rng(3)
    items = [f"i{n:02d}" for n in range(30)]
    lists, relevant = {}, {}
    for n in range(40):
        user = f"u{n:02d}"
        length = 10 if n % 4 else int(rng.integers(1, 10))
        lists[user] = rng.permutation(items)[:length].tolist()
        relevant[user] = rng.permutation(items)[: rng.integers(1, 15)].tolist()
    task = {"lists": lists, "relevant": relevant, "ks": [1, 5, 10]}
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("oracles.py"))],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    frame = pd.DataFrame(
        [(u, r + 1, i, -float(r)) for u, one in lists.items() for r, i in enumerate(one)],
        columns=["user_id", "rank", "item_id", "score"],
    )
    truth = pd.DataFrame(
        [(u, i) for u, one in relevant.items() for i in one], columns=["user_id", "item_id"]
    )
    judged = Judge(sorted(lists), items, truth).hits(frame, 10)
    oracles = {
        name: np.array([values[user] for user in sorted(lists)])
        for name, values in json.loads(answer.stdout).items()
    }
    return judged, oracles


SAME = [("precision", "ranx:precision@{k}"), ("precision", "trec:P_{k}")]
SAME += [("recall", "ranx:recall@{k}"), ("recall", "trec:recall_{k}")]
SAME += [("hit", "ranx:hit_rate@{k}"), ("hit", "trec:success_{k}")]
SAME += [("ndcg", "ranx:ndcg@{k}"), ("ndcg", "trec:ndcg_cut_{k}"), ("mrr", "ranx:mrr@{k}")]


@pytest.mark.parametrize(("pair", "k"), [*product(SAME, [1, 5, 10])])
def test_same_as_ranx_and_trec_eval(toy, pair, k):
    judged, oracles = toy
    ours, theirs = pair
    values = RANKING_METRICS[ours](judged, k)
    assert 0 < values.mean() < 1
    np.testing.assert_allclose(values, oracles[theirs.format(k=k)], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "k"), [*product(["ranx:map@{k}", "trec:map_cut_{k}"], [1, 5, 10])]
)
def test_map_differs_from_ranx_and_trec_eval_by_its_divisor(toy, name, k):
    # They divide by all relevant items, so that a perfect list of 10 is below 1 where there are
    # 14 of them; ours divides by the hits a list of k can have.
    judged, oracles = toy
    factor = judged.n_relevant / np.minimum(k, judged.n_relevant)
    assert factor.max() > 1
    values = RANKING_METRICS["map"](judged, k)
    np.testing.assert_allclose(values, oracles[name.format(k=k)] * factor, atol=1e-6)


def test_trec_eval_s_reciprocal_rank_has_no_k(toy):
    judged, oracles = toy
    np.testing.assert_allclose(RANKING_METRICS["mrr"](judged, 10), oracles["trec:recip_rank"])
    assert RANKING_METRICS["mrr"](judged, 1).sum() < oracles["trec:recip_rank"].sum()


def test_metrics_of_as_many_users_as_last_fm_has_are_quick():
    rng = np.random.default_rng(0)
    n_users, n_items, k = 1892, 17_664, 20
    users = np.array([f"u{n}" for n in range(n_users)], dtype=object)
    items = np.array([f"i{n}" for n in range(n_items)], dtype=object)
    top = np.argsort(rng.random((n_users, 100)), axis=1)[:, :k]
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(users, k),
            "rank": np.tile(np.arange(1, k + 1), n_users),
            "item_id": items[top.ravel()],
            "score": 1.0,
        }
    )
    truth = pd.DataFrame(
        {"user_id": np.repeat(users, 10), "item_id": items[rng.integers(0, 100, 18_920)]}
    )
    started = time.perf_counter()
    values = ranking_metrics(Judge(users, items, truth).hits(frame, k), (10, 20))
    assert time.perf_counter() - started < 1.0
    assert 0.05 < values["precision", 10].mean() < 0.15


def brute_force_auc(scores, relevant):
    """Item-wise AUC straight from the definition."""
    values = []
    for item in range(scores.shape[1]):
        gains = []
        for a, b in product(range(len(scores)), repeat=2):
            if relevant[a, item] and not relevant[b, item]:
                z = [
                    (row[item] - row.mean()) / row.std() if row.std() > 0 else 0.0
                    for row in (scores[a], scores[b])
                ]
                gains.append(1.0 if z[0] > z[1] + 1e-5 else 0.5 if abs(z[0] - z[1]) < 1e-5 else 0.0)
        if gains:
            values.append(np.mean(gains))
    return np.array(values)


def test_item_auc_by_hand():
    # z-scores over the two items: users 1 and 2 prefer item 1 (+1, -1), user 3 item 2, and user 4
    # has equal scores (0, 0).
    scores = np.array([[3.0, 1.0], [90.0, 80.0], [0.1, 0.2], [5.0, 5.0]])
    relevant = np.array([[True, False], [False, False], [True, True], [False, False]])
    result = item_auc(scores, relevant)
    # Item 1: listener 1 ties user 2 and beats 4; listener 3 loses to both: (0.5 + 1 + 0 + 0) / 4.
    # Item 2: listener 3 beats everybody.
    np.testing.assert_allclose(result.values, [1.5 / 4, 1.0])
    assert result.items.tolist() == [0, 1]
    assert result.left_out == 0


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int64, (5, 4), elements=st.integers(0, 4)),
    arrays(bool, (5, 4), elements=st.booleans()),
)
def test_item_auc_is_its_definition(scores, relevant):
    scores = scores.astype(float)
    result = item_auc(scores, relevant)
    np.testing.assert_allclose(result.values, brute_force_auc(scores, relevant), atol=1e-12)
    some, everybody = relevant.any(axis=0), relevant.all(axis=0)
    assert result.items.tolist() == np.flatnonzero(some & ~everybody).tolist()
    assert result.left_out == 4 - len(result.items)
    # What a user adds to all scores, or multiplies them by, changes nothing.
    moved = scores * np.array([[1.0], [10.0], [0.5], [3.0], [7.0]]) + np.arange(5)[:, None]
    np.testing.assert_allclose(item_auc(moved, relevant).values, result.values)


def test_item_auc_of_a_ranking_that_is_the_same_for_everybody_is_one_half():
    rng = np.random.default_rng(0)
    relevant = rng.random((200, 30)) < 0.1
    popular = np.tile(relevant.sum(axis=0).astype(float), (200, 1))
    bias = rng.random((200, 1)) * 1000
    noise = np.float32(0.1) * (1 + rng.integers(-1, 2, popular.shape) * np.finfo(np.float32).eps)
    for scores in (popular, popular + bias, np.zeros_like(popular), noise):
        assert (item_auc(scores, relevant).values == 0.5).all()


def test_item_auc_of_missing_scores():
    relevant = np.array([[True, False], [False, True], [True, False]])
    # Nobody ranked anything: no information, not an error.
    assert item_auc(np.full((3, 2), np.nan), relevant).values.tolist() == [0.5, 0.5]
    # An item left out stands below the one that is ranked.
    scores = np.array([[1.0, np.nan], [np.nan, 1.0], [4.0, np.nan]])
    assert item_auc(scores, relevant).values.tolist() == [1.0, 1.0]


def test_item_auc_shapes():
    with pytest.raises(InvalidArgumentError, match="shape"):
        item_auc(np.zeros((2, 3)), np.zeros((3, 2), dtype=bool))
