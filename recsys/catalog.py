"""The song database (US 2018/0276540 A1, paragraphs 43 and 65): one row a song, by SQLAlchemy.

Songs onboarded after the fit live here first: a song is recommended only after the transaction
that stores it was committed, so what was acknowledged is still there after a crash.
"""

import hashlib
import json
import os
import secrets
import sqlite3
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.values import is_unicode
from recsys.sources.base import Floats

_PATIENCE = 60
"""Seconds to wait for another process that is using the database."""

_metadata = MetaData()
_songs = Table(
    "songs",
    _metadata,
    Column("item_id", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("artist", String, nullable=False, index=True),
    Column("album", String, nullable=False),
    Column("genre", String, nullable=False, index=True),
    Column("tags", String, nullable=False),  # JSON object: tags that came with the data
    Column("embedding", LargeBinary),  # little-endian float32
    Column("scores", String),  # JSON object: probability of each tag value, by the network
    Column("onboarded", Integer),  # order of arrival; NULL for songs of the fit
    Column("checksum", String, nullable=False),
)
_NAMES = [column.name for column in _songs.columns]
_PLAIN = [name for name in _NAMES if name not in ("embedding", "checksum")]
_revision = Table(
    "revision",
    _metadata,
    Column("only", Boolean, primary_key=True),
    Column("number", Integer, nullable=False),  # transactions since the fit
    Column("fit", String, nullable=False),  # drawn for each fit: no two models share a catalog
)


@dataclass(frozen=True)
class Song:
    """One song: its text, what the audio side said of it, and when it came (None: at the fit)."""

    item_id: str
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    embedding: Floats | None = None
    scores: dict[str, float] | None = None
    onboarded: int | None = None

    def to_row(self) -> dict[str, Any]:
        """The song as a row of the table, with a checksum over all other columns.

        Raises InvalidArgumentError for text that no database can hold.
        """
        row: dict[str, Any] = {
            "item_id": self.item_id,
            "title": self.title,
            "artist": self.artist,
            "album": self.album,
            "genre": self.genre,
            "tags": json.dumps(self.tags, ensure_ascii=False, sort_keys=True),
            "embedding": (
                None if self.embedding is None else self.embedding.astype("<f4").tobytes()
            ),
            "scores": None if self.scores is None else json.dumps(self.scores, ensure_ascii=False),
            "onboarded": self.onboarded,
        }
        for name, value in row.items():
            if isinstance(value, str) and not is_unicode(value):
                raise InvalidArgumentError(
                    f"{name} of item {self.item_id!r}: {value!r} is not valid Unicode text"
                )
        return {**row, "checksum": _checksum(row)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Song":
        """The inverse of :meth:`to_row`. Raises ArtifactError when the checksum does not match."""
        _check_row(row)
        content = {name: value for name, value in row.items() if name != "checksum"}
        vector = content["embedding"]
        scores = content["scores"]
        return cls(
            **{
                **content,
                "tags": json.loads(content["tags"]),
                "embedding": (
                    None if vector is None else np.frombuffer(vector, "<f4").astype(np.float32)
                ),
                "scores": None if scores is None else json.loads(scores),
            }
        )


class Catalog:
    """The songs of one model, in memory or in an SQLite file."""

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self._engine = engine
        self._path = path
        self._turn = threading.RLock()  # all threads share the connection of one in memory
        self._name = str(path or "the song database in memory")

    @classmethod
    def in_memory(cls) -> "Catalog":
        """An empty catalog that lives as long as this object."""
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        catalog = cls(engine)
        with catalog._transaction() as connection:
            _metadata.create_all(connection)
            connection.execute(
                _revision.insert().values(only=True, number=0, fit=secrets.token_hex(16))
            )
        return catalog

    @classmethod
    def open(cls, path: Path) -> "Catalog":
        """A catalog that :meth:`copy_to` wrote. Raises ArtifactError when there is none.

        Opening and reading change nothing in the file, except that what a killed writer left half
        done is undone.
        """
        if not path.is_file():
            raise ArtifactError(f"{path}: the song database is missing")
        engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=QueuePool)
        catalog = cls(engine, path)
        with catalog._transaction():
            pass  # opened now, it can still be read after another process has saved over the model
        return catalog

    def fill(self, songs: Iterable[Song]) -> None:
        """Add the songs of the fit."""
        rows = [song.to_row() for song in songs]
        with self._transaction() as connection:
            if rows:
                connection.execute(_songs.insert(), rows)

    def put(self, songs: Iterable[Song]) -> None:
        """Add or replace onboarded songs: all of them, on the disk, or none."""
        with self._transaction() as connection:
            # First what locks the database: then nobody else takes the same number.
            connection.execute(_revision.update().values(number=_revision.c.number + 1))
            last = _value(connection, "SELECT MAX(onboarded) FROM songs") or 0
            for number, song in enumerate(songs, start=last + 1):
                row = replace(song, onboarded=number).to_row()
                connection.execute(_songs.delete().where(_songs.c.item_id == song.item_id))
                connection.execute(_songs.insert(), [row])

    def onboarded(self) -> list[Song]:
        """Songs that came after the fit, in order of arrival."""
        query = select(_songs).where(_songs.c.onboarded.is_not(None)).order_by(_songs.c.onboarded)
        with self._transaction() as connection:
            return [Song.from_row(dict(row)) for row in connection.execute(query).mappings()]

    def revision(self) -> tuple[str, int]:
        """Which fit the songs are of, and how many times songs were put since."""
        with self._transaction() as connection:
            fit, number = connection.execute(select(_revision.c.fit, _revision.c.number)).one()
            return str(fit), int(number)

    def verify(self) -> None:
        """Check the structure, every page and every row. Raises ArtifactError where one is damaged.

        What is not noticed is in places that hold no data.
        """
        with self._transaction() as connection:
            problem = " ".join(str(_value(connection, "PRAGMA integrity_check")).split())
            if problem == "ok" and _schema(connection) != _expected_schema():
                problem = "its tables are not those of a song database"
            if problem == "ok" and self._path is not None:
                pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
                wanted, found = _value(connection, pages), self._path.stat().st_size
                if found != wanted:
                    problem = f"has {found:,} bytes instead of {wanted:,}"
            if problem != "ok":
                raise ArtifactError(f"{self._name}: the song database is damaged: {problem[:200]}")
            for row in connection.execute(select(_songs)):
                _check_row(dict(zip(_NAMES, row, strict=True)))

    def copy_to(self, path: Path) -> None:
        """Write a compact copy to a new file. Raises ArtifactError where it cannot be written."""
        try:
            with self._engine.connect() as connection, closing(sqlite3.connect(path)) as copy:
                source: Any = connection.connection.driver_connection
                copy.execute("PRAGMA synchronous = OFF")  # whoever saves syncs the file once
                source.backup(copy)
                copy.execute("VACUUM")
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise ArtifactError(f"{path}: the song database cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            with self._turn, self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise ArtifactError(f"{self._name}: {reason}") from error


def _connect(path: Path) -> sqlite3.Connection:
    # As a URI: a mode that never makes an empty database, and any name that a file can have.
    name = urllib.parse.quote(os.fsencode(path.absolute()))
    connection = sqlite3.connect(
        f"file:{name}?mode=rw", uri=True, timeout=_PATIENCE, check_same_thread=False
    )
    # A transaction is on the disk, power cut or not, before its commit returns. The journal is a
    # rollback journal (the default) and no write-ahead log: so the file alone is the database.
    connection.execute("PRAGMA synchronous = EXTRA")
    return connection


def _value(connection: Any, query: str) -> Any:
    return connection.execute(text(query)).scalar()


def _schema(connection: Any) -> set[str]:
    return set(connection.execute(text("SELECT sql FROM sqlite_master WHERE sql > ''")).scalars())


def _expected_schema() -> set[str]:
    catalog = Catalog.in_memory()
    with catalog._transaction() as connection:
        return _schema(connection)


def _check_row(row: dict[str, Any]) -> None:
    try:
        whole = _checksum(row) == row["checksum"]
    except TypeError:  # a value of a kind that is never stored there
        whole = False
    if not whole:
        raise ArtifactError(f"the song database is damaged: row of item {row['item_id']!r}")


def _checksum(row: dict[str, Any]) -> str:
    embedding = row["embedding"]
    digest = hashlib.sha256(json.dumps([row[name] for name in _PLAIN]).encode())
    digest.update(b"none" if embedding is None else b"some" + embedding)
    return digest.hexdigest()
