"""Further sentences: other splits, and what more plays would bring."""

import pandas as pd

from evaluation.comparison import Comparison
from evaluation.evidence import facts_of, first_split
from evaluation.headline import headline, opening
from evaluation.trial import CATALOGUE
from evaluation.wording import called, number


def findings(
    comparison: Comparison, noun: str = "songs", curve: pd.DataFrame | None = None
) -> list[str]:
    """What the figures say beyond the summary: a sentence each; empty where there is no more.

    ``curve`` is what :func:`evaluation.learning_curve.learning_curve` returns.
    """
    spoken_of = {first_split(comparison, kind) for kind in ("warm", "cold")}
    found = [
        headline(comparison, name, _candidates(comparison, name), opening(comparison, name, noun))
        for name in (facts["name"] for facts in comparison.splits)
        if name not in spoken_of
    ]
    if curve is not None and len(curve):
        found += [_more_plays(curve, model) for model in dict.fromkeys(curve["model"])]
    return [text for text in found if text]


def _candidates(comparison: Comparison, split: str) -> str:
    """Semi-cold items are ranked among themselves, where that was measured; else all are."""
    if facts_of(comparison, split)["kind"] != "semi-cold":
        return CATALOGUE
    own = [key[1] for key in comparison.figures() if key[0] == split]
    return next((name for name in own if name != CATALOGUE), CATALOGUE)


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
