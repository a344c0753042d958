import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError
from evaluation.metrics.hits import HitEncoder
from tests.helpers.thorough import times


def lists(*rows):
    frame = pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])
    return frame.astype({"rank": "int64", "score": "float64"})


def pairs(*rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


@pytest.fixture
def encoder():
    return HitEncoder(
        ["u1", "u2", "u3"],
        ["a", "b", "c", "d"],
        pairs(("u1", "a"), ("u1", "a"), ("u1", "d"), ("u2", "b"), ("u3", "c"), ("other", "a")),
        pairs(("u2", "a"), ("u1", "elsewhere")),
    )


def test_hits_in_order_of_the_users_and_ranks_whatever_the_order_of_rows(encoder):
    answer = lists(
        ("u2", 2, "c", 1.0), ("u1", 1, "a", 9.0), ("u2", 1, "b", 2.0), ("u1", 2, "b", 8.0)
    )
    hits = encoder.hits(answer, 3)
    assert hits.matrix.tolist() == [[True, False, False], [True, False, False], [False] * 3]
    assert hits.n_relevant.tolist() == [2, 1, 1]
    assert hits.n_listed.tolist() == [2, 2, 0]


def test_an_empty_answer_is_all_misses(encoder):
    for empty in (lists(), pd.DataFrame(columns=["user_id", "rank", "item_id", "score"])):
        hits = encoder.hits(empty, 2)
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
def test_an_invalid_list_is_an_error_that_names_user_and_item(encoder, rows, message):
    with pytest.raises(EvaluationError, match=message):
        encoder.hits(lists(*rows), 3)


def test_columns_are_checked(encoder):
    with pytest.raises(EvaluationError, match="lack the column"):
        encoder.hits(lists().drop(columns="rank"), 3)
    with pytest.raises(EvaluationError, match="rank of a recommendation must be a whole number"):
        encoder.hits(lists(("u1", 1, "a", 1)).astype({"rank": float}), 3)
    with pytest.raises(EvaluationError, match="score of a recommendation must be a number"):
        encoder.hits(lists(("u1", 1, "a", 1)).astype({"score": object}).assign(score="x"), 3)


TEXT = (object, "str", "string", "string[python]", "category", pd.ArrowDtype(pa.string()))


@pytest.mark.parametrize("dtype", TEXT, ids=str)
def test_any_text_dtype_will_do(encoder, dtype):
    def typed(*rows):
        return lists(*rows).astype({"user_id": dtype, "item_id": dtype})

    answer = typed(("u1", 1, "a", 1.0), ("u1", 2, "c", 0.5), ("u3", 1, "b", 1.0))
    # In two parts, as concatenated answers are.
    answer = pd.concat([answer, typed(("u2", 1, "b", 1.0))], ignore_index=True)
    hits = encoder.hits(answer, 2)
    assert hits.items.tolist() == [[0, 2], [1, -1], [1, -1]]
    assert hits.matrix.tolist() == [[True, False], [True, False], [False, False]]
    assert not encoder.hits(typed(), 2).matrix.any()
    for user, item in ((None, "a"), ("u1", None)):
        with pytest.raises(EvaluationError, match=r"not asked for|not among the candidates"):
            encoder.hits(typed(("u1", 1, "a", 1.0), (user, 2, item, 0.5)), 2)


def test_missing_ids_in_columns_of_objects(encoder):
    for missing in (None, np.nan, pd.NA):
        answer = lists(("u1", 1, "a", 1.0), ("u1", 2, "c", 0.5)).astype({"user_id": object})
        answer["user_id"] = np.array(["u1", missing], dtype=object)
        with pytest.raises(EvaluationError, match="the user was not asked for"):
            encoder.hits(answer, 2)


def faults(rows, relevant, seen, users, items, k):
    """Whether a list has a fault, straight from the rules."""
    for user in {row[0] for row in rows}:
        own = [row for row in rows if row[0] == user]
        ranks, listed = sorted(row[1] for row in own), [row[2] for row in own]
        if user not in users or ranks != list(range(1, len(own) + 1)) or len(own) > k:
            return True
        if len(set(listed)) < len(listed) or not set(listed) <= set(items):
            return True
        if any((user, item) in seen for item in listed):
            return True
    return False


@pytest.mark.slow
@settings(max_examples=times(50, 150))
@given(st.data())
def test_a_list_is_judged_or_refused_by_the_rules(data):
    users, items, k = ["u", "v", "w"], list("abcde"), 3
    pair = st.tuples(st.sampled_from([*users, "x"]), st.sampled_from([*items, "z"]))
    relevant = {*data.draw(st.lists(pair, max_size=6)), *((user, "a") for user in users)}
    seen = set(data.draw(st.lists(pair, max_size=3)))
    rows = [
        (user, rank, item, 1.0 / rank)
        for user in data.draw(st.lists(st.sampled_from(users), unique=True))
        for rank, item in enumerate(
            data.draw(st.permutations(items))[: data.draw(st.integers(0, k))], 1
        )
    ]
    if rows and data.draw(st.booleans()):  # put something wrong, or not wrong after all
        at = data.draw(st.integers(0, len(rows) - 1))
        user, rank, item, score = rows[at]
        rows[at] = data.draw(
            st.sampled_from(
                [
                    (user, rank + 1, item, score),
                    (user, rank - 1, item, score),
                    (user, rank, data.draw(st.sampled_from([*items, "z"])), score),
                    (data.draw(st.sampled_from([*users, "x"])), rank, item, score),
                ]
            )
        )
    rows = data.draw(st.permutations(rows))
    encoder = HitEncoder(users, items, pairs(*relevant), pairs(*seen))
    dtype = data.draw(st.sampled_from(TEXT))
    answer = lists(*rows).astype({"user_id": dtype, "item_id": dtype})
    if faults(rows, relevant, seen, users, items, k):
        with pytest.raises(EvaluationError):
            encoder.hits(answer, k)
        return
    hits = encoder.hits(answer, k)
    expected = np.full((3, k), -1)
    for user, rank, item, _ in rows:
        expected[users.index(user), rank - 1] = items.index(item)
    assert hits.items.tolist() == expected.tolist()
    assert hits.n_listed.tolist() == (expected >= 0).sum(axis=1).tolist()
    assert hits.matrix.tolist() == [
        [place >= 0 and (user, items[place]) in relevant for place in row]
        for user, row in zip(users, expected, strict=True)
    ]


@pytest.mark.slow
def test_many_lists_are_judged_block_by_block():
    # More users and rows than one block of the tables holds.
    rng = np.random.default_rng(0)
    n_users, n_items, k = 12_000, 900, 12
    users, items = [f"u{n}" for n in range(n_users)], [f"i{n}" for n in range(n_items)]
    listed = rng.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1)[:, : k + 3]
    order = rng.permutation(n_users)  # users in another order than the encoder's
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.array(users)[order], k),
            "rank": np.tile(np.arange(1, k + 1), n_users),
            "item_id": np.array(items)[listed[order, :k].ravel()],
            "score": 1.0,
        }
    )
    relevant = listed[:, [2, 5, k]]
    truth = pd.DataFrame(
        {"user_id": np.repeat(users, 3), "item_id": np.array(items)[relevant.ravel()]}
    )
    seen = pd.DataFrame({"user_id": users, "item_id": np.array(items)[listed[:, k + 1]]})
    hits = HitEncoder(users, items, truth, seen).hits(frame, k)
    np.testing.assert_array_equal(hits.items, listed[:, :k])
    assert (hits.matrix == np.isin(np.arange(k), [2, 5])).all()
    assert (hits.n_listed == k).all()
    # One list in the middle has an item that its user has in training.
    seen.loc[7_000, "item_id"] = items[listed[7_000, 4]]
    with pytest.raises(EvaluationError, match=f"'u7000', item 'i{listed[7000, 4]}'.*training data"):
        HitEncoder(users, items, truth, seen).hits(frame, k)


def test_scores_of_a_full_ranking():
    encoder = HitEncoder(["u1", "u2"], ["a", "b"], pairs(("u1", "a"), ("u2", "b")))
    answer = lists(("u1", 1, "b", 2.0), ("u1", 2, "a", -1.0), ("u2", 1, "b", 0.5))
    np.testing.assert_array_equal(encoder.scores(answer), [[-1.0, 2.0], [np.nan, 0.5]])
    np.testing.assert_array_equal(encoder.relevance(), [[True, False], [False, True]])


def test_a_part_of_the_users_is_judged_as_with_the_others(encoder):
    answer = lists(("u2", 1, "b", 2.0), ("u3", 1, "d", 1.0), ("u2", 2, "c", 1.0))
    whole, part = encoder.hits(answer, 3), encoder.part(1, 3).hits(answer, 3)
    assert list(encoder.part(1, 3).users) == ["u2", "u3"]
    for name in ("matrix", "n_relevant", "n_listed", "items"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[1:])
    np.testing.assert_array_equal(encoder.part(1, 3).relevance(), encoder.relevance()[1:])
    with pytest.raises(EvaluationError, match="'u1', item 'b': the user was not asked for"):
        encoder.part(1, 3).hits(lists(("u1", 1, "b", 1.0)), 3)
    with pytest.raises(EvaluationError, match=r"'u2', item 'a': .*training data"):
        encoder.part(1, 2).hits(lists(("u2", 1, "a", 1.0)), 3)


def test_what_a_judge_knows_of_its_users_as_positions(encoder):
    assert [codes.tolist() for codes in encoder.relevant] == [[0, 0, 1, 2], [0, 3, 1, 2]]
    assert [codes.tolist() for codes in encoder.seen] == [[1], [0]]
    assert len(HitEncoder(["u1"], ["a"], pairs(("u1", "a"))).seen[0]) == 0


def test_scores_that_grow_down_the_list_are_distances():
    encoder = HitEncoder(["u1"], ["a", "b"], pairs(("u1", "a")))
    with pytest.raises(EvaluationError, match="'u1' rise after rank 1; is the score a distance"):
        encoder.scores(lists(("u1", 1, "a", 0.1), ("u1", 2, "b", 0.9)))


def test_users_and_candidates_are_checked():
    with pytest.raises(EvaluationError, match="test user 'u2' has no relevant item"):
        HitEncoder(["u1", "u2"], ["a"], pairs(("u1", "a"), ("u2", "elsewhere")))
    with pytest.raises(EvaluationError, match="user given twice: 'u1'"):
        HitEncoder(["u1", "u1"], ["a"], pairs(("u1", "a")))
    with pytest.raises(EvaluationError, match="item given twice: 'a'"):
        HitEncoder(["u1"], ["a", "a"], pairs(("u1", "a")))
    with pytest.raises(EvaluationError, match=r"every candidate item must be text: .*int"):
        HitEncoder(["u1"], ["a", 3], pairs(("u1", "a")))
