"""What is shown between two models, and what is only a number.

Two kinds of luck are in a figure on new items: which users there were, and which items were held
out. Intervals and p-values over users know the first alone, and one ranking that happens to suit
the few items held out suits all users at once. So what is claimed of new items is claimed by the
item-wise AUC, whose units are the items, wherever it was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from datasets.arrays import Float64Array
from datasets.errors import InvalidArgumentError
from evaluation.comparison.bootstrap import Difference, holm, mean_interval, paired_p_values
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import CATALOGUE, COLD, THIN
from evaluation.metrics.ranking import ITEM_AUC

CHANCE: Final = 0.5
"""Item-wise AUC of a ranking that knows nothing of who plays what."""


def first_split(comparison: Comparison, kind: str) -> str | None:
    """Name of the first split of a kind, None where there is none."""
    return next((split["name"] for split in comparison.splits if split["kind"] == kind), None)


def split_info(comparison: Comparison, split: str) -> Mapping[str, Any]:
    """Counts and settings of a split."""
    return next(facts for facts in comparison.splits if facts["name"] == split)


def contenders(comparison: Comparison) -> list[str]:
    """The models that are no controls."""
    return [name for name in comparison.models if name not in comparison.controls]


def main_measure(comparison: Comparison, split: str, candidates: str) -> tuple[str, int | None]:
    """The metric and k that decide: nDCG at the shortest list.

    Among cold items it is the item-wise AUC where such a list holds half of them or more.
    """
    facts = split_info(comparison, split)
    if candidates == COLD and facts["auc_items"] and too_few_for_lists(comparison, facts):
        return ITEM_AUC, None
    return "ndcg", comparison.ks[0]


def too_few_for_lists(comparison: Comparison, facts: Mapping[str, Any]) -> bool:
    """Whether the shortest list holds half of the items ranked among themselves, or more."""
    n_ranked = n_new_items_ranked(facts)
    return n_ranked is not None and comparison.ks[0] * 2 >= n_ranked


def n_new_items_ranked(facts: Mapping[str, Any]) -> int | None:
    """How many cold or thin items are ranked among each other, of folds the fewest; None for
    splits that are not about such items."""
    if facts["kind"] == "cold":
        return int(facts["cold_items_ranked"])
    if facts["kind"] == "semi-cold":
        return min(fold["thin_items"] for fold in facts["folds"] or (facts,))
    return None


def deciding_candidates(comparison: Comparison, split: str) -> str:
    """The candidates that decide which model is best in a split.

    Cold items among themselves, and thin ones among themselves where there are enough of them for
    lists. Thin items have no item-wise AUC, so that the whole catalogue decides where there are
    not.
    """
    facts = split_info(comparison, split)
    if facts["kind"] == "semi-cold":
        return CATALOGUE if too_few_for_lists(comparison, facts) else THIN
    return COLD if facts["kind"] == "cold" else CATALOGUE


def best_model(comparison: Comparison, split: str, candidates: str) -> str:
    """The model that is no control with the highest mean of :func:`main_measure`."""
    figures, measure = comparison.figures(), main_measure(comparison, split, candidates)
    return max(
        contenders(comparison), key=lambda name: figures[(split, candidates, name, *measure)].mean
    )


def tied_with_best(comparison: Comparison, split: str, candidates: str) -> list[str]:
    """Models that are no controls and not shown to be worse than the best, without it."""
    gaps = comparison.gaps("best")
    measure = main_measure(comparison, split, candidates)
    return [
        name
        for name in contenders(comparison)
        if (gap := gaps.get((split, candidates, name, *measure))) is not None and not gap[1].shown
    ]


def tied_by_item_auc(comparison: Comparison, split: str, than: str) -> list[str]:
    """The same among new items by the item-wise AUC, against the model ``than``.

    Empty where that was not measured.
    """
    known = auc_above_chance(comparison, split)
    others = [name for name in known if name != than]
    if than not in known:
        return []
    pairs: list[tuple[FigureKey, FigureKey | None]] = [
        ((split, COLD, than, ITEM_AUC, None), (split, COLD, name, ITEM_AUC, None))
        for name in others
    ]
    gaps = paired_gaps(comparison, pairs)
    return [
        name for name, gap in zip(others, gaps, strict=True) if not (gap.shown and gap.mean > 0)
    ]


def shown_worse_than_baseline(
    comparison: Comparison, split: str, candidates: str
) -> dict[str, Difference]:
    """{model: its nDCG less the baseline's}, of those that are no controls and shown to be worse.

    Among new items the item-wise AUC must show it as well, where it was measured.
    """
    gaps, k = comparison.gaps("baseline"), comparison.ks[0]
    in_doubt: list[str] = []
    if candidates == COLD:
        in_doubt = tied_by_item_auc(comparison, split, comparison.baseline)
    return {
        name: gap[1]
        for name in contenders(comparison)
        if (gap := gaps.get((split, candidates, name, "ndcg", k))) is not None
        and gap[1].shown
        and gap[1].mean < 0
        and name not in in_doubt
    }


def paired_gaps(
    comparison: Comparison,
    pairs: Sequence[tuple[FigureKey, FigureKey | None]],
    *,
    corrected: bool = True,
) -> list[Difference]:
    """Paired differences ``first - second``, or of the first from chance where there is no second.

    p-values are those of the paired t-test, ``corrected`` by Holm for the number of pairs. Raises
    InvalidArgumentError for a figure that was not measured.
    """
    apart = [_apart(comparison, first, second) for first, second in pairs]
    p = np.array([paired_p_values(values[:, None])[0] for values in apart])
    together = holm(p) if corrected else p
    settings = comparison.settings
    found = []
    for values, own, of_all in zip(apart, p, together, strict=True):
        spread = mean_interval(
            values,
            n_bootstrap=settings["n_bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
        )
        found.append(Difference.tested(spread, own, of_all, settings["confidence"]))
    return found


def _apart(comparison: Comparison, first: FigureKey, second: FigureKey | None) -> Float64Array:
    for key in (first, second):
        if key is not None and key not in comparison.values:
            raise InvalidArgumentError(f"not measured: {key}")
    against = CHANCE if second is None else comparison.values[second]
    values = comparison.values[first] - against
    return values[np.isfinite(values)]


def auc_above_chance(comparison: Comparison, split: str) -> dict[str, Difference]:
    """{model: its item-wise AUC less chance} among new items; corrected for the number of models.

    Empty where no item has an item-wise AUC.
    """
    keys: list[FigureKey] = [
        (split, COLD, name, ITEM_AUC, None)
        for name in contenders(comparison)
        if (split, COLD, name, ITEM_AUC, None) in comparison.figures()
    ]
    found = paired_gaps(comparison, [(key, None) for key in keys])
    return {key[2]: gap for key, gap in zip(keys, found, strict=True)}
