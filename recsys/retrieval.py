"""Search: the items with the largest inner product with a query, under filters.

Filters never leave a list short while enough items are eligible.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.errors import ArtifactError
from datasets.files import file_digest, write_text
from recsys.config import RetrievalConfig
from recsys.sources.base import Floats

Rows = NDArray[np.intp]

_FILTERED = -1e38
"""implicit marks filtered items by a score of about -3.4e38 instead of leaving them out."""


class Hits(NamedTuple):
    """Found items as flat arrays of one length: by query, and within a query best first."""

    query: Rows
    item: Rows
    score: Floats


class Index(Protocol):
    """Something that finds the k best items."""

    def search(self, queries: Floats, k: int, seen: sp.csr_matrix | None, banned: Rows) -> Hits:
        """The k items with the largest inner product with each query.

        queries: float32 [q, D]. seen: CSR [q, n_items] with an entry where that query must not
        find that item. banned: rows that no query may find. Fewer than k only when fewer are left.
        """


class ExactIndex:
    """Compares a query with every item."""

    def __init__(self, items: Floats, threads: int = 1) -> None:
        self.items = items
        self.threads = threads

    def search(self, queries: Floats, k: int, seen: sp.csr_matrix | None, banned: Rows) -> Hits:
        from implicit.cpu.topk import topk

        if not len(self.items) or not len(queries):
            return no_hits()
        rows, scores = topk(
            np.ascontiguousarray(self.items),
            np.ascontiguousarray(queries),
            min(k, len(self.items)),
            filter_query_items=seen,
            filter_items=banned.astype(np.int32) if len(banned) else None,
            num_threads=self.threads,
        )
        found = scores > _FILTERED
        query = np.repeat(np.arange(len(queries)), found.sum(axis=1))
        return Hits(query, rows[found].astype(np.intp), scores[found].astype(np.float32))


class AnnoyIndex:
    """Annoy proposes candidates, the exact inner product orders them.

    Where filters leave fewer than k of the candidates, that query is searched exactly.
    """

    def __init__(
        self, path: Path, items: Floats, config: RetrievalConfig, threads: int = 1
    ) -> None:
        """Open an index that :meth:`build` wrote for these items.

        Raises ArtifactError when the file is not the one that its manifest describes, since Annoy
        itself loads anything.
        """
        from annoy import AnnoyIndex as Annoy

        expected = _annoy_manifest(items, path)
        try:
            written = json.loads(_manifest_path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{_manifest_path(path)}: cannot be read: {error}") from None
        if written != expected:
            raise ArtifactError(f"{path}: the index does not belong to this model")
        self._annoy = Annoy(items.shape[1], "dot")
        self._annoy.load(str(path))
        self._exact = ExactIndex(items, threads)
        self._search_k = config.search_k or 100 * config.n_trees

    @staticmethod
    def build(items: Floats, path: Path, config: RetrievalConfig, seed: int) -> None:
        """Write an index of all rows of ``items`` to ``path`` and its manifest beside it."""
        from annoy import AnnoyIndex as Annoy

        annoy = Annoy(items.shape[1], "dot")
        annoy.set_seed(max(seed, 1))  # Annoy takes 0 for "not set"
        annoy.on_disk_build(str(path))
        for row, vector in enumerate(items):
            annoy.add_item(row, vector)
        annoy.build(config.n_trees)
        annoy.unload()
        write_text(_manifest_path(path), json.dumps(_annoy_manifest(items, path)))

    def search(self, queries: Floats, k: int, seen: sp.csr_matrix | None, banned: Rows) -> Hits:
        forbidden = set(banned.tolist())
        parts = []
        for number, query in enumerate(queries):
            hidden = forbidden
            if seen is not None:
                own = seen.indices[seen.indptr[number] : seen.indptr[number + 1]]
                hidden = forbidden.union(own.tolist())
            wanted = min(4 * k + 32 + len(hidden), len(self._exact.items))
            rows = self._annoy.get_nns_by_vector(query, wanted, max(self._search_k, wanted))
            candidates = np.array([row for row in rows if row not in hidden], np.intp)
            if len(candidates) < k:
                hits = self._exact.search(
                    query[None], k, None if seen is None else seen[number], banned
                )
                parts.append(Hits(hits.query + number, hits.item, hits.score))
                continue
            scores = self._exact.items[candidates] @ query
            order = np.argsort(-scores, kind="stable")[:k]
            parts.append(Hits(np.full(k, number), candidates[order], scores[order]))
        return concatenate(parts)


class Searcher:
    """An index over the fitted items and an exact buffer of the items onboarded since.

    Rows count through: the fitted items first, then the buffer in order of arrival.
    """

    def __init__(self, index: Index, items: Floats) -> None:
        self._index = index
        self._fitted = items
        self._buffer = np.empty((0, items.shape[1]), np.float32)

    def __len__(self) -> int:
        return len(self._fitted) + len(self._buffer)

    def append(self, vectors: Floats) -> None:
        """Add items [n, D] behind the last row."""
        self._buffer = np.vstack([self._buffer, vectors])

    def vectors(self, rows: Rows) -> Floats:
        """Fused vectors [len(rows), D]."""
        found = np.empty((len(rows), self._fitted.shape[1]), np.float32)
        late = rows >= len(self._fitted)
        found[~late] = self._fitted[rows[~late]]
        found[late] = self._buffer[rows[late] - len(self._fitted)]
        return found

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        seen: sp.csr_matrix | None = None,
        banned: Rows | None = None,
        only: Rows | None = None,
    ) -> Hits:
        """The k best rows for each query [q, D], out of ``only`` where given.

        seen: CSR [q, len(self)]; banned: rows that nobody gets.
        """
        banned = np.empty(0, np.intp) if banned is None else banned
        if only is not None:
            eligible = np.setdiff1d(only, banned)
            hits = ExactIndex(self.vectors(eligible)).search(
                queries, k, None if seen is None else seen[:, eligible].tocsr(), banned[:0]
            )
            return Hits(hits.query, eligible[hits.item], hits.score)
        n = len(self._fitted)
        early = self._index.search(
            queries, k, None if seen is None else seen[:, :n].tocsr(), banned[banned < n]
        )
        if not len(self._buffer):
            return early
        late = ExactIndex(self._buffer).search(
            queries, k, None if seen is None else seen[:, n:].tocsr(), banned[banned >= n] - n
        )
        return _best([early, Hits(late.query, late.item + n, late.score)], k)


def make_index(items: Floats, config: RetrievalConfig, threads: int, path: Path | None) -> Index:
    """The index that the configuration asks for; ``path`` is where Annoy's file is."""
    if path is not None and uses_annoy(len(items), config):
        return AnnoyIndex(path, items, config, threads)
    return ExactIndex(items, threads)


def uses_annoy(n_items: int, config: RetrievalConfig) -> bool:
    """Whether a catalogue of this size is searched with Annoy."""
    return config.method == "annoy" or (config.method == "auto" and n_items > config.exact_up_to)


def _annoy_manifest(items: Floats, path: Path) -> dict[str, object]:
    return {
        "metric": "dot",
        "dimensions": items.shape[1],
        "items": len(items),
        "vectors_sha256": hashlib.sha256(np.ascontiguousarray(items).data).hexdigest(),
        "sha256": file_digest(path),
    }


def _manifest_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _best(parts: Sequence[Hits], k: int) -> Hits:
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
