"""What callers give to a recommender, checked: numbers, ids, histories."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.errors import InvalidArgumentError

History = Sequence[str] | Mapping[str, float]

_BOUNDS = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))
"""Bounds of the plays of an item in a history."""


def check_k(k: int) -> None:
    """Raises InvalidArgumentError for a length of a list that is no whole number of at least 1."""
    check_whole("k", k)


def check_share(name: str, value: float) -> None:
    """Raises InvalidArgumentError, with the argument's name, unless it is from 0 to 1."""
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not is_number or not 0 <= value <= 1:
        raise InvalidArgumentError(f"{name} must be a number from 0 to 1, not {value!r}")


def texts_of(name: str, values: Iterable[str]) -> list[str]:
    """Ids as texts: numbers as their digits, as a data set takes them.

    Raises InvalidArgumentError, with the argument's name, for a single text, what is no list, or a
    missing id (None, NaN, NA), which would else be somebody unknown.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} must be several ids, not {values!r}")
    texts = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) and pd.api.types.is_scalar(value) and pd.isna(value):
            raise InvalidArgumentError(f"{name}: id number {number} is missing ({value})")
        texts.append(str(value))
    return texts


def plays_of(history: History) -> dict[str, float]:
    """Plays of each item of a history; 1 each for a list of items.

    Raises InvalidArgumentError for plays that are no positive number.
    """
    ids = texts_of("history", history)
    if not isinstance(history, Mapping):
        return dict.fromkeys(ids, 1.0)
    plays = {}
    for item, given in zip(ids, history.values(), strict=True):
        try:
            weight = float(given)
        except (TypeError, ValueError):
            weight = np.nan
        if not _BOUNDS[0] <= weight <= _BOUNDS[1]:
            raise InvalidArgumentError(
                f"history: plays of item {item!r} must be a positive number, not {given!r}"
            )
        plays[item] = weight
    return plays
