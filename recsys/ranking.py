"""From a user to rows in order: ranking, popular items, fold-in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.fusion import fuse_users
from recsys.library import Library
from recsys.retrieval import Hits, Rows, concatenate
from recsys.sources.base import Floats


@dataclass(frozen=True)
class Filters:
    """Which items a list may hold, and how many; ``exclude`` and ``only`` are rows."""

    k: int
    exclude_seen: bool
    exclude: Rows
    only: Rows | None


def rank(library: Library, vectors: Floats, filters: Filters, seen: Sequence[Rows]) -> Hits:
    """The best rows for users with these fused vectors [q, D]; ``seen`` holds each one's plays."""
    played = None
    if filters.exclude_seen:
        counts = [len(rows) for rows in seen]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        played = sp.csr_matrix(
            (
                np.ones(indptr[-1], np.float32),
                np.concatenate(seen).astype(np.int32),
                indptr.astype(np.int32),
            ),
            shape=(len(seen), len(library.searcher)),
        )
    banned = np.union1d(filters.exclude, library.retired)
    return library.searcher.search(
        vectors, filters.k, seen=played, banned=banned, only=filters.only
    )


def popular(library: Library, filters: Filters, seen: Sequence[Rows]) -> Hits:
    """The items with the most listeners, for users of whom nothing is known.

    Items that nobody has played come last, so that lists are not short while items are left.
    """
    everything = np.arange(len(library.searcher))
    warm = library.state.by_popularity
    order = np.concatenate([warm, np.setdiff1d(everything, warm)])
    allowed = np.ones(len(everything), bool)
    if filters.only is not None:
        allowed[:] = False
        allowed[filters.only] = True
    allowed[filters.exclude] = False
    allowed[library.retired] = False
    order = order[allowed[order]]
    listeners = np.zeros(len(everything), np.float32)
    listeners[: len(library.state.listeners)] = library.state.listeners
    lists = []
    for own in seen:
        best = order[: filters.k + len(own)]
        if filters.exclude_seen:
            best = best[~np.isin(best, own)]
        lists.append(best[: filters.k])
    query = np.repeat(np.arange(len(lists)), [len(best) for best in lists])
    rows = np.concatenate(lists)
    return Hits(query, rows, listeners[rows])


def rank_users(
    library: Library, user_rows: Rows, filters: Filters
) -> tuple[Hits, NDArray[np.bool_]]:
    """Lists for users by row, -1 for an unknown one; also who got a personal list, bool [q].

    Users of whom nothing is known get the popular items.
    """
    vectors = np.asarray(library.state.user_vectors[np.maximum(user_rows, 0)])
    personal = (user_rows >= 0) & vectors.any(axis=1)
    seen = [library.seen(row) if row >= 0 else np.empty(0, np.intp) for row in user_rows]
    parts = []
    for group, known in ((np.flatnonzero(personal), True), (np.flatnonzero(~personal), False)):
        own = [seen[member] for member in group]
        if len(group):
            hits = (
                rank(library, vectors[group], filters, own)
                if known
                else popular(library, filters, own)
            )
            parts.append(Hits(group[hits.query], hits.item, hits.score))
    merged = concatenate(parts)
    order = np.argsort(merged.query, kind="stable")
    return Hits(merged.query[order], merged.item[order], merged.score[order]), personal


def fold_in_user(library: Library, rows: Rows, weights: Floats) -> Floats:
    """The fused vector [D] of somebody who played these rows so often."""
    state = library.state
    fused = library.searcher.vectors(rows)
    is_cold = library.is_cold(rows)
    vectors = {
        block.name: state.sources[block.name].fold_in(
            block.unfuse_items(fused, is_cold), weights, block.gram
        )[None]
        for block in state.blocks
    }
    return fuse_users(state.blocks, vectors)[0]
