"""A nearest-neighbour index that grows: an index over the fitted items plus an exact buffer.

Filters never leave a list short while enough items are eligible.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from datasets.arrays import Float32Array, IntArray
from recsys.index.base import Hits, Index, Seen
from recsys.index.exact import ExactIndex

_NO_ROWS = np.empty(0, np.intp)


@dataclass
class _Buffer:
    """A preallocated array, doubled when full, and the number of rows in use by any index."""

    vectors: Float32Array
    used: int = 0


class GrowingIndex:
    """An `Index` over the fitted items, and exact search over the items appended since.

    Rows are numbered consecutively: the fitted items first, then appended items in order of
    arrival. Copies (`copy.copy`) share the buffer but not each other's later items.

    Examples:
        >>> from recsys.index import ExactIndex
        >>> items = np.float32([[3], [1]])
        >>> index = GrowingIndex(ExactIndex(items), items)
        >>> index.append(np.float32([[2]]))
        >>> len(index), index.search(np.float32([[1]]), k=2).item.tolist()
        (3, [0, 2])
    """

    def __init__(self, index: Index, items: Float32Array) -> None:
        """Wrap an index.

        Args:
            index: an index over `items`.
            items: fitted item vectors, float32 [n_items, D].
        """
        self._index = index
        self._fitted = items
        self._buffer = _Buffer(np.empty((0, items.shape[1]), np.float32))
        self._added = self._buffer.vectors
        """The appended vectors: the part of the buffer that this index sees."""

    def __repr__(self) -> str:
        return f"<GrowingIndex: {self._index!r} and {len(self._added):,} items since>"

    def __len__(self) -> int:
        return len(self._fitted) + len(self._added)

    def append(self, vectors: Float32Array) -> None:
        """Add items behind the last row.

        Neither a search in progress nor a copy of this index sees them.

        Args:
            vectors: float32 [n, D].
        """
        used, needed = len(self._added), len(self._added) + len(vectors)
        # A copy may have written its own items behind the rows that both share.
        if self._buffer.used != used or len(self._buffer.vectors) < needed:
            grown = np.empty((max(needed, 2 * used), vectors.shape[1]), np.float32)
            self._buffer = _Buffer(grown)
            self._buffer.vectors[:used] = self._added
        self._buffer.vectors[used:needed] = vectors
        self._buffer.used = needed
        self._added = self._buffer.vectors[:needed]

    def keeping(self, rows: IntArray) -> "GrowingIndex":
        """Return an index with these of the appended rows alone, in this order."""
        other = copy(self)
        vectors = self._added[rows - len(self._fitted)]
        other._buffer = _Buffer(vectors, len(vectors))
        other._added = vectors
        return other

    def vectors(self, rows: IntArray) -> Float32Array:
        """Return the item vectors of some rows, float32 [len(rows), D]."""
        found = np.empty((len(rows), self._fitted.shape[1]), np.float32)
        added = rows >= len(self._fitted)
        found[~added] = self._fitted[rows[~added]]
        found[added] = self._added[rows[added] - len(self._fitted)]
        return found

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        seen: Seen | None = None,
        banned: IntArray | None = None,
        only: IntArray | None = None,
    ) -> Hits:
        """Find the k items with the largest inner product for each query.

        Args:
            queries: float32 [q, D].
            k: number of items per query.
            seen: rows to exclude for each query.
            banned: rows to exclude for all queries.
            only: if given, search these rows only.

        Returns:
            At most k hits per query; fewer only if fewer items are eligible.
        """
        banned = _NO_ROWS if banned is None else banned
        if only is not None:
            eligible = np.setdiff1d(only, banned)
            hits = ExactIndex(self.vectors(eligible)).search(
                queries, k, None if seen is None else seen.among(eligible), _NO_ROWS
            )
            return Hits(hits.query, eligible[hits.item], hits.score)
        n, added = len(self._fitted), self._added
        if not len(added):
            return self._index.search(queries, k, seen, banned)
        fitted_hits = self._index.search(
            queries, k, None if seen is None else seen.between(0, n), banned[banned < n]
        )
        added_hits = ExactIndex(added).search(
            queries,
            k,
            None if seen is None else seen.between(n, n + len(added)),
            banned[(banned >= n) & (banned < n + len(added))] - n,
        )
        renumbered = added_hits._replace(item=added_hits.item + n)
        return best_hits([fitted_hits, renumbered], k)


def best_hits(parts: Sequence[Hits], k: int) -> Hits:
    """Return the k best items of each query among the hits of several searches.

    Examples:
        >>> query = np.array([0, 0])
        >>> known = Hits(query, np.array([4, 7]), np.float32([3, 1]))
        >>> new = Hits(query[:1], np.array([9]), np.float32([2]))
        >>> best_hits([known, new], 2).item.tolist()
        [4, 9]
    """
    query, item, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((-score, query))
    rank = np.arange(len(query)) - np.searchsorted(query[order], query[order])
    keep = order[rank < k]
    return Hits(query[keep], item[keep], score[keep])
