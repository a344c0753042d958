"""Checks of whole numbers."""

from typing import Any

import numpy as np
import pytest

from datasets.arguments import check_whole
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
