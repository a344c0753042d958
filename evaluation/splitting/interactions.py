"""Who played what, as whole numbers that do not depend on the order of the rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, TIMESTAMP, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset


@dataclass(frozen=True, eq=False)
class UserItemPairs:
    """The distinct (user, item) pairs of a data set's interactions, and which rows are theirs.

    Users, items and pairs are numbered in sorted order, so the same seed draws the same pairs
    however the rows are ordered. Only users and items that have a row are numbered.
    """

    row_pairs: IntArray
    """[n_rows]: the pair of every row of ``dataset.interactions``."""
    user: IntArray
    """[n_pairs]: the user's number, ascending."""
    item: IntArray
    """[n_pairs]: the item's number, ascending within a user."""
    weight: Float64Array
    """[n_pairs]: sum of the weights of the pair's rows. 0 is no listening."""
    user_ids: "pd.Index[str]"
    """[n_users]: ids by number."""
    item_ids: "pd.Index[str]"
    """[n_items]: ids by number."""

    @classmethod
    def from_dataset(cls, dataset: MusicDataset) -> "UserItemPairs":
        """The pairs of all interactions of ``dataset``."""
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
        """Number of users with a row."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items with a row."""
        return len(self.item_ids)

    @property
    def played(self) -> BoolArray:
        """[n_pairs]: whether the user has listened to the item at all."""
        return self.weight > 0

    def mark_rows(self, rows: IntArray) -> BoolArray:
        """[n_pairs]: whether any of these rows is the pair's."""
        found = np.zeros(len(self), dtype=bool)
        found[self.row_pairs[rows]] = True
        return found

    def to_frame(self, pairs: BoolArray) -> pd.DataFrame:
        """The pairs marked in ``pairs`` [n_pairs] as user_id and item_id, categories of all ids."""
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

    def mark_items(self, item_ids: Iterable[str]) -> BoolArray:
        """[n_items]: whether the item is one of these; ids without a row are passed over."""
        return np.asarray(self.item_ids.isin(list(item_ids)), dtype=bool)

    def users_per_item(self, pairs: BoolArray) -> IntArray:
        """[n_items]: how many of the pairs marked in ``pairs`` [n_pairs] are of the item."""
        return np.bincount(self.item[pairs], minlength=self.n_items)

    def items_per_user(self, pairs: BoolArray) -> IntArray:
        """[n_users]: how many of the pairs marked in ``pairs`` [n_pairs] are of the user."""
        return np.bincount(self.user[pairs], minlength=self.n_users)


def rank_within_group(group: IntArray, n_groups: int, *keys: NDArray[np.generic]) -> IntArray:
    """Place of every element within its group, from 0, in the order of ``keys``.

    The first key counts most. Elements that no key tells apart stand as they were.
    """
    order = np.lexsort((*keys[::-1], group))
    first = np.searchsorted(group[order], np.arange(n_groups))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - first[group[order]]
    return place


def play_times(dataset: MusicDataset) -> IntArray:
    """Time of every interaction [n_rows].

    Raises :class:`~datasets.errors.EvaluationError` where a row has none: a row that could have
    been before or after the moment of a split belongs to neither side.
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
    """When every pair [n_pairs] and every item [n_items] was first played; NEVER where not.

    ``weight`` [n_rows]: rows of weight 0 are no plays.
    """
    of_pair = np.full(len(pairs), NEVER, np.int64)
    rows = np.flatnonzero(weight > 0)
    np.minimum.at(of_pair, pairs.row_pairs[rows], times[rows])
    of_item = np.full(pairs.n_items, NEVER, np.int64)
    np.minimum.at(of_item, pairs.item, of_pair)
    return of_pair, of_item


NEVER = np.iinfo(np.int64).max
"""Later than any time."""
