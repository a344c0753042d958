"""Search over a growing catalogue: the items with the largest inner product, under filters.

Filters never leave a list short while enough items are eligible.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray
from recsys.index.base import Hits, Index, best_of, concatenate, no_hits
from recsys.index.exact import ExactIndex

__all__ = ["Hits", "Index", "Searcher", "concatenate", "no_hits"]

_NONE = np.empty(0, np.intp)


@dataclass
class _Room:
    """An array that is twice as long each time it is full, and how much of it is in use."""

    vectors: Float32Array
    used: int = 0


class Searcher:
    """An index over the fitted items and an exact buffer of the items onboarded since.

    Rows count through: the fitted items first, then the buffer in order of arrival.
    """

    def __init__(self, index: Index, items: Float32Array) -> None:
        self._index = index
        self._fitted = items
        self._room = _Room(np.empty((0, items.shape[1]), np.float32))
        self._late = self._room.vectors
        """The vectors in the buffer: the part of the room that this searcher uses."""

    def __len__(self) -> int:
        return len(self._fitted) + len(self._late)

    def append(self, vectors: Float32Array) -> None:
        """Add items [n, D] behind the last row.

        Neither a search that is under way nor a copy of this searcher sees them.
        """
        used, needed = len(self._late), len(self._late) + len(vectors)
        # A copy may have put items of its own behind those that both have.
        if self._room.used != used or len(self._room.vectors) < needed:
            self._room = _Room(np.empty((max(needed, 2 * used), vectors.shape[1]), np.float32))
            self._room.vectors[:used] = self._late
        self._room.vectors[used:needed] = vectors
        self._room.used = needed
        self._late = self._room.vectors[:needed]

    def vectors(self, rows: IntArray) -> Float32Array:
        """Fused vectors [len(rows), D]."""
        found = np.empty((len(rows), self._fitted.shape[1]), np.float32)
        late = rows >= len(self._fitted)
        found[~late] = self._fitted[rows[~late]]
        found[late] = self._late[rows[late] - len(self._fitted)]
        return found

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        seen: sp.csr_matrix | None = None,
        banned: IntArray | None = None,
        only: IntArray | None = None,
    ) -> Hits:
        """The k best rows for each query [q, D], out of ``only`` where given.

        seen: CSR [q, len(self)]; banned: rows that nobody gets.
        """
        banned = _NONE if banned is None else banned
        if only is not None:
            eligible = np.setdiff1d(only, banned)
            hits = ExactIndex(self.vectors(eligible)).search(
                queries, k, None if seen is None else seen[:, eligible].tocsr(), _NONE
            )
            return Hits(hits.query, eligible[hits.item], hits.score)
        n, late = len(self._fitted), self._late
        if not len(late):
            return self._index.search(queries, k, seen, banned)
        early = self._index.search(
            queries, k, None if seen is None else seen[:, :n].tocsr(), banned[banned < n]
        )
        buffered = ExactIndex(late).search(
            queries,
            k,
            None if seen is None else seen[:, n : n + len(late)].tocsr(),
            banned[(banned >= n) & (banned < n + len(late))] - n,
        )
        return best_of([early, Hits(buffered.query, buffered.item + n, buffered.score)], k)
