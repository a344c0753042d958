"""Exact search: every query is compared with every item."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from recsys.index.base import Hits, no_hits

_FILTERED = -1e38
"""implicit marks filtered items by a score of about -3.4e38 instead of leaving them out."""


class _Row(NamedTuple):
    indices: NDArray[np.int32]


class _RowByRow:
    """A CSR matrix as ``topk`` reads it: ``[query].indices``, once for each query.

    SciPy makes a matrix of each row, checks included; of 20,000 items that took a quarter of the
    time of a search.
    """

    def __init__(self, matrix: sp.csr_matrix) -> None:
        self._starts = matrix.indptr.tolist()
        self._indices = matrix.indices

    def __getitem__(self, query: int) -> _Row:
        return _Row(self._indices[self._starts[query] : self._starts[query + 1]])


class ExactIndex:
    """Compares a query with every item, by implicit's compiled ``topk``."""

    def __init__(self, items: Float32Array, threads: int = 1) -> None:
        self.items = items
        self.threads = threads

    @property
    def info(self) -> Mapping[str, object]:
        return {"method": "exact"}

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        from implicit.cpu.topk import topk

        if not len(self.items) or not len(queries):
            return no_hits()
        rows, scores = topk(
            np.ascontiguousarray(self.items),
            np.ascontiguousarray(queries),
            min(k, len(self.items)),
            filter_query_items=None if seen is None else _RowByRow(seen),
            filter_items=banned.astype(np.int32) if len(banned) else None,
            num_threads=self.threads,
        )
        found = scores > _FILTERED
        query = np.repeat(np.arange(len(queries)), found.sum(axis=1))
        return Hits(query, rows[found].astype(np.intp), scores[found].astype(np.float32))
