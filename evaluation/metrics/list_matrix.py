"""Lists and (user, item) pairs as arrays, looked up a block of users at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, IntArray
from evaluation.metrics.id_codes import Codes32

_ROWS = 100_000
"""Rows of a frame placed at once: few enough for what is computed of them to stay in the cache."""

_CELLS = 2_000_000
"""Users × items of the table that a block of lists is looked up in; for the same reason."""

_LEAST_USERS = 32
"""Users looked up at once in a catalogue of any size: below, NumPy's calls cost most."""

_WANTED = 1
_SEEN = 2


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each row of a frame of lists belongs in a matrix [n_users, k]."""

    run_user: Codes32
    """[n_runs]: the user of each run of rows."""
    run_length: IntArray
    """[n_runs]: its length."""
    rank: IntArray
    """[n_rows]: 1 … k."""
    n_users: int
    k: int

    def place(self, values: NDArray[np.generic], matrix: NDArray[np.generic]) -> None:
        """Write [n_rows] values to their places in ``matrix``, [n_users, k]."""
        flat = matrix.reshape(-1)
        base = self.run_user.astype(np.int64) * self.k - 1
        ends = np.cumsum(self.run_length)
        n_rows = len(self.rank)
        cuts = np.searchsorted(ends, np.arange(_ROWS, n_rows, _ROWS))
        for first, last in pairwise(np.unique(np.concatenate(([0], cuts, [len(ends)]))).tolist()):
            rows = slice(ends[first] - self.run_length[first], ends[last - 1])
            cell = np.repeat(base[first:last], self.run_length[first:last])
            cell += self.rank[rows]
            flat[cell] = values[rows]


@dataclass(frozen=True, eq=False)
class Pairs:
    """(user, item) pairs by user."""

    keys: IntArray
    """user · (n_items + 1) + item + 1, ascending."""
    ends: IntArray
    """[n_users + 1]: the pairs of user u are ``ends[u]`` … ``ends[u + 1]``."""
    n_items: int

    @classmethod
    def of(cls, user: Codes32, item: Codes32, n_users: int, n_items: int) -> "Pairs":
        """Distinct pairs of which both sides are known, that is, not -1."""
        width = n_items + 1
        keys = user.astype(np.int64) * width
        keys += item
        keys = keys[(user >= 0) & (item >= 0)] + 1
        keys.sort()
        keys = keys[np.diff(keys, prepend=-1) > 0]
        return cls(keys, np.searchsorted(keys, np.arange(n_users + 1) * width), n_items)

    @property
    def user(self) -> IntArray:
        """[n_pairs]: the user of each pair."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))

    @property
    def item(self) -> IntArray:
        """[n_pairs]: the item of each pair."""
        return self.keys % (self.n_items + 1) - 1

    def of_users(self, start: int, stop: int) -> IntArray:
        """Keys of the pairs of users ``start`` … ``stop``, as if user ``start`` were the first."""
        return self.keys[self.ends[start] : self.ends[stop]] - start * (self.n_items + 1)

    def part(self, start: int, stop: int) -> "Pairs":
        """The pairs of users ``start`` … ``stop`` alone."""
        ends = self.ends[start : stop + 1] - self.ends[start]
        return Pairs(self.of_users(start, stop), ends, self.n_items)


def place_lists(layout: Layout, item: Codes32) -> IntArray | None:
    """[n_users, k] items by rank, -1 after the end of a list; None if ranks do not run 1, 2, …"""
    items = np.full((layout.n_users, layout.k), -1)
    layout.place(item, items)
    listed = items >= 0
    placed = np.count_nonzero(listed)
    if placed < len(item) or (placed < items.size and (listed[:, 1:] > listed[:, :-1]).any()):
        return None
    return items


def repeats_an_item(items: IntArray) -> bool:
    """Whether any list, a row of ``items``, has an item twice."""
    for start, stop in _blocks(items.shape[0], items.shape[1]):
        ordered = np.sort(items[start:stop], axis=1)
        again = ordered[:, 1:] == ordered[:, :-1]
        if again.any() and (again & (ordered[:, 1:] >= 0)).any():
            return True
    return False


def look_up(items: IntArray, wanted: Pairs, seen: Pairs | None) -> BoolArray | None:
    """[n_users, k]: which places of the lists are ``wanted``; None if any of them is ``seen``."""
    found = np.empty(items.shape, dtype=bool)
    width = wanted.n_items + 1
    step = min(_step(width), len(items))
    # The first cell of every row of the table answers for no item, -1.
    table = np.zeros(step * width, np.uint8)
    first = (np.arange(step) * width + 1)[:, None]
    for start, stop in _blocks(len(items), width):
        own = wanted.of_users(start, stop)
        table[own] = _WANTED
        cells = items[start:stop] + first[: stop - start]
        if seen is not None:
            before = seen.of_users(start, stop)
            table[before] = _SEEN
        state = table[cells]
        np.equal(state, _WANTED, out=found[start:stop])
        if seen is not None:
            if (state == _SEEN).any():
                return None
            table[before] = 0
        table[own] = 0
    return found


def _blocks(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = _step(width)
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _step(width: int) -> int:
    return max(_LEAST_USERS, _CELLS // max(width, 1))
