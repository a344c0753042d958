"""Exact nearest-neighbour search: compare each query with every item."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.system.forking import openmp_threads
from recsys.index.base import Hits, Seen
from recsys.index.screen import WIDTHS, Screen, best_of

_MIN_SCORE = -1e38
"""`topk` of implicit gives filtered items a score of about -3.4e38 instead of leaving them out."""


Questions = Callable[[], Sequence[Float32Array]]
"""Makes kinds of vectors such as will be asked with, float32 [m, D] each."""

_LEAST_SCREENED = 4096
"""Fewer items are compared as a whole at once."""


class _SparseRow(NamedTuple):
    indices: NDArray[np.int32]


class _SparseRows:
    """What each query has seen as `topk` reads it: ``[query].indices``, once per query."""

    def __init__(self, seen: Seen) -> None:
        self._starts = seen.indptr.tolist()
        self._indices = seen.indices.astype(np.int32, copy=False)

    def __getitem__(self, query: int) -> _SparseRow:
        return _SparseRow(self._indices[self._starts[query] : self._starts[query + 1]])


class ExactIndex:
    """Exact search by the compiled `topk` of the library implicit.

    Examples:
        >>> index = ExactIndex(np.float32([[1, 0], [0, 1], [1, 1]]))
        >>> hits = index.search(np.float32([[2, 1]]), 2, seen=None, banned=np.array([2]))
        >>> hits.item.tolist(), hits.score.tolist()
        ([0, 1], [2.0, 1.0])
    """

    def __init__(
        self,
        items: Float32Array,
        threads: int = 1,
        users: Questions | None = None,
        screen: Screen | None = None,
    ) -> None:
        """Search item vectors.

        Args:
            items: float32 [n_items, D].
            threads: threads of a search for several queries.
            users: makes vectors such as will be asked with. With it, single queries are answered
                by a `Screen`, which finds the same several times faster; it is made for the second
                of them.
            screen: that screen, where there is one already; one of other items is not used.
        """
        self.items = items
        self.threads = threads
        self._users = users
        self._asked = False
        self._screen = screen if screen is not None and screen.is_of(items) else None

    def __repr__(self) -> str:
        n, dimension = self.items.shape
        return f"<ExactIndex: {n:,} items with {dimension} dimensions>"

    @property
    def info(self) -> Mapping[str, object]:
        """The search method, always ``exact``."""
        return {"method": "exact"}

    def search(self, queries: Float32Array, k: int, seen: Seen | None, banned: IntArray) -> Hits:
        """Find the k items with the largest inner product; see `Index.search`."""
        from implicit.cpu.topk import topk

        if not len(self.items) or not len(queries):
            return Hits.empty()
        if len(queries) == 1 and (screen := self._screen_for(k)) is not None:
            excluded = banned if seen is None else np.concatenate([banned, seen[0]])
            items = np.asarray(self.items)
            found = screen.search(items, queries[0], k, excluded, 1.0, at_once=len(items))
            if found is not None:
                return best_of(items, queries[0], found.rows, k)
        rows, scores = topk(
            np.ascontiguousarray(self.items),
            np.ascontiguousarray(queries),
            min(k, len(self.items)),
            filter_query_items=None if seen is None else _SparseRows(seen),
            filter_items=banned.astype(np.int32) if len(banned) else None,
            num_threads=openmp_threads(self.threads),
        )
        found = scores > _MIN_SCORE
        query = np.repeat(np.arange(len(queries)), found.sum(axis=1))
        return Hits(query, rows[found].astype(np.intp), scores[found].astype(np.float32))

    def screen(self) -> Screen | None:
        """Return the screen for single queries, made if it is not there; None where none helps."""
        n, width = self.items.shape
        if self._users is None or n < _LEAST_SCREENED or width < 2 * WIDTHS[0]:
            return None
        if self._screen is None:  # of two threads that come at once, both make it
            self._screen = Screen.of(self.items, self._users())
        return self._screen

    def _screen_for(self, k: int) -> Screen | None:
        """The screen for a single query; None where comparing all items is as fast."""
        first, self._asked = not self._asked, True
        if 32 * k > len(self.items) or (first and self._screen is None):
            return None
        return self.screen()
