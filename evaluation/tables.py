"""From one value a user to tidy tables of means, intervals and paired differences."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.resampling import interval, resampled_means

Values = NDArray[np.float64]
Key = tuple[str, str, str, str, int | None]
"""(split, candidates, model, metric, k); k is None for the item-wise AUC."""

FIGURES: Final = (
    "split", "candidates", "model", "control", "metric", "k", "mean", "low", "high", "n",
)  # fmt: skip
"""Columns of the table of means."""
DIFFERENCES: Final = (
    "split", "candidates", "metric", "k", "model", "against", "role",
    "mean", "low", "high", "shown",
)  # fmt: skip
"""Columns of the table of paired differences."""


def tabulate(
    values: Mapping[Key, Values],
    controls: Collection[str],
    baseline: str,
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means with intervals, and differences from the baseline and from the best model.

    All models and metrics measured on the same users share one set of bootstrap draws, so every
    difference is paired. The best model is the one with the highest mean that is no control. An
    item-wise AUC that no item defines has no row.
    """
    samples: dict[tuple[str, str, bool], list[Key]] = {}
    for key in values:
        samples.setdefault((key[0], key[1], key[4] is None), []).append(key)
    figures: list[tuple[Any, ...]] = []
    differences: list[tuple[Any, ...]] = []
    for keys in samples.values():
        n = len(values[keys[0]])
        if n == 0:
            continue
        stacked = np.stack([values[key] for key in keys], axis=1)
        draws = resampled_means(stacked, n_bootstrap=n_bootstrap, seed=seed)
        mean = dict(zip(keys, stacked.mean(axis=0).tolist(), strict=True))
        drawn = dict(zip(keys, draws.T, strict=True))
        for key in keys:
            split, candidates, model, metric, k = key
            spread = interval(mean[key], drawn[key], n, confidence)
            figures.append((split, candidates, model, model in controls, metric, k, *spread, n))
            rivals = [other for other in keys if other[3:] == key[3:] and other[2] not in controls]
            best = max(rivals, key=mean.__getitem__)
            for role, against in (("baseline", (*key[:2], baseline, *key[3:])), ("best", best)):
                if against != key:
                    gap = interval(
                        mean[key] - mean[against], drawn[key] - drawn[against], n, confidence
                    )
                    differences.append(
                        (split, candidates, metric, k, model, against[2], role, *gap, gap.shown)
                    )
    return (
        pd.DataFrame(figures, columns=list(FIGURES)).astype({"k": "Int64"}),
        pd.DataFrame(differences, columns=list(DIFFERENCES)).astype({"k": "Int64"}),
    )


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
