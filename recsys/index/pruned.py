"""Exact or approximate search that skips items too short to reach the k best (LEMP).

No inner product exceeds the product of the two vectors' lengths. Items are therefore stored longest
first, and a search stops where even an item in the query's direction could not reach the k best
(Teflioudi, Gemulla and Mykytiuk, LEMP, SIGMOD 2015). Few items are long, as few are popular, so
a search compares a small part of the catalogue. Real items point only partly in a query's
direction: a ``slack`` below 1 assumes a bound smaller by that factor and stops earlier, at the cost
of some recall; with a slack of 1 the search is exact.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from datasets.system.files import UNREADABLE, open_array, write_array
from recsys.index.base import Hits, Seen

INDEX_PARTS = (".npy", ".rows.npy", ".lengths.npy")
"""Suffixes of the files: the vectors longest first, their rows in the model, their lengths."""

_FIRST_BLOCK, _LARGEST_BLOCK = 1024, 8192
"""Items compared in one matrix product: doubles from the first number to the second. Large enough
for BLAS to be fast, small enough that few items are compared in vain."""

_ROUNDING = 1 + 1e-5
"""Relative error that float32 may add to an inner product."""


class PrunedIndex:
    """Search over items sorted by length, longest first, which stops early.

    Examples:
        >>> items = np.float32([[1, 0], [0, 3], [2, 2]])
        >>> PrunedIndex.build(items, folder / "index")
        >>> index = PrunedIndex(folder / "index", slack=1.0)
        >>> index.search(np.float32([[1, 0]]), 2, seen=None, banned=np.array([], int)).item.tolist()
        [2, 0]
    """

    def __init__(self, path: Path, slack: float) -> None:
        """Open the files that `build` wrote; they are memory-mapped.

        Args:
            path: as given to `build`.
            slack: factor of the bound on the inner product, in (0, 1]; 1 searches exactly.

        Raises:
            ArtifactError: a file cannot be read, or the files do not fit together.
        """
        self.slack = slack
        self._items: Float32Array = _load(path.with_suffix(INDEX_PARTS[0]))
        self._rows = _load(path.with_suffix(INDEX_PARTS[1]))
        self._shortness = -_load(path.with_suffix(INDEX_PARTS[2]))
        shapes = (self._items.ndim, self._rows.ndim, self._shortness.ndim)
        kinds = (self._items.dtype.kind, self._rows.dtype.kind, self._shortness.dtype.kind)
        if (shapes, kinds) != ((2, 1, 1), ("f", "i", "f")) or not len(self._items) == len(
            self._rows
        ) == len(self._shortness):
            raise ArtifactError(f"{path}: the parts of the index do not fit together")
        if not np.array_equal(np.sort(self._rows), np.arange(len(self._rows))):
            raise ArtifactError(f"{path}: the index does not have every item once")
        self._place = np.empty(len(self._rows), np.intp)
        self._place[self._rows] = np.arange(len(self._rows))

    @staticmethod
    def build(items: Float32Array, path: Path) -> None:
        """Write an index.

        Args:
            items: item vectors, float32 [n_items, D].
            path: the files get this name and the suffixes `INDEX_PARTS`.

        Raises:
            DiskFullError: the disk has no room for them.
        """
        lengths = np.sqrt(np.einsum("ij,ij->i", items, items))
        rows = np.argsort(-lengths, kind="stable").astype(np.int32)
        write_array(path.with_suffix(INDEX_PARTS[1]), rows)
        write_array(path.with_suffix(INDEX_PARTS[2]), lengths[rows])
        write_array(path.with_suffix(INDEX_PARTS[0]), items, order=rows)

    def with_slack(self, slack: float) -> "PrunedIndex":
        """Return the same index with another slack."""
        other = copy(self)
        other.slack = slack
        return other

    def __repr__(self) -> str:
        n, dimension = self._items.shape
        return f"<PrunedIndex: {n:,} items with {dimension} dimensions, slack {self.slack}>"

    @property
    def info(self) -> Mapping[str, object]:
        """The search method and its slack."""
        return {"method": "pruned", "slack": self.slack}

    def search(self, queries: Float32Array, k: int, seen: Seen | None, banned: IntArray) -> Hits:
        """Find the k items with the largest inner product; see `Index.search`."""
        banned_places = np.sort(self._place[banned])
        parts = []
        for number, query in enumerate(queries):
            excluded = banned_places
            if seen is not None:
                own = self._place[seen[number]]
                excluded = np.sort(np.concatenate([banned_places, own]))
            places, scores, _ = self._scan(query, k, excluded)
            rows = self._rows[places].astype(np.intp)
            parts.append(Hits(np.full(len(rows), number), rows, scores))
        return Hits.concatenate(parts)

    def share_compared(self, queries: Float32Array, k: int) -> float:
        """Measure the mean share of the catalogue that a search for the k best compares."""
        nothing = np.empty(0, np.intp)
        compared = [self._scan(query, k, nothing)[2] for query in queries]
        return float(np.mean(compared)) / max(len(self._items), 1) if compared else 0.0

    def _scan(
        self, query: Float32Array, k: int, excluded: IntArray
    ) -> tuple[IntArray, Float32Array, int]:
        """Return places and scores of the k best, best first, and the number of items compared.

        Places are positions in the order by length; `excluded` are places to skip, sorted.
        """
        places, scores = np.empty(0, np.intp), np.empty(0, np.float32)
        reach = float(np.linalg.norm(query)) * self.slack * _ROUNDING
        least, start, stop, size = -np.inf, 0, len(self._items), _FIRST_BLOCK
        while start < stop:
            end, size = min(start + size, stop), min(2 * size, _LARGEST_BLOCK)
            block = self._items[start:end] @ query
            first, last = np.searchsorted(excluded, (start, end))
            block[excluded[first:last] - start] = -np.inf
            better = np.flatnonzero(block > least)
            places = np.concatenate([places, better + start])
            scores = np.concatenate([scores, block[better]])
            if len(places) > k:
                best = np.argpartition(-scores, k - 1)[:k]
                places, scores = places[best], scores[best]
            start = end
            if len(places) == k:
                least = float(scores.min())
                # The first item with length * reach < least ends the search.
                if least > 0:
                    bound = np.float32(-least / reach)  # float64 would convert the whole array
                    stop = int(np.searchsorted(self._shortness, bound, side="right"))
        order = np.argsort(-scores, kind="stable")
        return places[order], scores[order], start


def _load(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(open_array(path))
    except UNREADABLE as error:
        raise ArtifactError(
            f"{path}: cannot be read: {str(error) or type(error).__name__}"
        ) from None
