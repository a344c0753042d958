"""The commands that change a saved model: `coldtune onboard`, `update`, `remove`, `rebuild`."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import AudioError, DataError, InvalidArgumentError, ReplacedError
from datasets.system.files import file_digest
from datasets.texts.safe_text import printable
from recsys.commands.options import JsonFlag, Model
from recsys.commands.printing import echo, print_json, records

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from recsys import Recommender

Changed = TypeVar("Changed")

_TRIES = 10

SHOWN = 3
"""Recordings that a summary names."""


def onboard(
    model: Model,
    recording: Annotated[Path, typer.Argument(help="A recording, or a folder of recordings.")],
    item_id: Annotated[str | None, typer.Option(help="A recording: id of the new item.")] = None,
    title: str = "",
    artist: str = "",
    album: str = "",
    genre: str = "",
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="A folder: CSV or Parquet with the column path (or file name), and any of "
            "item_id, title, artist, album, genre and tags."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="A folder: processes that decode; as configured by default.")
    ] = None,
    duplicates: Annotated[
        Literal["keep", "skip"],
        typer.Option(help="A folder: new files that sound like another one become items, or not."),
    ] = "keep",
    remove_missing: Annotated[
        bool,
        typer.Option(
            "--remove-missing", help="A folder: take out songs of earlier runs that are gone."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="A folder: name every file that was passed over.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Add recordings that nobody has played; they are recommendable at once.

    A folder is gone through with all folders in it. What is in the model already is skipped, so the
    same command goes on where it was interrupted. Renamed and retagged files stay what they are.
    """
    texts = {"title": title, "artist": artist, "album": album, "genre": genre}
    if item_id is None and recording.is_dir():
        if given := [name for name, text in texts.items() if text]:
            raise InvalidArgumentError(f"--{given[0]} is for one recording; use --metadata")
        report = _changed(
            model,
            lambda one: one.onboard_folder(
                recording,
                metadata,
                progress=not as_json,
                threads=threads,
                duplicates=duplicates,
                remove_missing=remove_missing,
            ),
        )
        _show_report(recording, report, verbose=verbose, as_json=as_json)
        return
    if item_id is None:
        from datasets.tables.recordings import SUFFIXES

        if not recording.exists() and recording.suffix.lower() not in SUFFIXES:
            raise DataError(f"{recording} does not exist")
        raise typer.BadParameter("Missing option '--item-id', which a single recording needs.")
    for name, value in (
        ("metadata", metadata),
        ("threads", threads),
        ("duplicates", None if duplicates == "keep" else duplicates),
        ("remove-missing", remove_missing or None),
        ("verbose", verbose or None),
    ):
        if value is not None:
            raise InvalidArgumentError(f"--{name} is for a folder of recordings")
    song_id = item_id
    added = _changed(
        model,
        lambda one: one.onboard(
            recording, item_id=song_id, title=title, artist=artist, album=album, genre=genre
        ),
    )
    if as_json:
        print_json(added._asdict(), indent=None)
    else:
        from recsys.content.familiarity import caution
        from recsys.onboarding.prediction import said_of_sound

        heard = said_of_sound(added.predicted, added.probability, added.familiarity)
        echo(f"{added.item_id} is in the catalogue{'; ' if heard else ''}{heard}")
        if doubt := caution(added.familiarity):
            echo(doubt)


def predict(
    model: Model,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RECORDING...", help="One recording or several.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """What recordings sound like and how familiar that is to the model, which stays as it is."""
    from recsys import Recommender

    recommender = Recommender.load(model)
    found, n_failed = [], 0
    for recording in recordings:
        try:
            one = recommender.predict(recording)
        except AudioError as error:
            if len(recordings) == 1:
                raise
            echo(str(error), err=True)
            n_failed += 1
            continue
        found.append({"recording": str(recording), **one.to_dict()})
        if not as_json:
            echo(f"{recording}: {one}")
            if one.caution:
                echo(f"{recording}: {one.caution}")
    if as_json:
        print_json(found)
    if n_failed:
        raise typer.Exit(1)


def _changed(model: Path, change: "Callable[[Recommender], Changed]") -> Changed:
    """Open a model and change it; again where another process has just put a new one there."""
    from recsys import Recommender

    for _ in range(_TRIES - 1):
        with suppress(ReplacedError):
            return change(Recommender.load(model))
    return change(Recommender.load(model))


def _show_report(folder: Path, report: "pd.DataFrame", *, verbose: bool, as_json: bool) -> None:
    from datasets.tables.recordings import NOTABLE, PassedOver, count_passed_over
    from recsys.onboarding.folder import TWIN

    passed_over = [PassedOver(**one) for one in report.attrs["passed_over"]]
    counts = report["status"].value_counts().to_dict()
    if as_json:
        rows = [
            {"item_id": "", "path": one.path, "status": "passed over", "reason": one.reason}
            for one in passed_over
        ]
        print_json([*records(report), *rows])
    else:
        for row in report[report["status"] == "failed"].itertuples():
            echo(f"{printable(row.path)}: {row.reason}", err=True)
        for one in passed_over:
            if verbose or one.kind in NOTABLE:
                echo(f"{printable(one.path)}: passed over: {one.reason}", err=True)
        if passed_over:
            hint = "" if verbose else " (--verbose names them)"
            echo(f"passed over: {count_passed_over(passed_over)}{hint}", err=True)
        twins = report[report["reason"].str.startswith(TWIN)]
        _show_some(twins, "sounds", "sound", "like another recording", verbose=verbose)
        if "duplicate" not in counts and len(twins):
            echo("--duplicates skip makes no items of such new files", err=True)
        missing = report[report["status"] == "missing"]
        _show_some(
            missing, "of an earlier run is", "of an earlier run are", "gone", verbose=verbose
        )
        if len(missing) and missing["reason"].str.contains("none is taken out").any():
            echo("none was taken out, as all are gone: is this the right folder?", err=True)
        elif len(missing):
            echo("--remove-missing takes them out", err=True)
        _show_unfamiliar(report, verbose=verbose)
        others = [name for name in ("updated", "duplicate", "missing", "removed") if name in counts]
        said = [
            f"{counts.get(name, 0):,} {name}" for name in ("added", "unchanged", "failed", *others)
        ]
        echo(f"{folder}: {', '.join(said)}")
    if counts.get("failed", 0) == len(report):
        raise typer.Exit(1)


def _show_unfamiliar(report: "pd.DataFrame", *, verbose: bool) -> None:
    """Say which of the songs that were added sound unlike what the model has learned from."""
    from recsys.content.familiarity import DOUBTED

    strange = report[(report["status"] == "added") & (report["familiarity"] < DOUBTED)]
    shown = strange.assign(reason="").sort_values("familiarity", kind="stable")
    _show_some(
        shown,
        "sounds",
        "sound",
        f"unlike what the model has learned from (familiarity below {DOUBTED:g}) and "
        + ("is" if len(shown) == 1 else "are")
        + " recommended more carefully",
        verbose=verbose,
    )


def _show_some(rows: "pd.DataFrame", one: str, several: str, what: str, *, verbose: bool) -> None:
    """Name recordings of a report, the first few if not all are wanted."""
    from recsys.onboarding.folder import TWIN

    if rows.empty:
        return
    shown = rows if verbose else rows.head(SHOWN)
    named = ", ".join(
        printable(path) + (f" ({other})" if (other := reason.removeprefix(TWIN)) != reason else "")
        for path, reason in zip(shown["path"], shown["reason"], strict=True)
    )
    more = f" and {len(rows) - len(shown):,} more" if len(rows) > len(shown) else ""
    said = f"song {one}" if len(rows) == 1 else f"songs {several}"
    echo(f"{len(rows):,} {said} {what}: {named}{more}", err=True)


def update(
    model: Model,
    interactions: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet: user_id, item_id, weight[, timestamp, event_id]."),
    ],
    batch_id: Annotated[
        str | None,
        typer.Option(
            "--batch-id", help="Name by which the batch is known; the file's digest if not given."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Count the plays, even if the same file has been.")
    ] = False,
    mode: Annotated[
        str,
        typer.Option(help="add: to what was played; replace: take the place of what was played."),
    ] = "add",
    as_json: JsonFlag = False,
) -> None:
    """Take in new plays; lists know them at once. The same file, or batch, counts once."""
    from datasets.tables.checks import INTERACTION_COLUMNS, check_interactions
    from datasets.tables.read_write import read_table

    raw = read_table(interactions, INTERACTION_COLUMNS)
    plays = check_interactions(raw.frame, raw.origin, None, with_events=True)
    if again and batch_id is not None:
        raise InvalidArgumentError("give --batch-id or --again, not both")
    if batch_id is None and not again:
        batch_id = f"sha256:{file_digest(interactions)}"
    counts = _changed(
        model,
        lambda one: one.update(
            plays,
            batch_id=batch_id,
            mode=mode,  # type: ignore[arg-type]  # checked there
        ),
    )
    if as_json:
        repeated = {"repeated": counts.repeated} if counts.repeated else {}
        print_json({**counts._asdict(), **repeated}, indent=None)
        return
    if counts.repeated and not counts.plays:
        users, items = (plays[name].nunique() for name in (USER_ID, ITEM_ID))
        echo(
            f"taken in before: {counts.repeated:,} plays by {users:,} users (0 new) of {items:,} "
            "items (0 for the first time); nothing was changed"
        )
        return
    if counts.repeated:
        echo(f"{counts.repeated:,} plays were taken in before and do not count again")
    echo(
        f"{counts.plays:,} plays by {counts.users:,} users ({counts.new_users:,} new) "
        f"of {counts.items:,} items ({counts.warmed:,} for the first time)"
    )


def remove(model: Model, item: Annotated[str, typer.Argument(help="Item id.")]) -> None:
    """Take an item out of the catalogue."""
    _changed(model, lambda one: one.remove(item))
    echo(f"{item} is no longer in the catalogue")


def rebuild(model: Model) -> None:
    """Make all that happened since the fit part of the model; lists stay the same.

    Only a model whose fit had too few plays learns from those since, once they are enough.
    """

    def change(recommender: "Recommender") -> str:
        recommender.rebuild()
        return str(recommender.info.get("sources_left_out", ""))

    if left_out := _changed(model, change):
        echo(left_out)
    echo(f"model rebuilt in {model}")
