"""The first places of lists are those that ordering everything would give."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.models.top_k import (
    RandomOrder,
    RankedLists,
    SharedOrder,
    random_keys,
    top_k_per_row,
    user_seeds,
)
from tests.helpers.thorough import times

FEW_VALUES = st.sampled_from([-np.inf, np.nan, -1.0, 0.0, 0.5, 2.0])


def by_full_sort(scores: np.ndarray, k: int) -> list[tuple[int, int]]:
    """Every row in full, equal scores by column; NaN and -inf are left out."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [
        (row, int(column))
        for row, columns in enumerate(order)
        for column in columns
        if scores[row, column] > -np.inf
    ]


@pytest.mark.slow
@settings(max_examples=times(50, 150))
@given(st.integers(0, 5), st.integers(0, 9), st.integers(1, 12), st.booleans(), st.data())
def test_the_best_of_rows_are_those_of_a_full_sort(n_rows, n_columns, k, single, data):
    values = data.draw(st.lists(FEW_VALUES, min_size=45, max_size=45))
    scores = np.array(values[: n_rows * n_columns]).reshape(n_rows, n_columns)
    scores = scores.astype(np.float32 if single else np.float64)
    row, column = top_k_per_row(scores, k)
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == by_full_sort(scores, k)


def of_user(lists: RankedLists, user: int) -> list[int]:
    return lists.item[lists.user == user].tolist()


@settings(max_examples=times(20, 60))
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 40), st.booleans())
def test_one_order_for_everybody_is_a_full_sort_by_value_and_luck(seed, n_items, k, only_some):
    rng = np.random.default_rng(seed)
    value = rng.choice([0.0, 0.25, 3.0, 7.0, np.nan], n_items)
    taken = rng.random((6, n_items)) < rng.choice([0.1, 0.9])
    allowed = np.flatnonzero(rng.random(n_items) < 0.6) if only_some else np.arange(n_items)
    keys = user_seeds("abcdef", seed, 0)
    found = SharedOrder(value, allowed).lists(keys, taken, k)
    chances = random_keys(keys, np.arange(n_items))
    for user in range(6):
        free = [i for i in allowed if not taken[user, i] and not np.isnan(value[i])]
        free.sort(key=lambda item: (-value[item], -chances[user, item]))
        assert of_user(found, user) == free[:k]
        assert found.score[found.user == user].tolist() == value[free[:k]].tolist()
    assert (np.diff(found.user) >= 0).all()
    assert of_user(found._replace(item=found.rank()), 3) == [*range(1, len(of_user(found, 3)) + 1)]


@settings(max_examples=times(15, 40))
@given(st.integers(0, 2**32), st.sampled_from([1, 7, 300, 700]), st.floats(0, 0.99), st.data())
def test_a_short_list_is_the_beginning_of_the_whole_order(seed, n_items, share, data):
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, n_items))
    allowed = np.flatnonzero(rng.random(n_items) < rng.choice([0.05, 0.5, 1]))
    barred = np.isin(np.arange(n_items), allowed, invert=True)
    taken = barred | (rng.random((4, n_items)) < share)
    keys = user_seeds("abcd", seed, 1)
    everything = np.zeros((4, n_items), dtype=bool)
    whole = RandomOrder(n_items, np.arange(n_items)).lists(keys, everything, n_items)
    short = RandomOrder(n_items, allowed).lists(keys, taken.copy(), k)
    alone = RandomOrder(n_items, allowed).lists(keys[2:3], taken[2:3].copy(), k)
    for user in range(4):
        order = of_user(whole, user)
        assert sorted(order) == list(range(n_items))
        score = whole.score[whole.user == user]
        assert (np.diff(score) < 0).all()
        assert 0 <= score[-1] <= score[0] <= 1
        assert of_user(short, user) == [item for item in order if not taken[user, item]][:k]
    assert of_user(alone, 0) == of_user(short, 2)


def test_every_order_is_equally_likely() -> None:
    n_users = 24_000
    keys = user_seeds((f"user {n}" for n in range(n_users)), 0, 1)
    whole = RandomOrder(4, np.arange(4)).lists(keys, np.zeros((n_users, 4), dtype=bool), 4)
    orders = whole.item.reshape(n_users, 4) @ [64, 16, 4, 1]
    counts = [int((orders == np.dot(p, [64, 16, 4, 1])).sum()) for p in permutations(range(4))]
    # Chi-square of 23 degrees of freedom: above 49.7 once in a thousand.
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 49.7


@pytest.mark.slow
def test_every_item_is_as_likely_at_any_place() -> None:
    n_users, n_items = 4000, 400  # more items than are drawn one by one
    keys = user_seeds((f"u{n}" for n in range(n_users)), 3, 1)
    taken = np.zeros((n_users, n_items), dtype=bool)
    whole = RandomOrder(n_items, np.arange(n_items)).lists(keys, taken, n_items)
    for place in (0, 1, 100, 250, 260, 399):
        at = whole.item.reshape(n_users, n_items)[:, place]
        counts = np.bincount(at, minlength=n_items)
        # Chi-square of 399 degrees of freedom: below 315 or above 493 once in a thousand each.
        assert 315 < ((counts - 10) ** 2 / 10).sum() < 493


def test_luck_is_even_and_the_same_for_nobody_else() -> None:
    keys = user_seeds((f"u{n}" for n in range(500)), 0, 0)
    found = random_keys(keys, np.arange(300))
    assert found.min() >= 0
    assert found.max() < 1
    counts, _ = np.histogram(found, 50, (0, 1))
    assert ((counts - 3000) ** 2 / 3000).sum() < 85.4  # 49 degrees of freedom, once in a thousand
    between_users = np.corrcoef(found[:100])[~np.eye(100, dtype=bool)]
    between_items = np.corrcoef(found[:, :100].T)[~np.eye(100, dtype=bool)]
    assert abs(between_users).max() < 5 / np.sqrt(300)
    assert abs(between_items).max() < 5 / np.sqrt(500)
    assert random_keys(keys[7:8], np.array([5, 2])).tolist() == [[found[7, 5], found[7, 2]]]
    others = [user_seeds(["u7"], seed, stream)[0] for seed, stream in ((0, 1), (1, 0), (0, 0))]
    assert len({*others, keys[8]}) == 4
    assert others[2] == keys[7]
