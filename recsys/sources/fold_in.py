"""Fold-in by weighted least squares: vectors of new users from their items, or items from users.

As implicit ALS folds a user in (Hu, Koren and Volinsky, 2008): with the item vectors fixed, the
user vector minimises the squared error of target 0 with confidence 1 for every item, and of target
1 with confidence ALPHA times its weight for each played item. This also works for sources that are
not trained by least squares, and for cold items in a history, whose vectors are predicted. With
users and items exchanged, it gives the vector of an item from the users who play it.
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from recsys.data import CSRArrays

ALPHA = 10.0
"""Confidence of a play of weight 1; an item that was not played has confidence 1."""

RIDGE = 0.3
"""L2 penalty on the new vector, as a multiple of the fixed vectors' mean energy per dimension."""

_BATCH = 64
"""Linear systems solved together; bounds the memory to that many [d, d] matrices."""


def least_squares(history: Float32Array, weights: Float32Array, gram: Float64Array) -> Float32Array:
    """Solve for one user's vector.

    Args:
        history: Vectors of the played items, float32 [h, d].
        weights: Their play weights, float32 [h]; 1 for a usual play.
        gram: VᵀV of all item vectors V, float64 [d, d].

    Returns:
        float32 [d].

    Example:
        >>> items = np.float32([[1, 0], [0, 1], [1, 1]])
        >>> gram = (items.T @ items).astype(float)
        >>> user = least_squares(items[:1], np.ones(1, np.float32), gram)  # played the first item
        >>> (items @ user).argsort()[::-1].tolist()  # which now scores best, the second worst
        [0, 2, 1]
    """
    return np.linalg.solve(*_normal_equations(history, weights, gram)).astype(np.float32)


def least_squares_batch(
    vectors: Float32Array, histories: CSRArrays, gram: Float64Array
) -> Float32Array:
    """Solve for the vectors of many users at once, in batches of bounded memory.

    Args:
        vectors: Item vectors, float32 [n_items, d].
        histories: Play weights of each user's items, CSR float32 [n_users, n_items].
        gram: VᵀV of all item vectors V, float64 [d, d].

    Returns:
        float32 [n_users, d], rows as `least_squares` would give them.
    """
    n, d = len(histories.indptr) - 1, len(gram)
    solutions = np.empty((n, d), np.float32)
    for start in range(0, n, _BATCH):
        bounds = histories.indptr[start : start + _BATCH + 1]
        left, right = np.empty((len(bounds) - 1, d, d)), np.empty((len(bounds) - 1, d, 1))
        for row in range(len(bounds) - 1):
            own = slice(bounds[row], bounds[row + 1])
            left[row], right[row, :, 0] = _normal_equations(
                vectors[histories.indices[own]], histories.data[own], gram
            )
        solutions[start : start + len(left)] = np.linalg.solve(left, right)[:, :, 0]
    return solutions


def _normal_equations(
    history: Float32Array, weights: Float32Array, gram: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the matrix [d, d] and the right-hand side [d] of the least-squares problem."""
    X = history.astype(np.float64)
    confidence = ALPHA * weights.astype(np.float64)
    # The vectors of a catalogue of one item are zero; then any unit gives the zero vector.
    unit = float(np.trace(gram)) / len(gram) or float((X**2).sum()) or 1.0
    left = gram + (X.T * (confidence - 1)) @ X
    left.flat[:: len(gram) + 1] += RIDGE * unit  # the diagonal
    return left, X.T @ confidence
