import numpy as np
import pandas as pd
import pytest

from datasets.columns import TIMESTAMP
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_split
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from tests.helpers.splits import bare, pairs_of, sides

# (user, item, weight, day)
HISTORY = [
    ("u1", "a", 1, 1),
    ("u1", "b", 1, 2),
    ("u2", "a", 1, 3),
    ("u2", "c", 1, 4),
    ("u1", "a", 1, 5),  # played again
    ("u1", "c", 1, 6),
    ("u2", "d", 1, 7),  # nobody has played d before
    ("u3", "d", 1, 7),  # nobody knows u3 from before
    ("u1", "d", 0, 8),  # no listening
    ("u2", "b", 0, 9),
]


def test_time_by_hand():
    dataset = bare(HISTORY, items=["never"])
    for split in (time_split(dataset, at="2020-01-06"), time_split(dataset, 0.5)):
        assert sides(split) == ([0, 1, 2, 3], [5, 6])
        assert (split.kind, split.cold_items, split.excluded_items) == ("time", ("d",), ())
        assert split.settings["at"] == "2020-01-06T00:00:00"
        assert split.training(dataset).items["item_id"].tolist() == ["a", "b", "c", "never"]
        assert split.onboarding(dataset).items["item_id"].tolist() == ["d"]


def test_a_moment_may_be_in_another_zone_and_belongs_to_the_test():
    dataset = bare(HISTORY)
    for at in ("2020-01-06T01:00:00+01:00", pd.Timestamp("2020-01-06"), "2020-01-05T00:00:01"):
        assert sides(time_split(dataset, at=at)) == ([0, 1, 2, 3], [5, 6])


def test_plays_of_one_moment_are_not_torn_apart():
    # Half of six plays lies within day 2: the nearest border is at its end, with four before.
    days = [1, 2, 2, 2, 3, 3]
    plays = [(f"u{n % 2}", f"i{n}", 1, day) for n, day in enumerate(days)]
    assert sides(time_split(bare(plays), 0.5)) == ([0, 1, 2, 3], [4, 5])
    assert sides(time_split(bare(plays), 0.8)) == ([0], [2, 4])  # who is u1?


def test_an_item_that_had_only_weight_zero_before_is_cold():
    dataset = bare([("u", "a", 1, 1), ("u", "b", 0, 1), ("u", "b", 2, 5), ("u", "a", 0, 2)])
    split = time_split(dataset, at="2020-01-04")
    assert sides(split) == ([0, 3], [2])
    assert split.cold_items == ("b",)


def test_windows_by_hand():
    dataset = bare(HISTORY)
    first, second = time_windows(dataset, 2, fraction=0.5)
    # Four of eight plays are in the windows: days 5 and 6, and day 7.
    assert sides(first) == ([0, 1, 2, 3], [5])
    assert (first.cold_items, first.excluded_items) == ((), ("d",))
    assert sides(second) == ([0, 1, 2, 3, 4, 5], [6])
    assert (second.cold_items, second.excluded_items) == (("d",), ())
    assert [(s.name, s.group, s.fold) for s in (first, second)] == [
        ("time 1", "time", 1),
        ("time 2", "time", 2),
    ]


def test_windows_hold_equal_numbers_of_plays():
    plays = [(f"u{n % 3}", f"i{n}", 1, n) for n in range(100)]
    splits = time_windows(bare(plays), 5, fraction=0.5)
    assert [len(split.test_rows) for split in splits] == [10] * 5
    assert [len(split.train_rows) for split in splits] == [50, 60, 70, 80, 90]


def test_last_by_hand():
    dataset = bare(
        [
            ("u1", "c", 1, 9),  # last: tested
            ("u1", "a", 1, 1),
            ("u1", "b", 1, 2),
            ("u1", "a", 1, 10),  # again, after what is tested: neither
            ("u1", "d", 0, 11),  # no listening, and after: neither
            ("u2", "a", 1, 20),  # the only item: stays
            ("u3", "b", 1, 3),
            ("u3", "own", 1, 4),  # last, but nobody else has it: neither
            ("u4", "c", 1, 7),
            ("u4", "b", 1, 8),  # last
        ]
    )
    split = leave_last_split(dataset)
    assert sides(split) == ([1, 2, 5, 6, 8], [0, 9])
    assert (split.kind, split.cold_items) == ("warm", ())
    split = leave_last_split(dataset, 2)
    assert sides(split) == ([1, 5, 6, 8], [0, 2, 9])


def test_last_leaves_every_user_one_item():
    # Everybody starts with another item, so that all are known to somebody.
    orders = {"u1": "abc", "u2": "bca", "u3": "cab"}
    plays = [(u, i, 1, day) for u, order in orders.items() for day, i in enumerate(order)]
    dataset = bare(plays)
    split = leave_last_split(dataset, 100)
    assert pairs_of(dataset, split.train_rows) == {("u1", "a"), ("u2", "b"), ("u3", "c")}
    assert len(split.test_rows) == 6


def test_last_draws_among_items_of_one_moment():
    plays = [(f"u{u}", f"i{i}", 1, 1) for u in range(10) for i in range(10)]
    dataset, reverse = bare(plays), bare(plays[::-1])
    held_out = pairs_of(dataset, leave_last_split(dataset, seed=1).test_rows)
    assert len(held_out) == 10
    assert held_out == pairs_of(reverse, leave_last_split(reverse, seed=1).test_rows)
    assert held_out != pairs_of(dataset, leave_last_split(dataset, seed=2).test_rows)


def test_first_seen_takes_the_newest_items():
    plays = [("u", f"i{n}", 1, n) for n in range(10)] + [("v", "i3", 1, 50), ("v", "old", 1, -1)]
    dataset = bare(plays)
    among = [f"i{n}" for n in range(10)]
    split = cold_split(dataset, 0.2, by="first seen", among=among)
    assert split.cold_items == ("i8", "i9")
    assert split.excluded_items == ()
    assert 10 in split.train_rows  # what is not new keeps its later plays
    split = cold_split(dataset, 0.3, by="first seen", among=[*among[:8], "i9"])
    assert (split.cold_items, split.excluded_items) == (("i6", "i7", "i9"), ("i8",))
    # Items of one day stay together.
    together = bare([("u", f"i{n}", 1, n // 4) for n in range(12)])
    split = cold_split(together, 0.2, by="first seen", among=together.items["item_id"])
    assert split.cold_items == ("i10", "i11", "i8", "i9")
    one_day = bare([("u", "a", 1, 1), ("u", "b", 1, 1)])
    with pytest.raises(EvaluationError, match=r"two times at which .* first played; there are 1"):
        cold_split(one_day, by="first seen", among=["a", "b"])


BY_TIME = [
    time_split,
    time_windows,
    leave_last_split,
    lambda dataset: cold_split(dataset, by="first seen", among=["a", "b"]),
]


@pytest.mark.parametrize("make", BY_TIME)
def test_times_are_needed(make):
    with pytest.raises(EvaluationError, match="needs the column 'timestamp'"):
        make(bare([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")]))


@pytest.mark.parametrize("make", BY_TIME)
def test_every_row_needs_a_time(make):
    dataset = bare(HISTORY)
    gaps = dataset.interactions.assign(
        **{TIMESTAMP: dataset.interactions[TIMESTAMP].where(np.arange(10) % 4 > 0)}
    )
    dataset = MusicDataset.from_checked(dataset.items, dataset.audio, gaps, None)
    with pytest.raises(EvaluationError, match="3 of 10 interactions have no timestamp"):
        make(dataset)


def test_arguments_are_checked():
    dataset = bare(HISTORY)
    for match, wrong in {
        "not both": lambda: time_split(dataset, 0.5, at="2020-01-06"),
        "at: 'soon' is not a time": lambda: time_split(dataset, at="soon"),
        "fraction must": lambda: time_split(dataset, 1.0),
        "windows must be a whole number of at least 2": lambda: time_windows(dataset, 1),
        "fraction": lambda: time_windows(dataset, 2, fraction=0),
        "n must be a whole number of at least 1": lambda: leave_last_split(dataset, 0),
    }.items():
        with pytest.raises(InvalidArgumentError, match=match):
            wrong()


def test_an_empty_side_is_said_to_be_empty():
    dataset = bare(HISTORY)
    for match, make in {
        "2020-01-01.*nothing is played before": lambda: time_split(dataset, at="2020-01-01"),
        "2030-01-01.*nothing can be tested": lambda: time_split(dataset, at="2030-01-01"),
        "7 different times, too few for 7": lambda: time_windows(dataset, 7),
        "no interaction can be held out": lambda: leave_last_split(bare([("u", "a", 1, 1)])),
    }.items():
        with pytest.raises(EvaluationError, match=match):
            make()
