"""Timestamps of every kind a table holds them in."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasets.tables.times import as_timestamps
from datasets.tables.values import BadValueError

BERLIN = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-31", "2024-01-31T00:00:00"),
        ("2024-01", "2024-01-01T00:00:00"),
        ("2024-01-31T18:30", "2024-01-31T18:30:00"),
        ("2024-01-31 18:30:05", "2024-01-31T18:30:05"),
        (" 2024-01-31T18:30:05Z ", "2024-01-31T18:30:05"),
        ("2024-01-31 18:30:05 UTC", "2024-01-31T18:30:05"),
        ("2024-01-31T00:30:05+02:00", "2024-01-30T22:30:05"),
        ("2024-01-31T18:30:05-0330", "2024-01-31T22:00:05"),
        ("2024-01-31T18:30:05.123456789", "2024-01-31T18:30:05.123456789"),
        ("1706725805", "2024-01-31T18:30:05"),
        ("1706725805.25", "2024-01-31T18:30:05.25"),
        ("1.5e9", "2017-07-14T02:40:00"),
        ("-1", "1969-12-31T23:59:59"),
        (1706725805, "2024-01-31T18:30:05"),
        (np.int32(1706725805), "2024-01-31T18:30:05"),
        (1706725805.5, "2024-01-31T18:30:05.5"),
        (0, "1970-01-01T00:00:00"),
        (-0.5, "1969-12-31T23:59:59.5"),
        (-200_000_000, "1963-08-31T04:26:40"),
        (datetime.date(2024, 1, 31), "2024-01-31T00:00:00"),
        (datetime.datetime(2024, 1, 31, 18, 30), "2024-01-31T18:30:00"),
        (datetime.datetime(2024, 1, 31, 18, 30, tzinfo=BERLIN), "2024-01-31T17:30:00"),
        (pd.Timestamp("2024-01-31", tz="Asia/Tokyo"), "2024-01-30T15:00:00"),
        (np.datetime64("2024-01-31T18", "h"), "2024-01-31T18:00:00"),
    ],
)
@pytest.mark.parametrize("kind", [object, None])
def test_times_that_parse(value: Any, expected: str, kind: Any) -> None:
    times = as_timestamps(pd.Series([value, value], dtype=kind))
    assert times.dtype == np.dtype("datetime64[ns]")
    assert list(times) == [np.datetime64(expected, "ns")] * 2


def test_zones_and_forms_may_differ_from_row_to_row() -> None:
    column = pd.Series(["2024-01-31T01:00:00+01:00", "1706659200", "2024-01-31"], dtype=object)
    assert list(as_timestamps(column)) == [np.datetime64("2024-01-31", "ns")] * 3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_of_a_datetime_column(unit: str) -> None:
    column = pd.Series(np.array(["2024-01-31T18:30:05"], dtype=f"datetime64[{unit}]"))
    assert list(as_timestamps(column)) == [np.datetime64("2024-01-31T18:30:05", "ns")]
    zoned = column.dt.tz_localize("Europe/Berlin")
    assert list(as_timestamps(zoned)) == [np.datetime64("2024-01-31T17:30:05", "ns")]


def test_no_rows() -> None:
    assert as_timestamps(pd.Series([], dtype=object)).dtype == np.dtype("datetime64[ns]")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("yesterday", "'yesterday' is not a time; ISO 8601"),
        ("now", "'now' is not a time"),  # pandas reads this as the present moment
        ("2024-13-01", "'2024-13-01' is not a time"),
        ("2024-02-30", "'2024-02-30' is not a time"),
        ("31/01/2024", "'31/01/2024' is not a time"),
        ("2024-01-31 6pm", "is not a time"),
        ("nan", "'nan' is not a time"),
        ("1e99999999999999999999", "is not a time"),
        ("", "is blank"),
        ("  ", "is blank"),
        (None, "is missing"),
        (np.nan, "is missing"),
        (pd.NaT, "is missing"),
        (pd.NA, "is missing"),
        ("20240131", "20240131 may be a date or unix seconds"),
        (20240131, "20240131 may be a date or unix seconds"),
        ("1706725805000", "1706725805000 is too large for unix seconds; is it milliseconds?"),
        (1706725805000, "1706725805000 is too large for unix seconds; is it milliseconds?"),
        (np.inf, "is infinite"),
        ("1e400", "is infinite"),
        ("9999-12-31", "'9999-12-31' is outside the years 1678 to 2261"),
        ("1500-01-01", "is outside the years"),
        ("2262-06-01T00:00:00Z", "is outside the years"),
        (9_300_000_000, "is outside the years"),
        (datetime.datetime(9999, 1, 1), "is outside the years"),
        (datetime.date(1500, 1, 1), "is outside the years"),
        (np.datetime64("1600-01-01", "s"), "is outside the years"),
        (True, "True is a truth value"),
        (datetime.time(1), "is not a time"),
        (b"2024-01-31", "is not a time"),
        ([1], "is of type list"),
    ],
)
@pytest.mark.parametrize("kind", [object, None])
def test_times_that_do_not(value: Any, problem: str, kind: Any) -> None:
    good = value if kind is None else "2024-01-31"
    column = pd.Series([good, value], dtype=kind)
    with pytest.raises(BadValueError) as caught:
        as_timestamps(column)
    assert problem in caught.value.problem
    assert caught.value.row == (0 if kind is None else 1)


def test_the_first_bad_row_is_named_and_all_are_counted() -> None:
    with pytest.raises(BadValueError) as caught:
        as_timestamps(pd.Series(["2024-01-31", "x", "y", "x"], dtype=object))
    assert (caught.value.row, caught.value.count) == (1, 3)


def test_seconds_and_fractions_are_exact() -> None:
    seconds = pd.Series([1706725805.123456, 1e9 + 0.1])
    times = as_timestamps(seconds).astype(np.int64)
    # A float holds seconds of this size to about 0.2 microseconds, and no better is asked of it.
    assert abs(int(times[0]) - 1706725805_123456000) < 200
    assert abs(int(times[1]) - 1000000000_100000000) < 200
    assert as_timestamps(pd.Series(["1706725805.123456789"], dtype=object)).astype(np.int64)[0] == (
        1706725805_123456789
    )
