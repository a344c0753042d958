"""Label precision of nearest neighbours: how many of the nearest songs share genre or artist."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import InvalidArgumentError

_QUERIES_AT_ONCE = 1024
"""Queries compared with all candidates at once."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Precision of the k nearest neighbours, one value a query.

    Compare ``precision`` with ``chance``; ``ceiling`` may be below 1.

    Examples:
        >>> from evaluation import retrieval_precision
        >>> found = retrieval_precision(images.reshape(24, -1), labels, k=5)
        >>> bool(found.precision.mean() > found.chance.mean())
        True
    """

    queries: IntArray
    """[n_queries], rows of the queries: those with a label that another candidate has too."""

    precision: Float64Array
    """[n_queries], share of the k nearest candidates that have the query's label."""

    chance: Float64Array
    """[n_queries], the expected precision of candidates in random order."""

    ceiling: Float64Array
    """[n_queries], the best possible precision; below 1 if fewer than k candidates have the
    label."""


def retrieval_precision(
    vectors: ArrayLike,
    labels: ArrayLike,
    k: int = 10,
    *,
    groups: ArrayLike | None = None,
    queries: ArrayLike | None = None,
) -> Retrieval:
    """Compute precision@k of the nearest neighbours by cosine.

    Precision is hits / k, also where there are fewer than k candidates. Of equally near candidates
    the first rows come first.

    Args:
        vectors: [n, d]; a zero vector is never a candidate, and as a query has precision 0.
        labels: [n]; ``""`` is unknown: such a row is no query, and as a candidate a miss.
        k: number of neighbours.
        groups: [n], such as artists: candidates of the query's own group are left out, or else two
            songs of an album would count as two that sound like a genre. ``""`` is a group of one.
        queries: rows to use as queries; all by default.

    Raises:
        InvalidArgumentError: arrays that do not fit together, values that are not finite, or k < 1.

    Examples:
        >>> from evaluation import retrieval_precision
        >>> vectors = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]
        >>> retrieval_precision(vectors, ["rock", "rock", "jazz", "jazz"], k=1).precision
        array([1., 1., 1., 1.])
    """
    table = np.asarray(vectors, np.float64)
    names = np.asarray(labels, dtype=str)
    if table.ndim != 2 or names.shape != (len(table),):
        raise InvalidArgumentError(
            f"vectors [n, d] and labels [n] are needed, not {table.shape} and {names.shape}"
        )
    if not np.isfinite(table).all():
        raise InvalidArgumentError("vectors: there is a value that is not a finite number")
    if k < 1:
        raise InvalidArgumentError(f"k must be at least 1, not {k}")
    group_numbers = _group_numbers(groups, len(table))
    rows = np.arange(len(table)) if queries is None else np.asarray(queries)
    if rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= len(table)):
        raise InvalidArgumentError(f"queries must be rows from 0 to {len(table) - 1}")
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, norms, out=np.zeros_like(table), where=norms > 0)
    nonzero = norms[:, 0] > 0
    rows = rows.astype(np.intp)[names[rows.astype(np.intp)] != ""]
    blocks = [
        _count_hits(units, nonzero, names, group_numbers, rows[start : start + _QUERIES_AT_ONCE], k)
        for start in range(0, len(rows), _QUERIES_AT_ONCE)
    ]
    hits, relevant, candidates = (
        np.concatenate([block[number] for block in blocks] or [np.empty(0)]) for number in range(3)
    )
    answerable = relevant > 0
    hits, relevant, candidates = hits[answerable], relevant[answerable], candidates[answerable]
    return Retrieval(
        queries=rows[answerable],
        precision=hits / k,
        # Of min(k, c) random ones out of c candidates, each is relevant with probability r / c.
        chance=np.minimum(k, candidates) * relevant / candidates / k,
        ceiling=np.minimum(relevant, k) / k,
    )


def _count_hits(
    units: Float64Array,
    nonzero: BoolArray,
    names: NDArray[np.str_],
    groups: IntArray,
    rows: IntArray,
    k: int,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """For each query: hits among the k nearest, candidates with its label, candidates."""
    allowed = nonzero[None] & (groups[rows][:, None] != groups[None])
    same = (names[rows][:, None] == names[None]) & allowed
    cosines = np.where(allowed, units[rows] @ units.T, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    # A zero vector has no nearest neighbours.
    hits = np.take_along_axis(same, nearest, axis=1).sum(axis=1) * nonzero[rows]
    return hits.astype(float), same.sum(axis=1).astype(float), allowed.sum(axis=1).astype(float)


def _group_numbers(groups: ArrayLike | None, n: int) -> IntArray:
    """A number for each row, the same within a group; without groups each row has its own."""
    if groups is None:
        return np.arange(n)
    names = np.asarray(groups, dtype=str)
    if names.shape != (n,):
        raise InvalidArgumentError(f"groups [{n}] are needed, not {names.shape}")
    numbers = np.unique(names, return_inverse=True)[1].astype(np.intp)
    blank = np.flatnonzero(names == "")
    numbers[blank] = numbers.max(initial=0) + 1 + np.arange(len(blank))
    return numbers
