"""Approximate search by Annoy's random projection trees; exact inner products order the candidates.

Annoy's trees for the Euclidean distance find far more of the best items than those for its ``dot``
metric. So the largest inner product is made the nearest neighbour (Bachrach et al., RecSys 2014):
items are centred, which shifts all of a query's scores alike, and get one more dimension that makes
them all equally long; a query is scaled to that length and has 0 there.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError, NotCopiedError
from datasets.system.temporary import room_for
from recsys.index.base import Hits, Seen
from recsys.index.exact import ExactIndex

_NO_ROWS = np.empty(0, np.intp)

_CHECKED = 2**14
"""Nodes that are checked at once."""

SUFFIX = ".annoy"
"""Suffix of the index file."""


class AnnoyIndex:
    """Approximate search; a query with fewer than k candidates after filters is searched exactly.

    Examples:
        >>> items = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
        >>> length = AnnoyIndex.build(items, folder / "index", n_trees=10, seed=0)
        >>> index = AnnoyIndex(folder / "index", items, search_k=50, length=length)
        >>> index.search(items[:2], 3, seen=None, banned=np.array([0])).query.tolist()
        [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self, path: Path, items: Float32Array, search_k: int, length: float, threads: int = 1
    ) -> None:
        """Open an index that `build` wrote for these items.

        The caller has to make sure that the file belongs to the items: Annoy loads any file.

        Args:
            path: as given to `build`.
            items: item vectors, float32 [n_items, D].
            search_k: number of nodes to inspect per search.
            length: what `build` returned.
            threads: threads for exact search.

        Raises:
            ArtifactError: the file cannot be read.
        """
        from annoy import AnnoyIndex as Annoy

        self.search_k = search_k
        self._length = length
        self._annoy = Annoy(items.shape[1] + 1, "euclidean")
        file = path.with_suffix(SUFFIX)
        try:
            _check_nodes(file, len(items), items.shape[1] + 1)
            self._annoy.load(str(file))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file}: cannot be read: {error}") from None
        self._exact = ExactIndex(items, threads)

    @staticmethod
    def build(items: Float32Array, path: Path, n_trees: int, seed: int) -> float:
        """Write an index.

        Args:
            items: item vectors, float32 [n_items, D].
            path: the file gets this name and `SUFFIX`.
            n_trees: number of trees; more find more of the best items.
            seed: the same seed gives the same file.

        Returns:
            The length of the stored vectors, which opening the index needs.

        Raises:
            DiskFullError: the disk has no room for the file.
            OSError: it cannot be written.
        """
        from annoy import AnnoyIndex as Annoy

        mean = items.mean(axis=0, dtype=np.float64) if len(items) else np.zeros(items.shape[1])
        mean = mean.astype(np.float32)
        longest = max((float(np.linalg.norm(vector - mean)) for vector in items), default=0.0)
        annoy = Annoy(items.shape[1] + 1, "euclidean")
        annoy.set_seed(max(seed, 1))  # Annoy takes 0 for "not set"
        for row, vector in enumerate(items):
            centred = vector - mean
            rest = max(longest * longest - float(centred @ centred), 0.0) ** 0.5
            annoy.add_item(row, np.append(centred, np.float32(rest)))
        annoy.build(n_trees, n_jobs=1)  # one job: the same seed gives the same file
        file = path.with_suffix(SUFFIX)
        # Built in memory and then written: Annoy's own build on the disk grows a mapped file, and
        # a full disk would end the process.
        with room_for(file.parent, file.name, items.nbytes):
            try:
                annoy.save(str(file))
            except OSError as error:  # has a text alone, which ends with the number of the error
                number = re.search(r"\((\d+)\)$", str(error))
                if number is None:
                    raise
                raise OSError(int(number[1]), os.strerror(int(number[1])), str(file)) from None
        annoy.unload()
        return longest

    def with_search_k(self, search_k: float) -> "AnnoyIndex":
        """Return the same index with another number of nodes to inspect."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)  # the open file is shared
        other.search_k = int(search_k)
        return other

    def __repr__(self) -> str:
        n, dimension = self._exact.items.shape
        return f"<AnnoyIndex: {n:,} items with {dimension} dimensions, search_k {self.search_k}>"

    def __getstate__(self) -> NoReturn:
        raise NotCopiedError(
            "an AnnoyIndex is not pickled or copied: AnnoyIndex(path, ...) opens its file anywhere;"
            " a model is written by save(folder) and opened by Recommender.load(folder)"
        )

    @property
    def info(self) -> Mapping[str, object]:
        """The search method, its width and number of trees."""
        return {"method": "annoy", "search_k": self.search_k, "n_trees": self._annoy.get_n_trees()}

    def search(self, queries: Float32Array, k: int, seen: Seen | None, banned: IntArray) -> Hits:
        """Find about the k items with the largest inner product; see `Index.search`."""
        items = self._exact.items
        if self.search_k >= len(items):
            return self._exact.search(queries, k, seen, banned)
        is_banned = np.zeros(len(items), bool)
        is_banned[banned] = True
        parts = []
        for number, query in enumerate(queries):
            own = _NO_ROWS if seen is None else seen[number]
            # Ask for more candidates where many may be filtered, but at most twice as many.
            wanted = self.search_k + min(len(own) + len(banned), self.search_k)
            wanted = min(max(wanted, 2 * k + len(own)), len(items))
            length = float(np.linalg.norm(query)) or 1.0
            nearest = self._annoy.get_nns_by_vector(
                np.append(query * (self._length / length), np.float32(0)),
                wanted,
                max(wanted, self.search_k),
            )
            candidates = np.array(nearest, np.intp)
            candidates = candidates[~is_banned[candidates]]
            if len(own):
                candidates = candidates[~np.isin(candidates, own)]
            if len(candidates) < k:
                excluded = np.concatenate([banned, own])
                hits = self._exact.search(query[None], k, None, excluded)
                parts.append(hits._replace(query=hits.query + number))
                continue
            scores = items[candidates] @ query
            best = np.argpartition(-scores, k - 1)[:k]
            best = best[np.argsort(-scores[best], kind="stable")]
            parts.append(Hits(np.full(k, number), candidates[best], scores[best]))
        return Hits.concatenate(parts)


def _check_nodes(path: Path, n_items: int, width: int) -> None:
    """Check that all references among the nodes of Annoy's file lead to nodes of the file.

    Annoy itself follows them unchecked. A node is the number of items below it, an offset, and
    either the ids of its two children and a vector, or, for at most width + 2 items, their ids.
    An item is a node with itself below it; inner nodes come after their children.

    Args:
        path: the file.
        n_items: number of items of the index, which are the first nodes.
        width: length of the vectors.

    Raises:
        ValueError: the file is no index of these items.
    """
    most = width + 2
    node = np.dtype([("n", "<i4"), ("offset", "<f4"), ("ids", "<i4", (most,))])
    size = path.stat().st_size
    if not n_items:
        return  # nothing is ever searched for
    if size % node.itemsize or size // node.itemsize <= n_items:
        raise ValueError("it is no index of these items")
    nodes = np.memmap(path, node, mode="r")
    if nodes["n"][-1] != n_items or (nodes["n"][:n_items] != 1).any():
        raise ValueError("it is no index of these items")
    for start in range(0, len(nodes), _CHECKED):
        part = nodes[start : start + _CHECKED]
        place = np.arange(start, start + len(part))
        below, ids = part["n"], part["ids"]
        item = place < n_items
        leaf = ~item & (below <= most)
        inner = ~item & (below > most)
        named = np.where(np.arange(most) < below[leaf, None], ids[leaf], 0)
        vectors = ids[:, 2:].view("<f4")[~leaf]
        if (
            (below < 1).any()
            or (named < 0).any()
            or (named >= n_items).any()
            or (ids[inner, :2] < 0).any()
            or (ids[inner, :2] >= place[inner, None]).any()
            or not np.isfinite(vectors).all()
            or not np.isfinite(part["offset"][inner]).all()
        ):
            raise ValueError("it has nodes that Annoy did not write")
