"""Everything that a report shows, as rows of text and plots; page and Markdown render it."""

import json
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Final

import pandas as pd

from evaluation.comparison.bootstrap import Difference
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.examples import Example
from evaluation.comparison.trial import COLD_ITEMS
from evaluation.conclusions.evidence import (
    LEAST_NEW_ITEMS,
    contenders,
    n_new_items_tested,
    paired_gaps,
)
from evaluation.conclusions.wording import format_p_value
from evaluation.genre.cross_validation import GenreResult
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.models.controls import parse_control_name
from evaluation.report.charts import (
    Chart,
    learning_curve_chart,
    overview_charts,
    song_map_chart,
    trade_off_charts,
    warm_cold_charts,
)
from evaluation.report.facts import (
    METRIC_DEFINITIONS,
    cost_rows,
    dataset_rows,
    genre_section,
    provenance_rows,
    report_byline,
    source_rows,
    split_row,
)
from evaluation.report.slices import fold_tables, learning_curve_table, slice_sections
from evaluation.report.tables import Column, ReportTables, format_cell
from evaluation.report.whole_lists import new_items_section

SECTIONS: Final = {
    "new-items": "New songs in whole lists",
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
"""Titles of the sections by their ids, in the order of the page."""

_TOO_FEW: Final = {"kind": "no", "sentence": f"too few to tell: fewer than {LEAST_NEW_ITEMS}"}

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


def report_content(
    comparison: Comparison,
    facts: Mapping[str, Any],
    *,
    noun: str,
    genre: GenreResult | None,
    curve: pd.DataFrame | None,
    song_map: pd.DataFrame | None,
) -> dict[str, Any]:
    """Collect everything that a report shows.

    Args:
        comparison: the models, side by side.
        facts: what is written as JSON.
        noun: what items are called.
        genre: genre accuracy of the network.
        curve: learning curve; its first metric is shown.
        song_map: places of the songs' embeddings in the plane.

    Returns:
        Variables of the template ``report.html``, and of the Markdown.
    """
    tables = ReportTables(comparison, noun)
    parts: dict[str, Any] = {
        "new_items": new_items_section(tables),
        "warm_cold": _with_charts(warm_cold_charts(tables), table=tables.warm_cold_table()),
        "controls": control_tables(tables),
        "controls_correction": correction_note(tables),
        "slices": slice_sections(tables, comparison.slices),
        "beyond": _with_charts(trade_off_charts(tables), tables=tables.beyond_accuracy_tables()),
        "curve": None,
        "folds": fold_tables(tables, comparison.folds),
        "genre": None if genre is None else genre_section(genre),
        "examples": example_users(tables, comparison.examples),
        "map": None,
    }
    if curve is not None and len(curve):
        first = curve[curve["metric"] == curve["metric"].iloc[0]]
        first = first[first["k"].isna() | (first["k"] == first["k"].iloc[0])]
        parts["curve"] = {
            "charts": [learning_curve_chart(first)],
            "table": learning_curve_table(tables, first),
        }
    if song_map is not None and len(song_map):
        seed = int(comparison.settings["seed"])
        parts["map"] = {"charts": [song_map_chart(song_map, noun, seed)]}
    titles = SECTIONS | {
        "examples": _examples_title(len(parts["examples"])),
        "new-items": f"New {noun} in whole lists",
    }
    return {
        "title": facts["title"],
        "verdict": {
            "outcome": facts["verdict"],
            "reason": facts["verdict_reason"],
            "tiles": facts["tiles"],
        },
        "summary": facts["summary"],
        "findings": facts["findings"],
        "cautions": [*facts["notes"], *facts["cautions"]],
        "command": facts["command"],
        "noun": noun,
        "byline": report_byline(comparison, facts["created"]),
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
        "definitions": dict(
            METRIC_DEFINITIONS[name] for name in METRIC_DEFINITIONS if name in tables.metrics
        ),
        "main": tables.main_tables(),
        "glance": {"charts": overview_charts(tables)},
        "detailed": tables.detailed_tables(),
        "differences": difference_tables(tables),
        "costs": cost_rows(comparison),
        "sources": source_rows(comparison),
        "dataset": dataset_rows(comparison),
        "splits": [split_row(split) for split in comparison.splits],
        "provenance": provenance_rows(comparison),
        "configuration": json.dumps(facts["configuration"], indent=2, ensure_ascii=False),
        **parts,
    }


def all_charts(shown: Mapping[str, Any]) -> list[Chart]:
    """List all plots in the order of the page."""
    return [
        chart
        for name in ("new_items", "glance", "warm_cold", "beyond", "curve", "map")
        if shown[name]
        for chart in shown[name]["charts"]
    ]


def _with_charts(charts: list[Chart], **tables: Any) -> dict[str, Any] | None:
    """A section of plots and tables; None if it has neither."""
    return {"charts": charts, **tables} if charts or any(tables.values()) else None


def _examples_title(n: int) -> str:
    words = {1: "One listener", 10: "Ten listeners"}
    return words.get(n, f"{n} listeners")


def difference_tables(tables: ReportTables) -> list[dict[str, Any]]:
    """Make tables of the paired differences from the baseline and from the best model."""
    found = []
    for column in _deciding_columns(tables):
        few = _too_few(tables, column)
        rows = [
            {
                "model": model,
                "control": model in tables.comparison.controls,
                "baseline": _gap_cell(tables.from_baseline.get(column.key(model)), few=few),
                "best": _gap_cell(tables.from_best.get(column.key(model)), few=few),
            }
            for model in tables.ranked_models()
        ]
        found.append(
            {
                "title": _title(tables, column),
                "baseline": tables.comparison.baseline,
                "best": _best(tables, column),
                "rows": rows,
            }
        )
    return found


def control_tables(tables: ReportTables) -> list[dict[str, Any]]:
    """Make tables that compare each control with the model it was made from, or else the best.

    p-values are corrected for the number of controls in one table.
    """
    return [
        {"title": _title(tables, column), "rows": _control_rows(tables, column)}
        for column in _deciding_columns(tables)
        if tables.comparison.controls
    ]


def correction_note(tables: ReportTables) -> str:
    """Say for how many comparisons the p-values in tables of controls are corrected."""
    n = len(tables.comparison.controls)
    comparisons = "1 comparison" if n == 1 else f"{n} comparisons"
    return (
        f"p is corrected for the {comparisons} of a table (Holm), and among the differences for all"
        " models held against the same one: the same pair may have another p there."
    )


def _control_rows(tables: ReportTables, column: Column) -> list[dict[str, Any]]:
    comparison = tables.comparison
    exposed = []
    for control in comparison.controls:
        made_of = parse_control_name(control)
        own = made_of is not None and made_of[0] in comparison.models
        exposed.append(made_of[0] if made_of is not None and own else _best(tables, column))
    pairs = [
        (column.key(model), column.key(control))
        for model, control in zip(exposed, comparison.controls, strict=True)
    ]
    gaps = paired_gaps(comparison, pairs)
    few = _too_few(tables, column)
    return [
        {
            "control": control,
            "own": format_cell(tables.figures[column.key(control)]),
            "model": model,
            "of_model": format_cell(tables.figures[column.key(model)]),
            "gap": _gap_cell((control, gap), few=few),
            **(_TOO_FEW if few else _verdict(gap, meaning)),
        }
        for (control, meaning), model, gap in zip(
            comparison.controls.items(), exposed, gaps, strict=True
        )
    ]


def _deciding_columns(tables: ReportTables) -> list[Column]:
    """The main metric of every split; with cold items also the item-wise AUC.

    The units of the item-wise AUC are the items, so only it accounts for which items were held out.
    """
    columns = []
    for split in tables.splits():
        wanted = tables.deciding_candidates(split)
        columns.append(tables.main_column(split, wanted))
        columns += tables.with_figures([Column(split, wanted, ITEM_AUC, None)])
    # New items come first, as in the main table.
    ordered = sorted(columns, key=lambda column: column.split != tables.cold)
    return list(dict.fromkeys(ordered))


def _title(tables: ReportTables, column: Column) -> str:
    return f"{tables.group_label(column.split, column.candidates)}: {column.label}"


def _best(tables: ReportTables, column: Column) -> str:
    """The model with the highest mean, controls left out."""
    return max(
        contenders(tables.comparison),
        key=lambda model: tables.figures[column.key(model)].mean,
    )


def _too_few(tables: ReportTables, column: Column) -> bool:
    """Tell whether a column is of new items among themselves, too few for any verdict."""
    if column.candidates != COLD_ITEMS:
        return False
    return n_new_items_tested(tables.comparison, column.split) < LEAST_NEW_ITEMS


def _verdict(gap: Difference, meaning: str) -> dict[str, str]:
    """What the difference from one control means: a style class and a sentence."""
    if gap.shown and gap.mean > 0:
        return {"kind": "better", "sentence": "beaten"}
    if gap.shown:
        return {"kind": "worse", "sentence": "does better" + (meaning and f", so {meaning}")}
    beaten = "not shown to be beaten"
    return {"kind": "no", "sentence": f"{beaten}: it may be that {meaning}" if meaning else beaten}


def _gap_cell(gap: tuple[str, Difference] | None, *, few: bool = False) -> dict[str, str] | None:
    """A paired difference as text; without a verdict where there are too ``few`` items for one."""
    if gap is None:
        return None
    mean, low, high = gap[1][:3]
    verdict = "better" if mean > 0 else "worse"
    return {
        "mean": _plus_minus(mean),
        "spread": f"{_plus_minus(low)} to {_plus_minus(high)}",
        "verdict": "too few to tell" if few else verdict if gap[1].shown else "no difference shown",
        "p": "" if few or isnan(gap[1].p_corrected) else format_p_value(gap[1].p_corrected),
    }


def _plus_minus(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def example_users(tables: ReportTables, users: Sequence[Example]) -> list[dict[str, Any]]:
    """Describe test users with the lists of all models, in the order of the other tables."""
    order = tables.ranked_models()
    found = []
    for number, user in enumerate(users, 1):
        rows: list[dict[str, Any]] = [
            {
                "model": model,
                "control": model in tables.comparison.controls,
                "hits": sum(bool(item["hit"]) for item in user.lists[model]),
                "items": [{**_describe_item(item), "hit": bool(item["hit"])} for item in shown],
            }
            for model in order
            if (shown := user.lists.get(model)) is not None
        ]
        places = max((len(row["items"]) for row in rows), default=0)
        with_hits = sum(row["hits"] > 0 and not row["control"] for row in rows)
        n_models = sum(not row["control"] for row in rows)
        found.append(
            {
                "name": f"User {number}",
                "id": str(user.user_id),
                "split": user.split,
                "facts": f"{with_hits} of {n_models} models have a hit",
                "played": [_describe_item(item) for item in user.played],
                "held_out": [_describe_item(item) for item in user.held_out],
                "places": list(range(1, places + 1)),
                "rows": rows,
            }
        )
    return found


def _describe_item(item: Mapping[str, Any]) -> dict[str, str]:
    """Name, artist and genre of an item as text."""
    title, artist = str(item.get("title") or ""), str(item.get("artist") or "")
    name = title or artist or str(item["item_id"])
    by = artist if artist and artist != name else ""
    return {"name": name, "by": by, "genre": str(item.get("genre") or "")}
