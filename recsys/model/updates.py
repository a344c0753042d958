"""Plays since the fit: what they make of the items and of the users that they touch.

The model is the fit and the sum of all plays since, whatever the order and the batches they came
in. So nothing here is learned step by step: a touched item's vector is made anew from the fit and
all its listeners, a touched user's from the whole history and the items as they are now.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import DataError
from datasets.tables.checks import Origin, check_interactions
from recsys.data import PLAY_BOUNDS, ItemContent
from recsys.database.changes import Play
from recsys.fusion import fuse_items, fuse_users
from recsys.model.state import FittedState

_ROWS = 65_536
"""Users whose vectors are taken at once for a gram."""


class Updated(NamedTuple):
    """What an update has changed."""

    plays: int
    """Plays that were taken in; those of weight 0 say nothing and are not counted."""
    users: int
    """Users who have a new vector."""
    new_users: int
    """Of them, those of whom nothing was known before."""
    items: int
    """Items of which there are new plays."""
    warmed: int
    """Of them, those that had no listeners before."""


def checked_plays(interactions: pd.DataFrame) -> list[Play]:
    """Plays out of a table as a data set has it; those of weight 0 are left out.

    Raises DataError naming the row and the column of what is wrong.
    """
    if not isinstance(interactions, pd.DataFrame):
        raise DataError(f"interactions: a DataFrame is expected, not {type(interactions).__name__}")
    table = check_interactions(interactions, Origin("interactions"), None)
    times: Sequence[int | None] = [None] * len(table)
    if c.TIMESTAMP in table:
        times = table[c.TIMESTAMP].to_numpy().astype("datetime64[ns]").astype(np.int64).tolist()
    columns = (table[name].tolist() for name in (c.USER_ID, c.ITEM_ID, c.WEIGHT))
    return [
        Play(user, item, float(weight), time)
        for user, item, weight, time in zip(*columns, times, strict=True)
        if weight > 0
    ]


class Since:
    """The sums of the plays since the fit, by item and by user. Never changes."""

    def __init__(
        self,
        by_item: Mapping[str, Mapping[str, float]] | None = None,
        by_user: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.by_item = dict(by_item or {})
        self.by_user = dict(by_user or {})

    def plus(self, plays: Iterable[Play]) -> "Since":
        """These and further plays."""
        since = Since(self.by_item, self.by_user)
        own: set[tuple[int, str]] = set()  # what is ours to write to
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

    def without(self, item_id: str) -> "Since":
        """All plays but those of an item."""
        by_item = {item: users for item, users in self.by_item.items() if item != item_id}
        by_user = dict(self.by_user)
        for user in self.by_item.get(item_id, {}):
            rest = {item: plays for item, plays in by_user[user].items() if item != item_id}
            if rest:
                by_user[user] = rest
            else:
                del by_user[user]
        return Since(by_item, by_user)


class Learner:
    """Item vectors from the fit and from who plays the items; what it keeps is of the fit alone."""

    def __init__(self, state: FittedState) -> None:
        self._state = state

    @cached_property
    def _by_item(self) -> Any:
        return self._state.plays.tocsc()

    @cached_property
    def _grams(self) -> dict[str, Float64Array]:
        """PᵀP of all users of the fit, for each source."""
        grams = {}
        for number, block in enumerate(self._state.blocks):
            width = block.columns.stop - block.columns.start
            gram = np.zeros((width, width))
            for start in range(0, len(self._state.user_vectors), _ROWS):
                own = self._own(slice(start, start + _ROWS), number).astype(np.float64)
                gram += own.T @ own
            grams[block.name] = gram
        return grams

    def _own(self, rows: Any, number: int) -> Float32Array:
        """A source's own vectors of users of the fit."""
        columns = self._state.blocks[number].columns
        scales = np.asarray(self._state.user_scales[rows, number])
        return np.asarray(self._state.user_vectors[rows, columns]) * scales[:, None]

    def training(self, item: int | None) -> tuple[IntArray, Float32Array]:
        """Rows of the users who played an item in training, and their plays."""
        if item is None:
            return np.empty(0, np.intp), np.empty(0, np.float32)
        start, stop = self._by_item.indptr[item : item + 2]
        return (
            np.asarray(self._by_item.indices[start:stop], np.intp),
            np.asarray(self._by_item.data[start:stop], np.float32),
        )

    def bases(
        self, content: ItemContent, fitted: Sequence[int | None]
    ) -> tuple[dict[str, Float32Array], dict[str, Float32Array]]:
        """Each source's vectors [n, d] of items as nobody had played them since the fit: what
        their content predicts, and what the fit made of them (the same for those that came later).
        """
        state = self._state
        predicted = {name: one.item_vectors(content) for name, one in state.sources.items()}
        known = np.flatnonzero([row is not None for row in fitted])
        rows = np.array([row for row in fitted if row is not None], np.intp)
        bases = {name: vectors.copy() for name, vectors in predicted.items()}
        fused = np.asarray(state.item_vectors[rows])
        for block in state.blocks:
            bases[block.name][known] = block.unfuse_items(fused, state.listeners[rows] == 0)
        return predicted, bases

    def fold_in(
        self, vectors: Mapping[str, Float32Array], weights: Float32Array
    ) -> dict[str, Float32Array]:
        """Each source's vector [d] of a user who played items with these vectors [h, d]."""
        return {
            block.name: self._state.sources[block.name].fold_in(
                vectors[block.name], weights, block.gram
            )
            for block in self._state.blocks
        }

    def item(
        self,
        predicted: Mapping[str, Float32Array] | None,
        base: Mapping[str, Float32Array],
        fitted: int | None,
        plays: Mapping[str, float],
        newcomers: Mapping[str, Mapping[str, Float32Array]],
    ) -> tuple[Float32Array, int]:
        """The fused vector [D] of an item, and how many listeners it has.

        predicted, base: [d] of each source, as :meth:`bases` gives them, predicted None for an
        item without content; fitted: the item's row of
        the fit; plays: those since, by user; newcomers: vectors [d] of users whom the fit did not
        know. What the fit learned is moved by what the new plays move a vector that is made from
        listeners alone: without new plays nothing changes.
        """
        state = self._state
        before, weights = self.training(fitted)
        users = list(plays)
        found = state.user_ids.get_indexer(pd.Index(users, dtype=object))
        total = dict(zip(before.tolist(), weights.tolist(), strict=True))
        others = []
        for user, row in zip(users, found.tolist(), strict=True):
            if row >= 0:
                total[row] = total.get(row, 0.0) + plays[user]
            else:
                others.append(user)
        rows = np.fromiter(total, np.intp, len(total))
        order = np.argsort(rows)  # the same sums, whatever came first
        others.sort()
        after = np.array(
            [*(total[row] for row in rows[order].tolist()), *(plays[user] for user in others)]
        )
        after = np.clip(after, *PLAY_BOUNDS).astype(np.float32)
        vectors = {}
        for number, block in enumerate(state.blocks):
            name, gram = block.name, self._grams[block.name]
            source = state.sources[name]
            new = [newcomers[user][name][None] for user in others]
            listeners = np.vstack([self._own(rows[order], number), *new])
            expected = None if predicted is None else predicted[name]
            made = source.item_from_plays(expected, listeners, after, gram)
            if len(before):
                had = self._own(before, number)
                made = made - source.item_from_plays(expected, had, weights, gram)
                made = made + base[name]
            vectors[name] = np.asarray(made, np.float32)[None]
        warm = np.zeros(1, bool)
        return fuse_items(state.blocks, vectors, warm)[0], len(after)


def fused_user(state: FittedState, vectors: Mapping[str, Float32Array]) -> Float32Array:
    """The fused vector [D] of a user from each source's [d]."""
    return fuse_users(state.blocks, {name: vector[None] for name, vector in vectors.items()})[0]
