"""The first places of many lists at once, without ordering all that comes after them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID

Seeds = NDArray[np.uint64]

_DRAWS = 256
"""Places of a shuffled list that are drawn one by one; a list rarely needs more."""

_DRAWN = 1 << 40
"""Where in a user's numbers those for drawing begin, behind one for every item."""


class RankedLists(NamedTuple):
    """Lists as flat arrays of one length: by user, and of a user the best first."""

    user: IntArray
    item: IntArray
    score: NDArray[np.floating]

    def rank(self) -> IntArray:
        """The place of each entry in its user's list, from 1."""
        return np.arange(1, len(self.user) + 1) - np.searchsorted(self.user, self.user)


def lists_to_frame(
    blocks: Sequence[RankedLists], users: NDArray[Any], items: NDArray[Any]
) -> pd.DataFrame:
    """user_id, rank, item_id, score of lists found for a block of users after the other.

    users: [n_users], and items: [n_items], the ids that positions stand for. A position of a user
    counts through all blocks.
    """
    ranks = np.concatenate([block.rank() for block in blocks])
    user, item, score = (np.concatenate(column) for column in zip(*blocks, strict=True))
    # Each id becomes what pandas keeps strings as once, and not once a row.
    user_ids = pd.Series(users).array.take(user)
    item_ids = pd.Series(items).array.take(item)
    return pd.DataFrame({USER_ID: user_ids, RANK: ranks, ITEM_ID: item_ids, SCORE: score})


def top_k_per_row(scores: NDArray[np.floating], k: int) -> tuple[IntArray, IntArray]:
    """(row, column) of the ``k`` highest scores of each row, by row, the highest first.

    Equal scores come in the order of the columns. -inf and NaN are never among them.
    """
    chosen = scores > -np.inf
    if k < scores.shape[1]:
        falling = -scores
        falling.partition(k - 1, axis=1)
        least = -falling[:, k - 1]
        least[np.isnan(least)] = -np.inf
        chosen &= scores >= least[:, None]
        # More than k where others are as good as the last: of these, the first columns.
        crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
        if len(crowded):
            among, bar = scores[crowded], least[crowded, None]
            last = among == bar
            room = k - np.count_nonzero(among > bar, axis=1)
            chosen[crowded] &= ~last | (last.cumsum(axis=1, dtype=np.int32) <= room[:, None])
    row, column = np.divmod(np.flatnonzero(chosen), max(scores.shape[1], 1))
    # The chosen of each row side by side, and what is missing of the longest behind them.
    length = np.count_nonzero(chosen, axis=1)
    filled = np.arange(length.max(initial=0)) < length[:, None]
    side_by_side = np.full(filled.shape, np.inf, scores.dtype)
    side_by_side[filled] = -scores[row, column]
    order = side_by_side.argsort(axis=1, kind="stable")[filled]
    order += np.repeat(np.cumsum(length) - length, length)
    return row, column[order]


def user_seeds(users: Iterable[str], seed: int, stream: int) -> Seeds:
    """A number for each user from which all their luck follows: [n_users]."""
    digests = (
        hashlib.blake2b(f"{seed} {stream} {user}".encode(), digest_size=8).digest()
        for user in users
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def _numbers(keys: Seeds, places: IntArray) -> Seeds:
    """The numbers of each user at these places: [len(keys), len(places)], of 64 bits.

    SplitMix64 (Steele, Lea and Flood, 2014), which finds any of them without those before it.
    """
    steps = (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found: Seeds = keys[:, None] + steps
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found ^= found >> np.uint64(shift)
        found *= np.uint64(factor)
    found ^= found >> np.uint64(31)
    return found


def random_keys(keys: Seeds, items: IntArray) -> Float64Array:
    """A number of 0 to 1 for each user and item, whatever else is asked for: [users, items]."""
    return (_numbers(keys, items) >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)


@dataclass(frozen=True, eq=False)
class RandomOrder:
    """Every user has an order of the catalogue of their own, each equally likely.

    Items are drawn with equal chances, and what was drawn before is passed over; what has not come
    after so many draws follows by ``luck``. So a short list costs a few draws, whatever the
    catalogue's size, and it is the beginning of a long one; a list of some items alone has them
    in the order of the list of all.
    """

    n_items: int
    allowed: IntArray

    def lists(self, keys: Seeds, taken: BoolArray, k: int) -> RankedLists:
        """The first ``k`` of each user's order that are not ``taken``, [users, n_items].

        ``taken`` must hold what is not allowed. Scores fall from 1 to 0.
        """
        parts, short = [], np.arange(len(keys))
        for most in (2 * k + 16, _DRAWS):
            found, enough = self._begun(keys[short], taken[short], k, most)
            parts.append(found._replace(user=short[found.user]))
            short = short[~enough]
        found = self._whole(keys[short], taken[short], k)
        return _by_user([*parts, found._replace(user=short[found.user])])

    def _begun(
        self, keys: Seeds, taken: BoolArray, k: int, most: int
    ) -> tuple[RankedLists, BoolArray]:
        """The lists of the users for whom the first ``most`` draws are enough, and who they are."""
        drawn, score = self._drawn(keys, most)
        cell = drawn + np.arange(len(keys))[:, None] * self.n_items
        place = np.broadcast_to(np.arange(len(score), dtype=np.uint16), cell.shape)
        first = np.full(taken.size, _DRAWS, np.uint16)
        np.minimum.at(first, cell.ravel(), place.ravel())
        fresh = (first[cell] == place) & ~taken.ravel()[cell]
        count = fresh.cumsum(axis=1)
        enough = count.max(axis=1, initial=0) >= k
        row, column = np.nonzero(fresh & (count <= k) & enough[:, None])
        return RankedLists(row, drawn[row, column], score[column]), enough

    def _whole(self, keys: Seeds, taken: BoolArray, k: int) -> RankedLists:
        """The same lists by scores of every item."""
        drawn, score = self._drawn(keys, self.n_items)
        table = np.zeros(taken.shape)
        table[:, self.allowed] = random_keys(keys, self.allowed) / 2
        # Of an item drawn again the first place counts, which has the highest score.
        cell = drawn + np.arange(len(keys))[:, None] * self.n_items
        np.maximum.at(table.ravel(), cell.ravel(), np.broadcast_to(score, cell.shape).ravel())
        table[taken] = -np.inf
        row, column = top_k_per_row(table[:, self.allowed], k)
        item = self.allowed[column]
        return RankedLists(row, item, table[row, item])

    def _drawn(self, keys: Seeds, most: int) -> tuple[IntArray, Float64Array]:
        """The first items drawn, [users, n], some of them again, and the score of each place."""
        n_draws = min(_DRAWS, self.n_items)
        places = np.arange(min(most, n_draws))
        numbers = _numbers(keys, _DRAWN + places) >> np.uint64(32)
        drawn = (numbers * np.uint64(self.n_items)) >> np.uint64(32)
        return drawn.astype(np.intp), 1 - places / (2 * max(n_draws, 1))


class SharedOrder:
    """One order for everybody, but for items that are equally good: of these a user's luck decides.

    A list is looked for among the best items, and among twice as many by those who have played
    too much of them.
    """

    def __init__(self, value: Float64Array, allowed: IntArray) -> None:
        """value: [n_items], higher is better, NaN for an item that no list may have."""
        allowed = allowed[np.isfinite(value[allowed])]
        self._items = allowed[np.argsort(-value[allowed], kind="stable")]
        self._value = value[self._items]
        starts = np.flatnonzero(np.diff(self._value, prepend=np.inf))
        self._ends = np.append(starts[1:], len(self._items))
        self._level = -np.repeat(np.arange(len(starts)), np.diff(starts, append=len(self._items)))

    def lists(self, keys: Seeds, taken: BoolArray, k: int) -> RankedLists:
        """The best ``k`` items of each user that are not ``taken``, [users, n_items]."""
        parts = [RankedLists(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))]
        short, reach = np.arange(len(keys)), 2 * k
        while len(short) and len(self._items):
            # All that are as good as the last, too.
            place = np.searchsorted(self._ends, min(reach, len(self._items)))
            stop = int(self._ends[place])
            head = self._items[:stop]
            free = ~taken[short[:, None], head]
            ready = np.count_nonzero(free, axis=1) >= k
            ready |= stop == len(self._items)
            score = self._level[:stop] + random_keys(keys[short[ready]], head)
            score[~free[ready]] = -np.inf
            row, column = top_k_per_row(score, k)
            parts.append(RankedLists(short[ready][row], head[column], self._value[column]))
            short, reach = short[~ready], 2 * stop
        return _by_user(parts)


def _by_user(parts: Sequence[RankedLists]) -> RankedLists:
    """The lists of different users as one."""
    user, item, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    return RankedLists(user[order], item[order], score[order])
