"""Tables of means, bootstrap intervals and paired differences from one value a user."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from evaluation.comparison.bootstrap import (
    Bootstrap,
    Difference,
    Interval,
    holm,
    paired_p_values,
    percentile_interval,
)
from evaluation.metrics.ranking import ACCURACY, ITEM_METRICS

FigureKey = tuple[str, str, str, str, int | None]
"""(split, candidates, model, metric, k); k is None for the AUCs."""

FIGURE_COLUMNS: Final = (
    "split", "candidates", "model", "control", "metric", "k", "mean", "low", "high", "n",
)  # fmt: skip
"""Columns of the table of means."""
DIFFERENCE_COLUMNS: Final = (
    "split", "candidates", "metric", "k", "model", "against", "role",
    "mean", "low", "high", "p", "p_corrected", "shown",
)  # fmt: skip
"""Columns of the table of paired differences."""
SLICE_COLUMNS: Final = (
    "split", "candidates", "model", "control", "by", "slice", "metric", "k",
    "mean", "low", "high", "n",
)  # fmt: skip
"""Columns of the table of slices."""
SliceFigureKey = tuple[str, str, str, str, str, str, int]
"""(split, candidates, model, by, slice, metric, k)."""
SliceKey = tuple[str, str, str, str]
"""(split, candidates, by, slice)."""
_Gap = tuple[Interval, float]
"""A paired difference and its p-value."""

_PAIRS_AT_ONCE: Final = 32
"""Pairs of figures whose differences are held in memory at once."""


def tabulate(
    values: Mapping[FigureKey, Float64Array],
    of_catalogue: Mapping[FigureKey, tuple[float, int]],
    controls: Collection[str],
    baseline: str,
    *,
    bootstrap: Bootstrap,
    confidence: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute means with intervals, and differences from the baseline and from the best model.

    All models and metrics measured on the same users share the bootstrap resamples, so that every
    difference is paired. The best model is the one with the highest mean that is not a control;
    only accuracy has one, as more novelty or popularity is not better. NaN is a user (or item)
    without a value; a difference is over those with a value on both sides. p-values are corrected
    (Holm) over the models compared with the same one in one split, set of candidates, metric and
    k. What has no value at all has no row.

    Args:
        values: one value a user or item for each figure.
        of_catalogue: coverage and Gini: (value, number of items); without an interval, as items
            are not resampled.
        controls: names of the models that are controls.
        baseline: name of the model that others are compared with.
        bootstrap: the resamples.
        confidence: level of the intervals.

    Returns:
        The table of means (``FIGURE_COLUMNS``) and that of differences (``DIFFERENCE_COLUMNS``).
    """
    samples: dict[tuple[str, str, bool], list[FigureKey]] = {}
    for key in values:
        samples.setdefault((key[0], key[1], key[3] in ITEM_METRICS), []).append(key)
    figures: list[tuple[Any, ...]] = []
    differences: list[tuple[Any, ...]] = []
    for keys in samples.values():
        measured = {(key[3], key[4]) for key in keys if np.isfinite(values[key]).any()}
        keys = [key for key in keys if (key[3], key[4]) in measured]
        if not keys:
            continue
        sample = _PairedFigures(keys, values, bootstrap, confidence)
        for key in keys:
            split, candidates, model, metric, k = key
            n = sample.n[key]
            spread = percentile_interval(sample.mean[key], sample.resampled[key], n, confidence)
            figures.append((split, candidates, model, model in controls, metric, k, *spread, n))
        differences.extend(_differences(sample, controls, baseline))
    for (split, candidates, model, metric, k), (mean, n) in of_catalogue.items():
        spread = Interval(mean, math.nan, math.nan)
        figures.append((split, candidates, model, model in controls, metric, k, *spread, n))
    return (
        pd.DataFrame(figures, columns=list(FIGURE_COLUMNS)).astype({"k": "Int64"}),
        pd.DataFrame(differences, columns=list(DIFFERENCE_COLUMNS)).astype({"k": "Int64"}),
    )


def tabulate_slices(
    values: Mapping[SliceFigureKey, Float64Array],
    rows: Mapping[SliceKey, IntArray],
    n_users: Mapping[str, int],
    controls: Collection[str],
    *,
    bootstrap: Bootstrap,
    confidence: float,
) -> pd.DataFrame:
    """Compute the means of slices with their intervals.

    All slices of a split share the resamples of its users.

    Args:
        values: one value a user of the slice.
        rows: positions of the slice's users among all users of its split.
        n_users: number of users of each split.
        controls: names of the models that are controls.
        bootstrap: the resamples.
        confidence: level of the intervals.

    Returns:
        A row for each slice, model, metric and k (``SLICE_COLUMNS``).
    """
    slices: dict[str, dict[SliceKey, list[SliceFigureKey]]] = {}
    for key in values:
        name = (*key[:2], *key[3:5])
        slices.setdefault(key[0], {}).setdefault(name, []).append(key)
    table: list[tuple[Any, ...]] = []
    for split, of_split in slices.items():
        parts = [
            (rows[name], np.stack([values[key] for key in keys], axis=1))
            for name, keys in of_split.items()
        ]
        resampled = bootstrap.part_means(parts, n_users[split])
        for keys, (_, stacked), means in zip(of_split.values(), parts, resampled, strict=True):
            n = len(stacked)
            for place, key in enumerate(keys):
                mean = float(stacked[:, place].mean())
                spread = percentile_interval(mean, means[:, place], n, confidence)
                table.append((*key[:3], key[2] in controls, *key[3:], *spread, n))
    return pd.DataFrame(table, columns=list(SLICE_COLUMNS)).astype({"k": "Int64"})


class _PairedFigures:
    """Figures of the same users: their means and resampled means."""

    def __init__(
        self,
        keys: list[FigureKey],
        values: Mapping[FigureKey, Float64Array],
        bootstrap: Bootstrap,
        confidence: float,
    ) -> None:
        self.keys = keys
        self.values = values
        self.confidence = confidence
        self._bootstrap = bootstrap
        self.n = {key: int(np.isfinite(values[key]).sum()) for key in keys}
        self.mean = {key: _mean(values[key]) for key in keys}
        resampled = bootstrap.means(np.stack([values[key] for key in keys], axis=1))
        self.resampled = dict(zip(keys, resampled.T, strict=True))

    def gaps(
        self, pairs: Iterable[tuple[FigureKey, FigureKey]]
    ) -> dict[tuple[FigureKey, FigureKey], _Gap]:
        """Paired differences, first of each pair minus second, and their p-values."""
        distinct = list(dict.fromkeys(pairs))
        found: dict[tuple[FigureKey, FigureKey], _Gap] = {}
        for start in range(0, len(distinct), _PAIRS_AT_ONCE):
            found |= self._gaps(distinct[start : start + _PAIRS_AT_ONCE])
        return found

    def _gaps(
        self, pairs: Sequence[tuple[FigureKey, FigureKey]]
    ) -> dict[tuple[FigureKey, FigureKey], _Gap]:
        apart = np.stack([self.values[key] - self.values[other] for key, other in pairs], axis=1)
        n = np.isfinite(apart).sum(axis=0)
        # Where the same users take part on both sides, the resampled means are there already.
        uneven = [
            place
            for place, (key, other) in enumerate(pairs)
            if not n[place] == self.n[key] == self.n[other]
        ]
        resampled = {}
        if uneven:
            resampled = dict(zip(uneven, self._bootstrap.means(apart[:, uneven]).T, strict=True))
        p_values = paired_p_values(apart).tolist()
        found = {}
        for place, (key, other) in enumerate(pairs):
            if place in resampled:
                mean, means = _mean(apart[:, place]), resampled[place]
            else:
                mean = self.mean[key] - self.mean[other]
                means = self.resampled[key] - self.resampled[other]
            spread = percentile_interval(mean, means, int(n[place]), self.confidence)
            found[key, other] = spread, p_values[place]
        return found


def _differences(
    sample: _PairedFigures, controls: Collection[str], baseline: str
) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of differences; each family of p-values is corrected together."""
    families: dict[tuple[str, str, str, int | None], list[FigureKey]] = {}
    for key in sample.keys:
        families.setdefault((key[0], key[1], key[3], key[4]), []).append(key)
    wanted: list[tuple[str, FigureKey, list[FigureKey]]] = []
    for (split, candidates, metric, k), keys in families.items():
        against = {"baseline": (split, candidates, baseline, metric, k)}
        rivals = [key for key in keys if key[2] not in controls and sample.n[key]]
        if metric in ACCURACY and rivals:
            against["best"] = max(rivals, key=sample.mean.__getitem__)
        for role, other in against.items():
            if other in sample.mean:
                wanted.append((role, other, [key for key in keys if key != other]))
    # The best is often the baseline: what is wanted twice is computed once.
    gaps = sample.gaps([(key, other) for _, other, keys in wanted for key in keys])
    for role, other, keys in wanted:
        corrected = holm([gaps[key, other][1] for key in keys]).tolist()
        for key, p_corrected in zip(keys, corrected, strict=True):
            split, candidates, model, metric, k = key
            gap, p = gaps[key, other]
            tested = Difference.tested(gap, p, p_corrected, sample.confidence)
            yield (
                split, candidates, metric, k, model, other[2], role,
                *gap, p, p_corrected, tested.shown,
            )  # fmt: skip


def _mean(values: Float64Array) -> float:
    """Mean without NaN; NaN where nothing is left."""
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else math.nan
