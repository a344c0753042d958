"""A song database by URL, on a PostgreSQL server or in an SQLite file, for others to query.

A model keeps its songs in its own folder (``recsys.database.catalog``). They are published here
into the same tables.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Inspector,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from datasets.errors import ArtifactError, InvalidArgumentError, NotCopiedError
from datasets.progress import progress_bar
from datasets.system.locks import patience
from datasets.tables.values import format_value
from datasets.texts.safe_text import hide_password
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.connections import usable_in_children
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
"""Number of the advisory lock that processes hold on a server while they create the tables."""


@dataclass
class PublishReport:
    """How many songs a publication added, changed, removed and left unchanged.

    Examples:
        >>> PublishReport(added=2)
        PublishReport(added=2, changed=0, removed=0, unchanged=0)
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class SongDatabase:
    """The songs of one model in a database that others may read while it is written.

    Examples:
        >>> catalog = Catalog.in_memory()
        >>> catalog.fill([Song("s1", title="Blue", genre="jazz")])
        >>> database = SongDatabase.open(f"sqlite:///{folder}/songs.sqlite", create=True)
        >>> database.publish(catalog)
        PublishReport(added=1, changed=0, removed=0, unchanged=0)
        >>> [song.title for song in database.songs()]
        ['Blue']
        >>> database.close()
    """

    def __init__(self, engine: Engine, name: str, path: Path | None = None) -> None:
        self._engine = engine
        self._name = name
        self._path = path

    def __repr__(self) -> str:
        return f"<SongDatabase: {format_value(hide_password(self._name))}>"

    def __reduce__(self) -> NoReturn:
        raise NotCopiedError(
            "a SongDatabase is not pickled or copied: SongDatabase.open(url) opens it anywhere; a "
            "model is written by save(folder) and opened by Recommender.load(folder)"
        )

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> "SongDatabase":
        """Open a database.

        Args:
            url: `postgresql://user@host/database` or `sqlite:///path`.
            create: create the file and the tables if they do not exist.

        Raises:
            InvalidArgumentError: another kind of URL.
            ArtifactError: the database does not answer, has no song database, or other tables.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            # Without the address, whose password may stand anywhere in it.
            raise InvalidArgumentError(
                "this is not the address of a database: write postgresql://user@host/database "
                "or sqlite:///path"
            ) from None
        name = parsed.render_as_string(hide_password=True)
        kind = parsed.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise InvalidArgumentError(
                f"{name}: a song database is at postgresql://… or sqlite:///…, not at {kind!r}"
            )
        if kind == "sqlite":
            database = cls(_file(parsed, name, create), name, Path(parsed.database or ""))
        else:
            database = cls(_server(parsed), name)
        try:
            database._prepare(create)
        except BaseException:
            database.close()
            raise
        return database

    def publish(self, catalog: Catalog, *, progress: bool = False) -> PublishReport:
        """Replace the songs here by those of a model, writing only differences, in one transaction.

        Readers see the old songs until the end, then the new ones. On errors nothing is changed.

        Args:
            catalog: the songs of the model.
            progress: show a progress bar.

        Returns:
            Numbers of songs.

        Raises:
            ArtifactError: the database reports an error.
            BusyError: somebody else has been writing there for too long.
            InvalidArgumentError: PostgreSQL cannot store a text (it has a NUL character).
        """
        report = PublishReport()
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
                    self._publish(page, writer, there, report)
                    advance(len(page))
            writer.remove(there)
            report.removed = len(there)
            write.execute(schema.revision.update().values(fit=fit, number=number))
        return report

    def songs(self) -> list[Song]:
        """Return all songs by item id.

        Raises:
            ArtifactError: the checksum of a row does not match.
        """
        with self.transaction() as connection:
            return list(read_songs(connection))

    def revision(self) -> tuple[str, int] | None:
        """Return fit and revision of the model published last; None before the first."""
        with self.transaction() as connection:
            row = connection.execute(select(schema.revision.c.fit, schema.revision.c.number)).one()
            return (row.fit, row.number) if row.fit else None

    def verify(self) -> None:
        """Check every row.

        Raises:
            ArtifactError: the checksum of a row does not match.
        """
        with self.transaction() as connection:
            check_songs(connection)

    def transaction(self) -> Any:
        """Open a transaction that sees one state of the database, as a context manager."""
        return transaction(self._engine, self._name, self._path)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a transaction that excludes other writers."""
        engine = self._engine.execution_options(**{WRITES: True})
        with transaction(engine, self._name, self._path) as write:
            if write.dialect.name == "postgresql":
                write.execute(text("LOCK TABLE revision IN EXCLUSIVE MODE"))
            yield write

    def _publish(
        self, songs: list[Song], writer: SongWriter, there: dict[str, str], report: PublishReport
    ) -> None:
        new: list[Song] = []
        changed: list[Song] = []
        for song in songs:
            row = song.to_row()
            found = there.pop(song.item_id, None)
            if found == row["checksum"]:
                report.unchanged += 1
                continue
            if self._engine.dialect.name == "postgresql":
                _check_text(song, row)
            (new if found is None else changed).append(song)
        writer.insert(new)
        writer.replace(changed)
        report.added += len(new)
        report.changed += len(changed)

    def _prepare(self, create: bool) -> None:
        options: dict[str, Any] = {WRITES: create}
        if self._engine.dialect.name == "postgresql":
            # Sees the tables that another process created while this one waited for the lock.
            options["isolation_level"] = "READ COMMITTED"
        engine = self._engine.execution_options(**options)
        with transaction(engine, self._name, self._path) as change:
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
        ours = schema.metadata.tables.keys()
        there = set(inspector.get_table_names()) & ours
        if not there:
            return False
        for name in sorted(ours):
            columns = inspector.get_columns(name) if name in there else []
            if not schema.has_columns(name, {column["name"] for column in columns}):
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
            # A write-ahead log: readers and a publication do not wait for each other.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    return sqlite_engine(connect, QueuePool)


def _server(url: URL) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="REPEATABLE READ",
            connect_args={
                name: value
                for name, value in (
                    ("connect_timeout", _SECONDS_TO_CONNECT),
                    # So that those who wait for this process can tell who it is.
                    ("application_name", f"coldtune, process {os.getpid()}"),
                )
                if name not in url.query
            },
        )
    except ModuleNotFoundError:
        raise InvalidArgumentError(
            "PostgreSQL needs the package psycopg: pip install 'coldtune[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def limit_waiting(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(1000 * patience()) or 1}")

    return usable_in_children(engine)


def _empty(connection: Connection, numbers: dict[tuple[str, str], int]) -> None:
    """Delete all songs, and assign these ids to the predicted tag values."""
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
