"""Query a song database for songs and predicted scores, and export them to CSV or Parquet."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Column, Connection, Select, Subquery, exists, func, select

from datasets.columns import GENRE, ITEM_ID, SCORE
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.system.files import atomic_write
from datasets.texts.safe_text import write_spreadsheet
from datasets.texts.suggestions import did_you_mean
from datasets.texts.unicode_forms import folded
from recsys.database.heard import genres_among
from recsys.database.schema import genres, scores, song_columns, songs
from recsys.database.song import search_key

LONGEST_SEARCH = 1000
"""Characters of a search at most; SQLite takes up to 50,000 bytes."""

_SHOWN = (songs.c.title, songs.c.artist, songs.c.album, songs.c.genre, songs.c.item_id)

_GENRES_NAMED = 12
"""Genres named in an error message."""


@dataclass(frozen=True)
class SongFilter:
    """Selects songs of a database; the default selects all.

    Examples:
        >>> SongFilter(genre="jazz", search="blue")
        SongFilter(genre='jazz', search='blue', scored=False)
    """

    genre: str | None = None
    """Genre given with the data."""
    search: str | None = None
    """Part of title, artist, album or item id; ignores case and Unicode form of accents."""
    scored: bool = False
    """Only songs with predicted tags."""

    def __post_init__(self) -> None:
        if self.search is not None and len(self.search) > LONGEST_SEARCH:
            raise InvalidArgumentError(
                f"search: has {len(self.search):,} characters, not at most {LONGEST_SEARCH:,}"
            )

    def apply(self, query: Select[Any]) -> Select[Any]:
        """Restrict a query on the table `songs` to the selected ones."""
        if self.genre is not None:
            query = query.where(songs.c.genre == self.genre)
        if self.scored:
            query = query.where(exists().where(scores.c.item_id == songs.c.item_id))
        if self.search is not None:
            query = query.where(songs.c.search.contains(search_key(self.search), autoescape=True))
        return query


def count_songs(connection: Connection, where: SongFilter) -> int:
    """Count the selected songs.

    Args:
        connection: of a song database.
        where: which songs.

    Examples:
        >>> from recsys.database import Catalog, Song
        >>> catalog = Catalog.in_memory()
        >>> catalog.fill([Song("s1", genre="jazz"), Song("s2", genre="rock")])
        >>> with catalog.transaction() as connection:
        ...     count_songs(connection, SongFilter(genre="jazz"))
        1
    """
    query = where.apply(select(func.count()).select_from(songs))
    return int(connection.execute(query).scalar_one())


def check_genre(connection: Connection, genre: str) -> str:
    """Check that some song has this genre, and return it as the songs spell it.

    Raises:
        InvalidArgumentError: no song has it; the message names some genres.
    """
    if connection.execute(select(songs.c.genre).where(songs.c.genre == genre).limit(1)).first():
        return genre
    query = select(songs.c.genre).distinct().where(songs.c.genre != "").order_by(songs.c.genre)
    for spelling in connection.execute(query).scalars():
        if folded(spelling) == folded(genre):
            return str(spelling)
    known = connection.execute(query.limit(_GENRES_NAMED + 1)).scalars().all()
    more = ", …" if len(known) > _GENRES_NAMED else ""
    there = f"there are: {', '.join(known[:_GENRES_NAMED])}{more}" if known else "there are none"
    hint = did_you_mean(genre, connection.execute(query).scalars().all())
    raise InvalidArgumentError(f"no song is of genre {genre!r}{hint}; {there}")


def list_songs(
    connection: Connection,
    where: SongFilter,
    limit: int | None = None,
    *,
    after: str | None = None,
    further: Sequence[Column[Any]] = (),
) -> pd.DataFrame:
    """List songs by item id, as in Fig. 7A of the patent.

    Examples:
        >>> from recsys.database import Catalog, Song
        >>> catalog = Catalog.in_memory()
        >>> scores = {"genre": {"jazz": 0.8, "rock": 0.2}}
        >>> catalog.fill([Song("s1", title="Blue", genre="jazz", scores=scores)])
        >>> with catalog.transaction() as connection:
        ...     songs = list_songs(connection, SongFilter())
        >>> songs[["title", "predicted_genre", "probability_genre"]].to_dict("records")
        [{'title': 'Blue', 'predicted_genre': 'jazz', 'probability_genre': 0.8}]

    Args:
        connection: an open transaction of a catalog or a SongDatabase.
        where: which songs.
        limit: number of songs at most; None for all.
        after: only songs whose id sorts after this one, for paging.
        further: further columns of the table `songs`, such as `embedding`.

    Returns:
        title, artist, album, genre, item_id; for each predicted tag `predicted_TAG`, its most
        probable value (None for a song without recording; of genres among eras, voices and moods
        the most probable genre, as `recsys.database.heard` says), and `probability_TAG`;
        `familiarity` (`recsys.content.familiarity`; NaN where it is not known); then the `further`
        columns.
    """
    page = _page(where, limit, after)
    (familiarity,) = (c for c in song_columns(connection) if c.name == "familiarity")
    columns = (*_SHOWN, familiarity, *further)
    frame = pd.DataFrame(
        connection.execute(page.with_only_columns(*columns)).all(),
        columns=[column.name for column in columns],
        dtype=object,
    )
    ids = page.with_only_columns(songs.c.item_id).subquery()
    best = _best_values(connection, ids)
    for tag in predicted_tags(connection):
        found = [best.get((tag, item), (None, None)) for item in frame[ITEM_ID]]
        frame[f"predicted_{tag}"] = pd.Series([name for name, _ in found], dtype=object)
        frame[f"probability_{tag}"] = pd.Series([score for _, score in found], dtype=float)
    frame["familiarity"] = frame["familiarity"].astype(float)
    names = ["familiarity", *(column.name for column in further)]
    return frame[[name for name in frame.columns if name not in names] + names]


def _best_values(connection: Connection, ids: Subquery) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the value of each tag and item (of these ids) that stands for all, and its score."""
    best = _most_probable(connection, ids)
    values: dict[str, dict[str, int]] = {}
    for genre_id, tag, name in connection.execute(
        select(genres.c.genre_id, genres.c.tag, genres.c.name)
    ):
        values.setdefault(tag, {})[name] = genre_id
    named = genres_among(values)
    if not named:
        return best
    total = func.sum(scores.c.score)
    several = connection.execute(
        select(genres.c.tag, scores.c.item_id)
        .join(ids, ids.c.item_id == scores.c.item_id)
        .join(genres, genres.c.genre_id == scores.c.genre_id)
        .group_by(genres.c.tag, scores.c.item_id)
        .having(func.abs(total - 1) > 1e-3)
    )
    keys = {(tag, item) for tag, item in several}
    chosen = [values[tag][name] for tag, names in named.items() for name in names]
    of_genres = _most_probable(connection, ids, chosen)
    return best | {key: value for key, value in of_genres.items() if key in keys}


def _most_probable(
    connection: Connection, ids: Subquery, only: Sequence[int] | None = None
) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the most probable value of each tag and item, of all values or of some."""
    order = func.row_number().over(
        partition_by=(scores.c.item_id, genres.c.tag),
        order_by=(scores.c.score.desc(), scores.c.genre_id),
    )
    query = (
        select(scores.c.item_id, genres.c.tag, genres.c.name, scores.c.score, order.label("rank"))
        .join(ids, ids.c.item_id == scores.c.item_id)
        .join(genres, genres.c.genre_id == scores.c.genre_id)
    )
    if only is not None:
        query = query.where(genres.c.genre_id.in_(only))
    ranked = query.subquery()
    return {
        (row.tag, row.item_id): (row.name, row.score)
        for row in connection.execute(select(ranked).where(ranked.c.rank == 1))
    }


def list_scores(
    connection: Connection,
    where: SongFilter,
    limit: int | None = None,
    *,
    after: str | None = None,
) -> pd.DataFrame:
    """List predicted probabilities by item id, as in Fig. 7B of the patent.

    Examples:
        >>> from recsys.database import Catalog, Song
        >>> catalog = Catalog.in_memory()
        >>> catalog.fill([Song("s1", scores={"genre": {"jazz": 0.8, "rock": 0.2}})])
        >>> with catalog.transaction() as connection:
        ...     list_scores(connection, SongFilter())[["item_id", "genre", "score"]].values.tolist()
        [['s1', 'jazz', 0.8], ['s1', 'rock', 0.2]]

    Args:
        connection: an open transaction of a catalog or a SongDatabase.
        where: which songs; those without predictions have no rows.
        limit: number of songs at most, each of which has several rows; None for all.
        after: only songs whose id sorts after this one, for paging.

    Returns:
        One row per song and value: item_id, genre_id, tag, genre (the value), score (its
        probability).
    """
    page = _page(replace(where, scored=True), limit, after)
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
    """Return the predicted tags, the network's first tag first."""
    query = select(genres.c.tag).group_by(genres.c.tag).order_by(func.min(genres.c.genre_id))
    return list(connection.execute(query).scalars())


def page_starts(connection: Connection, where: SongFilter, size: int) -> Iterator[str | None]:
    """Iterate over pages of `size` songs: the id to pass as `after` (None for the first page)."""
    before: str | None = None
    while True:
        page = _page(where, size, before).with_only_columns(songs.c.item_id).subquery()
        last = connection.execute(select(func.max(page.c.item_id))).scalar()
        if last is None:
            return
        yield before
        before = last


def _page(where: SongFilter, limit: int | None, after: str | None) -> Select[Any]:
    # With a search, this form of the order makes SQLite use the small index for searches instead
    # of going through all songs by id.
    order = songs.c.item_id if where.search is None else songs.c.item_id + ""
    query = where.apply(select(songs)).order_by(order)
    if after is not None:
        query = query.where(songs.c.item_id > after)
    return query if limit is None else query.limit(limit)


_PAGE = 5000
"""Songs written at once."""

_EMBEDDING = "embedding"


def export_songs(
    connection: Connection,
    path: Path,
    where: SongFilter | None = None,
    *,
    scores: bool = False,
    advance: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write songs, or their predicted scores, to a CSV or Parquet file.

    Songs have the columns of ``list_songs``, `tags` (JSON object of tags given with the data)
    and `onboarded` (order of arrival), in Parquet also `embedding` (list of float32).

    Examples:
        >>> from recsys.database import Catalog, Song
        >>> catalog = Catalog.in_memory()
        >>> catalog.fill([Song("s1", title="Blue"), Song("s2", title="Red")])
        >>> with catalog.transaction() as connection:
        ...     export_songs(connection, folder / "songs.csv")
        2
        >>> pd.read_csv(folder / "songs.csv")["title"].tolist()
        ['Blue', 'Red']

    Args:
        connection: an open transaction of a catalog or a SongDatabase.
        path: file to write, ending in .csv or .parquet.
        where: which songs; None for all.
        scores: write the rows of ``list_scores`` instead.
        advance: called with the number of rows of each page written, for progress bars.

    Returns:
        Number of rows written.

    Raises:
        InvalidArgumentError: another file ending.
        ArtifactError: the file cannot be written; an existing file is left as it was.
    """
    ending = check_export(path)
    where = where or SongFilter()
    if scores:
        where = replace(where, scored=True)
    frames = _frames(connection, where, scores, ending == ".parquet")
    try:
        with atomic_write(path) as temporary:
            write = _write_parquet if ending == ".parquet" else _write_csv
            return write(temporary, frames, advance)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_export(path: Path) -> str:
    """Return the ending of an export file.

    Raises:
        InvalidArgumentError: it is neither .csv nor .parquet.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InvalidArgumentError(f"{path}: must end in .csv or .parquet")
    return ending


def _frames(
    connection: Connection, where: SongFilter, scores: bool, with_embeddings: bool
) -> Iterator[pd.DataFrame]:
    """Iterate over pages of rows; at least one frame, as an empty file has columns too."""
    starts = list(page_starts(connection, where, _PAGE))
    for after in starts or [None]:
        if scores:
            yield list_scores(connection, where, _PAGE, after=after)
            continue
        further = [songs.c.tags, songs.c.onboarded]
        if with_embeddings:
            further.append(songs.c.embedding)
        frame = list_songs(connection, where, _PAGE, after=after, further=further)
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
            write_spreadsheet(frame, stream, header=number == 0)
            rows += len(frame)
            advance(len(frame))
    return rows


def _write_parquet(
    path: Path, frames: Iterator[pd.DataFrame], advance: Callable[[int], object]
) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(frames)
    # Fixed beforehand: a page without any value in a column does not show its type.
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
