"""Search results (`Hits`) and the `Index` protocol that all nearest-neighbour indexes follow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from datasets.arrays import BoolArray, Float32Array, IntArray


class Hits(NamedTuple):
    """Items found for a batch of queries: three arrays of one length, sorted by query and rank.

    Examples:
        >>> hits = Hits(np.array([0, 0, 1]), np.array([7, 3, 7]), np.float32([2.5, 1.0, 0.5]))
        >>> hits.item[hits.query == 0].tolist()  # the items found for query 0, best first
        [7, 3]
    """

    query: IntArray
    """Number of the query that found the item."""

    item: IntArray
    """Row of the item."""

    score: Float32Array
    """Inner product of query and item."""

    @classmethod
    def empty(cls) -> "Hits":
        """Return hits without any item."""
        return cls(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence["Hits"]) -> "Hits":
        """Join hits end to end, in the given order."""
        return cls(*(np.concatenate(columns) for columns in zip(cls.empty(), *parts, strict=True)))


class Seen:
    """The rows that each query of a batch must not find: the arrays of a CSR matrix of marks.

    SciPy's own class checks them at every step, which takes longer than the rest of a list.

    Examples:
        >>> seen = Seen.of([np.array([5, 7]), np.array([2])])
        >>> [seen[query].tolist() for query in range(len(seen))]
        [[5, 7], [2]]
        >>> seen.between(3, 6)[0].tolist()
        [2]
    """

    __slots__ = ("indices", "indptr")

    def __init__(self, indices: IntArray, indptr: IntArray) -> None:
        """Take the arrays of a CSR matrix.

        Args:
            indices: the rows of all queries, one query after another.
            indptr: where those of each query begin, and where the last ones end, int [q + 1].
        """
        self.indices = indices
        self.indptr = indptr

    @classmethod
    def of(cls, rows: Sequence[IntArray]) -> "Seen":
        """Take the rows of each query."""
        if len(rows) == 1:
            return cls(rows[0], np.array([0, len(rows[0])]))
        whole = np.concatenate([np.empty(0, np.intp), *rows])
        return cls(whole, np.cumsum([0, *map(len, rows)]))

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.indptr) - 1

    def __getitem__(self, query: int) -> IntArray:
        """Return the rows of one query."""
        start, stop = self.indptr[query : query + 2].tolist()
        return self.indices[start:stop]

    @property
    def queries(self) -> IntArray:
        """The query of each of the `indices`."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def take(self, queries: IntArray) -> "Seen":
        """Return the rows of some queries, in the order given."""
        return Seen.of([self[query] for query in queries.tolist()])

    def between(self, start: int, stop: int) -> "Seen":
        """Return those of the rows from `start` to `stop`, counted from `start`."""
        return self._where((self.indices >= start) & (self.indices < stop), self.indices - start)

    def among(self, rows: IntArray) -> "Seen":
        """Return those among some rows, ascending ones, as places there."""
        if not len(rows):
            return Seen.of([rows] * len(self))
        places = np.minimum(np.searchsorted(rows, self.indices), len(rows) - 1)
        return self._where(rows[places] == self.indices, places)

    def _where(self, keep: BoolArray, indices: IntArray) -> "Seen":
        before = np.concatenate([[0], np.cumsum(keep)])
        return Seen(indices[keep], before[self.indptr])


class Index(Protocol):
    """A search structure over item vectors that finds the k largest inner products.

    Examples:
        >>> from recsys.index import ExactIndex
        >>> index: Index = ExactIndex(np.float32([[1, 0], [0, 1], [1, 1]]))
        >>> index.search(np.float32([[2, 1]]), 2, seen=None, banned=np.array([], int)).item.tolist()
        [2, 0]
    """

    @property
    def info(self) -> Mapping[str, object]:
        """How the index searches: ``method`` and the settings of that method."""

    def search(self, queries: Float32Array, k: int, seen: Seen | None, banned: IntArray) -> Hits:
        """Find the k items with the largest inner product for each query.

        Args:
            queries: float32 [q, D].
            k: number of items per query.
            seen: rows of items to exclude for each query; None excludes nothing.
            banned: rows of items to exclude for all queries, int [m].

        Returns:
            At most k hits per query; fewer only if fewer items are left.
        """
