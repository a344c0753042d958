"""A path between two songs: a given number of songs in between, each near the one before.

How far along a song is, is measured on a graph that joins each song to its nearest neighbours: the
length of the shortest way from the start, as a share of that through the song to the end. Among all
chains of the wanted length that only go forward, the one is taken whose steps are shortest and
whose songs are spread evenly along the way (dynamic programming over songs and positions).
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.playlists.ordering import smooth_order

NEIGHBOURS = 15
"""Nearest songs that each song is joined to."""

_POINTS = 11
"""Points of the straight way between two songs near which songs are looked for."""

_PER_SONG, _LEAST, _MOST = 12, 600, 1000
"""Songs that a path is looked for among: so many for each song wanted, and the bounds of that."""

_LANDMARKS = 1000
"""Songs of a sample of all, over which a way is looked for first."""

_TINY, _NO_LENGTH = 1e-6, 1e-9
"""Lengths of vectors that have no direction, and of edges between songs that are the same."""

_SPREAD = 1.0
"""Weight of an even spread along the way beside short steps."""

_LONGEST = 200
"""Songs in between that are chosen by dynamic programming; longer paths are filled in."""


_OF_ONE_ARTIST = 5
"""Songs of an artist that are looked at for each that may be in the path."""

_TRIES = 10
"""Chains after which an artist with too many songs is done with at once."""

_STRETCH = 50
"""Neighbouring songs of a longer path that are ordered together."""


class SongPath(NamedTuple):
    """The songs between two others."""

    places: IntArray
    """Which of the candidates, in order."""
    is_joined: bool
    """Whether nearest neighbours join the two ends; otherwise the path has a jump."""


def corridor_size(n: int) -> int:
    """Return how many songs a path with n songs between its ends is looked for among at first.

    Examples:
        >>> [corridor_size(n) for n in (8, 70, 1000)]
        [600, 840, 2000]
    """
    return max(2 * n, int(np.clip(_PER_SONG * n, _LEAST, _MOST)))


def corridor(vectors: Float32Array, rows: IntArray, ends: Float32Array, size: int) -> IntArray:
    """Choose the rows that a path is looked for among: those nearest to the way between its ends.

    That is the straight way, and a way over a sample of the songs, in case the straight one leads
    where there are none.

    Args:
        vectors: unit vectors of all songs, float32 [rows, d].
        rows: the songs that may be on the path.
        ends: unit vectors of both ends, float32 [2, d].
        size: songs to choose.

    Returns:
        Some of the rows, those nearest to the way first; all, as they are, where they are few.

    Examples:
        >>> songs = np.float32([[1, 0], [0.8, 0.6], [-1, 0], [0, 1]])
        >>> corridor(songs, np.array([1, 2]), songs[[0, 3]], size=1).tolist()
        [1]
    """
    if size >= len(rows):
        return np.array(rows)
    likeness = _likeness(vectors, rows, ends)
    # Some of every point's nearest, so that no part of the way is left without songs.
    each = -(-size // likeness.shape[1])
    nearest = np.argpartition(-likeness, each - 1, axis=0)[:each].ravel()
    closest = likeness.max(axis=1)
    closest[nearest] += 2  # before all others
    chosen = np.argpartition(-closest, size - 1)[:size]
    return np.asarray(rows[chosen[np.lexsort((rows[chosen], -likeness[chosen].max(axis=1)))]])


def _likeness(vectors: Float32Array, rows: IntArray, ends: Float32Array) -> Float32Array:
    """Cosine of rows and of points along the way between the ends, [len(rows), points]."""
    share = np.linspace(0, 1, _POINTS, dtype=np.float32)[:, None]
    points = (1 - share) * ends[0] + share * ends[1]
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    points = np.divide(points, norms, out=np.zeros_like(points), where=norms > _TINY)
    points = np.concatenate([points, _stations(vectors, rows, ends)])
    return np.asarray((vectors @ points.T)[rows])  # to copy the rows first would take longer


def _stations(vectors: Float32Array, rows: IntArray, ends: Float32Array) -> Float32Array:
    """The songs of a shortest way between the ends over a sample of all songs, float32 [n, d].

    The straight way may lead where there are no songs at all; this one goes where they are.
    """
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, _LANDMARKS).astype(np.intp))]
    songs = np.concatenate([ends[:1], vectors[sample], ends[1:]])
    graph, _ = _graph(_squares(songs))
    came_from = csgraph.dijkstra(graph, directed=False, indices=0, return_predecessors=True)[1]
    way = [len(songs) - 1]
    while way[-1]:
        way.append(int(came_from[way[-1]]))
    return songs[way[::-1]]


def path_between(
    ends: Float32Array,
    songs: Float32Array,
    n: int,
    artists: IntArray | None = None,
    end_artists: tuple[int, int] = (-1, -1),
    *,
    per_artist: int | None = None,
    taken: Mapping[int, int] | None = None,
) -> SongPath:
    """Choose and order the songs of a path between two others.

    Args:
        ends: unit vectors of both ends, float32 [2, d].
        songs: unit vectors of the candidates, float32 [m, d].
        n: songs between the ends; fewer are chosen only where no more fit.
        artists: a number for each candidate, [m]; -1 where the artist is unknown. Two songs of one
            artist stand side by side only where that cannot be avoided.
        end_artists: likewise for the ends.
        per_artist: at most so many songs of one artist, those of `taken` included.
        taken: how many songs an artist has already.

    Examples:
        >>> angles = np.linspace(0, 1.5, 16)
        >>> songs = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        >>> path_between(songs[[0, -1]], songs[1:-1], 4)
        SongPath(places=array([ 2,  5,  8, 11]), is_joined=True)
    """
    codes = np.full(len(songs), -1) if artists is None else np.array(artists)
    room = _Room(per_artist, taken or {})
    usable = room.is_open(codes)
    wanted, is_joined = min(n, _LONGEST), True
    near = np.flatnonzero(usable)
    if per_artist is not None and len(near):
        closest = _likeness(songs, near, ends).max(axis=1)
        near = near[first_of_each(codes[near], closest, _OF_ONE_ARTIST * per_artist)]
    near = np.sort(corridor(songs, near, ends, corridor_size(wanted)))
    for tried in itertools.count():
        places = near[usable[near]]
        if not len(places) or not n:
            chosen: IntArray = np.empty(0, np.intp)
            break
        vectors = np.concatenate([ends[:1], songs[places], ends[1:]])
        own = np.concatenate([end_artists[:1], codes[places], end_artists[1:]])
        squares = _squares(vectors)
        along, is_joined = _progress(squares)
        chain = _chain(squares, along, own, min(wanted, len(places)))
        own[[0, -1]] = -1  # the ends are counted already, and stay
        surplus = room.surplus(squares, chain, own, is_late=tried >= _TRIES)
        chosen = places[chain[1:-1] - 1]
        if not len(surplus):
            break
        usable[places[surplus - 1]] = False
    if n > len(chosen) and n > _LONGEST:
        chosen = _filled(ends, songs, codes, chosen, n, room)
    return SongPath(chosen, is_joined)


def first_of_each(codes: IntArray, values: Float32Array, n: int) -> IntArray:
    """Return the positions of the n largest values of each code, ascending; of -1 all.

    Examples:
        >>> first_of_each(np.array([1, 1, 2, 1, -1]), np.float32([1, 3, 0, 2, 0]), 2).tolist()
        [1, 2, 3, 4]
    """
    order = np.lexsort((-values, codes))
    own = codes[order]
    place = np.arange(len(own)) - np.searchsorted(own, own)
    return np.sort(order[(place < n) | (own < 0)])


class _Room:
    """How many more songs of each artist fit into a path."""

    def __init__(self, per_artist: int | None, taken: Mapping[int, int]) -> None:
        self.per_artist = per_artist
        self.taken = dict(taken)

    def is_open(self, codes: IntArray) -> BoolArray:
        """Which songs are of an artist of whom one more song fits."""
        if self.per_artist is None:
            return np.ones(len(codes), bool)
        full = [artist for artist, count in self.taken.items() if count >= self.per_artist]
        return np.asarray(~np.isin(codes, full) | (codes < 0))

    def surplus(
        self, squares: Float64Array, chain: IntArray, codes: IntArray, *, is_late: bool
    ) -> IntArray:
        """The songs that are to be left out where a chain has too many of one artist.

        Those of the chain with the shortest steps stay. Once it is late, nothing else of the artist
        stays, so that with each chain that is tried an artist is done with.
        """
        surplus: list[int] = []
        if self.per_artist is not None:
            inner = chain[1:-1]
            steps = squares[inner, chain[:-2]] + squares[inner, chain[2:]]
            own = codes[inner]
            for artist in np.unique(own[own >= 0]).tolist():
                at = np.flatnonzero(own == artist)
                room = self.per_artist - self.taken.get(artist, 0)
                if len(at) > room:
                    kept = inner[at[np.argsort(steps[at], kind="stable")][:room]]
                    others = np.flatnonzero(codes == artist) if is_late else inner[at]
                    surplus += np.setdiff1d(others, kept).tolist()
        return np.array(surplus, np.intp)

    def first(self, order: IntArray, codes: IntArray, n: int) -> IntArray:
        """The first n songs in an order that fit, one after the other."""
        if self.per_artist is None:
            return order[:n]
        counts = dict(self.taken)
        chosen: list[int] = []
        for place in order.tolist():
            artist = int(codes[place])
            if artist < 0 or counts.get(artist, 0) < self.per_artist:
                counts[artist] = counts.get(artist, 0) + 1
                chosen.append(place)
                if len(chosen) == n:
                    break
        return np.array(chosen, np.intp)


def _progress(squares: Float64Array) -> tuple[Float64Array, bool]:
    """How far along each song is, from 0 at the first to 1 at the last, [songs].

    Args:
        squares: squared distances of all songs, both ends included, [songs, songs].

    Returns:
        The shares; and whether the graph of nearest neighbours joins the ends by itself.
    """
    m = len(squares)
    graph, is_joined = _graph(squares)
    lengths = csgraph.dijkstra(graph, directed=False, indices=[0, m - 1])
    whole = lengths.sum(axis=0)
    along = np.divide(lengths[0], whole, out=np.full(m, 0.5), where=whole > 0)
    along[0], along[-1] = 0.0, 1.0
    return along, is_joined


def _squares(vectors: Float32Array) -> Float64Array:
    """Squared distances of all unit vectors, [n, n]."""
    return np.maximum(2 - 2 * (vectors @ vectors.T).astype(np.float64), 0)


def _graph(squares: Float64Array) -> tuple[sp.csr_matrix, bool]:
    """The graph that joins each song to its nearest ones, with squared lengths, [songs, songs].

    Returns:
        The graph, of one piece; and whether nearest neighbours alone join the first song and the
        last. If not, the smallest jumps that join its parts (a minimum spanning tree) are added.
    """
    m = len(squares)
    k = min(NEIGHBOURS, m - 1)
    away = squares + np.diag(np.full(m, np.inf))
    nearest = np.argpartition(away, k - 1, axis=1)[:, :k]
    rows = np.repeat(np.arange(m), k)
    # Squared lengths make many small steps a shorter way than a large one; 0 would be no edge.
    weights = squares[rows, nearest.ravel()] + _NO_LENGTH
    graph = sp.csr_matrix((weights, (rows, nearest.ravel())), shape=(m, m))
    graph = graph.maximum(graph.T)
    parts = csgraph.connected_components(graph, directed=False)[1]
    if parts.any():
        tree = csgraph.minimum_spanning_tree(squares + _NO_LENGTH)
        graph = graph.maximum(tree.maximum(tree.T))
    return graph, bool(parts[0] == parts[-1])


def _chain(squares: Float64Array, along: Float64Array, codes: IntArray, n: int) -> IntArray:
    """The best chain of n songs between the first and the last that only goes forward."""
    m = len(along)
    inner = 1 + np.argsort(along[1:-1], kind="stable")
    order = np.concatenate([[0], inner, [m - 1]])
    scale = max(float(squares[0, -1]), _TINY)
    step = squares[np.ix_(order, order)] / scale  # from the second to the first
    own = codes[order]
    # More than any chain can gain: two songs of one artist in a row never pay.
    most = 10.0 * (n + 1) * (1 + 4 / scale)
    step += most * ((own[:, None] == own[None, :]) & (own[:, None] >= 0))
    step[np.triu_indices(m)] = np.inf  # forward only
    share = along[order]
    best = np.full(m, np.inf)
    best[0] = 0.0
    came_from = np.empty((n + 2, m), np.int32)
    total = np.empty_like(step)
    for position in range(1, n + 2):
        np.add(step, best, out=total)
        came_from[position] = np.argmin(total, axis=1)
        best = total[np.arange(m), came_from[position]]
        if position <= n:
            best = best + _SPREAD * (share - position / (n + 1)) ** 2
            best[-1] = np.inf  # the end comes last
    chain = [m - 1]
    for position in range(n + 1, 0, -1):
        chain.append(int(came_from[position, chain[-1]]))
    return np.asarray(order[chain[::-1]])


def _filled(
    ends: Float32Array, songs: Float32Array, codes: IntArray, chain: IntArray, n: int, room: _Room
) -> IntArray:
    """A long chain: the songs nearest to a shorter one are put in where they are nearest to it."""
    stations = np.concatenate([ends[:1], songs[chain], ends[1:]])
    likeness = songs @ stations.T
    at, closest = likeness.argmax(axis=1), likeness.max(axis=1)
    closest[chain], at[chain] = np.inf, np.arange(1, len(chain) + 1)
    chosen = room.first(np.argsort(-closest, kind="stable"), codes, n)
    chosen = chosen[np.lexsort((chosen, at[chosen]))]
    vectors = np.concatenate([ends[:1], songs[chosen], ends[1:]])
    own = np.concatenate([[-1], codes[chosen], [-1]])
    order = np.arange(len(vectors))
    for start in range(0, len(order) - 1, _STRETCH):  # from the last song of the stretch before
        part = order[start : start + _STRETCH + 1]
        is_last = start + _STRETCH >= len(order) - 1
        order[start : start + _STRETCH + 1] = part[
            smooth_order(vectors[part], own[part], fixed_last=is_last)
        ]
    return np.asarray(chosen[order[1:-1] - 1])
