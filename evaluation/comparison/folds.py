"""Pool the folds of one experiment into one value a user, as if it had been one split."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from evaluation.comparison.bootstrap import t_interval
from evaluation.comparison.run import MetricKey, RunResult, SliceMetricKey
from evaluation.comparison.trial import Units
from evaluation.metrics.ranking import ITEM_METRICS
from evaluation.splitting.split import Split

FOLD_COLUMNS: Final = (
    "split", "candidates", "model", "metric", "k", "folds", "mean", "sd", "low", "high",
)  # fmt: skip
"""Columns of the table of means over folds."""

_SUMMED: Final = ("test_rows", "given_rows", "cold_items", "thin_items", "auc_items_left_out")
_AVERAGED: Final = ("train_rows", "train_items", "withheld_items")


def group_name(split: Split) -> str:
    """Return the name of a split in tables: that of its group of folds, or its own."""
    return split.group or split.name


def group_folds(splits: Sequence[Split]) -> dict[str, list[Split]]:
    """Group splits by the name they have in tables, in the order given.

    Returns:
        {name: its folds}; a split without folds is a group of one.

    Raises:
        InvalidArgumentError: two splits have the same name, or folds of a group are of different
            kinds.

    Examples:
        >>> from evaluation import warm_folds
        >>> [(name, len(folds)) for name, folds in group_folds(warm_folds(dataset, 3)).items()]
        [('warm', 3)]
    """
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"two splits have the same name: {names}")
    found: dict[str, list[Split]] = {}
    for split in splits:
        found.setdefault(group_name(split), []).append(split)
    for name, members in found.items():
        if len(members) > 1 and not all(split.group for split in members):
            raise InvalidArgumentError(f"a split has the name of a group of folds: {name!r}")
        if len({split.kind for split in members}) > 1:
            raise InvalidArgumentError(f"the folds of {name!r} are of different kinds")
    return found


class FoldPool:
    """Pools the results of one model on all folds; a single split is a pool of one.

    A user tested in several folds counts once, with the mean over the folds that have a value; so
    do the items of the item-wise AUC. What is not measured in every fold has no figure. Slices are
    those of each fold: a user can be a light listener in one and a heavy one in another.

    Args:
        folds: users and items of each fold.

    Examples:
        >>> pool = FoldPool([Units(("u1", "u2"), (), {}), Units(("u2", "u3"), (), {})])
        >>> key = ("catalogue", "ndcg", 10)
        >>> first = RunResult({key: np.array([0.2, 0.4])}, {})
        >>> second = RunResult({key: np.array([0.8, 0.5])}, {})
        >>> pool.users, pool.values([first, second])[key].round(2).tolist()
        (('u1', 'u2', 'u3'), [0.2, 0.6, 0.5])
    """

    def __init__(self, folds: Sequence[Units]) -> None:
        self._folds = folds
        self.users = tuple(sorted({user for units in folds for user in units.users}))
        self.auc_items = tuple(dict.fromkeys(item for units in folds for item in units.auc_items))
        index, items = pd.Index(self.users, dtype=object), pd.Index(self.auc_items, dtype=object)
        self._users = [index.get_indexer(pd.Index(units.users, dtype=object)) for units in folds]
        self._items = [
            items.get_indexer(pd.Index(units.auc_items, dtype=object)) for units in folds
        ]

    def values(self, results: Sequence[RunResult]) -> dict[MetricKey, Float64Array]:
        """Pool values: {(candidates, metric, k): one for each of ``users`` or ``auc_items``}."""
        found = {}
        for figure in _in_all([result.values for result in results]):
            per_item = figure[1] in ITEM_METRICS
            found[figure] = _pooled(
                self._items if per_item else self._users,
                [result.values[figure] for result in results],
                len(self.auc_items if per_item else self.users),
            )
        return found

    def catalogue(self, results: Sequence[RunResult]) -> dict[MetricKey, tuple[float, int]]:
        """Pool coverage and Gini: {(candidates, metric, k): (mean, mean number of items)}."""
        found = {}
        for figure in _in_all([result.catalogue for result in results]):
            parts = [result.catalogue[figure] for result in results]
            mean = sum(value for value, _ in parts) / len(parts)
            found[figure] = mean, round(sum(n for _, n in parts) / len(parts))
        return found

    def slices(
        self, results: Sequence[RunResult]
    ) -> dict[SliceMetricKey, tuple[IntArray, Float64Array]]:
        """Pool slices: {(candidates, by, slice, metric, k): (positions in ``users``, values)}."""
        figures = dict.fromkeys(figure for result in results for figure in result.slices)
        found: dict[SliceMetricKey, tuple[IntArray, Float64Array]] = {}
        for figure in figures:
            places, values = [], []
            for users, units, result in zip(self._users, self._folds, results, strict=True):
                if figure in result.slices:
                    places.append(users[units.slice_rows[figure[:3]]])
                    values.append(result.slices[figure])
            pooled = _pooled(places, values, len(self.users))
            rows = np.flatnonzero(np.isfinite(pooled))
            found[figure] = rows, pooled[rows]
        return found


def pooled_split_facts(
    name: str, folds: Sequence[Mapping[str, Any]], pool: FoldPool
) -> dict[str, Any]:
    """Pool the facts of the folds of a group into those of one split.

    Counts of what is tested are summed, those of training are means; ``cold_items_ranked`` is the
    fewest cold items ranked against each other. A single split keeps its own facts.

    Args:
        name: the name of the group.
        folds: facts of each fold, see ``Trial.facts``.
        pool: the pooled users and items.

    Returns:
        The facts, and those of each fold as ``folds`` (empty for a single split).
    """
    if len(folds) == 1:
        return {**folds[0], "name": name, "folds": []}
    facts = {**folds[0], "name": name, "fold": None}
    facts |= {count: sum(fold[count] for fold in folds) for count in _SUMMED}
    facts |= {count: round(sum(fold[count] for fold in folds) / len(folds)) for count in _AVERAGED}
    facts["cold_items_ranked"] = min(fold["cold_items"] for fold in folds)
    facts["test_users"] = len(pool.users)
    facts["auc_items"] = len(pool.auc_items)
    facts["users_without_training"] = max(fold["users_without_training"] for fold in folds)
    facts["auc_users"] = max(fold["auc_users"] for fold in folds)
    facts["settings"] = {k: v for k, v in folds[0]["settings"].items() if k != "fold"}
    facts["slices"] = []
    facts["folds"] = [dict(fold) for fold in folds]
    return facts


def pooled_run_facts(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pool the facts of a model's runs on all folds.

    Seconds and users without a list are means over the folds (the latter rounded up), memory is the
    maximum.
    """
    pooled = dict(runs[0])
    for name in dict.fromkeys(key for run in runs for key in run):
        found = [run[name] for run in runs if run.get(name) is not None]
        if not found:
            continue
        if name.endswith("_seconds"):
            pooled[name] = sum(found) / len(found)
        elif name.endswith("_peak_mb"):
            pooled[name] = max(found)
        elif name.startswith("users_without_list_"):
            pooled[name] = math.ceil(sum(found) / len(found))
        elif name == "recommends_cold":
            pooled[name] = any(found)
    return {**pooled, "folds": len(runs)}


def fold_rows(
    name: str, models: Mapping[str, Sequence[RunResult]], confidence: float
) -> list[tuple[Hashable, ...]]:
    """Compute mean, standard deviation and t interval over the folds of a group.

    Args:
        name: the name of the group.
        models: {model: its results, one a fold}.
        confidence: level of the intervals.

    Returns:
        A row a figure (``FOLD_COLUMNS``); no rows for a single split.
    """
    rows: list[tuple[Hashable, ...]] = []
    for model, results in models.items():
        means = [_means(result) for result in results]
        for candidates, metric, k in _in_all(means) if len(means) > 1 else ():
            values = np.array([of_fold[candidates, metric, k] for of_fold in means])
            values = values[np.isfinite(values)]
            if len(values) > 0:
                spread = t_interval(values, confidence)
                sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
                figure = (name, candidates, model, metric, k, len(values))
                rows.append((*figure, spread.mean, sd, spread.low, spread.high))
    return rows


def _means(result: RunResult) -> dict[MetricKey, float]:
    """Means of one fold."""
    found = {}
    for figure, values in result.values.items():
        present = values[np.isfinite(values)]
        found[figure] = float(present.mean()) if len(present) else math.nan
    return found | {figure: mean for figure, (mean, _) in result.catalogue.items()}


def _in_all(folds: Sequence[Mapping[MetricKey, Any]]) -> list[MetricKey]:
    """Figures that all folds have, in the order of the first."""
    return [figure for figure in folds[0] if all(figure in fold for fold in folds)]


def _pooled(places: Sequence[IntArray], values: Sequence[Float64Array], n: int) -> Float64Array:
    """Mean over the folds that have a value, [n]; NaN without any."""
    if len(values) == 1:
        alone = np.full(n, np.nan)
        alone[places[0]] = np.where(np.isfinite(values[0]), values[0], np.nan)
        return alone
    total, count = np.zeros(n), np.zeros(n)
    for place, of_fold in zip(places, values, strict=True):
        present = np.isfinite(of_fold)
        total[place[present]] += of_fold[present]
        count[place[present]] += 1
    return total / np.where(count > 0, count, np.nan)
