"""Read item embeddings from a file: NumPy's .npz, Parquet or CSV."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID
from datasets.errors import DataError
from datasets.image_arrays import read_npz
from datasets.tables.frames import embedding_frame, name_key
from datasets.tables.read_write import read_table
from datasets.tables.values import format_value

EMBEDDING = "embedding"
"""Name of the array of an .npz file, or of a column of lists, with one vector per item."""


def read_embedding_file(path: str | Path) -> pd.DataFrame:
    r"""Read embeddings of items, as `Recommender.fit` takes them.

    - .npz: arrays ``item_id`` [n] and ``embedding`` [n, dimensions];
    - Parquet: a column item_id and a column for each dimension, or a column ``embedding`` of lists;
    - a folder of Parquet files with item_id and ``embedding``, one recording a row, as
      `coldtune spark embed` writes: those of an item are averaged, recordings without one are left
      out;
    - CSV (or what else `read_table` reads): a column item_id and a column for each dimension.

    Values that are missing or not finite are kept: whoever uses them knows which items matter.

    Args:
        path: the file.

    Returns:
        Index item_id (text), one column of numbers a dimension.

    Raises:
        DataError: it cannot be read, has no ids or no numbers; the row and column are named.

    Examples:
        >>> _ = (folder / "e.csv").write_text("item_id,x,y\ns1,0.5,2\ns2,1,\n")
        >>> read_embedding_file(folder / "e.csv").values.tolist()
        [[0.5, 2.0], [1.0, nan]]
        >>> np.savez(folder / "e.npz", item_id=np.array(["s1", "s2"]), embedding=np.eye(2))
        >>> read_embedding_file(folder / "e.npz").index.tolist()
        ['s1', 's2']
    """
    path = Path(path)
    if os.path.isdir(path):  # noqa: PTH112  # `Path.is_dir` raises for too long a name
        return _of_folder(path)
    frame = _of_npz(path) if path.suffix.lower() == ".npz" else _of_table(path)
    if frame.empty:
        what = "rows" if not len(frame) else f"columns beside {ITEM_ID}"
        raise DataError(f"{path}: has no {what}")
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise DataError(f"{path}: item {format_value(twice[0])} has more than one row")
    return frame


def _of_folder(path: Path) -> pd.DataFrame:
    if not any(part.suffix == ".parquet" for part in path.iterdir()):
        raise DataError(f"{path}: a file of embeddings is expected, and this is a folder")
    table = read_table(path, [ITEM_ID])
    frame = embedding_frame(table.frame, str(path))
    if EMBEDDING not in frame:
        there = ", ".join(map(format_value, frame.columns[:8])) or "none"
        raise DataError(f"{path}: column {EMBEDDING!r} missing; there are: {there}")
    known = frame.loc[frame[EMBEDDING].notna(), [EMBEDDING]]
    if not len(known):
        raise DataError(f"{path}: no recording has an embedding")
    vectors = _of_lists(known, path)
    return vectors.groupby(level=0, sort=False).mean()


def _of_npz(path: Path) -> pd.DataFrame:
    arrays = read_npz(path)
    there = ", ".join(map(format_value, arrays)) or "none"
    for name in (ITEM_ID, EMBEDDING):
        if name not in arrays:
            raise DataError(f"{path}: array {name!r} missing; there are: {there}")
    ids, vectors = arrays[ITEM_ID], arrays[EMBEDDING]
    if ids.ndim != 1 or vectors.ndim != 2 or len(ids) != len(vectors):
        raise DataError(
            f"{path}: {ITEM_ID!r} [n] and {EMBEDDING!r} [n, dimensions] are expected, not "
            f"{list(ids.shape)} and {list(vectors.shape)}"
        )
    if vectors.dtype.kind not in "iuf":
        raise DataError(f"{path}: {EMBEDDING!r} holds {vectors.dtype}, not numbers")
    return embedding_frame(pd.DataFrame(vectors, index=pd.Index(ids)), str(path))


def _of_table(path: Path) -> pd.DataFrame:
    table = read_table(path, [ITEM_ID])
    if not any(name_key(str(name)) == name_key(ITEM_ID) for name in table.frame):
        names = ", ".join(map(format_value, table.frame.columns[:8])) or "none"
        raise DataError(f"{path}: column {ITEM_ID!r} missing; there are: {names}")
    frame = embedding_frame(table.frame, str(path))
    if list(frame.columns) == [EMBEDDING] and frame[EMBEDDING].dtype == object and len(frame):
        return _of_lists(frame, path)
    numbers = {name: _numbers(frame[name], path) for name in frame.columns}
    return pd.DataFrame(numbers, index=frame.index)


def _of_lists(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One vector in each row."""
    vectors: list[np.ndarray[tuple[int], np.dtype[Any]]] = []
    for row, value in enumerate(frame[EMBEDDING], 1):
        vector = np.asarray(value)
        if vector.ndim != 1 or vector.dtype.kind not in "iuf":
            raise DataError(f"{path}, row {row}: {EMBEDDING!r} is no list of numbers")
        if len(vector) != len(vectors[0] if vectors else vector):
            raise DataError(
                f"{path}, row {row}: {len(vector)} numbers, and {len(vectors[0])} in row 1"
            )
        vectors.append(vector)
    return pd.DataFrame(np.stack(vectors), index=frame.index)


def _numbers(column: "pd.Series[str]", path: Path) -> "pd.Series[float]":
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return column.astype(float)
    # An empty field of a CSV file is a value that is missing.
    given = column.replace("", None)
    numbers = pd.to_numeric(given, errors="coerce").astype(float)
    texts = given.fillna("nan").astype(str).str.strip().str.lower()
    wrong = np.flatnonzero(numbers.isna() & (texts != "nan"))
    if len(wrong):
        value = format_value(column.iloc[wrong[0]])
        raise DataError(
            f"{path}, row {wrong[0] + 1}: {value} in column {format_value(column.name)} is no "
            f"number; beside {ITEM_ID} all columns must be numbers"
        )
    return numbers
