"""Check that the arrays of a saved model fit together, before compiled code reads them.

Digests show that files are as they were saved, not that they were saved by this library. An index
of a row that does not exist would crash the process in compiled code.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.data import ItemContent

if TYPE_CHECKING:
    from recsys.model.state import FittedState


def check_array(name: str, array: NDArray[Any], kind: str, *shape: int) -> None:
    """Check type and shape of an array.

    Args:
        name: how the error names it.
        array: the array.
        kind: kinds of NumPy's ``dtype.kind`` that are allowed, such as "f" or "iu".
        shape: the shape; -1 for any size.

    Raises:
        ValueError: another type or shape.
    """
    fits = array.ndim == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in kind or not fits:
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
    check_array(f"{name}_data", data, "f", -1)
    check_array(f"{name}_indptr", indptr, "iu", shape[0] + 1)
    check_rows(f"{name}_indices", indices, shape[1])
    if len(data) != len(indices) or indptr[0] != 0 or indptr[-1] != len(data):
        raise ValueError(f"{name}: data, indices and indptr do not fit together")
    if (np.diff(indptr.astype(np.int64)) < 0).any():
        raise ValueError(f"{name}_indptr falls")


def check_state(state: "FittedState") -> None:
    """Check that shapes, types and indices of a state fit together.

    Raises:
        ValueError: names the array that does not.
    """
    n_users, n_items = len(state.user_ids), len(state.items)
    width = sum(block.columns.stop - block.columns.start for block in state.blocks)
    check_array("user_vectors", state.user_vectors, "f", n_users, width)
    check_array("item_vectors", state.item_vectors, "f", n_items, width)
    check_array("user_scales", state.user_scales, "f", n_users, len(state.blocks))
    check_array("embeddings", state.embeddings, "f", n_items, -1)
    check_array("has_embedding", state.has_embedding, "b", n_items)
    start = 0
    for block in state.blocks:
        if block.columns.start != start or block.columns.stop < start:
            raise ValueError("the blocks of the sources do not follow one another")
        start, size = block.columns.stop, block.columns.stop - start
        check_array(f"block_{block.name}_mean", block.mean, "f", size)
        check_array(f"block_{block.name}_covariance", block.covariance, "f", size, size)
        numbers = (block.warm, block.cold, block.n_items, block.mean, block.covariance)
        if not all(np.isfinite(number).all() for number in numbers):
            raise ValueError(f"block {block.name!r} is not finite")
        _check_source(state, block.name, size)


def _check_source(state: "FittedState", name: str, size: int) -> None:
    """Let a source predict the vectors of an item with and of one without an embedding."""
    content = ItemContent(
        np.zeros((2, state.embeddings.shape[1]), np.float32),
        np.array([True, False]),
        sp.csr_matrix((2, len(state.vocabulary.values)), dtype=np.float32),
    )
    vectors = state.sources[name].item_vectors(content)
    check_array(f"vectors of source {name!r}", vectors, "f", 2, size)
    if not np.isfinite(vectors).all():
        raise ValueError(f"source {name!r} predicts vectors that are not finite")
