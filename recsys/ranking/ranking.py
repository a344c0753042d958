"""From a user to rows in order: ranking, popular items, fold-in.

Lists for people to read: what ranking found, with titles and reasons.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.columns import ARTIST, COLD, GENRE, ITEM_ID, RANK, SCORE, SHARE_PREFIX, TITLE
from datasets.errors import InvalidArgumentError
from recsys.fusion import shares
from recsys.index.base import Hits
from recsys.model.live import LiveModel
from recsys.ranking.arguments import History, check_k, plays_of
from recsys.ranking.filters import Filters
from recsys.ranking.reranking import rerank, within_cap
from recsys.ranking.similarity import Space, similar_rows

_GROWTH = 4
"""How many times larger the pool is made where a cap on artists leaves too few of it."""

_MOST_CANDIDATES = 4_000_000
"""Candidates searched for at once: 64 MB of rows, queries and scores."""

Search = Callable[[IntArray, int], Hits]
"""Finds the given number of best items for some of the queries, which count from 0 in the hits."""


def rank(
    library: LiveModel, vectors: Float32Array, filters: Filters, seen: Sequence[IntArray]
) -> Hits:
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
            shape=(len(seen), len(library.items)),
        )
    return _rank(library, vectors, filters, played)


def _rank(
    library: LiveModel, vectors: Float32Array, filters: Filters, played: sp.csr_matrix | None
) -> Hits:
    banned = np.union1d(filters.exclude, library.items.retired)

    def search(queries: IntArray, size: int) -> Hits:
        # All of them is how it begins, and mostly ends: then nothing is copied.
        every = len(queries) == len(vectors)
        own = played if played is None or every else played[queries]
        return library.index.search(
            vectors if every else vectors[queries], size, seen=own, banned=banned, only=filters.only
        )

    return _choose(library, search, len(vectors), filters)


def popular(library: LiveModel, filters: Filters, seen: Sequence[IntArray]) -> Hits:
    """The items with the most listeners, for users of whom nothing is known.

    Items that nobody has played come last, so that lists are not short while items are left. There
    is nothing that popularity could be taken off from.
    """
    order = np.concatenate(
        [library.items.by_popularity, np.flatnonzero(library.items.user_counts == 0)]
    )
    allowed = np.full(len(library.items), filters.only is None)
    if filters.only is not None:
        allowed[filters.only] = True
    allowed[filters.exclude] = False
    allowed[library.items.retired] = False
    order = order[allowed[order]]

    def search(queries: IntArray, size: int) -> Hits:
        lists = [np.empty(0, np.intp)]
        for own in (seen[query] for query in queries):
            best = order[: size + len(own)]
            if filters.exclude_seen:
                best = best[~np.isin(best, own)]
            lists.append(best[:size])
        query = np.repeat(np.arange(len(queries)), [len(best) for best in lists[1:]])
        rows = np.concatenate(lists)
        return Hits(query, rows, library.items.user_counts[rows].astype(np.float32))

    return _choose(library, search, len(seen), replace(filters, popularity_correction=0.0))


def _choose(library: LiveModel, search: Search, n_queries: int, filters: Filters) -> Hits:
    """The lists of all queries, from as many candidates as they need."""
    waiting = np.arange(n_queries)
    if filters.by_score_alone:
        return search(waiting, filters.k)
    everything = len(library.items)
    size, parts = min(filters.pool_size, everything), []
    while len(waiting):
        short = []
        step = max(_MOST_CANDIDATES // size, 1)
        for start in range(0, len(waiting), step):
            queries = waiting[start : start + step]
            pool = search(queries, size)
            done = _suffices(library, pool, len(queries), size, filters)
            ready = done[pool.query]
            pool = Hits(pool.query[ready], pool.item[ready], pool.score[ready])
            hits = rerank(library, pool, filters)
            parts.append(Hits(queries[hits.query], hits.item, hits.score))
            short.append(queries[~done])
        waiting, size = np.concatenate(short), min(_GROWTH * size, everything)
    hits = Hits.concatenate(parts)
    order = np.argsort(hits.query, kind="stable")
    return Hits(hits.query[order], hits.item[order], hits.score[order])


def _suffices(
    library: LiveModel, pool: Hits, n_queries: int, size: int, filters: Filters
) -> BoolArray:
    """Whether lists of k can be made of these candidates, or no more are left, bool [n_queries]."""
    if filters.per_artist is None or size >= len(library.items):
        return np.ones(n_queries, bool)
    allowed = within_cap(pool, library.items.artist_codes(pool.item), filters.per_artist, filters.k)
    found = np.bincount(pool.query, minlength=n_queries)
    return (np.bincount(allowed.query, minlength=n_queries) >= filters.k) | (found < size)


def rank_users(library: LiveModel, user_rows: IntArray, filters: Filters) -> tuple[Hits, BoolArray]:
    """Lists for users by row, -1 for an unknown one; also who got a personal list, bool [q].

    Users of whom nothing is known get the popular items.
    """
    vectors = library.users.vectors(user_rows)
    personal = (user_rows >= 0) & vectors.any(axis=1)
    if personal.all() and len(personal):
        own = library.users.seen_by(user_rows) if filters.exclude_seen else None
        return _rank(library, vectors, filters, own), personal
    seen = [library.users.seen(row) if row >= 0 else np.empty(0, np.intp) for row in user_rows]
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
    merged = Hits.concatenate(parts)
    order = np.argsort(merged.query, kind="stable")
    return Hits(merged.query[order], merged.item[order], merged.score[order]), personal


def list_for(
    library: LiveModel, user_id: str | None, history: History | None, filters: Filters
) -> pd.DataFrame:
    """The list of a user, or of somebody with a history: see ``Recommender.recommend``.

    Raises UnknownItemError for an item of the history that is not in the catalogue, and
    InvalidArgumentError unless a user id or a history is given, and not both.
    """
    if user_id is not None and history is not None:
        raise InvalidArgumentError("give a user id or a history, not both")
    if user_id is None and history is None:
        raise InvalidArgumentError("give a user id or a history")
    blocks = library.state.blocks
    vector = None
    seen: IntArray = np.empty(0, np.intp)
    if history is not None:
        plays = plays_of(history)
        seen = library.items.rows(plays)
        vector = library.users.fold_in(seen, np.array(list(plays.values()), np.float32))
    elif (row := library.users.row(str(user_id))) is not None:
        vector, seen = library.users.vectors(np.array([row]))[0], library.users.seen(row)
    if vector is not None and not vector.any():
        vector = None
    if vector is None:
        hits = popular(library, filters, [seen])
        parts = np.full((len(hits.item), len(blocks)), np.nan)
    else:
        hits = rank(library, vector[None], filters, [seen])
        parts = shares(blocks, vector, library.index.vectors(hits.item))
    frame = _described(library, hits.item, hits.score)
    for column, block in enumerate(blocks):
        frame[SHARE_PREFIX + block.name] = parts[:, column]
    if vector is None:
        frame.attrs["fallback"] = "popular"
    return frame


def similar_to(library: LiveModel, item_id: str, k: int, by: Space) -> pd.DataFrame:
    """The items most like one: see ``Recommender.similar``."""
    check_k(k)
    return _described(library, *similar_rows(library, library.items.row(item_id), k, by))


def _described(library: LiveModel, rows: IntArray, scores: Float32Array) -> pd.DataFrame:
    described = library.items.describe(rows)
    return pd.DataFrame(
        {
            RANK: np.arange(1, len(rows) + 1),
            ITEM_ID: described[ITEM_ID].to_numpy(),
            SCORE: scores,
            TITLE: described[TITLE].to_numpy(),
            ARTIST: described[ARTIST].to_numpy(),
            GENRE: described[GENRE].to_numpy(),
            COLD: library.items.is_cold(rows),
        }
    )
