"""Reading one table, CSV or Parquet, exactly as it is written: text stays text."""

import codecs
import csv
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.checks import Origin
from datasets.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

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
            try:
                header = next(_records(path, stream, separator), (1, []))[1]
            except DataError:  # quotes make no sense under a wrong separator
                return -1, 0
        return len({name.strip() for name in header} & set(expected)), len(header)

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
        raise DataError(f"{path}, line {line}: {_csv_problem(str(error))}") from None
    except UnicodeDecodeError:
        raise DataError(_encoding_problem(path)) from None


def _csv_problem(reason: str) -> str:
    if reason == "unexpected end of data":
        return "a quoted value begins here and has no closing quote"
    if reason.startswith("field larger"):
        return f"a value is longer than {csv.field_size_limit():,} characters; is a quote open?"
    if reason.endswith("expected after '\"'"):
        return "text follows a closing quote; quotes inside a quoted value are written twice"
    return f"this is not valid CSV: {reason}"


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
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
        # A dictionary holds an id once, not once per play.
        texts = [field.name for field in schema if _is_text(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a Parquet file that can be read: {reason}") from None
    kept = [
        position for position, name in enumerate(schema.names) if not _is_pandas_index(name, schema)
    ]
    series = [_to_series(table.column(position), schema.names[position]) for position in kept]
    frame = pd.concat(series, axis="columns") if series else pd.DataFrame()
    return RawTable(frame, Origin(str(path)))


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_pandas_index(name: str, schema: "pa.Schema") -> bool:
    """Row numbers that pandas saved beside the columns, which are no tag."""
    metadata = schema.pandas_metadata or {}
    return name.startswith("__index_level_") and name in metadata.get("index_columns", ())


def _to_series(column: "pa.ChunkedArray", name: str) -> "pd.Series[Any]":
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind) and name == c.WEIGHT:
        column = column.cast(pa.float64())
    elif pa.types.is_integer(kind) and name not in (c.WEIGHT, c.TIMESTAMP):
        column = column.cast(pa.string())  # exact even where some are missing
    elif pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
    series: pd.Series[Any] = column.to_pandas()
    return series.rename(name)
