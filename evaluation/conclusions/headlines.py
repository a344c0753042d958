"""Sentences on one split: which model is best, by how much, and which differences are not shown."""

from collections.abc import Collection

import numpy as np

from evaluation.comparison.comparison import Comparison
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS
from evaluation.conclusions.audio_controls import auc_clause, too_few_clause
from evaluation.conclusions.evidence import (
    LEAST_NEW_ITEMS,
    auc_above_chance,
    best_model,
    contenders,
    deciding_candidates,
    knows_who_plays_what,
    main_measure,
    n_new_items_tested,
    shown_worse_than_baseline,
    split_info,
    tied_by_item_auc,
    tied_with_best,
)
from evaluation.conclusions.wording import (
    format_number,
    format_p_value,
    format_percent,
    format_ratio,
    is_or_are,
    join_names,
    quote_name,
)
from evaluation.metrics.ranking import ITEM_AUC

_OPENINGS = {
    "warm": "On {noun} people play",
    "cold": "On {noun} nobody has played",
    "semi-cold": "On {noun} of which hardly a play is known",
    "time": "On what was played later",
    "mixed": "On {noun} people play and new ones together",
    "cold users": "For users who were not there in training",
}


def sentence_opening(comparison: Comparison, split: str, noun: str) -> str:
    """Return the opening of a sentence on a split, which names it if others are of its kind."""
    kind = split_info(comparison, split)["kind"]
    text = _OPENINGS[kind].format(noun=noun)
    alone = sum(other["kind"] == kind for other in comparison.splits) == 1
    return text if alone else f"{text} (split “{split}”)"


def headline(
    comparison: Comparison,
    split: str,
    candidates: str,
    begin: str,
    also_tied: Collection[str] = (),
) -> str:
    """Compare the best model with the baseline by nDCG at the shortest list length.

    Args:
        comparison: the comparison.
        split: name of the split.
        candidates: name of the set of candidates.
        begin: opening of the sentence.
        also_tied: models to count as tied with the best, besides those that nDCG shows to be.

    Returns:
        One sentence, which also names the models tied with the best and those below the baseline.
    """
    figures, k = comparison.figures(), comparison.ks[0]
    best, baseline = best_model(comparison, split, candidates), comparison.baseline
    if comparison.models == [best] or set(contenders(comparison)) == {best} == {baseline}:
        measured = _ndcg(comparison, split, candidates, best)
        return f"{begin}, {quote_name(best)} has {measured}; no other model was measured."
    tied = tied_with_best(comparison, split, candidates)
    behind = _behind(comparison, split, candidates)
    against = format_number(figures[split, candidates, baseline, "ndcg", k].mean)
    if best == baseline or baseline in tied:
        text = f"{begin}, no model is shown to beat {quote_name(baseline)}"
        if best == baseline:
            return f"{text} ({_ndcg(comparison, split, candidates, best)}){behind}."
        own = _ndcg(comparison, split, candidates, best, number_only=True)
        return f"{text} (nDCG@{k} {against}; the best, {quote_name(best)}, {own}){behind}."
    key = (split, candidates, best, "ndcg", k)
    p = comparison.gaps("baseline")[key][1].p_corrected
    ahead = _ahead(comparison, split, candidates, best)
    own = _ndcg(comparison, split, candidates, best)
    text = f"{begin}, {ahead} ({own}, against {against}, corrected {format_p_value(p)})"
    others = [name for name in contenders(comparison) if name not in (best, baseline)]
    tied = [name for name in others if name in (*tied, *also_tied)]
    if tied:
        return f"{text}; no difference from {join_names(tied)} is shown{behind}."
    if not others:
        return f"{text}."
    return f"{text}; it is shown to be better than every other model{behind}."


def cold_headline(comparison: Comparison, split: str, begin: str) -> str:
    """Compare the best model with the baseline on new items.

    Nothing is claimed of fewer new items than ``LEAST_NEW_ITEMS``. Lists of new items may be good
    by luck or by popularity. So they are compared with the baseline's only if the best model is
    shown to predict who plays what, and it is called better than another model only if the
    item-wise AUC shows that too. With too few new items for lists, the item-wise AUC takes their
    place.

    Args:
        comparison: the comparison.
        split: name of a cold split.
        begin: opening of the sentence.

    Returns:
        One sentence.
    """
    best = best_model(comparison, split, COLD_ITEMS)
    others = [name for name in contenders(comparison) if name != best]
    if n_new_items_tested(comparison, split) < LEAST_NEW_ITEMS:
        alone = "" if others else "; no other model was measured"
        return f"{begin}, {too_few_clause(comparison, split)}{alone}."
    if main_measure(comparison, split, COLD_ITEMS)[0] == ITEM_AUC:
        text = f"{begin}, {auc_clause(comparison, split)}"
        if not others:
            return f"{text}; no other model was measured."
        tied = tied_with_best(comparison, split, COLD_ITEMS)
        if tied:
            return f"{text}; no difference from {join_names(tied)} is shown."
        return f"{text}; it is shown to be better than every other model."
    known = auc_above_chance(comparison, split)
    unbeaten = comparison.baseline in (best, *tied_with_best(comparison, split, COLD_ITEMS))
    if unbeaten or not known or knows_who_plays_what(comparison, split, best):
        over_items = tied_by_item_auc(comparison, split, best)
        return headline(comparison, split, COLD_ITEMS, begin, over_items)
    own, k = _ndcg(comparison, split, COLD_ITEMS, best), comparison.ks[0]
    against = format_number(
        comparison.figures()[split, COLD_ITEMS, comparison.baseline, "ndcg", k].mean
    )
    return (
        f"{begin}, {quote_name(best)} is not shown to know who plays what: what its lists are worth"
        f" ({own}, against {against} of {quote_name(comparison.baseline)}) may be popularity, or"
        " luck with the few that were held out."
    )


def lists_headline(comparison: Comparison, split: str, model: str, noun: str) -> str:
    """Say what lists of known and new items together show of new ones, and what that costs.

    Args:
        comparison: the comparison.
        split: name of a mixed split.
        model: the model.
        noun: what the items are called, in the plural.

    Returns:
        One or two sentences.
    """
    k = comparison.ks[0]
    rows = comparison.frontier
    rows = rows[(rows["split"] == split) & (rows["model"] == model) & (rows["k"] == k)]
    own = rows[rows["discovery"].isna()]
    lists, drawn = (own[own["at_random"] == at].iloc[0] for at in (False, True))
    n_new = split_info(comparison, split)["cold_items"]
    if lists["shown"] == 0:
        return (
            f"In lists of {k} of everything, {quote_name(model)} shows none of the {n_new:,} new"
            f" {noun} to anybody."
        )
    text = (
        f"In lists of {k} of everything, {quote_name(model)} gives new {noun}"
        f" {lists['share']:.1%} of the places: {lists['shown']:,.0f} of {n_new:,} are shown to"
        f" somebody, {lists['shown_to_ten']:,.0f} to ten listeners or more"
    )
    if np.isfinite(lists["ndcg_new"]):
        level = comparison.settings["confidence"]
        text += (
            f" (nDCG@{k} of new {noun} {format_number(lists['ndcg_new'])}, {level:.0%} interval"
            f" {format_number(lists['ndcg_new_low'])} to {format_number(lists['ndcg_new_high'])};"
            f" random ones in the same places {format_number(drawn['ndcg_new'])})"
        )
    if np.isfinite(lists["cost"]):
        cost, low, high = (
            format_percent(lists[name]) for name in ("cost", "cost_low", "cost_high")
        )
        level = comparison.settings["confidence"]
        spread = f"{level:.0%} interval {low} to {high}"
        if lists["cost"] > 0:
            text += f". It costs {cost} of the nDCG of both kinds together ({spread})"
        else:
            text += f". It costs nothing of the nDCG of both kinds together ({cost}, {spread})"
    return f"{text}."


def semi_cold_headline(comparison: Comparison, split: str, begin: str) -> str:
    """Compare the best model with the baseline on few-shot items.

    Also say if the model that is best among these items is worse than another in the whole
    catalogue. With too few of these items for lists, the whole catalogue takes their place.

    Args:
        comparison: the comparison.
        split: name of a semi-cold split.
        begin: opening of the sentence.

    Returns:
        One or two sentences.
    """
    candidates, k = deciding_candidates(comparison, split), comparison.ks[0]
    if candidates == CATALOGUE:
        return headline(comparison, split, CATALOGUE, f"{begin}, ranked in the whole catalogue")
    text = headline(comparison, split, candidates, begin)
    best = best_model(comparison, split, candidates)
    gap = comparison.gaps("best").get((split, CATALOGUE, best, "ndcg", k))
    if gap is None or not gap[1].shown:
        return text
    figures = comparison.figures()
    own, other = (
        format_number(figures[split, CATALOGUE, name, "ndcg", k].mean) for name in (best, gap[0])
    )
    return (
        f"{text[:-1]}. That is among themselves: in the whole catalogue {quote_name(best)} is shown"
        f" to be worse than {quote_name(gap[0])} (nDCG@{k} {own}, against {other}, corrected"
        f" {format_p_value(gap[1].p_corrected)})."
    )


def _behind(comparison: Comparison, split: str, candidates: str) -> str:
    """Name the models shown to be worse than the baseline, as the end of a sentence."""
    worse = shown_worse_than_baseline(comparison, split, candidates)
    if not worse:
        return ""
    figures, k = comparison.figures(), comparison.ks[0]
    if len(worse) == 1:
        ((name, gap),) = worse.items()
        own = format_number(figures[split, candidates, name, "ndcg", k].mean)
        exact = f" (nDCG@{k} {own}, corrected {format_p_value(gap.p_corrected)})"
    else:
        largest = max(gap.p_corrected for gap in worse.values())
        exact = f" (largest corrected {format_p_value(largest)})"
    names = list(worse)
    return (
        f"; {join_names(names)} {is_or_are(names)} shown to be worse than"
        f" {quote_name(comparison.baseline)}{exact}"
    )


def _ndcg(
    comparison: Comparison, split: str, candidates: str, model: str, *, number_only: bool = False
) -> str:
    """Write a model's nDCG with its interval."""
    k = comparison.ks[0]
    own = comparison.figures()[split, candidates, model, "ndcg", k]
    level = comparison.settings["confidence"]
    spread = f"{level:.0%} interval {format_number(own.low)} to {format_number(own.high)}"
    return f"{'' if number_only else f'nDCG@{k} '}{format_number(own.mean)}, {spread}"


def _ahead(comparison: Comparison, split: str, candidates: str, best: str) -> str:
    """Say how far the best model is ahead of the baseline, counted in hits.

    A ratio to a model that knows nothing of the items is no measure of anything, and none is
    stated where new or barely known items are ranked.
    """
    figures, k, baseline = comparison.figures(), comparison.ks[0], comparison.baseline
    if _knows_nothing(comparison, split, candidates):
        return f"{best} ranks better than {baseline}, which knows nothing of them"
    new = split_info(comparison, split)["kind"] in ("cold", "semi-cold", "mixed")
    if new or (split, candidates, best, "precision", k) not in figures:
        return f"{best} ranks better than {baseline}"
    hits = figures[split, candidates, best, "precision", k].mean
    base = figures[split, candidates, baseline, "precision", k].mean
    if base == 0:
        return f"{best} finds {hits * k:.2g} hits in a list of {k}, where {baseline} finds none"
    if hits / base >= 1.05:
        return f"{best} finds {format_ratio(hits / base)} as many hits as {baseline}"
    return f"{best} ranks better than {baseline}"


def _knows_nothing(comparison: Comparison, split: str, candidates: str) -> bool:
    """Tell whether the baseline is not shown to know new items that are ranked among themselves."""
    if candidates != COLD_ITEMS:
        return False
    known = auc_above_chance(comparison, split)
    if comparison.baseline not in known:
        return comparison.baseline == "popularity"
    return not (known[comparison.baseline].shown and known[comparison.baseline].mean > 0)
