"""A screen of item vectors: a few coordinates of each tell most items from a query's best ones.

Fused vectors spread over many dimensions, but the scores of a user over the items come from few of
them. Each dimension is first scaled so that users and items spread alike along it, which changes no
score and makes lengths comparable; then the directions in which both vary most come first. What the
other directions add to a score is at most the product of the two rests' lengths (Cauchy and
Schwarz), so that most items are told from the best ones by their leading coordinates. Items stand
longest first, and the search ends where no shorter one can be among the best (Teflioudi, Gemulla
and Mykytiuk, LEMP, SIGMOD 2015). A ``slack`` below 1 assumes bounds smaller by that factor, at the
cost of some recall; with a slack of 1 the search is exact.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from recsys.index.base import Hits

SCREEN_ARRAYS = ("near", "further", "rests", "lengths", "rows", "basis")
"""Names of the arrays of a `Screen`."""

WIDTHS = (32, 96)
"""How many coordinates are compared first, and how many next. Of 17,664 items of real listening,
330 are left to be compared as a whole for a user, 1,500 for twenty songs that have nothing in
common."""

_SAMPLE = 5_000
"""Users, and items, that directions are chosen by."""

_ROWS_AT_ONCE = 65_536

_FIRST_BLOCK, _LARGEST_BLOCK = 1024, 65_536
"""Items whose coordinates are compared in one product: four times as many each time."""

_AHEAD = (32, 4)
"""Before others are told from them, this many times k items are compared by all coordinates, and
this many as a whole."""

_MOST_SCORED = 4
"""Where more than one in so many items would be compared as a whole, comparing all is faster."""

_WHOLE = 256
"""So many items are compared as a whole at once: they stay in a cache, and those that follow are
told from better ones."""

_DENSE = 3
"""Where more than one in so many items is left of a block, all its coordinates are read."""

_MANY = 4096
"""More items than these are left out by marks rather than in their order."""

_STEP = 16
"""Every so many scores are looked at to learn about how high the largest are."""

_EPSILON = float(np.finfo(np.float32).eps)

_LEAST = float(np.finfo(np.float32).min)

_EDGE = 16
"""A product over rows in a multiple of this gives each row the very bits of one over all rows."""


class Found(NamedTuple):
    """What a screen leaves of the items, for one query."""

    rows: IntArray
    """Rows of the items that may be among the best, in no order."""
    compared: int
    """Items whose leading coordinates were compared."""
    scored: int
    """Items that were compared as a whole."""


class Screen:
    """Leading coordinates of item vectors, longest first.

    Examples:
        >>> items = np.random.default_rng(0).standard_normal((500, 8)) * 0.5 ** np.arange(8)
        >>> items, query = items.astype(np.float32), items[7].astype(np.float32)
        >>> screen = Screen.of(items, [items[:50]], widths=(2, 2))
        >>> found = screen.search(items, query, 1, np.empty(0, np.intp), slack=1.0)
        >>> int((items @ query).argmax()) in found.rows, found.scored < 50
        (True, True)
    """

    def __init__(
        self,
        near: Float32Array,
        further: Float32Array,
        rests: Float32Array,
        lengths: Float32Array,
        rows: NDArray[np.int32],
        basis: Float64Array,
    ) -> None:
        """Take the arrays that `Screen.of` makes.

        Args:
            near: coordinates of each item along the first directions, float32 [n, w1].
            further: those along the next ones, float32 [n, w2].
            rests: what is left of each item's length after both, float32 [n, 2].
            lengths: length of each scaled item, float32 [n], descending.
            rows: the item of each place, int32 [n].
            basis: the scale of each dimension, then the directions, float64 [D, 1 + w1 + w2].

        Raises:
            ValueError: they do not fit together.
        """
        (n, first), (_, second) = near.shape, further.shape
        shapes = further.shape[0], rests.shape, lengths.shape, rows.shape, basis.shape[1:]
        kinds = "".join(one.dtype.kind for one in (near, further, rests, lengths, rows, basis))
        if shapes != (n, (n, 2), (n,), (n,), (1 + first + second,)) or kinds != "ffffif":
            raise ValueError("the parts of the screen do not fit together")
        self._place = np.full(n, -1, np.intp)
        if n and (int(rows.min()) < 0 or int(rows.max()) >= n):
            raise ValueError("the screen has a row that is none")
        self._place[rows] = np.arange(n)
        if (self._place < 0).any():
            raise ValueError("the screen does not have every item once")
        self.arrays: tuple[NDArray[Any], ...] = near, further, rests, lengths, rows, basis
        self._rests = [np.ascontiguousarray(rests[:, 0]), np.ascontiguousarray(rests[:, 1])]
        self._shortness = -lengths
        self._scale, self._directions = basis[:, 0], np.ascontiguousarray(basis[:, 1:])
        self._longest = float(lengths[0]) if n else 0.0
        self._unscaled = float(self._scale.max(initial=0)) * self._longest
        """No item is longer before it is scaled."""

    @classmethod
    def of(
        cls,
        items: Float32Array,
        users: Sequence[Float32Array],
        widths: tuple[int, int] = WIDTHS,
    ) -> "Screen":
        """Make the screen of item vectors.

        Args:
            items: float32 [n, D].
            users: kinds of vectors that will be asked with, float32 [m, D] each: directions are
                chosen by them.
            widths: how many coordinates are compared first, and how many next.
        """
        n, dimensions = items.shape
        first = min(widths[0], dimensions)
        width = min(first + widths[1], dimensions)
        scale, directions = _basis(_some(items), [_some(kind) for kind in users], width)
        own, inverse = directions.astype(np.float32), (1 / scale).astype(np.float32)
        lengths, rests = np.empty(n, np.float32), np.empty((n, 2), np.float32)
        coordinates = np.empty((n, width), np.float32)
        for start in range(0, n, _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            part = np.asarray(items[block]) * inverse
            squares = np.einsum("id,id->i", part, part, dtype=np.float64)
            lengths[block] = np.sqrt(squares) * (1 + 1e-5)
            along = np.matmul(part, own, out=coordinates[block])
            left = squares * (1 + 1e-5)  # by what single precision may have lost
            for place, columns in enumerate((along[:, :first], along[:, first:])):
                left -= np.einsum("id,id->i", columns, columns, dtype=np.float64)
                rests[block, place] = np.sqrt(np.maximum(left, 0) + 1e-5 * squares)
        rows = np.argsort(-lengths, kind="stable").astype(np.int32)
        basis = np.hstack([scale[:, None], directions])
        near, further = coordinates[rows, :first], coordinates[rows, first:]
        return cls(near, further, rests[rows], lengths[rows], rows, basis)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> "Screen | None":
        """Open a screen of which `to_arrays` made these arrays, or None if they are none."""
        parts = [arrays.get(f"{name}_{part}") for part in SCREEN_ARRAYS]
        try:
            return cls(*parts)  # type: ignore[arg-type]
        except (AttributeError, ValueError, IndexError):
            return None

    def to_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays by a name and those of `SCREEN_ARRAYS`."""
        return {f"{name}_{part}": one for part, one in zip(SCREEN_ARRAYS, self.arrays, strict=True)}

    def search(
        self,
        items: "Rows",
        query: Float32Array,
        k: int,
        excluded: IntArray,
        slack: float,
        at_once: int = _FIRST_BLOCK,
        *,
        factors: Float32Array | None = None,
        margin: float = 0.0,
    ) -> "Found | None":
        """Find the items that may be among the k best of a query.

        Args:
            items: the vectors that the screen is of, float32 [n, D], times their factors.
            query: float32 [D].
            k: how many items are wanted.
            excluded: rows to leave out.
            slack: factor of the bounds, in (0, 1].
            at_once: how many of the longest items are compared first; then four times as many,
                and so on.
            factors: what the score of each item is multiplied by, positive, float32 [n], in the
                order of `rows`; 1 if not given.
            margin: items whose score is that much below those of the k best are found as well.

        Returns:
            None where so many may be that it is faster to compare all items.
        """
        rows, n = self.arrays[4], len(self.arrays[4])
        asked = self._asked(query, slack)
        out = self._place[excluded]
        many = np.zeros(n, bool) if len(out) > _MANY else None
        if many is None:
            out = np.sort(out)
        else:
            many[out] = True
        largest = 1.0 if factors is None else float(factors.max(initial=0))
        own_factors = None
        leading = _Leading(items, query, k, asked.error * largest + margin)
        most = max(n // _MOST_SCORED, _AHEAD[1] * k)
        start, stop, size = 0, n, at_once
        while start < stop:
            end, size = min(start + size, stop), max(at_once, min(4 * size, _LARGEST_BLOCK))
            block = slice(start, end)
            near = self.arrays[0][block] @ asked.along[0]
            if factors is not None:
                own_factors = factors[block]
                near *= own_factors
            if many is None:
                first, last = out.searchsorted((start, end))
                near[out[first:last] - start] = -np.inf
            else:
                near[many[block]] = -np.inf
            if leading.least == -np.inf:  # nothing to tell others from yet: the nearest come first
                places = self._nearest(near, block, asked, k, own_factors)
                leading.score(rows[start + places])
                near[places] = -np.inf
            places, at_most = self._remaining(near, block, asked, leading.least, own_factors)
            while len(places):
                if leading.scored + min(len(places), _WHOLE) > most:
                    return None
                if len(places) > _WHOLE:
                    # Those that may score most come first: fewer of the others are left then.
                    order = np.argpartition(at_most, len(places) - _WHOLE)
                    now, later = order[-_WHOLE:], order[:-_WHOLE]
                    leading.score(rows[start + places[now]])
                    later = later[at_most[later] >= leading.least]
                    places, at_most = places[later], at_most[later]
                else:
                    leading.score(rows[start + places])
                    break
            start, least = end, leading.least
            if least > -np.inf and asked.length * largest > 0:
                reach = np.float32(-least / (asked.length * largest * slack * (1 + 1e-5)))
                stop = min(stop, int(self._shortness.searchsorted(reach, side="right")))
        return Found(leading.rows.astype(np.intp), start, leading.scored)

    def _asked(self, query: Float32Array, slack: float) -> "_Asked":
        scaled = query * self._scale
        exact = scaled @ self._directions
        first, square = self.arrays[0].shape[1], float(scaled @ scaled)
        rests = [
            np.float32((max(square - float(part @ part), 0) + 1e-7 * square) ** 0.5 * slack)
            for part in (exact[:first], exact)
        ]
        along = exact.astype(np.float32)
        length = square**0.5
        # By how much scores in single precision may be wrong.
        unscaled = float(np.linalg.norm(query)) * self._unscaled
        error = (len(query) / 4 + 16) * _EPSILON * (unscaled + length * self._longest)
        return _Asked((along[:first], along[first:]), rests, length, error)

    def _nearest(
        self,
        near: Float32Array,
        block: slice,
        asked: "_Asked",
        k: int,
        factors: Float32Array | None,
    ) -> IntArray:
        """Places in a block of the items that score most, as far as coordinates tell."""
        places = _about_the_largest(near, _AHEAD[0] * k)
        rest = self.arrays[1][block][places] @ asked.along[1]
        both = near[places] + (rest if factors is None else rest * factors[places])
        wanted = min(_AHEAD[1] * k, len(places))
        return places[np.argpartition(both, len(both) - wanted)[len(both) - wanted :]]

    def _remaining(
        self,
        near: Float32Array,
        block: slice,
        asked: "_Asked",
        least: float,
        factors: Float32Array | None,
    ) -> tuple[IntArray, Float32Array]:
        """Places in a block of the items that coordinates do not tell from the best ones.

        Also how much each of them scores at most.
        """
        first, second = self._rests[0][block], self._rests[1][block]
        more = asked.rests[0] * first
        if factors is not None:
            more *= factors
        more += near
        places = np.flatnonzero(more >= max(least, _LEAST))  # what is left out has -inf
        further = self.arrays[1][block]
        if _DENSE * len(places) > len(near):
            along = (further @ asked.along[1])[places]
        else:
            along = further[places] @ asked.along[1]
        more = along + asked.rests[1] * second[places]
        at_most = near[places] + (more if factors is None else more * factors[places])
        left = at_most >= least
        return places[left], at_most[left]

    def is_of(self, items: Float32Array) -> bool:
        """Return whether it has as many items, of as many dimensions."""
        return items.shape == (len(self.arrays[0]), len(self.arrays[-1]))

    @property
    def rows(self) -> NDArray[np.int32]:
        """The item of each place, int32 [n]."""
        return self.arrays[4]


def _about_the_largest(scores: Float32Array, n: int) -> IntArray:
    """Places of about the n largest scores, none of which is -inf.

    What they have to reach is told by one score in `_STEP`: to part all takes six times as long.
    """
    some = scores[::_STEP]
    place = max(len(some) - max(n // _STEP, 1), 0)
    least = np.partition(some, place)[place]
    found: IntArray = np.flatnonzero(scores >= least)
    if len(found) > 4 * n or least == -np.inf:
        found = np.argpartition(scores, max(len(scores) - n, 0))[-n:]
        found = found[scores[found] > -np.inf]
    return found


class Rows(Protocol):
    """Vectors of which some rows are read at a time, such as an array."""

    def __getitem__(self, rows: Any, /) -> Float32Array:
        """Return the vectors of rows, float32 [len(rows), D]."""


class _Leading:
    """The items that may be among the k best of those compared as a whole."""

    def __init__(self, items: "Rows", query: Float32Array, k: int, error: float) -> None:
        self._items, self._query, self._k, self._error = items, query, k, error
        self.rows = np.empty(0, np.int32)
        self._scores = np.empty(0, np.float32)
        self.least = -np.inf
        """What an item has to score to be among the best."""
        self.scored = 0

    def score(self, rows: NDArray[np.int32]) -> None:
        """Compare some items as a whole."""
        self.scored += len(rows)
        self.rows = np.concatenate([self.rows, rows])
        self._scores = np.concatenate([self._scores, self._items[rows] @ self._query])
        if (at := len(self._scores) - self._k) >= 0:
            kth = float(np.partition(self._scores, at)[at])
            self.least = max(self.least, kth - self._error)
            keep = self._scores >= np.float32(self.least)
            self.rows, self._scores = self.rows[keep], self._scores[keep]


class _Asked(NamedTuple):
    """A query as a screen sees it."""

    along: tuple[Float32Array, Float32Array]
    """Its coordinates along the first and the next directions."""
    rests: list[np.float32]
    """What is left of its length after each of them, times the slack."""
    length: float
    error: float


def best_of(items: Float32Array, query: Float32Array, rows: IntArray, k: int) -> Hits:
    """Return the k best of some items, with the bits and the order of a search over all items.

    Examples:
        >>> items = np.float32([[1], [3], [2]])
        >>> best_of(items, np.float32([1]), np.array([2, 0]), 1).item.tolist()
        [2]
    """
    from implicit.cpu.topk import topk

    if not len(rows):
        return Hits.empty()
    rows = np.sort(rows)
    padding = np.arange(len(rows), len(rows) + -len(rows) % _EDGE, dtype=np.int32)
    own = np.zeros((len(rows) + len(padding), items.shape[1]), np.float32)
    own[: len(rows)] = items[rows]
    filtered = padding if len(padding) else None
    found, scores = topk(
        own, np.ascontiguousarray(query[None]), min(k, len(rows)), filter_items=filtered,
        num_threads=1,
    )  # fmt: skip
    return Hits(np.zeros(found.shape[1], np.intp), rows[found[0]], scores[0].astype(np.float32))


def _basis(
    items: Float64Array, users: Sequence[Float64Array], width: int
) -> tuple[Float64Array, Float64Array]:
    """The scale of each dimension [D], and the leading directions [D, width]."""
    # Each kind of users counts the same.
    kinds = [one / square**0.5 for one in users if (square := float((one**2).sum()))]
    of_items = (items**2).mean(axis=0)
    of_users = np.sum([(one**2).sum(axis=0) for one in kinds], axis=0) + np.zeros_like(of_items)
    scale = (of_items / np.where(of_users > 0, of_users, 1)) ** 0.25
    largest = float(scale.max(initial=0))
    # Where no item of the sample, or no user, has anything; others may.
    scale = np.maximum(scale, 1e-3 * largest) if largest else np.ones_like(scale)
    moment = np.zeros((len(scale), len(scale)))
    scaled = items / scale
    if square := float((scaled**2).sum()):
        moment += scaled.T @ scaled / square
    asked = [one * scale for one in kinds]
    if square := float(sum((one**2).sum() for one in asked)):
        moment += np.sum([one.T @ one for one in asked], axis=0) / square
    return scale, np.ascontiguousarray(np.linalg.eigh(moment)[1][:, ::-1][:, :width])


def _some(vectors: Float32Array) -> Float64Array:
    """Some vectors, spread evenly, in double precision; a zero one where there is none."""
    if not len(vectors):
        return np.zeros((1, vectors.shape[1]))
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.intp))
    return np.asarray(vectors[rows], np.float64)
