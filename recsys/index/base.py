"""What a search finds, and the protocol of everything that searches."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray


class Hits(NamedTuple):
    """Found items as flat arrays of one length: by query, and within a query best first."""

    query: IntArray
    item: IntArray
    score: Float32Array


class Index(Protocol):
    """Something that finds the k best items."""

    @property
    def info(self) -> Mapping[str, object]:
        """How it searches: ``method`` and, where it was measured, ``recall`` and its settings."""

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        """The k items with the largest inner product with each query.

        queries: float32 [q, D]. seen: CSR [q, n_items] with an entry where that query must not
        find that item. banned: rows that no query may find. Fewer than k only when fewer are left.
        """


def own_rows(seen: sp.csr_matrix | None, number: int) -> IntArray:
    """The rows that one query must not find."""
    if seen is None:
        return np.empty(0, np.intp)
    return np.asarray(seen.indices[seen.indptr[number] : seen.indptr[number + 1]], np.intp)


def best_of(parts: Sequence[Hits], k: int) -> Hits:
    """The k best of each query out of several lists of hits."""
    hits = concatenate(parts)
    order = np.lexsort((-hits.score, hits.query))
    query = hits.query[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)
    keep = order[rank < k]
    return Hits(hits.query[keep], hits.item[keep], hits.score[keep])


def concatenate(parts: Sequence[Hits]) -> Hits:
    """Several lists of hits, one behind the other."""
    return Hits(*(np.concatenate(columns) for columns in zip(no_hits(), *parts, strict=True)))


def no_hits() -> Hits:
    """An empty list."""
    return Hits(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))
