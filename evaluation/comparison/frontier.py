"""The table of what new items cost in whole lists, against what lists show of them."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array
from evaluation.comparison.bootstrap import Interval, mean_interval
from evaluation.comparison.run import (
    NDCG_KNOWN,
    NDCG_NEW,
    NEW_LARGEST_SHARE,
    NEW_SHARE,
    NEW_SHOWN,
    NEW_SHOWN_TO_TEN,
)
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import AT_BUDGET, AT_RANDOM, CATALOGUE

FRONTIER_TABLE_COLUMNS: Final = (
    "split", "model", "control", "discovery", "at_random", "k", "share", "share_low", "share_high",
    "shown", "shown_to_ten", "largest_share", "ndcg", "ndcg_new", "ndcg_new_low", "ndcg_new_high",
    "ndcg_known", "cost", "cost_low", "cost_high",
)  # fmt: skip
"""Columns of the table; ``at_random`` marks lists with random new items in the places of new
items."""


def tabulate_frontier(
    values: Mapping[FigureKey, Float64Array],
    figures: Mapping[FigureKey, Interval],
    controls: Collection[str],
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Make two rows for each model and budget, and for a model's own lists.

    One is of the lists, the other of the same lists with new items drawn at random in the places of
    new items.

    The cost is the share of nDCG of both kinds together that is lost against the same model at the
    budget 0; its interval is that of the paired difference of users, divided by the nDCG at 0. The
    row of a model's own lists (``discovery`` is NaN) has a cost where the model takes budgets.

    Args:
        values: one value a user for each figure.
        figures: means with their intervals.
        controls: names of the models that are controls.
        n_bootstrap: number of resamples.
        confidence: level of the intervals.
        seed: seed of the resamples.

    Returns:
        ``FRONTIER_TABLE_COLUMNS``; empty without new items in whole lists.

    Examples:
        >>> found = tabulate_frontier(comparison.values, comparison.figures(), (), n_bootstrap=100,
        ...                           confidence=0.95, seed=0)
        >>> len(found)  # this comparison has no new items
        0
    """
    rows: list[dict[str, Any]] = []
    for key in values:
        split, candidates, model, metric, k = key
        if metric != NEW_SHARE:
            continue
        budget, at_random = _budget(candidates)
        place = (split, candidates, model)
        # Where no model gives anybody a list, there is no share either.
        nothing = Interval(0.0, math.nan, math.nan)
        share = figures.get((*place, NEW_SHARE, k), nothing)
        new = figures.get((*place, NDCG_NEW, k))
        free = values.get((split, f"{AT_BUDGET}0", model, "ndcg", k))
        cost = Interval(math.nan, math.nan, math.nan)
        if free is not None:
            lost = free - values[(*place, "ndcg", k)]
            spread = mean_interval(
                lost[np.isfinite(lost)], n_bootstrap=n_bootstrap, confidence=confidence, seed=seed
            )
            base = float(np.nanmean(free))
            if base > 0:
                cost = Interval(*(float(end) / base for end in spread))
        rows.append(
            {
                "split": split,
                "model": model,
                "control": model in controls,
                "discovery": math.nan if budget is None else budget,
                "at_random": at_random,
                "k": k,
                "share": share.mean,
                "share_low": share.low,
                "share_high": share.high,
                "shown": figures[(*place, NEW_SHOWN, k)].mean,
                "shown_to_ten": figures[(*place, NEW_SHOWN_TO_TEN, k)].mean,
                "largest_share": figures[(*place, NEW_LARGEST_SHARE, k)].mean,
                "ndcg": figures[(*place, "ndcg", k)].mean,
                "ndcg_new": math.nan if new is None else new.mean,
                "ndcg_new_low": math.nan if new is None else new.low,
                "ndcg_new_high": math.nan if new is None else new.high,
                "ndcg_known": _mean(figures.get((*place, NDCG_KNOWN, k))),
                "cost": cost.mean,
                "cost_low": cost.low,
                "cost_high": cost.high,
            }
        )
    return pd.DataFrame(rows, columns=list(FRONTIER_TABLE_COLUMNS))


def _budget(candidates: str) -> tuple[float | None, bool]:
    """The budget in the name of a set of candidates, and whether its new items are random ones."""
    at_random = candidates.endswith(AT_RANDOM)
    name = candidates.removesuffix(AT_RANDOM)
    return (None if name == CATALOGUE else float(name.removeprefix(AT_BUDGET))), at_random


def _mean(value: Interval | None) -> float:
    return math.nan if value is None else value.mean
