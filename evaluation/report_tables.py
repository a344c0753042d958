"""The tables of the report as plain rows of text, ready for the template."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from evaluation.comparison import Comparison
from evaluation.conclusions import best_model, first_split, main_measure, number
from evaluation.metrics import ITEM_AUC, RANKING_METRICS
from evaluation.resampling import Interval
from evaluation.tables import Key
from evaluation.trial import CATALOGUE, COLD, PLAYED

LABELS = {
    "precision": "Precision",
    "recall": "Recall",
    "hit": "Hit rate",
    "ndcg": "nDCG",
    "map": "MAP",
    "mrr": "MRR",
    ITEM_AUC: "Item-wise AUC",
}
"""Names of the metrics in print."""


@dataclass(frozen=True)
class Column:
    """One figure of one group of columns."""

    split: str
    candidates: str
    metric: str
    k: int | None

    @property
    def label(self) -> str:
        """What the column is called."""
        return LABELS[self.metric] + ("" if self.k is None else f"@{self.k}")


class Tables:
    """Rows of text for one comparison; computes nothing but what is best or tied with it."""

    def __init__(self, comparison: Comparison, noun: str) -> None:
        self.comparison = comparison
        self.noun = noun
        self.figures = comparison.figures()
        self._from_best = comparison.gaps("best")
        self._from_baseline = comparison.gaps("baseline")
        self.cold = first_split(comparison, "cold")
        self.warm = first_split(comparison, "warm")
        self.shortest = comparison.ks[0]

    def models(self) -> list[str]:
        """Models from best to worst by the leading figure, then the controls."""
        leading = self.leading()

        def value(model: str) -> float:
            return self.figures[self._key(leading, model)].mean

        controls = self.comparison.controls
        ranked = sorted(self.comparison.models, key=value, reverse=True)
        return [m for m in ranked if m not in controls] + [m for m in ranked if m in controls]

    def leading(self) -> Column:
        """The figure that models are ordered by."""
        if self.cold is not None:
            return Column(self.cold, COLD, *main_measure(self.comparison, self.cold, COLD))
        return Column(self.comparison.splits[0]["name"], CATALOGUE, "ndcg", self.shortest)

    def main(self) -> dict[str, Any]:
        """The main table: new items among themselves and in the catalogue, then known items."""
        return self.table(self._main_groups())

    def detailed(self) -> list[dict[str, Any]]:
        """A table of every metric for each split, set of candidates and k."""
        tables = []
        for split, candidates in dict.fromkeys((key[0], key[1]) for key in self.figures):
            for k in self.comparison.ks:
                columns = [Column(split, candidates, name, k) for name in RANKING_METRICS]
                if k == self.shortest and candidates == COLD:
                    columns.append(Column(split, candidates, ITEM_AUC, None))
                title = f"{self.group_label(split, candidates)}, lists of {k}"
                table = self.table([("", self._measured(columns))])
                tables.append({"title": title, "n": self._n_users(split), **table})
        return tables

    def table(self, groups: list[tuple[str, list[Column]]]) -> dict[str, Any]:
        """Rows of cells; the best model of a column is marked, and those not shown to differ."""
        rows = []
        for model in self.models():
            cells = [
                self._cell(column, model, number_in_group == 0)
                for _, columns in groups
                for number_in_group, column in enumerate(columns)
            ]
            rows.append(
                {"model": model, "control": model in self.comparison.controls, "cells": cells}
            )
        return {
            "groups": [(label, len(columns)) for label, columns in groups],
            "columns": [
                (column.label, place == 0)
                for _, columns in groups
                for place, column in enumerate(columns)
            ],
            "rows": rows,
        }

    def differences(self) -> list[dict[str, Any]]:
        """Paired differences from the baseline and from the best, in words as well."""
        tables = []
        for split, candidates in ((self.cold, COLD), (self.warm, CATALOGUE)):
            if split is None:
                continue
            best = best_model(self.comparison, split, candidates)
            column = Column(split, candidates, *main_measure(self.comparison, split, candidates))
            rows = []
            for model in self.models():
                key = self._key(column, model)
                rows.append(
                    {
                        "model": model,
                        "control": model in self.comparison.controls,
                        "baseline": _gap_cell(self._from_baseline.get(key)),
                        "best": _gap_cell(self._from_best.get(key)),
                    }
                )
            tables.append(
                {
                    "title": f"{self.group_label(split, candidates)}: {column.label}",
                    "baseline": self.comparison.baseline,
                    "best": best,
                    "rows": rows,
                }
            )
        return tables

    def costs(self) -> list[dict[str, str]]:
        """Time and memory of every run."""
        rows = []
        for run in self.comparison.runs.to_dict("records"):
            users = next(
                split["test_users"]
                for split in self.comparison.splits
                if split["name"] == run["split"]
            )
            rows.append(
                {
                    "split": run["split"],
                    "model": run["model"],
                    "fit": _seconds(run["fit_seconds"]),
                    "onboard": _seconds(run.get("onboard_seconds")),
                    "recommend": f"{users / max(run['recommend_seconds'], 1e-9):,.0f}",
                    "memory": _mebibytes(run),
                }
            )
        return rows

    def group_label(self, split: str, candidates: str) -> str:
        """A split and its candidates in words."""
        kind = next(s["kind"] for s in self.comparison.splits if s["name"] == split)
        if candidates == PLAYED:
            label = f"Known {self.noun}, among themselves"
        elif kind == "warm":
            label = f"Known {self.noun}, whole catalogue"
        elif candidates == COLD:
            label = f"New {self.noun}, among themselves"
        else:
            label = f"New {self.noun}, whole catalogue"
        alone = sum(s["kind"] == kind for s in self.comparison.splits) == 1
        return label if alone else f"{label} ({split})"

    def _main_groups(self) -> list[tuple[str, list[Column]]]:
        k = self.shortest
        groups = []
        if self.cold is not None:
            among = [
                Column(self.cold, COLD, "ndcg", k),
                Column(self.cold, COLD, "recall", k),
                Column(self.cold, COLD, ITEM_AUC, None),
            ]
            groups.append((self.group_label(self.cold, COLD), self._measured(among)))
            whole = [Column(self.cold, CATALOGUE, name, k) for name in ("ndcg", "recall")]
            groups.append((self.group_label(self.cold, CATALOGUE), whole))
        if self.warm is not None:
            among = self._measured([Column(self.warm, PLAYED, "ndcg", k)])
            if among:
                groups.append((self.group_label(self.warm, PLAYED), among))
            # Two groups of known items with two columns each do not fit the page.
            names = ("ndcg",) if among else ("ndcg", "recall")
            whole = [Column(self.warm, CATALOGUE, name, k) for name in names]
            groups.append((self.group_label(self.warm, CATALOGUE), whole))
        return groups

    def _measured(self, columns: list[Column]) -> list[Column]:
        first = self.comparison.models[0]
        return [column for column in columns if self._key(column, first) in self.figures]

    def _cell(self, column: Column, model: str, starts_group: bool) -> dict[str, Any]:
        key = self._key(column, model)
        value = self.figures[key]
        gap = self._from_best.get(key)
        # Where nobody scores, nobody is best.
        best = gap is None and value.mean > 0
        tied = (
            gap is not None
            and not gap[1].shown
            and model not in self.comparison.controls
            and self.figures[(*key[:2], gap[0], *key[3:])].mean > 0
        )
        return {
            "mean": number(value.mean),
            "spread": f"{number(value.low)}–{number(value.high)}",
            "best": best,
            "tied": tied,
            "starts_group": starts_group,
        }

    def _n_users(self, split: str) -> int:
        return int(next(s["test_users"] for s in self.comparison.splits if s["name"] == split))

    @staticmethod
    def _key(column: Column, model: str) -> Key:
        return column.split, column.candidates, model, column.metric, column.k


def _gap_cell(gap: tuple[str, Interval] | None) -> dict[str, str] | None:
    if gap is None:
        return None
    difference = gap[1]
    if not difference.shown:
        verdict = "no difference shown"
    else:
        verdict = "better" if difference.mean > 0 else "worse"
    return {
        "mean": f"{difference.mean:+.3f}".replace("-", "−"),
        "spread": f"{difference.low:+.3f} to {difference.high:+.3f}".replace("-", "−"),
        "verdict": verdict,
    }


def _seconds(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return "<0.1" if value < 0.05 else f"{value:,.1f}"


def _mebibytes(run: Any) -> str:
    peaks = [value for key, value in run.items() if str(key).endswith("_peak_mb")]
    known = [value for value in peaks if not pd.isna(value)]
    return f"{max(known):,.0f}" if known else "–"
