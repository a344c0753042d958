"""Reading one table, CSV or Parquet, exactly as it is written: text stays text."""

import codecs
import csv
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.checks import Origin
from datasets.errors import DataError

_SEPARATORS = (",", ";", "\t")
_CHUNK = 65_536


@dataclass(frozen=True)
class RawTable:
    """A table as its file has it, and how to name its rows in a message."""

    frame: pd.DataFrame
    origin: Origin


def read_table(path: Path, expected: Sequence[str]) -> RawTable:
    """The table at ``path``; its name decides the format, ``expected`` columns the separator.

    Raises :class:`~datasets.errors.DataError` for a file that is no such table.
    """
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, expected)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


class _Lines:
    """Line on which every record begins; only where quoted line ends or blank lines shift it."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._offsets: list[int] = []

    def add(self, row: int, line: int) -> None:
        if not self._offsets or self._offsets[-1] != line - row:
            self._rows.append(row)
            self._offsets.append(line - row)

    def __call__(self, row: int) -> str:
        return f"line {row + self._offsets[bisect_right(self._rows, row) - 1]}"


def _read_csv(path: Path, expected: Sequence[str]) -> RawTable:
    separator = _separator(path, expected)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        records = _records(path, stream, separator)
        header = next(records, (1, []))[1]
        if not header:
            raise DataError(f"{path} is empty; a header line with the column names is expected")
        lines = _Lines()
        columns: list[list[str]] = [[] for _ in header]
        seen: list[dict[str, str]] = [{} for _ in header]
        chunk: list[list[str]] = []

        def flush() -> None:
            # Equal texts become one object: a user's id is kept once, not once per play.
            for column, known, values in zip(columns, seen, zip(*chunk, strict=True), strict=False):
                column.extend(map(known.setdefault, values, values))
            chunk.clear()

        for row, (line, fields) in enumerate(records):
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {line}: {len(fields)} values,"
                    f" but the header names {len(header)} columns"
                )
            lines.add(row, line)
            chunk.append(fields)
            if len(chunk) == _CHUNK:
                flush()
        flush()
    arrays = [pd.Series(np.array(column, dtype=object), dtype=object) for column in columns]
    frame = pd.concat(arrays, axis="columns").set_axis(header, axis="columns")
    return RawTable(frame, Origin(str(path), lines))


def _separator(path: Path, expected: Sequence[str]) -> str:
    """The separator under which the header names most of the expected columns, then most."""

    def score(separator: str) -> tuple[int, int]:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = [name.strip() for name in next(_records(path, stream, separator), (1, []))[1]]
        return len(set(header) & set(expected)), len(header)

    return max(_SEPARATORS, key=score)


def _records(path: Path, stream: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line it begins on, fields) of every record that is not a blank line."""
    reader = csv.reader(stream, delimiter=separator, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: not valid CSV: {error}") from None
    except UnicodeDecodeError:
        raise DataError(_encoding_problem(path)) from None


def _encoding_problem(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{path} is UTF-16; save it as UTF-8"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.count(b"\n") + 1
        byte = content[error.start]
        return f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
    return f"{path} changed while it was read"


def _read_parquet(path: Path) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a Parquet file that can be read: {reason}") from None
    names, arrays = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name.startswith("__index_level_"):
            continue  # pandas' row numbers are no tag
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        if pa.types.is_integer(column.type) and name not in (c.WEIGHT, c.TIMESTAMP):
            column = column.cast(pa.string())  # exact even where some are missing
        series = column.to_pandas()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            series = series.astype(object)
        names.append(name)
        arrays.append(series)
    frame = pd.concat(arrays, axis="columns") if arrays else pd.DataFrame()
    return RawTable(frame.set_axis(names, axis="columns"), Origin(str(path)))
