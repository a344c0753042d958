"""Search among all users for those who score one item highest: the index asked the other way round.

An item's score is the inner product of a user's fused vector and the item's, so the best users are
found as the best items are: by one product with the matrix of all users. That of the fit is taken
as it lies on the disk, memory-mapped: nothing is copied. Users who have played something since have
vectors of their own, which are kept from one search to the next.
"""

from typing import NamedTuple

import numpy as np

from datasets.arrays import BoolArray, Float32Array, IntArray
from recsys.model.state import FittedState
from recsys.model.users import ActiveVectors, UserTable

_ROWS = 65_536
"""Users whose vectors are read at once, where all of them are."""

_EPSILON = 2.0**-24
"""Relative error of one operation in single precision."""

_MOST_MORE = 10_000
"""So many users more than are wanted are scored again in double precision, at most: where more are
alike to within rounding, the first of them are taken."""


class BestUsers(NamedTuple):
    """The users with the highest scores, best first; equal ones in the order of their rows."""

    rows: IntArray
    scores: Float32Array


class UserSearch:
    """Exact search among all users of a fit and those who came since; shared by its live models.

    Users whose vector is zero, of whom nothing is known, are never found.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> model = load_model(folder / "model")
        >>> item = model.index.vectors(np.array([3]))[0]
        >>> best = model.user_search.best(model.users, item, 5)
        >>> best.scores.tolist() == sorted(best.scores.tolist(), reverse=True)
        True
    """

    def __init__(self, state: FittedState) -> None:
        self._state = state
        self._facts: tuple[BoolArray, float] | None = None
        """Which users of the fit have a vector, bool [n], and the length of the longest."""
        self._active: ActiveVectors | None = None
        """The vectors of those who have played something since, as they were asked for last."""

    def __repr__(self) -> str:
        return f"<UserSearch: {len(self._state.user_vectors):,} users of the fit>"

    def best(
        self,
        users: UserTable,
        item: Float32Array,
        k: int,
        *,
        exclude: IntArray | None = None,
        only: IntArray | None = None,
    ) -> BestUsers:
        """Find the k users with the largest inner product with an item's vector.

        Args:
            users: the users as they are now.
            item: the item's fused vector, float32 [D].
            k: how many.
            exclude: rows of users to leave out.
            only: rows of users to choose from; all if not given.

        Returns:
            At most k users; fewer only if fewer are left.
        """
        exclude = np.empty(0, np.intp) if exclude is None else exclude
        if only is not None:
            rows = np.setdiff1d(only, exclude)
            vectors = users.vectors(rows)
            scores = np.where(vectors.any(axis=1), vectors @ item, -np.inf).astype(np.float32)
            leading = _leading(scores, k, _rounding(_longest(vectors), item))
            return _best(rows[leading], vectors[leading], item, k)
        has_vector, longest = self._fitted()
        active = self._active = users.active_vectors(self._active)
        fitted = self._state.user_vectors
        scores = np.full(len(users), -np.inf, np.float32)
        np.matmul(fitted, item, out=scores[: len(fitted)])
        scores[: len(fitted)][~has_vector] = -np.inf
        since = active.vectors @ item
        since[~active.vectors.any(axis=1)] = -np.inf
        scores[active.rows] = since
        scores[exclude] = -np.inf
        longest = max(longest, _longest(active.vectors))
        leading = _leading(scores, k, _rounding(longest, item))
        return _best(leading, users.vectors(leading), item, k)

    def _fitted(self) -> tuple[BoolArray, float]:
        """Which users of the fit have a vector, and the length of the longest."""
        if self._facts is None:  # of two threads that come at once, both read them
            vectors = self._state.user_vectors
            known, longest = np.empty(len(vectors), bool), 0.0
            for start in range(0, len(vectors), _ROWS):
                part = np.asarray(vectors[start : start + _ROWS])
                known[start : start + _ROWS] = part.any(axis=1)
                longest = max(longest, _longest(part))
            self._facts = known, longest
        return self._facts


def _longest(vectors: Float32Array) -> float:
    """Length of the longest vector."""
    return float(np.einsum("ud,ud->u", vectors, vectors).max(initial=0)) ** 0.5


def _rounding(longest: float, item: Float32Array) -> float:
    """By how much two scores of vectors of at most this length may change places by rounding."""
    return 2 * len(item) * _EPSILON * longest * float(np.linalg.norm(item))


def _leading(scores: Float32Array, k: int, slack: float) -> IntArray:
    """Places of the scores that are among the k largest, or within `slack` of being so.

    Places whose score is -inf are none of them.
    """
    n = len(scores)
    least = float(np.partition(scores, n - k)[n - k]) - slack if k < n else -np.inf
    found = np.flatnonzero(scores >= least)
    if least == -np.inf:
        found = found[scores[found] > -np.inf]
    if len(found) > k + _MOST_MORE:
        order = np.argsort(-scores[found], kind="stable")
        found = np.sort(found[order[: k + _MOST_MORE]])
    return found


def _best(rows: IntArray, vectors: Float32Array, item: Float32Array, k: int) -> BestUsers:
    """Score users in double precision and take the k best, equal ones in the order of rows."""
    exact = vectors.astype(np.float64) @ item.astype(np.float64)
    scores = exact.astype(np.float32)
    order = np.lexsort((rows, -scores))[:k]
    return BestUsers(rows[order], scores[order])
