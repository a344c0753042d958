"""Questions to a song database, answered by the database: lists of songs and of scores.

Songs or scores of a song database as a CSV or Parquet file, page by page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Column, Connection, Select, exists, func, select

from datasets.columns import GENRE, ITEM_ID, SCORE
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.files import atomic_write
from recsys.database.schema import genres, scores, songs
from recsys.database.song import search_key

LONGEST_SEARCH = 1000
"""Characters; SQLite searches for no more than 50,000 bytes."""

_SHOWN = (songs.c.title, songs.c.artist, songs.c.album, songs.c.genre, songs.c.item_id)

_GENRES_NAMED = 12
"""Genres that an error names."""


@dataclass(frozen=True)
class SongFilter:
    """Which songs are meant."""

    genre: str | None = None
    """The genre that came with the data."""
    search: str | None = None
    """A part of title, artist, album or item id; case and the way accents are written are free."""
    scored: bool = False
    """Only songs of which the network has said something."""

    def __post_init__(self) -> None:
        if self.search is not None and len(self.search) > LONGEST_SEARCH:
            raise InvalidArgumentError(
                f"search: has {len(self.search):,} characters, not at most {LONGEST_SEARCH:,}"
            )

    def apply(self, query: Select[Any]) -> Select[Any]:
        """A query on ``songs`` with only these."""
        if self.genre is not None:
            query = query.where(songs.c.genre == self.genre)
        if self.scored:
            query = query.where(exists().where(scores.c.item_id == songs.c.item_id))
        if self.search is not None:
            query = query.where(songs.c.search.contains(search_key(self.search), autoescape=True))
        return query


def count_songs(connection: Connection, choice: SongFilter) -> int:
    """How many songs are meant."""
    query = choice.apply(select(func.count()).select_from(songs))
    return int(connection.execute(query).scalar_one())


def check_genre(connection: Connection, genre: str) -> None:
    """Raises InvalidArgumentError, naming some that are there, for a genre that no song has."""
    if connection.execute(select(songs.c.genre).where(songs.c.genre == genre).limit(1)).first():
        return
    query = select(songs.c.genre).distinct().where(songs.c.genre != "").order_by(songs.c.genre)
    known = connection.execute(query.limit(_GENRES_NAMED + 1)).scalars().all()
    more = ", …" if len(known) > _GENRES_NAMED else ""
    there = f"there are: {', '.join(known[:_GENRES_NAMED])}{more}" if known else "there are none"
    raise InvalidArgumentError(f"no song is of genre {genre!r}; {there}")


def list_songs(
    connection: Connection,
    choice: SongFilter,
    limit: int | None = None,
    *,
    after: str | None = None,
    further: Sequence[Column[Any]] = (),
) -> pd.DataFrame:
    """Songs by item id, as in the patent's Fig. 7A.

    limit: at most so many. after: only those whose id comes after this one, to turn pages.
    Returns title, artist, album, genre, item_id, for each tag that a network tells
    ``predicted_TAG``, its most probable value (None for a song that was not heard), and
    ``probability_TAG``, then the ``further`` columns of the table.
    """
    page = _page(choice, limit, after)
    columns = (*_SHOWN, *further)
    frame = pd.DataFrame(
        connection.execute(page.with_only_columns(*columns)).all(),
        columns=[column.name for column in columns],
        dtype=object,
    )
    ids = page.with_only_columns(songs.c.item_id).subquery()
    order = func.row_number().over(
        partition_by=(scores.c.item_id, genres.c.tag),
        order_by=(scores.c.score.desc(), scores.c.genre_id),
    )
    ranked = (
        select(scores.c.item_id, genres.c.tag, genres.c.name, scores.c.score, order.label("rank"))
        .join(ids, ids.c.item_id == scores.c.item_id)
        .join(genres, genres.c.genre_id == scores.c.genre_id)
        .subquery()
    )
    best = {
        (row.tag, row.item_id): (row.name, row.score)
        for row in connection.execute(select(ranked).where(ranked.c.rank == 1))
    }
    for tag in predicted_tags(connection):
        found = [best.get((tag, item), (None, None)) for item in frame[ITEM_ID]]
        frame[f"predicted_{tag}"] = pd.Series([name for name, _ in found], dtype=object)
        frame[f"probability_{tag}"] = pd.Series([score for _, score in found], dtype=float)
    names = [column.name for column in further]
    return frame[[name for name in frame.columns if name not in names] + names]


def list_scores(
    connection: Connection,
    choice: SongFilter,
    limit: int | None = None,
    *,
    after: str | None = None,
) -> pd.DataFrame:
    """Scores of songs by item id, as in the patent's Fig. 7B: one row a song and value.

    limit, after: as in :func:`list_songs`; they count songs that were heard, each of which has
    several rows.
    Returns item_id, genre_id, tag, genre (the value) and score (its probability).
    """
    page = _page(replace(choice, scored=True), limit, after)
    ids = page.with_only_columns(songs.c.item_id).subquery()
    query = (
        select(scores.c.item_id, scores.c.genre_id, genres.c.tag, genres.c.name, scores.c.score)
        .join(ids, ids.c.item_id == scores.c.item_id)
        .join(genres, genres.c.genre_id == scores.c.genre_id)
        .order_by(ids.c.item_id, scores.c.genre_id)
    )
    frame = pd.DataFrame(
        connection.execute(query).all(), columns=[ITEM_ID, "genre_id", "tag", GENRE, SCORE]
    )
    return frame.astype({"genre_id": "int64", SCORE: "float64"})


def predicted_tags(connection: Connection) -> list[str]:
    """Tags that a network tells, the first one first."""
    query = select(genres.c.tag).group_by(genres.c.tag).order_by(func.min(genres.c.genre_id))
    return list(connection.execute(query).scalars())


def page_starts(connection: Connection, choice: SongFilter, size: int) -> Iterator[str | None]:
    """For each page of ``size`` songs the id to give as ``after``, None for the first page."""
    before: str | None = None
    while True:
        page = _page(choice, size, before).with_only_columns(songs.c.item_id).subquery()
        last = connection.execute(select(func.max(page.c.item_id))).scalar()
        if last is None:
            return
        yield before
        before = last


def _page(choice: SongFilter, limit: int | None, after: str | None) -> Select[Any]:
    # With a search, the order is given so that SQLite finds it in the small index of searches and
    # does not go through all the songs by id.
    order = songs.c.item_id if choice.search is None else songs.c.item_id + ""
    query = choice.apply(select(songs)).order_by(order)
    if after is not None:
        query = query.where(songs.c.item_id > after)
    return query if limit is None else query.limit(limit)


_PAGE = 5000
"""Songs that are written at once."""

_EMBEDDING = "embedding"


def export_songs(
    connection: Connection,
    path: Path,
    choice: SongFilter | None = None,
    *,
    scores: bool = False,
    advance: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write songs to a file that ends in .csv or .parquet, or with ``scores`` one row a score.

    Songs have the columns of :func:`~recsys.database.queries.list_songs`, ``tags`` (a JSON object of
    those that came with the data) and ``onboarded`` (order of arrival); in Parquet also
    ``embedding`` (a list of float32). ``advance`` hears of every page's number of rows.

    Returns the number of rows. Raises InvalidArgumentError for another ending and ArtifactError
    where the file cannot be written; what was there is left then.
    """
    ending = check_export(path)
    wanted = replace(choice or SongFilter(), scored=True) if scores else choice or SongFilter()
    frames = _frames(connection, wanted, scores, ending == ".parquet")
    try:
        with atomic_write(path) as temporary:
            write = _write_parquet if ending == ".parquet" else _write_csv
            return write(temporary, frames, advance)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_export(path: Path) -> str:
    """The ending of a file. Raises InvalidArgumentError where it is neither .csv nor .parquet."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InvalidArgumentError(f"{path}: must end in .csv or .parquet")
    return ending


def _frames(
    connection: Connection, choice: SongFilter, scores: bool, with_embeddings: bool
) -> Iterator[pd.DataFrame]:
    """All rows; at least one frame, as a file without rows has columns too."""
    starts = list(page_starts(connection, choice, _PAGE))
    for after in starts or [None]:
        if scores:
            yield list_scores(connection, choice, _PAGE, after=after)
            continue
        further = [songs.c.tags, songs.c.onboarded]
        if with_embeddings:
            further.append(songs.c.embedding)
        frame = list_songs(connection, choice, _PAGE, after=after, further=further)
        frame["onboarded"] = frame["onboarded"].astype("Int64")
        if with_embeddings:
            frame[_EMBEDDING] = frame[_EMBEDDING].map(
                lambda stored: np.frombuffer(stored, "<f4"), na_action="ignore"
            )
        yield frame


def _write_csv(path: Path, frames: Iterator[pd.DataFrame], advance: Callable[[int], object]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        for number, frame in enumerate(frames):
            frame.to_csv(stream, index=False, header=number == 0, lineterminator="\n")
            rows += len(frame)
            advance(len(frame))
    return rows


def _write_parquet(
    path: Path, frames: Iterator[pd.DataFrame], advance: Callable[[int], object]
) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(frames)
    # Said beforehand: a page whose songs have no value in a column does not show its type.
    kinds = {"Int64": pa.int64(), "int64": pa.int64(), "float64": pa.float64()}
    fields = {name: kinds.get(str(kind), pa.string()) for name, kind in first.dtypes.items()}
    if _EMBEDDING in fields:
        fields[_EMBEDDING] = pa.list_(pa.float32())
    schema = pa.schema(fields)
    rows = 0
    with pq.ParquetWriter(path, schema) as writer:
        frame: pd.DataFrame | None = first
        while frame is not None:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
            rows += len(frame)
            advance(len(frame))
            frame = next(frames, None)
    return rows
