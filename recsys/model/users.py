"""The users of a live model: what each has played, their vectors, and fold-in of new users.

A user of the fit who has played nothing since keeps the vector of the fit. The vector of any other
user is folded in from the whole history and the items as they are now.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray
from datasets.tables.spellings import other_forms, warn_of_forms
from recsys.data import PLAY_BOUNDS
from recsys.database.changes import Play
from recsys.fusion import fuse_users, unfuse_items
from recsys.index.growing import GrowingIndex
from recsys.model.items import ItemTable
from recsys.model.state import FittedState
from recsys.sources.fold_in import fold_in_user


class PlaysSinceFit:
    """Summed plays since the fit, by item and by user. Immutable."""

    def __init__(
        self,
        by_item: Mapping[str, Mapping[str, float]] | None = None,
        by_user: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.by_item = dict(by_item or {})
        """Item id to user id to plays."""
        self.by_user = dict(by_user or {})
        """User id to item id to plays."""

    def plus(self, plays: Iterable[Play]) -> "PlaysSinceFit":
        """Return the sums with further plays."""
        since = PlaysSinceFit(self.by_item, self.by_user)
        own: set[tuple[int, str]] = set()  # tables copied already, which may be written to
        for play in plays:
            for kind, (table, key, other) in enumerate(
                (
                    (since.by_item, play.item_id, play.user_id),
                    (since.by_user, play.user_id, play.item_id),
                )
            ):
                if (kind, key) not in own:
                    table[key] = dict(table.get(key, {}))
                    own.add((kind, key))
                sums: Any = table[key]
                sums[other] = sums.get(other, 0.0) + play.weight
        return since

    def without(self, item_id: str) -> "PlaysSinceFit":
        """Return the sums without the plays of one item."""
        by_item = {item: users for item, users in self.by_item.items() if item != item_id}
        by_user = dict(self.by_user)
        for user in self.by_item.get(item_id, {}):
            rest = {item: plays for item, plays in by_user[user].items() if item != item_id}
            if rest:
                by_user[user] = rest
            else:
                del by_user[user]
        return PlaysSinceFit(by_item, by_user)


class Profiles(NamedTuple):
    """What is known of the users whom lists are made for."""

    vectors: Float32Array
    """Fused vectors [q, D]; zero where nothing is known of a user."""
    seen: sp.csr_matrix | None
    """Which rows each has played, CSR [q, rows]; None where it was not asked for."""

    def take(self, queries: IntArray) -> "Profiles":
        """Return some of the profiles, in the order of `queries`."""
        return Profiles(self.vectors[queries], None if self.seen is None else self.seen[queries])


class UserTable:
    """Histories and fused vectors of all users, by row. Immutable.

    Rows count through: the users of the fit first, then those who have played since.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> model = load_model(folder / "model")
        >>> rows, plays = model.users.history(model.users.row("u1"))
        >>> len(rows) == len(plays) == len(set(model.items.ids(rows)))
        True
        >>> model.users.fold_in(rows, plays).shape == model.users.vectors(np.array([0]))[0].shape
        True
    """

    def __init__(
        self, state: FittedState, items: ItemTable, index: GrowingIndex, plays: PlaysSinceFit
    ) -> None:
        self._state = state
        self._items = items
        self._n_items = len(items)
        self._index = index
        self._plays = plays
        self._folded_in: dict[int, Float32Array] = {}
        """Vectors of users who have played since the fit, as far as they were asked for."""

    @property
    def ids(self) -> Any:
        """Ids of all users who have played something: those of the fit, then new ones."""
        if not self._plays.by_user:
            return self._state.user_ids
        return np.array([*self._state.user_ids, *self._new_rows], object)

    def row(self, user_id: object) -> int | None:
        """Return the row of a user, None for one who has played nothing."""
        row = int(self.rows([user_id])[0])
        return row if row >= 0 else None

    def rows(self, user_ids: Sequence[object]) -> IntArray:
        """Return rows of users, int [n]; -1 for those who have played nothing."""
        rows = self._find(user_ids)
        taken = {}
        for place in np.flatnonzero(rows < 0).tolist():
            name = user_ids[place]
            for form in other_forms(name) if isinstance(name, str) else ():
                if (row := int(self._find([form])[0])) >= 0:
                    rows[place], taken[str(name)] = row, form
                    break
        warn_of_forms("users", taken)
        return rows

    def known_ids(self, user_ids: Iterable[str]) -> list[str]:
        """Return ids as the model has them, those that it lacks as they are.

        An id that the model has in another Unicode form is taken for that, with a warning.
        """
        ids = list(user_ids)
        if all(map(str.isascii, ids)):
            return ids
        odd = list({ids[place] for place in np.flatnonzero(self._find(ids) < 0).tolist()})
        taken = {
            name: form
            for name in odd
            for form in reversed(other_forms(name))
            if self._find([form])[0] >= 0
        }
        warn_of_forms("users", taken)
        return [taken.get(name, name) for name in ids]

    def _find(self, user_ids: Sequence[object]) -> IntArray:
        ids = pd.Index(list(user_ids), dtype=object)
        rows = np.array(self._state.user_ids.get_indexer(ids), np.intp)
        if self._plays.by_user:
            for position in np.flatnonzero(rows < 0).tolist():
                rows[position] = self._new_rows.get(ids[position], -1)
        return rows

    def not_in_fit(self, user_ids: Iterable[str]) -> list[str]:
        """Return those of the users whom the fit does not know."""
        ids = list(user_ids)
        rows = self._state.user_ids.get_indexer(pd.Index(ids, dtype=object))
        return [user for user, row in zip(ids, rows, strict=True) if row < 0]

    def profiles(self, user_ids: Sequence[object], *, with_seen: bool) -> Profiles:
        """Look up users: their vectors and, if wanted, what they have played."""
        rows = self.rows(user_ids)
        return Profiles(self.vectors(rows), self.seen_by(rows) if with_seen else None)

    def profile_of_plays(self, plays: Mapping[str, float], *, with_seen: bool) -> Profiles:
        """Fold in somebody who has played these items so often: the profile of one user.

        Raises:
            UnknownItemError: an item that is not in the catalogue.
        """
        rows = self._items.rows(plays)
        seen = _csr([rows], self._n_items) if with_seen else None
        vector = self.fold_in(rows, np.array(list(plays.values()), np.float32))
        return Profiles(vector[None], seen)

    def vectors(self, rows: IntArray) -> Float32Array:
        """Return fused vectors [len(rows), D] of users; zero for row -1."""
        n = len(self._state.user_vectors)
        fitted = (rows >= 0) & (rows < n)
        vectors = np.array(self._state.user_vectors[np.where(fitted, rows, 0)])
        vectors[~fitted] = 0
        if self._plays.by_user:
            for position, row in enumerate(rows.tolist()):
                if row in self.active:
                    if row not in self._folded_in:
                        self._folded_in[row] = self.fold_in(*self.history(row))
                    vectors[position] = self._folded_in[row]
        return vectors

    def history(self, row: int) -> tuple[IntArray, Float32Array]:
        """Return the item rows that a user has played, and the plays of each."""
        rows: IntArray = np.empty(0, np.intp)
        weights = np.empty(0, np.float32)
        if row < len(self._state.user_vectors):
            start, stop = self._state.plays.indptr[row : row + 2]
            rows = np.asarray(self._state.plays.indices[start:stop], np.intp)
            weights = np.asarray(self._state.plays.data[start:stop], np.float32)
        if len(self._items.retired):
            rows = self._items.current_rows[rows]
            rows, weights = rows[rows >= 0], weights[rows >= 0]
        if not self._plays.by_user or row not in self.active:
            return rows, weights
        plays = dict(zip(rows.tolist(), weights.tolist(), strict=True))
        since = self._plays.by_user[self.active[row]]
        for item, weight in zip(self._items.rows(since).tolist(), since.values(), strict=True):
            plays[item] = plays.get(item, 0.0) + weight
        rows = np.sort(np.fromiter(plays, np.intp, len(plays)))
        total = np.array([plays[item] for item in rows.tolist()])
        return rows, np.clip(total, *PLAY_BOUNDS).astype(np.float32)

    def seen(self, row: int) -> IntArray:
        """Return the rows of the items that a user has played."""
        return self.history(row)[0]

    def seen_by(self, rows: IntArray) -> sp.csr_matrix:
        """Return what users have played, CSR [len(rows), item rows]; nothing for row -1."""
        if not len(self._items.retired) and not self._plays.by_user and (rows >= 0).all():
            plays = self._state.plays[rows]  # nothing has moved: no step for each user
            shape = (len(rows), self._n_items)
            return sp.csr_matrix((plays.data, plays.indices, plays.indptr), shape=shape)
        nothing = np.empty(0, np.intp)
        return _csr(
            [self.seen(row) if row >= 0 else nothing for row in rows.tolist()], self._n_items
        )

    def fold_in(self, item_rows: IntArray, weights: Float32Array) -> Float32Array:
        """Return the fused vector [D] of somebody who has played these rows so often."""
        vectors = self.fold_in_sources(item_rows, weights)
        return fuse_users(self._state.blocks, vectors)[0]

    def fold_in_sources(
        self, item_rows: IntArray, weights: Float32Array
    ) -> dict[str, Float32Array]:
        """Return the same as one vector for each source, [1, d]."""
        state, is_cold = self._state, self._items.is_cold(item_rows)
        item_vectors = unfuse_items(state.blocks, self._index.vectors(item_rows), is_cold)
        return fold_in_user(state.sources, item_vectors, weights, state.item_grams)

    @cached_property
    def active(self) -> dict[int, str]:
        """The users who have played something since the fit: their ids by row."""
        ids = list(self._plays.by_user)
        rows = np.array(self._state.user_ids.get_indexer(pd.Index(ids, dtype=object)), np.intp)
        is_new = rows < 0
        rows[is_new] = len(self._state.user_vectors) + np.arange(is_new.sum())
        return dict(zip(rows.tolist(), ids, strict=True))

    @cached_property
    def _new_rows(self) -> dict[str, int]:
        """Rows of the users whom the fit does not know, in order."""
        n = len(self._state.user_vectors)
        return {user: row for row, user in self.active.items() if row >= n}


def _csr(rows: Sequence[IntArray], n_columns: int) -> sp.csr_matrix:
    """A matrix float32 [len(rows), n_columns] of ones at these columns of each row."""
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    indices = np.concatenate([np.empty(0, np.intp), *rows]).astype(np.int32)
    ones = np.ones(len(indices), np.float32)
    return sp.csr_matrix((ones, indices, indptr), shape=(len(rows), n_columns))
