"""Dividing a data set into what is learned from and what is tested on.

Splits are row positions into ``dataset.interactions``, so that any model of any library can be
given exactly the same sides. Each is checked when it is made and again before it is used: a leak
raises :class:`~datasets.errors.EvaluationError`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.columns import ARTIST, ITEM_ID, PATH, USER_ID, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows and test rows of one data set.

    "warm" tests interactions with items that have listeners in training, by users who have others
    there. "cold" tests whole items: none of their rows, texts or recordings is in training.
    "semi-cold" tests the items that keep ``keep`` listeners in training, and no others. "time" tests
    what is played from a moment on; items first played then are cold. "cold users" tests users who
    have nothing in training.
    """

    name: str
    kind: Literal["warm", "cold", "semi-cold", "time", "cold users"]
    train_rows: Rows
    """Positions in ``dataset.interactions`` to learn from, ascending."""
    test_rows: Rows
    """Positions in ``dataset.interactions`` to predict, ascending."""
    cold_items: tuple[str, ...] = ()
    """Cold and time: the new items; taken out of training and given to ``onboard_many``."""
    withheld_items: tuple[str, ...] = ()
    """Cold and time: items on neither side, as they share an artist or a recording with a cold one,
    or appear after the time that is tested."""
    by: Literal["artist", "item", "first seen"] = "item"
    """Cold: whether whole artists, single items, or all from a moment on are on one side."""
    thin_items: tuple[str, ...] = ()
    """Semi-cold: the items under test, which keep ``keep`` listeners in training."""
    keep: int = 0
    """Semi-cold: (user, item) pairs that every thin item has in training."""
    given_rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    """Cold users: positions of the plays a model is shown after ``fit``, ascending."""
    user_order: bool = False
    """Warm: whether nothing a user has in training is later than what is tested of that user."""
    group: str = ""
    """Name that the folds of one experiment share; "" where the split stands alone."""
    fold: int | None = None
    """Number of the fold in its group, from 1."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the split was made, for the report."""

    def training(self, dataset: MusicDataset) -> MusicDataset:
        """The training side: its interactions, without the items, texts and audio held out."""
        kept = dataset.take_interactions(self.train_rows)
        left_out = (*self.cold_items, *self.withheld_items)
        return kept.drop_items(left_out) if left_out else kept

    def onboarding(self, dataset: MusicDataset) -> MusicDataset:
        """The items under test with their recordings and no interactions."""
        return dataset.take_interactions(np.empty(0, np.int64)).take_items(self.cold_items)

    def check(self, dataset: MusicDataset) -> None:
        """Raise :class:`~datasets.errors.EvaluationError` if anything is on both sides."""
        for side, rows in (("training", self.train_rows), ("test", self.test_rows)):
            self._check_rows(side, rows, len(dataset.interactions))
        self._check_pairs(dataset)
        if self.kind in ("cold", "time"):
            self._check_items(dataset)
        elif self.cold_items or self.withheld_items:
            raise self._error(f"is {self.kind} and yet holds out whole items")

    def _error(self, problem: str) -> EvaluationError:
        return EvaluationError(f"split {self.name!r} {problem}")

    def _check_rows(self, side: str, rows: Rows, n_rows: int) -> None:
        if len(rows) == 0:
            raise self._error(f"has no {side} rows")
        if rows.min() < 0 or rows.max() >= n_rows:
            raise self._error(f"has {side} rows that the {n_rows} interactions do not have")
        if len(np.unique(rows)) < len(rows):
            raise self._error(f"has a {side} row twice")

    def _check_pairs(self, dataset: MusicDataset) -> None:
        keys = _Pairs.of(dataset).keys
        leaked = np.isin(keys[self.test_rows], keys[self.train_rows])
        if leaked.any():
            row = self.test_rows[leaked][0]
            pair = dataset.interactions.iloc[int(row)]
            raise self._error(
                f"leaks: user {pair[USER_ID]!r} has item {pair[ITEM_ID]!r} in training and in"
                f" the test ({int(leaked.sum())} test rows in all)"
            )

    def _check_items(self, dataset: MusicDataset) -> None:
        items = dataset.interactions[ITEM_ID]
        held_out = {*self.cold_items, *self.withheld_items}
        in_training = items.iloc[self.train_rows].isin(held_out)
        if in_training.any():
            item = items.iloc[self.train_rows][in_training].iloc[0]
            raise self._error(f"leaks: the held-out item {item!r} has interactions in training")
        if not items.iloc[self.test_rows].isin(self.cold_items).all():
            raise self._error("tests an item that is not among its cold items")
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


def warm_split(
    dataset: MusicDataset, fraction: float = 0.2, seed: int = 0, *, name: str = "warm"
) -> Split:
    """Hold out a fraction of every user's items.

    Of a user's n items, round(n · fraction) go to the test, at least one and never all; a user
    with one item keeps it in training. All rows of a (user, item) pair go to the same side. An
    item never loses its last training interaction, as it would then be cold: one of its pairs
    stays in training. Pairs whose weights add up to 0 are no listening and stay in training.

    Raises :class:`~datasets.errors.EvaluationError` where no pair can be held out.
    """
    _check_fraction(fraction)
    pairs = _Pairs.of(dataset)
    user = pairs.unique // pairs.n_items
    item = pairs.unique % pairs.n_items
    played = pairs.weight > 0
    luck = np.random.default_rng(seed).random(len(pairs.unique))

    n_played = np.bincount(user[played], minlength=pairs.n_users)
    n_test = np.clip(np.floor(n_played * fraction + 0.5), 1, np.maximum(n_played - 1, 0))
    order = np.lexsort((luck, ~played, user))
    first = np.searchsorted(user[order], np.arange(pairs.n_users))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - first[user[order]]
    test = played & (place < n_test[user])

    kept = np.bincount(item[played & ~test], minlength=pairs.n_items)
    lonely = np.flatnonzero(test & (kept[item] == 0))
    lonely = lonely[np.argsort(luck[lonely], kind="stable")]
    test[lonely[np.unique(item[lonely], return_index=True)[1]]] = False
    if not test.any():
        raise EvaluationError(
            "no interaction can be held out: no user has two items of which one has other listeners"
        )
    is_test = test[pairs.inverse]
    split = Split(
        name,
        "warm",
        np.flatnonzero(~is_test),
        np.flatnonzero(is_test),
        settings={"kind": "interactions of each user", "fraction": fraction, "seed": seed},
    )
    split.check(dataset)
    return split


def warm_folds(
    dataset: MusicDataset, folds: int = 5, seed: int = 0, *, name: str = "warm"
) -> list[Split]:
    """Splits that between them test (user, item) pairs once each: k-fold over interactions.

    A user's pairs are dealt out evenly. A pair stays in training where its user or its item would
    otherwise have nothing left there, and so does one whose weights add up to 0.

    Raises InvalidArgumentError for fewer than two folds and
    :class:`~datasets.errors.EvaluationError` where a fold would have nothing to test.
    """
    if folds < 2:
        raise InvalidArgumentError(f"folds must be at least 2, not {folds}")
    pairs = _Pairs.of(dataset)
    user, item = np.divmod(pairs.unique, pairs.n_items)
    played = pairs.weight > 0
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(len(user)), user))
    first = np.searchsorted(user[order], np.arange(pairs.n_users))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - first[user[order]]
    # Each user starts with another fold, or the first would get all the single pairs.
    fold = (place + random.integers(0, folds, pairs.n_users)[user]) % folds
    splits = []
    for number in range(folds):
        test = played & (fold == number)
        for side, n in ((user, pairs.n_users), (item, pairs.n_items)):
            kept = np.bincount(side[played & ~test], minlength=n)
            test &= kept[side] > 0
        if not test.any():
            raise EvaluationError(f"fold {number + 1} of {folds} has no interaction to test")
        is_test = test[pairs.inverse]
        split = Split(
            f"{name} {number + 1}",
            "warm",
            np.flatnonzero(~is_test),
            np.flatnonzero(is_test),
            settings={
                "kind": "folds of interactions",
                "fold": number + 1,
                "of": folds,
                "seed": seed,
            },
        )
        split.check(dataset)
        splits.append(split)
    return splits


def cold_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    seed: int = 0,
    *,
    by: Literal["artist", "item"] = "artist",
    among: Collection[str] | None = None,
    name: str = "cold",
) -> Split:
    """Hold out whole items, as if nobody had played them yet.

    Candidates are the items in ``among`` (by default those with a recording) that somebody has
    listened to. ``by="artist"`` draws artists until the candidates they have come closest to
    ``fraction`` of all candidates; their other items are withheld from both sides, so that no
    artist is on both. An item without artist counts as an artist of its own. ``by="item"`` draws
    single items. An item that shares a recording with a cold one is withheld too.

    Raises :class:`~datasets.errors.EvaluationError` where fewer than two artists (items) are
    candidates, and :class:`~datasets.errors.UnknownItemError` for an unknown id in ``among``.
    """
    _check_fraction(fraction)
    if by not in ("artist", "item"):
        raise InvalidArgumentError(f"by must be 'artist' or 'item', not {by!r}")
    items = dataset.items[ITEM_ID]
    candidate = items.isin(_listened(dataset)) & items.isin(_allowed(dataset, among))
    groups = artist_groups(dataset) if by == "artist" else items
    sizes = groups[candidate].value_counts().sort_index()
    if len(sizes) < 2:
        source = "with a recording" if among is None else "in `among`"
        raise EvaluationError(
            f"a cold split needs at least two {by}s {source} that somebody has listened to;"
            f" there are {len(sizes)}"
        )
    drawn = sizes.iloc[np.random.default_rng(seed).permutation(len(sizes))]
    target = fraction * sizes.sum()
    n_drawn = int(np.abs(drawn.cumsum().to_numpy() - target)[:-1].argmin()) + 1
    in_drawn = groups.isin(drawn.index[:n_drawn])

    cold = items[candidate & in_drawn]
    recordings = dataset.audio[PATH][dataset.audio[ITEM_ID].isin(cold)]
    same_recording = dataset.audio[ITEM_ID][dataset.audio[PATH].isin(recordings)]
    withheld = items[(in_drawn | items.isin(same_recording)) & ~items.isin(cold)]
    interactions = dataset.interactions[ITEM_ID]
    is_test = interactions.isin(cold).to_numpy()
    is_train = ~(is_test | interactions.isin(withheld).to_numpy())
    split = Split(
        name,
        "cold",
        np.flatnonzero(is_train),
        np.flatnonzero(is_test),
        cold_items=tuple(cold),
        withheld_items=tuple(withheld),
        by=by,
        settings={
            "kind": f"whole items by {by}",
            "fraction": fraction,
            "seed": seed,
            "among": "items with a recording" if among is None else "items given",
        },
    )
    split.check(dataset)
    return split


def artist_groups(dataset: MusicDataset) -> "pd.Series[str]":
    """Artist of each item, case and outer spaces aside; the item's id where it is unknown.

    The ids are marked, so that an item called like an artist is not taken for that artist's.
    """
    artist = dataset.items[ARTIST].str.strip().str.casefold()
    return artist.where(artist != "", "item:" + dataset.items[ITEM_ID])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """(user, item) pairs of the interactions as integers: key = user · n_items + item."""

    keys: Rows
    unique: Rows
    inverse: Rows
    weight: NDArray[np.float64]
    n_users: int
    n_items: int

    @classmethod
    def of(cls, dataset: MusicDataset) -> "_Pairs":
        frame = dataset.interactions
        # Sorted codes: the same seed gives the same split whatever the order of the rows.
        users, user_ids = pd.factorize(frame[USER_ID], sort=True)
        items, item_ids = pd.factorize(frame[ITEM_ID], sort=True)
        keys = users.astype(np.int64) * max(len(item_ids), 1) + items
        unique, inverse = np.unique(keys, return_inverse=True)
        weight = np.bincount(inverse, weights=frame[WEIGHT].to_numpy()).astype(np.float64)
        return cls(keys, unique, inverse, weight, len(user_ids), max(len(item_ids), 1))


def _listened(dataset: MusicDataset) -> "pd.Series[str]":
    return dataset.interactions[ITEM_ID][dataset.interactions[WEIGHT] > 0]


def _allowed(dataset: MusicDataset, among: Collection[str] | None) -> Collection[str]:
    if among is None:
        return set(dataset.audio[ITEM_ID])
    unknown = set(among) - set(dataset.items[ITEM_ID])
    if unknown:
        raise UnknownItemError(
            f"`among` names an item the data set does not have: {min(unknown)!r}"
        )
    return among


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise InvalidArgumentError(f"fraction must lie between 0 and 1, not {fraction}")
