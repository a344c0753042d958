"""The song database outside a model: on a PostgreSQL server or in an SQLite file, by URL.

A model's own songs live in its folder (:mod:`recsys.database.catalog`). Here they are published for others
to query, in the same tables and by the same code.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Inspector,
    create_engine,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.progress import progress_bar
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.read_write import (
    SongWriter,
    batched,
    check_songs,
    genre_ids,
    read_songs,
    transaction,
)
from recsys.database.song import Song
from recsys.database.sqlite import WRITES, connect_sqlite, sqlite_engine

_SECONDS_TO_CONNECT = 10
_LOCK = 0x636F6C6474756E65
"""Number of the lock that processes hold on a server while they make the tables."""


@dataclass
class PublishReport:
    """What a publication did: numbers of songs."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class SongDatabase:
    """The songs of one model in a database that others read while it is written."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> "SongDatabase":
        """Open ``postgresql://user@host/database`` or ``sqlite:///path``.

        create: make the tables, and the file, where there are none; else they must be there.
        Raises InvalidArgumentError for a URL that is none of these, and ArtifactError where the
        database does not answer or holds something else.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise InvalidArgumentError(f"{url!r} is not the URL of a database") from None
        name = parsed.render_as_string(hide_password=True)
        kind = parsed.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise InvalidArgumentError(
                f"{name}: a song database is at postgresql://… or sqlite:///…, not at {kind!r}"
            )
        engine = _file(parsed, name, create) if kind == "sqlite" else _server(parsed)
        database = cls(engine, name)
        try:
            database._prepare(create)
        except BaseException:
            engine.dispose()
            raise
        return database

    def publish(self, catalog: Catalog, *, progress: bool = False) -> PublishReport:
        """Make the songs here those of a model, in one transaction; write only what differs.

        Readers see the old songs until the end, then the new ones. Raises ArtifactError where the
        database refuses, and InvalidArgumentError for a text that PostgreSQL cannot hold; nothing
        is changed then.
        """
        done = PublishReport()
        fit, number = catalog.revision()
        with (
            catalog.snapshot() as snapshot,
            snapshot.transaction() as read,
            self._writing() as write,
        ):
            numbers = genre_ids(read)
            if genre_ids(write) != numbers:
                _empty(write, numbers)
            there: dict[str, str] = {row.item_id: row.checksum for row in write.execute(_CHECKSUMS)}
            writer = SongWriter(write)
            n_songs = read.execute(select(func.count()).select_from(schema.songs)).scalar_one()
            with progress_bar("publishing songs", n_songs, shown=progress) as advance:
                for page in batched(read_songs(read)):
                    self._publish(page, writer, there, done)
                    advance(len(page))
            writer.remove(there)
            done.removed = len(there)
            write.execute(schema.revision.update().values(fit=fit, number=number))
        return done

    def songs(self) -> list[Song]:
        """All songs, by item id. Raises ArtifactError for a row that was changed by others."""
        with self.transaction() as connection:
            return list(read_songs(connection))

    def revision(self) -> tuple[str, int] | None:
        """Fit and revision of the model that was published last; None if none was."""
        with self.transaction() as connection:
            row = connection.execute(select(schema.revision.c.fit, schema.revision.c.number)).one()
            return (row.fit, row.number) if row.fit else None

    def verify(self) -> None:
        """Check every row. Raises ArtifactError for one that is not as it was published."""
        with self.transaction() as connection:
            check_songs(connection)

    def transaction(self) -> Any:
        """A connection that sees one state of the database, as a context manager."""
        return transaction(self._engine, self._name)

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction beside which there is no other that writes."""
        with transaction(self._engine.execution_options(**{WRITES: True}), self._name) as write:
            if write.dialect.name == "postgresql":
                write.execute(text("LOCK TABLE revision IN EXCLUSIVE MODE"))
            yield write

    def _publish(
        self, songs: list[Song], writer: SongWriter, there: dict[str, str], done: PublishReport
    ) -> None:
        new: list[Song] = []
        changed: list[Song] = []
        for song in songs:
            row = song.to_row()
            found = there.pop(song.item_id, None)
            if found == row["checksum"]:
                done.unchanged += 1
                continue
            if self._engine.dialect.name == "postgresql":
                _check_text(song, row)
            (new if found is None else changed).append(song)
        writer.insert(new)
        writer.replace(changed)
        done.added += len(new)
        done.changed += len(changed)

    def _prepare(self, create: bool) -> None:
        options: dict[str, Any] = {WRITES: create}
        if self._engine.dialect.name == "postgresql":
            # To see the tables that another process made while this one waited for its turn.
            options["isolation_level"] = "READ COMMITTED"
        with transaction(self._engine.execution_options(**options), self._name) as change:
            if create and change.dialect.name == "postgresql":
                change.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            if self._has_tables(inspect(change)):
                return
            if not create:
                raise ArtifactError(f"{self._name}: there is no song database here")
            schema.metadata.create_all(change)
            change.execute(
                schema.revision.insert().values(only=True, format=schema.FORMAT, number=0, fit="")
            )

    def _has_tables(self, inspector: Inspector) -> bool:
        ours = {
            name: {column.name for column in table.columns}
            for name, table in schema.metadata.tables.items()
        }
        there = set(inspector.get_table_names()) & ours.keys()
        if not there:
            return False
        for name in sorted(ours):
            columns = inspector.get_columns(name) if name in there else []
            if {column["name"] for column in columns} != ours[name]:
                raise ArtifactError(
                    f"{self._name}: table {name!r} is not that of a song database of this version "
                    "of coldtune; nothing was changed"
                )
        return True


_CHECKSUMS = select(schema.songs.c.item_id, schema.songs.c.checksum)


def _file(url: URL, name: str, create: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidArgumentError(f"{name}: names no file")
    path = Path(url.database)
    if (path.absolute().parent.parent / "manifest.json").exists():
        raise InvalidArgumentError(f"{name}: is inside a model, whose files are its own")
    if not create and not path.is_file():
        raise ArtifactError(f"{path}: there is no song database here")

    def connect() -> sqlite3.Connection:
        connection = connect_sqlite(path, "rwc" if create else "rw")
        if create:
            # A write-ahead log: readers go on while a publication writes, and it waits for none.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    return sqlite_engine(connect, QueuePool)


def _server(url: URL) -> Engine:
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="REPEATABLE READ",
            connect_args=(
                {} if "connect_timeout" in url.query else {"connect_timeout": _SECONDS_TO_CONNECT}
            ),
        )
    except ModuleNotFoundError:
        raise InvalidArgumentError(
            "PostgreSQL needs the package psycopg: pip install 'coldtune[postgres]'"
        ) from None


def _empty(connection: Connection, numbers: dict[tuple[str, str], int]) -> None:
    """Remove all songs, and number the genres anew."""
    for table in (schema.scores, schema.recordings, schema.songs, schema.genres):
        connection.execute(table.delete())
    rows = [{"genre_id": n, "tag": tag, "name": name} for (tag, name), n in numbers.items()]
    if rows:
        connection.execute(schema.genres.insert(), rows)


def _check_text(song: Song, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, str) and "\0" in value:
            raise InvalidArgumentError(
                f"{name} of item {song.item_id!r}: PostgreSQL takes no text with a NUL character"
            )
