"""Models without any model in them: what every figure has to be held against."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, IntArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import InvalidArgumentError, NotFittedError, UnknownItemError
from datasets.music import MusicDataset
from evaluation.models.top_k import RandomOrder, SharedOrder, lists_to_frame, user_seeds

_CELLS = 4_000_000
"""Users × items of the table of what may not be in their lists."""

_NONE: IntArray = np.empty(0, np.intp)


class Baseline:
    """Fitting, onboarding and list making that the baselines share."""

    _stream = 0
    """Keeps two baselines of one seed from drawing the same numbers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._items: pd.Index[str] = pd.Index([], dtype=object)
        self._seen: dict[str, IntArray] | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        """Learn the catalogue and what each user has in training."""
        self._items = pd.Index(dataset.items[ITEM_ID], dtype=object)
        self._seen = self._rows_of_users(_played(dataset.interactions))
        return self

    def onboard_many(self, dataset: MusicDataset) -> Self:
        """Add the items of ``dataset`` that are not known yet; they have no listeners."""
        new = pd.Index(dataset.items[ITEM_ID], dtype=object)
        self._items = self._items.append(new[~new.isin(self._items)])
        return self

    def update(self, interactions: pd.DataFrame) -> Self:
        """Take in what users have played since: it is no longer recommended to them.

        interactions: user_id, item_id, weight; of users known or new, of items of the catalogue.
        """
        if self._seen is None:
            raise NotFittedError(f"{type(self).__name__} takes in plays after fit, not before")
        for user, rows in self._rows_of_users(_played(interactions)).items():
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
        """The best ``k`` items for each user: user_id, rank, item_id, score.

        Raises :class:`~datasets.errors.NotFittedError` before ``fit``,
        :class:`~datasets.errors.InvalidArgumentError` for k < 1 and
        :class:`~datasets.errors.UnknownItemError` for an unknown id in ``only``.
        """
        if self._seen is None:
            raise NotFittedError(f"{type(self).__name__} recommends after fit, not before")
        if k < 1:
            raise InvalidArgumentError(f"k must be at least 1, not {k}")
        everybody = list(user_ids)
        allowed = self._allowed(only)
        order = self._order(allowed)
        barred = np.ones(len(self._items), dtype=bool)
        barred[allowed] = False
        step = max(1, _CELLS // max(len(self._items), 1))
        blocks = []
        for start in range(0, max(len(everybody), 1), step):
            users = everybody[start : start + step]
            taken = np.tile(barred, (len(users), 1))
            if exclude_seen:
                self._mark_seen(users, taken)
            found = order.lists(user_seeds(users, self.seed, self._stream), taken, k)
            blocks.append(found._replace(user=found.user + start))
        return lists_to_frame(blocks, np.array(everybody, dtype=object), self._items.to_numpy())

    def _rows_of_users(self, played: pd.DataFrame) -> dict[str, IntArray]:
        """Rows of the items that each user has played."""
        rows = self._items.get_indexer(pd.Index(played[ITEM_ID], dtype=object)).astype(np.intp)
        users, names = pd.factorize(played[USER_ID])
        order = np.argsort(users, kind="stable")
        ends = np.cumsum(np.bincount(users, minlength=len(names)))[:-1]
        return dict(zip(names, np.split(rows[order], ends), strict=True))

    def _allowed(self, only: Sequence[str] | None) -> IntArray:
        if only is None:
            return np.arange(len(self._items))
        rows = self._items.get_indexer(pd.Index(list(only), dtype=object))
        if (rows < 0).any():
            raise UnknownItemError(f"no item {list(only)[int(rows.argmin())]!r} in the catalogue")
        return np.unique(rows)

    def _mark_seen(self, users: list[str], taken: BoolArray) -> None:
        """Set what each user has in ``taken``, [users, n_items]."""
        seen = self._seen or {}
        owned = [seen.get(user, _NONE) for user in users]
        row = np.repeat(np.arange(len(users)), [len(rows) for rows in owned])
        taken[row, np.concatenate([_NONE, *owned])] = True

    def _order(self, allowed: IntArray) -> SharedOrder | RandomOrder:
        """In what order users get the allowed items."""
        raise NotImplementedError


class Popularity(Baseline):
    """The items with the most listeners in training.

    Equally popular items, such as all cold ones, come in an order drawn for each user by ``seed``:
    the order of the catalogue often follows popularity and would leak it, and one order drawn for
    everybody would make the figures a matter of luck.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._listeners: pd.Series[int] = pd.Series(dtype=np.int64)

    def fit(self, dataset: MusicDataset) -> Self:
        """Count the listeners of every item."""
        super().fit(dataset)
        rows = np.concatenate([_NONE, *(self._seen or {}).values()])
        count = np.bincount(rows, minlength=len(self._items))
        self._listeners = pd.Series(count, index=self._items)
        return self

    def _order(self, allowed: IntArray) -> SharedOrder:
        count = self._listeners.reindex(self._items, fill_value=0)
        return SharedOrder(np.asarray(count, np.float64), allowed)


class PopularityOracle(Popularity):
    """A control: popularity that knows the listeners of the test side too.

    What a ranking that is the same for everybody could reach at best. Not a model: it is made
    with the complete data set.
    """

    def __init__(self, complete: MusicDataset, seed: int = 0) -> None:
        super().__init__(seed)
        self._complete = complete

    def fit(self, dataset: MusicDataset) -> Self:
        """Learn the catalogue of ``dataset`` and the listeners of the complete data set."""
        super().fit(dataset)
        self._listeners = _played(self._complete.interactions)[ITEM_ID].value_counts()
        return self


class Random(Baseline):
    """Every user gets an order of their own, drawn by ``seed`` and the user's id."""

    _stream = 1

    def _order(self, allowed: IntArray) -> RandomOrder:
        return RandomOrder(len(self._items), allowed)


def _played(frame: pd.DataFrame) -> pd.DataFrame:
    """Distinct (user, item) pairs with a weight above 0."""
    return frame.loc[frame[WEIGHT] > 0, [USER_ID, ITEM_ID]].drop_duplicates()
