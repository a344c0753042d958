"""Songs or scores of a song database as a CSV or Parquet file, page by page."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.files import atomic_write
from recsys.database.queries import Choice, list_scores, list_songs, page_starts
from recsys.database.schema import songs

_PAGE = 5000
"""Songs that are written at once."""

_EMBEDDING = "embedding"


def export(
    connection: Connection,
    path: Path,
    choice: Choice | None = None,
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
    wanted = replace(choice or Choice(), heard=True) if scores else choice or Choice()
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
    connection: Connection, choice: Choice, scores: bool, with_embeddings: bool
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
