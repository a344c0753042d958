"""The rows of a catalogue: the items of the fit first, then those that came or changed since.

An item onboarded again, or played since the fit, gets a new row and its old one is retired.

New items before they are in a catalogue: whether they can be, and what sources see of them.
"""

import copy
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets.arrays import BoolArray, Float32Array, IntArray, StrArray
from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.tables.values import is_unicode
from recsys.data import ItemContent
from recsys.database.song import Song
from recsys.index.growing import GrowingIndex
from recsys.model.state import FittedState


class ItemRows:
    """Where each item stands, and what is known of it there. What it has answered stays true: rows
    are added to a fork."""

    def __init__(self, state: FittedState, searcher: GrowingIndex) -> None:
        """searcher: over the items of the fit alone."""
        self.state = state
        self._of_the_fit = copy.copy(searcher)
        self._clear()

    def _clear(self) -> None:
        """Only the items of the fit."""
        self.searcher = copy.copy(self._of_the_fit)
        self.kept: dict[str, Any] = {}
        """What others derive from these items and keep as long as them."""
        self._late: list[Song] = []
        """One for each late row. Only ever longer, and shared with the libraries before and after;
        so is the next one."""
        self._late_listeners: list[int] = []
        self._late_row: dict[str, int] = {}
        """The row of each item that is no more in that of the fit; -1 where it was removed."""
        self._late_tags: set[str] = set()
        """Tags of songs that came since the fit; items of the fit may know none of them."""
        self._onboarded: set[str] = set()
        self._retired: list[int] = []

    def _fork(self) -> Self:
        """Another one to be changed, which shares all that is the same."""
        other = copy.copy(self)
        other.searcher = copy.copy(self.searcher)
        other._late_row = dict(self._late_row)
        other._late_tags = set(self._late_tags)
        other._onboarded = set(self._onboarded)
        other._retired = list(self._retired)
        other.__dict__.pop("listeners", None)
        return other

    def row(self, item_id: str) -> int:
        """The row of an item. Raises UnknownItemError."""
        return int(self.rows([item_id])[0])

    def rows(self, item_ids: Iterable[str]) -> IntArray:
        """Rows of items, in their order. Raises UnknownItemError naming the first unknown one."""
        ids = list(item_ids)
        fitted = self.state.item_ids.get_indexer(pd.Index(ids, dtype=object))
        rows = [self._late_row.get(name, row) for name, row in zip(ids, fitted, strict=True)]
        for name, row in zip(ids, rows, strict=True):
            if row < 0:
                raise UnknownItemError(f"no item {name!r} in the catalogue")
        return np.array(rows, np.intp)

    def ids(self, rows: IntArray) -> StrArray:
        """Item ids of rows."""
        return self.texts(ITEM_ID, rows)

    def describe(self, rows: IntArray) -> pd.DataFrame:
        """item_id, title, artist, album and genre of rows."""
        return pd.DataFrame({name: self.texts(name, rows) for name in (ITEM_ID, *ITEM_TEXT)})

    @property
    def columns(self) -> list[str]:
        """Columns of the items: those of the fit, then tags that only later ones have."""
        fitted = [str(name) for name in self.state.items.columns]
        return fitted + sorted(self._late_tags.difference(fitted))

    def texts(self, name: str, rows: IntArray) -> StrArray:
        """A column of the items, tags included, for rows: ``""`` where it is unknown.

        Raises InvalidArgumentError for a column that no item has.
        """
        if name not in self.columns:
            choices = ", ".join(self.columns)
            raise InvalidArgumentError(f"items have no column {name!r}; there are: {choices}")
        n = len(self.state.items)
        late = rows >= n
        texts: StrArray = np.full(len(rows), "", object)
        if name in self.state.items:
            fitted = self.state.items[name].iloc[np.where(late, 0, rows)]  # only these are read
            texts = fitted.to_numpy(dtype=object, copy=True)
        if late.any():
            own = name in (ITEM_ID, *ITEM_TEXT)
            songs = [self._late[row - n] for row in rows[late].tolist()]
            arrived = [getattr(one, name) if own else one.tags.get(name, "") for one in songs]
            texts[late] = np.array(arrived, object)
        return texts

    def is_cold(self, rows: IntArray) -> BoolArray:
        """Whether nobody has played the items of these rows, at the fit or since."""
        n = len(self.state.items)
        if not self._late_listeners:
            return np.asarray(self.state.listeners[rows] == 0)
        cold = self.state.listeners[np.where(rows < n, rows, 0)] == 0
        for position in np.flatnonzero(rows >= n).tolist():
            cold[position] = self._late_listeners[rows[position] - n] == 0
        return np.asarray(cold)

    @cached_property
    def listeners(self) -> IntArray:
        """How many people have played the item of each row, int [rows]."""
        late = self._late_listeners[: len(self.searcher) - len(self.state.items)]
        return np.concatenate([self.state.listeners, np.array(late, np.intp)])

    @property
    def retired(self) -> IntArray:
        """Rows that were replaced and must not be found any more."""
        return np.array(self._retired, np.intp)

    @property
    def n_onboarded(self) -> int:
        """Items onboarded since the fit."""
        return len(self._onboarded)

    def embeddings(self, rows: IntArray) -> tuple[Float32Array, BoolArray]:
        """Embeddings [len(rows), e], and which of them are there."""
        n = len(self.state.items)
        vectors = np.array(self.state.embeddings[np.where(rows < n, rows, 0)])
        for position in np.flatnonzero(rows >= n):
            embedding = self._late[rows[position] - n].embedding
            vectors[position] = 0 if embedding is None else embedding
        return vectors, self.has_embedding(rows)

    def has_embedding(self, rows: IntArray) -> BoolArray:
        """Which of these rows have an embedding, [len(rows)]."""
        n = len(self.state.items)
        known = np.array(self.state.has_embedding[np.where(rows < n, rows, 0)])
        for position in np.flatnonzero(rows >= n):
            known[position] = self._late[rows[position] - n].embedding is not None
        return known

    def songs(self, item_ids: Sequence[str]) -> list[Song]:
        """Items by their texts and embeddings. Raises UnknownItemError."""
        rows = self.rows(item_ids)
        texts = {name: self.texts(name, rows) for name in self.columns}
        embeddings, known = self.embeddings(rows)
        tags = [name for name in texts if name not in (ITEM_ID, *ITEM_TEXT)]
        return [
            Song(
                **{name: texts[name][number] for name in (ITEM_ID, *ITEM_TEXT)},
                tags={name: texts[name][number] for name in tags if texts[name][number]},
                embedding=embeddings[number] if known[number] else None,
            )
            for number in range(len(rows))
        ]

    def _append(
        self, songs: Sequence[Song], vectors: Float32Array, listeners: Sequence[int]
    ) -> None:
        first = len(self.searcher)
        number = first - len(self.state.items)
        # What is behind is of a change that could not be stored.
        self._late[number:] = songs
        self._late_listeners[number:] = listeners
        self._late_tags.update(*(song.tags for song in songs))
        self.searcher.append(vectors)
        for row, song in enumerate(songs, start=first):
            self._retire(song.item_id, row)

    def _retire(self, item_id: str, row: int) -> None:
        """From now on an item is in another row; -1: it is gone."""
        old = self._row(item_id)
        if old >= 0:
            self._retired.append(old)
        self._late_row[item_id] = row
        if row < 0:
            self._onboarded.discard(item_id)

    def _row(self, item_id: str) -> int:
        found = self._late_row.get(item_id)
        return self._fitted_row(item_id) if found is None else found

    def _fitted_row(self, item_id: str) -> int:
        return int(self.state.item_ids.get_indexer(pd.Index([item_id], dtype=object))[0])


NO_SOUND = "this model knows no sound: it was fitted without recordings or embeddings"


def checked_embedding(
    state: FittedState, embedding: ArrayLike | None, item_id: str
) -> Float32Array:
    """An embedding as float32 [e]. Raises InvalidArgumentError where it does not fit."""
    try:
        with np.errstate(over="ignore"):
            vector = np.asarray(embedding, np.float32)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"embedding of item {item_id!r}: is not numeric") from None
    width = state.embeddings.shape[1]
    if not width:
        raise InvalidArgumentError(NO_SOUND)
    if vector.shape != (width,):
        raise InvalidArgumentError(
            f"embedding of item {item_id!r}: has shape {vector.shape}, the model's have ({width},)"
        )
    if not np.isfinite(vector).all():
        raise InvalidArgumentError(
            f"embedding of item {item_id!r}: has a value that is not a finite number"
        )
    return vector


def check_texts(songs: Sequence[Song]) -> None:
    """Raises InvalidArgumentError for an id or a text that no item can have, or an id twice."""
    seen: set[str] = set()
    for song in songs:
        if not isinstance(song.item_id, str) or not song.item_id.strip():
            raise InvalidArgumentError(f"item_id must be a text, not {song.item_id!r}")
        if song.item_id in seen:
            raise InvalidArgumentError(f"item {song.item_id!r} is given twice")
        seen.add(song.item_id)
        columns = {name: getattr(song, name) for name in (ITEM_ID, *ITEM_TEXT)}
        for name, value in (*columns.items(), *song.tags.items()):
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgumentError(
                    f"{name} of item {song.item_id!r} must be a text, not {value!r}"
                )
            if not is_unicode(name + value) or "\0" in name + value:
                raise InvalidArgumentError(
                    f"{name!r} of item {song.item_id!r}: {value!r} is not valid Unicode text "
                    "or holds a NUL character"
                )
        if taken := sorted(columns.keys() & song.tags.keys()):
            raise InvalidArgumentError(
                f"tags of item {song.item_id!r}: {taken[0]!r} is an argument of its own"
            )


def content_of(state: FittedState, songs: Sequence[Song]) -> ItemContent:
    """What the sources of a fit see of songs."""
    embeddings = np.zeros((len(songs), state.embeddings.shape[1]), np.float32)
    known = np.array([song.embedding is not None for song in songs], bool)
    for row, song in enumerate(songs):
        if song.embedding is not None:
            embeddings[row] = song.embedding
    texts = [{**{name: getattr(song, name) for name in ITEM_TEXT}, **song.tags} for song in songs]
    frame = pd.DataFrame(texts).fillna("")
    return ItemContent(embeddings, known, state.vocabulary.encode(frame))
