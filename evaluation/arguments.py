"""Checks of the plain arguments of an evaluation, made before anything is read or learned."""

import numbers
from collections.abc import Iterable
from typing import Any

from datasets.errors import InvalidArgumentError


def is_whole(value: Any, least: int) -> bool:
    """Whether ``value`` is a whole number (and no bool) of at least ``least``."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and value >= least


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise InvalidArgumentError unless ``value`` is a whole number of at least ``least``."""
    if not is_whole(value, least):
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {least}, not {value!r}"
        )


def check_fraction(fraction: Any) -> None:
    """Raise InvalidArgumentError unless ``fraction`` is a number between 0 and 1, exclusive."""
    if not isinstance(fraction, numbers.Real) or not 0 < float(fraction) < 1:
        raise InvalidArgumentError(f"fraction must lie between 0 and 1, not {fraction!r}")


def list_lengths(ks: Iterable[Any]) -> tuple[int, ...]:
    """The lengths of lists to measure, each once, ascending.

    Raises InvalidArgumentError unless there is one and all are whole numbers of at least 1.
    """
    given = tuple(ks)
    if not given or not all(is_whole(k, 1) for k in given):
        raise InvalidArgumentError(
            f"ks must be list lengths, whole numbers of at least 1, not {given}"
        )
    return tuple(sorted({int(k) for k in given}))


def check_sampled(sampled: Any) -> None:
    """Raise InvalidArgumentError unless ``sampled`` is None or a number of items, at least 1."""
    if sampled is not None:
        check_whole("sampled", sampled, 1)
