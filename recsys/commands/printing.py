"""Print tables, facts about a model, and the same as JSON."""

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

import typer

from datasets.texts.safe_text import printable, printable_json, printable_lines

if TYPE_CHECKING:
    import pandas as pd


def records(frame: "pd.DataFrame") -> Any:
    """Convert a frame to a list of JSON objects, one per row."""
    return json.loads(frame.to_json(orient="records", double_precision=6))


def print_frame(frame: "pd.DataFrame") -> None:
    """Print a frame: in a terminal as a table that fits, else as lines of tab-separated values.

    Where a terminal is too narrow for the longest word of every column, each row is a paragraph
    with a line for each column.
    """
    names = [plain_text(name) for name in frame.columns]
    rows = [[plain_text(value) for value in row] for row in frame.itertuples(index=False)]
    if not sys.stdout.isatty():
        # A pipe has no width: every row is one line there. Tabs in a text are escaped.
        # Not by Typer, which would write UTF-8 where the output has another encoding.
        sys.stdout.write("".join("\t".join(row) + "\n" for row in (names, *rows)))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    words = [
        max((cell_len(word) for text in column for word in text.split()), default=0)
        for column in zip(names, *rows, strict=True)
    ]
    if sum(words) + 2 * len(words) > console.width:
        _print_paragraphs(names, rows, console.width)
        return
    table = Table(box=None, header_style="bold")
    for name, column, least in zip(frame.columns, names, words, strict=True):
        numeric = frame[name].dtype.kind in "if"
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(escape(column), justify=justify, overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _print_paragraphs(names: list[str], rows: list[list[str]], width: int) -> None:
    """Print the rows as paragraphs of at most `width` cells a line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=width)
    for number, row in enumerate(rows):
        if number:
            sys.stdout.write("\n")
        for name, text in zip(names, row, strict=True):
            if text:
                first, *more = Text(f"{name}: {text}").wrap(console, max(width - 2, 1))
                lines = "\n  ".join(str(line).rstrip() for line in (first, *more))
                sys.stdout.write(f"{lines}\n")


def plain_text(value: object) -> str:
    """Format a value for a table, on one line and without control characters."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    if str(value) in ("True", "False"):
        return "yes" if str(value) == "True" else ""
    return printable(value)


def cell_text(value: object) -> str:
    """Format a value for a cell of a Rich table, without markup and control characters."""
    from rich.markup import escape

    return escape(plain_text(value))


def echo(text: object = "", *, err: bool = False) -> None:
    """Print text; control characters in it are escaped, except line ends."""
    typer.echo(printable_lines(text), err=err)


def print_json(document: Any, *, indent: int | None = 1, ascii_only: bool = True) -> None:
    """Print a document as JSON, on lines of its own for ``indent`` not None."""
    typer.echo(printable_json(json.dumps(document, indent=indent, ensure_ascii=ascii_only)))


def _describe_sources(sources: dict[str, Any]) -> list[str]:
    """Say what each source costs and brings, a line each; models of before do not know it."""
    lines = []
    for name, facts in sources.items():
        if not facts["used"]:
            lines.append(f"source {name} takes no part: {facts['why_not']}")
            continue
        gain = facts["gain"] or {}
        brings = [
            f"{gain[kind]:+.4f} ± {gain[f'{kind}_error']:.4f} nDCG@10 for {items} items"
            for kind, items in (("warm", "known"), ("cold", "new"))
            if gain.get(kind) is not None
        ]
        lines.append(
            f"source {name}: fitted in {facts['seconds']:.1f} s"
            + (f"; adds {' and '.join(brings)} on held-out plays" if brings else "")
        )
    return lines


def print_info(info: dict[str, Any], as_json: bool) -> None:
    """Print `Recommender.info` as lines or as JSON."""
    if as_json:
        print_json(info, ascii_only=False)
        return
    now, blend = info["now"], info["blend"]
    echo(
        f"{now['users']:,} users, {now['items']:,} items "
        f"({now['with_listeners']:,} with listeners, {now['with_embedding']:,} heard, "
        f"{info['onboarded']:,} onboarded since)"
    )
    if info.get("sources_left_out"):
        echo(info["sources_left_out"])
    for kind in ("warm", "cold"):
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in blend[kind].items())
        echo(f"{kind} items: {weights} ({blend[f'{kind}_reason']})")
    for line in _describe_sources(info.get("sources", {})):
        echo(line)
    if info["encoder"] and "architecture" in info["encoder"]:
        last = info["encoder"]["history"][-1]
        echo(
            f"network {info['encoder']['architecture']}: {len(info['encoder']['history'])} epochs, "
            f"last loss {last['loss']:.3f}"
        )
        echo(_describe_target(info["encoder"], info.get("target")))
    elif info["encoder"] and not info.get("network"):
        echo(f"recordings are embedded by {info['encoder']['method']}")
        if info.get("target"):
            echo(_describe_target(info["encoder"], info["target"]))
    if info["encoder"] and {"architecture", "calibration"} & info["encoder"].keys():
        for tag in info["encoder"]["tags"]:
            echo(_describe_calibration(tag, info["encoder"].get("calibration", {}).get(tag)))
    if familiarity := info.get("familiarity"):
        echo(
            familiarity.get("unknown")
            or f"familiarity of sound: known from {familiarity['songs']:,} songs by "
            f"{familiarity['artists']:,} artists; below {familiarity['careful_below']:g} a song is "
            "recommended more carefully"
        )
    if info.get("network"):
        echo(info["network"])
    echo(f"search: {_describe_index(info['index'])}")
    for line in info["recordings_left_out"]:
        echo(f"left out: {line}")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in info["seconds"].items())
    echo(f"seconds: {seconds}")


def _describe_calibration(tag: str, found: dict[str, Any] | None) -> str:
    """Describe what was done so that probabilities of a tag mean what they say."""
    if found is None:
        return (
            f"probabilities of {tag}: not calibrated, as there are too few artists to leave some "
            "out"
        )
    counted = f"{found['images']:,} images"
    if "recordings" in found:
        counted = f"{found['recordings']:,} recordings"
    return (
        f"probabilities of {tag}: expected calibration error {found['error_before']:.3f} before "
        f"and {found['error']:.3f} after a temperature of {found['temperature']:.2f}, learned on "
        f"{counted} of artists held out"
    )


def _describe_target(encoder: dict[str, Any], target: dict[str, Any] | None) -> str:
    """Say what an encoder was trained to predict and, where that was decided by this fit, why."""
    tags = ", ".join(encoder["tags"])
    n = encoder.get("songs_with_taste", 0)
    if n:
        found = f"it learned {f'{tags} and ' if tags else ''}the taste in {n:,} songs"
    else:
        found = f"it learned {tags}, and nothing of taste"
    return f"{found}: {target['reason']}" if target else found


def _describe_index(index: dict[str, Any]) -> str:
    """Describe the index: method, settings and measured recall."""
    text = str(index["method"])
    settings = [
        f"{name} {index[name]}" for name in ("slack", "n_trees", "search_k") if name in index
    ]
    if settings:
        text += f" ({', '.join(settings)})"
    if index.get("recall") is not None:
        text += (
            f", finds {index['recall']:.1%} of the best items of {index['queries']} users "
            f"(wanted: {index['target_recall']:.1%})"
        )
    return text
