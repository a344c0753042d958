"""Training rows and test rows of a data set, and checks that nothing leaks between them.

A ``Split`` holds positions in ``dataset.interactions``, so any model of any library can be
given exactly the same two sides. ``Split.check`` verifies these positions: it runs when a split
is made and again before it is used. ``check_no_leak`` verifies the tables that models are given
in the end; it repeats part of the checks on purpose, so that a mistake in ``Split.training`` or
in the data set that it returns cannot leak either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, IntArray
from datasets.columns import ARTIST, ITEM_ID, PATH, TIMESTAMP, USER_ID, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset, check_dataset
from datasets.tables.ids import checked_ids
from datasets.tables.values import format_value
from evaluation.splitting.interactions import (
    NEVER,
    UserItemPairs,
    first_plays,
    play_times,
    played_pairs,
)


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Training rows and test rows of one data set.

    What is tested depends on ``kind``:

    - "warm": interactions of known users with known items.
    - "cold": whole items; none of their interactions, texts or recordings is in training.
    - "semi-cold": items that keep only a few (``keep``) users in training.
    - "time": interactions from a moment on; items first played then are cold.
    - "mixed": the same share of the interactions of known and of new items.
    - "cold users": users without any training interaction.

    Examples:
        >>> split.kind, len(split.train_rows), len(split.test_rows)
        ('warm', 359, 103)
        >>> len(split.training(dataset).interactions)
        359
    """

    name: str
    kind: Literal["warm", "cold", "semi-cold", "time", "mixed", "cold users"]
    train_rows: IntArray
    """Training rows: positions in ``dataset.interactions``, ascending."""
    test_rows: IntArray
    """Test rows: positions in ``dataset.interactions``, ascending."""
    cold_items: tuple[str, ...] = ()
    """Cold, time and mixed: ids of the new items, which models get by ``onboard_many`` after
    ``fit``."""
    excluded_items: tuple[str, ...] = ()
    """Cold, time and mixed: ids of items on neither side, as they share an artist or a recording
    with a cold item, or are new too but not tested."""
    by: Literal["artist", "item", "first seen"] = "item"
    """Cold and mixed: what was drawn: whole artists, single items, or everything new from a day
    on."""
    few_shot_items: tuple[str, ...] = ()
    """Semi-cold: ids of the items under test, which keep ``keep`` users each in training."""
    keep: int = 0
    """Semi-cold: number of training users that each few-shot item keeps."""
    fold_in_rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    """Cold users: positions of the interactions shown to models after ``fit``, ascending."""
    user_order: bool = False
    """Warm: whether each user's training rows are no later than any of the user's test rows."""
    group: str = ""
    """Name shared by the folds of one experiment; "" for a single split."""
    fold: int | None = None
    """Number of the fold within its group, from 1."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the split was made, for the report."""

    def __repr__(self) -> str:
        sides = f"{len(self.train_rows):,} training rows, {len(self.test_rows):,} test rows"
        new = f", {len(self.cold_items):,} cold items" if self.cold_items else ""
        return f"<Split {format_value(self.name)} ({self.kind}): {sides}{new}>"

    def __post_init__(self) -> None:
        """Read ids as a data set does, and rows as positions.

        Raises:
            InvalidArgumentError: something that is no id, or rows that are no positions.
        """
        for name in ("cold_items", "excluded_items", "few_shot_items"):
            object.__setattr__(self, name, tuple(checked_ids(name, getattr(self, name))))
        for name in ("train_rows", "test_rows", "fold_in_rows"):
            rows = np.asarray(getattr(self, name))
            if rows.size == 0:
                rows = rows.astype(np.int64)
            if rows.ndim != 1 or rows.dtype.kind not in "iu":
                raise InvalidArgumentError(
                    f"{name} must be a one-dimensional array of positions, not of {rows.dtype}"
                )
            object.__setattr__(self, name, rows)

    def training(self, dataset: MusicDataset) -> MusicDataset:
        """Return the training side of ``dataset``.

        It has the training rows, and neither texts nor recordings of cold and excluded items.
        """
        train = dataset.take_interactions(self.train_rows)
        held_out = (*self.cold_items, *self.excluded_items)
        return train.drop_items(held_out) if held_out else train

    def onboarding(self, dataset: MusicDataset) -> MusicDataset:
        """Return the cold items with their texts and recordings, and no interactions."""
        return dataset.take_interactions(np.empty(0, np.int64)).take_items(self.cold_items)

    def check(self, dataset: MusicDataset, pairs: UserItemPairs | None = None) -> None:
        """Check that nothing is on both sides, by the rules of the split's kind.

        Args:
            dataset: the data set that the split was made from.
            pairs: its pairs, if already computed.

        Raises:
            EvaluationError: a leak, an empty side, rows that do not exist or come twice, or fields
                that belong to another kind of split.
        """
        check_dataset(dataset)
        n_rows = len(dataset.interactions)
        for side, rows in (("training", self.train_rows), ("test", self.test_rows)):
            if len(rows) == 0:
                raise self._error(f"has no {side} rows")
            self._check_rows(side, rows, n_rows)
        self._check_rows("given", self.fold_in_rows, n_rows)
        self._check_fields()
        pairs = UserItemPairs.from_dataset(dataset) if pairs is None else pairs
        self._check_pairs(pairs)
        match self.kind:
            case "cold":
                self._check_held_out(pairs)
                self._check_texts_and_recordings(dataset)
                if self.by == "first seen":
                    self._check_first_seen(dataset, pairs)
            case "time":
                self._check_held_out(pairs)
                self._check_moment(dataset)
            case "mixed":
                self._check_held_out(pairs)
                self._check_texts_and_recordings(dataset)
            case "semi-cold":
                self._check_few_shot(pairs)
            case "cold users":
                self._check_users(pairs)
            case "warm":
                if self.user_order:
                    self._check_user_order(dataset, pairs)

    def _error(self, problem: str) -> EvaluationError:
        return EvaluationError(f"split {self.name!r} {problem}")

    def _check_rows(self, side: str, rows: IntArray, n_rows: int) -> None:
        if len(rows) and (rows.min() < 0 or rows.max() >= n_rows):
            raise self._error(f"has {side} rows that the {n_rows} interactions do not have")
        if np.bincount(rows).max(initial=0) > 1:
            raise self._error(f"has a {side} row twice")

    def _check_fields(self) -> None:
        """Refuse fields of another kind of split: nothing would check them."""
        stray = {
            "holds out whole items": (
                self.cold_items or self.excluded_items,
                ("cold", "time", "mixed"),
            ),
            "has thin items": (self.few_shot_items or self.keep, ("semi-cold",)),
            "has given rows": (len(self.fold_in_rows), ("cold users",)),
            "is in each user's order": (self.user_order, ("warm",)),
        }
        for problem, (there, kinds) in stray.items():
            if there and self.kind not in kinds:
                raise self._error(f"is {self.kind} and yet {problem}")
        if self.fold is not None and not self.group:
            raise self._error(f"is fold {self.fold} of no group")

    def _check_pairs(self, pairs: UserItemPairs) -> None:
        sides = {"the test": self.test_rows, "the given plays": self.fold_in_rows}
        marked = {side: pairs.mark_rows(rows) for side, rows in sides.items()}
        marked["training"] = pairs.mark_rows(self.train_rows)
        for one, other in (
            ("training", "the test"),
            ("training", "the given plays"),
            ("the given plays", "the test"),
        ):
            both = marked[one] & marked[other]
            if both.any():
                pair = int(both.argmax())
                raise self._error(
                    f"leaks: user {pairs.user_ids[pairs.user[pair]]!r} has item"
                    f" {pairs.item_ids[pairs.item[pair]]!r} in {one} and in {other}"
                    f" ({int(both.sum())} pairs in all)"
                )

    def _check_held_out(self, pairs: UserItemPairs) -> None:
        """Cold items are in no training row; what is tested is cold or (time, mixed) trained on."""
        trained = pairs.users_per_item(pairs.mark_rows(self.train_rows)) > 0
        leaked = trained & pairs.mark_items([*self.cold_items, *self.excluded_items])
        if leaked.any():
            item = pairs.item_ids[int(leaked.argmax())]
            raise self._error(f"leaks: the held-out item {item!r} has interactions in training")
        wrong = pairs.users_per_item(pairs.mark_rows(self.test_rows)) > 0
        wrong &= ~pairs.mark_items(self.cold_items)
        if self.kind in ("time", "mixed"):
            wrong &= ~trained
        if wrong.any():
            item = pairs.item_ids[int(wrong.argmax())]
            raise self._error(f"tests the item {item!r} that is not among its cold items")

    def _check_texts_and_recordings(self, dataset: MusicDataset) -> None:
        held_out = {*self.cold_items, *self.excluded_items}
        cold = dataset.items[ITEM_ID].isin(self.cold_items)
        kept = ~dataset.items[ITEM_ID].isin(held_out)
        if self.by == "artist":
            artists = artist_groups(dataset)
            shared = set(artists[cold]) & set(artists[kept])
            if shared:
                raise self._error(f"leaks: the artist {min(shared)!r} is on both sides")
        audio_cold = dataset.audio[ITEM_ID].isin(self.cold_items)
        audio_kept = ~dataset.audio[ITEM_ID].isin(held_out)
        shared = set(dataset.audio[PATH][audio_cold]) & set(dataset.audio[PATH][audio_kept])
        if shared:
            raise self._error(f"leaks: the recording {min(shared)!r} is on both sides")

    def _check_first_seen(self, dataset: MusicDataset, pairs: UserItemPairs) -> None:
        weight = dataset.interactions[WEIGHT].to_numpy()
        first = first_plays(pairs, play_times(dataset), weight)[1]
        cold = pairs.mark_items(self.cold_items)
        newer = ~cold & ~pairs.mark_items(self.excluded_items) & (first != NEVER)
        newer &= first >= first[cold].min(initial=NEVER)
        if newer.any():
            item = pairs.item_ids[int(newer.argmax())]
            raise self._error(f"leaks: the item {item!r} in training is as new as a cold one")

    def _check_moment(self, dataset: MusicDataset) -> None:
        times = play_times(dataset)
        late = times[self.train_rows] > times[self.test_rows].min()
        if late.any():
            self._refuse_late(dataset, self.train_rows[late])

    def _check_user_order(self, dataset: MusicDataset, pairs: UserItemPairs) -> None:
        times = play_times(dataset)
        user = pairs.user[pairs.row_pairs]
        tested_from = np.full(pairs.n_users, NEVER, np.int64)
        np.minimum.at(tested_from, user[self.test_rows], times[self.test_rows])
        late = times[self.train_rows] > tested_from[user[self.train_rows]]
        if late.any():
            self._refuse_late(dataset, self.train_rows[late])

    def _refuse_late(self, dataset: MusicDataset, rows: IntArray) -> None:
        row = dataset.interactions.iloc[int(rows[0])]
        raise self._error(
            f"leaks: user {row[USER_ID]!r} has item {row[ITEM_ID]!r} in training later than what"
            f" is tested ({len(rows)} training rows in all)"
        )

    def _check_few_shot(self, pairs: UserItemPairs) -> None:
        few_shot = pairs.mark_items(self.few_shot_items)
        if self.keep < 1 or not few_shot.any():
            raise self._error("is semi-cold and yet has no thin items that keep a listener")
        kept = pairs.users_per_item(pairs.mark_rows(self.train_rows))
        wrong = few_shot & (kept != self.keep)
        if wrong.any():
            place = int(wrong.argmax())
            raise self._error(
                f"leaks: the thin item {pairs.item_ids[place]!r} has {kept[place]} listeners in"
                f" training, not {self.keep}"
            )
        tested = pairs.users_per_item(pairs.mark_rows(self.test_rows)) > 0
        if (tested & ~few_shot).any():
            item = pairs.item_ids[int((tested & ~few_shot).argmax())]
            raise self._error(f"tests the item {item!r} that is not among its thin items")

    def _check_users(self, pairs: UserItemPairs) -> None:
        trained = pairs.items_per_user(pairs.mark_rows(self.train_rows)) > 0
        tested = pairs.mark_rows(self.test_rows) | pairs.mark_rows(self.fold_in_rows)
        leaked = trained & (pairs.items_per_user(tested) > 0)
        if leaked.any():
            user = pairs.user_ids[int(leaked.argmax())]
            raise self._error(f"leaks: the cold user {user!r} has interactions in training")


def check_folds(
    folds: Sequence[Split], dataset: MusicDataset, pairs: UserItemPairs | None = None
) -> list[Split]:
    """Check every fold, and that no (user, item) pair is tested by two of them.

    Args:
        folds: splits of one data set.
        dataset: the data set.
        pairs: its pairs, if already computed.

    Returns:
        The folds as a list.

    Raises:
        EvaluationError: a fold leaks, or two folds test the same pair.

    Examples:
        >>> from evaluation.splitting import warm_folds
        >>> [fold.name for fold in check_folds(warm_folds(dataset, folds=2), dataset)]
        ['warm 1', 'warm 2']
    """
    pairs = UserItemPairs.from_dataset(dataset) if pairs is None else pairs
    tested: BoolArray = np.zeros(len(pairs), dtype=bool)
    for fold in folds:
        fold.check(dataset, pairs)
        now = pairs.mark_rows(fold.test_rows)
        if (now & tested).any():
            pair = int((now & tested).argmax())
            raise EvaluationError(
                f"split {fold.name!r} tests item {pairs.item_ids[pairs.item[pair]]!r} of user"
                f" {pairs.user_ids[pairs.user[pair]]!r} as another fold did"
            )
        tested |= now
    return list(folds)


def artist_groups(dataset: MusicDataset) -> "pd.Series[str]":
    """Return a key for each item's artist, [n_items], in the order of ``dataset.items``.

    Names are compared without case and outer spaces. An item without artist is a group of its own:
    its key is ``item:`` and its id, which is no artist's name.

    Args:
        dataset: its items are grouped.

    Examples:
        >>> artist_groups(dataset).head(2).tolist()
        ['artist 0', 'artist 1']
    """
    artist = dataset.items[ARTIST].str.strip().str.casefold()
    return artist.where(artist != "", "item:" + dataset.items[ITEM_ID])


def check_no_leak(
    split: Split, train: MusicDataset, given: pd.DataFrame, tested: pd.DataFrame
) -> None:
    """Check the tables that models are given: nothing under test may be among them.

    ``Split.check`` proves the same of the row numbers; this one also covers the code that
    turns row numbers into tables.

    Args:
        split: the split that the tables were made by.
        train: what models are fitted on.
        given: interactions that models are shown after ``fit`` (cold users); user_id, item_id.
        tested: interactions under test; user_id, item_id and, where known, timestamp.

    Raises:
        EvaluationError: a tested pair, a held-out item, a cold user, too many users of a few-shot
            item, or something later than the test is in what models are given.

    Examples:
        >>> train, test = (dataset.take_interactions(rows) for rows in
        ...                (split.train_rows, split.test_rows))
        >>> none = dataset.interactions.head(0)
        >>> check_no_leak(split, train, none, test.interactions)
        >>> check_no_leak(split, dataset, none, test.interactions)  # all rows, test included
        Traceback (most recent call last):
        ...
        datasets.errors.EvaluationError: split 'warm' leaks: 's...' reaches the training side
    """
    shown = pd.concat([train.interactions[[USER_ID, ITEM_ID]], given[[USER_ID, ITEM_ID]]])
    both = shown.merge(tested[[USER_ID, ITEM_ID]], on=[USER_ID, ITEM_ID])
    if len(both):
        raise _leak(split, f"{both[ITEM_ID].iloc[0]!r} reaches the training side")
    held_out = train.items[ITEM_ID].isin([*split.cold_items, *split.excluded_items])
    if held_out.any():
        raise _leak(split, f"{train.items[ITEM_ID][held_out].iloc[0]!r} reaches the training side")
    if split.kind == "cold users":
        known = train.interactions[USER_ID].isin([*tested[USER_ID], *given[USER_ID]])
        if known.any():
            user = train.interactions[USER_ID][known].iloc[0]
            raise _leak(split, f"the cold user {user!r} has interactions in training")
    if split.kind == "semi-cold":
        _check_few_shot(split, train, tested)
    if split.kind == "time" and TIMESTAMP in tested:
        last, first = train.interactions[TIMESTAMP].max(), tested[TIMESTAMP].min()
        if last > first:
            raise _leak(split, f"training reaches until {last}, and what is tested begins {first}")


def _check_few_shot(split: Split, train: MusicDataset, tested: pd.DataFrame) -> None:
    others = ~tested[ITEM_ID].isin(split.few_shot_items)
    if others.any():
        item = tested[ITEM_ID][others].iloc[0]
        raise EvaluationError(f"split {split.name!r} tests {item!r}, which is not a thin item")
    pairs = played_pairs(train.interactions)
    kept = pairs[ITEM_ID][pairs[ITEM_ID].isin(split.few_shot_items)].value_counts()
    if len(kept) and kept.max() > split.keep:
        raise _leak(
            split, f"the thin item {kept.idxmax()!r} keeps {kept.max()} listeners, not {split.keep}"
        )


def _leak(split: Split, what: str) -> EvaluationError:
    return EvaluationError(f"split {split.name!r} leaks: {what}")
