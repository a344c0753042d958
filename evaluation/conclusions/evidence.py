"""Which differences between models are statistically supported, as the basis of all sentences.

A figure on new items varies with the users that were tested and with the items that were held out.
Intervals and p-values over users only cover the first: one ranking that happens to suit the few
held-out items suits all users at once. So claims about new items rest on the item-wise AUC, whose
units are the items, wherever it was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from datasets.arrays import Float64Array
from datasets.errors import InvalidArgumentError
from evaluation.comparison.bootstrap import Difference, holm, mean_interval, paired_p_values
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS, FEW_SHOT
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.models.controls import RANDOM

CHANCE: Final = 0.5
"""Item-wise AUC of a ranking that does not depend on the user."""


LEAST_NEW_ITEMS: Final = 30
"""Fewest new items with an item-wise AUC from which anything is said about audio. The AUC has a
standard deviation of .19 to .20 between items (Last.fm, VGGish and Spotify vectors), so that 30
items show a gain of .1 over chance four times of five; fewer show little but luck."""


def first_split(comparison: Comparison, kind: str) -> str | None:
    """Return the name of the first split of a kind, None if there is none.

    Args:
        comparison: the comparison.
        kind: kind of split, such as "warm" or "cold".

    Examples:
        >>> first_split(comparison, "warm"), first_split(comparison, "cold")
        ('warm', None)
    """
    return next((split["name"] for split in comparison.splits if split["kind"] == kind), None)


def new_items_split(comparison: Comparison) -> str | None:
    """Return the first split whose new items are ranked among themselves: cold, else mixed."""
    return first_split(comparison, "cold") or first_split(comparison, "mixed")


def split_info(comparison: Comparison, split: str) -> Mapping[str, Any]:
    """Return the counts and settings of the split with this name, as reports show them."""
    return next(facts for facts in comparison.splits if facts["name"] == split)


def contenders(comparison: Comparison) -> list[str]:
    """Return the names of the models that are not controls."""
    return [name for name in comparison.models if name not in comparison.controls]


def main_measure(comparison: Comparison, split: str, candidates: str) -> tuple[str, int | None]:
    """Choose the metric that decides which model is best.

    It is nDCG at the shortest list length; among cold items it is the item-wise AUC if such a list
    has half of them or more.

    Args:
        comparison: the comparison.
        split: name of the split.
        candidates: name of the set of candidates, such as "catalogue" or "cold".

    Returns:
        Name of the metric and k; k is None for the AUC.

    Examples:
        >>> main_measure(comparison, "warm", "catalogue")
        ('ndcg', 5)
    """
    facts = split_info(comparison, split)
    if candidates == COLD_ITEMS and facts["auc_items"] and too_few_for_lists(comparison, facts):
        return ITEM_AUC, None
    return "ndcg", comparison.ks[0]


def too_few_for_lists(comparison: Comparison, facts: Mapping[str, Any]) -> bool:
    """Tell whether the shortest list has half of the cold or few-shot items of a split, or more."""
    n_ranked = n_new_items_ranked(facts)
    return n_ranked is not None and comparison.ks[0] * 2 >= n_ranked


def n_new_items_tested(comparison: Comparison, split: str) -> int:
    """Return how many new items of a split conclusions rest on.

    Those with an item-wise AUC where it was measured, else all that are ranked among themselves.
    """
    facts = split_info(comparison, split)
    if ITEM_AUC in comparison.settings["metrics"]:
        return int(facts["auc_items"])
    return n_new_items_ranked(facts) or 0


def knows_who_plays_what(comparison: Comparison, split: str, model: str) -> bool:
    """Tell whether a model is shown to know who plays a new item, better than chance knows it.

    Its item-wise AUC must be shown to be above 0.5, corrected for the number of models, and above
    that of a random order, where that was run.
    """
    known = auc_above_chance(comparison, split)
    if model not in known or not (known[model].shown and known[model].mean > 0):
        return False
    return beats_random_order(comparison, split, model)


def beats_random_order(comparison: Comparison, split: str, model: str) -> bool:
    """Tell whether a model is shown to have a higher item-wise AUC than a random order.

    True where no random order was run, and for the random order itself.
    """
    random: FigureKey = (split, COLD_ITEMS, RANDOM, ITEM_AUC, None)
    if model == RANDOM or random not in comparison.values:
        return True
    [gap] = paired_gaps(comparison, [((split, COLD_ITEMS, model, ITEM_AUC, None), random)])
    return gap.shown and gap.mean > 0


def n_new_items_ranked(facts: Mapping[str, Any]) -> int | None:
    """Return the number of cold or few-shot items of a split, of its folds the least.

    None for a split that does not test such items.
    """
    if facts["kind"] in ("cold", "mixed"):
        return int(facts["cold_items_ranked"])
    if facts["kind"] == "semi-cold":
        return min(fold["thin_items"] for fold in facts["folds"] or (facts,))
    return None


def deciding_candidates(comparison: Comparison, split: str) -> str:
    """Choose the set of candidates that decides which model is best in a split.

    Cold items are ranked among themselves, and few-shot items too if there are enough of them for
    lists; else the whole catalogue decides, as there is no item-wise AUC of few-shot items.

    Args:
        comparison: the comparison.
        split: name of the split.

    Returns:
        Name of the set of candidates.

    Examples:
        >>> deciding_candidates(comparison, "warm")
        'catalogue'
    """
    facts = split_info(comparison, split)
    if facts["kind"] == "semi-cold":
        return CATALOGUE if too_few_for_lists(comparison, facts) else FEW_SHOT
    return COLD_ITEMS if facts["kind"] == "cold" else CATALOGUE


def best_model(comparison: Comparison, split: str, candidates: str) -> str:
    """Return the model, controls excepted, with the highest mean of ``main_measure``.

    Args:
        comparison: the comparison.
        split: name of the split.
        candidates: name of the set of candidates.

    Examples:
        >>> best_model(comparison, "warm", "catalogue")
        'popularity'
    """
    figures, measure = comparison.figures(), main_measure(comparison, split, candidates)
    return max(
        contenders(comparison), key=lambda name: figures[(split, candidates, name, *measure)].mean
    )


def tied_with_best(comparison: Comparison, split: str, candidates: str) -> list[str]:
    """Return the models not shown to be worse than the best one, without it and the controls."""
    gaps = comparison.gaps("best")
    measure = main_measure(comparison, split, candidates)
    return [
        name
        for name in contenders(comparison)
        if (gap := gaps.get((split, candidates, name, *measure))) is not None and not gap[1].shown
    ]


def tied_by_item_auc(comparison: Comparison, split: str, than: str) -> list[str]:
    """Return the models not shown to have a lower item-wise AUC on new items than model ``than``.

    Controls are left out. Empty if the item-wise AUC was not measured.
    """
    known = auc_above_chance(comparison, split)
    others = [name for name in known if name != than]
    if than not in known:
        return []
    pairs: list[tuple[FigureKey, FigureKey | None]] = [
        ((split, COLD_ITEMS, than, ITEM_AUC, None), (split, COLD_ITEMS, name, ITEM_AUC, None))
        for name in others
    ]
    gaps = paired_gaps(comparison, pairs)
    return [
        name for name, gap in zip(others, gaps, strict=True) if not (gap.shown and gap.mean > 0)
    ]


def shown_worse_than_baseline(
    comparison: Comparison, split: str, candidates: str
) -> dict[str, Difference]:
    """Return the models shown to have a lower nDCG than the baseline, and the differences.

    Controls are left out. On new items the item-wise AUC must be lower as well, if it was measured.
    """
    gaps, k = comparison.gaps("baseline"), comparison.ks[0]
    in_doubt: list[str] = []
    if candidates == COLD_ITEMS:
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
    """Test paired differences of figures.

    Args:
        comparison: the comparison.
        pairs: keys of the figures (first, second); the difference is first - second, or first -
            0.5 (chance) if second is None.
        corrected: correct the p-values of the paired t-tests by Holm for the number of pairs.

    Returns:
        The differences with bootstrap intervals and p-values, in the order of ``pairs``.

    Raises:
        InvalidArgumentError: a figure was not measured.

    Examples:
        >>> popularity, random = (("warm", "catalogue", name, "ndcg", 5)
        ...                       for name in ("popularity", "random"))
        >>> [gap] = paired_gaps(comparison, [(popularity, random)])
        >>> gap.mean > 0
        True
    """
    differences = [_differences(comparison, first, second) for first, second in pairs]
    p = np.array([paired_p_values(values[:, None])[0] for values in differences])
    p_corrected = holm(p) if corrected else p
    settings = comparison.settings
    gaps = []
    for values, own, adjusted in zip(differences, p, p_corrected, strict=True):
        spread = mean_interval(
            values,
            n_bootstrap=settings["n_bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
        )
        gaps.append(Difference.tested(spread, own, adjusted, settings["confidence"]))
    return gaps


def _differences(
    comparison: Comparison, first: FigureKey, second: FigureKey | None
) -> Float64Array:
    """Subtract the figures' values, a unit each; units without a value are left out."""
    for key in (first, second):
        if key is not None and key not in comparison.values:
            raise InvalidArgumentError(f"not measured: {key}")
    against = CHANCE if second is None else comparison.values[second]
    values = comparison.values[first] - against
    return values[np.isfinite(values)]


def auc_above_chance(comparison: Comparison, split: str) -> dict[str, Difference]:
    """Test the models' item-wise AUC on new items against chance (0.5).

    Returns:
        {model: AUC - 0.5}, p-values corrected for the number of models; without controls, and empty
        if no item has an item-wise AUC.
    """
    keys: list[FigureKey] = [
        (split, COLD_ITEMS, name, ITEM_AUC, None)
        for name in contenders(comparison)
        if (split, COLD_ITEMS, name, ITEM_AUC, None) in comparison.figures()
    ]
    found = paired_gaps(comparison, [(key, None) for key in keys])
    return {key[2]: gap for key, gap in zip(keys, found, strict=True)}
