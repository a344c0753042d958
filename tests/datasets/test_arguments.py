"""Checks of numbers."""

from typing import Any

import numpy as np
import pytest

from datasets.arguments import check_number, check_share, check_whole
from datasets.errors import InvalidArgumentError


@pytest.mark.parametrize("value", [1, 7, np.int32(3), np.uint8(1)])
def test_whole_numbers(value: Any) -> None:
    check_whole("n", value)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, np.float64(2), np.bool_(True), "1", None])
def test_everything_else(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^n must be a whole number of at least 1, not"):
        check_whole("n", value)


def test_the_smallest_is_a_choice() -> None:
    check_whole("seed", 0, 0)
    with pytest.raises(InvalidArgumentError, match="at least 2, not 1"):
        check_whole("folds", 1, 2)


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.int64(1)])
def test_numbers(value: Any) -> None:
    check_number("n", value, least=0, most=1)
    check_share("n", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "1", None, True, 1j])
def test_what_is_no_number(value: Any) -> None:
    for bounds in ({}, {"least": 0.0}, {"above": 0.0}, {"most": 1.0}):
        with pytest.raises(InvalidArgumentError, match=r"^n must be a number .*, not"):
            check_number("n", value, **bounds)
    with pytest.raises(InvalidArgumentError, match=r"^n must be a number from 0 to 1, not"):
        check_share("n", value)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {"least": 0.0}, "of at least 0, not -1"),
        (0, {"above": 0.0}, "above 0, not 0"),
        (2.5, {"least": 0.0, "most": 1.0}, "of at least 0 and of at most 1, not 2.5"),
    ],
)
def test_out_of_bounds(value: Any, bounds: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^n must be a number {message}$"):
        check_number("n", value, **bounds)
