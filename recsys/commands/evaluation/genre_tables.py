"""Print the tables of a genre cross-validation."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evaluation.genre.splits import genre_split
from evaluation.genre.study import PUBLISHED
from evaluation.genre_report.conclusions import mean_with_spread, summarise_study
from evaluation.genre_report.page import MAX_LABELS
from evaluation.report.facts import format_genre_measure
from recsys.commands.printing import cell_text, echo

if TYPE_CHECKING:
    from rich.table import Table

    from evaluation.genre.study import GenreStudy


def print_study(study: "GenreStudy") -> None:
    """Print folds (Fig. 9A of the patent), confusion, labels and conclusions of a study."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=200)
    for split, classifier in study.groups():
        architecture = study.of(split, classifier)[0].architecture
        echo(f"\n{classifier}, split by {split}: {architecture}")
        console.print(_folds(study, split, classifier))
    split, classifier = study.groups()[0]
    if study.runs[0].result.facts["labels"] <= MAX_LABELS:
        echo(f"\nTrue (rows) and ranked first (columns): {classifier}, split by {split}")
        console.print(_confusion(study, split, classifier))
    echo(f"\nBy label: {classifier}, split by {split}")
    console.print(_labels(study, split, classifier))
    echo("\nSummary")
    console.print(_summary(study))
    for split in dict.fromkeys(split for split, _ in study.groups()):
        echo(f"{split} split: {genre_split(split).leak}")
    echo(f"patent: {PUBLISHED['source']}")
    for note in study.notes:
        echo(note)
    for sentence in summarise_study(study):
        echo(sentence)


def _table(*columns: str, text: int = 1) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < text else "right")
    return table


def _folds(study: "GenreStudy", split: str, classifier: str) -> "Table":
    runs = study.of(split, classifier)
    table = _table(
        "fold", "n", "loss", "precision@1", "precision@3", "single window@1", "neighbours@10",
        "seconds", text=0,
    )  # fmt: skip
    for run in runs:
        for row in run.result.table.to_dict("records"):
            name = f"{row['fold']}" if len(runs) == 1 else f"seed {run.seed}, {row['fold']}"
            table.add_row(name, f"{row['n']}", *_figures(row), f"{row['seconds']:.0f}")
    row = next(
        row
        for row in study.summary().to_dict("records")
        if (row["split"], row["classifier"]) == (split, classifier)
    )
    table.add_section()
    names = ("loss", "precision@1", "precision@3", "window@1", "neighbours@10")
    table.add_row("mean", "", *_figures(row), f"{row['seconds']:.0f}")
    table.add_row("sd of folds", "", *_figures({n: row[f"{n} sd"] for n in names}))
    if len(runs) > 1:
        table.add_row("sd of seeds", "", *_figures({n: row[f"{n} sd of seeds"] for n in names}))
    return table


def _figures(row: Mapping[Any, Any]) -> list[str]:
    names = ("loss", "precision@1", "precision@3", "window@1", "neighbours@10")
    return [format_genre_measure(row[name], name) for name in names]


def _confusion(study: "GenreStudy", split: str, classifier: str) -> "Table":
    counts = study.confusion(split, classifier)
    table = _table("", *map(cell_text, counts.columns))
    for name, row in counts.iterrows():
        cells = [f"[bold]{n}[/bold]" if name == other else str(n or "") for other, n in row.items()]
        table.add_row(cell_text(name), *cells)
    return table


def _labels(study: "GenreStudy", split: str, classifier: str) -> "Table":
    frame = study.labels().query("split == @split and classifier == @classifier")
    table = _table("label", "n", "precision", "recall", "F1")
    for row in frame.to_dict("records"):
        shares = [format_genre_measure(row[name], name) for name in ("precision", "recall", "F1")]
        table.add_row(cell_text(row["label"]), str(row["n"]), *shares)
    return table


def _summary(study: "GenreStudy") -> "Table":
    table = _table(
        "split",
        "classifier",
        "precision@1",
        "precision@3",
        "single window@1",
        "neighbours@10",
        text=2,
    )
    for row in study.summary().to_dict("records"):
        names = ("precision@1", "precision@3", "window@1", "neighbours@10")
        cells = [mean_with_spread(row, name) for name in names]
        table.add_row(row["split"], row["classifier"], *cells)
    table.add_row(
        "song", "patent", *(f"{PUBLISHED[n]:.1%}" for n in ("precision@1", "precision@3"))
    )
    return table
