"""Mixed splits: new items among known ones, the same share of everybody's plays tested."""

from collections.abc import Collection
from typing import Literal

import numpy as np

from datasets.arrays import BoolArray, Float64Array
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_split
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
    is_new = pairs.mark_items(cold.cold_items)[pairs.item]
    is_known = ~is_new & ~pairs.mark_items(cold.excluded_items)[pairs.item]
    test_new = _first_share(is_new & pairs.played, fraction, order)
    test_known = _first_share(is_known & pairs.played, fraction, order)
    test_known = keep_items_warm(pairs, test_known, order)
    for what, tested in (("new", test_new), ("known", test_known)):
        if not tested.any():
            raise EvaluationError(
                f"no play of a {what} item can be tested: too few plays for a mixed split"
            )
    test, train = test_new | test_known, is_known & ~test_known
    split = Split(
        name,
        "mixed",
        np.flatnonzero(train[pairs.row_pairs]),
        np.flatnonzero(test[pairs.row_pairs]),
        cold_items=cold.cold_items,
        excluded_items=cold.excluded_items,
        by=by,
        settings={**cold.settings, "kind": f"new items by {by}, and a share of all plays"},
    )
    check_folds([split], dataset, pairs)
    return split


def _first_share(pairs: BoolArray, fraction: float, order: Float64Array) -> BoolArray:
    """Mark a share of the marked pairs, the first by ``order``: [n_pairs]."""
    marked = np.flatnonzero(pairs)
    n = int(np.floor(len(marked) * fraction + 0.5))
    share = np.zeros(len(pairs), dtype=bool)
    share[marked[np.argsort(order[marked], kind="stable")[:n]]] = True
    return share
