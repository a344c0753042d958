"""The commands `coldtune songs` (the song database of a model) and `coldtune map`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import JsonFlag, Model
from recsys.commands.printing import echo, print_frame, print_json, records

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from recsys.database.queries import SongFilter

_ROWS = 20
"""Songs listed without --limit."""


def songs(
    model: Annotated[
        str, typer.Argument(help="Folder of a saved model, or URL of a database of songs.")
    ],
    genre: Annotated[str | None, typer.Option(help="Only songs that came with this genre.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only songs with this in title, artist, album or id.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"List at most so many songs; {_ROWS} by default.")
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="One row a song and genre: what the network says.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write all of them to this .csv or .parquet file.")
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(help="Bring all songs to postgresql://user@host/base or sqlite:///file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List songs with the tags they came with and those that the network predicts."""
    from recsys.database.queries import (
        SongFilter,
        check_export,
        check_genre,
        count_songs,
        list_scores,
        list_songs,
    )

    if publish is not None and (export or genre or search or scores):
        raise InvalidArgumentError("--publish brings all songs and goes with no choice of them")
    if limit is not None and (export or publish):
        raise InvalidArgumentError("--limit is for lists, not for --export and --publish")
    if publish is not None:
        _publish(model, publish, as_json)
        return
    if export is not None:
        check_export(export)  # before anything is shown or done
    with _opened(model, whole=export is not None) as connection:
        if genre is not None:
            genre = check_genre(connection, genre)
        where = SongFilter(genre, search, scored=scores)
        count = count_songs(connection, where)
        if export is not None:
            _export(connection, export, where, count, scores, as_json)
            return
        list_rows = list_scores if scores else list_songs
        frame = list_rows(connection, where, limit or _ROWS)
    if as_json:
        print_json({"songs": count, "rows": records(frame)})
        return
    if frame.empty:
        echo(f"no song{_describe_filter(genre, search, scored=scores)}")
        return
    print_frame(frame)
    what = "songs that were heard" if scores else "songs"
    echo(f"{min(limit or _ROWS, count):,} of {count:,} {what}")


def _describe_filter(genre: str | None, search: str | None, *, scored: bool) -> str:
    """Describe what songs were asked for, to follow "no song"."""
    words = [" that was heard"] if scored else []
    if genre is not None:
        words.append(f" with genre {genre!r}")
    if search is not None:
        words.append(f" with {search!r} in title, artist, album or id")
    return ",".join(words)


def _export(
    connection: "Connection",
    path: Path,
    where: "SongFilter",
    count: int,
    scores: bool,
    as_json: bool,
) -> None:
    from datasets.progress import progress_bar
    from recsys.database.queries import export_songs

    with progress_bar("writing songs", count, shown=not as_json) as advance:
        rows = export_songs(connection, path, where, scores=scores, advance=advance)
    if as_json:
        print_json({"file": str(path), "songs": count, "rows": rows}, indent=None)
    else:
        echo(f"{rows:,} rows of {count:,} songs written to {path}")


def _publish(model: str, url: str, as_json: bool) -> None:
    from recsys.database.published import SongDatabase
    from recsys.model.storage import open_catalog

    catalog = open_catalog(Path(model), whole=True)
    try:
        database = SongDatabase.open(url, create=True)
        try:
            report = database.publish(catalog, progress=not as_json)
        finally:
            database.close()
    finally:
        catalog.close()
    if as_json:
        print_json(vars(report), indent=None)
    else:
        counts = ", ".join(f"{count:,} {what}" for what, count in vars(report).items())
        echo(f"songs published: {counts}")


@contextmanager
def _opened(model: str, *, whole: bool) -> "Iterator[Connection]":
    """Open the songs of a model folder or of a database by URL.

    Args:
        model: folder or URL.
        whole: check all songs of a model and read a copy, for long reads.
    """
    if "://" in model:
        from recsys.database.published import SongDatabase

        database = SongDatabase.open(model)
        try:
            with database.transaction() as connection:
                yield connection
        finally:
            database.close()
        return
    from recsys.model.storage import open_catalog

    catalog = open_catalog(Path(model), whole=whole)
    try:
        if whole:
            with catalog.snapshot() as snapshot, snapshot.transaction() as connection:
                yield connection
        else:
            with catalog.transaction() as connection:
                yield connection
    finally:
        catalog.close()


def map(
    model: Model,
    out: Annotated[Path, typer.Option(help="The page to write, ending in .html.")],
    png: Annotated[Path | None, typer.Option(help="Also write a picture, ending in .png.")] = None,
    method: Annotated[str, typer.Option(help="pca, umap or tsne.")] = "pca",
    by: Annotated[str, typer.Option(help="What is coloured: genre, artist, a tag.")] = "genre",
    embeddings: Annotated[
        str, typer.Option(help="sound: what the network hears. fused: sound and taste.")
    ] = "sound",
    limit: Annotated[int, typer.Option(help="Draw a sample of more songs than this.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the sample, of UMAP and of t-SNE.")] = 0,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of the recordings, if they were moved since.")
    ] = None,
) -> None:
    """Draw where songs lie by their embeddings, as a page to turn, to search and to listen to."""
    from recsys.model.storage import load_model
    from recsys.songmap.drawing import write_map_html, write_map_png
    from recsys.songmap.layout import song_map

    for path, ending in ((out, ".html"), (png, ".png")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidArgumentError(f"{path}: must end in {ending}")
    if recordings is not None and not recordings.is_dir():
        raise InvalidArgumentError(f"--recordings {recordings}: there is no such folder")
    drawn = song_map(
        load_model(model.absolute()),
        method=method,  # type: ignore[arg-type]
        by=by,
        embeddings=embeddings,  # type: ignore[arg-type]
        limit=limit,
        seed=seed,
        folder=recordings,
    )
    write_map_html(drawn, out)
    if png is not None:
        write_map_png(drawn, png)
    echo(f"{drawn.title}: {drawn.facts}")
    echo(f"written to {out}" + (f" and {png}" if png else ""))
