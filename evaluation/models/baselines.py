"""Baselines without learning: popularity, popularity that knows the test side, random lists."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, IntArray
from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import NotFittedError
from datasets.music import MusicDataset, check_dataset
from datasets.tables.checks import Origin, check_interactions
from datasets.tables.ids import checked_ids
from evaluation.models.top_k import (
    RandomOrder,
    SharedOrder,
    lists_to_frame,
    rows_of_items,
    user_seeds,
)
from evaluation.splitting.interactions import played_pairs

_CELLS = 4_000_000
"""Cells (users * items) of the table of what may not be in the lists."""

_NONE: IntArray = np.empty(0, np.intp)


class Baseline(ABC):
    """Base of models that order the catalogue for each user without learning anything of users.

    Subclasses implement ``_order``, and may count something in ``fit``.

    Args:
        seed: decides the order of items that are equally good.

    Examples:
        >>> class ById(Baseline):
        ...     def _order(self, allowed):
        ...         return SharedOrder(-np.arange(len(self._items), dtype=float), allowed)
        >>> ById().fit(dataset).recommend_many(["u0"], k=2, exclude_seen=False)["item_id"].tolist()
        ['s0', 's1']
    """

    _stream = 0
    """Stream of random numbers, so that two baselines with one seed draw different ones."""

    def __init__(self, seed: int = 0) -> None:
        check_whole("seed", seed, 0)
        self.seed = seed
        self._items: pd.Index[str] = pd.Index([], dtype=object)
        self._seen: dict[str, IntArray] | None = None

    def __repr__(self) -> str:
        fitted = "not fitted" if self._seen is None else f"fitted on {len(self._seen):,} users"
        return f"<{type(self).__name__}: {fitted}; seed {self.seed}>"

    def fit(self, dataset: MusicDataset) -> Self:
        """Store the catalogue and the items that each user has played."""
        check_dataset(dataset)
        self._items = pd.Index(dataset.items[ITEM_ID], dtype=object)
        self._seen = self._rows_of_users(played_pairs(dataset.interactions))
        return self

    def onboard_many(self, dataset: MusicDataset) -> Self:
        """Add the items of ``dataset`` that are not known yet; nobody has played them."""
        new = pd.Index(dataset.items[ITEM_ID], dtype=object)
        self._items = self._items.append(new[~new.isin(self._items)])
        return self

    def update(self, interactions: pd.DataFrame) -> Self:
        """Add interactions after ``fit``: their items are no longer recommended to their users.

        Args:
            interactions: user_id, item_id, weight; of known or new users, with known items.

        Raises:
            NotFittedError: before ``fit``.
            DataError: the table is wrong, or an item unknown.
        """
        if self._seen is None:
            raise NotFittedError(f"{type(self).__name__} takes in plays after fit, not before")
        checked = check_interactions(interactions, Origin("interactions"), self._items.to_series())
        for user, rows in self._rows_of_users(played_pairs(checked)).items():
            known = self._seen.get(user, rows[:0])
            self._seen[user] = np.union1d(known, rows)
        return self

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the best ``k`` items for each user.

        Args:
            user_ids: users, known or new.
            k: length of the lists.
            exclude_seen: leave out what the user has played.
            only: ids of the items that may be recommended; None: all.

        Returns:
            Columns user_id, rank (from 1), item_id, score.

        Raises:
            NotFittedError: before ``fit``.
            InvalidArgumentError: ``k`` < 1, or something that is no id.
            UnknownItemError: ``only`` has an unknown id.
        """
        if self._seen is None:
            raise NotFittedError(f"{type(self).__name__} recommends after fit, not before")
        check_whole("k", k)
        all_users = checked_ids("user_ids", user_ids)
        allowed = rows_of_items(self._items, only)
        order = self._order(allowed)
        not_allowed = np.ones(len(self._items), dtype=bool)
        not_allowed[allowed] = False
        step = max(1, _CELLS // max(len(self._items), 1))
        blocks = []
        for start in range(0, max(len(all_users), 1), step):
            users = all_users[start : start + step]
            excluded = np.tile(not_allowed, (len(users), 1))
            if exclude_seen:
                self._mark_seen(users, excluded)
            found = order.lists(user_seeds(users, self.seed, self._stream), excluded, k)
            blocks.append(found._replace(user=found.user + start))
        return lists_to_frame(blocks, np.array(all_users, dtype=object), self._items.to_numpy())

    def _rows_of_users(self, played: pd.DataFrame) -> dict[str, IntArray]:
        """Group item rows by user, from pairs of user_id and item_id."""
        rows = self._items.get_indexer(pd.Index(played[ITEM_ID], dtype=object)).astype(np.intp)
        users, names = pd.factorize(played[USER_ID])
        order = np.argsort(users, kind="stable")
        ends = np.cumsum(np.bincount(users, minlength=len(names)))[:-1]
        return dict(zip(names, np.split(rows[order], ends), strict=True))

    def _mark_seen(self, users: list[str], excluded: BoolArray) -> None:
        """Set the items that each user has played in ``excluded``, [n_users, n_items]."""
        seen = self._seen or {}
        owned = [seen.get(user, _NONE) for user in users]
        row = np.repeat(np.arange(len(users)), [len(rows) for rows in owned])
        excluded[row, np.concatenate([_NONE, *owned])] = True

    @abstractmethod
    def _order(self, allowed: IntArray) -> SharedOrder | RandomOrder:
        """Return the order in which users get the allowed items (rows)."""


class Popularity(Baseline):
    """Recommend the items with most users in training.

    Equally popular items, such as all cold ones, come in a random order for each user: the order of
    the catalogue often follows popularity and would leak it, and one random order for everybody
    would make results depend on the seed.

    Args:
        seed: decides the order of equally popular items.

    Examples:
        >>> Popularity().fit(dataset).recommend_many(["u0", "u1"], k=2)["rank"].tolist()
        [1, 2, 1, 2]
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._listeners: pd.Series[int] = pd.Series(dtype=np.int64)

    def fit(self, dataset: MusicDataset) -> Self:
        """Count the users of every item."""
        super().fit(dataset)
        rows = np.concatenate([_NONE, *(self._seen or {}).values()])
        count = np.bincount(rows, minlength=len(self._items))
        self._listeners = pd.Series(count, index=self._items)
        return self

    def _order(self, allowed: IntArray) -> SharedOrder:
        count = self._listeners.reindex(self._items, fill_value=0)
        return SharedOrder(np.asarray(count, np.float64), allowed)


class PopularityOracle(Popularity):
    """Recommend the items with most users in training and test together, as a control.

    It is what a ranking that is the same for everybody can reach at best. It is no model, as it
    sees the complete data set.

    Args:
        complete: the data set before splitting.
        seed: decides the order of equally popular items.

    Examples:
        >>> oracle = PopularityOracle(dataset).fit(split.training(dataset))
        >>> len(oracle.recommend_many(["u0"], k=5))
        5
    """

    def __init__(self, complete: MusicDataset, seed: int = 0) -> None:
        super().__init__(seed)
        self._complete = complete

    def fit(self, dataset: MusicDataset) -> Self:
        """Store the catalogue of ``dataset``, and count the users in the complete data set."""
        super().fit(dataset)
        self._listeners = played_pairs(self._complete.interactions)[ITEM_ID].value_counts()
        return self


class Random(Baseline):
    """Recommend items in a random order for each user, which depends on seed and user id only.

    Args:
        seed: decides the orders.

    Examples:
        >>> lists = [Random(seed=3).fit(dataset).recommend_many(["u0"], k=4) for _ in range(2)]
        >>> lists[0].equals(lists[1])
        True
    """

    _stream = 1

    def _order(self, allowed: IntArray) -> RandomOrder:
        return RandomOrder(len(self._items), allowed)
