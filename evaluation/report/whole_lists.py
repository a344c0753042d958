"""The section on new items in whole lists: what budgets show and cost, as plots and tables."""

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from evaluation.comparison.bootstrap import Interval
from evaluation.conclusions.verdict import subject
from evaluation.conclusions.wording import format_number, format_percent
from evaluation.report.charts import Chart
from evaluation.report.plots import Curve, frontier_plot
from evaluation.report.tables import ReportTables, format_cell

_MAX_CURVES: Final = 5
"""Most models with a curve of their own in a plot: the subject and those whose lists are best."""

_OWN: Final = "own lists"


def new_items_section(tables: ReportTables) -> dict[str, Any] | None:
    """Make the section on new items in whole lists; None where none could be in lists.

    Args:
        tables: tables of the comparison.

    Returns:
        ``charts``, ``own`` (a table of every model's own lists), ``budgets`` (a table of each model
        that takes budgets, the verdict's subject first), and the texts of the section.
    """
    comparison = tables.comparison
    rows = comparison.frontier
    if not len(rows):
        return None
    mixed = [split["name"] for split in comparison.splits if split["kind"] == "mixed"]
    split = mixed[0] if mixed else rows["split"].iloc[0]
    rows = rows[(rows["split"] == split) & (rows["k"] == tables.shortest)]
    model = subject(comparison)
    own, asked = rows[rows["discovery"].isna()], rows[rows["discovery"].notna()]
    takers = list(dict.fromkeys(asked["model"]))
    takers.sort(key=lambda name: name != model)
    order = {name: place for place, name in enumerate(tables.ranked_models())}
    listed = own[~own["at_random"]].sort_values("model", key=lambda names: names.map(order))
    drawn = own[own["at_random"] & (own["model"] == model)]
    listed = pd.concat([listed[~listed["control"]], listed[listed["control"]], drawn])
    k = tables.shortest
    return {
        "charts": _charts(tables, asked, own, model, takers) if takers else [],
        "own": _table(
            tables,
            listed,
            [
                f"{row.model}, random new {tables.noun}" if row.at_random else row.model
                for row in listed.itertuples()
            ],
        ),
        "budgets": [
            {
                "title": f"{name} at each budget, lists of {k}",
                **_table(
                    tables,
                    asked[(asked["model"] == name) & ~asked["at_random"]],
                    _budget_names(asked[(asked["model"] == name) & ~asked["at_random"]]),
                    heading="Budget",
                ),
            }
            for name in takers
        ],
        "model": model,
        "k": k,
        "mixed": bool(mixed),
    }


def _budget_names(rows: pd.DataFrame) -> list[str]:
    return [format_budget(budget) for budget in rows["discovery"]]


def format_budget(budget: float) -> str:
    """Write a budget in percent, as short as it can be.

    Examples:
        >>> format_budget(0.005), format_budget(0.2)
        ('0.5%', '20%')
    """
    return f"{100 * budget:.3g}%"


def _table(
    tables: ReportTables, rows: pd.DataFrame, names: list[str], heading: str = "Model"
) -> dict[str, Any]:
    k = tables.shortest
    return {
        "heading": heading,
        "columns": [
            "Places",
            f"{tables.noun.capitalize()} shown",
            "to ten users",
            f"one {tables.noun.removesuffix('s')}’s most",
            f"nDCG@{k} of both",
            "Cost",
            f"nDCG@{k} of new",
            f"nDCG@{k} of known",
        ],
        "rows": [
            {
                "name": name,
                "control": bool(row["control"] or row["at_random"]),
                "cells": _cells(row),
            }
            for name, row in zip(names, rows.to_dict("records"), strict=True)
        ],
    }


def _cells(row: dict[Any, Any]) -> list[dict[str, Any]]:
    cost = _share(Interval(row["cost"], row["cost_low"], row["cost_high"]))
    new = Interval(row["ndcg_new"], row["ndcg_new_low"], row["ndcg_new_high"])
    return [
        _share(Interval(row["share"], row["share_low"], row["share_high"])),
        {"mean": f"{row['shown']:,.0f}", "spread": ""},
        {"mean": f"{row['shown_to_ten']:,.0f}", "spread": ""},
        {"mean": f"{row['largest_share']:.0%}", "spread": ""},
        {"mean": _figure(row["ndcg"]), "spread": ""},
        cost,
        format_cell(new),
        {"mean": _figure(row["ndcg_known"]), "spread": ""},
    ]


def _figure(value: float) -> str:
    return "–" if pd.isna(value) else format_number(value)


def _share(value: Interval) -> dict[str, Any]:
    """A share and its interval in percent; – where it was not measured."""
    if pd.isna(value.mean):
        return {"mean": "–", "spread": ""}
    spread = ""
    if not pd.isna(value.low):
        low, high = format_percent(value.low), format_percent(value.high)
        spread = f"{low} to {high}" if "−" in low + high else f"{low}–{high}"
    return {"mean": format_percent(value.mean), "spread": spread}


def _charts(
    tables: ReportTables, asked: pd.DataFrame, own: pd.DataFrame, model: str, takers: list[str]
) -> list[Chart]:
    """Plot cost, and nDCG of new items, against the share of places."""
    lists = asked[~asked["at_random"]]
    best = lists.groupby("model")["ndcg"].max().sort_values(ascending=False, kind="stable")
    drawn = [name for name in best.index if name not in tables.comparison.controls]
    drawn = [name for name in takers if name in (model, *drawn[: _MAX_CURVES - 1])]
    at_random = asked[asked["at_random"] & (asked["model"] == model)]
    label = f"{model}, random new {tables.noun} there"
    k = tables.shortest
    share = f"share of the places that new {tables.noun} take, %"
    reading = f"The numbers are budgets of {model}."
    found = []
    for name, column, title, y_label, scale, note in (
        (
            "what-discovery-costs",
            "cost",
            "What it costs",
            f"loss of nDCG@{k} of both kinds, %",
            100.0,
            f"Lower is better. {reading}",
        ),
        (
            "what-discovery-finds",
            "ndcg_new",
            "What it finds",
            f"nDCG@{k} of new {tables.noun} in whole lists",
            1.0,
            f"Higher is better. {reading}",
        ),
    ):
        curves = [
            _curve(lists[lists["model"] == one], column, scale, one, named=one == model)
            for one in drawn
        ]
        curves.append(_curve(at_random, column, scale, label, control=True))
        # A weak source that fills its lists with new items must not squeeze the subject's curve.
        most = max(5.0, 1.3 * max(curves[0].x, default=0.0))
        if column == "ndcg_new":
            points = own[~own["at_random"] & ~own["model"].isin(takers)]
            curves += [
                _curve(points[points["model"] == one], column, scale, one, control=True)
                for one in points["model"]
                if one in ("random", "popularity")
            ]
        curves = [_up_to(curve, most) if curve.name != model else curve for curve in curves]
        figure = frontier_plot(curves, share, y_label, normal=column == "cost")
        found.append(
            Chart(name, title, _described(curves, y_label), figure, whole=False, note=note)
        )
    return found


def _curve(
    rows: pd.DataFrame,
    column: str,
    scale: float,
    name: str,
    *,
    named: bool = False,
    control: bool = False,
) -> Curve:
    rows = rows[rows[column].notna()].sort_values(["share", "discovery"])
    x = [100 * value for value in rows["share"]]
    labels = _spaced(x, _budget_names(rows)) if named else [""] * len(rows)
    return Curve(name, control, x, [scale * value for value in rows[column]], labels)


def _up_to(curve: Curve, most: float) -> Curve:
    """The points of a curve up to a share of places, in percent."""
    n = sum(x <= most for x in curve.x)
    return curve._replace(x=curve.x[:n], y=curve.y[:n], labels=curve.labels[:n])


def _spaced(x: list[float], labels: list[str]) -> list[str]:
    """Keep the labels that have room, from the right; the points are ascending."""
    kept, room = [""] * len(x), 0.12 * max(x, default=0.0)
    last = float("inf")
    for place in reversed(range(len(x))):
        if last - x[place] >= room:
            kept[place], last = labels[place], x[place]
    return kept


def _described(curves: Iterable[Curve], y_label: str) -> str:
    said = (
        f"{curve.name} from {curve.y[0]:.3g} at {curve.x[0]:.1f}% of the places to"
        f" {curve.y[-1]:.3g} at {curve.x[-1]:.1f}%"
        for curve in curves
        if curve.x
    )
    return f"{y_label}: {', '.join(said)}"
