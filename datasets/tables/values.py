"""Convert a raw column to text or weights.

Every function returns an array as long as the column, or raises `BadValueError` with the position
of the first bad value; checks.py adds the file and line. Times are in times.py.
"""

import datetime
import decimal
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, StrArray

PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_LONGEST_SHOWN = 60


class BadValueError(ValueError):
    """A value that cannot be read; checks.py turns it into a DataError with file and line."""

    def __init__(self, row: int, problem: str, count: int) -> None:
        super().__init__(problem)
        self.row = row
        self.problem = problem
        self.count = count


def format_value(value: object) -> str:
    """Format a value for a message: its repr on one line, shortened if long."""
    try:
        text = str(value) if isinstance(value, np.generic) else repr(value)
    except Exception:  # such as an integer of thousands of digits
        return f"a value of type {type(value).__name__}"
    if "\n" in text:  # of a table or an array
        text = " ".join(text.split())
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[: _LONGEST_SHOWN - 2]}…{text[-1]}"


def object_array(values: Iterable[Any]) -> StrArray:
    """Return a one-dimensional object array of `values` (NumPy would unpack nested lists)."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def as_text(column: "pd.Series[Any]", *, required: bool, identifier: bool = False) -> StrArray:
    """Convert each value to `str`; equal strings share one object, to save memory.

    Missing and blank values become `""`, whole numbers their decimal digits, other numbers
    their shortest form, dates ISO 8601.

    Args:
        column: the values.
        required: whether blank values are an error.
        identifier: whether fractions and bools are an error.

    Raises:
        BadValueError: also for nested values, NUL characters and invalid Unicode.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _categories_as_text(column, required, identifier)
    values = column.to_numpy(dtype=object)
    if set(map(type, values)) <= {str}:
        return map_distinct(values, lambda value: _clean(value, required))
    values = object_array(map(_unwrapped, values))
    if identifier and required:
        _check_gaps(values)
    # 1, 1.0 and True are equal as dictionary keys but not as text, hence the type.
    return map_distinct(
        object_array((type(value), value if _is_single(value) else None) for value in values),
        lambda key: _clean(_to_text(key[1], key[0], identifier), required),
    )


def id_text(value: object) -> str:
    """Convert one value to an id, as `as_text` does with a column of ids that must not be blank.

    Args:
        value: text or a whole number, also as an array of no dimension.

    Raises:
        ValueError: any other value.

    Examples:
        >>> id_text("a7"), id_text(np.uint8(7))
        ('a7', '7')
    """
    if type(value) is str:
        return _clean(value, True)
    value = _unwrapped(value)
    single = value if _is_single(value) else None
    return _clean(_to_text(single, type(value), True), True)


def _check_gaps(ids: StrArray) -> None:
    """Name the missing ids that have made floats of the whole numbers of a column, as pandas does.

    Raises:
        BadValueError: there are some.
    """
    floats = [one for one in ids if isinstance(one, float | np.floating) and not is_missing(one)]
    if not floats or not all(float(one).is_integer() for one in floats):
        return
    gaps = [row for row, one in enumerate(ids) if _is_single(one) and is_missing(one)]
    if gaps:
        made = f"which has made floats of the whole numbers, such as {format_value(floats[0])}"
        raise BadValueError(gaps[0], f"is missing, {made}", len(gaps))


def _categories_as_text(column: "pd.Series[Any]", required: bool, identifier: bool) -> StrArray:
    distinct = pd.Series(object_array([*column.cat.categories, None]), dtype=object)
    codes = column.cat.codes.to_numpy().astype(np.intp)
    codes[codes < 0] = len(distinct) - 1  # missing values use the None at the end
    # Unused categories are not checked.
    used = np.flatnonzero(np.bincount(codes, minlength=len(distinct)))
    texts = np.full(len(distinct), "", dtype=object)
    try:
        texts[used] = as_text(distinct.iloc[used], required=required, identifier=identifier)
    except BadValueError as error:
        rows = np.flatnonzero(codes == used[error.row])
        raise BadValueError(int(rows[0]), error.problem, len(rows)) from None
    return texts[codes]


def as_weights(column: "pd.Series[Any]") -> Float64Array:
    """Convert each value to a finite number >= 0, float64.

    Raises:
        BadValueError: if a value is not one.
    """
    if not is_number(column):
        return map_distinct(single_values(column), _weight).astype(np.float64)
    weights: Float64Array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise BadValueError(row, _weight_problem(float(weights[row])), int(wrong.sum()))
    return weights + 0.0  # a copy, in which -0.0 is 0.0


def map_distinct(values: StrArray, convert: Callable[[Any], Any]) -> StrArray:
    """Apply `convert` once per distinct value; its ValueError becomes a BadValueError."""
    table = dict.fromkeys(values)
    problems: dict[Any, str] = {}
    for value in table:
        try:
            table[value] = convert(value)
        except ValueError as error:
            problems[value] = str(error)
    if problems:
        rows = [row for row, value in enumerate(values) if value in problems]
        raise BadValueError(rows[0], problems[values[rows[0]]], len(rows))
    return object_array(map(table.__getitem__, values))


def single_values(column: "pd.Series[Any]") -> StrArray:
    """Return the column's values after checking that none is nested or a bool.

    (True and 1 are equal as dictionary keys, so `map_distinct` could not distinguish them.)
    """
    values = column.to_numpy(dtype=object)
    for row, value in enumerate(values):
        if type(value) is str:
            continue
        if not _is_single(value):
            problem = f"is of type {type(value).__name__}; a single value is expected"
            raise BadValueError(row, problem, 1)
        if isinstance(value, bool | np.bool_):
            raise BadValueError(row, f"{value} is a truth value; a number or text is expected", 1)
    return values


def is_number(column: "pd.Series[Any]") -> bool:
    """Return whether the column has a real numeric dtype (not bool)."""
    kind = column.dtype
    return (
        pd.api.types.is_numeric_dtype(kind)
        and not pd.api.types.is_bool_dtype(kind)
        and not pd.api.types.is_complex_dtype(kind)
    )


def is_missing(value: Any) -> bool:
    """Return whether a single value is None, NaN, NaT or NA."""
    return value is None or value is pd.NA or value is pd.NaT or bool(value != value)


def is_unicode(text: str) -> bool:
    """Return whether the text can be encoded as UTF-8; lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_real(value: Any) -> bool:
    """Return whether a single value is a real number (not a bool)."""
    numbers = int | float | np.integer | np.floating | decimal.Decimal
    return isinstance(value, numbers) and not isinstance(value, bool)


def _unwrapped(value: Any) -> Any:
    """The value of an array of no dimension; any other value as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _is_single(value: Any) -> bool:
    return value is None or pd.api.types.is_scalar(value) or isinstance(value, os.PathLike)


def _clean(text: str, required: bool) -> str:
    if not text or text.isspace():
        if required:
            raise ValueError("is blank")
        return ""
    if "\0" in text:
        raise ValueError(f"{format_value(text)} holds a NUL character")
    if not is_unicode(text):
        raise ValueError(f"{format_value(text)} is not valid Unicode text")
    return text


def _to_text(value: Any, kind: type, identifier: bool) -> str:
    expected = "text or a whole number" if identifier else "text"
    if isinstance(value, str):
        return str.__str__(value)  # an enumeration's str() is the name of its member
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if value is None and kind is not type(None):
        raise ValueError(f"is of type {kind.__name__}; {expected} is expected")
    if is_missing(value):
        return ""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if not identifier:
        if isinstance(value, bool | np.bool_):
            return "true" if value else "false"
        if is_real(value):
            return str(value).removesuffix(".0")
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
    raise ValueError(f"{format_value(value)} is of type {kind.__name__}; {expected} is expected")


def _weight(value: Any) -> float:
    weight = _number(value)
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(_weight_problem(weight))
    return weight + 0.0


def _weight_problem(weight: float) -> str:
    if np.isnan(weight):
        return "is missing or NaN; a number of zero or more is expected"
    if np.isinf(weight):
        return "is infinite; a number of zero or more is expected"
    return f"{weight:g} is negative; a number of zero or more is expected"


def _number(value: Any) -> float:
    """Convert a single value to a float; text only in plain decimal notation."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            raise ValueError("is blank; a number of zero or more is expected")
        if PLAIN_NUMBER.fullmatch(text) or text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            return float(text)
        hint = "; write decimals with a point" if _DECIMAL_COMMA.fullmatch(text) else ""
        raise ValueError(f"{format_value(value)} is not a number{hint}")
    if is_missing(value):
        return float("nan")
    if not is_real(value):
        raise ValueError(f"{format_value(value)} is not a number")
    try:
        return float(value)
    except OverflowError:
        return float("inf")
