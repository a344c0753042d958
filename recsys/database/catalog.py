"""The song database of a model (US 2018/0276540 A1, paragraphs 43 and 65), in memory or SQLite.

Songs onboarded after the fit are stored here first. They are recommended only after the transaction
that stores them was committed, so that what was acknowledged is still there after a crash.
"""

import re
import secrets
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from datasets.errors import ArtifactError, DiskFullError, NotCopiedError, ReplacedError
from datasets.system.locks import Order, ThreadLock
from datasets.system.temporary import temporary_folder
from datasets.tables.values import format_value
from recsys.database import schema
from recsys.database.changes import (
    CORRECTIONS,
    ChangePosition,
    Changes,
    Play,
    create_change_tables,
    forget_removals,
    merge_plays,
    plays_after,
    read_changes,
    read_corrections,
    read_position,
    write_plays,
    write_removal,
)
from recsys.database.connections import in_use
from recsys.database.read_write import (
    SongWriter,
    batched,
    check_songs,
    is_full,
    read_songs,
    song_pages,
    transaction,
)
from recsys.database.requests import (
    PlaysRequest,
    check_requests,
    create_request_tables,
    known_batch,
    known_events,
    request_pages,
    write_batch,
    write_events,
    write_request_rows,
)
from recsys.database.song import Song
from recsys.database.sounds import read_sounds, sounds_of, write_sounds
from recsys.database.sqlite import connect_sqlite, sqlite_engine, table_names

_file_locks: "weakref.WeakValueDictionary[tuple[int, int], ThreadLock]"
_file_locks = weakref.WeakValueDictionary()
"""The locks of the files that are open in this process, by device and inode."""
_finding_locks = ThreadLock("the locks of song databases", Order.PART)


def _identity(path: Path) -> tuple[int, int]:
    """Device and inode of a file."""
    try:
        status = path.stat()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None
    return status.st_dev, status.st_ino


def _lock_of(path: Path) -> ThreadLock:
    """The lock of a file, the same for all who have it open in this process.

    SQLite's own locks belong to the process and the file: closing any descriptor of the file, as
    after reading it as plain bytes, drops those of every connection. So all that is done with one
    file in a process is done in turns.
    """
    file = _identity(path)
    with _finding_locks.held("finding one"):
        lock = _file_locks.get(file)
        if lock is None:
            lock = _file_locks[file] = ThreadLock(str(path), Order.DATABASE)
        return lock


class Catalog:
    """The songs of one model, and the changes since its fit, in memory or in an SQLite file.

    Examples:
        >>> catalog = Catalog.in_memory()
        >>> catalog.fill([Song("s1", title="Blue")])
        >>> catalog.put([Song("new-1", title="Red")]).revision
        1
        >>> [song.title for song in catalog.onboarded()]
        ['Red']
        >>> revision = catalog.copy_to(folder / "catalog.sqlite")
        >>> [song.item_id for song in Catalog.open(folder / "catalog.sqlite").songs()]
        ['new-1', 's1']
    """

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self._engine = engine
        self.path = path
        """Its file; None in memory."""
        self._check: Callable[[Catalog], None] | None = None
        self._name = str(path or "the song database in memory")
        self._file: tuple[int, int] | None = None
        if path is None:  # all threads share its connection
            self._lock = ThreadLock(self._name, Order.DATABASE)
        else:
            self._lock, self._file = _lock_of(path), _identity(path)
        # With the last model that has it, so that the room of a removed file is free at once.
        weakref.finalize(self, engine.dispose).atexit = False

    def __repr__(self) -> str:
        return f"<Catalog: {format_value(str(self.path)) if self.path else 'in memory'}>"

    def __reduce__(self) -> NoReturn:
        raise NotCopiedError(
            "the song database of a model is not pickled or copied: save the Recommender with "
            "save(folder), and open it with Recommender.load(folder)"
        )

    @classmethod
    def in_memory(cls) -> "Catalog":
        """Create an empty catalog that lives as long as this object."""
        catalog = cls(
            sqlite_engine(lambda: sqlite3.connect(":memory:", check_same_thread=False), StaticPool)
        )
        with catalog.transaction() as connection:
            schema.metadata.create_all(connection)
            connection.execute(
                schema.revision.insert().values(
                    only=True, format=schema.FORMAT, number=0, fit=secrets.token_hex(16)
                )
            )
        return catalog

    @classmethod
    def open(cls, path: Path) -> "Catalog":
        """Open a catalog that ``copy_to`` wrote.

        Opening and reading do not change the file, except that SQLite rolls back an unfinished
        transaction of a killed process.

        Raises:
            ArtifactError: there is no file, or it is of an older version.
        """
        if not path.is_file():
            raise ArtifactError(f"{path}: the song database is missing")
        catalog = cls(sqlite_engine(lambda: _connect(path), QueuePool), path)
        with catalog._transaction("opening it") as connection:
            # This opens the file, which then stays readable after another process saved over it.
            if {"revision", "genres"} & table_names(connection) == {"revision"}:
                raise ArtifactError(
                    f"{path}: the song database is of an older version of coldtune; train again"
                )
        catalog._file = _identity(path)  # a file of a container's image is another one once opened
        return catalog

    def fill(self, songs: Iterable[Song], sounds: Mapping[str, str] | None = None) -> None:
        """Insert the songs of the fit, page by page, and digests of sounds as `sounds` has them."""
        self._check_all()
        with self._transaction("storing sounds") as connection:
            write_sounds(connection, sounds or {})
        for page in batched(songs):  # songs may come from another database, which has a lock too
            with self._transaction("storing songs") as connection:
                SongWriter(connection).insert(page)
                write_sounds(connection, sounds_of(page))

    def put(self, songs: Iterable[Song]) -> ChangePosition:
        """Insert or replace onboarded songs in one transaction, durably; return where it ends."""
        songs = list(songs)
        with self._transaction("storing songs") as connection:
            number = self._bump_revision(connection)
            write_sounds(connection, sounds_of(songs))
            forget_removals(connection, [song.item_id for song in songs])
            # SQLite takes the small index of onboarded songs only where the condition names it.
            query = "SELECT MAX(onboarded) FROM songs WHERE onboarded IS NOT NULL"
            last = _value(connection, query) or 0
            if SongWriter(connection).replace(
                replace(song, onboarded=place) for place, song in enumerate(songs, start=last + 1)
            ):
                _note_rewriting(connection, number)
            return read_position(connection, number)

    def relocate(self, paths: Mapping[str, Mapping[str, str]]) -> ChangePosition:
        """Store durably where recordings are now: by item, the path by digest of the content."""
        with self._transaction("storing paths") as connection:
            number = self._bump_revision(connection)
            _note_rewriting(connection, number)
            SongWriter(connection).relocate(paths)
            return read_position(connection, number)

    def sounds(self) -> dict[str, str]:
        """Return the digests of the sounds of files by digest of the file's content."""
        with self._transaction() as connection:
            return read_sounds(connection)

    def add_plays(
        self,
        plays: Iterable[Play],
        request: PlaysRequest | None = None,
        events: Mapping[bytes, bytes] | None = None,
    ) -> ChangePosition:
        """Append plays in one transaction, durably, and what they are known by.

        Args:
            plays: the plays; in mode "replace" what changes by them.
            request: how they came.
            events: digests of their events by key.

        Returns:
            Where they end.
        """
        request = request or PlaysRequest()
        with self._transaction("storing plays") as connection:
            revision = self._bump_revision(connection)
            create_change_tables(connection)
            if not request.is_plain:
                create_request_tables(connection)
            plays, replacing = list(plays), request.mode == "replace"
            write_plays(connection, plays, as_corrections=replacing)
            tables = (CORRECTIONS,) if replacing else ()
            if merge_plays(connection, len(plays), *tables):
                _note_rewriting(connection, revision)
            if request.batch_id is not None:
                write_batch(connection, request.batch_id, request.digest)
            if events:
                write_events(connection, events)
            return read_position(connection, revision)

    def known_batch(self, batch_id: str) -> str | None:
        """Return the digest of the plays of a batch that was taken in; None if it was not."""
        with self._transaction() as connection:
            return known_batch(connection, batch_id)

    def known_events(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the digests of those events that were taken in, by key."""
        with self._transaction() as connection:
            return known_events(connection, keys)

    def take_requests_of(self, other: "Catalog") -> None:
        """Copy what is known of batches and events from another catalog, page by page."""
        for name in ("batches", "events"):
            last = 0
            while True:
                with other._transaction() as connection:
                    rows = request_pages(connection, name, last)
                if not rows:
                    break
                last = rows[-1]["number"]
                with self._transaction("storing plays") as connection:
                    create_change_tables(connection)
                    create_request_tables(connection)
                    write_request_rows(connection, name, rows)

    def remove(self, item_id: str, *, of_the_fit: bool = True) -> ChangePosition:
        """Delete a song and its plays, and record the removal if the fit has an item of this id."""
        with self._transaction("removing a song") as connection:
            number = self._bump_revision(connection)
            _note_rewriting(connection, number)
            create_change_tables(connection)
            write_removal(connection, item_id, of_the_fit=of_the_fit)
            SongWriter(connection).remove([item_id])
            return read_position(connection, number)

    def changes(self) -> Changes:
        """Read all changes since the fit in one transaction.

        Raises:
            ArtifactError: the checksum of a row does not match.
        """
        with self._transaction() as connection:
            songs = list(read_songs(connection, onboarded=True))
            plays, removed = read_changes(connection)
            fit, number = connection.execute(
                select(schema.revision.c.fit, schema.revision.c.number)
            ).one()
            corrections = read_corrections(connection)
            position = read_position(connection, int(number))
            return Changes(songs, plays, removed, (str(fit), int(number)), position, corrections)

    def changes_after(self, position: ChangePosition) -> Changes | None:
        """Read the changes after a position in one transaction.

        Returns:
            New songs and plays; None where something before the position was changed as well (a
            song replaced or removed, plays merged), so that all changes have to be read.

        Raises:
            ArtifactError: the checksum of a row does not match.
        """
        with self._transaction() as connection:
            if _last_rewriting(connection) > position.revision:
                return None
            fit, number = connection.execute(
                select(schema.revision.c.fit, schema.revision.c.number)
            ).one()
            pages = song_pages(connection, onboarded=True, after=position.song)
            return Changes(
                [song for page in pages for song in page],
                plays_after(connection, position.play),
                [],
                (str(fit), int(number)),
                read_position(connection, int(number)),
                read_corrections(connection, position.correction),
            )

    def songs(self) -> Iterator[Song]:
        """Iterate over all songs by item id.

        Read page by page: no lock is held while a song is used, and what others change meanwhile
        may be among the later ones. `transaction` and `snapshot` see one state.
        """
        self._check_all()
        last: str | None = None
        while True:
            with self._transaction() as connection:
                page = next(song_pages(connection, after=last), [])
            if not page:
                return
            last = page[-1].item_id
            yield from page

    def onboarded(self) -> list[Song]:
        """Return the songs onboarded since the fit, in order of arrival."""
        with self._transaction() as connection:
            return list(read_songs(connection, onboarded=True))

    def revision(self) -> tuple[str, int]:
        """Return the id of the fit, and the number of changes since."""
        with self._transaction() as connection:
            fit, number = connection.execute(
                select(schema.revision.c.fit, schema.revision.c.number)
            ).one()
            if not isinstance(number, int):
                raise self._damaged(f"the number of its changes is {number!r}")
            return str(fit), number

    def verify(self) -> None:
        """Check the structure, every page and every row.

        Changes in unused parts of the file go unnoticed.

        Raises:
            ArtifactError: something is damaged.
        """
        expected = _expected_schemas()
        with self._transaction("checking it") as connection:
            problem = " ".join(str(_value(connection, "PRAGMA integrity_check")).split())
            if problem != "ok":
                raise self._damaged(problem)
            self._check_structure(connection, expected)
            check_songs(connection)
            read_changes(connection)
            read_sounds(connection)
            read_corrections(connection)
            check_requests(connection)

    def check_structure(self) -> None:
        """Check tables and file size, in constant time.

        Raises:
            ArtifactError: the tables or the size are wrong.
        """
        expected = _expected_schemas()
        with self._transaction() as connection:
            self._check_structure(connection, expected)

    def check_later(self, check: "Callable[[Catalog], None]") -> None:
        """Run ``check(self)`` once, before songs of the fit are first read, copied or queried.

        Until then, only rows with their own checksum are read: those of onboarded songs.
        """
        self._check = check

    def size(self) -> int:
        """Return the size of the file in bytes, 0 in memory.

        Raises:
            ArtifactError: the file is gone.
        """
        try:
            return 0 if self.path is None else self.path.stat().st_size
        except OSError as error:  # another process has just saved a new model
            raise ArtifactError(f"{self.path}: cannot be read: {error.strerror}") from None

    def is_in_place(self) -> bool:
        """Return whether its file is still the one at its path; always true in memory.

        Changes to a file that was removed, or that another one has taken the place of, would be
        lost.
        """
        if self.path is None:
            return True
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file

    @contextmanager
    def alone(self, doing: str) -> Iterator[None]:
        """Keep this process from any other use of the file inside the block.

        Needed to read the file as plain bytes: closing it drops SQLite's locks on it.

        Args:
            doing: what for, as in "checking it".

        Raises:
            BusyError: another thread has used it for too long.
        """
        with self._lock.held(doing):
            yield

    def _check_structure(self, connection: Connection, expected: tuple[set[str], ...]) -> None:
        if _schema(connection) not in expected:
            raise self._damaged("its tables are not those of a song database")
        if self.path is not None:
            pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            wanted, found = _value(connection, pages), self.size()
            if found != wanted:
                raise self._damaged(f"has {found:,} bytes instead of {wanted:,}")

    def _damaged(self, problem: str) -> ArtifactError:
        return ArtifactError(f"{self._name}: the song database is damaged: {problem[:200]}")

    def _check_all(self) -> None:
        # No lock is held, as the check takes its own: two threads at once may both check it.
        check = self._check
        if check is not None:
            check(self)
            self._check = None

    def copy_to(self, path: Path) -> tuple[str, int]:
        """Write a compact copy to a new file.

        Returns:
            The revision of the copy: others may have changed this one since it was last asked for.

        Raises:
            DiskFullError: the disk has no room for it.
            ArtifactError: it cannot be written.
        """
        self._check_all()
        try:
            with (
                self._lock.held("copying it"),
                in_use(self._engine, self._name),
                self._engine.connect() as connection,
                closing(sqlite3.connect(path)) as copy,
            ):
                source: Any = connection.connection.driver_connection
                copy.execute("PRAGMA synchronous = OFF")  # the caller syncs the file once
                source.backup(copy)
                copy.execute("VACUUM")
                fit, number = copy.execute("SELECT fit, number FROM revision").fetchone()
                return str(fit), int(number)
        except (SQLAlchemyError, sqlite3.Error) as error:
            if is_full(error):
                raise DiskFullError(f"{path}: there is no room for a copy") from error
            raise ArtifactError(f"{path}: the song database cannot be written: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator["Catalog"]:
        """Open a temporary copy for long reads, which would keep writers waiting."""
        with temporary_folder() as folder:
            path = folder / "catalog.sqlite"
            self.copy_to(path)
            copy = Catalog.open(path)
            try:
                yield copy
            finally:
                copy.close()

    @staticmethod
    def _bump_revision(connection: Connection) -> int:
        # First in each transaction, as it locks the database: no other process takes this number.
        connection.execute(schema.revision.update().values(number=schema.revision.c.number + 1))
        return int(connection.execute(select(schema.revision.c.number)).scalar_one())

    def close(self) -> None:
        """Close the connections to the file."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: its changes are committed at the end, all of them or none.

        Raises:
            ArtifactError: the database reports an error.
        """
        self._check_all()
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self, doing: str = "reading it") -> Iterator[Connection]:
        try:
            with (
                self._lock.held(doing),
                transaction(self._engine, self._name, self.path) as connection,
            ):
                yield connection
        except ArtifactError:
            if self.path is None or self.path.exists():
                raise
            raise ReplacedError(
                f"{self.path.parent.parent}: the model was replaced since it was opened; "
                "load it again, or refresh it"
            ) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = connect_sqlite(path, "rw")
    # A commit returns only when the transaction is on the disk, even through a power cut. The
    # journal is a rollback journal (the default), not a write-ahead log: the file alone is enough.
    connection.execute("PRAGMA synchronous = EXTRA")
    return connection


def _note_rewriting(connection: Connection, revision: int) -> None:
    """Say in the header of the file that a transaction does not only add rows after the others."""
    connection.exec_driver_sql(f"PRAGMA user_version = {revision}")


def _last_rewriting(connection: Connection) -> int:
    """The number of the last transaction that `_note_rewriting` was told of; 0 for none."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _value(connection: Any, query: str) -> Any:
    return connection.execute(text(query)).scalar()


def _schema(connection: Any) -> set[str]:
    return set(connection.execute(text("SELECT sql FROM sqlite_master WHERE sql > ''")).scalars())


@cache
def _expected_schemas() -> tuple[set[str], ...]:
    """The tables of a catalog, with and without those that are made when they are needed.

    And those of earlier versions, with and without the columns that came since.
    """
    found = _schemas_of_today()
    (today,) = (sql for sql in found[0] if sql.startswith("CREATE TABLE songs "))
    earlier = re.sub(r"\n\tfamiliarity \w+, ", "", today)
    catalog = Catalog.in_memory()
    with catalog.transaction() as connection:
        connection.execute(text("DROP TABLE songs"))
        connection.execute(text(earlier))
        schema.add_new_columns(connection)
        query = "SELECT sql FROM sqlite_master WHERE name = 'songs'"
        extended = str(_value(connection, query))
    return tuple(one - {today} | {songs} for one in found for songs in (today, earlier, extended))


def _schemas_of_today() -> tuple[set[str], ...]:
    catalog = Catalog.in_memory()
    with catalog.transaction() as connection:
        before = _schema(connection)
        create_change_tables(connection)
        changes = _schema(connection) - before
        write_sounds(connection, {})
        sounds = _schema(connection) - before - changes
        create_request_tables(connection)  # never without those of changes
        changed = changes, _schema(connection) - before - sounds
        return tuple(
            before | of_changes | of_sounds
            for of_changes in (set(), *changed)
            for of_sounds in (set(), sounds)
        )
