"""Warm splits, folds over interactions and folds over users."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.warm import user_folds, warm_folds, warm_split
from tests.helpers.splits import DRAWN_PLAYS, bare, drawn_dataset, pairs_of, random_plays, users_of
from tests.helpers.thorough import times


@pytest.mark.parametrize(
    ("n_items", "fraction", "n_test"),
    [(1, 0.2, 0), (2, 0.2, 1), (5, 0.2, 1), (7, 0.2, 1), (8, 0.2, 2), (10, 0.25, 3), (2, 0.9, 1)],
)
def test_warm_holds_out_a_rounded_share_of_each_user(make_dataset, n_items, fraction, n_test):
    # "fan" plays everything, so no item can lose its last training interaction.
    plays = [("u", f"i{n}") for n in range(n_items)]
    fans = [(f"fan{m}", f"i{n}") for n in range(n_items) for m in range(30)]
    dataset = make_dataset([*plays, *fans, ("fan0", "z"), ("fan1", "z"), ("fan2", "z")])
    split = warm_split(dataset, fraction)
    assert sum(user == "u" for user, _ in pairs_of(dataset, split.test_rows)) == n_test


def test_warm_keeps_all_rows_of_a_pair_on_one_side(make_dataset):
    plays = [(f"u{u}", f"i{i}", 1.0 + n) for n in range(3) for u in range(6) for i in range(6)]
    split = warm_split(make_dataset(plays), 0.5)
    in_test = np.zeros(len(plays), dtype=bool)
    in_test[split.test_rows] = True
    assert (in_test.reshape(3, 36) == in_test[:36]).all()
    assert 0 < in_test.sum() < len(plays)


def test_warm_never_takes_the_last_training_interaction_of_an_item(make_dataset):
    # Each user has two items: a common one, and one that nobody else plays.
    plays = [(f"u{u}", item) for u in range(20) for item in ("common", f"own-{u}")]
    dataset = make_dataset(plays)
    split = warm_split(dataset, 0.5)
    assert {item for _, item in pairs_of(dataset, split.test_rows)} == {"common"}


def test_warm_keeps_plays_of_weight_zero_in_training(make_dataset):
    plays = [(f"u{u}", f"i{i}", float(i > 2)) for u in range(10) for i in range(6)]
    dataset = make_dataset(plays)
    split = warm_split(dataset, 0.9)
    assert {item for _, item in pairs_of(dataset, split.test_rows)} <= {"i3", "i4", "i5"}
    assert len(split.train_rows) + len(split.test_rows) == len(plays)


def test_warm_depends_on_the_seed_and_not_on_the_order_of_rows(make_dataset):
    plays = [(f"u{u}", f"i{(u * 7 + i * 3) % 20}") for u in range(12) for i in range(8)]
    dataset, reverse = make_dataset(plays), make_dataset(plays[::-1])
    held_out = pairs_of(dataset, warm_split(dataset, seed=1).test_rows)
    assert held_out == pairs_of(reverse, warm_split(reverse, seed=1).test_rows)
    assert held_out != pairs_of(dataset, warm_split(dataset, seed=2).test_rows)


def test_warm_says_when_nothing_can_be_held_out(make_dataset):
    with pytest.raises(EvaluationError, match="no interaction can be held out"):
        warm_split(make_dataset([("u1", "a"), ("u2", "b")]))


@pytest.mark.slow
@settings(max_examples=times(20, 60))
@given(DRAWN_PLAYS, st.floats(0.05, 0.95), st.integers(0, 5))
def test_warm_invariants(plays, fraction, seed):
    dataset = drawn_dataset(plays)
    try:
        split = warm_split(dataset, fraction, seed)
    except EvaluationError:
        return
    assert sorted([*split.train_rows, *split.test_rows]) == list(range(len(plays)))
    assert not pairs_of(dataset, split.train_rows) & pairs_of(dataset, split.test_rows)
    train, test = (dataset.interactions.iloc[r] for r in (split.train_rows, split.test_rows))
    assert set(test["item_id"]) <= set(train["item_id"][train["weight"] > 0])
    assert set(test["user_id"]) <= set(train["user_id"][train["weight"] > 0])


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_test_each_pair_once_at_most_and_leave_nobody_without(folds):
    rng = np.random.default_rng(1)
    plays = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, 12, 150)],
            "item_id": [f"i{n}" for n in rng.integers(0, 20, 150)],
            "weight": 1.0,
        }
    )
    names = ("title", "artist", "album", "genre")
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(20)]} | dict.fromkeys(names, ""))
    data = MusicDataset(items=items, interactions=plays)
    splits = warm_folds(data, folds, seed=3)
    again = warm_folds(data, folds, seed=3)
    pairs = data.interactions["user_id"] + " " + data.interactions["item_id"]
    tested = []
    for split, same in zip(splits, again, strict=True):
        np.testing.assert_array_equal(split.test_rows, same.test_rows)
        assert len(split.train_rows) + len(split.test_rows) == len(data.interactions)
        train, test = (
            data.interactions.iloc[split.train_rows],
            data.interactions.iloc[split.test_rows],
        )
        assert set(test["user_id"]) <= set(train["user_id"])
        assert set(test["item_id"]) <= set(train["item_id"])
        tested.append(set(pairs.iloc[split.test_rows]))
    assert sum(map(len, tested)) == len(set.union(*tested)) > 0.9 * pairs.nunique()
    with pytest.raises(InvalidArgumentError, match="at least 2"):
        warm_folds(data, 1)


def test_every_user_is_in_one_fold_and_tested_by_a_share():
    dataset = bare(random_plays())
    folds = user_folds(dataset, 4, seed=1, fraction=0.5)
    everybody = set(dataset.interactions["user_id"])
    tested = [users_of(dataset, fold.test_rows) for fold in folds]
    assert [len(users) for users in tested] == [5] * 4
    assert set.union(*tested) == everybody
    for number, fold in enumerate(folds, 1):
        assert (fold.kind, fold.group, fold.fold) == ("warm", "users", number)
        assert users_of(dataset, fold.train_rows) == everybody
        assert len(fold.test_rows) == 5 * 3
        assert len(fold.train_rows) + len(fold.test_rows) == len(dataset.interactions)
    again = user_folds(dataset, 4, seed=1, fraction=0.5)
    assert users_of(dataset, again[2].test_rows) == tested[2]
    assert users_of(dataset, user_folds(dataset, 4, seed=2)[2].test_rows) != tested[2]
