"""The command that writes what a model hears into the tags of files: `coldtune tag`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import JsonFlag
from recsys.commands.printing import echo, print_frame, print_json, records

if TYPE_CHECKING:
    import pandas as pd


def tag(
    folder: Annotated[Path | None, typer.Argument(help="A folder of recordings.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a saved model.")] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write into the files; otherwise only say what would be."),
    ] = False,
    least: Annotated[float, typer.Option(help="Least probability of a value.")] = 0.5,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also write over what somebody else has written.")
    ] = False,
    unfamiliar: Annotated[
        bool,
        typer.Option(
            "--unfamiliar", help="Also tag recordings unlike anything the model has learned from."
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps what was written; FOLDER.coldtune-tags.jsonl where not given."
        ),
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option(metavar="JOURNAL", help="Give files back what was there before."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processes that decode; as configured by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write genre, mood and whatever else a model hears into the tags of recordings.

    Nothing is written without --write, and nothing over what somebody else has written without
    --overwrite. The same command goes on where it was interrupted.
    """
    progress = not as_json and sys.stderr is not None and sys.stderr.isatty()
    if undo is not None:
        given = {
            "--model": model, "--overwrite": overwrite, "--unfamiliar": unfamiliar,
            "--journal": journal, "--threads": threads,
        }  # fmt: skip
        if wrong := [name for name, value in given.items() if value]:
            raise InvalidArgumentError(f"{wrong[0]} does not go with --undo")
        from recsys.tagging.undo import undo_tags

        _show_undone(undo_tags(undo, folder, progress=progress), as_json=as_json)
        return
    if folder is None:
        raise typer.BadParameter("Missing argument 'FOLDER'.")
    if model is None:
        raise typer.BadParameter("Missing option '--model'.")
    from recsys import Recommender

    report = Recommender.load(model).tag_folder(
        folder,
        write=write,
        least=least,
        overwrite=overwrite,
        unfamiliar=unfamiliar,
        journal=journal,
        threads=threads,
        progress=progress,
    )
    _show(folder, report, as_json=as_json)


def _show(folder: Path, report: "pd.DataFrame", *, as_json: bool) -> None:
    from recsys.tagging.folder import CHANGES

    written = report.attrs["written"]
    changed = report[report["status"].isin(CHANGES)]
    failed = report[report["status"] == "failed"]
    if as_json:
        print_json({"written": written, "journal": report.attrs["journal"], "rows": _json(report)})
    else:
        if len(changed):
            print_frame(_table(changed))
        for row in failed.itertuples():
            echo(f"{row.path}: {row.reason}", err=True)
        counts = report["status"].value_counts()
        words = [
            f"{len(changed):,} fields of {changed['path'].nunique():,} files "
            f"{'written' if written else 'would be written'}",
            *(f"{counts[one]:,} {said}" for one, said in _SAID.items() if one in counts),
        ]
        echo(f"{folder}: {', '.join(words)}")
        if not written and len(changed):
            echo("nothing was changed; --write does it", err=True)
        elif len(changed):
            echo(f"coldtune tag --undo {report.attrs['journal']} takes it back", err=True)
        if "kept" in counts:
            echo("--overwrite writes over what somebody else has written", err=True)
        if "unfamiliar" in counts:
            echo("--unfamiliar tags recordings that sound unlike anything learned, too", err=True)
    if len(failed):
        raise typer.Exit(1)


_SAID = {
    "unchanged": "fields have it already",
    "kept": "fields keep what somebody has written",
    "unsure": "files with nothing probable enough",
    "unfamiliar": "files unlike what the model has learned from",
    "failed": "files failed",
}


def _show_undone(report: "pd.DataFrame", *, as_json: bool) -> None:
    counts = report["status"].value_counts()
    if as_json:
        print_json({"journal": report.attrs["journal"], "rows": _json(report)})
    else:
        restored = report[report["status"] == "restored"]
        if len(restored):
            print_frame(_table(restored))
        for row in report[report["status"].isin(["left", "failed"])].itertuples():
            echo(f"{row.path}: {row.field}: {row.status}: {row.reason}", err=True)
        said = [f"{counts.get('restored', 0):,} fields restored"]
        said += [
            f"{counts[one]:,} {one}" for one in ("as before", "left", "failed") if one in counts
        ]
        echo(f"{report.attrs['journal']}: {', '.join(said)}")
    if "failed" in counts:
        raise typer.Exit(1)


def _json(report: "pd.DataFrame") -> list[dict[str, object]]:
    found: list[dict[str, object]] = records(report)
    return found


def _table(report: "pd.DataFrame") -> "pd.DataFrame":
    """The table for people: file, field, old and new."""
    table = report[["path", "field", "old", "new"]].rename(columns={"path": "file"})
    for name in ("old", "new"):
        table[name] = table[name].map("; ".join)
    return table
