"""Checks of arguments that are numbers, truth values or names."""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InvalidArgumentError

_ROWS_AT_ONCE = 256


def is_whole(value: Any, least: int) -> bool:
    """Return whether `value` is a whole number (not a bool) of at least `least`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and value >= least


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """Check that an argument is a whole number.

    Args:
        name: the argument's name, for the message.
        value: the argument; NumPy integers are accepted, bools are not.
        least: smallest allowed value.

    Raises:
        InvalidArgumentError: if it is not.

    Examples:
        >>> check_whole("k", 10)
        >>> check_whole("k", 2.5)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: k must be a whole number of at least 1, not 2.5
    """
    if not is_whole(value, least):
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {least}, not {value!r}"
        )


def check_flag(name: str, value: Any) -> None:
    """Raise InvalidArgumentError, with the argument's name, unless ``value`` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgumentError(f"{name} must be True or False, not {value!r}")


def check_finite_rows(name: str, values: NDArray[Any]) -> None:
    """Raise InvalidArgumentError for the first row of an array with NaN or infinite values.

    Examples:
        >>> check_finite_rows("images", np.array([[1.0, 2.0], [3.0, np.nan]]))
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: images, row 1: contains NaN or infinite values
    """
    for start in range(0, len(values), _ROWS_AT_ONCE):
        part = values[start : start + _ROWS_AT_ONCE]
        good = np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if not good.all():
            row = start + int(np.argmin(good))
            raise InvalidArgumentError(f"{name}, row {row}: contains NaN or infinite values")


def check_names(name: str, values: Any) -> list[str]:
    """Check that an argument holds several names, and return them as a list.

    Raises:
        InvalidArgumentError: a single text, no list at all, or an entry that is no text.

    Examples:
        >>> check_names("models", ("hybrid", "popularity"))
        ['hybrid', 'popularity']
        >>> check_names("models", "hybrid")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: models must be a list of names, not 'hybrid'
    """
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes)
    found = list(values) if several else []
    if not several or not all(isinstance(one, str) for one in found):
        raise InvalidArgumentError(f"{name} must be a list of names, not {values!r:.100}")
    return found


def check_share(name: str, value: Any) -> None:
    """Raise InvalidArgumentError, with the argument's name, unless ``value`` is from 0 to 1."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= float(value) <= 1:
        raise InvalidArgumentError(f"{name} must be a number from 0 to 1, not {value!r}")


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> None:
    """Check that an argument is a finite number within bounds.

    Args:
        name: the argument's name, for the message.
        value: the argument; bools are not accepted.
        least: smallest allowed value.
        above: a value that the argument must exceed.
        most: largest allowed value.

    Raises:
        InvalidArgumentError: it is not.

    Examples:
        >>> check_number("keep", 0.5, least=0)
        >>> check_number("keep", float("nan"), least=0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: keep must be a number of at least 0, not nan
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    fits = (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
    )
    if not fits:
        bounds = [(least, "of at least"), (above, "above"), (most, "of at most")]
        wanted = " and ".join(f"{words} {bound:g}" for bound, words in bounds if bound is not None)
        raise InvalidArgumentError(
            f"{name} must be a number {wanted or 'that is finite'}, not {value!r}"
        )
