"""Checks of arguments that are whole numbers."""

import numbers
from typing import Any

from datasets.errors import InvalidArgumentError


def is_whole(value: Any, least: int) -> bool:
    """Return whether ``value`` is a whole number (not a bool) of at least ``least``."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and value >= least


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """Raise InvalidArgumentError, with the argument's name, unless ``value`` is a whole number.

    Args:
        name: the argument's name, for the message.
        value: what was given; NumPy's integers are taken, bools are not.
        least: the smallest allowed value.
    """
    if not is_whole(value, least):
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {least}, not {value!r}"
        )
