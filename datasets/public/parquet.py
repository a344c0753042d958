"""Write interactions and embeddings to Parquet row by row, in bounded memory; read embeddings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.errors import DataError
from datasets.system.files import atomic_write

EMBEDDINGS_FILE: Final = "embeddings.parquet"
"""File of a data set's item embeddings: `item_id` and `embedding`, float32 [dimensions]."""

_ROWS: Final = 1 << 18

AddRow = Callable[..., None]
"""Adds one row: a value for each column, in order."""


@contextmanager
def parquet_writer(path: Path, schema: Any) -> Iterator[AddRow]:
    """Write a Parquet file of a pyarrow schema row by row, at most 262,144 rows in memory.

    The file is there, whole, when the block ends without an error.

    Yields:
        A function that adds a row, one argument for each column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer: list[tuple[Any, ...]] = []

    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def flush() -> None:
            values = zip(*buffer, strict=True)
            arrays = [pa.array(v, field.type) for v, field in zip(values, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            buffer.clear()

        def add(*row: Any) -> None:
            buffer.append(row)
            if len(buffer) == _ROWS:
                flush()

        yield add
        if buffer:
            flush()


@contextmanager
def interaction_writer(target: Path, *, times: bool) -> Iterator[AddRow]:
    """Write `interactions.parquet` row by row.

    Args:
        target: the folder.
        times: whether rows have a time.

    Yields:
        A function to call with user_id, item_id, weight and, if `times`, the time: a datetime
        without zone in UTC, or seconds since 1970.

    Examples:
        >>> with interaction_writer(folder, times=False) as add:
        ...     add("u1", "s1", 3.0)
        >>> pd.read_parquet(folder / "interactions.parquet").values.tolist()
        [['u1', 's1', 3.0]]
    """
    import pyarrow as pa

    fields = [(c.USER_ID, pa.string()), (c.ITEM_ID, pa.string()), (c.WEIGHT, pa.float64())]
    if times:
        fields.append((c.TIMESTAMP, pa.timestamp("s")))
    with parquet_writer(target / "interactions.parquet", pa.schema(fields)) as add:
        yield add


@contextmanager
def embedding_writer(folder: Path, width: int) -> Iterator[AddRow]:
    """Write `embeddings.parquet`; call the yielded function with item_id and `width` numbers."""
    import pyarrow as pa

    fields = [(c.ITEM_ID, pa.string()), ("embedding", pa.list_(pa.float32(), width))]
    with parquet_writer(folder / EMBEDDINGS_FILE, pa.schema(fields)) as add:
        yield add


def read_embeddings(folder: Path) -> pd.DataFrame:
    """Read the item embeddings that came with a public data set.

    Args:
        folder: the data set's folder, `dataset.root`.

    Returns:
        Index item_id, float32 [n_items, dimensions], as ``recsys.Recommender.fit`` takes it.

    Raises:
        DataError: if the folder has no embeddings.

    Examples:
        >>> with embedding_writer(folder, width=2) as add:
        ...     add("s1", [0.5, -0.5])
        >>> read_embeddings(folder).loc["s1"].tolist()
        [0.5, -0.5]
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / EMBEDDINGS_FILE
    try:
        table = pq.read_table(path).combine_chunks()
        values = table["embedding"].combine_chunks()
        width = values.type.list_size
        matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    except (OSError, KeyError, AttributeError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as item embeddings: {error}") from None
    ids = pd.Index(table[c.ITEM_ID].to_pylist(), dtype=object, name=c.ITEM_ID)
    return pd.DataFrame(matrix.astype(np.float32, copy=False), index=ids)
