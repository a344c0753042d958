"""Search among all users for those who score one item highest: the index asked the other way round.

An item's score is the inner product of a user's fused vector and the item's, so the best users are
found as the best items are: by one product with the matrix of all users. That of the fit is taken
as it lies on the disk, memory-mapped: nothing is copied. Users who have played something since have
vectors of their own, which are kept from one search to the next.

Reading the vectors is what takes time. Where they are many and long, a part of each is read: its
coordinates along the few directions that items' vectors take (`_Screen`). No score differs from
what those say by more than the product of the lengths of the two rests, so that all but a few users
are out of the question, and these few are scored exactly. Nothing is lost: where the rests are too
long to rule anybody out, all vectors are read.
"""

from typing import NamedTuple

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.data import ItemContent
from recsys.model.state import FittedState
from recsys.model.users import ActiveVectors, UserTable

_ROWS = 65_536
"""Users whose vectors are read at once, where all of them are."""

SCREENED = 2**27
"""Bytes of users' vectors from which on they are screened; fewer are read in a few milliseconds."""

_WIDTHS_KNOWN, _WIDTHS_NEW = (48, 112), (32, 64)
"""Coordinates of a user that a screen holds: those that are compared for everybody, and those for
whoever is left. Vectors of new items are predicted from content, and take fewer directions."""

_SAMPLE = 10_000
"""Users and items of whose vectors the directions are learned, at most."""

_FIRST = 1000
"""So many users at least are scored exactly to learn how high a score has to be."""

_MOST_LEFT = 0.33
"""Largest share of the users that the first coordinates may leave; of more, all are scored."""

_STEP = 16
"""Every so many scores are looked at to learn about how high the largest are."""

_LOST = 1e-5
"""Share of a squared length that single precision may lose where coordinates are measured."""

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
        self._screens: dict[bool, _Screen | None] | None = None
        """For items that nobody has played (True), and for the others."""

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
        is_new: bool = False,
    ) -> BestUsers:
        """Find the k users with the largest inner product with an item's vector.

        Args:
            users: the users as they are now.
            item: the item's fused vector, float32 [D].
            k: how many.
            exclude: rows of users to leave out.
            only: rows of users to choose from; all if not given.
            is_new: whether nobody has played the item: its vector then lies where predicted ones
                do. That makes the search faster, and changes nothing else.

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
        n = len(self._state.user_vectors)
        is_left = np.ones(len(users), bool)
        is_left[exclude] = False
        since = np.flatnonzero(active.vectors.any(axis=1) & is_left[active.rows])
        allowed = is_left[:n] & has_vector
        allowed[active.rows[active.rows < n]] = False
        scores = active.vectors[since] @ item
        rounding = _rounding(max(longest, _longest(active.vectors)), item)
        rows, fitted = self._fitted_candidates(scores, allowed, item, k, rounding, is_new=is_new)
        rows = np.concatenate([rows, active.rows[since]])
        leading = rows[_leading(np.concatenate([fitted, scores]), k, rounding)]
        return _best(leading, users.vectors(leading), item, k)

    def _fitted_candidates(
        self,
        others: Float32Array,
        allowed: BoolArray,
        item: Float32Array,
        k: int,
        rounding: float,
        *,
        is_new: bool,
    ) -> tuple[IntArray, Float32Array]:
        """Score the users of the fit who may be among the k best.

        Args:
            others: the scores of the users who came or changed since.
            allowed: which users of the fit may be found, bool [n].
            item: the item's vector.
            k: how many are wanted.
            rounding: by how much two scores may change places by rounding.
            is_new: whether nobody has played the item.

        Returns:
            Rows, ascending, and their scores.
        """
        vectors, n = np.asarray(self._state.user_vectors), len(allowed)
        screen = None
        if vectors.nbytes >= SCREENED and n >= _FIRST + 64 * k:
            screen = self._screen(is_new=is_new)
        if screen is not None:
            question = screen.ask(item, rounding)
            near = question.near()
            near[~allowed] = -np.inf
            first = _about_the_largest(near, 4 * k + _FIRST)
            best = np.concatenate([vectors[first[allowed[first]]] @ item, others])
            # Whoever is among the k best has at least the k-th best score found so far.
            place = len(best) - k
            least = float(np.partition(best, place)[place]) - rounding if place >= 0 else -np.inf
            left = np.flatnonzero(near >= least - question.apart())
            if least > -np.inf and len(left) <= n * _MOST_LEFT:
                left = left[question.at_most(left, near[left]) >= least]
                return left, vectors[left] @ item
        scores = vectors @ item
        scores[~allowed] = -np.inf
        rows = _leading(scores, k, rounding)
        return rows, scores[rows]

    def _screen(self, *, is_new: bool) -> "_Screen | None":
        """The screen for items that nobody has played, or for the others.

        Both are made at the first search, so that none of the later ones takes long.
        """
        if self._screens is None:  # of two threads that come at once, both make them
            state = self._state
            rng = np.random.default_rng(0)
            rows = np.sort(rng.permutation(len(state.user_vectors))[:_SAMPLE])
            users = np.asarray(state.user_vectors[rows], np.float64)
            made: dict[bool, _Screen | None] = {}
            for new, (first, second), items in (
                (True, _WIDTHS_NEW, _vectors_of_new(state, rng)),
                (False, _WIDTHS_KNOWN, _vectors_of_known(state, rng)),
            ):
                made[new], width = None, items.shape[1]
                if 2 * first <= width and items.any() and users.any():
                    widths = first, min(second, width - first)
                    made[new] = _Screen(state.user_vectors, users, items, widths, is_new=new)
            self._screens = made
        return self._screens[is_new]

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


class _Screen:
    """Users' coordinates along the directions of items' vectors, and the lengths of the rests.

    Each dimension is first scaled so that users and items spread alike along it; scores stay what
    they are. The directions are orthonormal, so that the length of a rest follows from lengths.

    It takes 4 (widths + 2) bytes a user: for a million of them 648 MB, and 392 MB for new items.
    """

    def __init__(
        self,
        vectors: Float32Array,
        users: Float64Array,
        items: Float64Array,
        widths: tuple[int, int],
        *,
        is_new: bool,
    ) -> None:
        """Choose the directions and measure all users along them.

        Args:
            vectors: those of all users, float32 [n, D].
            users: those of a sample of them, float64 [m, D].
            items: vectors of items, float64 [l, D].
            widths: how many directions are compared first, and how many next.
            is_new: take the directions that tell items alone, which are few where they are new;
                otherwise those that tell both.
        """
        of_users, of_items = (users**2).mean(axis=0), (items**2).mean(axis=0)
        scale = (of_items / np.where(of_users > 0, of_users, 1)) ** 0.25
        scale = np.maximum(scale, 1e-3 * scale.max())  # where no item of the sample has anything
        q, u = items / scale, users * scale
        second_moment = q.T @ q / (q**2).sum()
        if not is_new:
            second_moment += u.T @ u / (u**2).sum()
        directions = np.linalg.eigh(second_moment)[1][:, ::-1]
        n, width = len(vectors), widths[0]
        self.scale = scale
        self.directions = directions[:, :width], directions[:, width : sum(widths)]
        self.coordinates = tuple(np.empty((n, wide), np.float32) for wide in widths)
        self.rests = tuple(np.empty(n, np.float32) for _ in widths)
        self.longest = 0.0
        scale32, own = scale.astype(np.float32), [one.astype(np.float32) for one in self.directions]
        for start in range(0, n, _ROWS):
            block = slice(start, start + _ROWS)
            part = np.asarray(vectors[block]) * scale32
            squares = np.einsum("ud,ud->u", part, part, dtype=np.float64)
            self.longest = max(self.longest, float(squares.max(initial=0)) ** 0.5)
            rest = squares.copy()
            for place, one in enumerate(own):
                along = np.matmul(part, one, out=self.coordinates[place][block])
                rest -= np.einsum("ud,ud->u", along, along, dtype=np.float64)
                # A little longer than they are, by what single precision may have lost.
                self.rests[place][block] = np.sqrt(np.maximum(rest, 0) + _LOST * squares)

    def ask(self, item: Float32Array, rounding: float) -> "_Question":
        """Prepare to compare everybody with an item.

        Args:
            item: the item's vector, float32 [D].
            rounding: error of an exact score.
        """
        rest = item.astype(np.float64) / self.scale
        error = rounding + 4 * len(item) * _EPSILON * self.longest * float(np.linalg.norm(rest))
        along, rests = [], []
        for directions in self.directions:
            along.append(directions.T @ rest)
            rest = rest - directions @ along[-1]
            rests.append(float(np.linalg.norm(rest)))
        return _Question(self, along, rests, error)


class _Question:
    """An item as a screen sees it."""

    def __init__(
        self, screen: _Screen, along: list[Float64Array], rests: list[float], error: float
    ) -> None:
        self._screen = screen
        self._along = [one.astype(np.float32) for one in along]
        self._rests = [np.float32(one) for one in rests]
        self._error = np.float32(error)

    def near(self) -> Float32Array:
        """What the first coordinates say of everybody's score, [n]."""
        return self._screen.coordinates[0] @ self._along[0]

    def apart(self) -> Float32Array:
        """By how much a score may be larger than that, [n]."""
        return self._screen.rests[0] * self._rests[0] + self._error

    def at_most(self, rows: IntArray, near: Float32Array) -> Float32Array:
        """How large the scores of some users may be at most by all coordinates, [rows].

        Args:
            rows: the users.
            near: what the first coordinates say of them.
        """
        further = self._screen.coordinates[1][rows] @ self._along[1]
        return near + further + self._screen.rests[1][rows] * self._rests[1] + self._error


def _vectors_of_known(state: FittedState, rng: np.random.Generator) -> Float64Array:
    """Vectors of items that somebody has played, float64 [l, D]."""
    rows = rng.permutation(np.flatnonzero(state.user_counts))[:_SAMPLE]
    return np.asarray(state.item_vectors[np.sort(rows)], np.float64)


def _vectors_of_new(state: FittedState, rng: np.random.Generator) -> Float64Array:
    """Vectors that items would have if nobody had played them, float64 [l, D]."""
    heard = np.flatnonzero(state.has_embedding)
    rows = np.sort(rng.permutation(heard if len(heard) else len(state.items))[:_SAMPLE])
    content = ItemContent(
        np.asarray(state.embeddings[rows]),
        np.asarray(state.has_embedding[rows]),
        state.vocabulary.encode(state.items.iloc[rows]),
    )
    return state.fuse_content(content).astype(np.float64)


def _about_the_largest(scores: Float32Array, k: int) -> IntArray:
    """Places of about the k largest scores, of at least 1 and of no more than 4 k of them."""
    some = scores[::_STEP]
    place = len(some) - max(k // _STEP, 1)
    found = np.flatnonzero(scores >= np.partition(some, place)[place])
    return found[: 4 * k]


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
