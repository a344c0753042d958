"""Convert a raw column to times in UTC."""

import datetime
import decimal
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import Float64Array, StrArray
from datasets.tables.values import (
    PLAIN_NUMBER,
    BadValueError,
    format_value,
    is_missing,
    is_number,
    is_real,
    map_distinct,
    single_values,
)

_ISO = re.compile(
    r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?)?",
    re.ASCII,
)
_DATE_AS_NUMBER = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0*)?", re.ASCII)
_EDGE = 9_223_372_036
"""Largest number of seconds before or after 1970 in 64 bits of nanoseconds (1677 to 2262)."""
_MILLISECONDS = 100_000_000_000
"""Numbers from here on are taken for milliseconds: as seconds this is the year 5138."""
_NANO = 1_000_000_000


def as_timestamps(column: "pd.Series[Any]") -> NDArray[np.datetime64]:
    """Convert each value to a time: datetime64[ns], without time zone, in UTC.

    Reads ISO 8601 text (converted to UTC; without a zone taken as UTC), numbers as seconds since
    1970, and date and time types.

    Args:
        column: texts, numbers, dates or times.

    Returns:
        datetime64[ns], [len(column)].

    Raises:
        BadValueError: if a value is not a time, or outside the years 1678 to 2261.

    Examples:
        >>> times = as_timestamps(pd.Series(["2024-01-31T18:30:00+01:00", "1706720400"]))
        >>> times.astype(str).tolist()
        ['2024-01-31T17:30:00.000000000', '2024-01-31T17:00:00.000000000']
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        if getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return _in_nanoseconds(column.to_numpy())
    if is_number(column):
        return _from_seconds(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values = single_values(column)
    parsed = _parse_iso(values)
    nanoseconds = map_distinct(values, lambda value: _nanoseconds(value, parsed))
    return nanoseconds.astype(np.int64).view("datetime64[ns]")


def _in_nanoseconds(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    known = ~np.isnat(times)
    wrong = ~known | (np.abs(times.astype("datetime64[s]").astype(np.int64)) >= _EDGE)
    if wrong.any():
        row = int(wrong.argmax())
        problem = _out_of_range(times[row]) if known[row] else _MISSING
        raise BadValueError(row, problem, int(wrong.sum()))
    return times.astype("datetime64[ns]")


def _from_seconds(seconds: Float64Array) -> NDArray[np.datetime64]:
    """Convert whole seconds and fraction separately; a float cannot hold nanoseconds exactly."""
    doubtful = ~(np.abs(seconds) < 19_000_101)
    doubtful &= ~((seconds > 20_991_231) & (seconds < _EDGE))
    problems = {row: _unix_problem(float(seconds[row])) for row in np.flatnonzero(doubtful)}
    wrong = [(row, problem) for row, problem in problems.items() if problem]
    if wrong:
        raise BadValueError(int(wrong[0][0]), wrong[0][1], len(wrong))
    whole = np.floor(seconds)
    fraction = np.round((seconds - whole) * _NANO)
    return (whole.astype(np.int64) * _NANO + fraction.astype(np.int64)).view("datetime64[ns]")


def _parse_iso(values: StrArray) -> dict[str, int | None]:
    """Parse all ISO 8601 text at once, which is many times faster than one by one.

    Returns nanoseconds since 1970 by text; None if outside the range of 64 bits.
    """
    texts = [v for v in dict.fromkeys(values) if isinstance(v, str) and _ISO.fullmatch(v.strip())]
    tidy = [text.strip().replace(" UTC", "Z").replace("UTC", "Z") for text in texts]
    parsed = pd.to_datetime(
        pd.Series(tidy, dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    times = parsed.dt.tz_localize(None).to_numpy()
    seconds = times.astype("datetime64[s]").astype(np.int64)
    held = np.abs(seconds) < _EDGE
    nanoseconds = np.where(held, times, np.datetime64(0, "s")).astype("datetime64[ns]")
    return {
        text: value if fits else None
        for text, value, fits, unknown in zip(
            texts, nanoseconds.astype(np.int64).tolist(), held, np.isnat(times), strict=True
        )
        if not unknown
    }


def _nanoseconds(value: Any, parsed: dict[str, int | None]) -> int:
    if isinstance(value, str):
        if value in parsed:
            known = parsed[value]
            if known is None:
                raise ValueError(_out_of_range(value))
            return known
        text = value.strip()
        if not text:
            raise ValueError("is blank; leave the column out if times are unknown")
        if PLAIN_NUMBER.fullmatch(text):
            return _unix(text)
        if _ISO.fullmatch(text) and not 1678 <= int(text[:4]) <= 2261:
            raise ValueError(_out_of_range(value))  # pandas before 3 does not parse these
    elif is_missing(value):
        raise ValueError(_MISSING)
    elif isinstance(value, datetime.date | np.datetime64):
        try:
            stamp = pd.Timestamp(value)
            naive = stamp.tz_convert("UTC").tz_localize(None) if stamp.tz else stamp
            return int(naive.as_unit("ns").value)
        except ValueError:
            raise ValueError(_out_of_range(value)) from None
    elif is_real(value):
        return _unix(str(value))
    raise ValueError(_not_a_time(value))


def _unix(number: str) -> int:
    try:
        seconds = decimal.Decimal(number)
    except decimal.InvalidOperation:  # an exponent of twenty digits
        raise ValueError(_not_a_time(number)) from None
    problem = _unix_problem(seconds)
    if problem:
        raise ValueError(problem)
    return int(seconds * _NANO)


def _unix_problem(seconds: decimal.Decimal | float) -> str:
    if is_missing(seconds):
        return _MISSING
    magnitude = abs(float(seconds))
    if np.isinf(magnitude):
        return "is infinite; a time is expected"
    if magnitude >= _MILLISECONDS:
        return f"{seconds:.13g} is too large for unix seconds; is it milliseconds?"
    if magnitude >= _EDGE:
        return _out_of_range(f"{seconds:.13g}")
    if _DATE_AS_NUMBER.fullmatch(f"{seconds:f}".removesuffix(".000000")):
        return f"{seconds:.8g} may be a date or unix seconds; write dates as 2024-01-31"
    return ""


_MISSING = "is missing; leave the column out if times are unknown"


def _out_of_range(value: Any) -> str:
    return f"{format_value(value)} is outside the years 1678 to 2261"


def _not_a_time(value: Any) -> str:
    expected = "ISO 8601 (2024-01-31T18:30:00) or unix seconds expected"
    return f"{format_value(value)} is not a time; {expected}"
