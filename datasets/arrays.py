"""The array types of the whole library; shapes and units stand in the docstrings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]
"""Rows, counts and codes, of any width."""
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]
"""Texts as Python strings, as pandas keeps them."""
