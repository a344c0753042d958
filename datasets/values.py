"""One column of raw values → text, weights or times; what cannot be read is named by its row.

Every function returns an array as long as the column, or raises :class:`BadValueError` with the
position of the first value that is wrong; the caller knows which file and line that is.
"""

import datetime
import decimal
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Text = NDArray[np.object_]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_ISO_START = re.compile(r"\d{4}-?\d{2}", re.ASCII)
_COMPACT_DATE = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)
_MILLISECONDS = 1e11
"""As seconds this is the year 5138, as milliseconds 1973: nobody means the former."""
_FIRST_SECOND = -9_223_372_036
_NANOSECONDS = 1_000_000_000


class BadValueError(ValueError):
    """A value that cannot be read. It stays inside this package: checks.py adds file and line."""

    def __init__(self, row: int, problem: str, count: int) -> None:
        super().__init__(problem)
        self.row = row
        self.problem = problem
        self.count = count


def show(value: object) -> str:
    """A value for a message: quoted, on one line, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:58]}…{text[-1]}"


def objects(values: Any) -> Text:
    """A one-dimensional object array of ``values`` (NumPy would look inside lists)."""
    values = list(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def as_text(column: "pd.Series[Any]", *, required: bool, identifier: bool = False) -> Text:
    """Each value as ``str``; equal strings are one object, so a long column stays small.

    Missing and blank become ``""``. Whole numbers become their decimal digits, other numbers
    their shortest form, dates ISO 8601. Raises :class:`BadValueError` for a blank value where
    one is ``required``, for a fraction or a truth value as ``identifier`` (nobody wrote ``1.0``
    as an id), for nested values, NUL characters and text that is not valid Unicode.
    """
    values = column.to_numpy(dtype=object)
    if set(map(type, values)) <= {str}:
        return _map_unique(values, lambda value: _clean(value, required))
    return _map_unique(
        # 1, 1.0 and True are equal as dictionary keys but not as text, hence the type.
        objects((type(value), value) if _hashable(value) else (list, None) for value in values),
        lambda pair: _clean(_to_text(pair[1], pair[0], identifier), required),
    )


def as_weights(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Each value as a finite number of zero or more; raises :class:`BadValueError` otherwise."""
    if _is_number(column):
        weights: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = ~(np.isfinite(weights) & (weights >= 0))
        if wrong.any():
            row = int(wrong.argmax())
            raise BadValueError(row, _weight_problem(float(weights[row])), int(wrong.sum()))
        return weights + 0.0  # a copy, in which -0.0 is 0.0
    return _map_unique(column.to_numpy(dtype=object), _weight).astype(np.float64)


def as_timestamps(column: "pd.Series[Any]") -> NDArray[np.datetime64]:
    """Each value as a time, ``datetime64[ns]`` without zone, in UTC.

    Reads ISO 8601 text (with a zone: converted to UTC; without: taken as UTC), numbers as
    seconds since 1970, and date and time types. Raises :class:`BadValueError` otherwise.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz else column
        times = naive.to_numpy()
        known = ~np.isnat(times)
        seconds = times.astype("datetime64[s]").astype(np.int64)
        wrong = ~known | (np.abs(seconds) >= -_FIRST_SECOND)
        if wrong.any():
            row = int(wrong.argmax())
            problem = f"{times[row]} is outside the years 1678 to 2261" if known[row] else _MISSING
            raise BadValueError(row, problem, int(wrong.sum()))
        return times.astype("datetime64[ns]")
    raw = column.to_numpy(dtype=object)
    return _map_unique(raw, _timestamp).astype("datetime64[ns]")


_MISSING = "is missing"


def _map_unique(values: Text, convert: Callable[[Any], Any]) -> Text:
    """``convert`` once per distinct value; its ValueError becomes a BadValueError."""
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
    return objects(map(table.__getitem__, values))


def _clean(text: str, required: bool) -> str:
    if not text or text.isspace():
        if required:
            raise ValueError("is blank")
        return ""
    if "\0" in text:
        raise ValueError(f"{show(text)} holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{show(text)} is not valid Unicode text") from None
    return str(text)


def _hashable(value: Any) -> bool:
    return value is None or pd.api.types.is_scalar(value)


def _to_text(value: Any, kind: type, identifier: bool) -> str:
    if kind is list:
        raise ValueError("holds a list or another nested value; text is expected")
    if isinstance(value, str):
        return str(value)
    if value is None or value is pd.NA or value != value or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_) and not identifier:
        return "true" if value else "false"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float | np.floating | decimal.Decimal) and not identifier:
        return str(value).removesuffix(".0")
    if isinstance(value, datetime.date | datetime.time | np.datetime64):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    expected = "text or a whole number" if identifier else "text"
    raise ValueError(f"{show(value)} is of type {kind.__name__}; {expected} is expected")


def _is_number(column: "pd.Series[Any]") -> bool:
    kind = column.dtype
    return (
        pd.api.types.is_numeric_dtype(kind)
        and not pd.api.types.is_bool_dtype(kind)
        and not pd.api.types.is_complex_dtype(kind)
    )


def _weight(value: Any) -> float:
    weight = _number(value)
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(_weight_problem(weight))
    return weight + 0.0


def _weight_problem(weight: float) -> str:
    if np.isnan(weight):
        return "is missing or NaN; a number of zero or more is expected"
    if np.isinf(weight):
        return "is infinite; a finite number is expected"
    return f"{weight:g} is negative; a number of zero or more is expected"


def _number(value: Any) -> float:
    """A number in any of the forms a table holds it in; text only in plain decimal notation."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            raise ValueError("is blank; a number is expected")
        if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            return float(text)
        if _NUMBER.fullmatch(text):
            return float(text)
        hint = "; write decimals with a point" if _DECIMAL_COMMA.fullmatch(text) else ""
        raise ValueError(f"{show(value)} is not a number{hint}")
    if value is None or value is pd.NA or value is pd.NaT:
        return float("nan")
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating | decimal.Decimal
    ):
        raise ValueError(f"{show(value)} is not a number")
    return float(value)


def _timestamp(value: Any) -> np.datetime64:
    if isinstance(value, str):
        text = value.strip()
        if not text:
            raise ValueError("is blank; leave the column out where times are unknown")
        if _NUMBER.fullmatch(text):
            if _COMPACT_DATE.fullmatch(text):
                raise ValueError(f"{show(value)} may be a date or unix seconds; write 2024-01-31")
            return _unix(decimal.Decimal(text), value)
        # The pattern keeps out "now" and "today", which pandas would read as this moment.
        if not _ISO_START.match(text):
            raise ValueError(_not_a_time(value))
    elif value is None or value is pd.NA or value is pd.NaT or value != value:
        raise ValueError(_MISSING)
    elif isinstance(value, int | float | np.integer | np.floating | decimal.Decimal):
        if isinstance(value, bool):
            raise ValueError(_not_a_time(value))
        return _unix(decimal.Decimal(str(value)), value)
    elif not isinstance(value, datetime.date | np.datetime64):
        raise ValueError(_not_a_time(value))
    else:
        text = str(value)
    try:
        stamp = pd.Timestamp(text)
        if stamp.tz is not None:
            stamp = stamp.tz_convert("UTC").tz_localize(None)
        return np.datetime64(stamp.as_unit("ns").value, "ns")
    except (ValueError, OverflowError):
        raise ValueError(_not_a_time(value)) from None


def _unix(seconds: decimal.Decimal, shown: Any) -> np.datetime64:
    if not seconds.is_finite() or seconds <= _FIRST_SECOND:
        raise ValueError(_not_a_time(shown))
    if seconds >= decimal.Decimal(_MILLISECONDS):
        raise ValueError(f"{show(shown)} is too large for unix seconds; is it milliseconds?")
    # 1e11 s is past what 64 bits of nanoseconds hold.
    if seconds >= -_FIRST_SECOND:
        raise ValueError(f"{show(shown)} is outside the years 1678 to 2261")
    return np.datetime64(int(seconds * _NANOSECONDS), "ns")


def _not_a_time(value: Any) -> str:
    return f"{show(value)} is not a time; ISO 8601 (2024-01-31T18:30:00) or unix seconds expected"
