"""Linear systems and decompositions with a finite answer for every finite input.

LAPACK gives up on a singular system, and now and then on a decomposition that does not converge; on
a system whose parts differ by more than double precision can hold, it gives infinite values. What
it solves is returned as it is. Where it fails, the answer is that of least squares: directions in
which the system says nothing count as zero.
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import ColdtuneError

_NEGLIGIBLE = 1e-12
"""Share of the largest eigenvalue below which the others count as zero."""

_LARGEST = 1e300
"""Values are limited to this, so that sums of them are finite."""


def solve_symmetric(left: Float64Array, right: Float64Array) -> Float64Array:
    """Solve symmetric systems; by least squares where one is singular or ill-scaled.

    Args:
        left: one matrix [d, d], or several [n, d, d].
        right: [d], or several columns [n, d, c].

    Returns:
        As `right`; finite.

    Raises:
        ColdtuneError: a value is not a finite number.

    Examples:
        >>> solve_symmetric(np.diag([2.0, 4.0]), np.array([2.0, 2.0])).tolist()
        [1.0, 0.5]
        >>> solve_symmetric(np.diag([2.0, 0.0]), np.array([2.0, 2.0])).tolist()
        [1.0, 0.0]
    """
    _check_finite(left, right)
    try:
        with np.errstate(all="ignore"):
            found: Float64Array = np.asarray(np.linalg.solve(left, right), np.float64)
        if np.isfinite(found).all():
            return found
    except np.linalg.LinAlgError:
        if left.ndim > 2:  # one of them is singular; the others are not to be changed for it
            pairs = zip(left, right, strict=True)
            return np.stack([solve_symmetric(one, own) for one, own in pairs])
    if left.ndim > 2:
        bad = ~np.isfinite(found).reshape(len(found), -1).all(axis=1)
        for number in np.flatnonzero(bad):
            found[number] = _least_squares(left[number], right[number])
        return found
    return _least_squares(left, right)


def _least_squares(left: Float64Array, right: Float64Array) -> Float64Array:
    """The shortest solution of least squares of one symmetric system."""
    size, height = float(np.abs(left).max(initial=0)), float(np.abs(right).max(initial=0))
    if size == 0 or height == 0:
        return np.zeros_like(right)
    values, basis = symmetric_eigen(left / size)
    known = np.abs(values) > _NEGLIGIBLE * np.abs(values).max()
    inverse = np.divide(1, values, out=np.zeros_like(values), where=known)
    solution = basis @ (inverse * (basis.T @ (right / height)).T).T
    with np.errstate(all="ignore"):
        # Their quotient may be beyond the range of numbers where each of them is not.
        scaled = solution * (height / size) if np.isfinite(height / size) else solution * _LARGEST
    return np.clip(np.nan_to_num(scaled), -_LARGEST, _LARGEST)


def symmetric_eigen(matrix: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Compute the eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    Args:
        matrix: [n, n].

    Returns:
        Values [n] and vectors [n, n], one a column.

    Raises:
        ColdtuneError: a value is not a finite number.

    Examples:
        >>> values, vectors = symmetric_eigen(np.diag([3.0, 1.0]))
        >>> values.tolist()
        [1.0, 3.0]
    """
    import scipy.linalg

    _check_finite(matrix)
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:  # divide and conquer gave up; QR iteration rarely does
        size = float(np.abs(matrix).max(initial=0)) or 1.0
        values, vectors = scipy.linalg.eigh(matrix / size, driver="ev")
        values = values * size
    return values, vectors


def largest_eigen(matrix: Float64Array, k: int) -> tuple[Float64Array, Float64Array]:
    """Compute the k largest eigenvalues, ascending, and their eigenvectors; all if k is larger.

    Args:
        matrix: symmetric, [n, n].
        k: how many, at least 1.

    Returns:
        Values [min(k, n)] and vectors [n, min(k, n)], one a column.

    Raises:
        ColdtuneError: a value is not a finite number.

    Examples:
        >>> largest_eigen(np.diag([3.0, 1.0, 2.0]), 2)[0].tolist()
        [2.0, 3.0]
    """
    import scipy.linalg

    n = len(matrix)
    if k < n // 2:
        _check_finite(matrix)
        try:
            return tuple(scipy.linalg.eigh(matrix, subset_by_index=(n - k, n - 1)))
        except np.linalg.LinAlgError:
            pass
    values, vectors = symmetric_eigen(matrix)
    return values[-k:], vectors[:, -k:]


def right_singular_vectors(matrix: Float64Array) -> Float64Array:
    """Compute the right singular vectors of a matrix, most important first.

    Args:
        matrix: [n, m].

    Returns:
        [min(n, m), m], one a row.

    Raises:
        ColdtuneError: a value is not a finite number.

    Examples:
        >>> np.abs(right_singular_vectors(np.array([[0.0, 2.0], [1.0, 0.0]]))).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    import scipy.linalg

    _check_finite(matrix)
    try:
        return np.linalg.svd(matrix, full_matrices=False)[2]
    except np.linalg.LinAlgError:
        size = float(np.abs(matrix).max(initial=0)) or 1.0
        found = scipy.linalg.svd(matrix / size, full_matrices=False, lapack_driver="gesvd")
        return np.asarray(found[2])


def invert_symmetric(matrix: Float64Array) -> Float64Array:
    """Invert a symmetric matrix [n, n]; what is singular in it stays zero.

    Raises:
        ColdtuneError: a value is not a finite number.

    Examples:
        >>> invert_symmetric(np.diag([2.0, 0.0])).tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    _check_finite(matrix)
    try:
        with np.errstate(all="ignore"):
            found: Float64Array = np.asarray(np.linalg.inv(matrix), np.float64)
        if np.isfinite(found).all():
            return found
    except np.linalg.LinAlgError:
        pass
    return _least_squares(matrix, np.eye(len(matrix)))


def single_precision(values: Float64Array) -> Float32Array:
    """Convert to float32; what would be infinite becomes the largest number that is not.

    Examples:
        >>> bool(np.isfinite(single_precision(np.array([1e300]))).all())
        True
    """
    most = float(np.finfo(np.float32).max)
    return np.clip(values, -most, most).astype(np.float32)


def _check_finite(*arrays: Float64Array) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ColdtuneError("a linear system holds a value that is not a finite number")
