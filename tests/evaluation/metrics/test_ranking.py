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
from evaluation.metrics import ranking as metrics
from evaluation.metrics.hits import HitEncoder, HitMatrix
from evaluation.metrics.ranking import (
    RANKING_METRICS,
    audience_recall,
    item_auc,
    ranking_metrics,
    user_auc,
)
from tests.helpers.thorough import times


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
    return HitMatrix(matrix, n_relevant, lengths, items)


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


@settings(max_examples=times(30, 80))
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


KS = [1, 3, 5, 10, 20]


@pytest.fixture(scope="module")
def toy():
    """Lists of 50 users over 30 items, and what ranx and trec_eval say of them.

    Some lists are short, none has 20 items, and one user in ten has none at all. Values are in the
    order of the users; trec_eval's are NaN for users without a list, whom it leaves out.
    """
    rng = np.random.default_rng(3)
    items = [f"i{n:02d}" for n in range(30)]
    lists, relevant = {}, {}
    for n in range(50):
        user = f"u{n:02d}"
        length = 0 if n % 10 == 9 else 12 if n % 4 else int(rng.integers(1, 10))
        lists[user] = rng.permutation(items)[:length].tolist()
        relevant[user] = rng.permutation(items)[: rng.integers(1, 25)].tolist()
    answer = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(Path(__file__).parents[2] / "helpers" / "metric_oracles.py"),
        ],
        input=json.dumps({"lists": lists, "relevant": relevant, "ks": KS}),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    truth = pd.DataFrame(
        [(u, i) for u, one in relevant.items() for i in one], columns=["user_id", "item_id"]
    )

    def judged(scores):
        frame = pd.DataFrame(
            [(u, r + 1, i, scores(r)) for u, one in lists.items() for r, i in enumerate(one)],
            columns=["user_id", "rank", "item_id", "score"],
        )
        return HitEncoder(sorted(lists), items, truth).hits(frame, max(KS))

    oracles = {
        name: np.array([values.get(user, np.nan) for user in sorted(lists)])
        for name, values in json.loads(answer.stdout).items()
    }
    return judged, oracles


SAME_AS_RANX = {"precision": "precision", "recall": "recall", "hit": "hit_rate", "ndcg": "ndcg"}
SAME_AS_RANX |= {"mrr": "mrr"}
SAME_AS_TREC = {"precision": "P", "recall": "recall", "hit": "success", "ndcg": "ndcg_cut"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), [*product(SAME_AS_RANX, KS)])
def test_same_as_ranx(toy, name, k):
    judged, oracles = toy
    values = RANKING_METRICS[name](judged(lambda place: -place), k)
    assert 0 < values.mean() < 1
    np.testing.assert_allclose(values, oracles[f"ranx:{SAME_AS_RANX[name]}@{k}"], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), [*product(SAME_AS_TREC, KS)])
def test_same_as_trec_eval_which_leaves_out_users_without_a_list(toy, name, k):
    judged, oracles = toy
    hits = judged(lambda place: -place)
    values = RANKING_METRICS[name](hits, k)
    theirs = oracles[f"trec:{SAME_AS_TREC[name]}_{k}"]
    assert (np.isnan(theirs) == (hits.n_listed == 0)).all()
    np.testing.assert_allclose(values, np.nan_to_num(theirs), atol=1e-12)
    # So its mean is over 45 of the 50, and 50/45 of ours.
    np.testing.assert_allclose(values.mean() * 50 / 45, np.nanmean(theirs), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), [*product(["ranx:map@{k}", "trec:map_cut_{k}"], KS)])
def test_map_differs_from_ranx_and_trec_eval_by_its_divisor(toy, name, k):
    # They divide by all relevant items, so that a perfect list of 10 is below 1 where there are
    # 14 of them; ours divides by the hits a list of k can have.
    judged, oracles = toy
    hits = judged(lambda place: -place)
    factor = hits.n_relevant / np.minimum(k, hits.n_relevant)
    assert factor.max() > 1
    theirs = np.nan_to_num(oracles[name.format(k=k)])
    np.testing.assert_allclose(RANKING_METRICS["map"](hits, k), theirs * factor, atol=1e-12)


def test_trec_eval_s_reciprocal_rank_has_no_k(toy):
    judged, oracles = toy
    hits, theirs = judged(lambda place: -place), np.nan_to_num(oracles["trec:recip_rank"])
    np.testing.assert_allclose(RANKING_METRICS["mrr"](hits, 20), theirs)
    assert RANKING_METRICS["mrr"](hits, 1).sum() < theirs.sum()


@pytest.mark.slow
def test_ties_keep_the_order_of_the_list_as_in_ranx_and_not_as_in_trec_eval(toy):
    # Equal scores throughout: the rank decides here, and in ranx the order given. trec_eval sorts
    # again, by name and backwards, which changes what is in the first places.
    judged, oracles = toy
    hits = judged(lambda place: 1.0)
    for name, k in product(SAME_AS_RANX, KS):
        values = RANKING_METRICS[name](hits, k)
        np.testing.assert_array_equal(values, RANKING_METRICS[name](judged(lambda p: -p), k))
        np.testing.assert_allclose(values, oracles[f"tied ranx:{SAME_AS_RANX[name]}@{k}"])
    backwards = np.sort(hits.items, axis=1)[:, ::-1]  # items are numbered by name
    of_item = np.zeros((50, 31), bool)
    np.put_along_axis(of_item, hits.items, hits.matrix, axis=1)
    of_item[:, -1] = False  # where the place after the end of a list, -1, leads
    theirs = HitMatrix(
        np.take_along_axis(of_item, backwards, axis=1), hits.n_relevant, hits.n_listed, backwards
    )
    assert (RANKING_METRICS["ndcg"](theirs, 5) != RANKING_METRICS["ndcg"](hits, 5)).any()
    for name, k in product(SAME_AS_TREC, KS):
        expected = np.nan_to_num(oracles[f"tied trec:{SAME_AS_TREC[name]}_{k}"])
        np.testing.assert_allclose(RANKING_METRICS[name](theirs, k), expected, atol=1e-12)


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
    started = time.process_time()
    values = ranking_metrics(HitEncoder(users, items, truth).hits(frame, k), (10, 20))
    assert time.process_time() - started < 1.0
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


@settings(max_examples=times(20, 60))
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


def test_auc_shapes():
    for auc in (item_auc, user_auc):
        with pytest.raises(InvalidArgumentError, match="shape"):
            auc(np.zeros((2, 3)), np.zeros((3, 2), dtype=bool))


def test_user_auc_by_hand():
    scores = np.array([[3.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [5.0, np.nan, np.nan, 4.0]])
    relevant = np.array([[False, True, False, False], [True, False, True, False], [True] * 4])
    # User 1's item loses to one, ties one and beats one; user 2's tie; user 3 plays everything.
    np.testing.assert_array_equal(user_auc(scores, relevant), [1.5 / 3, 0.5, np.nan])
    relevant[2] = [False, True, False, True]
    # Item 4 beats the missing item 3 and loses to item 1; the missing item 2 ties the other.
    np.testing.assert_array_equal(user_auc(scores, relevant)[2], 1.5 / 4)
    assert np.isnan(user_auc(scores, np.zeros_like(relevant))).all()


@settings(max_examples=times(20, 60))
@given(
    arrays(np.float64, (5, 4), elements=st.sampled_from([np.nan, -np.inf, 0.0, 1.0, 2.0])),
    arrays(bool, (5, 4), elements=st.booleans()),
)
def test_user_auc_is_its_definition(scores, relevant):
    filled = np.where(np.isnan(scores), -np.inf, scores)
    expected = []
    for row, wanted in zip(filled, relevant, strict=True):
        pairs = [*product(row[wanted], row[~wanted])]
        gains = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]
        expected.append(np.mean(gains) if gains else np.nan)
    np.testing.assert_allclose(user_auc(scores, relevant), expected)


def test_auc_by_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    scores, relevant = rng.random((30, 17)).round(1), rng.random((30, 17)) < 0.2
    whole = item_auc(scores, relevant).values, user_auc(scores, relevant)
    monkeypatch.setattr(metrics, "_CELLS", 50)
    np.testing.assert_array_equal(item_auc(scores, relevant).values, whole[0])
    np.testing.assert_array_equal(user_auc(scores, relevant), whole[1])


def test_user_auc_rewards_popularity_and_item_auc_does_not():
    rng = np.random.default_rng(0)
    relevant = rng.random((300, 40)) < np.geomspace(0.5, 0.01, 40)
    popular = np.tile(relevant.sum(axis=0).astype(float), (300, 1))
    assert np.nanmean(user_auc(popular, relevant)) > 0.75
    assert item_auc(popular, relevant).values.mean() == 0.5


def test_audience_recall_by_hand():
    # Six users, one item that the first three like; the second item sets the users' scores apart.
    scores = np.array([[3.0, 0.0], [2.0, 1.0], [0.0, 3.0], [3.0, 0.0], [1.0, 2.0], [0.0, 3.0]])
    relevant = np.zeros((6, 2), bool)
    relevant[:3, 0] = True
    # Standardised, the users of a row have 1 or -1: users 0, 1 and 3 rank the first item highest.
    assert audience_recall(scores, relevant, 3).tolist() == pytest.approx([2 / 3])
    # All three tie for two places: each of the two who like it has one with probability 2/3.
    assert audience_recall(scores, relevant, 2).tolist() == pytest.approx([(2 * 2 / 3) / 3])
    # Three places for the best; the other three tie for the two that are left.
    assert audience_recall(scores, relevant, 5).tolist() == pytest.approx([(2 + 2 / 3) / 3])
    assert audience_recall(scores, relevant, 6).tolist() == [1.0]
    assert audience_recall(scores, relevant, 100).tolist() == [1.0]


def test_audience_recall_is_of_the_items_that_have_an_auc():
    rng = np.random.default_rng(0)
    scores, relevant = rng.standard_normal((30, 6)), rng.random((30, 6)) < 0.3
    relevant[:, 1], relevant[:, 4] = True, False
    found = audience_recall(scores, relevant, 5)
    assert len(found) == len(item_auc(scores, relevant).values) == 4
    standard = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
    for place, item in enumerate([0, 2, 3, 5]):
        best = np.argsort(-standard[:, item])[:5]
        assert found[place] == pytest.approx(relevant[best, item].sum() / relevant[:, item].sum())


def test_audience_recall_of_a_ranking_that_is_the_same_for_everybody_is_that_of_chance():
    rng = np.random.default_rng(1)
    scores = np.tile(rng.standard_normal(5), (40, 1))
    relevant = rng.random((40, 5)) < 0.4
    assert audience_recall(scores, relevant, 10).tolist() == pytest.approx([0.25] * 5)


def test_audience_recall_wants_one_shape_and_a_length():
    with pytest.raises(InvalidArgumentError, match="one \\[users, items\\] shape"):
        audience_recall(np.zeros((2, 2)), np.zeros((2, 3), bool))
    with pytest.raises(InvalidArgumentError, match="k must be"):
        audience_recall(np.zeros((2, 2)), np.zeros((2, 2), bool), 0)
