"""From lists of recommendations to a matrix of hits, refusing lists that are not valid."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.metrics.id_codes import Codes32, IdCodes
from evaluation.metrics.list_matrix import Layout, Pairs, look_up, place_lists, repeats_an_item


@dataclass(frozen=True, eq=False)
class Hits:
    """Which recommendations were right: all that the ranking metrics need.

    Rows are the users asked for, in that order; a user without recommendations is a row of misses.
    """

    matrix: BoolArray
    """[n_users, k]: whether the item at rank column + 1 is relevant."""
    n_relevant: IntArray
    """[n_users]: number of relevant items, at least 1."""
    n_listed: IntArray
    """[n_users]: length of the list the model gave, 0 … k."""
    items: IntArray
    """[n_users, k]: the recommended items as positions in the judge's, -1 after a list's end."""

    _first: dict[int, "FirstHits"] = field(default_factory=dict, init=False, repr=False)

    def first(self, k: int) -> "FirstHits":
        """The hits among the first k places; kept, as every metric asks for them.

        Raises :class:`~datasets.errors.InvalidArgumentError` for a k that the lists do not have.
        """
        if k not in self._first:
            n_users, width = self.matrix.shape
            if not 1 <= k <= width:
                raise InvalidArgumentError(f"k must be 1 to {width}, not {k}")
            row, column = np.divmod(np.flatnonzero(self.matrix[:, :k]), k)
            self._first[k] = FirstHits(row, column, np.bincount(row, minlength=n_users))
        return self._first[k]


@dataclass(frozen=True, eq=False)
class FirstHits:
    """Hits among the first places, by user and in the order of the list."""

    row: IntArray
    """[n_hits]: the user's row."""
    column: IntArray
    """[n_hits]: rank - 1."""
    count: IntArray
    """[n_users]: hits of each user."""


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
        self._user_codes = IdCodes(users, "user")
        self._item_codes = IdCodes(candidates, "candidate item")
        self.users = self._user_codes.index
        self.items = self._item_codes.index
        self._relevant = self._pairs(relevant)
        self.n_relevant = np.diff(self._relevant.ends)
        if (self.n_relevant == 0).any():
            user = self.users[int(self.n_relevant.argmin())]
            raise EvaluationError(f"test user {user!r} has no relevant item among the candidates")
        self._seen = None if seen is None else self._pairs(seen)

    def hits(self, recommendations: pd.DataFrame, k: int) -> Hits:
        """Judge the lists of one model.

        Raises :class:`~datasets.errors.EvaluationError`, naming user and item, for a missing
        column; a user who was not asked for; an item that is no candidate; ranks that are not
        1, 2, … at most ``k``; a score that is not finite; an item twice in one list; an item the
        user has in training.
        """
        layout, items, matrix = self._checked(recommendations, k)
        n_listed = np.zeros(len(self.users), np.int64)
        np.add.at(n_listed, layout.run_user, layout.run_length)
        return Hits(matrix, self.n_relevant, n_listed, items)

    def scores(self, recommendations: pd.DataFrame) -> Float64Array:
        """[n_users, n_candidates] scores from a full ranking; NaN for an item not ranked.

        Besides what :meth:`hits` refuses, a score that grows down a list is an error: it is then
        a distance, and would turn the item-wise AUC upside down.
        """
        layout, items, _ = self._checked(recommendations, len(self.items))
        score = recommendations[SCORE].to_numpy(dtype=np.float64)
        down = np.full(items.shape, np.nan)
        layout.place(score, down)
        rise = np.diff(down, axis=1) > 1e-6 * (np.abs(score).max(initial=0.0) + 1e-30)
        if rise.any():
            user, column = np.argwhere(rise)[0]
            raise EvaluationError(
                f"scores must fall with the rank, and those of user {self.users[user]!r} rise"
                f" after rank {column + 1}; is the score a distance?"
            )
        # The column after the last takes what is written for no item, -1.
        matrix = np.full((len(self.users), len(self.items) + 1), np.nan)
        np.put_along_axis(matrix, items, down, axis=1)
        return matrix[:, :-1]

    def part(self, start: int, stop: int) -> "Judge":
        """The judge of the users from row ``start`` to before row ``stop`` alone."""
        part = Judge.__new__(Judge)
        part._user_codes = IdCodes(self.users[start:stop], "user")
        part._item_codes = self._item_codes
        part.users, part.items = part._user_codes.index, self.items
        part._relevant = self._relevant.part(start, stop)
        part.n_relevant = self.n_relevant[start:stop]
        part._seen = None if self._seen is None else self._seen.part(start, stop)
        return part

    def relevance(self) -> BoolArray:
        """[n_users, n_candidates]: which items are relevant to which users."""
        matrix = np.zeros((len(self.users), len(self.items)), dtype=bool)
        matrix[self.relevant] = True
        return matrix

    @property
    def relevant(self) -> tuple[IntArray, IntArray]:
        """(user rows, item columns) of what is relevant, each pair once, by user: [n] each."""
        return self._relevant.user, self._relevant.item

    @property
    def seen(self) -> tuple[IntArray, IntArray]:
        """The same of what users have in training; empty where it was not given."""
        if self._seen is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self._seen.user, self._seen.item

    def _pairs(self, frame: pd.DataFrame) -> Pairs:
        """The pairs whose user and item both take part."""
        user = np.repeat(*self._user_codes.of_runs(frame[USER_ID]))
        item = self._item_codes.of(frame[ITEM_ID])
        return Pairs.of(user, item, len(self.users), len(self.items))

    def _checked(self, recommendations: pd.DataFrame, k: int) -> tuple[Layout, IntArray, BoolArray]:
        """Layout, [n_users, k] items and which of them are relevant, of lists without a fault."""
        require_columns(recommendations, (USER_ID, RANK, ITEM_ID, SCORE))
        run_user, run_length = self._user_codes.of_runs(recommendations[USER_ID])
        item = self._item_codes.of(recommendations[ITEM_ID])
        if len(recommendations):  # an empty frame has no types to speak of
            if not pd.api.types.is_integer_dtype(recommendations[RANK].dtype):
                raise EvaluationError("the rank of a recommendation must be a whole number")
            if not pd.api.types.is_numeric_dtype(recommendations[SCORE].dtype):
                raise EvaluationError("the score of a recommendation must be a number")
        rank = recommendations[RANK].to_numpy(dtype=np.int64, na_value=0)
        score = recommendations[SCORE].to_numpy(dtype=np.float64, na_value=np.nan)
        # That all is well shows at little cost; which row is to blame is looked for only where it
        # is not.
        if (
            run_user.min(initial=0) >= 0
            and item.min(initial=0) >= 0
            and np.isfinite(score).all()
            and rank.min(initial=1) >= 1
            and rank.max(initial=1) <= k
        ):
            layout = Layout(run_user, run_length, rank, len(self.users), k)
            items = place_lists(layout, item)
            if items is not None and not repeats_an_item(items):
                matrix = look_up(items, self._relevant, self._seen)
                if matrix is not None:
                    return layout, items, matrix
        user = np.repeat(run_user, run_length)
        raise self._fault(recommendations, user, item, rank, score, k)

    def _fault(
        self,
        recommendations: pd.DataFrame,
        user: Codes32,
        item: Codes32,
        rank: IntArray,
        score: Float64Array,
        k: int,
    ) -> EvaluationError:
        """What is wrong with lists that have a fault, and the first row that is to blame."""
        keys = user.astype(np.int64) * (len(self.items) + 1) + item + 1
        seen = np.empty(0, np.int64) if self._seen is None else self._seen.keys
        rules: list[tuple[Any, str]] = [
            (user < 0, "the user was not asked for"),
            (item < 0, "the item is not among the candidates"),
            (~np.isfinite(score), "the score is not a finite number"),
            (rank > k, f"more than {k} recommendations"),
            (_bad_ranks(user, rank), "ranks must run 1, 2, 3, … within a user"),
            (pd.Series(keys).duplicated().to_numpy(), "recommended twice in one list"),
            (np.isin(keys, seen), "recommended although it is in the user's training data"),
        ]
        wrong, problem = next(rule for rule in rules if rule[0].any())
        row = recommendations.iloc[int(wrong.argmax())]
        return EvaluationError(
            f"user {row[USER_ID]!r}, item {row[ITEM_ID]!r}: {problem}"
            f" ({int(wrong.sum())} recommendations in all)"
        )


def require_columns(frame: pd.DataFrame, columns: Collection[str]) -> None:
    """Raise :class:`~datasets.errors.EvaluationError` naming the columns that are missing."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise EvaluationError(f"recommendations lack the column(s) {', '.join(missing)}")


def _bad_ranks(user: Codes32, rank: IntArray) -> BoolArray:
    order = np.lexsort((rank, user))
    start = np.searchsorted(user[order], user[order])
    bad = np.empty(len(order), dtype=bool)
    bad[order] = rank[order] != np.arange(len(order)) - start + 1
    return bad
