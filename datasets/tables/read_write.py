"""Read and write one table as CSV or Parquet; values come back exactly as written."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.arrays import StrArray
from datasets.errors import DataError
from datasets.system.files import atomic_write, open_regular
from datasets.tables.checks import Origin
from datasets.tables.frames import as_frame, name_key, to_series
from datasets.tables.values import id_text, object_array

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS = (",", ";", "\t")

_BATCH = 1024

TABLE_SUFFIXES = (
    ".csv",
    ".parquet",
    ".tsv",
    *(f"{text}.{packed}" for text in (".csv", ".tsv") for packed in ("gz", "bz2", "xz", "zst")),
)
"""What the names of tables of a data set end in."""


@dataclass(frozen=True)
class RawTable:
    """A table as read from a file, and how error messages name its rows."""

    frame: pd.DataFrame
    origin: Origin


def read_table(path: Path, expected: Sequence[str]) -> RawTable:
    r"""Read a table, CSV or Parquet by its content; text stays text.

    A CSV file may be compressed (gzip, bzip2, xz, Zstandard), UTF-8 or UTF-16, and separated by
    commas, semicolons or tabs; of the latter two, weights may have decimal commas. A Parquet table
    may be a folder of files, as batch jobs write it.

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
        is_parquet = (
            path.suffix == ".parquet"
            or (path.is_dir() and any(path.glob("*.parquet")))
            or _first_bytes(path).startswith(_PARQUET)
        )
        return _read_parquet(path) if is_parquet else _read_csv(path, expected)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def read_ids(path: Path, column: str, *, is_id: Callable[[str], bool]) -> Iterator[str]:
    r"""Read ids from a file: one a line, or the column of that name of a table with a header.

    Lines are read as the ids are, so that memory does not grow with the file.

    Args:
        path: a text file, or a table that `read_table` reads.
        column: the column of a table.
        is_id: tells whether a first line that looks like the header of a table is an id after all.

    Raises:
        DataError: the file cannot be read, or has something that is no id; the line is named.

    Examples:
        >>> _ = (folder / "users.txt").write_text("user_id\nann\nbob\n")
        >>> list(read_ids(folder / "users.txt", "user_id", is_id=lambda text: False))
        ['ann', 'bob']
    """
    try:
        if path.suffix == ".parquet" or _first_bytes(path).startswith(_PARQUET):
            table = _read_parquet(path)
            frame = as_frame(table.frame, table.origin.name, [column])
            if column not in frame:
                raise DataError(f"{path}: column {column!r} missing")
            numbered: Iterable[tuple[int, object]] = enumerate(frame[column], 1)
            place = "row"
        else:
            numbered, place = _lines_or_column(path, column, is_id), "line"
        for number, value in numbered:
            try:
                yield id_text(value)
            except ValueError as error:
                raise DataError(f"{path}, {place} {number}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _lines_or_column(
    path: Path, column: str, is_id: Callable[[str], bool]
) -> Iterator[tuple[int, str]]:
    """Yield the ids of a text file with their lines; blank lines do not count."""
    separator = _separator(path, [column])
    try:
        header = next(_records(path, separator), (1, []))[1]
    except DataError:  # lone quotes, as an id may have
        header = []
    named = [place for place, name in enumerate(header) if name_key(name) == name_key(column)]
    if not named or (len(header) == 1 and is_id(header[0].strip())):
        with open_text(path) as stream:
            try:
                for number, line in enumerate(stream, 1):
                    if text := line.strip():
                        yield number, text
            except UnicodeDecodeError:
                raise DataError(_encoding_problem(path)) from None
        return
    if len(named) > 1:
        raise DataError(f"{path}: two columns are named {column!r}")
    for number, fields in islice(_records(path, separator), 1, None):
        if len(fields) != len(header):
            raise DataError(f"{path}, line {number}: {_ragged_problem(fields, header)}")
        yield number, fields[named[0]]


_PARQUET = b"PAR1"
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_FOREIGN = {
    b"PK\x03\x04": "a workbook or archive; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the table as CSV",
    b"ARROW1": "an Arrow (Feather) file; save the table as Parquet or CSV",
    b"SQLite f": "an SQLite database; save the table as CSV",
    b"%PDF": "a PDF document",
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _first_bytes(path: Path) -> bytes:
    with open_regular(path) as stream:
        return stream.read(8)


@contextmanager
def _open_bytes(path: Path) -> Iterator[Any]:
    """Open a file, decompressed; what is compressed is told by its content."""
    start = _first_bytes(path)
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"{path} is {what}")
    try:
        if start.startswith(_ZSTANDARD):
            import pyarrow as pa

            with pa.CompressedInputStream(str(path), "zstd") as packed:
                yield io.BufferedReader(packed)
            return
        opened = next((how for magic, how in _COMPRESSED.items() if start.startswith(magic)), None)
        with open_regular(path) if opened is None else opened(path, "rb") as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {error}") from None


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    r"""Open a text file, decompressed and decoded; line ends stay as they are.

    Args:
        path: UTF-8, or UTF-16 or UTF-32 with a byte order mark; plain or compressed.

    Raises:
        DataError: it is no text file, or a damaged archive.

    Examples:
        >>> _ = (folder / "a.csv").write_text("a;b\n", encoding="utf-16")
        >>> with open_text(folder / "a.csv") as stream:
        ...     stream.read()
        'a;b\n'
    """
    with _open_bytes(path) as binary:
        start = binary.peek(4)[:4]
        encoding = next((name for mark, name in _BOMS.items() if start.startswith(mark)), "")
        if not encoding and len(start) == 4 and start[1] == start[3] == 0 != start[0]:
            encoding = "utf-16-le"
        with io.TextIOWrapper(binary, encoding=encoding or "utf-8-sig", newline="") as stream:
            yield stream


def _read_csv(path: Path, expected: Sequence[str]) -> RawTable:
    separator = _separator(path, expected)
    header = next(_records(path, separator), None)
    if header is None:
        raise DataError(f"{path} is empty; a header line with the column names is expected")
    names = header[1]
    try:
        columns = _read_columns(path, separator, len(names))
    except (csv.Error, UnicodeError, _RaggedError):
        # Slower, one record at a time, to find the line.
        for line, fields in _records(path, separator):
            if len(fields) != len(names):
                raise DataError(f"{path}, line {line}: {_ragged_problem(fields, names)}") from None
        raise DataError(f"{path} changed while it was read") from None
    if separator != ",":
        columns = [
            _with_points(column) if name_key(name) == c.WEIGHT else column
            for name, column in zip(names, columns, strict=True)
        ]
    series = [pd.Series(column, dtype=object) for column in columns]
    frame = pd.concat(series, axis="columns").set_axis(names, axis="columns")

    def place(row: int) -> str:
        record = next(islice(_records(path, separator), row + 1, None), None)
        return f"row {row + 1}" if record is None else f"line {record[0]}"

    return RawTable(frame, Origin(str(path), place))


def _with_points(column: StrArray) -> StrArray:
    """Write decimal commas as points, if that is plainly what they are.

    Where all of them could stand between thousands (1,250), or a point occurs, nothing is changed.
    """
    distinct = {text: text.strip() for text in set(column)}
    commas = [text for text in distinct.values() if "," in text]
    if not commas or any("." in text for text in distinct.values()):
        return column
    if not all(_DECIMAL_COMMA.fullmatch(text) for text in commas):
        return column
    if all(_THOUSANDS.fullmatch(text) for text in commas):
        return column
    pointed = {text: short.replace(",", ".") for text, short in distinct.items()}
    return object_array(map(pointed.__getitem__, column))


_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


class _RaggedError(Exception):
    """A record has more or fewer values than the header."""


def _ragged_problem(fields: list[str], names: list[str]) -> str:
    return f"{len(fields)} values, but the header names {len(names)} columns"


def _read_columns(path: Path, separator: str, width: int) -> list[StrArray]:
    """Read every column below the header.

    Records are read in batches into arrays: with tens of millions of values in lists, Python's
    garbage collector would traverse all of them again and again.
    """
    parts: list[list[StrArray]] = [[object_array(())] for _ in range(width)]
    seen: list[dict[str, str]] = [{} for _ in range(width)]
    with open_text(path) as stream:
        lines, _ = _below_declaration(stream)
        reader = csv.reader(lines, delimiter=separator, strict=True)
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
    """Return the separator that the file declares, or under which its header fits best.

    That is the one under which it has most expected columns, then most columns.
    """
    with open_text(path) as stream:
        try:
            declared = _DECLARATION.fullmatch(stream.readline().strip("\r\n"))
        except UnicodeError:
            raise DataError(_encoding_problem(path)) from None
    if declared is not None:
        return declared[1]
    keys = {name_key(name) for name in expected}

    def score(separator: str) -> tuple[int, int]:
        try:
            header = next(_records(path, separator), (1, []))[1]
        except DataError:  # quotes make no sense under a wrong separator
            return -1, 0
        return len({name_key(name) for name in header} & keys), len(header)

    return max(_SEPARATORS, key=score)


_DECLARATION = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""The first line of a file of Excel that names the separator."""


def _below_declaration(stream: TextIO) -> tuple[Iterable[str], int]:
    """The lines of a file below the one that names the separator, and how many were skipped."""
    first = stream.readline()
    if _DECLARATION.fullmatch(first.strip("\r\n")):
        return stream, 1
    return chain([first], stream), 0


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, fields) of every record, header included, blank lines skipped."""
    line = 1
    try:
        with open_text(path) as stream:
            lines, skipped = _below_declaration(stream)
            line += skipped
            reader = csv.reader(lines, delimiter=separator, strict=True)
            for fields in reader:
                if fields:
                    yield line, fields
                line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {_csv_problem(str(error))}") from None
    except UnicodeError:
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
    with _open_bytes(path) as stream:
        content = stream.read()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{path} is not valid UTF-16; save it as UTF-8"
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

    parts = [_read_part(part) for part in _parquet_parts(path)]
    schema = parts[0].schema
    try:
        table = parts[0]
        if len(parts) > 1:  # a column may be empty throughout one of them
            table = pa.concat_tables(parts, promote_options="default").unify_dictionaries()
        series = [
            to_series(column, name, of_texts=True)
            for name, column in zip(schema.names, table.columns, strict=True)
            if not _is_pandas_index(name, schema)
        ]
    # Damaged files have invalid sizes and text.
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(_not_parquet(path, error)) from None
    frame = pd.concat(series, axis="columns") if series else pd.DataFrame()
    return RawTable(frame, Origin(str(path)))


def _parquet_parts(path: Path) -> list[Path]:
    """The file itself, or the files of a folder as batch jobs write them, by name.

    Raises DataError for a folder that is not whole.
    """
    if not path.is_dir():
        return [path]
    if (path / "_temporary").exists():
        raise DataError(f"{path} is not whole: the job that writes it goes on, or was stopped")
    parts = sorted(
        part
        for part in path.iterdir()
        if part.suffix == ".parquet" and not part.name.startswith((".", "_"))
    )
    if not parts:
        raise DataError(f"{path} is a folder, and no Parquet file is in it")
    return parts


def _read_part(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
        # Dictionary columns store each id once instead of once per play.
        texts = [field.name for field in schema if _is_text(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(_not_parquet(path, error)) from None


def _not_parquet(path: Path, error: BaseException) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{path} is not a Parquet file that can be read: {reason}"


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_pandas_index(name: str, schema: "pa.Schema") -> bool:
    """Return whether a column is a row index that pandas saved with the table."""
    metadata = schema.pandas_metadata or {}
    return name.startswith("__index_level_") and name in metadata.get("index_columns", ())


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
