"""Reranking of candidates: popularity correction, a cap on artists, diversity.

The candidates are found by a search; their scores stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.index.base import Hits
from recsys.model.live import LiveModel
from recsys.ranking.options import ListOptions
from recsys.ranking.similarity import unit_vectors_of

_GROWTH = 4
"""How many times larger the pool is made where a cap on artists leaves too few of it."""

_MOST_CANDIDATES = 4_000_000
"""Candidates searched for at once: 64 MB of rows, queries and scores."""

Search = Callable[[IntArray, int], Hits]
"""Finds the given number of best items for some of the queries, which count from 0 in the hits."""


def search_and_rerank(
    model: LiveModel,
    search: Search,
    n_queries: int,
    options: ListOptions,
    taken: Hits | None = None,
) -> Hits:
    """Search for as many candidates as the lists of all queries need, and rerank them.

    Args:
        model: tells what items have in common.
        search: finds candidates for queries 0 to ``n_queries - 1``.
        n_queries: number of lists.
        options: length and order of the lists.
        taken: what stands in the lists already, by query.

    Returns:
        At most k items per query, less those taken, in the order of the list, by query.
    """
    taken = Hits.empty() if taken is None else taken
    waiting, size, parts = np.arange(n_queries), min(options.pool_size, len(model.items)), []
    while len(waiting):
        short = []
        step = max(_MOST_CANDIDATES // size, 1)
        for start in range(0, len(waiting), step):
            queries = waiting[start : start + step]
            found, own = search(queries, size), _of_queries(taken, queries)
            pool = _without(found, own)
            is_done = _suffices(model, found, pool, own, len(queries), size, options)
            ready = is_done[pool.query]
            pool = Hits(pool.query[ready], pool.item[ready], pool.score[ready])
            hits = rerank(model, pool, options, own)
            parts.append(Hits(queries[hits.query], hits.item, hits.score))
            short.append(queries[~is_done])
        waiting, size = np.concatenate(short), min(_GROWTH * size, len(model.items))
    hits = Hits.concatenate(parts)
    order = np.argsort(hits.query, kind="stable")
    return Hits(hits.query[order], hits.item[order], hits.score[order])


def _of_queries(hits: Hits, queries: IntArray) -> Hits:
    """The hits of some queries, which are ascending; they count from 0 then."""
    if not len(hits.query):
        return hits
    place = np.full(int(max(hits.query.max(), queries.max(initial=0))) + 1, -1)
    place[queries] = np.arange(len(queries))
    own = place[hits.query]
    keep = own >= 0
    return Hits(own[keep], hits.item[keep], hits.score[keep])


def _without(hits: Hits, others: Hits) -> Hits:
    """Leave out hits of items that are among others of the same query."""
    if not len(others.query):
        return hits
    width = int(max(hits.item.max(initial=0), others.item.max())) + 1
    keep = ~np.isin(hits.query * width + hits.item, others.query * width + others.item)
    return Hits(hits.query[keep], hits.item[keep], hits.score[keep])


def _suffices(
    model: LiveModel,
    found: Hits,
    pool: Hits,
    taken: Hits,
    n_queries: int,
    size: int,
    options: ListOptions,
) -> BoolArray:
    """Whether lists of k can be made of the pool and what is taken, or no more can be found.

    Args:
        model: tells the artists.
        found: what was found.
        pool: those of it that are not taken.
        taken: what stands in the lists already.
        n_queries: number of lists.
        size: how much was searched for.
        options: length and cap.

    Returns:
        bool [n_queries].
    """
    if size >= len(model.items):
        return np.ones(n_queries, bool)
    if options.per_artist is None:
        if not len(taken.query):
            return np.ones(n_queries, bool)
        available = np.bincount(pool.query, minlength=n_queries)
        available += np.bincount(taken.query, minlength=n_queries)
    else:
        allowed = _within_cap_after(model, taken, pool, options)[0]
        available = np.bincount(allowed.query, minlength=n_queries)
    return (available >= options.k) | (np.bincount(found.query, minlength=n_queries) < size)


def _within_cap_after(
    model: LiveModel, taken: Hits, pool: Hits, options: ListOptions
) -> tuple[Hits, BoolArray]:
    """What is taken, then the first of the pool that fit; and which of all this is of the pool."""
    both = Hits.concatenate([taken, pool])
    order = np.argsort(both.query, kind="stable")
    both = Hits(both.query[order], both.item[order], both.score[order])
    artist = None if options.per_artist is None else model.items.artist_codes(both.item)
    kept = places_within_cap(both.query, artist, options.per_artist, options.k)
    return (
        Hits(both.query[kept], both.item[kept], both.score[kept]),
        order[kept] >= len(taken.query),
    )


def rerank(model: LiveModel, pool: Hits, options: ListOptions, taken: Hits | None = None) -> Hits:
    """Choose and order the list of each query from its candidates.

    Args:
        model: tells the popularity, the artists and the likeness of items.
        pool: candidates of every query, best score first.
        options: length and order of the lists.
        taken: what stands in the lists already, by query, and is left out of the result.
    """
    taken = Hits.empty() if taken is None else taken
    relevance = pool.score.astype(np.float64)
    if options.popularity_correction:
        user_counts = model.items.user_counts[pool.item]
        relevance = correct_popularity(pool, user_counts, options.popularity_correction)
        order = np.lexsort((-relevance, pool.query))  # stable: the score decides among equals
        pool = Hits(pool.query[order], pool.item[order], pool.score[order])
        relevance = relevance[order]
    if not options.diversity:
        both, is_new = _within_cap_after(model, taken, pool, options)
        return Hits(both.query[is_new], both.item[is_new], both.score[is_new])
    artist = None if options.per_artist is None else model.items.artist_codes(pool.item)
    chosen = []
    bounds = np.flatnonzero(np.diff(pool.query, prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        own = slice(start, stop)
        before = taken.item[taken.query == pool.query[start]]
        likeness = Likeness.from_rows(model, np.concatenate([before, pool.item[own]]))
        artists = None
        if artist is not None:
            artists = np.concatenate([model.items.artist_codes(before), artist[own]])
        picked = mmr(
            np.concatenate([np.full(len(before), relevance[own].max()), relevance[own]]),
            likeness,
            options.k,
            options.diversity,
            artists,
            options.per_artist,
            given=len(before),
        )
        chosen.append(start + picked[len(before) :] - len(before))
    order = np.concatenate(chosen) if chosen else np.empty(0, np.intp)
    return Hits(pool.query[order], pool.item[order], pool.score[order])


def correct_popularity(pool: Hits, user_counts: IntArray, share: float) -> Float64Array:
    """Take a share of the standardised log popularity off the standardised scores, [candidates].

    Both are standardised over the candidates of each query; what is the same for all of them
    becomes zero.

    Args:
        pool: candidates of every query.
        user_counts: how many users have played each candidate.
        share: how much popularity counts, 0 to 1.
    """
    popularity = np.log1p(user_counts.astype(np.float64))
    return _standardised(pool.query, pool.score) - share * _standardised(pool.query, popularity)


def within_cap(pool: Hits, artist: IntArray | None, per_artist: int | None, k: int) -> Hits:
    """Take the first k candidates of each query, at most ``per_artist`` of them of one artist.

    artist: a number for each candidate; -1 for an unknown artist, who is never capped.
    """
    keep = places_within_cap(pool.query, artist, per_artist, k)
    return Hits(pool.query[keep], pool.item[keep], pool.score[keep])


def places_within_cap(
    queries: IntArray, artist: IntArray | None, per_artist: int | None, k: int
) -> IntArray:
    """Return the places of the candidates that `within_cap` takes, ascending.

    queries: the query of each candidate, ascending.
    """
    keep = np.arange(len(queries))
    if artist is not None and per_artist is not None:
        # Candidates of one artist of one query stand together, in their order in the list.
        order = np.lexsort((artist, queries))
        query, own = queries[order], artist[order]
        first = np.ones(len(order), bool)
        first[1:] = (query[1:] != query[:-1]) | (own[1:] != own[:-1])
        position = np.arange(len(order))
        nth = position - np.maximum.accumulate(np.where(first, position, 0))
        fits: BoolArray = (nth < per_artist) | (own < 0)
        keep = np.sort(order[fits])
    kept = queries[keep]
    return keep[np.arange(len(kept)) - np.searchsorted(kept, kept) < k]


@dataclass(frozen=True)
class Likeness:
    """Cosine similarity of candidates: by sound, or by all sources where one has no embedding."""

    sound: Float32Array
    """Unit vectors [candidates, e], zero where there is no embedding."""
    fused: Float32Array | None
    """Unit vectors [candidates, D], None where all candidates have an embedding."""

    @classmethod
    def from_rows(cls, model: LiveModel, rows: IntArray) -> "Likeness":
        """Compare the items of these rows."""
        sound = unit_vectors_of(model, "sound", rows)
        all_embedded = bool(sound.any(axis=1).all())
        if not all_embedded and all(block.name == "popularity" for block in model.state.blocks):
            return cls(sound, np.zeros((len(rows), 0), np.float32))  # nothing else sets them apart
        return cls(sound, None if all_embedded else unit_vectors_of(model, "fused", rows))

    def to(self, candidate: int) -> Float32Array:
        """Compute the similarity of all candidates to one of them, [candidates], -1 to 1."""
        by_sound: Float32Array = self.sound @ self.sound[candidate]
        if self.fused is None:
            return by_sound
        both = self.has_embedding & self.has_embedding[candidate]
        return np.where(both, by_sound, self.fused @ self.fused[candidate])

    @cached_property
    def has_embedding(self) -> BoolArray:
        """Which candidates have an embedding that sets them apart, [candidates]."""
        return np.asarray(self.sound.any(axis=1), bool)


def mmr(
    relevance: Float64Array,
    likeness: Likeness,
    k: int,
    diversity: float,
    artist: IntArray | None = None,
    per_artist: int | None = None,
    *,
    given: int = 0,
) -> IntArray:
    """Choose up to k candidates by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Each one chosen has the largest (1 - diversity) · relevance - diversity · similarity to the most
    similar of those chosen before; the first among equals, so that a list starts with the most
    relevant one. Relevance is first scaled to 0 ... 1, as similarity is bounded, too.

    J. Carbonell and J. Goldstein, The use of MMR, diversity-based reranking for reordering
    documents and producing summaries, SIGIR 1998.

    Args:
        relevance: [candidates], descending.
        likeness: compares the candidates.
        k: how many to choose.
        diversity: 0 to 1.
        artist: as in `within_cap`.
        per_artist: at most this many of one artist.
        given: so many of the first candidates are chosen already, in this order.

    Returns:
        Positions of the chosen candidates, in the order of their choice.
    """
    span = relevance.max() - relevance.min()
    value = (1 - diversity) * ((relevance - relevance.min()) / span if span > 0 else 0 * relevance)
    closest = np.zeros(len(relevance))
    is_open = np.ones(len(relevance), bool)
    taken: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < k and is_open.any():
        best = len(chosen)
        if best >= given:
            best = int(np.argmax(np.where(is_open, value - diversity * closest, -np.inf)))
        similar = likeness.to(best)
        closest = np.maximum(closest, similar) if chosen else similar.astype(np.float64)
        chosen.append(best)
        is_open[best] = False
        if artist is not None and per_artist is not None and artist[best] >= 0:
            name = int(artist[best])
            taken[name] = taken.get(name, 0) + 1
            if taken[name] >= per_artist:
                is_open[artist == name] = False
    return np.array(chosen, np.intp)


def _standardised(query: IntArray, values: Float32Array | Float64Array) -> Float64Array:
    """Values less their mean, divided by their deviation, over each query; 0 if all are alike."""
    exact = values.astype(np.float64)
    count = np.maximum(np.bincount(query), 1)
    centred = exact - (np.bincount(query, exact) / count)[query]
    deviation = np.sqrt(np.bincount(query, centred**2) / count)[query]
    # What rounding leaves of the deviation of equal values is nothing to divide by.
    differs = deviation > 1e-12 * (1 + np.abs(exact))
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=differs)
