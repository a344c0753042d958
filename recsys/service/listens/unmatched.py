"""Listens of tracks that are no items of the model, kept in a file until they are.

The file is a SQLite database. What is in it is on the disk when a method returns.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from datasets.errors import ArtifactError, DiskFullError
from datasets.system.locks import Order, ThreadLock, patience
from recsys.database.read_write import is_full
from recsys.model.artifact import LISTENS_FILE
from recsys.service.listens.matching import Track
from recsys.service.listens.names import track_key

_FORMAT = 1

MOST = 1_000_000
"""Listens that are kept at most."""

_TABLES = """
CREATE TABLE IF NOT EXISTS tracks (
    track INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    artist TEXT NOT NULL,
    title TEXT NOT NULL,
    album TEXT NOT NULL,
    mbids TEXT NOT NULL,
    path TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS listens (
    track INTEGER NOT NULL REFERENCES tracks,
    user_id TEXT NOT NULL,
    listened_at INTEGER NOT NULL,
    PRIMARY KEY (track, user_id, listened_at)
) WITHOUT ROWID;
"""


def listens_file(model: Path) -> Path:
    """Return the file of a saved model with the listens that wait for their songs.

    It lies in the model's folder beside its generations, and stays when the model is saved anew.

    Examples:
        >>> listens_file(Path("model")).name
        'listens.sqlite'
    """
    return model / LISTENS_FILE


class Listen(NamedTuple):
    """That a user has listened to a track."""

    user_id: str
    listened_at: int
    """Seconds since 1970, UTC."""
    track: Track


class UnmatchedTrack(NamedTuple):
    """A track that is no item, and how often it was listened to."""

    number: int
    """Its number in the file."""
    track: Track
    listens: int
    users: int
    first: int
    """When it was first listened to, in seconds since 1970."""
    last: int
    """When it was last."""


class UnmatchedListens:
    """The listens that wait for their songs.

    Args:
        path: the file, which is created with the first listen; None keeps them in memory.

    Examples:
        >>> waiting = UnmatchedListens(folder / "listens.sqlite")
        >>> listen = Listen("ann", 1_700_000_000, Track("Ana", "Blue"))
        >>> waiting.keep([listen]), waiting.keep([listen])
        (1, 0)
        >>> [(one.track.title, one.listens) for one in waiting.tracks()]
        [('Blue', 1)]
        >>> waiting.forget([listen])
        >>> len(waiting)
        0
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = ThreadLock("listens in memory", Order.PART)
        self._memory: sqlite3.Connection | None = None
        if path is None:
            self._memory = sqlite3.connect(":memory:", check_same_thread=False)
            self._memory.isolation_level = None
            self._memory.executescript(_TABLES)

    def __len__(self) -> int:
        """Return how many listens wait."""
        with self._reading() as connection:
            return 0 if connection is None else _count(connection)

    def keep(self, listens: Sequence[Listen]) -> int:
        """Keep listens durably, all or none; return how many of them are new.

        The same track at the same second by the same user is one listen.

        Raises:
            ArtifactError: the file cannot be written, or holds too many.
            DiskFullError: there is no room.
        """
        if not listens:
            return 0
        with self._writing() as connection:
            before = _count(connection)
            numbers: dict[Track, int] = {}
            for listen in listens:
                track = listen.track
                if track not in numbers:
                    numbers[track] = _number(connection, track)
                connection.execute(
                    "INSERT OR IGNORE INTO listens VALUES (?, ?, ?)",
                    (numbers[track], listen.user_id, listen.listened_at),
                )
            after = _count(connection)
            if after > MOST:
                raise ArtifactError(
                    f"{self._name}: {MOST:,} listens of unknown tracks wait already, and no more "
                    "are kept"
                )
            return after - before

    def tracks(
        self, most: int | None = None, *, start: int = 0, after: int | None = None
    ) -> list[UnmatchedTrack]:
        """Return the tracks that were listened to, those with most listens first.

        Args:
            most: so many at most; None for all.
            start: leave out so many.
            after: instead in the order of their numbers, those after this one.
        """
        query = (
            "SELECT track, artist, title, album, mbids, path, count(*), count(DISTINCT user_id),"
            " min(listened_at), max(listened_at) FROM listens JOIN tracks USING (track)"
            " WHERE track > ? GROUP BY track ORDER BY "
        )
        query += "track" if after is not None else "count(*) DESC, max(listened_at) DESC, track"
        query += " LIMIT ? OFFSET ?"
        limits = (-1 if after is None else after, -1 if most is None else most, start)
        with self._reading() as connection:
            rows = [] if connection is None else connection.execute(query, limits).fetchall()
        return [
            UnmatchedTrack(
                row[0], Track(row[1], row[2], row[3], tuple(json.loads(row[4])), row[5]), *row[6:]
            )
            for row in rows
        ]

    def counts(self) -> tuple[int, int]:
        """Return how many tracks and how many listens wait."""
        with self._reading() as connection:
            if connection is None:
                return 0, 0
            (tracks,) = connection.execute("SELECT count(DISTINCT track) FROM listens").fetchone()
            return int(tracks), _count(connection)

    def of_tracks(self, found: Iterable[UnmatchedTrack], most: int) -> Iterator[list[Listen]]:
        """Yield the listens of some tracks, so many at a time."""
        page: list[Listen] = []
        for one in found:
            with self._reading() as connection:
                if connection is None:
                    return
                rows = connection.execute(
                    "SELECT user_id, listened_at FROM listens WHERE track = ?"
                    " ORDER BY listened_at, user_id",
                    (one.number,),
                ).fetchall()
            for user_id, listened_at in rows:
                page.append(Listen(user_id, listened_at, one.track))
                if len(page) == most:
                    yield page
                    page = []
        if page:
            yield page

    def forget(self, listens: Sequence[Listen]) -> None:
        """Take out listens that have become plays.

        Raises:
            ArtifactError: the file cannot be written.
        """
        with self._writing() as connection:
            for listen in listens:
                connection.execute(
                    "DELETE FROM listens WHERE user_id = ? AND listened_at = ?"
                    " AND track = (SELECT track FROM tracks WHERE key = ?)",
                    (listen.user_id, listen.listened_at, _key(listen.track)),
                )
            connection.execute("DELETE FROM tracks WHERE track NOT IN (SELECT track FROM listens)")

    @property
    def _name(self) -> str:
        return "listens" if self.path is None else str(self.path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection; None while there is no file."""
        if self._memory is None and (self.path is None or not self.path.exists()):
            yield None
            return
        with self._connected() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._memory is not None:
                with self._lock.held("using them"):
                    yield self._memory
                return
            assert self.path is not None
            with closing(sqlite3.connect(self.path, timeout=patience())) as connection:
                connection.isolation_level = None
                connection.execute("PRAGMA synchronous = FULL")
                _prepare(connection, self._name)
                yield connection
        except sqlite3.Error as error:
            if is_full(error):
                raise DiskFullError(f"{self._name}: the disk is full") from None
            raise ArtifactError(f"{self._name}: cannot be used: {error}") from None


def _prepare(connection: sqlite3.Connection, name: str) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = 1; COMMIT;")
    elif found != _FORMAT:
        raise ArtifactError(f"{name}: is of another format; update coldtune")


def _number(connection: sqlite3.Connection, track: Track) -> int:
    """The number of a track, which is added if it is not there."""
    key = _key(track)
    connection.execute(
        "INSERT OR IGNORE INTO tracks (key, artist, title, album, mbids, path)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (key, track.artist, track.title, track.album, json.dumps(track.mbids), track.path),
    )
    (number,) = connection.execute("SELECT track FROM tracks WHERE key = ?", (key,)).fetchone()
    return int(number)


def _key(track: Track) -> bytes:
    """What tells tracks apart: their names, and their ids and files where these are known."""
    told = json.dumps([track_key(track.artist, track.title), track.mbids, track.path])
    return hashlib.blake2b(told.encode(), digest_size=16).digest()


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM listens").fetchone()
    return int(count)
