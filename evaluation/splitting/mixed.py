"""Mixed splits: new items among known ones, the same share of everybody's plays tested."""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import numpy as np

from datasets.arrays import BoolArray, Float64Array
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_folds, cold_split
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split, check_folds
from evaluation.splitting.warm import keep_items_warm


def mixed_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    seed: int = 0,
    *,
    by: Literal["artist", "item"] = "artist",
    among: Collection[str] | None = None,
    name: str = "mixed",
) -> Split:
    """Make items new, and test the same share of the plays of new and of known items.

    It is what a service sees in the weeks after new items arrive: of a known item's plays some lie
    before and some within these weeks; of a new item's none lie before, and as large a share lies
    within. Lists over all items that gain by the right new ones and lose by the wrong ones are
    measured in proportion only here: where all plays of new items were tested, one new item would
    weigh as much as several known ones, and where none are, it could only do harm.

    The items are drawn as ``cold_split`` draws them. Of the (user, item) pairs of either kind the
    share ``fraction`` is drawn at random and tested. A known item keeps at least one training
    interaction. The other plays of new items are on neither side of lists; among new items alone
    they count as well (``evaluation.comparison.trial``).

    Args:
        dataset: the data set to split.
        fraction: share of the candidates to make new, and of the plays to test; between 0 and 1.
        seed: decides which items are new, and which plays are tested.
        by: what is held out together, as in ``cold_split``.
        among: ids of the items that may be new; by default those with a recording.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``fraction`` is not in (0, 1), or ``by`` or ``seed`` is not valid.
        EvaluationError: fewer than two artists (items) are candidates, or no play of a new, or
            none of a known item, can be tested.
        UnknownItemError: ``among`` has an unknown id.

    Examples:
        >>> split = mixed_split(dataset, fraction=0.2, among=dataset.items["item_id"])
        >>> split.kind, len(split.cold_items)
        ('mixed', 5)
        >>> tested = dataset.interactions["item_id"].iloc[split.test_rows]
        >>> bool(tested.isin(split.cold_items).any()), bool(tested.isin(split.cold_items).all())
        (True, False)
    """
    cold = cold_split(dataset, fraction, seed, by=by, among=among)
    pairs = UserItemPairs.from_dataset(dataset)
    # Another stream than that which drew the items.
    order = np.random.default_rng([seed, 1]).random(len(pairs))
    kind = f"new items by {by}, and a share of all plays"
    split = replace(_mixed(cold, pairs, fraction, order), name=name)
    split = replace(split, settings={**cold.settings, "kind": kind})
    split.check(dataset, pairs)
    return split


def mixed_folds(
    dataset: MusicDataset,
    folds: int = 5,
    seed: int = 0,
    *,
    by: Literal["artist", "item"] = "artist",
    among: Collection[str] | None = None,
    name: str = "mixed",
) -> list[Split]:
    """Make k-fold mixed splits: every candidate item is new in exactly one fold.

    The share of the plays that a fold tests is one in ``folds``. A (user, item) pair is tested by
    one fold at most.

    Args:
        dataset: the data set to split.
        folds: number of folds, at least 2.
        seed: decides which items are new in which fold, and which plays it tests.
        by: what stays together, as in ``cold_split``.
        among: ids of the items that may be new; by default those with a recording.
        name: common name of the folds, which are called "NAME 1", "NAME 2" and so on.

    Raises:
        InvalidArgumentError: ``folds`` < 2, or ``by`` or ``seed`` is not valid.
        EvaluationError: there are fewer artists (items) with candidates than folds, or a fold has
            nothing to test.
        UnknownItemError: ``among`` has an unknown id.

    Examples:
        >>> folds = mixed_folds(dataset, folds=3, among=dataset.items["item_id"])
        >>> [(fold.name, len(fold.cold_items)) for fold in folds]
        [('mixed 1', 10), ('mixed 2', 9), ('mixed 3', 9)]
    """
    pairs = UserItemPairs.from_dataset(dataset)
    splits = []
    made = cold_folds(dataset, folds, seed, by=by, among=among)
    order = np.random.default_rng([seed, 1]).random(len(pairs))
    for number, cold in enumerate(made, 1):
        # Each fold tests its own slice of the order.
        turned = (order - (number - 1) / folds) % 1.0
        split = _mixed(cold, pairs, 1 / folds, turned, exact=False)
        kind = f"new items by {by}, and a share of all plays"
        split = replace(split, name=f"{name} {number}", group=name, fold=number)
        splits.append(replace(split, settings={**cold.settings, "kind": kind}))
    return check_folds(splits, dataset, pairs)


def _mixed(
    cold: Split, pairs: UserItemPairs, fraction: float, order: Float64Array, *, exact: bool = True
) -> Split:
    """Make a mixed split of a cold one; name and settings are still missing.

    order: [n_pairs], 0 to 1. ``exact`` tests exactly the share of each kind's pairs that come first
    by it, and else those below ``fraction``.
    """
    is_new = pairs.mark_items(cold.cold_items)[pairs.item]
    is_known = ~is_new & ~pairs.mark_items(cold.excluded_items)[pairs.item]

    def drawn(kind: BoolArray) -> BoolArray:
        if exact:
            return _first_share(kind & pairs.played, fraction, order)
        marked: BoolArray = kind & pairs.played & (order < fraction)
        return marked

    test_new, test_known = drawn(is_new), keep_items_warm(pairs, drawn(is_known), order)
    for what, tested in (("new", test_new), ("known", test_known)):
        if not tested.any():
            raise EvaluationError(
                f"no play of a {what} item can be tested: too few plays for a mixed split"
            )
    test, train = test_new | test_known, is_known & ~test_known
    return Split(
        "",
        "mixed",
        np.flatnonzero(train[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        cold_items=cold.cold_items,
        excluded_items=cold.excluded_items,
        by=cold.by,
    )


def _first_share(pairs: BoolArray, fraction: float, order: Float64Array) -> BoolArray:
    """Mark a share of the marked pairs, the first by ``order``: [n_pairs]."""
    marked = np.flatnonzero(pairs)
    n = int(np.floor(len(marked) * fraction + 0.5))
    share = np.zeros(len(pairs), dtype=bool)
    share[marked[np.argsort(order[marked], kind="stable")[:n]]] = True
    return share
