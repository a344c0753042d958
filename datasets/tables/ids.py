"""Ids of users and items as arguments: one or several, refused where a table would refuse them.

The rule is that of the columns of ids of a table (`values.id_text`): text, or a whole number, which
becomes its digits.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import InvalidArgumentError
from datasets.tables.values import format_value, id_text, is_missing

EXPECTED = "a text or a whole number"

_COUNTS = ("count", "weight", "plays", "size")
"""Names of a series that holds numbers of plays, as `value_counts` and `groupby` make them."""


def checked_id(name: str, value: object) -> str:
    """Read one id; a whole number becomes its digits, as in a data set.

    Args:
        name: the argument's name, for the message.
        value: the id.

    Raises:
        InvalidArgumentError: names the argument and the value: any other type, a missing value, a
            blank text, one with a NUL character or without a form in UTF-8.

    Examples:
        >>> checked_id("user_id", np.int64(7)), checked_id("user_id", "7")
        ('7', '7')
        >>> checked_id("user_id", None)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: user_id is missing (None)
    """
    try:
        return id_text(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name} {_problem(value, str(error))}") from None


def checked_ids(name: str, values: object) -> list[str]:
    """Read several ids: a list, an array, a series or anything else that gives one after another.

    Args:
        name: the argument's name, for the message.
        values: the ids; a generator is read to its end.

    Raises:
        InvalidArgumentError: names the argument; a single text, a table, a mapping, a file, or
            something that is no id (`checked_id`), with its number.

    Examples:
        >>> checked_ids("user_ids", pd.Series([7, 8]))
        ['7', '8']
        >>> checked_ids("user_ids", "u1")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: user_ids must be several ids, not 'u1'
        >>> checked_ids("user_ids", ["u1", None])
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: user_ids: id number 2 is missing (None)
    """
    return list(each_id(name, values))


def each_id(name: str, values: object) -> Iterator[str]:
    """Read several ids one after another, from a generator too; see `checked_ids`.

    What holds the ids is checked at once, and each id when it is read.

    Raises:
        InvalidArgumentError: as `checked_ids`.

    Examples:
        >>> next(each_id("user_ids", iter([7, None])))
        '7'
    """
    return _read(name, _several(name, values))


def _read(name: str, values: Iterable[object]) -> Iterator[str]:
    for number, value in enumerate(values, 1):
        try:
            yield id_text(value)
        except ValueError as error:
            problem = _problem(value, str(error))
            raise InvalidArgumentError(f"{name}: id number {number} {problem}") from None


def _several(name: str, values: object) -> Iterable[object]:
    """What gives the ids one after another."""
    if isinstance(values, list | tuple):
        return values
    if isinstance(values, Mapping):
        raise InvalidArgumentError(f"{name} must be several ids, not a mapping (dict)")
    if isinstance(values, pd.Series):
        _check_series(name, values)
        return values.array
    if is_table(values):
        column = ITEM_ID if name in ("exclude", "only", "history") else USER_ID
        hint = f"give one column of it, such as table[{column!r}]"
        raise InvalidArgumentError(f"{name} must be several ids, not a table; {hint}")
    if isinstance(values, str | bytes | bytearray | memoryview | io.IOBase):
        raise InvalidArgumentError(f"{name} must be several ids, not {format_value(values)}")
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise InvalidArgumentError(
            f"{name} must be several ids, not an array of {values.ndim} dimensions"
        )
    for method in ("to_pylist", "to_list"):  # columns of Arrow and polars; an array of pandas
        if callable(read := getattr(values, method, None)) and not isinstance(values, list):
            listed = read()
            if isinstance(listed, list):
                return listed
    if not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} must be several ids, not {format_value(values)}")
    return values


def _check_series(name: str, values: "pd.Series[Any]") -> None:
    """Refuse a series of numbers of plays by id: its values are no ids, though whole numbers."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return
    if values.name in (USER_ID, ITEM_ID):
        return
    by_id = any(level in (USER_ID, ITEM_ID) for level in values.index.names)
    by_text = pd.api.types.is_string_dtype(values.index.dtype) and len(values) > 0
    if by_id or by_text or values.name in _COUNTS:
        hint = "give its .index, or for a history its .to_dict()"
        raise InvalidArgumentError(
            f"{name} must be several ids, not a series of numbers with ids as its index; {hint}"
        )


def is_table(value: object) -> bool:
    """Return whether a value is a table of any library: pandas, polars, Arrow and so on.

    Examples:
        >>> is_table(pd.DataFrame()), is_table(pd.Series([1])), is_table([1])
        (True, False, False)
    """
    if isinstance(value, pd.DataFrame):
        return True
    if isinstance(value, type):
        return False
    # A column exports a stream as well, but has no columns of its own.
    return any(hasattr(value, name) for name in ("__dataframe__", "__arrow_c_stream__")) and any(
        hasattr(value, name) for name in ("columns", "column_names", "schema")
    )


def _problem(value: object, reason: str) -> str:
    if isinstance(value, str):
        return "is blank" if reason == "is blank" else f"must be valid text: {reason}"
    if is_table(value):
        return f"must be {EXPECTED}, not a table"
    if _is_scalar(value) and is_missing(value):
        return f"is missing ({value})"
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    hint = "; a column of whole numbers becomes floats where one is missing" if whole else ""
    return f"must be {EXPECTED}, not {format_value(value)} ({type(value).__name__}){hint}"


def _is_scalar(value: object) -> bool:
    return value is None or bool(pd.api.types.is_scalar(value))
