"""Who has played the items of a catalogue, at the fit and since."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray
from recsys.data import PLAY_BOUNDS
from recsys.index.growing import GrowingIndex
from recsys.model.items import ItemRows
from recsys.model.state import FittedState
from recsys.model.updates import Learner, Since, fused_user


class Listeners(ItemRows):
    """The rows of a catalogue and the people who have played them: what each has played, and the
    vector that it gives them."""

    def __init__(self, state: FittedState, searcher: GrowingIndex) -> None:
        """searcher: over the items of the fit alone."""
        self._learner = Learner(state)
        super().__init__(state, searcher)

    def _clear(self) -> None:
        super()._clear()
        self._since = Since()

    def _fork(self) -> Self:
        other = super()._fork()
        for name in ("by_popularity", "current", "_users", "_user_vectors"):
            other.__dict__.pop(name, None)
        return other

    def user_row(self, user_id: object) -> int | None:
        """The row of a user who has played something, None for anybody else."""
        row = int(self.user_rows([user_id])[0])
        return row if row >= 0 else None

    def user_rows(self, user_ids: Sequence[object]) -> IntArray:
        """Rows of users, -1 for those who have played nothing: those of the fit, then others."""
        ids = pd.Index(list(user_ids), dtype=object)
        rows = np.array(self.state.user_ids.get_indexer(ids), np.intp)
        if self._since.by_user:
            newcomers, _ = self._users
            for position in np.flatnonzero(rows < 0).tolist():
                rows[position] = newcomers.get(ids[position], -1)
        return rows

    def user_vectors(self, rows: IntArray) -> Float32Array:
        """Fused vectors [len(rows), D] of users; zero for row -1."""
        n = len(self.state.user_vectors)
        fitted = (rows >= 0) & (rows < n)
        vectors = np.array(self.state.user_vectors[np.where(fitted, rows, 0)])
        vectors[~fitted] = 0
        if self._since.by_user:
            touched = self._users[1]
            for position, row in enumerate(rows.tolist()):
                if row in touched:
                    if row not in self._user_vectors:
                        self._user_vectors[row] = self.fold_in(*self.history(row))
                    vectors[position] = self._user_vectors[row]
        return vectors

    @property
    def user_ids(self) -> Any:
        """Ids of all users who have played something: those of the fit, then others."""
        if not self._since.by_user:
            return self.state.user_ids
        return np.array([*self.state.user_ids, *self._users[0]], object)

    def counts(self) -> dict[str, int]:
        """How many users and items there are by now, what came since the fit included: ``users``
        who have played something, ``items``, of them ``with_listeners`` and ``with_embedding``."""
        rows = np.setdiff1d(np.arange(len(self.searcher)), self.retired)
        return {
            "users": len(self.user_ids),
            "items": len(rows),
            "with_listeners": int((self.listeners[rows] > 0).sum()),
            "with_embedding": int(self.has_embedding(rows).sum()),
        }

    def seen(self, user_row: int) -> IntArray:
        """Rows of the items that a user has played."""
        return self.history(user_row)[0]

    def seen_by(self, user_rows: IntArray) -> sp.csr_matrix:
        """What users have played, CSR [len(user_rows), rows]; nothing for row -1."""
        shape = (len(user_rows), len(self.searcher))
        if not self._retired and not self._since.by_user and (user_rows >= 0).all():
            plays = self.state.plays[user_rows]  # nothing has moved: no step for each user
            return sp.csr_matrix((plays.data, plays.indices, plays.indptr), shape=shape)
        nothing = np.empty(0, np.intp)
        own = [self.seen(row) if row >= 0 else nothing for row in user_rows.tolist()]
        indptr = np.cumsum([0, *map(len, own)], dtype=np.int32)
        indices = np.concatenate([nothing, *own]).astype(np.int32)
        return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=shape)

    def fold_in(self, rows: IntArray, weights: Float32Array) -> Float32Array:
        """The fused vector [D] of somebody who played these rows so often."""
        return fused_user(self.state, self.fold_in_sources(rows, weights))

    def fold_in_sources(self, rows: IntArray, weights: Float32Array) -> dict[str, Float32Array]:
        """The same as vectors [d] of each source."""
        fused, is_cold = self.searcher.vectors(rows), self.is_cold(rows)
        vectors = {block.name: block.unfuse_items(fused, is_cold) for block in self.state.blocks}
        return self._learner.fold_in(vectors, weights)

    def history(self, user_row: int) -> tuple[IntArray, Float32Array]:
        """Rows of what a user has played, and how often."""
        rows: IntArray = np.empty(0, np.intp)
        weights = np.empty(0, np.float32)
        if user_row < len(self.state.user_vectors):
            start, stop = self.state.plays.indptr[user_row : user_row + 2]
            rows = np.asarray(self.state.plays.indices[start:stop], np.intp)
            weights = np.asarray(self.state.plays.data[start:stop], np.float32)
        if self._retired:
            rows = self.current[rows]
            rows, weights = rows[rows >= 0], weights[rows >= 0]
        if not self._since.by_user or user_row not in self._users[1]:
            return rows, weights
        plays = dict(zip(rows.tolist(), weights.tolist(), strict=True))
        since = self._since.by_user[self._users[1][user_row]]
        for row, weight in zip(self.rows(since).tolist(), since.values(), strict=True):
            plays[row] = plays.get(row, 0.0) + weight
        rows = np.sort(np.fromiter(plays, np.intp, len(plays)))
        total = np.array([plays[row] for row in rows.tolist()])
        return rows, np.clip(total, *PLAY_BOUNDS).astype(np.float32)

    @property
    def touched_users(self) -> dict[int, str]:
        """By row, the ids of those who have played something since the fit."""
        return self._users[1]

    @cached_property
    def _users(self) -> tuple[dict[str, int], dict[int, str]]:
        """Rows of the users who are new since the fit, and who has played since by row."""
        ids = list(self._since.by_user)
        rows = np.array(self.state.user_ids.get_indexer(pd.Index(ids, dtype=object)), np.intp)
        new = rows < 0
        rows[new] = len(self.state.user_vectors) + np.arange(new.sum())
        of_row = dict(zip(rows.tolist(), ids, strict=True))
        return {ids[position]: int(rows[position]) for position in np.flatnonzero(new)}, of_row

    @cached_property
    def _user_vectors(self) -> dict[int, Float32Array]:
        return {}

    @cached_property
    def current(self) -> IntArray:
        """Where the item of each row of the fit is now; -1 where it is gone."""
        n = len(self.state.items)
        rows = np.arange(n)
        rows[[row for row in self._retired if row < n]] = -1
        moved = [item_id for item_id in self._since.by_item if item_id not in self._onboarded]
        rows[self.state.item_ids.get_indexer(pd.Index(moved, dtype=object))] = [
            self._late_row[item_id] for item_id in moved
        ]
        return rows

    @cached_property
    def by_popularity(self) -> IntArray:
        """Rows of the items that somebody has played, most listeners first."""
        if not self._since.by_item:
            return self.state.by_popularity
        warm = np.concatenate(
            [self.state.by_popularity, np.arange(len(self.state.items), len(self.searcher))]
        )
        warm = warm[self.listeners[warm] > 0]
        return np.asarray(warm[np.argsort(-self.listeners[warm], kind="stable")])

    def _newcomers(self, users: Iterable[str]) -> list[str]:
        """Those of the users whom the fit does not know."""
        ids = list(users)
        rows = self.state.user_ids.get_indexer(pd.Index(ids, dtype=object))
        return [user for user, row in zip(ids, rows, strict=True) if row < 0]
