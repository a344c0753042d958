"""Write an evaluation report: one HTML page, and the same as Markdown and as JSON."""

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import InvalidArgumentError
from datasets.system.files import write_text
from evaluation.comparison.comparison import Comparison
from evaluation.conclusions.summary import cautions, findings, summarise
from evaluation.conclusions.verdict import judge
from evaluation.genre.cross_validation import GenreResult
from evaluation.report.content import all_charts, report_content
from evaluation.report.facts import full_configuration
from evaluation.report.render import render_page, report_markdown
from evaluation.report.static_plots import write_plot
from evaluation.serialization import json_safe

_CURVE_COLUMNS = ("model", "fraction", "interactions", "metric", "k", "mean", "low", "high")
_MAP_COLUMNS = (ITEM_ID, TITLE, ARTIST, GENRE, "x", "y", "cold")


def write_report(
    comparison: Comparison,
    path: str | os.PathLike[str],
    *,
    genre: GenreResult | None = None,
    curve: pd.DataFrame | None = None,
    song_map: pd.DataFrame | None = None,
    title: str = "How good are the recommendations?",
    notes: Sequence[str] = (),
    noun: str = "songs",
    command: str = "",
    configuration: dict[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write the report of a comparison: an HTML page, Markdown with pictures, and JSON.

    The page is self-contained: it needs no network, and its content security policy forbids it any.

    Args:
        comparison: what ``evaluation.compare`` returns.
        path: the page, a name that ends in .html. The same facts are written as .json and .md
            beside it, and the pictures of the Markdown to a folder; ``report_files`` lists all.
        genre: genre accuracy, from ``evaluation.genre_cross_validation``.
        curve: learning curve with the columns model, fraction, interactions, metric, k, mean, low,
            high; its first metric is plotted.
        song_map: items with a place in the plane: item_id, title, artist, genre, x, y, cold
            (whether the item was held out).
        title: heading of the report.
        notes: statements that readers must see first, such as that listeners are simulated.
        noun: what items are called.
        command: command line that repeats the evaluation.
        configuration: settings to add to those of the comparison, its splits and its models.

    Returns:
        Paths of the page and of the JSON file.

    Raises:
        InvalidArgumentError: ``path`` does not end in .html, a file cannot be written, or ``curve``
            or ``song_map`` lacks a column.

    Examples:
        >>> from evaluation import write_report
        >>> page, facts = write_report(comparison, folder / "report.html")
        >>> page.name, facts.name
        ('report.html', 'report.json')
    """
    target = _html(path)
    for what, frame, columns in (
        ("curve", curve, _CURVE_COLUMNS),
        ("song_map", song_map, _MAP_COLUMNS),
    ):
        missing = [] if frame is None else [name for name in columns if name not in frame]
        if missing:
            raise InvalidArgumentError(f"{what} lacks the column(s) {', '.join(missing)}")
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    summary = summarise(comparison, noun)
    more = [text for text in findings(comparison, noun, curve) if text not in summary]
    facts = {
        "format": 1,
        "title": title,
        "created": created.isoformat(),
        **judge(comparison, noun).to_dict(),
        "summary": summary,
        "notes": list(notes),
        "findings": more,
        "cautions": cautions(comparison, noun),
        **comparison.to_dict(),
        "curve": None if curve is None else json_safe(curve.to_dict("records")),
        "song_map": None if song_map is None else json_safe(song_map.to_dict("list")),
        "genre": None if genre is None else genre.to_dict(),
        "configuration": full_configuration(comparison, configuration or {}),
        "command": command,
    }
    shown = report_content(
        comparison, facts, noun=noun, genre=genre, curve=curve, song_map=song_map
    )
    charts = all_charts(shown)
    pictures = _pictures(target)
    for chart in charts:
        write_plot(chart.figure, pictures / f"{chart.name}.png", whole=chart.whole)
    write_text(target.with_suffix(".md"), report_markdown(shown, pictures.name))
    as_json = target.with_suffix(".json")
    write_text(as_json, json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    figures = {chart.name: chart.figure for chart in charts}
    write_text(target, render_page("report.html", shown, figures, ("report.css",)))
    return target, as_json


def report_files(path: str | os.PathLike[str]) -> list[Path]:
    """List the files of a report.

    Args:
        path: the page, a name that ends in .html.

    Returns:
        Paths of the page, the Markdown, the JSON file, and the pictures that exist.

    Raises:
        InvalidArgumentError: ``path`` does not end in .html.

    Examples:
        >>> from evaluation.report import report_files
        >>> [path.name for path in report_files("report.html")]
        ['report.html', 'report.md', 'report.json']
    """
    target = _html(path)
    texts = [target.with_suffix(suffix) for suffix in (".html", ".md", ".json")]
    return [*texts, *sorted(_pictures(target).glob("*.png"))]


def _html(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix.lower() != ".html":
        raise InvalidArgumentError(f"the report is written to a name that ends in .html: {target}")
    return target


def _pictures(target: Path) -> Path:
    """The folder of the pictures that the Markdown shows."""
    return target.with_name(f"{target.stem}-pictures")
