"""Which plots a report has, with their titles, notes and descriptions in words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS
from evaluation.conclusions.wording import format_number, join_names
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.report.plots import (
    PlotlyFigure,
    Point,
    PointPair,
    curve_plot,
    interval_plot,
    map_plot,
    pareto_front,
    sample_songs,
    scatter_plot,
)
from evaluation.report.tables import METRIC_NAMES, Column, ReportTables, metric_label

_TRADE_OFFS: Final = (
    ("popularity_lift", "Further left is less popular.", True),
    ("novelty", "Further right is less known.", False),
    ("coverage", "Further right is more of the catalogue.", False),
    ("artist_diversity", "Further right are more artists in a list.", False),
    ("embedding_diversity", "Further right is more different sound in a list.", False),
)
"""Metrics plotted against accuracy: metric, how to read it, whether lower is better."""

_MAX_TRADE_OFFS: Final = 4


@dataclass(frozen=True)
class Chart:
    """A plot with its title and description."""

    name: str
    """Id on the page and name of the .png file: letters, digits and dashes."""
    title: str
    description: str
    """The figures in words, for readers who cannot see the plot."""
    figure: PlotlyFigure
    whole: bool = False
    """Whether the plot is as wide as the page."""
    note: str = ""
    """How to read the plot."""


def overview_charts(tables: ReportTables) -> list[Chart]:
    """Plot the intervals of all models for the main metric of each split."""
    columns: list[Column] = []
    if tables.cold is not None:
        columns.append(Column(tables.cold, COLD_ITEMS, "ndcg", tables.shortest))
        columns.append(Column(tables.cold, CATALOGUE, "ndcg", tables.shortest))
        columns.append(Column(tables.cold, COLD_ITEMS, ITEM_AUC, None))
    columns += [
        tables.main_column(split, tables.deciding_candidates(split))
        for split in tables.splits()
        if split != tables.cold
    ]
    return [_intervals(tables, column) for column in tables.with_figures(columns)]


def warm_cold_charts(tables: ReportTables) -> list[Chart]:
    """Plot all models by their accuracy on known and on new items; [] without both splits."""
    if tables.cold is None or tables.warm is None:
        return []
    known = tables.main_column(tables.warm, tables.widest_candidates(tables.warm))
    new = tables.leading_column()
    pairs = _pairs(tables, known, new)
    front = pareto_front(pairs)
    labels = (f"known {tables.noun}, {known.label}", f"new {tables.noun}, {_name_in_sentence(new)}")
    return [
        Chart(
            "known-against-new",
            f"Every model on known and on new {tables.noun}",
            _described(pairs, *labels),
            scatter_plot(pairs, *labels, front=front),
            whole=True,
            note=_front_note(front),
        )
    ]


def trade_off_charts(tables: ReportTables) -> list[Chart]:
    """Plot accuracy against popularity and diversity, on known items where they were ranked."""
    split = tables.warm or tables.comparison.splits[0]["name"]
    place = (split, tables.widest_candidates(split))
    accuracy = tables.main_column(*place)
    charts: list[Chart] = []
    for metric, reading, lower in _TRADE_OFFS:
        column = Column(*place, metric, tables.shortest)
        pairs = _pairs(tables, column, accuracy) if tables.with_figures([column]) else []
        if not pairs or len(charts) == _MAX_TRADE_OFFS:
            continue
        front = pareto_front(pairs, lower=lower)
        labels = (column.label, accuracy.label)
        charts.append(
            Chart(
                f"{accuracy.metric}-against-{metric.replace('_', '-')}",
                f"{accuracy.label} against {METRIC_NAMES[metric].lower()}",
                _described(pairs, *labels),
                scatter_plot(
                    pairs, *labels, front=front, size="half", zero=metric not in ("novelty",)
                ),
                note=f"{reading} {_front_note(front)}".strip(),
            )
        )
    return charts


def learning_curve_chart(curve: pd.DataFrame) -> Chart:
    """Plot the learning curve of one metric."""
    label = metric_label(str(curve["metric"].iloc[0]), curve["k"].iloc[0])
    ends = curve.sort_values("interactions").groupby("model", sort=False)["mean"]
    said = ", ".join(
        f"{model} from {format_number(first)} to {format_number(last)}"
        for model, first, last in zip(ends.first().index, ends.first(), ends.last(), strict=True)
    )
    title = f"{label} over the number of interactions"
    return Chart("learning-curve", title, said, curve_plot(curve, label), whole=True)


def song_map_chart(songs: pd.DataFrame, noun: str, seed: int) -> Chart:
    """Plot a map of the songs' embeddings, at most as many as a page can draw."""
    drawn = sample_songs(songs, seed)
    cold = int(drawn["cold"].sum())
    note = "Near is alike; axes and large distances mean nothing."
    if cold:
        note += f" The {cold:,} held-out {noun} are larger and outlined."
    if len(drawn) < len(songs):
        note += f" {len(drawn):,} of {len(songs):,} are drawn"
        whole = 0 < cold == int(songs["cold"].sum())
        note += ": all of these, others at random." if whole else ", at random."
    said = f"{len(drawn):,} {noun} of {drawn['genre'].nunique()} genres as points"
    title = f"The {noun} by their embeddings, coloured by genre"
    return Chart("embedding-map", title, said, map_plot(drawn), whole=True, note=note)


def _intervals(tables: ReportTables, column: Column) -> Chart:
    points = _points(tables, column)
    reference: tuple[str, float] | None = None
    if column.metric == ITEM_AUC:
        reference, title = ("chance", 0.5), f"New {tables.noun}: do they find their listeners?"
    else:
        base = tables.comparison.baseline
        means = {point.model: point.value.mean for point in points}
        reference = (base, means[base]) if base in means else None
        title = tables.group_label(column.split, column.candidates)
    said = ", ".join(f"{point.model} {format_number(point.value.mean)}" for point in points)
    label = _name_in_sentence(column)
    name = f"{_slug(column.split)}-{_slug(column.candidates)}-{_slug(column.metric)}"
    return Chart(name, title, f"{label}: {said}", interval_plot(points, label, reference))


def _points(tables: ReportTables, column: Column) -> list[Point]:
    return [
        Point(model, model in tables.comparison.controls, value)
        for model in tables.ranked_models()
        if (value := tables.figures.get(column.key(model))) is not None and value.mean == value.mean
    ]


def _pairs(tables: ReportTables, x: Column, y: Column) -> list[PointPair]:
    """The models that have both figures."""
    vertical = {point.model: point.value for point in _points(tables, y)}
    return [
        (point, vertical[point.model]) for point in _points(tables, x) if point.model in vertical
    ]


def _front_note(front: list[str]) -> str:
    if len(front) < 2:
        return f"{join_names(front)} is best by both." if front else ""
    return f"Best compromises (dotted line, bold): {join_names(front)}."


def _described(pairs: Iterable[PointPair], x_label: str, y_label: str) -> str:
    values = ", ".join(
        f"{point.model} {point.value.mean:.3f} and {y.mean:.3f}" for point, y in pairs
    )
    return f"{x_label}, and {y_label}: {values}"


def _name_in_sentence(column: Column) -> str:
    """The name of a metric within a sentence."""
    return column.label.replace("Item", "item").replace("User", "user")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
