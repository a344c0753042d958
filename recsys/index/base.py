"""Search results (`Hits`) and the `Index` protocol that all nearest-neighbour indexes follow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray


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

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        """Find the k items with the largest inner product for each query.

        Args:
            queries: float32 [q, D].
            k: number of items per query.
            seen: CSR [q, n_items]; a stored entry excludes that item for that query. None excludes
                nothing.
            banned: rows of items to exclude for all queries, int [m].

        Returns:
            At most k hits per query; fewer only if fewer items are left.
        """


def seen_rows(seen: sp.csr_matrix | None, query: int) -> IntArray:
    """Return the rows excluded for one query."""
    if seen is None:
        return np.empty(0, np.intp)
    return np.asarray(seen.indices[seen.indptr[query] : seen.indptr[query + 1]], np.intp)
