"""The song database (US 2018/0276540 A1, paragraphs 43 and 65): one row a song, by SQLAlchemy.

Songs onboarded after the fit live here first: a song is recommended only after the transaction
that stores it was committed, so what was acknowledged is still there after a crash.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    event,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from datasets.errors import ArtifactError
from recsys.sources.base import Floats

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
_revision = Table(
    "revision",
    _metadata,
    Column("only", Boolean, primary_key=True),
    Column("number", Integer, nullable=False),  # transactions since the fit
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
        """The song as a row of the table, with a checksum over all other columns."""
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
        return {**row, "checksum": _checksum(row)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Song":
        """The inverse of :meth:`to_row`. Raises ArtifactError when the checksum does not match."""
        content = {name: value for name, value in row.items() if name != "checksum"}
        if _checksum(content) != row["checksum"]:
            raise ArtifactError(f"the song database is damaged: row of item {row['item_id']!r}")
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

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    @classmethod
    def in_memory(cls) -> "Catalog":
        """An empty catalog that lives as long as this object."""
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        catalog = cls(engine, "the song database in memory")
        with catalog._transaction() as connection:
            _metadata.create_all(connection)
            connection.execute(_revision.insert().values(only=True, number=0))
        return catalog

    @classmethod
    def open(cls, path: Path) -> "Catalog":
        """A catalog that :meth:`copy_to` wrote. Raises ArtifactError when there is none."""
        if not path.is_file():
            raise ArtifactError(f"{path}: the song database is missing")
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})

        @event.listens_for(engine, "connect")
        def _durable(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

        return cls(engine, str(path))

    def fill(self, songs: Iterable[Song]) -> None:
        """Add the songs of the fit."""
        rows = [song.to_row() for song in songs]
        with self._transaction() as connection:
            if rows:
                connection.execute(_songs.insert(), rows)

    def put(self, songs: Iterable[Song]) -> None:
        """Add or replace onboarded songs: all of them, on the disk, or none."""
        with self._transaction() as connection:
            last = connection.execute(text("SELECT MAX(onboarded) FROM songs")).scalar() or 0
            for number, song in enumerate(songs, start=last + 1):
                arrived = Song(**{**vars(song), "onboarded": number})
                connection.execute(_songs.delete().where(_songs.c.item_id == song.item_id))
                connection.execute(_songs.insert(), [arrived.to_row()])
            connection.execute(_revision.update().values(number=_revision.c.number + 1))

    def onboarded(self) -> list[Song]:
        """Songs that came after the fit, in order of arrival."""
        query = select(_songs).where(_songs.c.onboarded.is_not(None)).order_by(_songs.c.onboarded)
        with self._transaction() as connection:
            return [Song.from_row(dict(row)) for row in connection.execute(query).mappings()]

    def revision(self) -> int:
        """How many times songs were put since the fit."""
        with self._transaction() as connection:
            return int(connection.execute(select(_revision.c.number)).scalar_one())

    def verify(self) -> None:
        """Check every page and every row. Raises ArtifactError when one is damaged."""
        with self._transaction() as connection:
            if connection.execute(text("PRAGMA integrity_check")).scalar() != "ok":
                raise ArtifactError(f"{self._name}: the song database is damaged")
            for row in connection.execute(select(_songs)).mappings():
                Song.from_row(dict(row))

    def copy_to(self, path: Path) -> None:
        """Write a compact copy to a new file."""
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM INTO :path"), {"path": str(path)})
        # The first opening changes the file: let that happen before its digest is taken.
        copy = Catalog.open(path)
        copy.revision()
        copy.close()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise ArtifactError(f"{self._name}: {reason}") from error


def _checksum(row: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(row):
        value = row[name]
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest.update(f"{name}|{type(value).__name__}|{len(data)}|".encode() + data)
    return digest.hexdigest()
