"""How well the nearest songs are of the same genre, or by the same artist."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import InvalidArgumentError

_BLOCK = 1024
"""Queries compared with everything at once."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Precision of the k nearest, one value a query; means, intervals and tests are the caller's.

    Compare ``precision`` with ``chance``, and remember that ``ceiling`` may be below 1.
    """

    queries: IntArray
    """Rows that were asked for: those with a label that some other candidate has too."""

    precision: Float64Array
    """Of the k nearest candidates, the share with the query's label."""

    chance: Float64Array
    """What candidates in random order give on average."""

    ceiling: Float64Array
    """What the best order gives; below 1 where fewer than k candidates have the label."""


def retrieval_precision(
    vectors: ArrayLike,
    labels: ArrayLike,
    k: int = 10,
    *,
    groups: ArrayLike | None = None,
    queries: ArrayLike | None = None,
) -> Retrieval:
    """Precision@k of the nearest by cosine: hits / k, also where there are fewer candidates.

    vectors: [n, d]; a zero vector is never a candidate and finds nothing (precision 0). labels:
    [n]; ``""`` is unknown: no query, and as a candidate a miss. groups: [n], such as artists:
    candidates of the query's own group are left out, or else two songs of an album would count as
    two that sound like a genre; ``""`` is a group of one. queries: rows to ask for, all by default.
    Of equally near candidates the first rows come first.

    Raises InvalidArgumentError for arrays that do not fit together, values that are not finite,
    or k < 1.
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
    kept_apart = _numbers(groups, len(table))
    rows = np.arange(len(table)) if queries is None else np.asarray(queries)
    if rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= len(table)):
        raise InvalidArgumentError(f"queries must be rows from 0 to {len(table) - 1}")
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, norms, out=np.zeros_like(table), where=norms > 0)
    there = norms[:, 0] > 0
    rows = rows.astype(np.intp)[names[rows.astype(np.intp)] != ""]
    parts = [
        _block(units, there, names, kept_apart, rows[start : start + _BLOCK], k)
        for start in range(0, len(rows), _BLOCK)
    ]
    hits, relevant, candidates = (
        np.concatenate([part[number] for part in parts] or [np.empty(0)]) for number in range(3)
    )
    asked = relevant > 0
    hits, relevant, candidates = hits[asked], relevant[asked], candidates[asked]
    return Retrieval(
        queries=rows[asked],
        precision=hits / k,
        # Of min(k, c) random ones out of c candidates, each is relevant with probability r / c.
        chance=np.minimum(k, candidates) * relevant / candidates / k,
        ceiling=np.minimum(relevant, k) / k,
    )


def _block(
    units: Float64Array,
    there: BoolArray,
    names: NDArray[np.str_],
    groups: IntArray,
    rows: IntArray,
    k: int,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """For each query: hits among the k nearest, candidates with its label, candidates."""
    allowed = there[None] & (groups[rows][:, None] != groups[None])
    same = (names[rows][:, None] == names[None]) & allowed
    cosines = np.where(allowed, units[rows] @ units.T, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    # A query without a vector has no nearest.
    hits = np.take_along_axis(same, nearest, axis=1).sum(axis=1) * there[rows]
    return hits.astype(float), same.sum(axis=1).astype(float), allowed.sum(axis=1).astype(float)


def _numbers(groups: ArrayLike | None, n: int) -> IntArray:
    """A number for each row, the same for rows of a group; without groups each stands alone."""
    if groups is None:
        return np.arange(n)
    names = np.asarray(groups, dtype=str)
    if names.shape != (n,):
        raise InvalidArgumentError(f"groups [{n}] are needed, not {names.shape}")
    numbers = np.unique(names, return_inverse=True)[1].astype(np.intp)
    blank = np.flatnonzero(names == "")
    numbers[blank] = numbers.max(initial=0) + 1 + np.arange(len(blank))
    return numbers
