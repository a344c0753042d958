"""Interactions as distinct (user, item) pairs of integers, with their counts, ranks and times."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, TIMESTAMP, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset, check_dataset

NEVER = np.iinfo(np.int64).max
"""The time of an event that did not happen: later than any timestamp (nanoseconds)."""


@dataclass(frozen=True, eq=False)
class UserItemPairs:
    """The distinct (user, item) pairs of a data set's interactions, encoded as integers.

    Users, items and pairs are numbered in sorted order of their ids, so that a seed selects the
    same pairs whatever the order of the rows. Only users and items with at least one row have a
    number.

    Examples:
        >>> pairs = UserItemPairs.from_dataset(dataset)
        >>> pairs.n_users, pairs.n_items
        (60, 28)
        >>> int(pairs.items_per_user(pairs.played).max())  # items of the most active user
        8
    """

    row_pairs: IntArray
    """[n_rows]: the pair that each row of ``dataset.interactions`` belongs to."""
    user: IntArray
    """[n_pairs]: the user's number, ascending."""
    item: IntArray
    """[n_pairs]: the item's number, ascending within a user."""
    weight: Float64Array
    """[n_pairs]: sum of the weights of the pair's rows; 0 means that the item was not played."""
    user_ids: "pd.Index[str]"
    """[n_users]: user ids by number."""
    item_ids: "pd.Index[str]"
    """[n_items]: item ids by number."""

    @classmethod
    def from_dataset(cls, dataset: MusicDataset) -> "UserItemPairs":
        """Encode all interactions of ``dataset``."""
        check_dataset(dataset)
        frame = dataset.interactions
        users, user_ids = pd.factorize(frame[USER_ID], sort=True)
        items, item_ids = pd.factorize(frame[ITEM_ID], sort=True)
        keys = users.astype(np.int64) * max(len(item_ids), 1) + items
        row_pairs, distinct = pd.factorize(keys, sort=True)
        weight = np.bincount(row_pairs, weights=frame[WEIGHT].to_numpy(), minlength=len(distinct))
        user, item = np.divmod(distinct, max(len(item_ids), 1))
        return cls(
            row_pairs.astype(np.int64),
            user,
            item,
            weight.astype(np.float64),
            pd.Index(user_ids, dtype=object),
            pd.Index(item_ids, dtype=object),
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def n_users(self) -> int:
        """Number of users with at least one row."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items with at least one row."""
        return len(self.item_ids)

    @property
    def played(self) -> BoolArray:
        """[n_pairs]: whether the pair's total weight is above 0."""
        return self.weight > 0

    def mark_rows(self, rows: IntArray) -> BoolArray:
        """Mark the pairs that any of these rows of the interactions belong to, [n_pairs]."""
        marked = np.zeros(len(self), dtype=bool)
        marked[self.row_pairs[rows]] = True
        return marked

    def mark_items(self, item_ids: Iterable[str]) -> BoolArray:
        """Mark the items with these ids, [n_items]; ids without a row are ignored."""
        return np.asarray(self.item_ids.isin(list(item_ids)), dtype=bool)

    def users_per_item(self, pairs: BoolArray) -> IntArray:
        """Count each item's users, [n_items], over the pairs marked in ``pairs`` [n_pairs]."""
        return np.bincount(self.item[pairs], minlength=self.n_items)

    def items_per_user(self, pairs: BoolArray) -> IntArray:
        """Count each user's items, [n_users], over the pairs marked in ``pairs`` [n_pairs]."""
        return np.bincount(self.user[pairs], minlength=self.n_users)

    def to_frame(self, pairs: BoolArray) -> pd.DataFrame:
        """Return the pairs marked in ``pairs`` [n_pairs] as a table.

        Returns:
            Columns user_id and item_id, both categorical with all ids as categories.
        """
        marked = np.flatnonzero(pairs)
        columns = {
            USER_ID: (self.user[marked], self.user_ids),
            ITEM_ID: (self.item[marked], self.item_ids),
        }
        return pd.DataFrame(
            {
                name: pd.Categorical.from_codes(codes, categories=ids, validate=False)
                for name, (codes, ids) in columns.items()
            }
        )


def played_pairs(interactions: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct (user, item) pairs that have a row with a weight above 0.

    Args:
        interactions: columns user_id, item_id, weight.

    Returns:
        Columns user_id and item_id, in the order of first appearance. A play count of 0 is no
        interaction.

    Examples:
        >>> rows = {"user_id": ["u", "u", "v"], "item_id": ["a", "a", "a"], "weight": [1, 2, 0]}
        >>> played_pairs(pd.DataFrame(rows)).to_numpy().tolist()
        [['u', 'a']]
    """
    played = interactions[WEIGHT] > 0
    return interactions.loc[played, [USER_ID, ITEM_ID]].drop_duplicates()


def rank_within_group(group: IntArray, n_groups: int, *keys: NDArray[np.generic]) -> IntArray:
    """Rank every element within its group by ``keys``, ascending.

    Args:
        group: [n], the group of each element, 0 to ``n_groups`` - 1.
        n_groups: number of groups.
        keys: [n] each; the first counts most. Elements with equal keys keep their order.

    Returns:
        [n], ranks from 0.

    Examples:
        >>> group, key = np.array([0, 1, 0, 1]), np.array([5.0, 1.0, 2.0, 3.0])
        >>> rank_within_group(group, 2, key).tolist()
        [1, 0, 0, 1]
    """
    order = np.lexsort((*keys[::-1], group))
    first = np.searchsorted(group[order], np.arange(n_groups))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - first[group[order]]
    return rank


def play_times(dataset: MusicDataset) -> IntArray:
    """Return the time of every interaction in nanoseconds since 1970, int64 [n_rows].

    Raises:
        EvaluationError: a row has no timestamp. A split by time could put such a row on neither
            side.
    """
    frame = dataset.interactions
    if TIMESTAMP not in frame:
        raise EvaluationError(
            "the interactions have no times: a split by time needs the column 'timestamp'"
        )
    times = frame[TIMESTAMP].to_numpy().astype("datetime64[ns]")
    missing = int(np.isnat(times).sum())
    if missing:
        raise EvaluationError(
            f"{missing} of {len(times)} interactions have no timestamp: a split by time needs all"
        )
    return times.astype(np.int64)


def first_plays(
    pairs: UserItemPairs, times: IntArray, weight: Float64Array
) -> tuple[IntArray, IntArray]:
    """Return when every pair and every item was first played.

    Args:
        pairs: the pairs of the interactions.
        times: [n_rows], nanoseconds, as ``play_times`` gives them.
        weight: [n_rows]; rows of weight 0 do not count.

    Returns:
        Times of the pairs [n_pairs] and of the items [n_items]; ``NEVER`` where there is none.
    """
    of_pair = np.full(len(pairs), NEVER, np.int64)
    rows = np.flatnonzero(weight > 0)
    np.minimum.at(of_pair, pairs.row_pairs[rows], times[rows])
    of_item = np.full(pairs.n_items, NEVER, np.int64)
    np.minimum.at(of_item, pairs.item, of_pair)
    return of_pair, of_item
