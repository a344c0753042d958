"""One self-contained HTML file that a person reads, and the same as JSON for a program."""

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.errors import InvalidArgumentError
from datasets.files import write_text
from evaluation.comparison import Comparison
from evaluation.conclusions import cautions, number, summarise
from evaluation.figures import Figure, Point, interval_plot, plane_plot
from evaluation.genre import GenreResult
from evaluation.metrics import ITEM_AUC
from evaluation.page import render
from evaluation.report_facts import (
    dataset_facts,
    exact_configuration,
    facts_line,
    genre_facts,
    provenance,
    split_facts,
)
from evaluation.report_tables import Tables
from evaluation.trial import CATALOGUE, COLD


def write_report(
    comparison: Comparison,
    path: str | os.PathLike[str],
    *,
    genre: GenreResult | None = None,
    title: str = "How good are the recommendations?",
    notes: Sequence[str] = (),
    noun: str = "songs",
    command: str = "",
    configuration: dict[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write ``path`` (.html) and the same facts as .json beside it; returns both paths.

    The page needs no network, and its content policy forbids it any. ``notes`` are statements a
    reader must see first, such as that listeners are simulated. ``noun`` is what items are called.
    ``command`` repeats the evaluation. ``configuration`` is added to what the comparison knows of
    its own settings and of the models'.

    Raises :class:`~datasets.errors.InvalidArgumentError` unless the name ends in .html.
    """
    target = Path(path)
    if target.suffix.lower() != ".html":
        raise InvalidArgumentError(f"the report is written to a name that ends in .html: {target}")
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    settings = exact_configuration(comparison, configuration or {})
    facts = {
        "format": 1,
        "title": title,
        "created": created.isoformat(),
        "summary": summarise(comparison, noun),
        "notes": list(notes),
        "cautions": cautions(comparison, noun),
        **comparison.to_dict(),
        "genre": None if genre is None else genre.to_dict(),
        "configuration": settings,
        "command": command,
    }
    as_json = target.with_suffix(".json")
    write_text(as_json, json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(target, _page(comparison, genre, facts, noun))
    return target, as_json


def _page(
    comparison: Comparison, genre: GenreResult | None, facts: dict[str, Any], noun: str
) -> str:
    tables = Tables(comparison, noun)
    charts, figures = _charts(tables)
    context = {
        "title": facts["title"],
        "summary": facts["summary"],
        "cautions": [*facts["notes"], *facts["cautions"]],
        "command": facts["command"],
        "noun": noun,
        "byline": facts_line(comparison, facts["created"]),
        "unit": "users (for the item-wise AUC, over items)" if tables.cold else "users",
        "unit_short": "users or items" if tables.cold else "users",
        "level": f"{comparison.settings['confidence']:.0%}",
        "n_bootstrap": f"{comparison.settings['n_bootstrap']:,}",
        "has_cold": tables.cold is not None,
        "has_warm": tables.warm is not None,
        "main": tables.main(),
        "detailed": tables.detailed(),
        "differences": tables.differences(),
        "costs": tables.costs(),
        "charts": charts,
        "dataset": dataset_facts(comparison),
        "splits": [split_facts(split) for split in comparison.splits],
        "genre": None if genre is None else genre_facts(genre),
        "provenance": provenance(comparison),
        "configuration": json.dumps(facts["configuration"], indent=2, ensure_ascii=False),
    }
    return render("report.html", context, figures, ("report.css",))


def _charts(tables: Tables) -> tuple[list[dict[str, str]], dict[str, Figure]]:
    """The plots that the splits allow: captions for the page, and plotly's JSON by element id."""
    k, comparison = tables.shortest, tables.comparison
    wanted: list[tuple[str, str, str, int | None]] = []
    if tables.cold is not None:
        wanted.append((tables.cold, COLD, "ndcg", k))
        wanted.append((tables.cold, CATALOGUE, "ndcg", k))
        wanted.append((tables.cold, COLD, ITEM_AUC, None))
    if tables.warm is not None:
        wanted.append((tables.warm, CATALOGUE, "ndcg", k))
    charts: list[dict[str, str]] = []
    figures: dict[str, Figure] = {}

    def add(title: str, description: str, figure: Figure) -> None:
        name = f"chart-{len(charts) + 1}"
        charts.append({"id": name, "title": title, "description": description, "size": ""})
        figures[name] = figure

    for split, candidates, metric, at in wanted:
        points = _points(tables, split, candidates, metric, at)
        if not points:
            continue
        label = "item-wise AUC" if metric == ITEM_AUC else f"nDCG@{at}"
        base = {point.model: point.value.mean for point in points}[comparison.baseline]
        reference = ("chance", 0.5) if metric == ITEM_AUC else (comparison.baseline, base)
        title = tables.group_label(split, candidates)
        if metric == ITEM_AUC:
            title = f"New {tables.noun}: do they find their listeners?"
        add(title, _describe(points, label), interval_plot(points, label, reference))
    if tables.cold is not None and tables.warm is not None:
        leading = tables.leading()
        known = _points(tables, tables.warm, CATALOGUE, "ndcg", k)
        new = _points(tables, tables.cold, COLD, leading.metric, leading.k)
        pairs = [(left, right.value) for left, right in zip(known, new, strict=True)]
        measure = leading.label.replace("Item", "item")
        labels = (f"known {tables.noun}, nDCG@{k}", f"new {tables.noun}, {measure}")
        add("Known against new", "; ".join(labels), plane_plot(pairs, *labels))
        charts[-1]["size"] = "whole" if len(charts) % 2 else ""
    return charts, figures


def _points(tables: Tables, split: str, candidates: str, metric: str, k: int | None) -> list[Point]:
    found = []
    for model in tables.models():
        value = tables.figures.get((split, candidates, model, metric, k))
        if value is not None:
            found.append(Point(model, model in tables.comparison.controls, value))
    return found


def _describe(points: list[Point], label: str) -> str:
    values = ", ".join(f"{point.model} {number(point.value.mean)}" for point in points)
    return f"{label}: {values}"
