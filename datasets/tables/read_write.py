"""Read and write one table as CSV or Parquet; values come back exactly as written."""

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.arrays import StrArray
from datasets.errors import DataError
from datasets.files import atomic_write
from datasets.tables.checks import Origin
from datasets.tables.values import object_array

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS = (",", ";", "\t")

_BATCH = 1024


@dataclass(frozen=True)
class RawTable:
    """A table as read from a file, and how error messages name its rows."""

    frame: pd.DataFrame
    origin: Origin


def read_table(path: Path, expected: Sequence[str]) -> RawTable:
    r"""Read a table, CSV or Parquet by suffix; text stays text.

    Args:
        path: the file.
        expected: usual column names, by which the separator of a CSV file is chosen.

    Returns:
        The frame, and its origin for error messages.

    Raises:
        DataError: if the file is not such a table.

    Examples:
        >>> _ = (folder / "items.csv").write_text("item_id;year\n007;1962\n")
        >>> read_table(folder / "items.csv", ["item_id"]).frame.values.tolist()
        [['007', '1962']]
    """
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, expected)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_csv(path: Path, expected: Sequence[str]) -> RawTable:
    separator = _separator(path, expected)
    header = next(_records(path, separator), None)
    if header is None:
        raise DataError(f"{path} is empty; a header line with the column names is expected")
    names = header[1]
    try:
        columns = _read_columns(path, separator, len(names))
    except (csv.Error, UnicodeDecodeError, _RaggedError):
        # Slower, one record at a time, to find the line.
        for line, fields in _records(path, separator):
            if len(fields) != len(names):
                problem = f"{len(fields)} values, but the header names {len(names)} columns"
                raise DataError(f"{path}, line {line}: {problem}") from None
        raise DataError(f"{path} changed while it was read") from None
    series = [pd.Series(column, dtype=object) for column in columns]
    frame = pd.concat(series, axis="columns").set_axis(names, axis="columns")

    def place(row: int) -> str:
        record = next(islice(_records(path, separator), row + 1, None), None)
        return f"row {row + 1}" if record is None else f"line {record[0]}"

    return RawTable(frame, Origin(str(path), place))


class _RaggedError(Exception):
    """A record has more or fewer values than the header."""


def _read_columns(path: Path, separator: str, width: int) -> list[StrArray]:
    """Read every column below the header.

    Records are read in batches into arrays: with tens of millions of values in lists, Python's
    garbage collector would traverse all of them again and again.
    """
    parts: list[list[StrArray]] = [[object_array(())] for _ in range(width)]
    seen: list[dict[str, str]] = [{} for _ in range(width)]
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        records = filter(None, reader)  # a blank line is an empty record
        next(records)
        while batch := list(islice(records, _BATCH)):
            if set(map(len, batch)) != {width}:
                raise _RaggedError
            for part, known, values in zip(parts, seen, zip(*batch, strict=True), strict=True):
                # Equal texts share one object: a user's id is kept once, not once per play.
                part.append(object_array(map(known.setdefault, values, values)))
    return [np.concatenate(part) for part in parts]


def _separator(path: Path, expected: Sequence[str]) -> str:
    """Return the separator under which the header has most expected columns, then most columns."""

    def score(separator: str) -> tuple[int, int]:
        try:
            header = next(_records(path, separator), (1, []))[1]
        except DataError:  # quotes make no sense under a wrong separator
            return -1, 0
        return len({name.strip() for name in header} & set(expected)), len(header)

    return max(_SEPARATORS, key=score)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, fields) of every record, header included, blank lines skipped."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
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
        # Dictionary columns store each id once instead of once per play.
        texts = [field.name for field in schema if _is_text(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            table = file.read()
        series = [
            _to_series(column, name)
            for name, column in zip(schema.names, table.columns, strict=True)
            if not _is_pandas_index(name, schema)
        ]
    # Damaged files have invalid sizes and text.
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not a Parquet file that can be read: {reason}") from None
    frame = pd.concat(series, axis="columns") if series else pd.DataFrame()
    return RawTable(frame, Origin(str(path)))


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_pandas_index(name: str, schema: "pa.Schema") -> bool:
    """Return whether a column is a row index that pandas saved with the table."""
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


_LARGEST_EXACT = 2.0**53


def write_table(table: pd.DataFrame, path: Path) -> None:
    r"""Write a normalised table atomically, CSV or Parquet by suffix.

    Args:
        table: columns of normalised values, as `read_table` returns them.
        path: the file, ending in .csv or .parquet.

    Examples:
        >>> table = pd.DataFrame({"item_id": pd.Series(["a"], dtype=object), "weight": [2.0]})
        >>> write_table(table, folder / "t.csv")
        >>> (folder / "t.csv").read_text()
        'item_id,weight\na,2\n'
    """
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
