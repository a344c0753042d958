"""Search in order of length: items too short to reach the k best are never looked at.

No inner product exceeds the product of the lengths. So items are kept longest first, and a query
stops where even an item that points exactly its way would no longer be among its k best
(Teflioudi, Gemulla and Mykytiuk, LEMP, SIGMOD 2015). Few items of a catalogue are long, as few are
popular, so this is a small part of it. Real items point only partly the query's way: a ``slack``
below 1 takes the bound for that much smaller and stops earlier, at the cost of some recall; with
1 the search is exact.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from recsys.index.base import Hits, concatenate, own_rows

PARTS = (".npy", ".rows.npy", ".lengths.npy")
"""Suffixes of its files: the vectors longest first, their rows in the model, their lengths."""

_FIRST, _BLOCK = 1024, 8192
"""Items compared at once, doubling from the first number to the second: enough to make a call of
BLAS worth while, and few that are compared in vain."""

_ROUNDING = 1 + 1e-5
"""What float32 may add to an inner product."""


class PrunedIndex:
    """Compares a query with the longest items until no shorter one can be better."""

    def __init__(self, path: Path, slack: float) -> None:
        """Open the files that :meth:`build` wrote; they are mapped, not read.

        slack: in (0, 1]. Raises ArtifactError where a file cannot be read.
        """
        self.slack = slack
        self._items: Float32Array = _load(path.with_suffix(PARTS[0]))
        self._rows = _load(path.with_suffix(PARTS[1]))
        self._shortness = -_load(path.with_suffix(PARTS[2]))
        if not len(self._items) == len(self._rows) == len(self._shortness):
            raise ArtifactError(f"{path}: the parts of the index do not fit together")
        self._place = np.empty(len(self._rows), np.intp)
        self._place[self._rows] = np.arange(len(self._rows))

    @staticmethod
    def build(items: Float32Array, path: Path) -> None:
        """Write an index of all rows of ``items``."""
        lengths = np.sqrt(np.einsum("ij,ij->i", items, items))
        rows = np.argsort(-lengths, kind="stable").astype(np.int32)
        np.save(path.with_suffix(PARTS[1]), rows)
        np.save(path.with_suffix(PARTS[2]), lengths[rows])
        if not items.size:  # which cannot be mapped
            np.save(path.with_suffix(PARTS[0]), np.zeros(items.shape, np.float32))
            return
        stored = np.lib.format.open_memmap(
            path.with_suffix(PARTS[0]), "w+", np.float32, items.shape
        )
        for start in range(0, len(items), _BLOCK):
            stored[start : start + _BLOCK] = items[rows[start : start + _BLOCK]]
        stored.flush()

    def with_slack(self, slack: float) -> "PrunedIndex":
        """The same index with another slack."""
        other = copy(self)
        other.slack = slack
        return other

    @property
    def info(self) -> Mapping[str, object]:
        return {"method": "pruned", "slack": self.slack}

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        hidden = np.sort(self._place[banned])
        parts = []
        for number, query in enumerate(queries):
            own = self._place[own_rows(seen, number)]
            away = np.sort(np.concatenate([hidden, own])) if len(own) else hidden
            places, scores, _ = self._scan(query, k, away)
            rows = self._rows[places].astype(np.intp)
            parts.append(Hits(np.full(len(rows), number), rows, scores))
        return concatenate(parts)

    def share_compared(self, queries: Float32Array, k: int) -> float:
        """Mean share of the catalogue that a search for k looks at."""
        nothing = np.empty(0, np.intp)
        compared = [self._scan(query, k, nothing)[2] for query in queries]
        return float(np.mean(compared)) / max(len(self._items), 1) if compared else 0.0

    def _scan(
        self, query: Float32Array, k: int, away: IntArray
    ) -> tuple[IntArray, Float32Array, int]:
        """Places and scores of the k best, best first, and how many items were compared.

        away: places that must not be found, sorted.
        """
        places, scores = np.empty(0, np.intp), np.empty(0, np.float32)
        reach = float(np.linalg.norm(query)) * self.slack * _ROUNDING
        least, start, stop, size = -np.inf, 0, len(self._items), _FIRST
        while start < stop:
            end, size = min(start + size, stop), min(2 * size, _BLOCK)
            block = self._items[start:end] @ query
            first, last = np.searchsorted(away, (start, end))
            block[away[first:last] - start] = -np.inf
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
                    bound = np.float32(-least / reach)  # of another type, all would be converted
                    stop = int(np.searchsorted(self._shortness, bound, side="right"))
        order = np.argsort(-scores, kind="stable")
        return places[order], scores[order], start


def _load(path: Path) -> NDArray[Any]:
    try:
        try:
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except ValueError:  # an empty array cannot be mapped
            return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
