"""Conclusions of a comparison in sentences: the summary, further findings, and cautions.

The sentences follow rules, so that the same figures always give the same words. A difference is
stated only if its paired bootstrap interval excludes 0 and its p-value, corrected for the number of
models, is below the level. Everything else is "no difference shown", which is not the same as no
difference.
"""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from evaluation.comparison.comparison import Comparison
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS
from evaluation.conclusions.audio_controls import controls_sentence
from evaluation.conclusions.evidence import (
    LEAST_NEW_ITEMS,
    best_model,
    first_split,
    n_new_items_ranked,
    n_new_items_tested,
    new_items_split,
    split_info,
    too_few_for_lists,
)
from evaluation.conclusions.headlines import (
    cold_headline,
    headline,
    lists_headline,
    semi_cold_headline,
    sentence_opening,
)
from evaluation.conclusions.verdict import subject
from evaluation.conclusions.wording import format_number, join_names, quote_name
from evaluation.metrics.slices import BY_ACTIVITY, BY_POPULARITY

_OPENING_NEW = "On {noun} nobody has played"

_SLICE_KINDS: Final = (BY_POPULARITY, BY_ACTIVITY)
"""Kinds of slices that findings are about, see ``evaluation.metrics.slices``."""

_SLICE_WORDS: Final = {
    "head": "the most popular {noun}",
    "middle": "the {noun} in the middle",
    "tail": "the tail",
    "light": "light listeners",
    "medium": "listeners in between",
    "heavy": "heavy listeners",
}

_FEW_ITEMS = 50
"""Fewer held-out items than this deserve a caution."""

_SAMPLED = "sampled "
"""How the names of sets of sampled candidates begin."""


def summarise(comparison: Comparison, noun: str = "songs") -> list[str]:
    """Summarise a comparison: new items in lists, among themselves, and known items.

    What the controls show about new items is said where there are enough of them to tell.

    The best model is the best by ``main_measure``.

    Args:
        comparison: the comparison.
        noun: what the items are called, in the plural.

    Returns:
        At most four sentences; if there is neither a cold nor a warm split, one on the first.

    Examples:
        >>> print(summarise(comparison)[0])  # doctest: +ELLIPSIS
        On songs people play, no model is shown to beat popularity (nDCG@5 ..., 95% interval ...).
    """
    sentences = []
    mixed = first_split(comparison, "mixed")
    if mixed is not None:
        sentences.append(lists_headline(comparison, mixed, subject(comparison), noun))
    cold = new_items_split(comparison)
    if cold is not None:
        begin = _OPENING_NEW.format(noun=noun)
        if split_info(comparison, cold)["kind"] == "cold":
            begin = sentence_opening(comparison, cold, noun)
        sentences.append(cold_headline(comparison, cold, begin))
        if n_new_items_tested(comparison, cold) >= LEAST_NEW_ITEMS:
            sentences.append(controls_sentence(comparison, cold))
    warm = first_split(comparison, "warm")
    if warm is not None:
        begin = sentence_opening(comparison, warm, noun)
        sentences.append(headline(comparison, warm, CATALOGUE, begin))
    return sentences or findings(comparison, noun)[:1]


def findings(
    comparison: Comparison, noun: str = "songs", curve: pd.DataFrame | None = None
) -> list[str]:
    """State what the figures show beyond the summary.

    These are the other splits, the slices of items and users where the best model gains, and
    whether more plays would help.

    Args:
        comparison: the comparison.
        noun: what the items are called, in the plural.
        curve: a learning curve of ``evaluation.comparison.learning_curves.learning_curve``.

    Returns:
        One sentence each; empty if there is nothing more.

    Examples:
        >>> findings(comparison)  # one split, and no model is better than the baseline
        []
    """
    summarised = {first_split(comparison, kind) for kind in ("warm", "cold", "mixed")}
    names = [split["name"] for split in comparison.splits if split["name"] not in summarised]
    sentences = [_on_split(comparison, name, noun) for name in names]
    warm = first_split(comparison, "warm")
    if warm is not None:
        sentences += [_on_slices(comparison, warm, by, noun) for by in _SLICE_KINDS]
    if curve is not None and len(curve):
        sentences += [_on_more_plays(curve, model) for model in dict.fromkeys(curve["model"])]
    return [sentence for sentence in sentences if sentence]


def cautions(comparison: Comparison, noun: str = "songs") -> list[str]:
    """State what a reader must know before trusting the figures.

    These are too few held-out items, items without an item-wise AUC, users without lists, and
    sampled candidates.

    Args:
        comparison: the comparison.
        noun: what the items are called, in the plural.

    Returns:
        One sentence or two each; empty if there is nothing to know.

    Examples:
        >>> cautions(comparison)
        []
    """
    sentences = []
    for split in comparison.splits:
        n_cold = split["cold_items"]
        if too_few_for_lists(comparison, split):
            few_shot = split["kind"] == "semi-cold"
            kind = "semi-cold" if few_shot else "cold"
            instead = "Ranking the whole catalogue" if few_shot else "The item-wise AUC"
            sentences.append(
                f"Split “{split['name']}” has {n_new_items_ranked(split)} {kind}"
                f" {noun}{' in a fold' if split['folds'] else ''}: a list of {comparison.ks[0]}"
                f" holds most of them, whoever makes it. {instead} takes the place of the lists."
            )
        tested = {"cold": n_cold, "mixed": n_cold, "semi-cold": split["thin_items"]}
        n_tested = tested.get(split["kind"])
        again = split["kind"] == "mixed" and first_split(comparison, "cold") is not None
        if n_tested is not None and n_tested < _FEW_ITEMS and not again:
            sentences.append(
                f"The intervals of split “{split['name']}” are over users; that only {n_tested}"
                f" {noun} were held out, and which, adds an uncertainty they do not show."
            )
        if split["auc_items_left_out"]:
            sentences.append(
                f"Split “{split['name']}”: {split['auc_items_left_out']} of {n_cold} cold {noun}"
                " have no item-wise AUC, as none or all of the users ranked are their listeners."
            )
        sentences.extend(_on_missing_lists(comparison, split))
    sampled = sorted({str(key[1]) for key in comparison.figures() if key[1].startswith(_SAMPLED)})
    sentences.extend(
        f"“{name}” ranks what is relevant among a few {noun} drawn at random: figures are far"
        f" higher than among all {noun}, and the order of models can be another (Krichene and"
        " Rendle, 2020). They compare with published figures made the same way, and with no others."
        for name in sampled
    )
    return sentences


def _on_split(comparison: Comparison, split: str, noun: str) -> str:
    begin = sentence_opening(comparison, split, noun)
    kind = split_info(comparison, split)["kind"]
    if kind == "cold":
        return cold_headline(comparison, split, begin)
    if kind == "semi-cold":
        return semi_cold_headline(comparison, split, begin)
    return headline(comparison, split, CATALOGUE, begin)


def _on_slices(comparison: Comparison, split: str, by: str, noun: str) -> str:
    """State on which slices the best model is shown to be ahead of the baseline, and on which not.

    A difference is shown if the two intervals do not overlap, which is stricter than a paired test.
    """
    best, baseline = best_model(comparison, split, CATALOGUE), comparison.baseline
    k = comparison.ks[0]
    if best == baseline:
        return ""
    rows = comparison.slices
    rows = rows[
        (rows["split"] == split)
        & (rows["candidates"] == CATALOGUE)
        & (rows["by"] == by)
        & (rows["metric"] == "ndcg")
        & (rows["k"] == k)
    ]
    own, base = (rows[rows["model"] == name].set_index("slice") for name in (best, baseline))
    ahead = [name for name in own.index if own["low"][name] > base["high"][name]]
    behind = [name for name in own.index if own["high"][name] < base["low"][name]]
    rest = [name for name in own.index if name not in (*ahead, *behind)]
    if not ahead and not behind:
        return ""

    def words(names: list[str]) -> str:
        return join_names([_SLICE_WORDS.get(name, name).format(noun=noun) for name in names])

    parts = []
    if ahead:
        everywhere = not behind and not rest
        only = "" if everywhere or len(ahead) > 1 else " only"
        gains = ", ".join(
            f"{format_number(base['mean'][name])} to {format_number(own['mean'][name])}"
            for name in ahead
        )
        parts.append(f"is shown for {words(ahead)}{only} (nDCG@{k} {gains})")
    if rest:
        parts.append(f"is not shown for {words(rest)}")
    if behind:
        parts.append(f"is a loss for {words(behind)}")
    text = " and ".join(parts)
    begin = sentence_opening(comparison, split, noun)
    return f"{begin}, the gain of {best} over {baseline} {text}."


def _on_more_plays(curve: pd.DataFrame, model: str) -> str:
    """State whether the last step of the learning curve is shown to have helped."""
    rows = curve[(curve["model"] == model) & (curve["metric"] == "ndcg")]
    rows = rows.sort_values("fraction")
    if len(rows) < 2:
        return ""
    before, last = rows.iloc[-2], rows.iloc[-1]
    change = f"from {format_number(before['mean'])} to {format_number(last['mean'])}"
    plays = f"{int(before['interactions']):,} to {int(last['interactions']):,} plays"
    if last["low"] > before["high"]:
        return f"{quote_name(model)} still gains from more plays (nDCG {change} with {plays})."
    if last["high"] < before["low"]:
        return f"{quote_name(model)} loses with more plays (nDCG {change} with {plays})."
    return f"{quote_name(model)} is not shown to gain from more plays (nDCG {change} with {plays})."


def _on_missing_lists(comparison: Comparison, split: Mapping[str, Any]) -> list[str]:
    """Name the models that leave test users without a list."""
    sentences = []
    runs = comparison.runs[comparison.runs["split"] == split["name"]]
    no_cold = [row.model for row in runs.itertuples() if row.recommends_cold is False]
    if no_cold:
        sentences.append(
            f"Split “{split['name']}”: {join_names(no_cold)} cannot recommend what nobody has"
            f" played; {'it counts' if len(no_cold) == 1 else 'they count'} 0 there, and 0.5 in"
            " item-wise AUC."
        )
    for candidates, where in ((CATALOGUE, "whole catalogue"), (COLD_ITEMS, "cold items")):
        column = f"users_without_list_{candidates}"
        if column not in runs:
            continue
        for model, without_list in zip(runs["model"], runs[column], strict=True):
            if without_list > 0 and not (candidates == COLD_ITEMS and model in no_cold):
                sentences.append(
                    f"Split “{split['name']}”: {model} gave {int(without_list)} of"
                    f" {split['test_users']} users no list ({where}); they count 0."
                )
    return sentences
