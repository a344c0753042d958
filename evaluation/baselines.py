"""Models without any model in them: what every figure has to be held against."""

import zlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID, WEIGHT
from datasets.errors import InvalidArgumentError, NotFittedError, UnknownItemError
from datasets.music import MusicDataset

_CELLS = 8_000_000
"""Users × items scored at once."""


class Baseline:
    """Fitting, onboarding and list making that the baselines share."""

    _stream = 0
    """Keeps two baselines of one seed from drawing the same numbers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._items: pd.Index[str] = pd.Index([], dtype=object)
        self._seen: dict[str, NDArray[np.int64]] | None = None

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
        allowed = self._allowed(only)
        users = list(user_ids)
        step = max(1, _CELLS // max(len(self._items), 1))
        blocks = [
            self._block(users[start : start + step], k, exclude_seen, allowed)
            for start in range(0, max(len(users), 1), step)
        ]
        return pd.concat(blocks, ignore_index=True)

    def _rows_of_users(self, played: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
        """Rows of the items that each user has played."""
        rows = self._items.get_indexer(pd.Index(played[ITEM_ID], dtype=object)).astype(np.int64)
        users, names = pd.factorize(played[USER_ID])
        order = np.argsort(users, kind="stable")
        ends = np.cumsum(np.bincount(users, minlength=len(names)))[:-1]
        return dict(zip(names, np.split(rows[order], ends), strict=True))

    def _allowed(self, only: Sequence[str] | None) -> NDArray[np.int64]:
        if only is None:
            return np.arange(len(self._items))
        rows = self._items.get_indexer(pd.Index(list(only), dtype=object))
        if (rows < 0).any():
            raise UnknownItemError(f"no item {list(only)[int(rows.argmin())]!r} in the catalogue")
        return np.unique(rows)

    def _luck(self, users: list[str], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """A number of 0 to 1 for each user and item, whatever else is asked for: [users, rows]."""
        luck = np.empty((len(users), len(rows)))
        for place, user in enumerate(users):
            random = np.random.default_rng([self.seed, self._stream, zlib.crc32(user.encode())])
            luck[place] = random.random(len(self._items))[rows]
        return luck

    def _block(
        self, users: list[str], k: int, exclude_seen: bool, allowed: NDArray[np.int64]
    ) -> pd.DataFrame:
        seen = np.zeros((len(users), len(self._items)), dtype=bool)
        if exclude_seen and self._seen is not None:
            for row, user in enumerate(users):
                if user in self._seen:
                    seen[row, self._seen[user]] = True
        longest = k + int(seen.sum(axis=1).max(initial=0))
        order, score = self._ordered(users, allowed, longest)
        fresh = ~np.take_along_axis(seen, order, axis=1)
        place = fresh.cumsum(axis=1)
        chosen, column = np.nonzero(fresh & (place <= k))
        return pd.DataFrame(
            {
                USER_ID: np.array(users, dtype=object)[chosen],
                RANK: place[chosen, column],
                ITEM_ID: self._items.to_numpy()[order[chosen, column]],
                SCORE: score[chosen, column],
            }
        )

    def _ordered(
        self, users: list[str], allowed: NDArray[np.int64], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The first ``longest`` allowed items of each user, best first, and their scores."""
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
        self._listeners = _played(dataset.interactions)[ITEM_ID].value_counts()
        return super().fit(dataset)

    def _ordered(
        self, users: list[str], allowed: NDArray[np.int64], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        count = self._listeners.reindex(self._items, fill_value=0).to_numpy(dtype=np.float64)
        longest = min(longest, len(allowed))
        if longest == 0:
            return np.empty((len(users), 0), np.int64), np.empty((len(users), 0))
        # All that can be in a list: the most popular, with everything as popular as the last.
        last = np.partition(count[allowed], -longest)[-longest]
        head = allowed[count[allowed] >= last]
        order = best_columns(count[head] + self._luck(users, head), longest)
        return head[order], count[head][order]


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

    def _ordered(
        self, users: list[str], allowed: NDArray[np.int64], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        score = self._luck(users, allowed)
        order = best_columns(score, min(longest, len(allowed)))
        return allowed[order], np.take_along_axis(score, order, axis=1)


def best_columns(score: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Columns of the ``n`` highest scores of each row, best first."""
    if n < score.shape[1]:
        best = np.argpartition(-score, n, axis=1)[:, :n]
    else:
        best = np.broadcast_to(np.arange(score.shape[1]), score.shape)
    down = np.argsort(-np.take_along_axis(score, best, axis=1), axis=1)
    return np.take_along_axis(best, down, axis=1)


def _played(frame: pd.DataFrame) -> pd.DataFrame:
    """Distinct (user, item) pairs with a weight above 0."""
    return frame.loc[frame[WEIGHT] > 0, [USER_ID, ITEM_ID]].drop_duplicates()
