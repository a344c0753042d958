"""Splits by time: nothing is predicted from what came later.

They need a timestamp for every interaction. Nothing in them is random, except the order of items
that a user first played at the same moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, IntArray
from datasets.columns import WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.tables.times import as_timestamps
from datasets.tables.values import BadValueError
from evaluation.arguments import check_fraction, generator
from evaluation.splitting.interactions import (
    NEVER,
    UserItemPairs,
    first_plays,
    play_times,
    rank_within_group,
)
from evaluation.splitting.split import Split, check_folds


def leave_last_split(
    dataset: MusicDataset, n: int = 1, seed: int = 0, *, name: str = "last"
) -> Split:
    """Hold out the last ``n`` items of each user, by the time of their first play.

    One item of each user always stays in training. Whatever the user played after the first of the
    held-out items is on neither side, so that no training row of a user is later than a test row
    of the same user. A held-out item that nobody has in training is on neither side as well: it
    would be cold. Rows of weight 0 are never tested. Other users' training rows may be later: for
    one moment for everybody see ``time_split``.

    Args:
        dataset: the data set to split; every interaction needs a timestamp.
        n: number of items of each user to hold out.
        seed: orders the items that a user first played at the same moment.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``n`` < 1, or ``seed`` is not a whole number >= 0.
        EvaluationError: interactions without timestamps, or nothing can be held out.

    Examples:
        >>> plays = dataset.interactions.assign(
        ...     timestamp=pd.date_range("2024-01-01", periods=len(dataset.interactions), freq="h")
        ... )
        >>> split = leave_last_split(MusicDataset(items=dataset.items, interactions=plays), n=1)
        >>> len(split.test_rows)  # the last item of each of the 60 users
        60
    """
    check_whole("n", n, 1)
    plays = _Plays.from_dataset(dataset)
    pairs = plays.pairs
    tie_order = generator(seed).random(len(pairs))
    rank = rank_within_group(pairs.user, pairs.n_users, plays.first_of_pair, tie_order)
    n_played = pairs.items_per_user(pairs.played)
    n_test = np.minimum(n, np.maximum(n_played - 1, 0))
    test = pairs.played & (rank >= (n_played - n_test)[pairs.user])

    tested_from = np.full(pairs.n_users, NEVER, np.int64)
    np.minimum.at(tested_from, pairs.user[test], plays.first_of_pair[test])
    train = ~test[pairs.row_pairs] & (plays.times <= tested_from[pairs.user][pairs.row_pairs])
    known = pairs.users_per_item(pairs.mark_rows(np.flatnonzero(train & plays.counts))) > 0
    test_rows = plays.counts & (test & known[pairs.item])[pairs.row_pairs]
    if not test_rows.any():
        raise EvaluationError(
            "no interaction can be held out: no user has two items of which the last has others"
        )
    split = Split(
        name,
        "warm",
        np.flatnonzero(train),
        np.flatnonzero(test_rows),
        user_order=True,
        settings={"kind": "last items of each user", "n": n, "seed": seed},
    )
    split.check(dataset, pairs)
    return split


def time_split(
    dataset: MusicDataset,
    fraction: float | None = None,
    *,
    at: str | pd.Timestamp | np.datetime64 | None = None,
    name: str = "time",
) -> Split:
    """Train on what was played before a moment, and test what was played from it on.

    Items first played from the moment on are the split's cold items: they are not in training and
    reach a model by ``onboard_many``. Tested are users with plays before the moment, on their plays
    of items that are new to them; what they play again is on neither side. Rows of weight 0 are
    never tested. An item is new by its own plays, even if its artist or recording was known before.

    Args:
        dataset: the data set to split; every interaction needs a timestamp.
        fraction: share of the plays to leave after the moment, between 0 and 1, as nearly as the
            timestamps allow; by default 0.2. Not together with ``at``.
        at: the moment, in UTC or as ISO 8601 text with a time zone.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``fraction`` is not in (0, 1), ``at`` is no time, or both are given.
        EvaluationError: interactions without timestamps, or a side without rows.

    Examples:
        >>> plays = dataset.interactions.assign(
        ...     timestamp=pd.date_range("2024-01-01", periods=len(dataset.interactions), freq="h")
        ... )
        >>> dated = MusicDataset(items=dataset.items, interactions=plays)
        >>> split = time_split(dated, at="2024-01-19T20:00Z")  # 20 hours before the last play
        >>> len(split.train_rows)
        452
    """
    if fraction is not None and at is not None:
        raise InvalidArgumentError("a split by time is made by fraction or at a moment, not both")
    plays = _Plays.from_dataset(dataset)
    settings: dict[str, Any] = {"kind": "everything from a moment on"}
    if at is not None:
        moment = _nanoseconds(at)
    else:
        settings["fraction"] = 0.2 if fraction is None else fraction
        check_fraction(settings["fraction"])
        moment = _moments(plays, settings["fraction"], 1)[0]
    split = _window(plays, moment, NEVER, name, settings)
    split.check(dataset, plays.pairs)
    return split


def time_windows(
    dataset: MusicDataset, windows: int = 4, *, fraction: float = 0.5, name: str = "time"
) -> list[Split]:
    """Split by time several times: test each window after training on everything before it.

    The last ``fraction`` of the plays is divided into windows with as equal numbers of plays as the
    timestamps allow. Each split is a ``time_split`` that ends with its window; items first
    played later are on neither side.

    Args:
        dataset: the data set to split; every interaction needs a timestamp.
        windows: number of windows, at least 2.
        fraction: share of the plays, from the end, that the windows cover, between 0 and 1.
        name: common name of the splits, which are called "NAME 1", "NAME 2" and so on.

    Raises:
        InvalidArgumentError: ``windows`` < 2, or ``fraction`` is not in (0, 1).
        EvaluationError: interactions without timestamps, or a window has nothing to test.

    Examples:
        >>> plays = dataset.interactions.sample(frac=1, random_state=0)
        >>> plays["timestamp"] = pd.date_range("2024-01-01", periods=len(plays), freq="h")
        >>> dated = MusicDataset(items=dataset.items, interactions=plays)
        >>> [len(window.train_rows) for window in time_windows(dated, windows=2)]
        [231, 346]
    """
    check_whole("windows", windows, 2)
    check_fraction(fraction)
    plays = _Plays.from_dataset(dataset)
    moments = [*_moments(plays, fraction, windows), NEVER]
    settings = {"kind": "windows of time", "of": windows, "fraction": fraction}
    splits = []
    for number, (start, end) in enumerate(pairwise(moments), 1):
        window = _window(plays, start, end, f"{name} {number}", settings)
        splits.append(replace(window, group=name, fold=number))
    return check_folds(splits, dataset, plays.pairs)


@dataclass(frozen=True, eq=False)
class _Plays:
    """The interactions with their times."""

    pairs: UserItemPairs
    times: IntArray
    """[n_rows]: nanoseconds since 1970."""
    counts: BoolArray
    """[n_rows]: whether the row's weight is above 0."""
    first_of_pair: IntArray
    """[n_pairs]: time of the pair's first play, NEVER without one."""
    first_of_item: IntArray
    """[n_items]: time of the item's first play, NEVER without one."""

    @classmethod
    def from_dataset(cls, dataset: MusicDataset) -> "_Plays":
        times = play_times(dataset)
        pairs = UserItemPairs.from_dataset(dataset)
        weight = dataset.interactions[WEIGHT].to_numpy()
        return cls(pairs, times, weight > 0, *first_plays(pairs, times, weight))


def _window(plays: _Plays, start: int, end: int, name: str, settings: Mapping[str, Any]) -> Split:
    """Train on the plays before ``start``, and test those from there to before ``end``."""
    pairs = plays.pairs
    ever = plays.first_of_item != NEVER
    cold = ever & (plays.first_of_item >= start) & (plays.first_of_item < end)
    later = ever & (plays.first_of_item >= end)
    new = (cold | later)[pairs.item][pairs.row_pairs]
    train = np.flatnonzero((plays.times < start) & ~new)
    known = pairs.items_per_user(pairs.mark_rows(train[plays.counts[train]])) > 0
    fresh = known[pairs.user] & ~pairs.mark_rows(train)
    test = plays.counts & (plays.times >= start) & (plays.times < end) & fresh[pairs.row_pairs]
    moment = str(np.datetime64(start, "ns").astype("datetime64[s]"))
    if not len(train) or not test.any():
        problem = "is played before it" if not len(train) else "can be tested after it"
        raise EvaluationError(f"split {name!r} at {moment}: nothing {problem}")
    return Split(
        name,
        "time",
        train,
        np.flatnonzero(test),
        cold_items=tuple(pairs.item_ids[cold]),
        excluded_items=tuple(pairs.item_ids[later]),
        settings={**settings, "at": moment},
    )


def _moments(plays: _Plays, fraction: float, windows: int) -> list[int]:
    """Find the times that divide the last ``fraction`` of the plays into ``windows`` parts."""
    times = np.sort(plays.times[plays.counts])
    distinct, first = np.unique(times, return_index=True)
    if len(distinct) <= windows:
        raise EvaluationError(
            f"the plays have {len(distinct)} different times, too few for {windows} parts to test"
        )
    wanted = len(times) * (1 - fraction * (1 - np.arange(windows) / windows))
    moments: list[int] = []
    lowest = 1  # at least one time is left before the first moment and between any two
    for number, target in enumerate(wanted):
        highest = len(distinct) - (windows - number)
        after = int(np.searchsorted(first, target))
        near = [place for place in (after - 1, after) if place < len(first)]
        nearest = min(near, key=lambda place: abs(first[place] - target))
        place = min(max(nearest, lowest), highest)
        moments.append(int(distinct[place]))
        lowest = place + 1
    return moments


def _nanoseconds(at: str | pd.Timestamp | np.datetime64) -> int:
    try:
        return int(as_timestamps(pd.Series([at])).astype(np.int64)[0])
    except BadValueError as error:
        raise InvalidArgumentError(f"at: {error}") from None
