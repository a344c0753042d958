"""Tables in memory, of pandas or another library, as pandas frames with the columns they are about.

Tables of polars, Arrow, DuckDB and others come by Arrow's stream of record batches or by the
dataframe interchange protocol. Whole numbers of columns of text become texts on the way, so that a
missing one does not make floats of the others.
"""

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.errors import DataError, DataWarning
from datasets.tables.ids import is_table
from datasets.tables.values import BadValueError, as_text, format_value
from datasets.texts.unicode_forms import caseless

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowStream(Protocol):
    """A table that gives its rows as a stream of Arrow's record batches: polars, DuckDB, Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class InterchangeFrame(Protocol):
    """A table with the dataframe interchange protocol."""

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any: ...


FrameLike = pd.DataFrame | ArrowStream | InterchangeFrame
"""A table in memory that can be read: a frame of pandas, polars, Arrow and others."""

_KEPT = (c.WEIGHT, c.TIMESTAMP)
"""Columns whose whole numbers are numbers."""


def as_frame(table: object, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table of any library as a pandas frame that has the expected columns as columns.

    Expected columns that are levels of the index become columns, and those that are spelt with
    other case, spaces or signs ("User ID") get their names, with a warning.

    Args:
        table: a frame of pandas, polars or Arrow, or anything that offers Arrow's stream of record
            batches or the dataframe interchange protocol.
        name: what it is, for messages.
        columns: the columns that it may have.

    Raises:
        DataError: it is no table, or a column comes twice.

    Examples:
        >>> songs = pd.DataFrame({"title": ["One"]}, index=pd.Index([7], name="item_id"))
        >>> list(as_frame(songs, "items", ["item_id", "title"]))
        ['item_id', 'title']
    """
    if isinstance(table, pd.DataFrame):
        frame = table
    elif is_table(table):
        frame = _from_arrow(table, name, of_texts=True)
    else:
        raise DataError(
            f"{name}: a DataFrame is expected, not {type(table).__name__}{_hint(table)}"
        )
    return with_column_names(_index_as_columns(frame, name, columns), name, columns)


def with_column_names(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Give columns that are spelt otherwise the names that are expected; see `as_frame`.

    Raises:
        DataError: two columns are spellings of one name.
    """
    given = [str(one) if isinstance(one, str) else "" for one in frame.columns]
    exact = {one.strip() for one in given}
    renamed: dict[str, str] = {}
    for column in columns:
        if column in exact:
            continue
        found = [one for one in given if one and name_key(one) == name_key(column)]
        if len(found) > 1:
            raise DataError(
                f"{name}: columns {found[0]!r} and {found[1]!r} could both be {column!r}"
            )
        renamed |= dict.fromkeys(found, column)
    if not renamed:
        return frame
    read = ", ".join(f"{format_value(one)} is read as {key!r}" for one, key in renamed.items())
    warnings.warn(f"{name}: column {read}", DataWarning, stacklevel=2)
    return frame.rename(columns=renamed)


def name_key(name: str) -> str:
    """Return what spellings of a column's name have in common: user_id, User ID, userId, USER-ID.

    Examples:
        >>> name_key("User ID") == name_key("user_id")
        True
    """
    return re.sub(r"[\W_]+", "", caseless(name))


def embedding_frame(table: object, name: str = "embeddings") -> pd.DataFrame:
    """Return embeddings with their item ids, as text, in the index, and nothing else but numbers.

    Args:
        table: any table (`as_frame`): the ids are its index, or its column item_id.
        name: what it is, for messages.

    Raises:
        DataError: it is no table, has ids in neither place or in both, or one that is no id.

    Examples:
        >>> embedding_frame(pd.DataFrame({"item_id": [7], "x": [0.5]})).index.tolist()
        ['7']
    """
    if not is_table(table):
        raise DataError(
            f"{name}: must be a DataFrame with the item ids for an index or in a column item_id, "
            f"not {type(table).__name__}{_hint_of_vectors(table)}"
        )
    is_pandas = isinstance(table, pd.DataFrame)
    frame = table if isinstance(table, pd.DataFrame) else _from_arrow(table, name, of_texts=False)
    frame = with_column_names(frame, name, [c.ITEM_ID])
    if isinstance(frame.columns, pd.MultiIndex) or list(frame.columns).count(c.ITEM_ID) > 1:
        raise DataError(f"{name}: two columns are named {c.ITEM_ID!r}, or columns have levels")
    if c.ITEM_ID in frame.columns:
        ids = frame[c.ITEM_ID]
        if c.ITEM_ID in frame.index.names:
            raise DataError(f"{name}: {c.ITEM_ID} is a column and the name of the index")
        frame = frame.drop(columns=c.ITEM_ID)
        place = f"column {c.ITEM_ID!r}"
    else:
        if not is_pandas:
            raise DataError(
                f"{name}: a {_kind(table)} has no index, so that a column {c.ITEM_ID!r} is needed; "
                f"there are: {_names(frame)}"
            )
        if frame.index.nlevels > 1:
            raise DataError(
                f"{name}: the index has {frame.index.nlevels} levels; item ids alone are expected"
            )
        if is_counted(frame.index) and (named := id_columns(frame)):
            raise DataError(
                f"{name}: the index counts rows, and column {format_value(named[0])} looks like "
                f"ids: name it {c.ITEM_ID!r} or make it the index; rename it if it is a dimension"
            )
        ids = pd.Series(frame.index.get_level_values(0))
        place = "index"
    try:
        texts = as_text(ids, required=True, identifier=True)
    except BadValueError as error:
        raise DataError(f"{name}, row {error.row + 1}, {place}: {error.problem}") from None
    if place == "index" and all(one is text for one, text in zip(ids, texts, strict=True)):
        return frame
    return frame.set_axis(pd.Index(texts, dtype=object, name=c.ITEM_ID), axis="index")


def is_counted(index: pd.Index) -> bool:
    """Return whether an index only counts rows, as pandas makes one where none is given.

    Examples:
        >>> is_counted(pd.DataFrame({"x": [1, 2]}).index), is_counted(pd.Index([7, 9]))
        (True, False)
    """
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1


def id_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are named as ids are: "id", "track_id", "songID".

    Examples:
        >>> id_columns(pd.DataFrame(columns=["track_id", "songID", "valid", "Id"]))
        ['track_id', 'songID', 'Id']
    """
    names = [name for name in frame.columns if isinstance(name, str)]
    return [name for name in names if _LIKE_AN_ID.search(name.strip())]


_LIKE_AN_ID = re.compile(r"(^|[\W_])(id|ID|Id)s?$|[a-z](ID|Id)s?$")
"""Names of columns that hold ids."""


def _index_as_columns(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Make columns of the levels of the index that are named as expected columns."""
    named = [one for one in frame.index.names if isinstance(one, str) and one in columns]
    for level in named:
        if level in frame.columns:
            inside = frame.index.get_level_values(level).astype(object)
            if not (inside == frame[level].astype(object).to_numpy()).all():
                raise DataError(f"{name}: {level!r} is a column and in the index, and they differ")
    levels = [level for level in named if level not in frame.columns]
    if not levels:
        return frame
    kept = frame.reset_index(drop=True)
    for place, level in enumerate(levels):
        kept.insert(place, level, frame.index.get_level_values(level).to_numpy(dtype=object))
    return kept


def _from_arrow(table: Any, name: str, *, of_texts: bool) -> pd.DataFrame:
    """Read a table by Arrow's stream of record batches, or by the interchange protocol."""
    import pyarrow as pa
    from pyarrow.interchange import from_dataframe

    try:
        arrow = (
            pa.table(table)
            if isinstance(table, pa.Table | pa.RecordBatch) or hasattr(table, "__arrow_c_stream__")
            else from_dataframe(table)
        )
        series = [
            to_series(column, str(one), of_texts=of_texts)
            for one, column in zip(arrow.column_names, arrow.columns, strict=True)
        ]
    # Whatever the other library raises: a table that was read already, a type that Arrow lacks.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{name}: the {_kind(table)} cannot be read as a table: {reason}") from None
    frame = pd.concat(series, axis="columns") if series else pd.DataFrame()
    return frame.set_axis(pd.Index([str(one) for one in arrow.column_names], dtype=object), axis=1)


def to_series(column: "pa.ChunkedArray", name: str, *, of_texts: bool) -> "pd.Series[Any]":
    """Convert a column of Arrow; whole numbers that stand for texts become texts.

    Args:
        column: the column.
        name: its name, which says what its numbers stand for.
        of_texts: whether all columns but weights and times are texts, not the ids alone.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind) and name == c.WEIGHT:
        column = column.cast(pa.float64())
    elif pa.types.is_integer(kind) and (
        name in (c.USER_ID, c.ITEM_ID) or (of_texts and name not in _KEPT)
    ):
        column = column.cast(pa.string())  # exact even where some are missing
    elif pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
    series: pd.Series[Any] = column.to_pandas()
    return series.rename(name)


def _kind(table: object) -> str:
    """The library and the type of a table, such as "polars DataFrame"."""
    return f"{type(table).__module__.partition('.')[0]} {type(table).__name__}"


def _names(frame: pd.DataFrame) -> str:
    return ", ".join(format_value(one) for one in frame.columns[:20]) or "none"


def _hint_of_vectors(value: object) -> str:
    """What makes a table of vectors of a value that nearly is one."""
    if isinstance(value, dict):
        return "; give pandas.DataFrame.from_dict(..., orient='index') of it"
    if isinstance(value, list | tuple | np.ndarray):
        return "; give pandas.DataFrame(..., index=item_ids) of it"
    return _hint(value)


def _hint(value: object) -> str:
    """What turns a value that nearly is a table into one."""
    for method in ("collect", "toPandas", "to_pandas", "compute"):
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return f"; give what its .{method}() returns"
    if isinstance(value, pd.Series):
        return "; give its .reset_index()"
    if isinstance(value, dict | list | tuple | np.ndarray):
        return "; give pandas.DataFrame(...) of it"
    return ""
