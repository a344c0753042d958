"""Approximate search: Annoy proposes candidates, the exact inner product orders them.

Annoy's trees for the Euclidean distance find far more of the best than those for its ``dot``
metric, so the largest inner product is made the nearest neighbour (Bachrach et al., RecSys 2014):
items are centred, which moves all of a query's scores alike, and get one more dimension that makes
them all equally long; a query is scaled to that length and has 0 there.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from recsys.index.base import Hits, seen_rows
from recsys.index.exact import ExactIndex

SUFFIX = ".annoy"


class AnnoyIndex:
    """Where filters leave fewer than k of the candidates, that query is searched exactly."""

    def __init__(
        self, path: Path, items: Float32Array, search_k: int, length: float, threads: int = 1
    ) -> None:
        """Open an index that :meth:`build` wrote for these items.

        search_k: nodes looked at in a search. length: what :meth:`build` returned. Whoever calls
        makes sure that the file is of these items, since Annoy itself loads anything.
        Raises ArtifactError where the file cannot be read.
        """
        from annoy import AnnoyIndex as Annoy

        self.search_k = search_k
        self._length = length
        self._annoy = Annoy(items.shape[1] + 1, "euclidean")
        try:
            self._annoy.load(str(path.with_suffix(SUFFIX)))
        except OSError as error:
            raise ArtifactError(f"{path.with_suffix(SUFFIX)}: cannot be read: {error}") from None
        self._exact = ExactIndex(items, threads)

    @staticmethod
    def build(items: Float32Array, path: Path, n_trees: int, seed: int) -> float:
        """Write an index of all rows of ``items``; return the length they got."""
        from annoy import AnnoyIndex as Annoy

        mean = items.mean(axis=0, dtype=np.float64) if len(items) else np.zeros(items.shape[1])
        mean = mean.astype(np.float32)
        longest = max((float(np.linalg.norm(vector - mean)) for vector in items), default=0.0)
        annoy = Annoy(items.shape[1] + 1, "euclidean")
        annoy.set_seed(max(seed, 1))  # Annoy takes 0 for "not set"
        annoy.on_disk_build(str(path.with_suffix(SUFFIX)))
        for row, vector in enumerate(items):
            centred = vector - mean
            rest = max(longest * longest - float(centred @ centred), 0.0) ** 0.5
            annoy.add_item(row, np.append(centred, np.float32(rest)))
        annoy.build(n_trees, n_jobs=1)  # one job: the same seed gives the same file
        annoy.unload()
        return longest

    def with_search_k(self, search_k: float) -> "AnnoyIndex":
        """The same index with another width of search."""
        other = copy(self)
        other.search_k = int(search_k)
        return other

    @property
    def info(self) -> Mapping[str, object]:
        return {"method": "annoy", "search_k": self.search_k, "n_trees": self._annoy.get_n_trees()}

    def search(
        self, queries: Float32Array, k: int, seen: sp.csr_matrix | None, banned: IntArray
    ) -> Hits:
        items = self._exact.items
        if self.search_k >= len(items):
            return self._exact.search(queries, k, seen, banned)
        hidden = np.zeros(len(items), bool)
        hidden[banned] = True
        parts = []
        for number, query in enumerate(queries):
            own = seen_rows(seen, number)
            # Look further where much of what is near may be hidden, but never more than twice.
            wanted = self.search_k + min(len(own) + len(banned), self.search_k)
            wanted = min(max(wanted, 2 * k + len(own)), len(items))
            length = float(np.linalg.norm(query)) or 1.0
            nearest = self._annoy.get_nns_by_vector(
                np.append(query * (self._length / length), np.float32(0)),
                wanted,
                max(wanted, self.search_k),
            )
            candidates = np.array(nearest, np.intp)
            candidates = candidates[~hidden[candidates]]
            if len(own):
                candidates = candidates[~np.isin(candidates, own)]
            if len(candidates) < k:
                hits = self._exact.search(
                    query[None], k, None if seen is None else seen[number], banned
                )
                parts.append(Hits(hits.query + number, hits.item, hits.score))
                continue
            scores = items[candidates] @ query
            best = np.argpartition(-scores, k - 1)[:k]
            best = best[np.argsort(-scores[best], kind="stable")]
            parts.append(Hits(np.full(k, number), candidates[best], scores[best]))
        return Hits.concatenate(parts)
