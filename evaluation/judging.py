"""From lists of recommendations to a matrix of hits, refusing lists that are not valid."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import EvaluationError

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Hits:
    """Which recommendations were right: all that the ranking metrics need.

    Rows are the users asked for, in that order; a user without recommendations is a row of misses.
    """

    matrix: NDArray[np.bool_]
    """[n_users, k]: whether the item at rank column + 1 is relevant."""
    n_relevant: Codes
    """[n_users]: number of relevant items, at least 1."""
    n_listed: Codes
    """[n_users]: length of the list the model gave, 0 … k."""
    items: Codes
    """[n_users, k]: the recommended items as positions in the judge's, -1 after a list's end."""


class Judge:
    """Checks and encodes the answers of models for one set of users and candidate items.

    The ids are encoded once and reused for every model. ``users`` are the test users;
    ``relevant`` and ``seen`` hold ``user_id`` and ``item_id`` of the test side and of training,
    of these and perhaps of other users; ``candidates`` are the items that may be recommended.

    Raises :class:`~datasets.errors.EvaluationError` if a user has nothing relevant.
    """

    def __init__(
        self,
        users: Iterable[str],
        candidates: Iterable[str],
        relevant: pd.DataFrame,
        seen: pd.DataFrame | None = None,
    ) -> None:
        self.users = pd.Index(list(users), dtype=object)
        self.items = pd.Index(list(candidates), dtype=object)
        for what, index in (("user", self.users), ("candidate item", self.items)):
            if not index.is_unique:
                raise EvaluationError(f"{what} given twice: {index[index.duplicated()][0]!r}")
        self._relevant = self._keys(relevant)
        self.n_relevant = np.bincount(self._relevant // self._width, minlength=len(self.users))
        if (self.n_relevant == 0).any():
            user = self.users[int(self.n_relevant.argmin())]
            raise EvaluationError(f"test user {user!r} has no relevant item among the candidates")
        self._seen = np.empty(0, np.int64) if seen is None else self._keys(seen)

    def hits(self, recommendations: pd.DataFrame, k: int) -> Hits:
        """Judge the lists of one model; :meth:`check` says what is an error."""
        user, item, rank, _ = self.check(recommendations, k)
        matrix = np.zeros((len(self.users), k), dtype=bool)
        matrix[user, rank - 1] = _member(user * self._width + item, self._relevant)
        items = np.full((len(self.users), k), -1, dtype=np.int64)
        items[user, rank - 1] = item
        return Hits(matrix, self.n_relevant, (items >= 0).sum(axis=1), items)

    def scores(self, recommendations: pd.DataFrame) -> NDArray[np.float64]:
        """[n_users, n_candidates] scores from a full ranking; NaN for an item not ranked.

        Besides what :meth:`check` refuses, a score that grows down a list is an error: it is then
        a distance, and would turn the item-wise AUC upside down.
        """
        user, item, rank, score = self.check(recommendations, len(self.items))
        order = np.lexsort((rank, user))
        same_user = np.diff(user[order]) == 0
        step = np.diff(score[order])
        tolerance = 1e-6 * (np.abs(score).max(initial=0.0) + 1e-30)
        if (same_user & (step > tolerance)).any():
            at = order[int((same_user & (step > tolerance)).argmax())]
            raise EvaluationError(
                f"scores must fall with the rank, and those of user {self.users[user[at]]!r} rise"
                f" after rank {rank[at]}; is the score a distance?"
            )
        matrix = np.full((len(self.users), len(self.items)), np.nan)
        matrix[user, item] = score
        return matrix

    def relevance(self) -> NDArray[np.bool_]:
        """[n_users, n_candidates]: which items are relevant to which users."""
        matrix = np.zeros((len(self.users), len(self.items)), dtype=bool)
        matrix.flat[self._relevant] = True
        return matrix

    def check(
        self, recommendations: pd.DataFrame, k: int
    ) -> tuple[Codes, Codes, Codes, NDArray[np.float64]]:
        """Encode lists as (user, item, rank, score), or raise EvaluationError.

        Errors: a missing column; a user who was not asked for; an item that is no candidate; ranks
        that are not 1, 2, … at most ``k``; a score that is not finite; an item twice in one list;
        an item the user has in training.
        """
        require_columns(recommendations, (USER_ID, RANK, ITEM_ID, SCORE))
        user = _rows(self.users, recommendations[USER_ID])
        item = _rows(self.items, recommendations[ITEM_ID])
        if len(recommendations):  # an empty frame has no types to speak of
            if not pd.api.types.is_integer_dtype(recommendations[RANK].dtype):
                raise EvaluationError("the rank of a recommendation must be a whole number")
            if not pd.api.types.is_numeric_dtype(recommendations[SCORE].dtype):
                raise EvaluationError("the score of a recommendation must be a number")
        rank = recommendations[RANK].to_numpy(dtype=np.int64, na_value=0)
        score = recommendations[SCORE].to_numpy(dtype=np.float64, na_value=np.nan)

        def refuse(wrong: NDArray[np.bool_], problem: str) -> None:
            if wrong.any():
                row = recommendations.iloc[int(wrong.argmax())]
                raise EvaluationError(
                    f"user {row[USER_ID]!r}, item {row[ITEM_ID]!r}: {problem}"
                    f" ({int(wrong.sum())} recommendations in all)"
                )

        refuse(user < 0, "the user was not asked for")
        refuse(item < 0, "the item is not among the candidates")
        refuse(~np.isfinite(score), "the score is not a finite number")
        refuse(rank > k, f"more than {k} recommendations")
        keys = user * self._width + item
        # The lists as a matrix tell at little cost that all is well; which row is to blame is
        # looked for only where it is not.
        lists = np.full((len(self.users), k), -1)
        lists[user, np.maximum(rank, 1) - 1] = item
        listed = lists >= 0
        if (rank < 1).any() or listed.sum() < len(rank) or (listed[:, 1:] > listed[:, :-1]).any():
            refuse(_bad_ranks(user, rank), "ranks must run 1, 2, 3, … within a user")
        lists.sort(axis=1)
        if ((lists[:, 1:] == lists[:, :-1]) & (lists[:, 1:] >= 0)).any():
            refuse(pd.Series(keys).duplicated().to_numpy(), "recommended twice in one list")
        refuse(_member(keys, self._seen), "recommended although it is in the user's training data")
        return user, item, rank, score

    @property
    def _width(self) -> int:
        return max(len(self.items), 1)

    def _keys(self, pairs: pd.DataFrame) -> Codes:
        """Sorted, distinct keys of the pairs whose user and item both take part."""
        user = _rows(self.users, pairs[USER_ID])
        item = _rows(self.items, pairs[ITEM_ID])
        known = (user >= 0) & (item >= 0)
        return np.unique(user[known] * self._width + item[known])


def require_columns(frame: pd.DataFrame, columns: Collection[str]) -> None:
    """Raise :class:`~datasets.errors.EvaluationError` naming the columns that are missing."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise EvaluationError(f"recommendations lack the column(s) {', '.join(missing)}")


def _rows(index: "pd.Index[str]", ids: "pd.Series[str]") -> Codes:
    """Position of each id in ``index``, -1 where it is not there."""
    # Each distinct id is looked up once; the last place answers for a missing id, code -1.
    codes, distinct = pd.factorize(ids)
    places = index.get_indexer(pd.Index(distinct, dtype=object))
    return np.append(places, -1)[codes].astype(np.int64, copy=False)


def _member(keys: Codes, ordered: Codes) -> NDArray[np.bool_]:
    """Whether each key is in ``ordered`` (ascending, distinct)."""
    if len(ordered) == 0:
        return np.zeros(len(keys), dtype=bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[at] == keys
    return found


def _bad_ranks(user: Codes, rank: Codes) -> NDArray[np.bool_]:
    order = np.lexsort((rank, user))
    start = np.searchsorted(user[order], user[order])
    bad = np.empty(len(order), dtype=bool)
    bad[order] = rank[order] != np.arange(len(order)) - start + 1
    return bad
