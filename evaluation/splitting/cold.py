"""Cold and semi-cold splits: items or users with no, or hardly any, interactions in training."""

import heapq
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

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

    Candidates are the items of ``among`` with at least one play. Items that share a recording with
    a cold item are excluded from both sides.

    Args:
        dataset: the data set to split.
        fraction: share of the candidates to hold out, between 0 and 1; the nearest that whole
            groups allow.
        seed: decides which artists or items are held out; not used by "first seen".
        by: what is held out together. "artist": all candidates of randomly chosen artists; their
            other items are excluded from both sides, so that no artist is on both. An item without
            artist is an artist of its own. "item": randomly chosen single items. "first seen": the
            candidates that were first played last, all from one moment on; other items first played
            from then on are excluded. Older items keep all their plays, also later ones; for what
            was known at that moment see ``time_split``.
        among: ids of the items that may be held out; by default those with a recording.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``fraction`` is not in (0, 1), or ``by`` or ``seed`` is not valid.
        EvaluationError: fewer than two artists (items, moments) are candidates.
        UnknownItemError: ``among`` has an unknown id.

    Examples:
        >>> split = cold_split(dataset, fraction=0.2, among=dataset.items["item_id"])
        >>> sorted(split.cold_items)
        ['s14', 's2', 's27', 's4', 's7']
        >>> set(split.cold_items) & set(split.training(dataset).items["item_id"])
        set()
    """
    check_fraction(fraction)
    if by not in ("artist", "item", "first seen"):
        raise InvalidArgumentError(f"by must be 'artist', 'item' or 'first seen', not {by!r}")
    pairs = UserItemPairs.from_dataset(dataset)
    candidate = _candidates(dataset, pairs, among)
    groups = _first_seen(dataset, pairs) if by == "first seen" else _groups(dataset, by)
    sizes = _group_sizes(groups, candidate, by, among)
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
    seeded = {} if by == "first seen" else {"seed": seed}
    settings = {"kind": f"whole items by {by}", "fraction": fraction, **seeded, **_among(among)}
    split = replace(
        _hold_out(dataset, pairs, candidate, in_drawn, by), name=name, settings=settings
    )
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
    """Make k-fold cold splits: every candidate item is cold in exactly one fold.

    Artists (or items) are shuffled and assigned one by one, those with most candidates first, each
    to the fold with the fewest candidates so far.

    Args:
        dataset: the data set to split.
        folds: number of folds, at least 2.
        seed: decides which artists or items go to which fold.
        by: what stays together, as in ``cold_split``.
        among: ids of the items that may be held out; by default those with a recording.
        name: common name of the folds, which are called "NAME 1", "NAME 2" and so on.

    Raises:
        InvalidArgumentError: ``folds`` < 2, or ``by`` or ``seed`` is not valid.
        EvaluationError: there are fewer artists (items) with candidates than folds.
        UnknownItemError: ``among`` has an unknown id.

    Examples:
        >>> folds = cold_folds(dataset, folds=3, among=dataset.items["item_id"])
        >>> [len(fold.cold_items) for fold in folds]
        [10, 9, 9]
    """
    check_whole("folds", folds, 2)
    if by not in ("artist", "item"):
        raise InvalidArgumentError(f"by must be 'artist' or 'item', not {by!r}")
    pairs = UserItemPairs.from_dataset(dataset)
    candidate = _candidates(dataset, pairs, among)
    groups = _groups(dataset, by)
    sizes = _group_sizes(groups, candidate, by, among)
    if len(sizes) < folds:
        raise EvaluationError(f"{folds} folds need as many {by}s; there are {len(sizes)}")
    shuffled = sizes.iloc[generator(seed).permutation(len(sizes))]
    shuffled = shuffled.sort_values(ascending=False, kind="stable")
    loads = [(0, number) for number in range(1, folds + 1)]
    fold_of_group: dict[Any, int] = {}
    for group, size in shuffled.items():
        load, number = loads[0]
        heapq.heapreplace(loads, (load + size, number))
        fold_of_group[group] = number
    fold_of_item = groups.map(fold_of_group)
    splits = []
    for number in range(1, folds + 1):
        kind = f"whole items by {by}"
        settings = {"kind": kind, "fold": number, "of": folds, "seed": seed, **_among(among)}
        split = _hold_out(dataset, pairs, candidate, fold_of_item == number, by)
        split = replace(split, name=f"{name} {number}", group=name, fold=number, settings=settings)
        splits.append(split)
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
    """Leave some items only ``keep`` training users each, and test them on all their other users.

    round(``fraction`` * candidates) items, at least one, become few-shot items. The random choices
    do not depend on ``keep``: with the same ``at_least``, splits that keep 1, 2 and 5 users have
    the same few-shot items, and a user kept by the first is kept by the others too. Texts and
    recordings of few-shot items stay in training. Tested are users who have something in training.
    Pairs of few-shot items whose weights sum to 0 are on neither side.

    Args:
        dataset: the data set to split.
        keep: number of users that each few-shot item keeps in training, at least 1.
        fraction: share of the candidates to test, between 0 and 1.
        seed: decides which items are tested, and which users they keep.
        at_least: least number of users of a candidate; by default ``keep`` + 1.
        among: ids of the items that may be tested; by default those with a recording.
        name: name of the split in tables and reports; by default "semi-cold KEEP".

    Raises:
        InvalidArgumentError: ``keep`` < 1, ``at_least`` <= ``keep``, ``fraction`` is not in (0, 1),
            or ``seed`` is not a whole number >= 0.
        EvaluationError: no item has so many users, or nothing can be tested.
        UnknownItemError: ``among`` has an unknown id.

    Examples:
        >>> split = semi_cold_split(dataset, keep=2, among=dataset.items["item_id"])
        >>> train = split.training(dataset).interactions
        >>> few_shot = train[train["item_id"].isin(split.few_shot_items)]
        >>> sorted(few_shot["item_id"].value_counts())
        [2, 2, 2, 2, 2, 2]
    """
    check_fraction(fraction)
    check_whole("keep", keep, 1)
    at_least = keep + 1 if at_least is None else at_least
    check_whole("at_least", at_least, keep + 1)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    item_order, pair_order = random.random(pairs.n_items), random.random(len(pairs))
    candidate = pairs.mark_items(_allowed(dataset, among))
    candidate &= pairs.users_per_item(pairs.played) >= at_least
    n_candidates = int(candidate.sum())
    if not n_candidates:
        raise EvaluationError(f"no item{_source(among)} has {at_least} listeners")
    n_few_shot = max(1, int(np.floor(n_candidates * fraction + 0.5)))
    few_shot = np.zeros(pairs.n_items, dtype=bool)
    few_shot[np.lexsort((item_order, ~candidate))[:n_few_shot]] = True

    is_few_shot = few_shot[pairs.item]
    rank = rank_within_group(pairs.item, pairs.n_items, ~pairs.played, pair_order)
    train = ~is_few_shot | (rank < keep)
    has_training = pairs.items_per_user(train & pairs.played) > 0
    test = is_few_shot & ~train & pairs.played & has_training[pairs.user]
    if not test.any():
        raise EvaluationError("no listener of a thin item has anything else to be known by")
    split = Split(
        f"semi-cold {keep}" if name is None else name,
        "semi-cold",
        np.flatnonzero(train[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        few_shot_items=tuple(pairs.item_ids[few_shot]),
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


def cold_user_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    given: int = 0,
    seed: int = 0,
    *,
    name: str = "cold users",
) -> Split:
    """Hold out whole users, as if they came after the model was trained.

    round(``fraction`` * users) users, at least one and never all, are chosen among those with more
    than ``given`` items. ``given`` random items of each are shown to the model after ``fit``; all
    others are tested. The random choices do not depend on ``given``: a split that gives 5 items
    gives those that a split giving 1 does, where the same users can be chosen.

    Items that only cold users have played would be cold themselves: their rows are on neither
    side, and a user who then has no more than ``given`` items left is not tested. Pairs whose
    weights sum to 0 are on neither side either.

    Args:
        dataset: the data set to split.
        fraction: share of the users to hold out, between 0 and 1.
        given: number of items of each cold user that models are shown after ``fit``.
        seed: decides which users are held out, and which items they give.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``fraction`` is not in (0, 1), ``given`` < 0, or ``seed`` is not a
            whole number >= 0.
        EvaluationError: fewer than two users have so many items, or nothing can be tested.

    Examples:
        >>> split = cold_user_split(dataset, fraction=0.2, given=3)
        >>> len(split.fold_in_rows)  # 12 of 60 users give 3 items each
        36
    """
    check_fraction(fraction)
    check_whole("given", given, 0)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    user_order, pair_order = random.random(pairs.n_users), random.random(len(pairs))
    enough = pairs.items_per_user(pairs.played) > given
    n_enough = int(enough.sum())
    if n_enough < 2:
        raise EvaluationError(
            f"a split of cold users needs at least two with more than {given} items;"
            f" there are {n_enough}"
        )
    n_cold = min(max(1, int(np.floor(n_enough * fraction + 0.5))), n_enough - 1)
    cold = np.zeros(pairs.n_users, dtype=bool)
    cold[np.lexsort((user_order, ~enough))[:n_cold]] = True

    is_cold = cold[pairs.user]
    in_training = pairs.users_per_item(pairs.played & ~is_cold) > 0
    usable = is_cold & pairs.played & in_training[pairs.item]
    usable &= (pairs.items_per_user(usable) > given)[pairs.user]
    rank = rank_within_group(pairs.user, pairs.n_users, ~usable, pair_order)
    shown = usable & (rank < given)
    test = usable & ~shown
    if not test.any():
        raise EvaluationError("no cold user has played enough that others have played as well")
    split = Split(
        name,
        "cold users",
        np.flatnonzero(~is_cold[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        fold_in_rows=np.flatnonzero(shown[pairs.row_pairs]),
        settings={"kind": "whole users", "fraction": fraction, "given": given, "seed": seed},
    )
    split.check(dataset, pairs)
    return split


def _hold_out(
    dataset: MusicDataset,
    pairs: UserItemPairs,
    candidate: "pd.Series[bool]",
    drawn: "pd.Series[bool]",
    by: Literal["artist", "item", "first seen"],
) -> Split:
    """Make the drawn candidates cold; name and settings of the split are still missing.

    candidate, drawn: [n_items] masks over ``dataset.items``.
    """
    items = dataset.items[ITEM_ID]
    cold = items[candidate & drawn]
    recordings = dataset.audio[PATH][dataset.audio[ITEM_ID].isin(cold)]
    same_recording = dataset.audio[ITEM_ID][dataset.audio[PATH].isin(recordings)]
    excluded = items[(drawn | items.isin(same_recording)) & ~items.isin(cold)]
    is_cold = pairs.mark_items(cold)
    held_out = is_cold | pairs.mark_items(excluded)
    return Split(
        "",
        "cold",
        np.flatnonzero(~held_out[pairs.item][pairs.row_pairs]),
        np.flatnonzero(is_cold[pairs.item][pairs.row_pairs]),
        cold_items=tuple(cold),
        excluded_items=tuple(excluded),
        by=by,
    )


def _candidates(
    dataset: MusicDataset, pairs: UserItemPairs, among: Collection[str] | None
) -> "pd.Series[bool]":
    """Mark the items of ``dataset.items`` that may be held out: allowed, and played by someone."""
    played = pairs.item_ids[pairs.users_per_item(pairs.played) > 0]
    items = dataset.items[ITEM_ID]
    return items.isin(played) & items.isin(_allowed(dataset, among))


def _allowed(dataset: MusicDataset, among: Collection[str] | None) -> Collection[str]:
    if among is None:
        return set(dataset.audio[ITEM_ID])
    unknown = set(among) - set(dataset.items[ITEM_ID])
    if unknown:
        raise UnknownItemError(
            f"`among` names an item the data set does not have: {min(unknown)!r}"
        )
    return among


def _groups(dataset: MusicDataset, by: str) -> "pd.Series[str]":
    return artist_groups(dataset) if by == "artist" else dataset.items[ITEM_ID]


def _first_seen(dataset: MusicDataset, pairs: UserItemPairs) -> "pd.Series[int]":
    """Time of each catalogue item's first play; the least int64 for an item never played."""
    weight = dataset.interactions[WEIGHT].to_numpy()
    first = np.append(first_plays(pairs, play_times(dataset), weight)[1], NEVER)
    of_item = first[pairs.item_ids.get_indexer(pd.Index(dataset.items[ITEM_ID], dtype=object))]
    never = np.int64(np.iinfo(np.int64).min)
    return pd.Series(np.where(of_item == NEVER, never, of_item), dtype=np.int64)


def _group_sizes(
    groups: "pd.Series[Any]", candidate: "pd.Series[bool]", by: str, among: Collection[str] | None
) -> "pd.Series[int]":
    """Count the candidates of each artist (item, moment), in sorted order of these."""
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
