"""Tables of models against metrics, as rows of text for HTML and Markdown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from evaluation.comparison.bootstrap import Interval
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS, PLAYED, is_variant
from evaluation.conclusions.evidence import (
    deciding_candidates,
    first_split,
    main_measure,
    split_info,
)
from evaluation.conclusions.wording import format_number
from evaluation.metrics.ranking import AUDIENCE, AUDIENCE_RECALL, ITEM_AUC, USER_AUC

ACCURACY_NAMES: Final = {
    "precision": "Precision",
    "recall": "Recall",
    "hit": "Hit rate",
    "ndcg": "nDCG",
    "map": "MAP",
    "mrr": "MRR",
    ITEM_AUC: "Item-wise AUC",
    AUDIENCE_RECALL: "Audience recall",
    USER_AUC: "User-wise AUC",
}
"""Printed names of accuracy metrics, of which each table marks the best model."""

BEYOND_ACCURACY_NAMES: Final = {
    "novelty": "Novelty",
    "popularity_lift": "Popularity lift",
    "artist_diversity": "Artist diversity",
    "embedding_diversity": "Sound diversity",
    "serendipity": "Serendipity",
    "miscalibration": "Miscalibration",
    "coverage": "Coverage",
    "gini": "Gini",
}
"""Printed names of metrics beyond accuracy, of which no model is marked as best."""

METRIC_NAMES: Final = ACCURACY_NAMES | BEYOND_ACCURACY_NAMES

_SAMPLED: Final = "sampled "
"""Prefix of the name of sampled candidates; their number follows."""

_SPLIT_NAMES: Final = {
    "warm": "Known {noun}",
    "cold": "New {noun}",
    "semi-cold": "Barely known {noun}",
    "time": "What is played later",
    "mixed": "Known and new {noun} together",
    "cold users": "New listeners",
}
"""Titles of splits by their kind."""

_MAX_COLUMNS: Final = 7
"""Most columns of figures that fit the page."""


@dataclass(frozen=True)
class Column:
    """A column of a table: one metric of one split and set of candidates."""

    split: str
    candidates: str
    metric: str
    k: int | None

    @property
    def label(self) -> str:
        """Heading of the column, such as ``nDCG@10``."""
        return metric_label(self.metric, self.k)

    def key(self, model: str) -> FigureKey:
        """Return the key of a model's figure in the comparison."""
        return self.split, self.candidates, model, self.metric, self.k


ColumnGroup = tuple[str, list[Column]]
"""A heading and the columns below it."""


class ReportTables:
    """Tables of one comparison as dictionaries of text.

    Nothing is computed but which models are best or not shown to differ from the best.
    """

    def __init__(self, comparison: Comparison, noun: str) -> None:
        self.comparison = comparison
        self.noun = noun
        self.figures = comparison.figures()
        self.from_best = comparison.gaps("best")
        self.from_baseline = comparison.gaps("baseline")
        self.cold = first_split(comparison, "cold")
        self.warm = first_split(comparison, "warm")
        self.shortest = comparison.ks[0]
        self.metrics = list(dict.fromkeys(key[3] for key in self.figures))
        self._measured = {(key[0], key[1], key[3], key[4]) for key in self.figures}

    @property
    def sampled(self) -> bool:
        """Whether any figure was measured against a random sample of the items."""
        return any(candidates.startswith(_SAMPLED) for _, candidates in self.split_candidates())

    def split_candidates(self) -> list[tuple[str, str]]:
        """List every (split, candidates) that was ranked, in order."""
        found = dict.fromkeys((key[0], key[1]) for key in self.figures)
        return [place for place in found if not is_variant(place[1])]

    def splits(self) -> list[str]:
        """List the splits that were measured, in order."""
        return list(dict.fromkeys(split for split, _ in self.split_candidates()))

    def ranked_models(self) -> list[str]:
        """Order models from best to worst by the leading column, then the controls likewise."""
        leading = self.leading_column()

        def value(model: str) -> float:
            return self.figures[leading.key(model)].mean

        controls = self.comparison.controls
        ranked = sorted(self.comparison.models, key=value, reverse=True)
        return [m for m in ranked if m not in controls] + [m for m in ranked if m in controls]

    def leading_column(self) -> Column:
        """Return the column that models are ordered by."""
        split = self.cold or self.comparison.splits[0]["name"]
        return self.main_column(split, self.deciding_candidates(split))

    def main_column(self, split: str, candidates: str) -> Column:
        """Return the metric that conclusions are based on, else the first accuracy measured."""
        column = Column(split, candidates, *main_measure(self.comparison, split, candidates))
        if self.with_figures([column]):
            return column
        return next(
            Column(split, candidates, metric, k)
            for (_, _, _, metric, k) in self.figures
            if metric in ACCURACY_NAMES
            and self.with_figures([Column(split, candidates, metric, k)])
        )

    def widest_candidates(self, split: str) -> str:
        """Return the whole catalogue if it was ranked, else the first candidates of the split."""
        found = [candidates for name, candidates in self.split_candidates() if name == split]
        return CATALOGUE if CATALOGUE in found else found[0]

    def deciding_candidates(self, split: str) -> str:
        """Return the candidates that conclusions are based on.

        New or barely known items among themselves, else the widest candidates.
        """
        found = [candidates for name, candidates in self.split_candidates() if name == split]
        own = deciding_candidates(self.comparison, split)
        return own if own in found else self.widest_candidates(split)

    def with_figures(self, columns: Iterable[Column]) -> list[Column]:
        """Select the columns that were measured."""
        return [c for c in columns if (c.split, c.candidates, c.metric, c.k) in self._measured]

    def main_tables(self) -> list[dict[str, Any]]:
        """Make the main tables: new items, then known items, then all other splits."""
        tables: list[list[ColumnGroup]] = []
        for group in self._main_groups():
            columns = sum(len(cells) for _, cells in tables[-1]) if tables else _MAX_COLUMNS
            if columns + len(group[1]) > _MAX_COLUMNS:
                tables.append([])
            tables[-1].append(group)
        return [self.table(groups) for groups in tables]

    def detailed_tables(self) -> list[dict[str, Any]]:
        """Make a table of all accuracy metrics for each split, set of candidates and k."""
        tables = []
        for split, candidates in self.split_candidates():
            for k in self.comparison.ks:
                wanted = [Column(split, candidates, name, k) for name in ACCURACY_NAMES]
                if k == self.shortest:
                    wanted += [Column(split, candidates, m, None) for m in (ITEM_AUC, USER_AUC)]
                    wanted.append(Column(split, candidates, AUDIENCE_RECALL, AUDIENCE))
                if columns := self.with_figures(wanted):
                    title = f"{self.group_label(split, candidates)}, lists of {k}"
                    table = self.table([("", columns)])
                    tables.append({"title": title, "n": self.n_test_users(split), **table})
        return tables

    def beyond_accuracy_tables(self) -> list[dict[str, Any]]:
        """Make a table of accuracy and the metrics beyond it for each split and candidates."""
        tables = []
        for split, candidates in self.split_candidates():
            others = self.with_figures(
                Column(split, candidates, m, self.shortest) for m in BEYOND_ACCURACY_NAMES
            )
            if others:
                columns = [self.main_column(split, candidates), *others]
                title = f"{self.group_label(split, candidates)}, lists of {self.shortest}"
                table = self.table([("", columns)])
                # The length of the lists is in the title; nine columns have no room for it.
                table["columns"] = [(METRIC_NAMES[c.metric], c is columns[0]) for c in columns]
                tables.append({"title": title, **table})
        return tables

    def warm_cold_table(self) -> dict[str, Any] | None:
        """Make a table of the main metric and each model's rank by it, on known and new items."""
        if self.warm is None or self.cold is None:
            return None
        columns = [
            self.main_column(self.warm, self.widest_candidates(self.warm)),
            self.main_column(self.cold, COLD_ITEMS),
            *self.with_figures([self.main_column(self.cold, self.widest_candidates(self.cold))]),
        ]
        groups = [(self.group_label(c.split, c.candidates), [c]) for c in columns]
        table = self.table(groups)
        for place in range(len(columns)):
            means = {
                row["model"]: self.figures[columns[place].key(row["model"])].mean
                for row in table["rows"]
                if not row["control"]
            }
            for row in table["rows"]:
                if not row["control"]:
                    # Equal figures have the same place.
                    rank = 1 + sum(mean > means[row["model"]] for mean in means.values())
                    row["cells"][place]["mean"] += f" ({rank})"
        return table

    def table(self, groups: Sequence[ColumnGroup]) -> dict[str, Any]:
        """Make a table; the best model of a column and those tied with it are marked."""
        rows = []
        for model in self.ranked_models():
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

    def group_label(self, split: str, candidates: str) -> str:
        """Describe a split and its candidates."""
        kind = str(split_info(self.comparison, split)["kind"])
        label = _SPLIT_NAMES[kind].format(noun=self.noun)
        if candidates.startswith(_SAMPLED):
            among = f"sampled: against {candidates.removeprefix(_SAMPLED)} drawn"
        elif candidates == CATALOGUE:
            among = "whole catalogue"
        elif candidates == COLD_ITEMS and kind != "cold":
            among = f"new {self.noun} among themselves"
        elif candidates == PLAYED and kind != "warm":
            among = f"known {self.noun} among themselves"
        else:
            among = "among themselves"
        alone = sum(s["kind"] == kind for s in self.comparison.splits) == 1
        return f"{label}, {among}" if alone else f"{label}, {among} ({split})"

    def n_test_users(self, split: str) -> int:
        """Return the number of test users of a split."""
        return int(split_info(self.comparison, split)["test_users"])

    def _main_groups(self) -> list[ColumnGroup]:
        k = self.shortest
        wanted: list[tuple[str, str, list[tuple[str, int | None]]]] = []
        if self.cold is not None:
            among: list[tuple[str, int | None]] = [("ndcg", k), ("recall", k), (ITEM_AUC, None)]
            wanted.append((self.cold, COLD_ITEMS, among))
            wanted.append(
                (self.cold, self.widest_candidates(self.cold), [("ndcg", k), ("recall", k)])
            )
        if self.warm is not None:
            played = bool(self.with_figures([Column(self.warm, PLAYED, "ndcg", k)]))
            if played:
                wanted.append((self.warm, PLAYED, [("ndcg", k)]))
            # Two groups of known items with two columns each do not fit the page.
            names = [("ndcg", k)] if played else [("ndcg", k), ("recall", k)]
            wanted.append((self.warm, self.widest_candidates(self.warm), [*names]))
        shown = [place[:2] for place in wanted]
        # Sampled candidates come last, as their figures are the most misleading.
        for split, candidates in sorted(
            self.split_candidates(), key=lambda place: place[1][:8] == _SAMPLED
        ):
            other = split not in (self.cold, self.warm) or candidates.startswith(_SAMPLED)
            if other and (split, candidates) not in shown:
                wanted.append((split, candidates, [("ndcg", k), ("recall", k)]))
        groups = []
        for split, candidates, metrics in wanted:
            columns = self.with_figures(Column(split, candidates, *metric) for metric in metrics)
            columns = columns or [self.main_column(split, candidates)]
            groups.append((self.group_label(split, candidates), columns))
        return groups

    def _cell(self, column: Column, model: str, starts_group: bool) -> dict[str, Any]:
        key = column.key(model)
        if key not in self.figures:
            return format_cell(None, starts_group=starts_group)
        value = self.figures[key]
        ranked = column.metric in ACCURACY_NAMES
        gap = self.from_best.get(key)
        first = value if gap is None else self.figures[(*key[:2], gap[0], *key[3:])]
        # No model is best where all score 0; equal best figures are all marked.
        ranked = ranked and first.mean > 0 and model not in self.comparison.controls
        best = ranked and value.mean == first.mean
        tied = ranked and not best and gap is not None and not gap[1].shown
        return format_cell(value, best=best, tied=tied, starts_group=starts_group)


def metric_label(metric: str, k: int | None) -> str:
    """Return the printed name of a metric, such as ``nDCG@10``; ``k`` may be missing (None, NA)."""
    return METRIC_NAMES.get(metric, metric) + ("" if pd.isna(k) else f"@{int(k)}")


def format_cell(
    value: Interval | None, *, best: bool = False, tied: bool = False, starts_group: bool = False
) -> dict[str, Any]:
    """Format a figure and its interval as a cell; – where it was not measured."""
    missing = value is None or math.isnan(value.mean)
    bare = missing or value is None or math.isnan(value.low) or math.isnan(value.high)
    return {
        "mean": "–" if missing or value is None else _signed(value.mean),
        "spread": "" if bare or value is None else _interval(value),
        "best": best and not missing,
        "tied": tied and not missing,
        "starts_group": starts_group,
    }


def _interval(value: Interval) -> str:
    """Format an interval."""
    if value.low < 0:
        return f"{_signed(value.low)} to {_signed(value.high)}"
    low, high = format_number(value.low), format_number(value.high)
    return low if low == high == "<0.001" else f"{low}–{high}"


def _signed(value: float) -> str:
    """Format a figure with three decimals, with a minus sign below 0."""
    return format_number(value) if value >= 0 else "−" + format_number(-value)
