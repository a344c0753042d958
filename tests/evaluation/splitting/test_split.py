"""What a split gives to models, and every check of a split: what is changed, and the error."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from datasets.errors import EvaluationError
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.split import Split, check_folds
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from evaluation.splitting.warm import user_folds, warm_folds, warm_split
from tests.helpers.splits import bare

ITEMS = [f"i{n}" for n in range(8)]


@pytest.fixture(scope="module")
def dataset():
    """8 users with 5 of 8 items each; item i<n> was first played on day n, one pair a day."""
    plays = [(f"u{u}", ITEMS[(u + 3 * n) % 8]) for u in range(8) for n in range(5)]
    plays.sort(key=lambda play: play[1])
    return bare([(*play, 1, day) for day, play in enumerate(plays)])


def refused(split, dataset, match):
    with pytest.raises(EvaluationError, match=match):
        split.check(dataset)


def test_time(dataset):
    split = time_split(dataset, 0.3)
    split.check(dataset)
    assert split.cold_items
    refused(replace(split, cold_items=()), dataset, "that is not among its cold items")
    refused(
        replace(split, cold_items=(*split.cold_items, "i0")),
        dataset,
        "held-out item 'i0' has interactions in training",
    )
    refused(
        replace(split, excluded_items=("i0",)),
        dataset,
        "held-out item 'i0' has interactions in training",
    )
    late = replace(split, cold_items=(), train_rows=np.array([0, 1, 9]), test_rows=np.array([2, 3]))
    refused(late, dataset, r"has item 'i1' in training later than what is tested \(1 training")


def test_the_order_of_each_user(dataset):
    split = leave_last_split(dataset)
    split.check(dataset)
    assert split.user_order
    frame = dataset.interactions
    row = int(split.test_rows[0])
    user = frame["user_id"][row]
    own = split.train_rows[frame["user_id"].iloc[split.train_rows] == user]
    earlier = replace(
        split,
        train_rows=np.sort(np.append(split.train_rows[split.train_rows != own[0]], row)),
        test_rows=np.sort(np.append(split.test_rows[1:], own[0])),
    )
    refused(earlier, dataset, f"user '{user}' has item .* in training later than what is tested")
    replace(earlier, user_order=False).check(dataset)


def test_first_seen(dataset):
    split = cold_split(dataset, 0.3, by="first seen", among=ITEMS)
    assert split.cold_items == ("i6", "i7")
    rows = {item: np.flatnonzero(dataset.interactions["item_id"] == item) for item in ITEMS}
    newer = replace(
        split,
        cold_items=("i5",),
        excluded_items=("i6",),
        test_rows=rows["i5"],
        train_rows=np.concatenate([rows[item] for item in (*ITEMS[:5], "i7")]),
    )
    refused(newer, dataset, "the item 'i7' in training is as new as a cold one")
    replace(newer, by="item").check(dataset)


def test_semi_cold(dataset):
    split = semi_cold_split(dataset, 2, 0.3, among=ITEMS)
    split.check(dataset)
    thin = split.few_shot_items[0]
    items = dataset.interactions["item_id"]
    one = split.train_rows[items.iloc[split.train_rows] == thin][0]
    less = replace(split, train_rows=split.train_rows[split.train_rows != one])
    refused(less, dataset, f"thin item '{thin}' has 1 listeners in training, not 2")
    more = split.test_rows[items.iloc[split.test_rows] == thin][0]
    refused(
        replace(
            split,
            train_rows=np.sort(np.append(split.train_rows, more)),
            test_rows=split.test_rows[split.test_rows != more],
        ),
        dataset,
        f"thin item '{thin}' has 3 listeners",
    )
    refused(replace(split, keep=3), dataset, "has 2 listeners in training, not 3")
    refused(replace(split, few_shot_items=()), dataset, "no thin items")
    refused(replace(split, keep=0), dataset, "no thin items")
    full = split.train_rows[~items.iloc[split.train_rows].isin(split.few_shot_items)][0]
    refused(
        replace(
            split,
            train_rows=split.train_rows[split.train_rows != full],
            test_rows=np.sort(np.append(split.test_rows, full)),
        ),
        dataset,
        f"tests the item '{items[full]}' that is not among its thin items",
    )


def test_cold_users(dataset):
    split = cold_user_split(dataset, 0.3, given=2)
    split.check(dataset)
    one, two = split.test_rows[0], split.fold_in_rows[0]
    for side, row in (("test_rows", one), ("fold_in_rows", two)):
        moved = replace(
            split,
            train_rows=np.sort(np.append(split.train_rows, row)),
            **{side: np.setdiff1d(getattr(split, side), row)},
        )
        refused(moved, dataset, "the cold user .* has interactions in training")
    refused(
        replace(split, fold_in_rows=np.sort(np.append(split.fold_in_rows, one))),
        dataset,
        "in the given plays and in the test",
    )
    refused(
        replace(split, fold_in_rows=split.train_rows[:1]),
        dataset,
        "in training and in the given plays",
    )
    refused(replace(split, fold_in_rows=np.array([40])), dataset, "given rows that the 40")
    refused(replace(split, fold_in_rows=split.fold_in_rows.repeat(2)), dataset, "a given row twice")


def test_two_rows_of_a_pair_on_two_sides():
    dataset = bare([("u", "a"), ("u", "b"), ("u", "a")])
    split = Split("s", "warm", np.array([0, 1]), np.array([2]))
    refused(split, dataset, r"user 'u' has item 'a' in training and in the test \(1 pairs")


@pytest.mark.parametrize(
    ("stray", "problem"),
    [
        ({"cold_items": ("i0",)}, "holds out whole items"),
        ({"excluded_items": ("i0",)}, "holds out whole items"),
        ({"few_shot_items": ("i0",)}, "has thin items"),
        ({"keep": 1}, "has thin items"),
        ({"fold_in_rows": np.array([0])}, "has given rows"),
    ],
)
def test_what_belongs_to_another_kind_is_refused(dataset, stray, problem):
    refused(replace(warm_split(dataset), **stray), dataset, f"is warm and yet {problem}")


def test_the_order_of_users_belongs_to_warm_splits(dataset):
    cold = cold_split(dataset, among=ITEMS)
    refused(replace(cold, user_order=True), dataset, "is cold and yet is in each user's order")


def test_folds(dataset):
    for folds in (
        warm_folds(dataset, 3),
        user_folds(dataset, 3),
        cold_folds(dataset, 3, among=ITEMS),
        time_windows(dataset, 3),
    ):
        assert check_folds(folds, dataset) == folds
        with pytest.raises(EvaluationError, match="as another fold did"):
            check_folds([*folds, folds[0]], dataset)
        leaking = replace(folds[1], train_rows=np.arange(len(dataset.interactions)))
        with pytest.raises(EvaluationError, match="leaks"):
            check_folds([folds[0], leaking], dataset)
        refused(replace(folds[0], group=""), dataset, "is fold 1 of no group")


def test_onboarding_has_the_items_and_recordings_and_nobody_s_plays(catalogue):
    split = cold_split(catalogue, 0.3)
    new = split.onboarding(catalogue)
    assert tuple(new.items["item_id"]) == split.cold_items
    assert set(new.audio["item_id"]) == set(split.cold_items)
    assert len(new.interactions) == 0


def test_a_leaking_split_raises(catalogue):
    n = len(catalogue.interactions)
    rows = np.arange(n)
    cold = cold_split(catalogue, 0.3, seed=1)
    by_item = dataclasses.replace(cold, cold_items=("a1",), excluded_items=(), by="item")
    a1 = np.flatnonzero(catalogue.interactions["item_id"] == "a1")
    other = np.setdiff1d(rows, a1)
    leaks = {
        "has item 'a1' in training and in the test": Split("s", "warm", rows, a1),
        "no test rows": Split("s", "warm", rows, rows[:0]),
        "do not have": Split("s", "warm", rows[:3], np.array([n])),
        "row twice": Split("s", "warm", np.array([0, 0]), np.array([1])),
        "is warm and yet": Split("s", "warm", other, a1, cold_items=("a1",)),
        "held-out item 'b1' has interactions in training": dataclasses.replace(
            by_item, train_rows=other, test_rows=a1, excluded_items=("b1",)
        ),
        "not among its cold items": dataclasses.replace(
            by_item, train_rows=other[1:], test_rows=np.append(a1, other[0])
        ),
        "the artist 'a' is on both sides": dataclasses.replace(
            by_item, train_rows=other, test_rows=a1, by="artist"
        ),
    }
    for message, split in leaks.items():
        with pytest.raises(EvaluationError, match=message):
            split.check(catalogue)
    dataclasses.replace(by_item, train_rows=other, test_rows=a1).check(catalogue)


def test_a_shared_recording_is_a_leak(make_dataset):
    plays = [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b")]
    dataset = make_dataset(plays, audio=[("a", "one.wav"), ("b", "one.wav")])
    split = Split("s", "cold", np.array([1, 3]), np.array([0, 2]), cold_items=("a",))
    with pytest.raises(EvaluationError, match=r"recording 'one\.wav' is on both sides"):
        split.check(dataset)
