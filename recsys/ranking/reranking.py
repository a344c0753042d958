"""Lists beyond the best scores: fewer hits, fewer songs of one artist, more variety.

All of it chooses from candidates that were searched before, and leaves their scores as they are.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.index.base import Hits
from recsys.model.live import LiveModel
from recsys.ranking.filters import Filters
from recsys.ranking.similarity import unit_vectors_of


def rerank(library: LiveModel, pool: Hits, filters: Filters) -> Hits:
    """The k candidates of each query that a list is made of, in its order.

    pool: candidates of every query, best score first.
    """
    relevance = pool.score.astype(np.float64)
    if filters.popularity_correction:
        listeners = library.items.user_counts[pool.item]
        relevance = correct(pool, listeners, filters.popularity_correction)
        order = np.lexsort((-relevance, pool.query))  # stable: the score decides among equals
        pool = Hits(pool.query[order], pool.item[order], pool.score[order])
        relevance = relevance[order]
    artist = None if filters.per_artist is None else library.items.artist_codes(pool.item)
    if not filters.diversity:
        return within_cap(pool, artist, filters.per_artist, filters.k)
    chosen = []
    bounds = np.flatnonzero(np.diff(pool.query, prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        own = slice(start, stop)
        picked = mmr(
            relevance[own],
            Likeness.of(library, pool.item[own]),
            filters.k,
            filters.diversity,
            None if artist is None else artist[own],
            filters.per_artist,
        )
        chosen.append(start + picked)
    order = np.concatenate(chosen) if chosen else np.empty(0, np.intp)
    return Hits(pool.query[order], pool.item[order], pool.score[order])


def correct(pool: Hits, listeners: IntArray, share: float) -> Float64Array:
    """Standardised scores less a share of standardised log popularity, [candidates].

    listeners: [candidates]; both are standardised over the candidates of each query, and a side
    on which they are all alike is zero.
    """
    popularity = np.log1p(listeners.astype(np.float64))
    return _standardised(pool.query, pool.score) - share * _standardised(pool.query, popularity)


def within_cap(pool: Hits, artist: IntArray | None, per_artist: int | None, k: int) -> Hits:
    """The first k candidates of each query, of which at most ``per_artist`` are of one artist.

    artist: a number for each candidate, -1 where it has none, which is never too many.
    """
    if artist is not None and per_artist is not None:
        # Candidates of one artist of one query stand together, in their order in the list.
        order = np.lexsort((artist, pool.query))
        query, own = pool.query[order], artist[order]
        first = np.ones(len(order), bool)
        first[1:] = (query[1:] != query[:-1]) | (own[1:] != own[:-1])
        position = np.arange(len(order))
        nth = position - np.maximum.accumulate(np.where(first, position, 0))
        fits: BoolArray = (nth < per_artist) | (own < 0)
        keep = np.sort(order[fits])
        pool = Hits(pool.query[keep], pool.item[keep], pool.score[keep])
    place = np.arange(len(pool.query)) - np.searchsorted(pool.query, pool.query)
    keep = np.flatnonzero(place < k)
    return Hits(pool.query[keep], pool.item[keep], pool.score[keep])


@dataclass(frozen=True)
class Likeness:
    """How alike candidates are: cosine by sound, or of all sources where one has no embedding."""

    sound: Float32Array
    """Unit vectors [candidates, e], zero where there is no embedding."""
    fused: Float32Array | None
    """Unit vectors [candidates, D], None where all candidates have an embedding."""

    @classmethod
    def of(cls, library: LiveModel, rows: IntArray) -> "Likeness":
        """The likeness of the items of these rows."""
        sound = unit_vectors_of(library, "sound", rows)
        heard = bool(sound.any(axis=1).all())
        if not heard and all(block.name == "popularity" for block in library.state.blocks):
            return cls(sound, np.zeros((len(rows), 0), np.float32))  # nothing else sets them apart
        return cls(sound, None if heard else unit_vectors_of(library, "fused", rows))

    def to(self, candidate: int) -> Float32Array:
        """How like one of the candidates each of them is, [candidates], -1 to 1."""
        by_sound: Float32Array = self.sound @ self.sound[candidate]
        if self.fused is None:
            return by_sound
        both = self.heard & self.heard[candidate]
        return np.where(both, by_sound, self.fused @ self.fused[candidate])

    @cached_property
    def heard(self) -> BoolArray:
        """Which candidates have an embedding that sets them apart, [candidates]."""
        return np.asarray(self.sound.any(axis=1), bool)


def mmr(
    relevance: Float64Array,
    likeness: Likeness,
    k: int,
    diversity: float,
    artist: IntArray | None = None,
    per_artist: int | None = None,
) -> IntArray:
    """Positions of up to k candidates by maximal marginal relevance, in the order of their choice.

    Each is the one with the largest (1 - diversity) · relevance - diversity · likeness to the most
    alike of those chosen before; the first of them among equals, so that a list starts with the
    most relevant one. Relevance is first brought to 0 ... 1, as likeness has bounds too.

    relevance: [candidates], descending. artist: as in :func:`within_cap`.

    Carbonell and Goldstein, The use of MMR, diversity-based reranking for reordering documents and
    producing summaries, SIGIR 1998.
    """
    span = relevance.max() - relevance.min()
    value = (1 - diversity) * ((relevance - relevance.min()) / span if span > 0 else 0 * relevance)
    closest = np.zeros(len(relevance))
    open_ = np.ones(len(relevance), bool)
    taken: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < k and open_.any():
        best = int(np.argmax(np.where(open_, value - diversity * closest, -np.inf)))
        alike = likeness.to(best)
        closest = np.maximum(closest, alike) if chosen else alike.astype(np.float64)
        chosen.append(best)
        open_[best] = False
        if artist is not None and per_artist is not None and artist[best] >= 0:
            name = int(artist[best])
            taken[name] = taken.get(name, 0) + 1
            if taken[name] >= per_artist:
                open_[artist == name] = False
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
