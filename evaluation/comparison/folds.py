"""Folds of one experiment put together: one value a user, as if it had been one split."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from evaluation.comparison.bootstrap import t_interval
from evaluation.comparison.run import Figure, Outcome, SliceFigure
from evaluation.comparison.trial import Units
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.splitting.split import Split

FOLDS: Final = (
    "split", "candidates", "model", "metric", "k", "folds", "mean", "sd", "low", "high",
)  # fmt: skip
"""Columns of the table of means over folds."""

_SUMS: Final = ("test_rows", "given_rows", "cold_items", "thin_items", "auc_items_left_out")
_MEANS: Final = ("train_rows", "train_items", "withheld_items")


def experiment(split: Split) -> str:
    """The name a split has in tables: that of its group, or its own."""
    return split.group or split.name


def experiments(splits: Sequence[Split]) -> dict[str, list[Split]]:
    """{name: its splits}, in the order given.

    Raises InvalidArgumentError for a name that two splits share, or folds of different kinds.
    """
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"two splits have the same name: {names}")
    found: dict[str, list[Split]] = {}
    for split in splits:
        found.setdefault(experiment(split), []).append(split)
    for name, members in found.items():
        if len(members) > 1 and not all(split.group for split in members):
            raise InvalidArgumentError(f"a split has the name of a group of folds: {name!r}")
        if len({split.kind for split in members}) > 1:
            raise InvalidArgumentError(f"the folds of {name!r} are of different kinds")
    return found


class Pool:
    """Puts the outcomes of one model on all folds together; one split is a pool of one.

    A user tested in several folds counts once, with the mean over the folds where the figure has a
    value for them; so do the items of the item-wise AUC. What is not measured in every fold has no
    figure. Slices are those of each fold, so that a user can be a light listener in one and a heavy
    one in another.
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

    def values(self, outcomes: Sequence[Outcome]) -> dict[Figure, Float64Array]:
        """{(candidates, metric, k): a value for each of ``users``, or of ``auc_items``}."""
        found = {}
        for figure in _in_all([outcome.values for outcome in outcomes]):
            per_item = figure[1] == ITEM_AUC
            found[figure] = _pooled(
                self._items if per_item else self._users,
                [outcome.values[figure] for outcome in outcomes],
                len(self.auc_items if per_item else self.users),
            )
        return found

    def catalogue(self, outcomes: Sequence[Outcome]) -> dict[Figure, tuple[float, int]]:
        """{(candidates, metric, k): (mean over folds, mean number of items)}."""
        found = {}
        for figure in _in_all([outcome.catalogue for outcome in outcomes]):
            parts = [outcome.catalogue[figure] for outcome in outcomes]
            mean = sum(value for value, _ in parts) / len(parts)
            found[figure] = mean, round(sum(n for _, n in parts) / len(parts))
        return found

    def slices(
        self, outcomes: Sequence[Outcome]
    ) -> dict[SliceFigure, tuple[IntArray, Float64Array]]:
        """{(candidates, by, slice, metric, k): (positions in ``users`` of those who take part,
        their values)}."""
        figures = dict.fromkeys(figure for outcome in outcomes for figure in outcome.slices)
        found: dict[SliceFigure, tuple[IntArray, Float64Array]] = {}
        for figure in figures:
            places, values = [], []
            for users, units, outcome in zip(self._users, self._folds, outcomes, strict=True):
                if figure in outcome.slices:
                    places.append(users[units.slice_rows[figure[:3]]])
                    values.append(outcome.slices[figure])
            pooled = _pooled(places, values, len(self.users))
            rows = np.flatnonzero(np.isfinite(pooled))
            found[figure] = rows, pooled[rows]
        return found


def pooled_facts(name: str, folds: Sequence[Mapping[str, Any]], pool: Pool) -> dict[str, Any]:
    """Facts of a group of folds, as those of one split; ``folds`` has those of each.

    Counts of what is tested are added up, those of training are means; ``cold_items_ranked`` is
    the fewest cold items that were ranked against each other. A single split keeps its own facts,
    with no folds.
    """
    if len(folds) == 1:
        return {**folds[0], "name": name, "folds": []}
    facts = {**folds[0], "name": name, "fold": None}
    facts |= {count: sum(fold[count] for fold in folds) for count in _SUMS}
    facts |= {count: round(sum(fold[count] for fold in folds) / len(folds)) for count in _MEANS}
    facts["cold_items_ranked"] = min(fold["cold_items"] for fold in folds)
    facts["test_users"] = len(pool.users)
    facts["auc_items"] = len(pool.auc_items)
    facts["users_without_training"] = max(fold["users_without_training"] for fold in folds)
    facts["auc_users"] = max(fold["auc_users"] for fold in folds)
    facts["settings"] = {k: v for k, v in folds[0]["settings"].items() if k != "fold"}
    facts["slices"] = []
    facts["folds"] = [dict(fold) for fold in folds]
    return facts


def pooled_run(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row for a model on all folds: mean seconds, peak memory, users without a list.

    Seconds and users without a list are means over the folds (the latter rounded up), memory is the
    most of any.
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
    name: str, models: Mapping[str, Sequence[Outcome]], confidence: float
) -> list[tuple[Hashable, ...]]:
    """A row a figure of an experiment: mean, deviation and t interval over its folds.

    ``models``: {model: its outcomes, one a fold}. The columns are ``FOLDS``; no rows for one fold.
    """
    rows: list[tuple[Hashable, ...]] = []
    for model, outcomes in models.items():
        means = [_means(outcome) for outcome in outcomes]
        for candidates, metric, k in _in_all(means) if len(means) > 1 else ():
            values = np.array([of_fold[candidates, metric, k] for of_fold in means])
            values = values[np.isfinite(values)]
            if len(values) > 0:
                spread = t_interval(values, confidence)
                sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
                figure = (name, candidates, model, metric, k, len(values))
                rows.append((*figure, spread.mean, sd, spread.low, spread.high))
    return rows


def _means(outcome: Outcome) -> dict[Figure, float]:
    """The figures of one fold."""
    found = {}
    for figure, values in outcome.values.items():
        present = values[np.isfinite(values)]
        found[figure] = float(present.mean()) if len(present) else math.nan
    return found | {figure: mean for figure, (mean, _) in outcome.catalogue.items()}


def _in_all(folds: Sequence[Mapping[Figure, Any]]) -> list[Figure]:
    """What every fold has, in the order of the first."""
    return [figure for figure in folds[0] if all(figure in fold for fold in folds)]


def _pooled(places: Sequence[IntArray], values: Sequence[Float64Array], n: int) -> Float64Array:
    """Mean over the folds that have a value, [n]; NaN where none has."""
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
