"""Further sentences: other splits, where in the data a gain is, what more plays would bring.

What a reader must know before trusting the figures.

What the figures allow one to say, in words, by rules.

A difference is stated only where its paired bootstrap interval leaves out 0 and its p-value,
corrected for the number of models, is below the level; everything else is "no difference shown",
which is not the same as no difference.
"""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from evaluation.comparison.comparison import Comparison
from evaluation.comparison.trial import CATALOGUE, COLD
from evaluation.conclusions.audio_controls import controls_sentence
from evaluation.conclusions.evidence import (
    best_model,
    first_split,
    n_new_items_ranked,
    split_info,
    too_few_for_lists,
)
from evaluation.conclusions.headlines import cold_headline, headline, opening, semi_cold_headline
from evaluation.conclusions.wording import format_number, join_names, quote_name
from evaluation.metrics.slices import BY_ACTIVITY, BY_POPULARITY

_KINDS: Final = (BY_POPULARITY, BY_ACTIVITY)
"""Slices that are spoken of, see :mod:`evaluation.metrics.slices`."""

_SLICE_WORDS: Final = {
    "head": "the most popular {noun}",
    "middle": "the {noun} in the middle",
    "tail": "the tail",
    "light": "light listeners",
    "medium": "listeners in between",
    "heavy": "heavy listeners",
}


def findings(
    comparison: Comparison, noun: str = "songs", curve: pd.DataFrame | None = None
) -> list[str]:
    """What the figures say beyond the summary: a sentence each; empty where there is no more.

    ``curve`` is what :func:`evaluation.comparison.learning_curve.learning_curve` returns.
    """
    spoken_of = {first_split(comparison, kind) for kind in ("warm", "cold")}
    names = [facts["name"] for facts in comparison.splits if facts["name"] not in spoken_of]
    found = [_of_split(comparison, name, noun) for name in names]
    warm = first_split(comparison, "warm")
    if warm is not None:
        found += [_where(comparison, warm, by, noun) for by in _KINDS]
    if curve is not None and len(curve):
        found += [_more_plays(curve, model) for model in dict.fromkeys(curve["model"])]
    return [text for text in found if text]


def _of_split(comparison: Comparison, split: str, noun: str) -> str:
    begin = opening(comparison, split, noun)
    kind = split_info(comparison, split)["kind"]
    if kind == "cold":
        return cold_headline(comparison, split, begin)
    if kind == "semi-cold":
        return semi_cold_headline(comparison, split, begin)
    return headline(comparison, split, CATALOGUE, begin)


def _where(comparison: Comparison, split: str, by: str, noun: str) -> str:
    """In which slices the best model is shown to be ahead of the baseline, and in which not.

    Shown is what two intervals apart show, which is stricter than a paired difference.
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
    return f"{opening(comparison, split, noun)}, the gain of {best} over {baseline} {text}."


def _more_plays(curve: pd.DataFrame, model: str) -> str:
    """Whether the last doubling or so of the plays is shown to have helped."""
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


_FEW_ITEMS = 50

_SAMPLED = "sampled "
"""How the names of sampled candidates begin."""


def cautions(comparison: Comparison, noun: str = "songs") -> list[str]:
    """What weakens the figures, a sentence each; empty if there is nothing."""
    found = []
    shortest = comparison.ks[0]
    for split in comparison.splits:
        n_cold = split["cold_items"]
        if too_few_for_lists(comparison, split):
            thin = split["kind"] == "semi-cold"
            instead = "Ranking the whole catalogue" if thin else "The item-wise AUC"
            found.append(
                f"Split “{split['name']}” has {n_new_items_ranked(split)} {split['kind']}"
                f" {noun}{' in a fold' if split['folds'] else ''}: a list of {shortest} holds"
                f" most of them, whoever makes it. {instead} takes the place of the lists."
            )
        n_tested = {"cold": n_cold, "semi-cold": split["thin_items"]}.get(split["kind"])
        if n_tested is not None and n_tested < _FEW_ITEMS:
            found.append(
                f"The intervals of split “{split['name']}” are over users; that only {n_tested}"
                f" {noun} were held out, and which, adds an uncertainty they do not show."
            )
        if split["auc_items_left_out"]:
            found.append(
                f"Split “{split['name']}”: {split['auc_items_left_out']} of {n_cold} cold {noun}"
                " have no item-wise AUC, as none or all of the users ranked are their listeners."
            )
        found.extend(_silent_models(comparison, split))
    sampled = sorted({str(key[1]) for key in comparison.figures() if key[1].startswith(_SAMPLED)})
    found.extend(
        f"“{name}” ranks what is relevant among a few {noun} drawn at random: figures are far"
        f" higher than among all {noun}, and the order of models can be another (Krichene and"
        " Rendle, 2020). They compare with published figures made the same way, and with no others."
        for name in sampled
    )
    return found


def _silent_models(comparison: Comparison, split: Mapping[str, Any]) -> list[str]:
    """Models that leave test users without a list, which count 0 there."""
    found = []
    runs = comparison.runs[comparison.runs["split"] == split["name"]]
    n_users = split["test_users"]
    mute = [row.model for row in runs.itertuples() if row.recommends_cold is False]
    if mute:
        found.append(
            f"Split “{split['name']}”: {join_names(mute)} cannot recommend what nobody has played;"
            f" {'it counts' if len(mute) == 1 else 'they count'} 0 there, and 0.5 in item-wise AUC."
        )
    for candidates, where in ((CATALOGUE, "whole catalogue"), (COLD, "cold items")):
        column = f"users_without_list_{candidates}"
        if column not in runs:
            continue
        for model, silent in zip(runs["model"], runs[column], strict=True):
            if silent > 0 and not (candidates == COLD and model in mute):
                found.append(
                    f"Split “{split['name']}”: {model} gave {int(silent)} of {n_users} users no"
                    f" list ({where}); they count 0."
                )
    return found


def summarise(comparison: Comparison, noun: str = "songs") -> list[str]:
    """At most three sentences: new items, what the controls say about them, known items.

    Where neither was measured, the first split. ``noun`` is what the items are called;
    :func:`main_measure` decides which model is best.
    """
    sentences = []
    cold = first_split(comparison, "cold")
    if cold is not None:
        sentences.append(cold_headline(comparison, cold, opening(comparison, cold, noun)))
        sentences.append(controls_sentence(comparison, cold))
    warm = first_split(comparison, "warm")
    if warm is not None:
        sentences.append(headline(comparison, warm, CATALOGUE, opening(comparison, warm, noun)))
    return sentences or findings(comparison, noun)[:1]
