"""Further sentences: other splits, where in the data a gain is, what more plays would bring."""

from typing import Final

import pandas as pd

from evaluation.comparison.candidate_sets import CATALOGUE
from evaluation.comparison.comparison import Comparison
from evaluation.conclusions.evidence import best_model, facts_of, first_split
from evaluation.conclusions.headlines import cold_headline, headline, opening, semi_cold_headline
from evaluation.conclusions.wording import called, listing, number
from evaluation.metrics.slices import LISTENERS, POPULARITY

_KINDS: Final = (POPULARITY, LISTENERS)
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
    kind = facts_of(comparison, split)["kind"]
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
        return listing([_SLICE_WORDS.get(name, name).format(noun=noun) for name in names])

    parts = []
    if ahead:
        everywhere = not behind and not rest
        only = "" if everywhere or len(ahead) > 1 else " only"
        gains = ", ".join(
            f"{number(base['mean'][name])} to {number(own['mean'][name])}" for name in ahead
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
    change = f"from {number(before['mean'])} to {number(last['mean'])}"
    plays = f"{int(before['interactions']):,} to {int(last['interactions']):,} plays"
    if last["low"] > before["high"]:
        return f"{called(model)} still gains from more plays (nDCG {change} with {plays})."
    if last["high"] < before["low"]:
        return f"{called(model)} loses with more plays (nDCG {change} with {plays})."
    return f"{called(model)} is not shown to gain from more plays (nDCG {change} with {plays})."
