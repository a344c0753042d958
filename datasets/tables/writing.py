"""Writing one table, CSV or Parquet, so that reading.py gives back the very same values."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets.files import atomic_write

_LARGEST_EXACT = 2.0**53


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a normalised table atomically; the name of ``path`` decides the format."""
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(table, temporary)
        else:
            _write_csv(table, temporary)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    texts = [table.columns, *(column for _, column in table.items() if column.dtype == object)]
    # The csv module quotes a lone carriage return only where it is part of the line end.
    returns = any("\r" in text for column in texts for text in set(column))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n" if returns else "\n")
        writer.writerow(table.columns)
        writer.writerows(zip(*(_values(table[name]) for name in table.columns), strict=True))


def _values(column: "pd.Series[Any]") -> Iterable[Any]:
    if column.dtype == object:
        return column
    if column.dtype == np.float64:
        numbers = column.tolist()
        return (int(x) if x < _LARGEST_EXACT and x.is_integer() else x for x in numbers)
    times = column.to_numpy()
    whole = bool((times == times.astype("datetime64[s]")).all())
    texts: list[str] = np.datetime_as_string(times, unit="s" if whole else "ns").tolist()
    return texts


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def arrow(column: "pd.Series[Any]") -> Any:
        return pa.array(column, type=pa.large_string() if column.dtype == object else None)

    arrays = [arrow(table[name]) for name in table.columns]
    content = pa.table(arrays, names=list(table.columns))
    pq.write_table(content, path, write_page_checksum=True)
