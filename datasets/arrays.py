"""Array types of the whole library; shapes and units are given in docstrings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]
"""Row numbers, counts and codes, of any width."""
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]
"""Text as Python strings, as pandas keeps it in columns of dtype object."""
