"""From one value a user to tidy tables of means, intervals and paired differences."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from evaluation.comparison.bootstrap import (
    Difference,
    Draws,
    Interval,
    holm,
    interval,
    paired_p_values,
)
from evaluation.metrics.ranking import ACCURACY, ITEM_AUC

Key = tuple[str, str, str, str, int | None]
"""(split, candidates, model, metric, k); k is None for the AUCs."""

FIGURES: Final = (
    "split", "candidates", "model", "control", "metric", "k", "mean", "low", "high", "n",
)  # fmt: skip
"""Columns of the table of means."""
DIFFERENCES: Final = (
    "split", "candidates", "metric", "k", "model", "against", "role",
    "mean", "low", "high", "p", "p_corrected", "shown",
)  # fmt: skip
"""Columns of the table of paired differences."""
SLICES: Final = (
    "split", "candidates", "model", "control", "by", "slice", "metric", "k",
    "mean", "low", "high", "n",
)  # fmt: skip
"""Columns of the table of slices."""
SliceKey = tuple[str, str, str, str, str, str, int]
"""(split, candidates, model, by, slice, metric, k)."""
SliceName = tuple[str, str, str, str]
"""(split, candidates, by, slice)."""
Gap = tuple[Interval, float]
"""A paired difference and its p-value."""

_PAIRS: Final = 32
"""Pairs of figures whose differences are held at once."""


def tabulate(
    values: Mapping[Key, Float64Array],
    of_catalogue: Mapping[Key, tuple[float, int]],
    controls: Collection[str],
    baseline: str,
    *,
    draws: Draws,
    confidence: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means with intervals, and differences from the baseline and from the best model.

    All models and metrics measured on the same users share one set of bootstrap draws, so every
    difference is paired. The best model is the one with the highest mean that is no control; only
    accuracy has one, as more novelty or popularity is not better. A value of NaN is a user (or
    item) who does not take part in that figure, and in a difference nobody takes part who is
    missing on either side. p-values are corrected over the models held against the same one in
    one split, set of candidates, metric and k. A figure that no model has
    for anybody has no row. Figures
    ``of_catalogue``, (mean, number of items), have no interval: the items are not drawn.
    """
    samples: dict[tuple[str, str, bool], list[Key]] = {}
    for key in values:
        samples.setdefault((key[0], key[1], key[3] == ITEM_AUC), []).append(key)
    figures: list[tuple[Any, ...]] = []
    differences: list[tuple[Any, ...]] = []
    for keys in samples.values():
        measured = {(key[3], key[4]) for key in keys if np.isfinite(values[key]).any()}
        keys = [key for key in keys if (key[3], key[4]) in measured]
        if not keys:
            continue
        sample = _Sample(keys, values, draws, confidence)
        for key in keys:
            split, candidates, model, metric, k = key
            n = sample.n[key]
            spread = interval(sample.mean[key], sample.drawn[key], n, confidence)
            figures.append((split, candidates, model, model in controls, metric, k, *spread, n))
        differences.extend(_differences(sample, controls, baseline))
    for (split, candidates, model, metric, k), (mean, n) in of_catalogue.items():
        spread = Interval(mean, math.nan, math.nan)
        figures.append((split, candidates, model, model in controls, metric, k, *spread, n))
    return (
        pd.DataFrame(figures, columns=list(FIGURES)).astype({"k": "Int64"}),
        pd.DataFrame(differences, columns=list(DIFFERENCES)).astype({"k": "Int64"}),
    )


def tabulate_slices(
    values: Mapping[SliceKey, Float64Array],
    rows: Mapping[SliceName, IntArray],
    n_users: Mapping[str, int],
    controls: Collection[str],
    *,
    draws: Draws,
    confidence: float,
) -> pd.DataFrame:
    """Means of the slices with intervals; a row a slice, model, metric and k.

    ``rows`` are the positions of a slice's users among the ``n_users`` of its split. All slices of
    a split share the draws of its users.
    """
    slices: dict[str, dict[SliceName, list[SliceKey]]] = {}
    for key in values:
        name = (*key[:2], *key[3:5])
        slices.setdefault(key[0], {}).setdefault(name, []).append(key)
    table: list[tuple[Any, ...]] = []
    for split, of_split in slices.items():
        parts = [
            (rows[name], np.stack([values[key] for key in keys], axis=1))
            for name, keys in of_split.items()
        ]
        drawn = draws.part_means(parts, n_users[split])
        for keys, (_, stacked), means in zip(of_split.values(), parts, drawn, strict=True):
            n = len(stacked)
            for place, key in enumerate(keys):
                mean = float(stacked[:, place].mean())
                spread = interval(mean, means[:, place], n, confidence)
                table.append((*key[:3], key[2] in controls, *key[3:], *spread, n))
    return pd.DataFrame(table, columns=list(SLICES)).astype({"k": "Int64"})


class _Sample:
    """Figures that belong to the same users: their means and their draws."""

    def __init__(
        self, keys: list[Key], values: Mapping[Key, Float64Array], draws: Draws, confidence: float
    ) -> None:
        self.keys = keys
        self.values = values
        self.confidence = confidence
        self._draws = draws
        self.n = {key: int(np.isfinite(values[key]).sum()) for key in keys}
        self.mean = {key: _mean(values[key]) for key in keys}
        drawn = draws.means(np.stack([values[key] for key in keys], axis=1))
        self.drawn = dict(zip(keys, drawn.T, strict=True))

    def gaps(self, pairs: Iterable[tuple[Key, Key]]) -> dict[tuple[Key, Key], Gap]:
        """Paired differences of the first of each pair from the second, and their p-values."""
        distinct = list(dict.fromkeys(pairs))
        found: dict[tuple[Key, Key], Gap] = {}
        for start in range(0, len(distinct), _PAIRS):
            found |= self._gaps(distinct[start : start + _PAIRS])
        return found

    def _gaps(self, pairs: Sequence[tuple[Key, Key]]) -> dict[tuple[Key, Key], Gap]:
        apart = np.stack([self.values[key] - self.values[other] for key, other in pairs], axis=1)
        n = np.isfinite(apart).sum(axis=0)
        # Where the same users take part on both sides, the draws are there already.
        uneven = [
            place
            for place, (key, other) in enumerate(pairs)
            if not n[place] == self.n[key] == self.n[other]
        ]
        drawn = {}
        if uneven:
            drawn = dict(zip(uneven, self._draws.means(apart[:, uneven]).T, strict=True))
        p_values = paired_p_values(apart).tolist()
        found = {}
        for place, (key, other) in enumerate(pairs):
            if place in drawn:
                mean, means = _mean(apart[:, place]), drawn[place]
            else:
                mean = self.mean[key] - self.mean[other]
                means = self.drawn[key] - self.drawn[other]
            spread = interval(mean, means, int(n[place]), self.confidence)
            found[key, other] = spread, p_values[place]
        return found


def _differences(
    sample: _Sample, controls: Collection[str], baseline: str
) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of differences, each family of p-values corrected together."""
    families: dict[tuple[str, str, str, int | None], list[Key]] = {}
    for key in sample.keys:
        families.setdefault((key[0], key[1], key[3], key[4]), []).append(key)
    wanted: list[tuple[str, Key, list[Key]]] = []
    for (split, candidates, metric, k), keys in families.items():
        against = {"baseline": (split, candidates, baseline, metric, k)}
        rivals = [key for key in keys if key[2] not in controls and sample.n[key]]
        if metric in ACCURACY and rivals:
            against["best"] = max(rivals, key=sample.mean.__getitem__)
        for role, other in against.items():
            if other in sample.mean:
                wanted.append((role, other, [key for key in keys if key != other]))
    # The best is often the baseline: what is wanted twice is looked at once.
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
    """Mean of those who take part, NaN where there are none."""
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else math.nan


def json_safe(value: Any) -> Any:
    """``value`` in types that JSON has; what is not a finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [json_safe(inner) for inner in value]
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")
