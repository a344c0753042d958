"""Everything a report shows, as plain text and plots: the page and the Markdown are made of it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from evaluation.comparison.comparison import Comparison
from evaluation.genre.cross_validation import GenreResult
from evaluation.report.charts import (
    Chart,
    embedding_map,
    glance,
    known_against_new,
    learning,
    trade_offs,
)
from evaluation.report.differences import controls, correction, differences
from evaluation.report.examples import examples
from evaluation.report.facts import (
    DEFINITIONS,
    costs,
    dataset_facts,
    facts_line,
    genre_facts,
    provenance,
    split_facts,
)
from evaluation.report.slices import curve_table, folds, slices
from evaluation.report.tables import Tables

SECTIONS: Final = {
    "results": "Results",
    "glance": "At a glance",
    "warm-cold": "Known against new",
    "controls": "What the controls say",
    "differences": "Which differences are real",
    "slices": "For whom, and for what",
    "beyond": "Accuracy against popularity and diversity",
    "curve": "With more data",
    "folds": "From fold to fold",
    "genre": "Genre from sound",
    "examples": "Ten listeners",
    "map": "The map",
    "data": "Data set",
    "method": "How it was measured",
    "all-figures": "All figures",
    "costs": "Time and memory",
    "repeat": "Repeat it",
}
"""Titles of the sections by their anchors, in order."""
_ALWAYS: Final = (
    "results",
    "glance",
    "differences",
    "data",
    "method",
    "all-figures",
    "costs",
    "repeat",
)


def content(
    comparison: Comparison,
    facts: Mapping[str, Any],
    *,
    noun: str,
    genre: GenreResult | None,
    curve: pd.DataFrame | None,
    song_map: pd.DataFrame | None,
) -> dict[str, Any]:
    """What the templates need; ``facts`` are those that are written as JSON."""
    tables = Tables(comparison, noun)
    parts: dict[str, Any] = {
        "warm_cold": _with_charts(known_against_new(tables), table=tables.warm_and_cold()),
        "controls": controls(tables),
        "controls_correction": correction(tables),
        "slices": slices(tables, comparison.slices),
        "beyond": _with_charts(trade_offs(tables), tables=tables.beyond()),
        "curve": None,
        "folds": folds(tables, comparison.folds),
        "genre": None if genre is None else genre_facts(genre),
        "examples": examples(tables, comparison.examples),
        "map": None,
    }
    if curve is not None and len(curve):
        first = curve[curve["metric"] == curve["metric"].iloc[0]]
        first = first[first["k"].isna() | (first["k"] == first["k"].iloc[0])]
        parts["curve"] = {"charts": [learning(first)], "table": curve_table(tables, first)}
    if song_map is not None and len(song_map):
        seed = int(comparison.settings["seed"])
        parts["map"] = {"charts": [embedding_map(song_map, noun, seed)]}
    titles = SECTIONS | {"examples": _examples_title(len(parts["examples"]))}
    return {
        "title": facts["title"],
        "summary": facts["summary"],
        "findings": facts["findings"],
        "cautions": [*facts["notes"], *facts["cautions"]],
        "command": facts["command"],
        "noun": noun,
        "byline": facts_line(comparison, facts["created"]),
        "sections": {
            name: title
            for name, title in titles.items()
            if name in _ALWAYS or parts[name.replace("-", "_")]
        },
        "unit": "users (for the item-wise AUC, over items)" if tables.cold else "users",
        "unit_short": "users or items" if tables.cold else "users",
        "level": f"{comparison.settings['confidence']:.0%}",
        "alpha": f"{1 - comparison.settings['confidence']:.2g}",
        "n_bootstrap": f"{comparison.settings['n_bootstrap']:,}",
        "k": tables.shortest,
        "kinds": {split["kind"] for split in comparison.splits},
        "sampled": tables.sampled,
        "definitions": dict(DEFINITIONS[name] for name in DEFINITIONS if name in tables.metrics),
        "main": tables.main(),
        "glance": {"charts": glance(tables)},
        "detailed": tables.detailed(),
        "differences": differences(tables),
        "costs": costs(comparison),
        "dataset": dataset_facts(comparison),
        "splits": [split_facts(split) for split in comparison.splits],
        "provenance": provenance(comparison),
        "configuration": json.dumps(facts["configuration"], indent=2, ensure_ascii=False),
        **parts,
    }


def charts_of(shown: Mapping[str, Any]) -> list[Chart]:
    """Every plot in the order of the page."""
    return [
        chart
        for name in ("glance", "warm_cold", "beyond", "curve", "map")
        if shown[name]
        for chart in shown[name]["charts"]
    ]


def _with_charts(charts: list[Chart], **tables: Any) -> dict[str, Any] | None:
    """A section of plots and tables; None where there is neither."""
    return {"charts": charts, **tables} if charts or any(tables.values()) else None


def _examples_title(n: int) -> str:
    words = {1: "One listener", 10: "Ten listeners"}
    return words.get(n, f"{n} listeners")
