"""The commands that change a saved model: `coldtune onboard`, `update`, `remove`, `rebuild`."""

from pathlib import Path
from typing import Annotated

import typer

from datasets.errors import InvalidArgumentError
from datasets.safe_text import printable
from recsys.commands.options import JsonFlag, Model
from recsys.commands.printing import echo, print_json, records


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
    as_json: JsonFlag = False,
) -> None:
    """Add recordings that nobody has played; they are recommendable at once.

    A folder is gone through with all folders in it. What is in the model already is skipped, so the
    same command goes on where it was interrupted.
    """
    texts = {"title": title, "artist": artist, "album": album, "genre": genre}
    if item_id is None and recording.is_dir():
        if given := [name for name, text in texts.items() if text]:
            raise InvalidArgumentError(f"--{given[0]} is for one recording; use --metadata")
        _onboard_folder(model, recording, metadata, threads, as_json)
        return
    if item_id is None:
        raise typer.BadParameter("Missing option '--item-id', which a single recording needs.")
    for name, value in (("metadata", metadata), ("threads", threads)):
        if value is not None:
            raise InvalidArgumentError(f"--{name} is for a folder of recordings")
    from recsys import Recommender

    added = Recommender.load(model).onboard(
        recording, item_id=item_id, title=title, artist=artist, album=album, genre=genre
    )
    if as_json:
        print_json(added._asdict(), indent=None)
    else:
        echo(
            f"{added.item_id} is in the catalogue; "
            f"it sounds like {added.predicted} ({added.probability:.0%})"
        )


def _onboard_folder(
    model: Path, folder: Path, metadata: Path | None, threads: int | None, as_json: bool
) -> None:
    from recsys import Recommender

    report = Recommender.load(model).onboard_folder(
        folder, metadata, progress=not as_json, threads=threads
    )
    failed = report[report["status"] == "failed"]
    if as_json:
        print_json(records(report))
    else:
        for path, reason in zip(failed["path"], failed["reason"], strict=True):
            echo(f"{printable(path)}: {reason}", err=True)
        counts = report["status"].value_counts()
        said = [f"{counts.get(name, 0):,} {name}" for name in ("added", "unchanged", "failed")]
        echo(f"{folder}: {', '.join(said)}")
    if len(failed) == len(report):
        raise typer.Exit(1)


def update(
    model: Model,
    interactions: Annotated[
        Path, typer.Argument(help="CSV or Parquet: user_id, item_id, weight[, timestamp].")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Take in new plays; lists know them at once."""
    from datasets.tables.checks import INTERACTION_COLUMNS, check_interactions
    from datasets.tables.read_write import read_table
    from recsys import Recommender

    raw = read_table(interactions, INTERACTION_COLUMNS)
    plays = check_interactions(raw.frame, raw.origin, None)
    counts = Recommender.load(model).update(plays)
    if as_json:
        print_json(counts._asdict(), indent=None)
        return
    echo(
        f"{counts.plays:,} plays by {counts.users:,} users ({counts.new_users:,} new) "
        f"of {counts.items:,} items ({counts.warmed:,} for the first time)"
    )


def remove(model: Model, item: Annotated[str, typer.Argument(help="Item id.")]) -> None:
    """Take an item out of the catalogue."""
    from recsys import Recommender

    Recommender.load(model).remove(item)
    echo(f"{item} is no longer in the catalogue")


def rebuild(model: Model) -> None:
    """Make all that happened since the fit part of the model; lists stay the same."""
    from recsys import Recommender

    Recommender.load(model).rebuild()
    echo(f"model rebuilt in {model}")
