"""Splits of items that nobody, or hardly anybody, has played yet.

A split of users whom nobody has seen yet.
"""

import heapq
from collections.abc import Collection
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.columns import ITEM_ID, PATH, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset
from evaluation.arguments import check_fraction, generator
from evaluation.splitting.interactions import (
    NEVER,
    UserItemPairs,
    first_plays,
    play_times,
    rank_within_group,
)
from evaluation.splitting.split import Split, artist_groups, check_folds

Items: TypeAlias = "pd.Series[bool]"
"""Which rows of ``dataset.items``."""


def cold_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    seed: int = 0,
    *,
    by: Literal["artist", "item", "first seen"] = "artist",
    among: Collection[str] | None = None,
    name: str = "cold",
) -> Split:
    """Hold out whole items, as if nobody had played them yet.

    Candidates are the items in ``among`` (by default those with a recording) that somebody has
    listened to. ``by="artist"`` draws artists until the candidates they have come closest to
    ``fraction`` of all candidates; their other items are withheld from both sides, so that no
    artist is on both. An item without artist counts as an artist of its own. ``by="item"`` draws
    single items. ``by="first seen"`` takes the candidates first played last, whatever the seed:
    all from the day on that comes closest to the fraction; other items first played from then on
    are withheld. Older items keep all their plays, later ones too; for what was known on that day
    see :func:`~evaluation.splitting.temporal.time_split`. An item that shares a recording with a cold one
    is withheld in any case.

    Raises :class:`~datasets.errors.EvaluationError` where fewer than two artists (items, days) are
    candidates, and :class:`~datasets.errors.UnknownItemError` for an unknown id in ``among``.
    """
    check_fraction(fraction)
    if by not in ("artist", "item", "first seen"):
        raise InvalidArgumentError(f"by must be 'artist', 'item' or 'first seen', not {by!r}")
    pairs = UserItemPairs.from_dataset(dataset)
    candidate = _candidates(dataset, pairs, among)
    groups = _first_seen(dataset, pairs) if by == "first seen" else _groups(dataset, by)
    sizes = _sizes(groups, candidate, by, among)
    if by == "first seen":
        drawn = sizes.iloc[::-1]
    else:
        drawn = sizes.iloc[generator(seed).permutation(len(sizes))]
    target = fraction * sizes.sum()
    n_drawn = int(np.abs(drawn.cumsum().to_numpy() - target)[:-1].argmin()) + 1
    if by == "first seen":
        in_drawn = groups >= drawn.index[n_drawn - 1]
    else:
        in_drawn = groups.isin(drawn.index[:n_drawn])
    how = {"fraction": fraction} | ({} if by == "first seen" else {"seed": seed})
    split = _held_out(dataset, pairs, candidate, in_drawn, by, name, how | _among(among))
    split.check(dataset, pairs)
    return split


def cold_folds(
    dataset: MusicDataset,
    folds: int = 5,
    seed: int = 0,
    *,
    by: Literal["artist", "item"] = "artist",
    among: Collection[str] | None = None,
    name: str = "cold",
) -> list[Split]:
    """Cold splits that between them test every candidate of :func:`cold_split` once.

    Artists (items) are shuffled and dealt out, those with the most candidates first, each to the
    fold that has the fewest so far.

    Raises InvalidArgumentError for fewer than two folds,
    :class:`~datasets.errors.EvaluationError` where fewer artists (items) than folds are candidates,
    and :class:`~datasets.errors.UnknownItemError` for an unknown id in ``among``.
    """
    check_whole("folds", folds, 2)
    if by not in ("artist", "item"):
        raise InvalidArgumentError(f"by must be 'artist' or 'item', not {by!r}")
    pairs = UserItemPairs.from_dataset(dataset)
    candidate = _candidates(dataset, pairs, among)
    groups = _groups(dataset, by)
    sizes = _sizes(groups, candidate, by, among)
    if len(sizes) < folds:
        raise EvaluationError(f"{folds} folds need as many {by}s; there are {len(sizes)}")
    shuffled = sizes.iloc[generator(seed).permutation(len(sizes))]
    shuffled = shuffled.sort_values(ascending=False, kind="stable")
    loads = [(0, number) for number in range(folds)]
    dealt: dict[Any, int] = {}
    for group, size in shuffled.items():
        load, number = loads[0]
        heapq.heapreplace(loads, (load + size, number))
        dealt[group] = number
    fold_of = groups.map(dealt)
    splits = []
    for number in range(folds):
        how = {"fold": number + 1, "of": folds, "seed": seed, **_among(among)}
        here = fold_of == number
        label = f"{name} {number + 1}"
        splits.append(_held_out(dataset, pairs, candidate, here, by, label, how, name, number + 1))
    return check_folds(splits, dataset, pairs)


def semi_cold_split(
    dataset: MusicDataset,
    keep: int = 1,
    fraction: float = 0.2,
    seed: int = 0,
    *,
    at_least: int | None = None,
    among: Collection[str] | None = None,
    name: str | None = None,
) -> Split:
    """Leave single items only ``keep`` listeners each, and test them by all their others.

    Candidates are the items in ``among`` (by default those with a recording) with at least
    ``at_least`` listeners, by default ``keep`` + 1; round(``fraction`` · candidates) of them, at
    least one, become thin. Which listeners they keep is drawn by ``seed``. The draws do not depend
    on ``keep``: with the same ``at_least``, splits that keep 1, 2 and 5 thin the same items, and
    what the first keeps, the others keep too. Texts and recordings of thin items stay in training.

    Tested are users who have something in training. Pairs of thin items with a weight of 0 are no
    listening, and are on neither side.

    Raises InvalidArgumentError for keep < 1 or at_least ≤ keep,
    :class:`~datasets.errors.EvaluationError` where no item has so many listeners or nothing can be
    tested, and :class:`~datasets.errors.UnknownItemError` for an unknown id in ``among``.
    """
    check_fraction(fraction)
    check_whole("keep", keep, 1)
    at_least = keep + 1 if at_least is None else at_least
    check_whole("at_least", at_least, keep + 1)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    chance, luck = random.random(pairs.n_items), random.random(len(pairs))
    candidate = pairs.mark_items(_allowed(dataset, among))
    candidate &= pairs.users_per_item(pairs.played) >= at_least
    n_candidates = int(candidate.sum())
    if not n_candidates:
        raise EvaluationError(f"no item{_source(among)} has {at_least} listeners")
    n_thin = max(1, int(np.floor(n_candidates * fraction + 0.5)))
    thin = np.zeros(pairs.n_items, dtype=bool)
    thin[np.lexsort((chance, ~candidate))[:n_thin]] = True

    of_thin = thin[pairs.item]
    place = rank_within_group(pairs.item, pairs.n_items, ~pairs.played, luck)
    train = ~of_thin | (place < keep)
    known = pairs.items_per_user(train & pairs.played) > 0
    test = of_thin & ~train & pairs.played & known[pairs.user]
    if not test.any():
        raise EvaluationError("no listener of a thin item has anything else to be known by")
    split = Split(
        f"semi-cold {keep}" if name is None else name,
        "semi-cold",
        np.flatnonzero(train[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        few_shot_items=tuple(pairs.item_ids[thin]),
        keep=keep,
        settings={
            "kind": "items with few listeners",
            "keep": keep,
            "fraction": fraction,
            "at_least": at_least,
            "seed": seed,
            **_among(among),
        },
    )
    split.check(dataset, pairs)
    return split


def _held_out(
    dataset: MusicDataset,
    pairs: UserItemPairs,
    candidate: Items,
    in_drawn: Items,
    by: Literal["artist", "item", "first seen"],
    name: str,
    how: dict[str, Any],
    group: str = "",
    fold: int | None = None,
) -> Split:
    """The split whose cold items are the drawn candidates."""
    items = dataset.items[ITEM_ID]
    cold = items[candidate & in_drawn]
    recordings = dataset.audio[PATH][dataset.audio[ITEM_ID].isin(cold)]
    same_recording = dataset.audio[ITEM_ID][dataset.audio[PATH].isin(recordings)]
    withheld = items[(in_drawn | items.isin(same_recording)) & ~items.isin(cold)]
    is_cold = pairs.mark_items(cold)
    held_out = is_cold | pairs.mark_items(withheld)
    return Split(
        name,
        "cold",
        np.flatnonzero(~held_out[pairs.item][pairs.row_pairs]),
        np.flatnonzero(is_cold[pairs.item][pairs.row_pairs]),
        cold_items=tuple(cold),
        excluded_items=tuple(withheld),
        by=by,
        group=group,
        fold=fold,
        settings={"kind": f"whole items by {by}", **how},
    )


def _candidates(
    dataset: MusicDataset, pairs: UserItemPairs, among: Collection[str] | None
) -> Items:
    listened = pairs.item_ids[pairs.users_per_item(pairs.played) > 0]
    items = dataset.items[ITEM_ID]
    return items.isin(listened) & items.isin(_allowed(dataset, among))


def _groups(dataset: MusicDataset, by: str) -> "pd.Series[str]":
    return artist_groups(dataset) if by == "artist" else dataset.items[ITEM_ID]


def _first_seen(dataset: MusicDataset, pairs: UserItemPairs) -> "pd.Series[int]":
    """When every item of the catalogue was first played; the earliest number where it never was."""
    weight = dataset.interactions[WEIGHT].to_numpy()
    first = np.append(first_plays(pairs, play_times(dataset), weight)[1], NEVER)
    of_item = first[pairs.item_ids.get_indexer(pd.Index(dataset.items[ITEM_ID], dtype=object))]
    never = np.int64(np.iinfo(np.int64).min)
    return pd.Series(np.where(of_item == NEVER, never, of_item), dtype=np.int64)


def _sizes(
    groups: "pd.Series[Any]", candidate: Items, by: str, among: Collection[str] | None
) -> "pd.Series[int]":
    """Candidates of each artist (item, first day), in order."""
    sizes: pd.Series[int] = groups[candidate].value_counts().sort_index()
    if len(sizes) < 2:
        if by == "first seen":
            what = f"times at which items{_source(among)} were first played"
        else:
            what = f"{by}s{_source(among)} that somebody has listened to"
        raise EvaluationError(f"a cold split needs at least two {what}; there are {len(sizes)}")
    return sizes


def _source(among: Collection[str] | None) -> str:
    return " with a recording" if among is None else " in `among`"


def _among(among: Collection[str] | None) -> dict[str, str]:
    return {"among": "items with a recording" if among is None else "items given"}


def _allowed(dataset: MusicDataset, among: Collection[str] | None) -> Collection[str]:
    if among is None:
        return set(dataset.audio[ITEM_ID])
    unknown = set(among) - set(dataset.items[ITEM_ID])
    if unknown:
        raise UnknownItemError(
            f"`among` names an item the data set does not have: {min(unknown)!r}"
        )
    return among


def cold_user_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    given: int = 0,
    seed: int = 0,
    *,
    name: str = "cold users",
) -> Split:
    """Hold out whole users, as if they came after the model was trained.

    round(``fraction`` · users) are drawn, at least one and never all, of the users with more than
    ``given`` items. ``given`` items of each, drawn by ``seed`` too, are shown to the model after
    ``fit``; all others are tested. The draws do not depend on ``given``, so a split that gives 5
    items gives those that a split giving 1 does, where the same users can be drawn.

    Items that only cold users have played would be cold themselves: their rows are on neither
    side, and a user who then has no more than ``given`` items left is not tested. Nor are pairs
    with a weight of 0, which are no listening, on any side.

    Raises InvalidArgumentError for a fraction that is none or given < 0, and
    :class:`~datasets.errors.EvaluationError` where fewer than two users have so many items or
    nothing can be tested.
    """
    check_fraction(fraction)
    check_whole("given", given, 0)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    chance, luck = random.random(pairs.n_users), random.random(len(pairs))
    enough = pairs.items_per_user(pairs.played) > given
    n_enough = int(enough.sum())
    if n_enough < 2:
        raise EvaluationError(
            f"a split of cold users needs at least two with more than {given} items;"
            f" there are {n_enough}"
        )
    n_cold = min(max(1, int(np.floor(n_enough * fraction + 0.5))), n_enough - 1)
    cold = np.zeros(pairs.n_users, dtype=bool)
    cold[np.lexsort((chance, ~enough))[:n_cold]] = True

    of_cold = cold[pairs.user]
    known = pairs.users_per_item(pairs.played & ~of_cold) > 0
    usable = of_cold & pairs.played & known[pairs.item]
    usable &= (pairs.items_per_user(usable) > given)[pairs.user]
    shown = usable & (rank_within_group(pairs.user, pairs.n_users, ~usable, luck) < given)
    test = usable & ~shown
    if not test.any():
        raise EvaluationError("no cold user has played enough that others have played as well")
    split = Split(
        name,
        "cold users",
        np.flatnonzero(~of_cold[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        fold_in_rows=np.flatnonzero(shown[pairs.row_pairs]),
        settings={"kind": "whole users", "fraction": fraction, "given": given, "seed": seed},
    )
    split.check(dataset, pairs)
    return split
