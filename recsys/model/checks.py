"""Check that the arrays of a saved model fit together, before compiled code reads them.

Digests show that files are as they were saved, not that they were saved by this library. An index
of a row that does not exist would crash the process in compiled code.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_array(name: str, array: NDArray[Any], kind: str, *shape: int) -> None:
    """Check type and shape of an array.

    Args:
        name: how the error names it.
        array: the array.
        kind: kinds of NumPy's ``dtype.kind`` that are allowed, such as "f" or "iu"; "f4" for
            float32 alone.
        shape: the shape; -1 for any size.

    Raises:
        ValueError: another type or shape.
    """
    fits = array.ndim == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    of_kind = array.dtype == np.float32 if kind == "f4" else array.dtype.kind in kind
    if not (of_kind and array.dtype.isnative and fits):
        sizes = ", ".join("any" if size == -1 else str(size) for size in shape)
        raise ValueError(
            f"{name} is {array.dtype} of shape {list(array.shape)}, it should be of shape [{sizes}]"
        )


def check_rows(name: str, rows: NDArray[Any], n: int) -> None:
    """Check that rows are whole numbers from 0 to n - 1.

    Raises:
        ValueError: they are not.
    """
    check_array(name, rows, "iu", -1)
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < n:
        raise ValueError(f"{name} has rows outside 0 to {n - 1}")


def check_matrix_parts(
    name: str,
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    shape: tuple[int, int],
) -> None:
    """Check that data, indices and indptr are those of a CSR matrix of this shape.

    Raises:
        ValueError: they are not.
    """
    check_array(f"{name}_data", data, "f4", -1)
    check_array(f"{name}_indptr", indptr, "iu", shape[0] + 1)
    check_rows(f"{name}_indices", indices, shape[1])
    if len(data) != len(indices) or indptr[0] != 0 or indptr[-1] != len(data):
        raise ValueError(f"{name}: data, indices and indptr do not fit together")
    if (np.diff(indptr.astype(np.int64)) < 0).any():
        raise ValueError(f"{name}_indptr falls")
