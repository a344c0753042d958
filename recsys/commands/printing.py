"""What the command line prints: tables, facts about a model, and the same as JSON.

The tables of a genre cross-validation on the terminal.
"""

import json
import sys
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from evaluation.genre.splits import genre_split
from evaluation.genre.study import PUBLISHED
from evaluation.genre_report.conclusions import mean_with_spread, summarise_study
from evaluation.genre_report.page import MAX_LABELS

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from evaluation.genre.study import GenreStudy


def records(frame: "pd.DataFrame") -> Any:
    """A frame as a list of JSON objects, one a row."""
    return json.loads(frame.to_json(orient="records", double_precision=6))


def print_frame(frame: "pd.DataFrame") -> None:
    """A frame as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in frame.columns:
        numeric = frame[name].dtype.kind in "if"
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(cell_text(value) for value in row))
    # A pipe has no width: there every row is one line, however long.
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table)


def cell_text(value: object) -> str:
    """A value as the text of a table's cell: no markup, and no sign that moves the cursor."""
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    if str(value) in ("True", "False"):
        return "yes" if str(value) == "True" else ""
    return escape("".join(map(_visible, str(value))))


def _visible(sign: str) -> str:
    # What moves the cursor or ends the line would break the table, or do worse to the terminal.
    control = unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
    return sign.encode("unicode_escape").decode() if control else sign


def print_info(info: dict[str, Any], as_json: bool) -> None:
    """The facts about a model, as lines or as JSON."""
    if as_json:
        typer.echo(json.dumps(info, indent=1, ensure_ascii=False))
        return
    now, blend = info["now"], info["blend"]
    typer.echo(
        f"{now['users']:,} users, {now['items']:,} items "
        f"({now['with_listeners']:,} with listeners, {now['with_embedding']:,} heard, "
        f"{info['onboarded']:,} onboarded since)"
    )
    for kind in ("warm", "cold"):
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in blend[kind].items())
        typer.echo(f"{kind} items: {weights} ({blend[f'{kind}_reason']})")
    if info["encoder"]:
        last = info["encoder"]["history"][-1]
        typer.echo(
            f"network {info['encoder']['architecture']}: {len(info['encoder']['history'])} epochs, "
            f"last loss {last['loss']:.3f}"
        )
    typer.echo(f"search: {_search(info['index'])}")
    for line in info["recordings_left_out"]:
        typer.echo(f"left out: {line}")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in info["seconds"].items())
    typer.echo(f"seconds: {seconds}")


def _search(index: dict[str, Any]) -> str:
    """How a model is searched, in words: method, settings, and the recall that was measured."""
    words = str(index["method"])
    settings = [
        f"{name} {index[name]}" for name in ("slack", "n_trees", "search_k") if name in index
    ]
    if settings:
        words += f" ({', '.join(settings)})"
    if index.get("recall") is not None:
        words += (
            f", finds {index['recall']:.1%} of the best items of {index['queries']} users "
            f"(wanted: {index['target_recall']:.1%})"
        )
    return words


def print_study(study: "GenreStudy") -> None:
    """Fig. 9A for every split and classifier, then confusion, labels, and what it all means."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=200)
    for split, classifier in study.groups():
        architecture = study.of(split, classifier)[0].architecture
        typer.echo(f"\n{classifier}, split by {split}: {architecture}")
        console.print(_folds(study, split, classifier))
    split, classifier = study.groups()[0]
    if study.runs[0].result.facts["labels"] <= MAX_LABELS:
        typer.echo(f"\nTrue (rows) and ranked first (columns): {classifier}, split by {split}")
        console.print(_confusion(study, split, classifier))
    typer.echo(f"\nBy label: {classifier}, split by {split}")
    console.print(_labels(study, split, classifier))
    typer.echo("\nSummary")
    console.print(_summary(study))
    for split in dict.fromkeys(split for split, _ in study.groups()):
        typer.echo(f"{split} split: {genre_split(split).leak}")
    typer.echo(f"patent: {PUBLISHED['source']}")
    for note in study.notes:
        typer.echo(note)
    for sentence in summarise_study(study):
        typer.echo(sentence)


def _table(*columns: str, text: int = 1) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < text else "right")
    return table


def _folds(study: "GenreStudy", split: str, classifier: str) -> "Table":
    runs = study.of(split, classifier)
    table = _table(
        "fold", "n", "loss", "precision@1", "precision@3", "single window@1", "seconds", text=0,
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
    names = ("loss", "precision@1", "precision@3", "window@1")
    table.add_row("mean", "", *_figures(row), f"{row['seconds']:.0f}")
    table.add_row("sd of folds", "", *_figures({n: row[f"{n} sd"] for n in names}))
    if len(runs) > 1:
        table.add_row("sd of seeds", "", *_figures({n: row[f"{n} sd of seeds"] for n in names}))
    return table


def _figures(row: Mapping[Any, Any]) -> list[str]:
    values = [row[name] for name in ("loss", "precision@1", "precision@3", "window@1")]
    loss, *shares = values
    return ["–" if loss != loss else f"{loss:.3f}", *map(_percent, shares)]


def _percent(share: float) -> str:
    return "–" if share != share else f"{share:.1%}"


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
        shares = [row["precision"], row["recall"], row["F1"]]
        table.add_row(cell_text(row["label"]), str(row["n"]), *map(_percent, shares))
    return table


def _summary(study: "GenreStudy") -> "Table":
    table = _table("split", "classifier", "precision@1", "precision@3", "single window@1", text=2)
    for row in study.summary().to_dict("records"):
        names = ("precision@1", "precision@3", "window@1")
        cells = [mean_with_spread(row, name) for name in names]
        table.add_row(row["split"], row["classifier"], *cells)
    table.add_row(
        "song", "patent", *(f"{PUBLISHED[n]:.1%}" for n in ("precision@1", "precision@3"))
    )
    return table
