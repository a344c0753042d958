"""Search that compares a few leading coordinates of every item, and all of only the best ones.

Fused vectors spread over many dimensions, but the scores of a user over the items come from few of
them. Each dimension is first scaled so that users and items spread alike along it, which changes no
score and makes lengths comparable; then the directions in which both vary most come first. What the
other directions add to a score is at most the product of the two rests' lengths (Cauchy and
Schwarz), so that most items are told from the best ones by their leading coordinates. Items stand
longest first, and the search ends where no shorter one can be among the best (Teflioudi, Gemulla
and Mykytiuk, LEMP, SIGMOD 2015). A ``slack`` below 1 assumes bounds smaller by that factor, at the
cost of some recall; with a slack of 1 the search is exact.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import ArtifactError
from datasets.system.files import UNREADABLE, open_array, write_array
from recsys.index.base import Hits, seen_rows

SCREEN_PARTS = (".coordinates.npy", ".rests.npy", ".lengths.npy", ".rows.npy", ".basis.npy")
"""Suffixes of the files, one of each array of a `Screen`."""

WIDTH = 32
"""Leading coordinates: with the structure of real vectors at 200,000 items, 5,000 of 200,000 are
told from the ten best by nothing but lengths, and then all but 300 by 32 coordinates."""

_SAMPLE = 20_000
"""Users, and items, that directions are chosen by."""

_ROWS_AT_ONCE = 65_536

_FIRST_BLOCK, _LARGEST_BLOCK = 4096, 65_536
"""Items whose coordinates are compared in one product: doubles from the first to the second."""

_AHEAD = 4
"""Of the first block, this many times k items are scored before others are told from them."""

_EPSILON = float(np.finfo(np.float32).eps)

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
        >>> items = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
        >>> screen = Screen.of(items, items[:50], width=2)
        >>> nothing = np.empty(0, np.intp)
        >>> found = screen.search(items, items[7], 1, nothing, slack=1.0)
        >>> 7 in found.rows, len(found.rows) < 5
        (True, True)
    """

    def __init__(
        self,
        coordinates: Float32Array,
        rests: Float32Array,
        lengths: Float32Array,
        rows: NDArray[np.int32],
        basis: Float64Array,
    ) -> None:
        """Take the arrays that `Screen.of` makes.

        Args:
            coordinates: of each item along the leading directions, float32 [n, w].
            rests: length of what is left of each item, float32 [n].
            lengths: length of each scaled item, float32 [n], descending.
            rows: the item of each place, int32 [n].
            basis: the scale of each dimension, then the directions, float64 [D, 1 + w].

        Raises:
            ValueError: they do not fit together.
        """
        n, width = coordinates.shape
        shapes = rests.shape, lengths.shape, rows.shape, basis.shape[1:]
        kinds = "".join(one.dtype.kind for one in (coordinates, rests, lengths, rows, basis))
        if shapes != ((n,), (n,), (n,), (width + 1,)) or kinds != "fffif" or basis.ndim != 2:
            raise ValueError("the parts of the screen do not fit together")
        self._place = np.full(n, -1, np.intp)
        if n and (int(rows.min()) < 0 or int(rows.max()) >= n):
            raise ValueError("the screen has a row that is none")
        self._place[rows] = np.arange(n)
        if (self._place < 0).any():
            raise ValueError("the screen does not have every item once")
        self.arrays = coordinates, rests, lengths, rows, basis
        self._shortness = -lengths
        self._scale, self._directions = basis[:, 0], np.ascontiguousarray(basis[:, 1:])
        self._longest = float(lengths[0]) if n else 0.0
        self._unscaled = float(self._scale.max(initial=0)) * self._longest
        """No item is longer before it is scaled."""

    @classmethod
    def of(cls, items: Float32Array, users: Float32Array, width: int = WIDTH) -> "Screen":
        """Make the screen of item vectors.

        Args:
            items: float32 [n, D].
            users: vectors that will be asked with, float32 [m, D]; directions are chosen by them.
            width: number of leading coordinates.
        """
        n, width = len(items), min(width, items.shape[1])
        scale, directions = _basis(_some(items), _some(users), width)
        own, inverse = directions.astype(np.float32), (1 / scale).astype(np.float32)
        coordinates = np.empty((n, width), np.float32)
        rests, lengths = np.empty(n, np.float32), np.empty(n, np.float32)
        for start in range(0, n, _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            part = np.asarray(items[block]) * inverse
            squares = np.einsum("id,id->i", part, part, dtype=np.float64)
            along = np.matmul(part, own, out=coordinates[block])
            left = squares - np.einsum("id,id->i", along, along, dtype=np.float64)
            # A little longer than they are, by what single precision may have lost.
            rests[block] = np.sqrt(np.maximum(left, 0) + 1e-5 * squares)
            lengths[block] = np.sqrt(squares) * (1 + 1e-5)
        rows = np.argsort(-lengths, kind="stable").astype(np.int32)
        basis = np.hstack([scale[:, None], directions])
        return cls(coordinates[rows], rests[rows], lengths[rows], rows, basis)

    def search(
        self, items: Float32Array, query: Float32Array, k: int, excluded: IntArray, slack: float
    ) -> Found:
        """Find the items that may be among the k best of a query.

        Args:
            items: the vectors that the screen is of, float32 [n, D].
            query: float32 [D].
            k: how many items are wanted.
            excluded: rows to leave out.
            slack: factor of the bounds, in (0, 1].
        """
        coordinates, rests, _lengths, rows, _basis = self.arrays
        scaled = query * self._scale
        exact = scaled @ self._directions
        square = float(scaled @ scaled)
        length = square**0.5
        rest = (max(square - float(exact @ exact), 0) + 1e-7 * square) ** 0.5 * slack
        along = exact.astype(np.float32)
        # By how much the scores that are compared here may be wrong, in single precision.
        unscaled = float(np.linalg.norm(query)) * self._unscaled
        error = (len(query) / 4 + 16) * _EPSILON * (unscaled + length * self._longest)
        out = np.sort(self._place[excluded])
        best, scores = np.empty(0, np.intp), np.empty(0, np.float32)
        least, start, stop, size, scored = -np.inf, 0, len(rows), _FIRST_BLOCK, 0
        while start < stop:
            end, size = min(start + size, stop), min(2 * size, _LARGEST_BLOCK)
            near = coordinates[start:end] @ along
            first, last = out.searchsorted((start, end))
            near[out[first:last] - start] = -np.inf
            bound = near + np.float32(rest) * rests[start:end]
            while True:
                if least == -np.inf:  # nothing to tell others from yet: the nearest come first
                    wanted = min(_AHEAD * k, len(near))
                    places = np.argpartition(near, len(near) - wanted)[len(near) - wanted :]
                    places = places[near[places] > -np.inf]
                else:
                    places = np.flatnonzero(bound >= least)
                if len(places):
                    own = rows[start + places]
                    near[places] = bound[places] = -np.inf
                    scored += len(places)
                    best = np.concatenate([best, own])
                    scores = np.concatenate([scores, items[own] @ query])
                    if len(scores) >= k:
                        at = len(scores) - k
                        least = max(least, float(np.partition(scores, at)[at]) - error)
                        keep = scores >= least
                        best, scores = best[keep], scores[keep]
                if not len(places) or (least > -np.inf and not (bound >= least).any()):
                    break
            start = end
            if least > -np.inf and length > 0:
                reach = np.float32(-least / (length * slack * (1 + 1e-5)))
                stop = min(stop, int(self._shortness.searchsorted(reach, side="right")))
        return Found(best.astype(np.intp), start, scored)


def best_of(items: Float32Array, query: Float32Array, rows: IntArray, k: int) -> Hits:
    """Return the k best of some items, with the bits and the order of a search over all items.

    Examples:
        >>> items = np.float32([[1], [3], [2]])
        >>> best_of(items, np.float32([1]), np.array([2, 0]), 1).item.tolist()
        [2]
    """
    from implicit.cpu.topk import topk

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


class ScreenedIndex:
    """Search over a catalogue by a `Screen` in files.

    Examples:
        >>> items = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
        >>> ScreenedIndex.build(items, items[:50], folder / "index")
        >>> index = ScreenedIndex(folder / "index", items, slack=1.0)
        >>> none = np.array([], int)
        >>> int(index.search(items[7:8], 1, seen=None, banned=none).item[0])
        7
    """

    def __init__(self, path: Path, items: Float32Array, slack: float) -> None:
        """Open the files that `build` wrote; they are memory-mapped.

        Args:
            path: as given to `build`.
            items: the item vectors that it was built for.
            slack: factor of the bounds, in (0, 1]; 1 searches exactly.

        Raises:
            ArtifactError: a file cannot be read, or the files do not fit together.
        """
        self.slack = slack
        self._items = np.asarray(items)
        try:
            parts = [np.asarray(open_array(path.with_suffix(part))) for part in SCREEN_PARTS]
            self._screen = Screen(*parts)
            if self._items.shape != (len(parts[0]), len(parts[-1])):
                raise ValueError("the screen is of other items")
        except UNREADABLE as error:
            raise ArtifactError(
                f"{path}: cannot be read: {str(error) or type(error).__name__}"
            ) from None

    @staticmethod
    def build(items: Float32Array, users: Float32Array, path: Path) -> None:
        """Write an index.

        Args:
            items: item vectors, float32 [n, D].
            users: user vectors, float32 [m, D].
            path: the files get this name and the suffixes `SCREEN_PARTS`.

        Raises:
            DiskFullError: the disk has no room for them.
        """
        for suffix, part in zip(SCREEN_PARTS, Screen.of(items, users).arrays, strict=True):
            write_array(path.with_suffix(suffix), part)

    def with_slack(self, slack: float) -> "ScreenedIndex":
        """Return the same index with another slack."""
        other = copy(self)
        other.slack = slack
        return other

    def __repr__(self) -> str:
        n, dimension = self._items.shape
        return f"<ScreenedIndex: {n:,} items with {dimension} dimensions, slack {self.slack}>"

    @property
    def info(self) -> Mapping[str, object]:
        """The search method and its slack."""
        return {"method": "screened", "slack": self.slack}

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        """Find the k items with the largest inner product; see `Index.search`."""
        parts = []
        for number, query in enumerate(queries):
            own = seen_rows(seen, number)
            excluded = np.concatenate([banned, own]) if len(own) else banned
            found = self._screen.search(self._items, query, k, excluded, self.slack)
            if len(found.rows):
                hits = best_of(self._items, query, found.rows, k)
                parts.append(hits._replace(query=np.full(len(hits.item), number)))
        return Hits.concatenate(parts)

    def share_compared(self, queries: Float32Array, k: int) -> float:
        """Measure the mean share of the catalogue's numbers that a search for the k best reads."""
        nothing = np.empty(0, np.intp)
        numbers = [0.0]
        width, n = self._screen.arrays[0].shape[1], max(self._items.size, 1)
        for query in queries:
            found = self._screen.search(self._items, query, k, nothing, self.slack)
            read = found.compared * (width + 1) + found.scored * self._items.shape[1]
            numbers.append(read / n)
        return float(np.sum(numbers)) / max(len(queries), 1)


def _basis(
    items: Float64Array, users: Float64Array, width: int
) -> tuple[Float64Array, Float64Array]:
    """The scale of each dimension [D], and the leading directions [D, width]."""
    of_items, of_users = (items**2).mean(axis=0), (users**2).mean(axis=0)
    scale = (of_items / np.where(of_users > 0, of_users, 1)) ** 0.25
    largest = float(scale.max(initial=0))
    # Where no item of the sample, or no user, has anything; others may.
    scale = np.maximum(scale, 1e-3 * largest) if largest else np.ones_like(scale)
    q, u = items / scale, users * scale
    moment = np.zeros((len(scale), len(scale)))
    for one in (q, u):
        if square := float((one**2).sum()):
            moment += one.T @ one / square
    return scale, np.ascontiguousarray(np.linalg.eigh(moment)[1][:, ::-1][:, :width])


def _some(vectors: Float32Array) -> Float64Array:
    """Some vectors, spread evenly, in double precision; a zero one where there is none."""
    if not len(vectors):
        return np.zeros((1, vectors.shape[1]))
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.intp))
    return np.asarray(vectors[rows], np.float64)
