"""The order of a playlist: each song near the one before, and no artist twice in a row.

The order is a short way through the chosen songs: nearest neighbours first, then improved by
reversing parts of it and by moving songs (2-opt and Or-opt: G. A. Croes, A method for solving
traveling-salesman problems, 1958; I. Or, Traveling salesman-type combinatorial problems, 1976).
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array, IntArray

_AT_ONCE = 300
"""Songs ordered together; longer lists are ordered part by part, as time grows with the square."""

_PASSES = 50
"""How often the whole order is gone through at most."""

_LEAST_GAIN = 1e-9


def smooth_order(
    vectors: Float32Array, artists: IntArray | None = None, *, fixed_last: bool = False
) -> IntArray:
    """Order songs so that each is near the one before; the first one stays the first.

    Two songs of one artist stand side by side only where that cannot be avoided. Among orders with
    as few such pairs, the result is never longer than the order given.

    Args:
        vectors: unit vectors, float32 [n, d], in the order that they have so far.
        artists: a number for each song, [n]; -1 where the artist is unknown and fits everywhere.
        fixed_last: the last song stays the last.

    Returns:
        Positions [n] in the new order.

    Examples:
        >>> angles = np.array([0.0, 1.2, 0.4, 0.8])
        >>> songs = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        >>> smooth_order(songs).tolist()
        [0, 2, 3, 1]
        >>> smooth_order(songs, np.array([0, 1, 2, 2])).tolist()
        [0, 2, 1, 3]
    """
    n = len(vectors)
    if n < 3:
        return np.arange(n)
    codes = _codes(np.full(n, -1) if artists is None else artists)
    order = np.arange(n)
    for start in range(0, n, _AT_ONCE):
        # The last song of the part before is the first of this one and stays where it is.
        part = order[max(start - 1, 0) : start + _AT_ONCE]
        ends = fixed_last and start + _AT_ONCE >= n
        order[max(start - 1, 0) : start + _AT_ONCE] = part[
            _short_way(vectors[part], codes[part], ends)
        ]
    given = np.arange(n)
    better = _length(vectors, codes, order) <= _length(vectors, codes, given)
    return order if better else given


def step_lengths(vectors: Float32Array) -> Float64Array:
    """Return one minus the cosine of each song and the one before, [n]; NaN for the first.

    Args:
        vectors: unit vectors, float32 [n, d], in order.

    Examples:
        >>> step_lengths(np.float32([[1, 0], [0, 1], [0, 1]])).round(2).tolist()
        [nan, 1.0, 0.0]
    """
    steps = np.full(len(vectors), np.nan)
    if len(vectors) > 1:
        cosines = np.einsum("nd,nd->n", vectors[1:], vectors[:-1], dtype=np.float64)
        steps[1:] = 1 - np.clip(cosines, -1, 1)
    return steps


def same_artist_pairs(artists: IntArray) -> int:
    """Count neighbours in an order that are of one artist; -1 is an unknown one.

    Examples:
        >>> same_artist_pairs(np.array([3, 3, -1, -1, 3]))
        1
    """
    return int(((artists[1:] == artists[:-1]) & (artists[1:] >= 0)).sum())


def _codes(artists: IntArray) -> IntArray:
    """Artists as numbers from 0; each song of an unknown one has a number of its own."""
    named = np.array(artists, np.intp)
    unknown = named < 0
    named[unknown] = named.max(initial=0) + 1 + np.arange(unknown.sum())
    return np.asarray(np.unique(named, return_inverse=True)[1])


def _length(vectors: Float32Array, codes: IntArray, order: IntArray) -> tuple[int, float]:
    """Pairs of one artist, and the sum of all steps, of an order."""
    steps = step_lengths(vectors[order])[1:]
    return same_artist_pairs(codes[order]), round(float(steps.sum()), 9)


def _short_way(vectors: Float32Array, codes: IntArray, fixed_last: bool) -> IntArray:
    n = len(vectors)
    cost = 1 - (vectors @ vectors.T).astype(np.float64)
    # More than any order of these songs can gain: a pair of one artist never pays.
    cost += 4.0 * n * (codes[:, None] == codes[None, :])
    ways = [_improved(cost, way, fixed_last) for way in (_nearest(cost, codes), np.arange(n))]
    if fixed_last:
        last = ways[0]  # nearest neighbours know of no end: put it there
        ways[0] = _improved(cost, np.append(last[last != n - 1], n - 1), fixed_last)
    sums = [cost[way[:-1], way[1:]].sum() for way in ways]
    return ways[int(np.argmin(sums))]


def _nearest(cost: Float64Array, codes: IntArray) -> IntArray:
    """Go to the nearest song each time, but to an artist's while that artist still fits.

    Once an artist has as many of the songs left as can stand apart, the next song is theirs.
    """
    n = len(codes)
    counts = np.bincount(codes)
    is_open = np.ones(n, bool)
    way = [0]
    for left in range(n - 1, 0, -1):  # songs that are still to be placed
        now = way[-1]
        is_open[now] = False
        counts[codes[now]] -= 1
        allowed = is_open & (codes != codes[now])
        most = int(np.argmax(counts))
        if counts[most] > left // 2 and (pressing := allowed & (codes == most)).any():
            allowed = pressing
        if not allowed.any():
            allowed = is_open
        way.append(int(np.argmin(np.where(allowed, cost[now], np.inf))))
    return np.array(way, np.intp)


def _improved(cost: Float64Array, way: IntArray, fixed_last: bool) -> IntArray:
    """Reverse parts of a way and move songs as long as that makes it shorter; the first one stays.

    Args:
        cost: of each step, [n, n].
        way: the songs in order, [n].
        fixed_last: the last one stays, too.
    """
    way = way.copy()
    stop = len(way) - 1 if fixed_last else len(way)  # positions that may change end before it
    for _ in range(_PASSES):
        # Both every time: what the one has changed may be a chance for the other.
        is_shorter = [_reversed(cost, way, stop), _moved(cost, way, stop)]
        if not any(is_shorter):
            break
    return way


def _reversed(cost: Float64Array, way: IntArray, stop: int) -> bool:
    """Reverse the parts of a way whose reversal makes it shorter; return whether any was."""
    changed, n = False, len(way)
    for first in range(1, stop - 1):
        lasts = np.arange(first + 1, stop)
        before, start = way[first - 1], way[first]
        gain = cost[before, start] - cost[before, way[lasts]]
        inner = lasts[lasts < n - 1]  # a part that ends the way has one joint only
        gain[: len(inner)] += cost[way[inner], way[inner + 1]] - cost[start, way[inner + 1]]
        best = int(np.argmax(gain))
        if gain[best] > _LEAST_GAIN:
            way[first : lasts[best] + 1] = way[first : lasts[best] + 1][::-1].copy()
            changed = True
    return changed


def _moved(cost: Float64Array, way: IntArray, stop: int) -> bool:
    """Move the songs of a way whose move makes it shorter; return whether any was."""
    changed, n = False, len(way)
    for place in range(1, stop):
        song, rest = way[place], np.delete(way, place)
        joints = cost[rest[:-1], rest[1:]]
        added = cost[rest[:-1], song] + cost[song, rest[1:]] - joints
        if stop == n:  # at the end of the way, too
            added = np.append(added, cost[rest[-1], song])
        best = int(np.argmin(added))
        if added[place - 1] - added[best] > _LEAST_GAIN:
            way[:] = np.insert(rest, best + 1, song)
            changed = True
    return changed
