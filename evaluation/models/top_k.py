"""Top-k lists of many users at once: from score rows, in random order, or in one shared order.

Only the first k places are put in order, so that catalogues of millions of items cost little.
Random numbers are functions of a seed, the user and the item (``random_keys``): a user's list
depends neither on the other users asked for nor on the other items allowed.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import UnknownItemError
from datasets.tables.ids import checked_ids

_DRAWS = 256
"""Places of a random order that are drawn one by one; a list rarely needs more."""

_FIRST_DRAW = 1 << 40
"""Position of a user's first number for drawing; those before it belong to the items."""


class RankedLists(NamedTuple):
    """Lists of several users as flat arrays, by user, each user's best item first."""

    user: IntArray
    """[n]: the user's row, ascending."""
    item: IntArray
    """[n]: the item's row."""
    score: NDArray[np.floating]
    """[n]: the score, falling within a user."""

    def rank(self) -> IntArray:
        """Return the place of each entry in its user's list, from 1: [n]."""
        return np.arange(1, len(self.user) + 1) - np.searchsorted(self.user, self.user)


def lists_to_frame(
    blocks: Sequence[RankedLists], users: NDArray[Any], items: NDArray[Any]
) -> pd.DataFrame:
    """Convert the lists of several blocks of users to one table.

    Args:
        blocks: lists; user rows count through all blocks.
        users: [n_users], user ids by row.
        items: [n_items], item ids by row.

    Returns:
        Columns user_id, rank, item_id, score.

    Examples:
        >>> lists = RankedLists(np.array([0, 0]), np.array([1, 0]), np.array([0.9, 0.2]))
        >>> frame = lists_to_frame([lists], np.array(["u"]), np.array(["a", "b"]))
        >>> frame[["user_id", "rank", "item_id"]].to_numpy().tolist()
        [['u', 1, 'b'], ['u', 2, 'a']]
    """
    ranks = np.concatenate([block.rank() for block in blocks])
    user, item, score = (np.concatenate(column) for column in zip(*blocks, strict=True))
    # Each id is converted to a pandas string once, not once per row.
    user_ids = pd.Series(users).array.take(user)
    item_ids = pd.Series(items).array.take(item)
    return pd.DataFrame({USER_ID: user_ids, RANK: ranks, ITEM_ID: item_ids, SCORE: score})


def top_k_per_row(scores: NDArray[np.floating], k: int) -> tuple[IntArray, IntArray]:
    """Find the ``k`` highest scores of each row.

    Args:
        scores: [n_rows, n_columns]; -inf and NaN are never chosen.
        k: number of columns to find in each row, at least 1.

    Returns:
        Row and column of the chosen scores, by row, highest first; equal scores by column.

    Examples:
        >>> row, column = top_k_per_row(np.array([[0.1, 0.9, 0.5], [0.3, -np.inf, 0.3]]), k=2)
        >>> row.tolist(), column.tolist()
        ([0, 0, 1, 1], [1, 2, 0, 2])
    """
    chosen = scores > -np.inf
    if k < scores.shape[1]:
        falling = -scores
        falling.partition(k - 1, axis=1)
        least = -falling[:, k - 1]
        least[np.isnan(least)] = -np.inf
        chosen &= scores >= least[:, None]
        # A row has more than k where several scores equal the k-th: of these, keep the first.
        crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
        if len(crowded):
            among, bar = scores[crowded], least[crowded, None]
            last = among == bar
            room = k - np.count_nonzero(among > bar, axis=1)
            chosen[crowded] &= ~last | (last.cumsum(axis=1, dtype=np.int32) <= room[:, None])
    row, column = np.divmod(np.flatnonzero(chosen), max(scores.shape[1], 1))
    # Put each row's chosen scores side by side, padded with inf up to the longest row.
    length = np.count_nonzero(chosen, axis=1)
    filled = np.arange(length.max(initial=0)) < length[:, None]
    side_by_side = np.full(filled.shape, np.inf, scores.dtype)
    side_by_side[filled] = -scores[row, column]
    order = side_by_side.argsort(axis=1, kind="stable")[filled]
    order += np.repeat(np.cumsum(length) - length, length)
    return row, column[order]


def rows_of_items(items: "pd.Index[str]", only: Sequence[str] | None) -> IntArray:
    """Return the rows of the items that a list may have, ascending and each once.

    Args:
        items: ids of the catalogue.
        only: ids of the items allowed; None: all.

    Raises:
        UnknownItemError: ``only`` has an id that is not in the catalogue.

    Examples:
        >>> rows_of_items(pd.Index(["a", "b", "c"]), only=["c", "a"]).tolist()
        [0, 2]
    """
    if only is None:
        return np.arange(len(items))
    ids = checked_ids("only", only)
    rows = items.get_indexer(pd.Index(ids, dtype=object))
    if (rows < 0).any():
        raise UnknownItemError(f"no item {ids[int(rows.argmin())]!r} in the catalogue")
    return np.unique(rows)


def user_seeds(users: Iterable[str], seed: int, stream: int) -> NDArray[np.uint64]:
    """Derive a seed for each user, of which all the user's random numbers are functions.

    Args:
        users: user ids.
        seed: seed of the model.
        stream: different models with the same seed use different streams.

    Returns:
        uint64 [n_users].

    Examples:
        >>> user_seeds(["u", "v"], seed=0, stream=1)[0] == user_seeds(["u"], seed=0, stream=1)[0]
        np.True_
    """
    digests = (
        hashlib.blake2b(f"{seed} {stream} {user}".encode(), digest_size=8).digest()
        for user in users
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def _numbers(seeds: NDArray[np.uint64], places: IntArray) -> NDArray[np.uint64]:
    """Compute the numbers at ``places`` of each user's random sequence, uint64 [users, places].

    SplitMix64 (Steele, Lea and Flood, 2014) computes each of them without those before it.
    """
    steps = (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found: NDArray[np.uint64] = seeds[:, None] + steps
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found ^= found >> np.uint64(shift)
        found *= np.uint64(factor)
    found ^= found >> np.uint64(31)
    return found


def random_keys(seeds: NDArray[np.uint64], items: IntArray) -> Float64Array:
    """Compute a random number for each user and item, whatever else is asked for.

    Args:
        seeds: [n_users], see ``user_seeds``.
        items: [n_items], item rows.

    Returns:
        [n_users, n_items], in [0, 1).

    Examples:
        >>> both = random_keys(user_seeds(["u"], seed=0, stream=0), np.array([3, 8]))
        >>> one = random_keys(user_seeds(["u"], seed=0, stream=0), np.array([8]))
        >>> bool(both[0, 1] == one[0, 0])
        True
    """
    return (_numbers(seeds, items) >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)


@dataclass(frozen=True, eq=False)
class RandomOrder:
    """A random order of the catalogue for each user, all orders equally likely.

    Items are drawn with equal probability, and those drawn before are skipped; items that have not
    come up after 256 draws follow by ``random_keys``. So a short list costs a few draws
    whatever the size of the catalogue, and is the beginning of any longer one; a list of some of
    the items has them in the same order as a list of all.

    Examples:
        >>> order = RandomOrder(n_items=5, allowed=np.arange(5))
        >>> excluded = np.zeros((1, 5), dtype=bool)
        >>> seeds = user_seeds(["u"], seed=0, stream=1)
        >>> short, long = (order.lists(seeds, excluded, k).item.tolist() for k in (2, 5))
        >>> short == long[:2], sorted(long)
        (True, [0, 1, 2, 3, 4])
    """

    n_items: int
    """Number of items in the catalogue."""
    allowed: IntArray
    """Rows of the items that lists may have, ascending."""

    def lists(self, seeds: NDArray[np.uint64], excluded: BoolArray, k: int) -> RankedLists:
        """Return the first ``k`` items of each user's order that are not excluded.

        Args:
            seeds: [n_users], see ``user_seeds``.
            excluded: [n_users, n_items], items that a list must not have, among them all those not
                in ``allowed``.
            k: length of the lists.

        Returns:
            Lists with scores that fall from 1 to 0.
        """
        parts, short = [], np.arange(len(seeds))
        for most in (2 * k + 16, _DRAWS):
            found, enough = self._lists_from_draws(seeds[short], excluded[short], k, most)
            parts.append(found._replace(user=short[found.user]))
            short = short[~enough]
        found = self._lists_from_scores(seeds[short], excluded[short], k)
        return _by_user([*parts, found._replace(user=short[found.user])])

    def _lists_from_draws(
        self, seeds: NDArray[np.uint64], excluded: BoolArray, k: int, most: int
    ) -> tuple[RankedLists, BoolArray]:
        """Make lists from the first ``most`` draws; also tell for which users these were enough."""
        drawn, score = self._draw(seeds, most)
        cell = drawn + np.arange(len(seeds))[:, None] * self.n_items
        place = np.broadcast_to(np.arange(len(score), dtype=np.uint16), cell.shape)
        first = np.full(excluded.size, _DRAWS, np.uint16)
        np.minimum.at(first, cell.ravel(), place.ravel())
        fresh = (first[cell] == place) & ~excluded.ravel()[cell]
        count = fresh.cumsum(axis=1)
        enough = count.max(axis=1, initial=0) >= k
        row, column = np.nonzero(fresh & (count <= k) & enough[:, None])
        return RankedLists(row, drawn[row, column], score[column]), enough

    def _lists_from_scores(
        self, seeds: NDArray[np.uint64], excluded: BoolArray, k: int
    ) -> RankedLists:
        """Make the same lists from scores of all items."""
        drawn, score = self._draw(seeds, self.n_items)
        table = np.zeros(excluded.shape)
        table[:, self.allowed] = random_keys(seeds, self.allowed) / 2
        # An item drawn several times counts by its first place, which has the highest score.
        cell = drawn + np.arange(len(seeds))[:, None] * self.n_items
        np.maximum.at(table.ravel(), cell.ravel(), np.broadcast_to(score, cell.shape).ravel())
        table[excluded] = -np.inf
        row, column = top_k_per_row(table[:, self.allowed], k)
        item = self.allowed[column]
        return RankedLists(row, item, table[row, item])

    def _draw(self, seeds: NDArray[np.uint64], most: int) -> tuple[IntArray, Float64Array]:
        """Draw items with replacement, [n_users, n_draws]; also return the score of each place."""
        n_draws = min(_DRAWS, self.n_items)
        places = np.arange(min(most, n_draws))
        numbers = _numbers(seeds, _FIRST_DRAW + places) >> np.uint64(32)
        drawn = (numbers * np.uint64(self.n_items)) >> np.uint64(32)
        return drawn.astype(np.intp), 1 - places / (2 * max(n_draws, 1))


class SharedOrder:
    """One order of the items for all users, in which only ties are in random order for each user.

    Lists are looked for among the best items, and among twice as many for users who have played
    too many of these.

    Args:
        value: [n_items], higher is better; NaN for an item that no list may have.
        allowed: rows of the items that lists may have, ascending.

    Examples:
        >>> order = SharedOrder(np.array([1.0, 3.0, 2.0]), allowed=np.arange(3))
        >>> excluded = np.array([[False, False, False], [False, True, False]])
        >>> lists = order.lists(user_seeds(["u", "v"], seed=0, stream=0), excluded, k=2)
        >>> lists.user.tolist(), lists.item.tolist()
        ([0, 0, 1, 1], [1, 2, 2, 0])
    """

    def __init__(self, value: Float64Array, allowed: IntArray) -> None:
        allowed = allowed[np.isfinite(value[allowed])]
        self._items = allowed[np.argsort(-value[allowed], kind="stable")]
        self._value = value[self._items]
        starts = np.flatnonzero(np.diff(self._value, prepend=np.inf))
        self._ends = np.append(starts[1:], len(self._items))
        self._level = -np.repeat(np.arange(len(starts)), np.diff(starts, append=len(self._items)))

    def lists(self, seeds: NDArray[np.uint64], excluded: BoolArray, k: int) -> RankedLists:
        """Return the best ``k`` items of each user that are not excluded.

        Args:
            seeds: [n_users], see ``user_seeds``.
            excluded: [n_users, n_items], items that a list must not have.
            k: length of the lists.

        Returns:
            Lists with the items' values as scores.
        """
        parts = [RankedLists(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))]
        short, reach = np.arange(len(seeds)), 2 * k
        while len(short) and len(self._items):
            # Include all items that tie with the last.
            place = np.searchsorted(self._ends, min(reach, len(self._items)))
            stop = int(self._ends[place])
            head = self._items[:stop]
            free = ~excluded[short[:, None], head]
            ready = np.count_nonzero(free, axis=1) >= k
            ready |= stop == len(self._items)
            score = self._level[:stop] + random_keys(seeds[short[ready]], head)
            score[~free[ready]] = -np.inf
            row, column = top_k_per_row(score, k)
            parts.append(RankedLists(short[ready][row], head[column], self._value[column]))
            short, reach = short[~ready], 2 * stop
        return _by_user(parts)


def _by_user(parts: Sequence[RankedLists]) -> RankedLists:
    """Join lists of different users."""
    user, item, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    return RankedLists(user[order], item[order], score[order])
