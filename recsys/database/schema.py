"""Tables of the song database (US 2018/0276540 A1, paragraphs 43, 65 and 66; Fig. 7A, 7B).

SQLite and PostgreSQL have the same tables. A row of `songs` is complete by itself and carries a
checksum; `scores` repeats the score vectors of `songs` in a form that SQL can query.

Databases of earlier versions lack the column `familiarity`. They are read as they are
(`song_columns`), and get the column with the first song that is written (`add_new_columns`).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    cast,
    inspect,
    null,
    text,
)

FORMAT = 3
"""Format version; increased whenever the tables change."""

metadata = MetaData()

songs = Table(
    "songs",
    metadata,
    Column("item_id", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("artist", String, nullable=False),
    Column("album", String, nullable=False),
    Column("genre", String, nullable=False),
    Column("tags", String, nullable=False),  # JSON object: tags given with the data
    Column("embedding", LargeBinary),  # little-endian float32
    # JSON object: predicted probabilities, {"genre": {"blues": 0.8, ...}}
    Column("score_vector", String),
    Column("onboarded", BigInteger),  # order of arrival; NULL for songs of the fit
    Column("search", String, nullable=False),  # normalised text that searches look at
    Column("checksum", String, nullable=False),
    # 0 to 1, how much its sound is like what the model learned from; NULL where it is not known
    Column("familiarity", Double),
    # A hash index takes texts of any length in PostgreSQL; SQLite has one kind of index.
    Index("ix_songs_artist", "artist", postgresql_using="hash"),
    Index("ix_songs_genre", "genre", postgresql_using="hash"),
)
_since_fit = songs.c.onboarded.is_not(None)
Index("ix_songs_onboarded", songs.c.onboarded, sqlite_where=_since_fit, postgresql_where=_since_fit)

# SQLite reads whole rows to look at one column, and this index is far smaller.
# PostgreSQL's index would refuse long texts.
Index("ix_songs_search", songs.c.search, songs.c.item_id).ddl_if(dialect="sqlite")

genres = Table(
    "genres",
    metadata,
    Column("genre_id", Integer, primary_key=True, autoincrement=False),
    Column("tag", String, nullable=False),  # "genre" or another predicted tag
    Column("name", String, nullable=False),
    UniqueConstraint("tag", "name", name="uq_genres"),
)

scores = Table(
    "scores",
    metadata,
    Column("item_id", ForeignKey(songs.c.item_id), primary_key=True),
    Column("genre_id", ForeignKey(genres.c.genre_id), primary_key=True),
    Column("score", Double, nullable=False),
    sqlite_with_rowid=False,
)

recordings = Table(
    "recordings",
    metadata,
    Column("item_id", ForeignKey(songs.c.item_id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", String, nullable=False),
    Column("digest", String, nullable=False),  # SHA-256 of the file's content
    Column("snippet", String, nullable=False),  # digest of the snippets' configuration
    Column("hyperimage", String, nullable=False),  # digest of the hyper-images' configuration
    Column("image_key", String, nullable=False),  # key of the hyper-images in their cache
    sqlite_with_rowid=False,
)

revision = Table(
    "revision",
    metadata,
    Column("only", Boolean, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("number", Integer, nullable=False),  # transactions since the fit
    Column("fit", String, nullable=False),  # random id of the fit: no two models share a catalog
)

_NEW_COLUMNS = ("familiarity",)
"""Columns of `songs` that databases of earlier versions lack."""


def song_columns(connection: Connection) -> list[ColumnElement[Any]]:
    """Return what a query takes of `songs`: its columns, and NULL for those that are not there."""
    there = _columns_there(connection)
    return [
        column if column.name in there else cast(null(), column.type).label(column.name)
        for column in songs.columns
    ]


def add_new_columns(connection: Connection) -> None:
    """Add to `songs` the columns that a database of an earlier version lacks."""
    missing = [name for name in _NEW_COLUMNS if name not in _columns_there(connection)]
    for name in missing:
        kind = songs.c[name].type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE songs ADD COLUMN {name} {kind}"))
    if missing:
        connection.execute(revision.update().values(format=FORMAT))


def has_columns(table: str, there: set[str]) -> bool:
    """Return whether a table with these columns is that of this version, or of an earlier one."""
    wanted = {column.name for column in metadata.tables[table].columns}
    needed = wanted.difference(_NEW_COLUMNS) if table == songs.name else wanted
    return needed <= there <= wanted


def _columns_there(connection: Connection) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(songs.name)}
