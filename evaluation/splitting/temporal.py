"""Splits by when something was played: nothing is predicted from what came later.

They need a time for every interaction. No luck is in them but where several of a user's items were
first played at the same moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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

Moment = str | pd.Timestamp | np.datetime64


def leave_last_split(
    dataset: MusicDataset, n: int = 1, seed: int = 0, *, name: str = "last"
) -> Split:
    """Hold out the last ``n`` items that each user came to.

    A user's items are in the order in which they were first played; one item always stays in
    training. Those first played at the same moment are ordered by ``seed``. What the user played
    again after the first of the items held out is on neither side, so that no training row of a
    user is later than any test row of theirs. So is an item held out that nobody has in training:
    it would be cold. Rows of weight 0 are no listening; they are never tested. Other users' rows
    may be later: for a split at one moment for all see :func:`time_split`.

    Raises InvalidArgumentError for n < 1, and :class:`~datasets.errors.EvaluationError` where
    interactions have no time or nothing can be held out.
    """
    check_whole("n", n, 1)
    plays = _Plays.of(dataset)
    pairs = plays.pairs
    luck = generator(seed).random(len(pairs))
    place = rank_within_group(pairs.user, pairs.n_users, plays.first_of_pair, luck)
    n_played = pairs.items_per_user(pairs.played)
    n_test = np.minimum(n, np.maximum(n_played - 1, 0))
    test = pairs.played & (place >= (n_played - n_test)[pairs.user])

    tested_from = np.full(pairs.n_users, NEVER, np.int64)
    np.minimum.at(tested_from, pairs.user[test], plays.first_of_pair[test])
    train = ~test[pairs.row_pairs] & (plays.times <= tested_from[pairs.user][pairs.row_pairs])
    known = pairs.users_per_item(pairs.mark_rows(np.flatnonzero(train & plays.heard))) > 0
    test_rows = plays.heard & (test & known[pairs.item])[pairs.row_pairs]
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
    at: Moment | None = None,
    name: str = "time",
) -> Split:
    """Train on what was played before a moment, and test what was played from it on.

    The moment is ``at`` (UTC, or ISO 8601 text with a zone), or else the time that comes closest
    to leaving ``fraction`` of the plays after it, by default 0.2. Items first played after it are
    the split's cold items: they are not in training and reach a model by ``onboard_many``. Tested
    are the users who have played something before, and their plays of items that they had not
    played before; what they play again is on neither side. Rows of weight 0 are no listening;
    they are never tested. An item is new by its own plays, even if its artist or its recording
    was known before.

    Raises InvalidArgumentError for a fraction or a moment that is none, and
    :class:`~datasets.errors.EvaluationError` where interactions have no time or a side is empty.
    """
    if fraction is not None and at is not None:
        raise InvalidArgumentError("a split by time is made by fraction or at a moment, not both")
    plays = _Plays.of(dataset)
    how: dict[str, Any] = {"kind": "everything from a moment on"}
    if at is not None:
        moment = _nanoseconds(at)
    else:
        how["fraction"] = 0.2 if fraction is None else fraction
        check_fraction(how["fraction"])
        moment = _moments(plays, how["fraction"], 1)[0]
    split = _window(plays, moment, NEVER, name, how)
    split.check(dataset, plays.pairs)
    return split


def time_windows(
    dataset: MusicDataset, windows: int = 4, *, fraction: float = 0.5, name: str = "time"
) -> list[Split]:
    """Several splits by time: each window is tested after training on all that came before it.

    The last ``fraction`` of the plays is divided into windows of as equal numbers of plays as the
    times allow. Each is a :func:`time_split` that ends with its window; items first played later
    are on neither side.

    Raises InvalidArgumentError for fewer than two windows or a fraction that is none, and
    :class:`~datasets.errors.EvaluationError` where interactions have no time or a window has
    nothing to test.
    """
    check_whole("windows", windows, 2)
    check_fraction(fraction)
    plays = _Plays.of(dataset)
    moments = [*_moments(plays, fraction, windows), NEVER]
    how = {"kind": "windows of time", "of": windows, "fraction": fraction}
    splits = [
        _window(plays, moments[at], moments[at + 1], f"{name} {at + 1}", how, name, at + 1)
        for at in range(windows)
    ]
    return check_folds(splits, dataset, plays.pairs)


@dataclass(frozen=True, eq=False)
class _Plays:
    pairs: UserItemPairs
    times: IntArray
    """[n_rows]"""
    heard: BoolArray
    """[n_rows]: whether the row's weight is above 0."""
    first_of_pair: IntArray
    first_of_item: IntArray

    @classmethod
    def of(cls, dataset: MusicDataset) -> "_Plays":
        times = play_times(dataset)
        pairs = UserItemPairs.from_dataset(dataset)
        weight = dataset.interactions[WEIGHT].to_numpy()
        return cls(pairs, times, weight > 0, *first_plays(pairs, times, weight))


def _window(
    plays: _Plays,
    start: int,
    end: int,
    name: str,
    how: Mapping[str, Any],
    group: str = "",
    fold: int | None = None,
) -> Split:
    """Training before ``start``, test from there to before ``end``."""
    pairs = plays.pairs
    ever = plays.first_of_item != NEVER
    cold = ever & (plays.first_of_item >= start) & (plays.first_of_item < end)
    later = ever & (plays.first_of_item >= end)
    new = (cold | later)[pairs.item][pairs.row_pairs]
    train = np.flatnonzero((plays.times < start) & ~new)
    known = pairs.items_per_user(pairs.mark_rows(train[plays.heard[train]])) > 0
    fresh = known[pairs.user] & ~pairs.mark_rows(train)
    test = plays.heard & (plays.times >= start) & (plays.times < end) & fresh[pairs.row_pairs]
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
        group=group,
        fold=fold,
        settings={**how, "at": moment},
    )


def _moments(plays: _Plays, fraction: float, windows: int) -> list[int]:
    """Times that divide the last ``fraction`` of the plays into ``windows`` parts, ascending."""
    times = np.sort(plays.times[plays.heard])
    distinct, first = np.unique(times, return_index=True)
    if len(distinct) <= windows:
        raise EvaluationError(
            f"the plays have {len(distinct)} different times, too few for {windows} parts to test"
        )
    wanted = len(times) * (1 - fraction * (1 - np.arange(windows) / windows))
    moments: list[int] = []
    lowest = 1  # something must be left before the first moment, and between any two
    for number, target in enumerate(wanted):
        highest = len(distinct) - (windows - number)
        after = int(np.searchsorted(first, target))
        near = [place for place in (after - 1, after) if place < len(first)]
        nearest = min(near, key=lambda place: abs(first[place] - target))
        place = min(max(nearest, lowest), highest)
        moments.append(int(distinct[place]))
        lowest = place + 1
    return moments


def _nanoseconds(at: Moment) -> int:
    try:
        return int(as_timestamps(pd.Series([at])).astype(np.int64)[0])
    except BadValueError as error:
        raise InvalidArgumentError(f"at: {error}") from None
