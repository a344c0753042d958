"""The users of a live model: what each has played, their vectors, and fold-in of new users.

A user of the fit who has played nothing since keeps the vector of the fit. The vector of any other
user is folded in from the whole history and the items as they are now.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from datasets.arrays import Float32Array, IntArray, StrArray
from datasets.tables.spellings import other_forms, warn_of_forms
from datasets.texts.suggestions import close_names, near_spellings, suggest
from recsys.data import PLAY_BOUNDS
from recsys.database.changes import Play
from recsys.fusion import fuse_users, unfuse_items
from recsys.index.base import Seen
from recsys.index.growing import GrowingIndex
from recsys.model.items import ItemTable
from recsys.model.persistent import PersistentMap
from recsys.model.state import FittedState
from recsys.model.tables import row_of, rows_of_ids
from recsys.sources.fold_in import fold_in_user

_Sums = Mapping[str, Mapping[str, float]]

_MOST_KEPT = 20_000
"""Vectors of users that are kept when the model changes."""


class PlaysSinceFit:
    """Summed plays since the fit, by item and by user. Immutable."""

    def __init__(self, by_item: _Sums | None = None, by_user: _Sums | None = None) -> None:
        self.by_item: PersistentMap[str, Mapping[str, float]] = _persistent(by_item)
        """Item id to user id to plays."""
        self.by_user: PersistentMap[str, Mapping[str, float]] = _persistent(by_user)
        """User id to item id to plays."""

    def plus(self, plays: Iterable[Play]) -> "PlaysSinceFit":
        """Return the sums with further plays."""
        by_item: dict[str, dict[str, float]] = {}
        by_user: dict[str, dict[str, float]] = {}
        for play in plays:
            for sums, old, key, other in (
                (by_item, self.by_item, play.item_id, play.user_id),
                (by_user, self.by_user, play.user_id, play.item_id),
            ):
                if key not in sums:
                    sums[key] = dict(old.get(key, {}))
                sums[key][other] = sums[key].get(other, 0.0) + play.weight
        return PlaysSinceFit(self.by_item.changed(by_item), self.by_user.changed(by_user))

    def without(self, item_id: str) -> "PlaysSinceFit":
        """Return the sums without the plays of one item."""
        rest: dict[str, Mapping[str, float]] = {}
        gone = []
        for user in self.by_item.get(item_id, {}):
            left = {item: plays for item, plays in self.by_user[user].items() if item != item_id}
            if left:
                rest[user] = left
            else:
                gone.append(user)
        return PlaysSinceFit(self.by_item.changed({}, [item_id]), self.by_user.changed(rest, gone))


def _persistent(sums: _Sums | None) -> PersistentMap[str, Mapping[str, float]]:
    return sums if isinstance(sums, PersistentMap) else PersistentMap(sums)


class ActiveUsers:
    """Who has played something since the fit, by id and by row. Immutable.

    A user whom the fit does not know gets the next row.
    """

    def __init__(self, state: FittedState) -> None:
        self._state = state
        self.rows: PersistentMap[str, int] = PersistentMap()
        """User id to row."""
        self.ids: PersistentMap[int, str] = PersistentMap()
        """Row to user id."""
        self.n_new = 0
        """How many of them the fit does not know; their rows follow those of the fit."""

    def plus(self, user_ids: Iterable[str]) -> "ActiveUsers":
        """Return the users with others, in the order in which they came."""
        others = [user for user in dict.fromkeys(user_ids) if user not in self.rows]
        if not others:
            return self
        found = rows_of_ids(self._state.user_ids, others).tolist()
        grown, n_fitted = copy.copy(self), len(self._state.user_vectors)
        rows = []
        for row in found:
            rows.append(row if row >= 0 else n_fitted + grown.n_new)
            grown.n_new += row < 0
        grown.rows = self.rows.changed(dict(zip(others, rows, strict=True)))
        grown.ids = self.ids.changed(dict(zip(rows, others, strict=True)))
        return grown

    def those_of(self, plays: PlaysSinceFit) -> "ActiveUsers":
        """Return the users without those who have no plays any more."""
        if len(plays.by_user) == len(self.rows):
            return self
        rows = sorted(row for user, row in self.rows.items() if user in plays.by_user)
        return ActiveUsers(self._state).plus(self.ids[row] for row in rows)


class Profiles(NamedTuple):
    """What is known of the users whom lists are made for."""

    vectors: Float32Array
    """Fused vectors [q, D]; zero where nothing is known of a user."""
    seen: Seen | None
    """Which rows each has played; None where it was not asked for."""

    def take(self, queries: IntArray) -> "Profiles":
        """Return some of the profiles, in the order of `queries`."""
        seen = None if self.seen is None else self.seen.take(queries)
        return Profiles(self.vectors[queries], seen)


class ActiveVectors(NamedTuple):
    """The vectors of all users who have played something since the fit, as one table has them."""

    table: "UserTable"
    rows: IntArray
    """Their rows, int [n], ascending."""
    vectors: Float32Array
    """Fused vectors [n, D]."""
    places: Mapping[str, int]
    """The number of each, by user id."""


class FoldedIn(NamedTuple):
    """The vector of a user, and the history that it was made of.

    A row of items never changes, so that the same history has the same vector, whatever has come to
    the model since.
    """

    rows: IntArray
    plays: Float32Array
    vector: Float32Array

    def is_of(self, rows: IntArray, plays: Float32Array) -> bool:
        """Return whether it was made of these rows of items and these plays."""
        return np.array_equal(self.rows, rows) and np.array_equal(self.plays, plays)


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
        self,
        state: FittedState,
        items: ItemTable,
        index: GrowingIndex,
        plays: PlaysSinceFit,
        active: ActiveUsers,
        folded_in: dict[int, FoldedIn],
    ) -> None:
        """Join what is known of the users.

        Args:
            state: what the fit has learned.
            items: the items as they are now.
            index: their vectors.
            plays: all plays since the fit.
            active: who has played since the fit.
            folded_in: vectors that were computed for earlier tables whose items have the same rows,
                by row of the user; those that are computed for this one are added.
        """
        self._state = state
        self._items = items
        self._index = index
        self._plays = plays
        self._active = active
        self._vectors: dict[int, Float32Array] = {}
        """Vectors of users who have played since the fit, as far as they were asked for."""
        self._folded_in = folded_in

    def __repr__(self) -> str:
        fitted, since = len(self._state.user_ids), len(self._plays.by_user)
        return f"<UserTable: {fitted:,} users of the fit, {since:,} active since>"

    @property
    def ids(self) -> Any:
        """Ids of all users who have played something: those of the fit, then new ones."""
        if not self._active.n_new:
            return self._state.user_ids
        n = len(self._state.user_vectors)
        new = (self._active.ids[row] for row in range(n, len(self)))
        return np.array([*self._state.user_ids, *new], object)

    def __len__(self) -> int:
        return len(self._state.user_vectors) + self._active.n_new

    def ids_of(self, rows: IntArray) -> StrArray:
        """Return the ids of users by their rows; unlike `ids`, it reads these alone."""
        n = len(self._state.user_vectors)
        is_new = rows >= n
        found: StrArray = np.empty(len(rows), object)
        found[~is_new] = self._state.user_ids[rows[~is_new]]
        found[is_new] = np.array([self._active.ids[row] for row in rows[is_new].tolist()], object)
        return found

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
        if len(user_ids) == 1 and isinstance(user_ids[0], str):
            row = row_of(self._state.user_ids, user_ids[0])
            if row < 0 and self._active.n_new:
                row = self._active.rows.get(user_ids[0], -1)
            return np.array([row], np.intp)
        rows = rows_of_ids(self._state.user_ids, user_ids)
        if self._active.n_new:
            for position in np.flatnonzero(rows < 0).tolist():
                name = user_ids[position]
                rows[position] = self._active.rows.get(name, -1) if isinstance(name, str) else -1
        return rows

    def suggestion(self, user_id: object) -> str:
        """Return the end of an error message about an unknown user: users of similar ids.

        Examples:
            >>> from recsys.model import load_model
            >>> recommender.save(folder / "model")
            >>> load_model(folder / "model").users.suggestion("U12")
            "; did you mean 'u12'?"
        """
        near = near_spellings(str(user_id))
        rows = self.rows(near).tolist() if near else []
        found = [name for name, row in zip(near, rows, strict=True) if row >= 0]
        return suggest((found or close_names(user_id, self._state.user_ids))[:3])

    def not_in_fit(self, user_ids: Iterable[str]) -> list[str]:
        """Return those of the users whom the fit does not know."""
        ids = list(user_ids)
        rows = rows_of_ids(self._state.user_ids, ids)
        return [user for user, row in zip(ids, rows, strict=True) if row < 0]

    def profiles(self, user_ids: Sequence[object], *, with_seen: bool) -> Profiles:
        """Look up users: their vectors and, if wanted, what they have played."""
        rows = self.rows(user_ids)
        return Profiles(self.vectors(rows), self.seen_by(rows) if with_seen else None)

    def profiles_with_plays(
        self,
        user_ids: Sequence[object],
        plays: Mapping[str, Mapping[str, float]],
        *,
        with_seen: bool,
    ) -> Profiles:
        """Look up users, and fold in those whom the model does not know and whose plays are given.

        Args:
            user_ids: the users.
            plays: plays by item, by user; those of users of the model are not looked at.
            with_seen: whether to tell what they have played.

        Raises:
            UnknownItemError: an item that is not in the catalogue.
        """
        rows = self.rows(user_ids)
        own = self.vectors(rows)
        others = {
            place: self.profile_of_plays(plays[str(user_ids[place])], with_seen=with_seen)
            for place in np.flatnonzero(rows < 0).tolist()
            if plays.get(str(user_ids[place]))
        }
        for place, profile in others.items():
            own[place] = profile.vectors[0]
        seen = self.seen_by(rows) if with_seen else None
        if seen is not None and others:
            played = [seen[place] for place in range(len(rows))]
            for place, profile in others.items():
                if profile.seen is not None:
                    played[place] = profile.seen[0]
            seen = Seen.of(played)
        return Profiles(own, seen)

    def profile_of_plays(self, plays: Mapping[str, float], *, with_seen: bool) -> Profiles:
        """Fold in somebody who has played these items so often: the profile of one user.

        Raises:
            UnknownItemError: an item that is not in the catalogue.
        """
        rows = self._items.rows(plays)
        seen = Seen.of([rows]) if with_seen else None
        vector = self.fold_in(rows, np.array(list(plays.values()), np.float32))
        return Profiles(vector[None], seen)

    def vectors(self, rows: IntArray) -> Float32Array:
        """Return fused vectors [len(rows), D] of users; zero for row -1."""
        n = len(self._state.user_vectors)
        fitted = (rows >= 0) & (rows < n)
        vectors = np.zeros((len(rows), self._state.user_vectors.shape[1]), np.float32)
        vectors[fitted] = self._state.user_vectors[rows[fitted]]
        if self._plays.by_user:
            for position, row in enumerate(rows.tolist()):
                if row in self._active.ids:
                    if row not in self._vectors:
                        self._vectors[row] = self._vector(row)
                    vectors[position] = self._vectors[row]
        return vectors

    def _vector(self, row: int) -> Float32Array:
        """The vector of a user who has played since the fit."""
        rows, plays = self.history(row)
        known = self._folded_in.get(row)
        if known is None or not known.is_of(rows, plays):
            known = FoldedIn(rows, plays, self.fold_in(rows, plays))
            if len(self._folded_in) >= _MOST_KEPT:
                self._folded_in.clear()
            self._folded_in[row] = known
        return known.vector

    def history(self, row: int) -> tuple[IntArray, Float32Array]:
        """Return the item rows that a user has played, and the plays of each."""
        rows: IntArray = np.empty(0, np.intp)
        weights = np.empty(0, np.float32)
        if row < len(self._state.user_vectors):
            start, stop = self._state.plays.indptr[row : row + 2]
            rows = np.asarray(self._state.plays.indices[start:stop], np.intp)
            weights = np.asarray(self._state.plays.data[start:stop], np.float32)
        if len(self._items.retired):
            rows = self._items.now_at(rows)
            rows, weights = rows[rows >= 0], weights[rows >= 0]
        if row not in self._active.ids:
            return rows, weights
        plays = dict(zip(rows.tolist(), weights.tolist(), strict=True))
        since = self._plays.by_user[self._active.ids[row]]
        for item, weight in zip(self._items.rows(since).tolist(), since.values(), strict=True):
            plays[item] = plays.get(item, 0.0) + weight
        rows = np.sort(np.fromiter(plays, np.intp, len(plays)))
        total = np.array([plays[item] for item in rows.tolist()])
        return rows, np.clip(total, *PLAY_BOUNDS).astype(np.float32)

    def seen(self, row: int) -> IntArray:
        """Return the rows of the items that a user has played."""
        return self.history(row)[0]

    def seen_by(self, rows: IntArray) -> Seen:
        """Return the rows of the items that users have played; none for row -1."""
        unchanged = not len(self._items.retired) and not self._plays.by_user
        if unchanged and len(rows) > 1 and (rows >= 0).all():
            plays = self._state.plays[rows]  # no step for each user
            return Seen(plays.indices, plays.indptr)
        nothing = np.empty(0, np.intp)
        return Seen.of([self.seen(row) if row >= 0 else nothing for row in rows.tolist()])

    def who_played(self, item_rows: IntArray) -> IntArray:
        """Return the rows of the users who have played any of these items, ascending."""
        ids = self._items.ids(item_rows)
        fitted = self._items.fitted_rows(ids)
        parts = [np.empty(0, np.intp)]
        for item_id, row in zip(ids.tolist(), fitted, strict=True):
            if row is not None and row >= 0:
                _, users, starts = self._state.plays_by_item
                parts.append(users[starts[row] : starts[row + 1]].astype(np.intp))
            since = self._plays.by_item.get(item_id, ())
            parts.append(np.array([self._active.rows[user] for user in since], np.intp))
        several = sum(len(part) > 0 for part in parts) > 1  # one has no user twice
        return np.unique(np.concatenate(parts)) if several else np.sort(np.concatenate(parts))

    def active_vectors(self, earlier: "ActiveVectors | None") -> "ActiveVectors":
        """Return the vectors of all users who have played something since the fit.

        Args:
            earlier: those of another table of the same fit, of which all that is the same is taken.
        """
        if earlier is not None and earlier.table is self:
            return earlier
        users = sorted(self._active.rows, key=self._active.rows.__getitem__)
        rows = np.array([self._active.rows[user] for user in users], np.intp)
        kept: dict[str, int] = {}
        if earlier is not None:
            again = self._changed_since(earlier.table)
            kept = {user: place for user, place in earlier.places.items() if user not in again}
        vectors = np.empty((len(users), self._state.user_vectors.shape[1]), np.float32)
        for number, user in enumerate(users):
            if earlier is not None and (place := kept.get(user)) is not None:
                vectors[number] = earlier.vectors[place]
            else:
                vectors[number] = self.vectors(rows[number : number + 1])[0]
        places = {user: number for number, user in enumerate(users)}
        return ActiveVectors(self, rows, vectors, places)

    def _changed_since(self, other: "UserTable") -> set[str]:
        """Users whose vectors may differ from those that another table of this fit gives them."""
        plays, before = self._plays, other._plays
        changed = plays.by_user.differing(before.by_user)
        moved = self._items.moved_since(other._items)
        rows, old = self._items.rows_or_none(moved), other._items.rows_or_none(moved)
        # A row that moved with the vector that it had changes nobody.
        both = np.flatnonzero((rows >= 0) & (old >= 0))
        same = (self._index.vectors(rows[both]) == other._index.vectors(old[both])).all(axis=1)
        same &= self._items.is_cold(rows[both]) == other._items.is_cold(old[both])
        unchanged = set(both[same].tolist())
        moved = [name for place, name in enumerate(moved) if place not in unchanged]
        for table in (self, other):
            for name in moved:
                changed.update(table._plays.by_item.get(name, ()))
        if columns := [row for row in self._fit_columns(moved) if row >= 0]:
            _, users, starts = self._state.plays_by_item
            active = np.array(sorted(self._active.ids), np.intp)
            for row in columns:
                own = np.intersect1d(active, users[starts[row] : starts[row + 1]])
                changed.update(self._active.ids[user] for user in own.tolist())
        return changed

    def _fit_columns(self, item_ids: Sequence[str]) -> list[int]:
        """The row of the fit of each item, whatever has happened to it since; -1 for none."""
        return rows_of_ids(self._state.item_ids, item_ids).tolist()

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

    @property
    def active(self) -> Mapping[int, str]:
        """The users who have played something since the fit: their ids by row."""
        return self._active.ids
