"""The outcomes of a comparison put together, one experiment after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from datasets.arrays import Float64Array, IntArray
from evaluation.comparison.bootstrap import Draws
from evaluation.comparison.examples import Example
from evaluation.comparison.folds import FOLDS, Pool, fold_rows, pooled_facts, pooled_run
from evaluation.comparison.outcome import Outcome, Units
from evaluation.comparison.tables import Key, SliceKey, SliceName, tabulate, tabulate_slices


class Gathered:
    """Values behind all tables; folds are pooled as soon as an experiment is complete."""

    def __init__(self, controls: Mapping[str, str]) -> None:
        self._controls = set(controls)
        self.values: dict[Key, Float64Array] = {}
        self.units: dict[tuple[str, str], tuple[str, ...]] = {}
        self.facts: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.examples: list[Example] = []
        self._catalogue: dict[Key, tuple[float, int]] = {}
        self._slices: dict[SliceKey, Float64Array] = {}
        self._slice_rows: dict[SliceName, IntArray] = {}
        self._folds: list[tuple[Any, ...]] = []

    def add(
        self,
        name: str,
        outcomes: Mapping[str, Sequence[Outcome]],
        facts: Sequence[Mapping[str, Any]],
        units: Sequence[Units],
        confidence: float,
    ) -> None:
        """An experiment: {model: its outcomes, one a fold}, and facts and units of every fold."""
        pool = Pool(units)
        self.facts.append(pooled_facts(name, facts, pool))
        self.units[name, "users"], self.units[name, "items"] = pool.users, pool.auc_items
        for model, found in outcomes.items():
            run = pooled_run([outcome.facts for outcome in found])
            is_control = model in self._controls
            self.runs.append({"split": name, "model": model, "control": is_control, **run})
            for (candidates, metric, k), per_unit in pool.values(found).items():
                self.values[name, candidates, model, metric, k] = per_unit
            for (candidates, metric, k), figure in pool.catalogue(found).items():
                self._catalogue[name, candidates, model, metric, k] = figure
            for (candidates, by, part, metric, at), (rows, own) in pool.slices(found).items():
                self._slices[name, candidates, model, by, part, metric, at] = own
                self._slice_rows[name, candidates, by, part] = rows
        self._folds += fold_rows(name, outcomes, confidence)

    def tables(
        self, baseline: str, *, n_bootstrap: int, confidence: float, seed: int
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Figures, differences, slices and folds."""
        draws = Draws(n_bootstrap, seed)
        table, differences = tabulate(
            self.values,
            self._catalogue,
            self._controls,
            baseline,
            draws=draws,
            confidence=confidence,
        )
        slices = tabulate_slices(
            self._slices,
            self._slice_rows,
            {split: len(ids) for (split, unit), ids in self.units.items() if unit == "users"},
            self._controls,
            draws=draws,
            confidence=confidence,
        )
        folds = pd.DataFrame(self._folds, columns=list(FOLDS))
        return table, differences, slices, folds.astype({"k": "Int64", "folds": "Int64"})
