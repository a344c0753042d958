"""Tables of slices, folds and learning curves, as rows of text for HTML and Markdown."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pandas as pd

from evaluation.comparison.bootstrap import Interval
from evaluation.comparison.trial import is_variant
from evaluation.conclusions.evidence import split_info
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.report.tables import ReportTables, format_cell, metric_label

_SLICES: Final = {
    "items": "Items by listeners",
    "popularity": "Items by popularity",
    "listeners": "Users by how much they play",
    "genre": "By genre",
}
"""Titles of the kinds of slices."""

_MAX_SLICES = 7
"""Most slices in one table; if there are more, they become rows and the models columns."""


def slice_sections(tables: ReportTables, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Make a section for each split and candidates, with tables of each metric.

    Args:
        tables: tables of the comparison.
        frame: a row a figure: split, candidates, model, control, by, slice, metric, k, mean, low,
            high, n.
    """
    shortest = frame[frame["k"] == tables.shortest]
    sections = []
    for (split, candidates), part in _grouped(shortest, "split", "candidates"):
        found = []
        for (metric,), rows in _grouped(part, "metric"):
            entry = {
                "metric": metric_label(metric, tables.shortest),
                # The first metric is shown; the other ones of the same slices are folded.
                "first": metric == part["metric"].iloc[0],
            }
            kinds = {by: of_kind for (by,), of_kind in _grouped(rows, "by")}
            # A single slice, such as "cold" of new items, would repeat the main table.
            kinds = {by: of_kind for by, of_kind in kinds.items() if of_kind["slice"].nunique() > 1}
            narrow = [by for by in kinds if kinds[by]["slice"].nunique() <= _MAX_SLICES]
            if narrow:
                title = "By listeners, popularity and users" if len(narrow) > 1 else ""
                table = _sliced(tables, [kinds[by] for by in narrow])
                found.append({**entry, "title": title, "matrix": None, "table": table})
            for by in (by for by in kinds if by not in narrow):
                matrix = _matrix(tables, kinds[by])
                title = _SLICES.get(by, f"By {by}")
                found.append({**entry, "title": title, "matrix": matrix, "table": None})
        if found:
            title = tables.group_label(split, candidates)
            bounds = _bounds(tables, split, set(part["by"]))
            sections.append({"title": title, "bounds": bounds, "tables": found})
    return sections


def _bounds(tables: ReportTables, split: str, kinds: set[str]) -> str:
    """The range of counts of each slice, as far as the split reports it."""
    facts = split_info(tables.comparison, split)
    counted = {"popularity": "Listeners of an item", "listeners": "Items of a user"}
    sentences = []
    for by, what in counted.items():
        found = [part for part in facts.get("slices") or () if part["by"] == by and by in kinds]
        parts = [f"{part['slice']} {part['least']:,} to {part['most']:,}" for part in found]
        if parts:
            sentences.append(f"{what} in training: {', '.join(parts)}.")
    return " ".join(sentences)


def _sliced(tables: ReportTables, kinds: list[pd.DataFrame]) -> dict[str, Any]:
    """A table with a group of columns for each kind of slice."""
    columns, groups, figures = [], [], {}
    for rows in kinds:
        by = rows["by"].iloc[0]
        n = rows.groupby("slice")["n"].max()
        names = rows["slice"].drop_duplicates().tolist()
        groups.append((_SLICES.get(by, f"By {by}"), len(names)))
        columns += [(f"{name} ({int(n[name]):,})", (by, name)) for name in names]
        for row in rows.to_dict("records"):
            figures[row["model"], (by, row["slice"])] = Interval(
                row["mean"], row["low"], row["high"]
            )
    return _by_model(tables, columns, figures, groups)


def _matrix(tables: ReportTables, rows: pd.DataFrame) -> dict[str, Any]:
    """Slices as rows (most users on top) and models as columns, shaded by share of the best."""
    models = [model for model in tables.ranked_models() if model in set(rows["model"])]
    wide = rows.pivot_table(index="slice", columns="model", values="mean")[models]
    n = rows.groupby("slice")["n"].max().sort_values(ascending=False, kind="stable")
    contenders = [model for model in models if model not in tables.comparison.controls]
    found = []
    for name in n.index:
        values = wide.loc[name]
        top = values[contenders].max()
        highest = max(float(values.max()), 1e-12)
        found.append(
            {
                "name": str(name),
                "n": f"{int(n[name]):,}",
                "cells": [
                    {
                        "text": "–" if pd.isna(value) else f"{value:.3f}".removeprefix("0"),
                        "share": 0 if pd.isna(value) else round(100 * value / highest),
                        "best": model in contenders and value == top and value > 0,
                    }
                    for model, value in values.items()
                ],
            }
        )
    return {"models": models, "rows": found}


def fold_tables(tables: ReportTables, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Make a table of means over folds, with standard deviation and interval, for each split.

    Args:
        tables: tables of the comparison.
        frame: a row a figure: split, candidates, model, metric, k, folds, mean, sd, low, high.
    """
    found = []
    chosen = frame[frame["k"].isna() | (frame["k"] == tables.shortest)]
    order = {"ndcg": 0, "recall": 1, ITEM_AUC: 2}
    chosen = chosen[
        chosen["metric"].isin(order) & ~chosen["candidates"].map(is_variant).astype(bool)
    ]
    chosen = chosen.sort_values("metric", key=lambda names: names.map(order), kind="stable")
    for (split, candidates), part in _grouped(chosen, "split", "candidates"):
        columns, figures = [], {}
        for (metric, k), rows in _grouped(part, "metric", "k"):
            columns.append((metric_label(metric, k), metric))
            for row in rows.to_dict("records"):
                value = Interval(row["mean"], row["low"], row["high"])
                figures[row["model"], metric] = (value, row["sd"])
        table = _by_model(tables, columns, {pair: value for pair, (value, _) in figures.items()})
        for row in table["rows"]:
            for (_, metric), shown in zip(columns, row["cells"], strict=True):
                if (row["model"], metric) in figures:
                    shown["mean"] += f" ± {figures[row['model'], metric][1]:.3f}"
        title = f"{tables.group_label(split, candidates)}: {int(part['folds'].max())} folds"
        found.append({"title": title, **table})
    return found


def learning_curve_table(tables: ReportTables, curve: pd.DataFrame) -> dict[str, Any]:
    """Make a table of models (rows) by number of interactions (columns) from one metric."""
    points = sorted(set(curve["interactions"].astype(int)))
    figures = {
        (row["model"], int(row["interactions"])): Interval(row["mean"], row["low"], row["high"])
        for row in curve.to_dict("records")
    }
    return _by_model(tables, [(f"{n:,}", n) for n in points], figures)


def _grouped(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups of rows with equal values in some columns, in the order of their first rows."""
    yield from frame.groupby(list(columns), sort=False, dropna=False)


def _by_model(
    tables: ReportTables,
    columns: list[tuple[str, Any]],
    figures: dict[Any, Interval],
    groups: Sequence[tuple[str, int]] = (),
) -> dict[str, Any]:
    """A table with a row a model, in which the best model of a column is marked.

    Args:
        tables: tables of the comparison.
        columns: heading and key of each column.
        figures: interval by (model, key of the column).
        groups: headings over columns, with how many columns each spans.
    """
    named = dict.fromkeys(model for model, _ in figures)
    order = [model for model in tables.ranked_models() if model in named]
    order += [model for model in named if model not in order]
    controls = tables.comparison.controls

    def highest(column: Any) -> float:
        means = [
            figures[model, column].mean
            for model in order
            if model not in controls and (model, column) in figures
        ]
        return max((mean for mean in means if mean > 0), default=float("inf"))

    groups = groups or [("", len(columns))]
    firsts = {sum(span for _, span in groups[:place]) for place in range(len(groups))}
    tops = {column: highest(column) for _, column in columns}
    return {
        "groups": list(groups),
        "columns": [(label, place in firsts) for place, (label, _) in enumerate(columns)],
        "rows": [
            {
                "model": model,
                "control": model in controls,
                "cells": [
                    format_cell(
                        value := figures.get((model, column)),
                        best=value is not None
                        and model not in controls
                        and value.mean == tops[column],
                        starts_group=place in firsts,
                    )
                    for place, (_, column) in enumerate(columns)
                ],
            }
            for model in order
        ],
    }
