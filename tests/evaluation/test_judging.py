import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError
from evaluation.judging import Judge


def lists(*rows):
    frame = pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])
    return frame.astype({"rank": "int64", "score": "float64"})


def pairs(*rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


@pytest.fixture
def judge():
    return Judge(
        ["u1", "u2", "u3"],
        ["a", "b", "c", "d"],
        pairs(("u1", "a"), ("u1", "a"), ("u1", "d"), ("u2", "b"), ("u3", "c"), ("other", "a")),
        pairs(("u2", "a"), ("u1", "elsewhere")),
    )


def test_hits_in_order_of_the_users_and_ranks_whatever_the_order_of_rows(judge):
    answer = lists(
        ("u2", 2, "c", 1.0), ("u1", 1, "a", 9.0), ("u2", 1, "b", 2.0), ("u1", 2, "b", 8.0)
    )
    hits = judge.hits(answer, 3)
    assert hits.matrix.tolist() == [[True, False, False], [True, False, False], [False] * 3]
    assert hits.n_relevant.tolist() == [2, 1, 1]
    assert hits.n_listed.tolist() == [2, 2, 0]


def test_an_empty_answer_is_all_misses(judge):
    for empty in (lists(), pd.DataFrame(columns=["user_id", "rank", "item_id", "score"])):
        hits = judge.hits(empty, 2)
        assert not hits.matrix.any()
        assert hits.n_listed.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("u1", 1, "a", 1), ("u1", 2, "a", 0)], "user 'u1', item 'a': recommended twice"),
        ([("u2", 1, "b", 1), ("u2", 2, "a", 0)], "user 'u2', item 'a': .*training data"),
        ([("u9", 1, "a", 1)], "user 'u9', item 'a': the user was not asked for"),
        ([("u1", 1, "zz", 1)], "user 'u1', item 'zz': the item is not among the candidates"),
        ([("u1", 1, None, 1)], "not among the candidates"),
        ([("u1", 1, "a", np.nan)], "user 'u1', item 'a': the score is not a finite number"),
        ([("u1", 1, "a", np.inf)], "not a finite number"),
        ([("u1", 2, "a", 1)], "user 'u1', item 'a': ranks must run 1, 2, 3"),
        ([("u1", 0, "a", 1)], "ranks must run"),
        ([("u1", 1, "a", 1), ("u1", 1, "b", 1)], "ranks must run"),
        ([("u1", r, i, -r) for r, i in enumerate("abcd", 1)], "more than 3 recommendations"),
    ],
)
def test_an_invalid_list_is_an_error_that_names_user_and_item(judge, rows, message):
    with pytest.raises(EvaluationError, match=message):
        judge.hits(lists(*rows), 3)


def test_columns_are_checked(judge):
    with pytest.raises(EvaluationError, match="lack the column"):
        judge.hits(lists().drop(columns="rank"), 3)
    with pytest.raises(EvaluationError, match="rank of a recommendation must be a whole number"):
        judge.hits(lists(("u1", 1, "a", 1)).astype({"rank": float}), 3)
    with pytest.raises(EvaluationError, match="score of a recommendation must be a number"):
        judge.hits(lists(("u1", 1, "a", 1)).astype({"score": object}).assign(score="x"), 3)


def test_any_string_dtype_will_do(judge):
    answer = lists(("u1", 1, "a", 1.0))
    for dtype in (object, "string", "category"):
        typed = answer.astype({"user_id": dtype, "item_id": dtype})
        assert judge.hits(typed, 1).matrix[:, 0].tolist() == [True, False, False]


def test_scores_of_a_full_ranking():
    judge = Judge(["u1", "u2"], ["a", "b"], pairs(("u1", "a"), ("u2", "b")))
    answer = lists(("u1", 1, "b", 2.0), ("u1", 2, "a", -1.0), ("u2", 1, "b", 0.5))
    np.testing.assert_array_equal(judge.scores(answer), [[-1.0, 2.0], [np.nan, 0.5]])
    np.testing.assert_array_equal(judge.relevance(), [[True, False], [False, True]])


def test_scores_that_grow_down_the_list_are_distances():
    judge = Judge(["u1"], ["a", "b"], pairs(("u1", "a")))
    with pytest.raises(EvaluationError, match="'u1' rise after rank 1; is the score a distance"):
        judge.scores(lists(("u1", 1, "a", 0.1), ("u1", 2, "b", 0.9)))


def test_users_and_candidates_are_checked():
    with pytest.raises(EvaluationError, match="test user 'u2' has no relevant item"):
        Judge(["u1", "u2"], ["a"], pairs(("u1", "a"), ("u2", "elsewhere")))
    with pytest.raises(EvaluationError, match="user given twice: 'u1'"):
        Judge(["u1", "u1"], ["a"], pairs(("u1", "a")))
    with pytest.raises(EvaluationError, match="item given twice: 'a'"):
        Judge(["u1"], ["a", "a"], pairs(("u1", "a")))
