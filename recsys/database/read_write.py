"""Read, write and check songs in the tables of a song database, SQLite or PostgreSQL."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from datasets.errors import ArtifactError, BusyError, DiskFullError
from datasets.system.locks import file_lockers, patience, say_lockers
from recsys.database import schema
from recsys.database.connections import in_use
from recsys.database.song import Scores, Song

_PAGE = 500
"""Songs read or written at once; below the number of values that a statement may have."""

_Row = TypeVar("_Row")


@contextmanager
def transaction(engine: Engine, name: str, path: Path | None = None) -> Iterator[Connection]:
    """Open a transaction: its changes are committed at the end, all of them or none.

    Args:
        engine: engine of the database.
        name: name of the database, with which error messages begin.
        path: its file, if it is one.

    Raises:
        BusyError: another process has used the database for too long.
        DiskFullError: the disk has no room for the changes.
        ArtifactError: the database reports another error.
    """
    try:
        with in_use(engine, name), engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        if is_busy(error):
            holder = _locker_of_server(engine) if path is None else _lockers(path)
            raise BusyError(f"{name}: {holder}; waited {patience():.0f} s for it") from error
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        if is_full(error):
            raise DiskFullError(f"{name}: {reason}") from error
        raise ArtifactError(f"{name}: {reason}") from error


def is_full(error: BaseException) -> bool:
    """Return whether an error says that the disk of a database has no room."""
    cause = getattr(error, "orig", None) or error
    if getattr(cause, "sqlstate", None) == "53100":  # PostgreSQL: disk_full
        return True
    return (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL


def is_busy(error: SQLAlchemyError) -> bool:
    """Return whether an error says that another process had locked a database for too long."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", None) == "55P03":  # PostgreSQL: lock_not_available
        return True
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _lockers(path: Path) -> str:
    """Who holds SQLite's lock on a file."""
    try:
        return say_lockers(file_lockers(path.stat().st_ino))
    except OSError:
        return say_lockers([])


_HOLDER = text("""
    SELECT a.pid, a.application_name, date_trunc('second', a.xact_start)::text AS began
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.granted AND l.pid <> pg_backend_pid() AND l.mode <> 'AccessShareLock'
      AND (l.locktype = 'advisory' OR l.relation = to_regclass('revision'))
    ORDER BY a.xact_start LIMIT 1
""")


def _locker_of_server(engine: Engine) -> str:
    """Who holds what publications to a server wait for."""
    try:
        with engine.begin() as connection:
            found = connection.execute(_HOLDER).first()
    except SQLAlchemyError:
        found = None
    if found is None:
        return "another session holds it"
    who = f"session {found.pid} ({found.application_name or 'of an unnamed program'})"
    return f"{who} has been holding it since {found.began}"


class SongWriter:
    """Writes songs within a transaction; remembers the ids of predicted tag values."""

    def __init__(self, connection: Connection) -> None:
        schema.add_new_columns(connection)
        self._connection = connection
        self._ids = genre_ids(connection)

    def insert(self, songs: Iterable[Song]) -> None:
        """Insert new songs."""
        for page in batched(songs):
            self._insert(page, [song.to_row() for song in page])

    def replace(self, songs: Iterable[Song]) -> bool:
        """Insert songs, replacing those with the same ids; return whether there were any such."""
        replaced = False
        for page in batched(songs):
            latest = {song.item_id: song for song in page}
            rows = [song.to_row() for song in latest.values()]  # raises for invalid texts
            replaced |= self.remove(latest) or len(latest) < len(page)
            self._insert(list(latest.values()), rows)
        return replaced

    def relocate(self, paths: Mapping[str, Mapping[str, str]]) -> None:
        """Change where recordings are: by item, the path by the digest of the content.

        Items and recordings that are not there are passed over.
        """
        for item_ids in batched(paths):
            for song in list(read_songs_of(self._connection, item_ids)):
                own, songs, files = paths[song.item_id], schema.songs, schema.recordings
                moved = tuple(
                    replace(one, path=own.get(one.digest, one.path)) for one in song.recordings
                )
                row = replace(song, recordings=moved).to_row()
                self._connection.execute(
                    songs.update()
                    .where(songs.c.item_id == song.item_id)
                    .values(checksum=row["checksum"])
                )
                for number, one in enumerate(moved):
                    self._connection.execute(
                        files.update()
                        .where(files.c.item_id == song.item_id, files.c.number == number)
                        .values(path=one.path)
                    )

    def remove(self, item_ids: Iterable[str]) -> bool:
        """Delete songs with their recordings and scores; return whether there were any."""
        removed = 0
        for ids in batched(item_ids):
            for table in (schema.scores, schema.recordings, schema.songs):
                deleted = self._connection.execute(table.delete().where(table.c.item_id.in_(ids)))
            removed += deleted.rowcount  # of songs, the last of the tables
        return removed > 0

    def _insert(self, songs: Sequence[Song], rows: list[dict[str, Any]]) -> None:
        tables: list[tuple[Any, list[dict[str, Any]]]] = [
            (schema.songs, rows),
            (schema.recordings, [row for song in songs for row in song.recording_rows()]),
            (schema.scores, [row for song in songs for row in self._score_rows(song)]),
        ]
        for table, content in tables:
            if content:
                self._connection.execute(table.insert(), content)

    def _score_rows(self, song: Song) -> Iterator[dict[str, Any]]:
        for (tag, name), score in flatten_scores(song.scores).items():
            if (tag, name) not in self._ids:
                number = max(self._ids.values(), default=0) + 1
                self._connection.execute(
                    schema.genres.insert().values(genre_id=number, tag=tag, name=name)
                )
                self._ids[tag, name] = number
            yield {
                "item_id": song.item_id,
                "genre_id": self._ids[tag, name],
                "score": score,
            }


def read_songs(connection: Connection, *, onboarded: bool = False) -> Iterator[Song]:
    """Iterate over all songs by item id, or the onboarded ones in order of arrival.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    for page in song_pages(connection, onboarded=onboarded):
        yield from page


def song_pages(
    connection: Connection, *, onboarded: bool = False, after: str | int | None = None
) -> Iterator[list[Song]]:
    """Iterate over the same songs page by page: a large catalogue need not fit in memory.

    Args:
        connection: of a song database.
        onboarded: as for `read_songs`.
        after: only songs whose item id sorts after this one, or that were onboarded after the one
            of this number.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    key: ColumnElement[Any] = schema.songs.c.onboarded if onboarded else schema.songs.c.item_id
    last: Any = after
    columns = schema.song_columns(connection)
    while True:
        query = select(*columns).order_by(key).limit(_PAGE)
        query = query.where(key.is_not(None) if last is None else key > last)
        rows = [row._asdict() for row in connection.execute(query)]
        if not rows:
            return
        last = rows[-1]["onboarded" if onboarded else "item_id"]
        found = _recordings_of(connection, [row["item_id"] for row in rows])
        yield [Song.from_rows(row, found[row["item_id"]]) for row in rows]


def read_songs_of(connection: Connection, item_ids: Iterable[str]) -> Iterator[Song]:
    """Iterate over the songs of these ids, in any order; unknown ids are passed over.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    columns = schema.song_columns(connection)
    for page in batched(item_ids):
        query = select(*columns).where(schema.songs.c.item_id.in_(page))
        rows = [row._asdict() for row in connection.execute(query)]
        found = _recordings_of(connection, [row["item_id"] for row in rows])
        for row in rows:
            yield Song.from_rows(row, found[row["item_id"]])


def check_songs(connection: Connection) -> None:
    """Check the checksums of all songs, and the rows of scores and recordings against them.

    Raises:
        ArtifactError: a row was changed or is missing.
    """
    names = {number: pair for pair, number in genre_ids(connection).items()}
    n_scores = n_recordings = 0
    for page in batched(read_songs(connection)):
        stored = _scores_of(connection, [song.item_id for song in page], names)
        for song in page:
            if stored[song.item_id] != flatten_scores(song.scores):
                raise ArtifactError(
                    f"the song database is damaged: scores of item {song.item_id!r}"
                )
            n_scores += len(stored[song.item_id])
            n_recordings += len(song.recordings)
    for table, wanted in ((schema.scores, n_scores), (schema.recordings, n_recordings)):
        found = connection.execute(select(func.count()).select_from(table)).scalar()
        if found != wanted:
            raise ArtifactError(
                f"the song database is damaged: {table.name} has rows of songs that are not there"
            )


def genre_ids(connection: Connection) -> dict[tuple[str, str], int]:
    """Return the id of every predicted (tag, value)."""
    rows = connection.execute(select(schema.genres).order_by(schema.genres.c.genre_id))
    return {(row.tag, row.name): row.genre_id for row in rows}


def flatten_scores(scores: Scores | None) -> dict[tuple[str, str], float]:
    """Return scores as {(tag, value): probability}."""
    return {
        (tag, name): score
        for tag, values in (scores or {}).items()
        for name, score in values.items()
    }


def batched(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Iterate in lists of a size that one statement may read or write."""
    rest = iter(rows)
    while page := list(islice(rest, _PAGE)):
        yield page


def _recordings_of(connection: Connection, ids: Sequence[str]) -> dict[str, list[Any]]:
    table = schema.recordings
    query = select(table).where(table.c.item_id.in_(ids)).order_by(*table.primary_key.columns)
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.item_id].append(row._asdict())
    return found


def _scores_of(
    connection: Connection, ids: Sequence[str], names: Mapping[int, tuple[str, str]]
) -> dict[str, dict[tuple[str, str] | None, float]]:
    query = select(schema.scores).where(schema.scores.c.item_id.in_(ids))
    found: dict[str, dict[tuple[str, str] | None, float]] = defaultdict(dict)
    for item_id, number, score in connection.execute(query).all():
        found[item_id][names.get(number)] = score
    return found
