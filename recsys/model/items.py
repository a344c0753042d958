"""The items of a live model: those of the fit and those added since, by id and by row number.

Row numbers count through: the items of the fit first, then the added ones in order of arrival. An
item that is onboarded again, or played since the fit, is added as a new row and its old row is
retired; when more added rows are retired than are in use, they are given up (`compacted`). Row
numbers never leave the library; users and files only see item ids.
"""

import copy
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from datasets.columns import ARTIST, COLD, GENRE, ITEM_ID, ITEM_TEXT, RANK, SCORE, TITLE
from datasets.errors import DataWarning, InvalidArgumentError, UnknownItemError
from datasets.system.locks import Order, ThreadLock
from datasets.tables.ids import is_table
from datasets.tables.spellings import label_key, other_forms, warn_of_forms
from datasets.tables.values import format_value, is_unicode
from datasets.texts.safe_text import printable
from datasets.texts.suggestions import LONGEST, close_names, did_you_mean, near_spellings, suggest
from datasets.texts.unicode_forms import folded
from recsys.content.embedding_range import real_numbers
from recsys.content.familiarity import trust_of
from recsys.data import ItemContent
from recsys.database.song import Song
from recsys.model.persistent import PersistentMap, SharedColumn
from recsys.model.state import FittedState
from recsys.model.tables import row_of, rows_of_ids, text_array

Where = Mapping[str, str | int | Iterable[str | int]]
"""From a column of the items to a value, or several of which an item has one."""

NO_SOUND = "this model knows no sound: it was fitted without recordings or embeddings"

_MOST_SUGGESTED = 3
_MOST_PAIRS = 10
"""Artist and title that a text may be taken for."""

_FEW = 50_000
"""Up to so many items, an error about an unknown one looks for words in titles as well."""

_SHORTEST = 3
"""Characters of such words."""

_LONGEST_SHOWN = 60
"""Characters of a title that an error shows."""

T = TypeVar("T", bound="DerivedFromRows")

LEAST_WASTE = 256
"""Retired rows that are always kept: giving them up copies all other added rows."""


class DerivedFromRows(Protocol):
    """What is computed row by row and kept with the items."""

    def first(self, count: int) -> Self:
        """Return the same of the first rows alone."""


class ItemTable:
    """Texts, embeddings and user counts of all items, by row. Immutable.

    Changes return a new table that shares everything but what differs.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> items = load_model(folder / "model").items
        >>> items.rows(["s2", "s5"]).tolist()
        [2, 5]
        >>> items.rows_where({"genre": "Jazz"})[:3].tolist()
        [1, 3, 5]
        >>> more = items.with_onboarded([Song("fresh", title="A new song")])
        >>> more.texts("title", more.rows(["fresh"])).tolist(), len(more) - len(items)
        (['A new song'], 1)
    """

    def __init__(self, state: FittedState) -> None:
        self._state = state
        self._n_fitted = len(state.items)
        self._n_added = 0
        self._added: list[Song] = []
        """The songs of the added rows. Only ever grows, and is shared with the tables before and
        after this one, of which each knows how many rows are its own; so are the next four."""
        self._added_user_counts = SharedColumn(np.intp)
        self._added_has_embedding = SharedColumn(bool)
        self._added_origins = SharedColumn(np.intp)
        """The row of the fit of an added row's item; for an item that was onboarded, the number of
        its arrival after all of these. It stays the same when the item gets another row."""
        self._retired = SharedColumn(np.intp)
        self._n_retired = 0
        self._n_wasted = 0
        """How many of the added rows are retired."""
        self._n_arrived = self._n_fitted
        self._moved: PersistentMap[str, int] = PersistentMap()
        """The row of each item that is no longer in its row of the fit; -1 for a removed item."""
        self._left: PersistentMap[int, int] = PersistentMap()
        """From a row of the fit that its item has left to the item's row; -1 where it is gone."""
        self._added_tags: PersistentMap[str, int] = PersistentMap()
        """Tags of added songs, and how many have them; the items of the fit may have none."""
        self._onboarded: PersistentMap[str, None] = PersistentMap()
        self._cache: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<ItemTable: {self._n_fitted:,} items of the fit, {self._n_added:,} rows since>"

    def __len__(self) -> int:
        """Number of rows, retired ones included."""
        return self._n_fitted + self._n_added

    # ------------------------------------------------------------------ rows

    def row(self, item_id: str) -> int:
        """Return the row of an item.

        Raises:
            UnknownItemError: no such item in the catalogue.
        """
        return int(self.rows([item_id])[0])

    def rows(self, item_ids: Iterable[str]) -> IntArray:
        """Return the rows of items, in the order given.

        Raises:
            UnknownItemError: names the first id that is not in the catalogue.
        """
        ids = list(item_ids)
        rows = self._find(ids)
        if rows and min(rows) < 0:
            ids = self.known_ids(ids)
            rows = self._find(ids)
        for name, row in zip(ids, rows, strict=True):
            if row < 0:
                raise UnknownItemError(
                    f"no item {format_value(name)} in the catalogue{self._suggestion(str(name))}"
                )
        return np.array(rows, np.intp)

    def has(self, item_ids: Iterable[str]) -> BoolArray:
        """Return which of the ids are in the catalogue, bool [n]."""
        return np.array([row >= 0 for row in self._find(self.known_ids(item_ids))], bool)

    def known_ids(self, item_ids: Iterable[str]) -> list[str]:
        """Return ids as the catalogue has them, those that it lacks as they are.

        An id that the catalogue has in another Unicode form is taken for that, with a warning.
        """
        ids = list(item_ids)
        if all(map(str.isascii, ids)):
            return ids
        taken = {}
        for place, row in enumerate(self._find(ids)):
            if row < 0:
                forms = other_forms(ids[place])
                for form, found in zip(forms, self._find(forms), strict=True):
                    if found >= 0:
                        taken[ids[place]] = ids[place] = form
        warn_of_forms("items", taken)
        return ids

    def with_known_spellings(self, songs: Sequence[Song]) -> list[Song]:
        """Return songs with ids, genres and tags spelt as the catalogue and the fit have them."""
        learned = self.cached("labels", lambda: _Labels(self._state.vocabulary.values))
        ids = self.known_ids([song.item_id for song in songs])
        spelt = [
            replace(
                song,
                item_id=item_id,
                genre=learned.spelling(GENRE, song.genre),
                tags={name: learned.spelling(name, text) for name, text in song.tags.items()},
            )
            for song, item_id in zip(songs, ids, strict=True)
        ]
        changed = [
            (song, one)
            for song, one in zip(songs, spelt, strict=True)
            if (song.genre, song.tags) != (one.genre, one.tags)
        ]
        if changed:
            song, one = changed[0]
            given, kept = (song.genre, *song.tags.values()), (one.genre, *one.tags.values())
            text, label = next(pair for pair in zip(given, kept, strict=True) if len({*pair}) > 1)
            more = f" ({len(changed) - 1:,} more such items)" if len(changed) > 1 else ""
            warnings.warn(
                f"{text!r} is kept as {label!r}, as the model spells it{more}",
                DataWarning,
                stacklevel=2,
            )
        return spelt

    def fitted_rows(self, item_ids: Iterable[str]) -> list[int | None]:
        """Return each item's row of the fit, None for an item that was onboarded since."""
        ids = list(item_ids)
        found = rows_of_ids(self._state.item_ids, ids).tolist()
        return [
            None if name in self._onboarded else row for name, row in zip(ids, found, strict=True)
        ]

    @property
    def retired(self) -> IntArray:
        """Rows that were replaced or removed and must not be recommended, each of them once."""
        return self._retired.first(self._n_retired)

    @cached_property
    def active(self) -> IntArray:
        """Rows of the items that are in the catalogue, ascending: all but the retired ones."""
        return np.setdiff1d(np.arange(len(self)), self.retired)

    @cached_property
    def new(self) -> IntArray:
        """Rows of the items in the catalogue that nobody has played, ascending."""
        rows = np.flatnonzero(self.user_counts == 0)
        return np.setdiff1d(rows, self.retired, assume_unique=True)

    @cached_property
    def current_rows(self) -> IntArray:
        """Where the item of each row of the fit is now, int [n fitted]; -1 where it is gone."""
        rows = np.arange(self._n_fitted)
        if self._left:
            rows[list(self._left)] = list(self._left.values())
        return rows

    def now_at(self, rows: IntArray) -> IntArray:
        """Return where the items of some rows of the fit are now; -1 where they are gone."""
        if not self._left:
            return rows
        return np.array([self._left.get(row, row) for row in rows.tolist()], np.intp)

    def moved_since(self, earlier: "ItemTable") -> list[str]:
        """Return the ids of the items that were in another row of an earlier or later table."""
        return sorted(self._moved.differing(earlier._moved))

    def rows_or_none(self, item_ids: Sequence[str]) -> IntArray:
        """Return the rows of items, in the order given; -1 for what is not in the catalogue."""
        return np.array(self._find(item_ids), np.intp)

    @property
    def n_onboarded(self) -> int:
        """Number of items onboarded since the fit."""
        return len(self._onboarded)

    # ------------------------------------------------------------------ by title and artist

    def rows_called(self, text: str) -> IntArray:
        """Return the rows of the items with this title, or with artist and title "A - B".

        Case, and spaces around them, are ignored.

        Examples:
            >>> from recsys.model import load_model
            >>> recommender.save(folder / "model")
            >>> items = load_model(folder / "model").items
            >>> items.rows_called("song 3").tolist()
            [3]
            >>> items.rows_called("Artist 2 - Song 2").tolist()
            [2]
        """
        pairs = [("", text)]
        for dash in (" - ", " – ", " — "):
            start = text.find(dash)
            while start >= 0:
                pairs.append((text[:start], text[start + len(dash) :]))
                start = text.find(dash, start + 1)
        chosen = np.zeros(len(self), bool)
        for artist, title in pairs[:_MOST_PAIRS]:
            if title.strip():
                own = self._mask(TITLE, title, whole=True)
                chosen |= own & self._mask(ARTIST, artist, whole=True) if artist.strip() else own
        return self._not_retired(chosen)

    def rows_named(self, text: str) -> IntArray:
        """Return the row of the item with this id, or else the rows of those called so."""
        (row,) = self._find([text])
        return np.array([row], np.intp) if row >= 0 else self.rows_called(text)

    def rows_mentioning(self, text: str) -> IntArray:
        """Return the rows of the items that have every word of a text in id, title or artist."""
        words = text.split()
        chosen = np.full(len(self), bool(words))
        for word in words:
            parts = [self._mask(name, word, whole=False) for name in (ITEM_ID, TITLE, ARTIST)]
            chosen &= np.logical_or.reduce(parts)
        return self._not_retired(chosen)

    def _mask(self, name: str, text: str, *, whole: bool) -> BoolArray:
        """Which rows, retired ones included, have a text in a column, or as the whole of it."""
        wanted = text.strip().lower()
        found = np.zeros(len(self), bool)
        column = self._state.items[name]
        if whole:
            fitted = column.str.strip().str.lower() == wanted
        else:  # one pass over the file where texts are there
            fitted = column.str.contains(wanted, case=False, regex=False)
        found[: self._n_fitted] = fitted.to_numpy(dtype=bool, na_value=False)
        for number, song in enumerate(self._added[: self._n_added], start=self._n_fitted):
            own = getattr(song, name).strip().lower()
            found[number] = own == wanted if whole else wanted in own
        return found

    def _not_retired(self, chosen: BoolArray) -> IntArray:
        chosen[self.retired] = False
        return np.flatnonzero(chosen)

    def _suggestion(self, text: str) -> str:
        """The end of an error message: items whose id is like a text, or that are called so."""
        if len(text) > LONGEST:
            return ""
        near = near_spellings(text)
        rows = [row for row in self._find(near) if row >= 0] if near else []
        rows += self.rows_called(text)[:_MOST_SUGGESTED].tolist()
        if not rows:
            by_artist = self._not_retired(self._mask(ARTIST, text, whole=True))
            rows = by_artist[:_MOST_SUGGESTED].tolist()
        if not rows and len(self) <= _FEW:
            ids = self.ids(self.active)
            rows = self._find(close_names(text, ids.tolist()))
            if not rows and len(text.strip()) >= _SHORTEST:
                rows = self.rows_mentioning(text)[:_MOST_SUGGESTED].tolist()
        return suggest([], self.labels(list(dict.fromkeys(rows))[:_MOST_SUGGESTED]))

    def labels(self, rows: Sequence[int]) -> list[str]:
        """Return each row's item as its id with artist and title, safe for a terminal.

        Examples:
            >>> from recsys.model import load_model
            >>> recommender.save(folder / "model")
            >>> load_model(folder / "model").items.labels([2])
            ["'s2' (Artist 2 - Song 2)"]
        """
        at = np.array(rows, np.intp)
        texts = zip(*(self.texts(name, at) for name in (ITEM_ID, ARTIST, TITLE)), strict=True)
        labels = []
        for item_id, artist, title in texts:
            known = " - ".join(printable(one)[:_LONGEST_SHOWN] for one in (artist, title) if one)
            labels.append(f"{format_value(item_id)} ({known})" if known else format_value(item_id))
        return labels

    # ------------------------------------------------------------------ texts and embeddings

    def ids(self, rows: IntArray) -> StrArray:
        """Return the item ids of rows."""
        return self.texts(ITEM_ID, rows)

    def describe(self, rows: IntArray) -> pd.DataFrame:
        """Return item_id, title, artist, album and genre of rows."""
        return pd.DataFrame({name: self.texts(name, rows) for name in (ITEM_ID, *ITEM_TEXT)})

    def ranked(
        self,
        rows: IntArray,
        scores: Float32Array,
        more: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Return a list of items: rank, item_id, score, title, artist, genre, cold, and `more`."""
        # All columns at once: each one that is set later takes as long as four of these.
        return pd.DataFrame(
            {
                RANK: np.arange(1, len(rows) + 1),
                ITEM_ID: text_array(self.texts(ITEM_ID, rows)),
                SCORE: scores,
                TITLE: text_array(self.texts(TITLE, rows)),
                ARTIST: text_array(self.texts(ARTIST, rows)),
                GENRE: text_array(self.texts(GENRE, rows)),
                COLD: self.is_cold(rows),
                **more,
            },
            copy=False,
        )

    @property
    def columns(self) -> list[str]:
        """Text columns of the items: those of the fit, then tags that only added items have."""
        fitted = [str(name) for name in self._state.items.columns]
        return fitted + sorted(set(self._added_tags).difference(fitted))

    def texts(self, name: str, rows: IntArray) -> StrArray:
        """Return one column of the items, tags included, for rows; ``""`` where it is unknown.

        Raises:
            InvalidArgumentError: no item has such a column.
        """
        fitted = self._state.text_columns.get(name)
        if fitted is None and name not in self._added_tags:
            choices = ", ".join(map(printable, self.columns))
            raise InvalidArgumentError(
                f"items have no column {format_value(name)}{did_you_mean(name, self.columns)}; "
                f"there are: {choices}"
            )
        n = self._n_fitted
        is_added = rows >= n
        if fitted is None:
            texts: StrArray = np.full(len(rows), "", object)
        elif not self._n_added:
            return fitted.take(rows)
        else:
            texts = fitted.take(np.where(is_added, 0, rows))
        if is_added.any():
            own = name in (ITEM_ID, *ITEM_TEXT)
            songs = [self._added[row - n] for row in rows[is_added].tolist()]
            added = [getattr(one, name) if own else one.tags.get(name, "") for one in songs]
            texts[is_added] = np.array(added, object)
        return texts

    def codes(self, column: str) -> tuple[NDArray[np.int32], Mapping[str, int]]:
        """Encode a text column as integers, ignoring case and outer spaces.

        Returns:
            The code of each row, int32 [rows], and the code of each value. Rows that were retired
            have theirs, too.

        Raises:
            InvalidArgumentError: no item has such a column.
        """

        def make() -> _ColumnCodes:
            self.texts(column, np.empty(0, np.intp))  # raises for a column that does not exist
            return _ColumnCodes(column)

        return self.cached(f"codes of {column}", make).up_to(self)

    def artist_codes(self, rows: IntArray) -> IntArray:
        """Return numbers [len(rows)], equal for items of one artist; -1 where it is unknown."""
        codes, numbers = self.codes(ARTIST)
        own = codes[rows].astype(np.intp)
        own[own == numbers.get("", -1)] = -1
        return own

    def rows_where(self, where: Where) -> IntArray:
        """Return the rows of items that have one of the wanted values in every column, ascending.

        Case and outer spaces are ignored; ``""`` matches an unknown value. Retired rows may be
        among them.

        Raises:
            InvalidArgumentError: an unknown column, or a value that is no text or whole number.
        """
        if not isinstance(where, Mapping):
            raise InvalidArgumentError(f"where must be columns with their values, not {where!r}")
        chosen = np.ones(len(self), bool)
        for column, given in where.items():
            values = _wanted_values(column, given)
            codes, numbers = self.codes(column)
            wanted_texts = (folded(str(value)) for value in values)
            matching = [numbers[text] for text in wanted_texts if text in numbers]
            wanted = np.zeros(len(numbers), bool)  # made last: other threads may add numbers
            wanted[matching] = True
            chosen &= wanted[codes]
        return np.flatnonzero(chosen)

    def unmatched(self, where: Where) -> str:
        """Say which of the wanted values no item has, and what may have been meant; "" for none.

        Examples:
            >>> from recsys.model import load_model
            >>> recommender.save(folder / "model")
            >>> load_model(folder / "model").items.unmatched({"genre": "jaz"})
            "no item has genre 'jaz'; did you mean 'jazz'?"
        """
        said = []
        for column, given in where.items():
            numbers = self.codes(column)[1]
            for value in map(str, _wanted_values(column, given)):
                if folded(value) not in numbers:
                    hint = did_you_mean(value, list(numbers))
                    said.append(f"no item has {printable(column)} {format_value(value)}{hint}")
        return "; ".join(said)

    def embeddings(self, rows: IntArray) -> tuple[Float32Array, BoolArray]:
        """Return embeddings float32 [len(rows), e], and which of the rows have one."""
        n = self._n_fitted
        vectors = np.array(self._state.embeddings[np.where(rows < n, rows, 0)])
        for position in np.flatnonzero(rows >= n):
            embedding = self._added[rows[position] - n].embedding
            vectors[position] = 0 if embedding is None else embedding
        return vectors, self.has_embedding(rows)

    def has_embedding(self, rows: IntArray) -> BoolArray:
        """Return which of the rows have an embedding, bool [len(rows)]."""
        return self._by_row(self._state.has_embedding, self._added_has_embedding, rows)

    def familiarity(self, rows: IntArray) -> Float64Array:
        """Return how familiar the rows sound, float64 [len(rows)], NaN where it is not known.

        That of an item of the fit is told without its artist's other songs.
        """
        fitted = self._state.item_familiarity
        found = np.full(len(rows), np.nan)
        is_added = rows >= self._n_fitted
        if fitted is not None:
            found[~is_added] = fitted[rows[~is_added]]
        for position in np.flatnonzero(is_added):
            own = self._added[rows[position] - self._n_fitted].familiarity
            found[position] = np.nan if own is None else own
        return found

    def familiarity_of_ids(self, item_ids: Iterable[str]) -> Float64Array:
        """Return how familiar items sound, NaN for an id that is not in the catalogue, too."""
        rows = self.rows_or_none(list(item_ids))
        found = np.full(len(rows), np.nan)
        found[rows >= 0] = self.familiarity(rows[rows >= 0])
        return found

    def songs(self, item_ids: Sequence[str]) -> list[Song]:
        """Return items with their texts and embeddings, as the song database stores them.

        Raises:
            UnknownItemError: names the first id that is not in the catalogue.
        """
        rows = self.rows(item_ids)
        texts = {name: self.texts(name, rows) for name in (ITEM_ID, *ITEM_TEXT)}
        embeddings, known = self.embeddings(rows)
        familiarity = [None if one != one else one for one in self.familiarity(rows).tolist()]
        return [
            Song(
                **{name: column[number] for name, column in texts.items()},
                tags=self.tags(row),
                embedding=embeddings[number] if known[number] else None,
                familiarity=familiarity[number],
            )
            for number, row in enumerate(rows.tolist())
        ]

    def tags(self, row: int) -> dict[str, str]:
        """Return the tags that the item of a row has, in the order of the columns."""
        if row < self._n_fitted:
            return self._state.tags.of(row)
        tags, places = self._added[row - self._n_fitted].tags, self._state.tag_places
        names = sorted(tags, key=lambda name: (places.get(name, len(places)), name))
        return {name: tags[name] for name in names if tags[name]}

    # ------------------------------------------------------------------ users of the items

    def is_cold(self, rows: IntArray) -> BoolArray:
        """Return which of the rows nobody has played, at the fit or since, bool [len(rows)]."""
        counts = self._by_row(self._state.user_counts, self._added_user_counts, rows)
        return np.asarray(counts == 0)

    def _by_row(self, fitted: NDArray[Any], added: SharedColumn, rows: IntArray) -> NDArray[Any]:
        """Take the values of rows from those of the fit and those of the added rows."""
        n = self._n_fitted
        if not self._n_added:
            return np.asarray(fitted[rows])
        is_added = rows >= n
        if not n:
            return added.first(self._n_added)[rows]
        values = np.array(fitted[np.where(is_added, 0, rows)])
        values[is_added] = added.first(self._n_added)[rows[is_added] - n]
        return values

    @cached_property
    def user_counts(self) -> IntArray:
        """How many users have played the item of each row, int [rows]."""
        added = self._added_user_counts.first(self._n_added)
        return np.concatenate([self._state.user_counts, added])

    @cached_property
    def has_plays(self) -> bool:
        """Whether any item of the catalogue has been played."""
        return bool(self.user_counts[self.active].any())

    @cached_property
    def by_popularity(self) -> IntArray:
        """Rows of the items that somebody has played, most users first; retired rows included.

        Among equals, items are in the order of the fit and then in that of their arrival, whatever
        has happened to them since.
        """
        if not self._added_user_counts.first(self._n_added).any():
            return self._state.by_popularity
        fitted = self._state.by_popularity
        rank = np.arange(len(fitted), len(fitted) + self._n_arrived)
        rank[fitted] = np.arange(len(fitted))
        origins = self._added_origins.first(self._n_added)
        rank = np.concatenate([rank[: self._n_fitted], rank[origins]])
        warm = np.flatnonzero(self.user_counts)
        return np.asarray(warm[np.lexsort((rank[warm], -self.user_counts[warm]))])

    # ------------------------------------------------------------------ changes

    def check_new(self, songs: Sequence[Song]) -> None:
        """Check that songs can be onboarded.

        Raises:
            InvalidArgumentError: an unusable id or text, an id given twice, an item that somebody
                has played already, or an embedding that is not like those learned.
        """
        check_texts(songs)
        for song in songs:
            if song.embedding is not None:
                checked_embedding(self._state, song.embedding, song.item_id)
        ids = [song.item_id for song in songs]
        known = [name for name, row in zip(ids, self._find(ids), strict=True) if row >= 0]
        played = np.flatnonzero(~self.is_cold(self.rows(known)))
        if len(played):
            raise InvalidArgumentError(
                f"item {known[played[0]]!r} has listeners already; "
                "fit again to change what the model knows of it"
            )

    def with_onboarded(self, songs: Sequence[Song]) -> "ItemTable":
        """Return a table in which these songs, played by nobody, replace those of the same ids."""
        other = self._fork()
        other._append_new(songs, [0] * len(songs), onboarded=True)
        return other

    def with_played(self, songs: Sequence[Song], user_counts: Sequence[int]) -> "ItemTable":
        """Return a table with new rows for items that were played since the fit.

        user_counts: how many users have played each of the songs.
        """
        other = self._fork()
        other._append_new(songs, user_counts, onboarded=False)
        return other

    def without(self, item_ids: Iterable[str]) -> "ItemTable":
        """Return a table without these items."""
        other, ids = self._fork(), list(item_ids)
        fitted = rows_of_ids(self._state.item_ids, ids).tolist()
        old = [row for row in self._find(ids) if row >= 0]
        gone = [name for name, row in zip(ids, fitted, strict=True) if row < 0]
        # An item that the fit does not know is forgotten altogether.
        other._moved = self._moved.changed(dict.fromkeys(set(ids).difference(gone), -1), gone)
        other._left = self._left.changed({row: -1 for row in fitted if row >= 0})
        other._onboarded = self._onboarded.changed({}, ids)
        other._retire(old)
        return other

    @property
    def is_wasteful(self) -> bool:
        """Whether more of the added rows are retired than are in use."""
        return self._n_wasted > max(LEAST_WASTE, self._n_added - self._n_wasted)

    def compacted(self) -> tuple["ItemTable", IntArray]:
        """Return a table without the retired ones among the added rows.

        The other rows keep their order. Which rows of this table they were is returned, too.
        """
        n = self._n_fitted
        rows = self.active
        kept = rows[rows >= n] - n
        other = self._fork()
        other._added = [self._added[row] for row in kept.tolist()]
        other._n_added, other._n_wasted = len(kept), 0
        for name in ("_added_user_counts", "_added_has_embedding"):
            column = getattr(self, name).first(self._n_added)
            setattr(other, name, SharedColumn(column.dtype, column[kept]))
        origins = np.array(self._added_origins.first(self._n_added)[kept])
        arrived = origins >= n
        numbers, origins[arrived] = np.unique(origins[arrived], return_inverse=True)
        origins[arrived] += n
        other._added_origins = SharedColumn(np.intp, origins)
        other._n_arrived = n + len(numbers)
        retired = self.retired[self.retired < n]
        other._retired, other._n_retired = SharedColumn(np.intp, retired), len(retired)
        place = dict(zip((kept + n).tolist(), range(n, n + len(kept)), strict=True))
        other._moved = PersistentMap({k: place.get(row, row) for k, row in self._moved.items()})
        other._left = PersistentMap({k: place.get(row, row) for k, row in self._left.items()})
        other._cache = {name: one.first(n) for name, one in list(self._cache.items())}
        return other, kept + n

    def cached(self, name: str, make: Callable[[], T]) -> T:
        """Return the object kept under a name, made on first use.

        Shared by all tables that come from one another. A row never changes, so that whatever is
        derived from single rows stays right when rows are added. When rows are given up, those of
        the fit go on to be shared.
        """
        found: T | None = self._cache.get(name)
        if found is None:
            # Of two threads that come here at once, both go on with the first one's object.
            found = self._cache.setdefault(name, make())
        return found

    def _fork(self) -> Self:
        """A copy to be changed, which shares all that stays the same."""
        other = copy.copy(self)
        for name, value in vars(type(self)).items():
            if isinstance(value, cached_property):
                other.__dict__.pop(name, None)
        return other

    def _find(self, item_ids: Sequence[str]) -> list[int]:
        """The row of each item, -1 for an unknown one."""
        if len(item_ids) == 1:
            moved = self._moved.get(item_ids[0])
            return [row_of(self._state.item_ids, item_ids[0]) if moved is None else moved]
        fitted = rows_of_ids(self._state.item_ids, item_ids).tolist()
        if not self._moved:
            return fitted
        return [self._moved.get(name, row) for name, row in zip(item_ids, fitted, strict=True)]

    def _append_new(
        self, songs: Sequence[Song], user_counts: Sequence[int], *, onboarded: bool
    ) -> None:
        ids = [song.item_id for song in songs]
        fitted = rows_of_ids(self._state.item_ids, ids).tolist()
        old = [self._moved.get(name, row) for name, row in zip(ids, fitted, strict=True)]
        new = range(len(self), len(self) + len(songs))
        if onboarded:
            origins = list(range(self._n_arrived, self._n_arrived + len(songs)))
            self._n_arrived += len(songs)
            self._onboarded = self._onboarded.changed(dict.fromkeys(ids))
        else:
            origins = self._origins(old)
        # Whatever lies beyond our own rows is of a change that could not be stored.
        self._added[self._n_added :] = songs
        self._added_user_counts.write(self._n_added, user_counts)
        self._added_has_embedding.write(
            self._n_added, [song.embedding is not None for song in songs]
        )
        self._added_origins.write(self._n_added, origins)
        self._n_added += len(songs)
        self._count_tags(songs, 1)
        self._retire([row for row in old if row >= 0])
        self._moved = self._moved.changed(dict(zip(ids, new, strict=True)))
        # The plays of the fit are not those of an item that was onboarded under the same id.
        self._left = self._left.changed(
            {
                row: -1 if name in self._onboarded else place
                for name, row, place in zip(ids, fitted, new, strict=True)
                if row >= 0
            }
        )

    def _origins(self, rows: Sequence[int]) -> list[int]:
        added = self._added_origins.first(self._n_added)
        return [row if row < self._n_fitted else int(added[row - self._n_fitted]) for row in rows]

    def _retire(self, rows: Sequence[int]) -> None:
        """From now on no item is in these rows."""
        self._retired.write(self._n_retired, rows)
        self._n_retired += len(rows)
        added = [self._added[row - self._n_fitted] for row in rows if row >= self._n_fitted]
        self._n_wasted += len(added)
        self._count_tags(added, -1)

    def _count_tags(self, songs: Sequence[Song], change: int) -> None:
        counts = Counter(tag for song in songs for tag in song.tags)
        changed = {tag: self._added_tags.get(tag, 0) + change * n for tag, n in counts.items()}
        gone = [tag for tag, count in changed.items() if not count]
        there = {tag: count for tag, count in changed.items() if count}
        self._added_tags = self._added_tags.changed(there, gone)


def _wanted_values(column: str, given: Any) -> list[Any]:
    """Read the values that a filter wants of one column."""
    no_list = isinstance(given, str | bytes | bytearray | memoryview | Mapping) or is_table(given)
    several = isinstance(given, Iterable) and getattr(given, "ndim", 1) == 1
    if callable(read := getattr(given, "to_pylist", None)):  # a column of Arrow
        given = read()
    values = list(given) if several and not no_list else [given]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
            raise InvalidArgumentError(
                f"where: values of {column!r} must be texts, not {format_value(value)}"
            )
    return values


class _Labels:
    """How the genres and tags that a fit has learned from are spelt."""

    def __init__(self, values: Sequence[tuple[str, str]]) -> None:
        self._exact = set(values)
        self._by_key = {(field, label_key(field, text)): text for field, text in reversed(values)}

    def spelling(self, field: str, text: str) -> str:
        """The spelling of a label in the fit; the text itself where it has none."""
        if not isinstance(text, str) or not text or (field, text) in self._exact:
            return text
        return self._by_key.get((field, label_key(field, text)), text)

    def first(self, count: int) -> "_Labels":
        """The same: rows have no part in it."""
        return self


class _ColumnCodes:
    """The integer codes of a text column, 4 bytes a row, extended as rows are added."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._lock = ThreadLock(f"the codes of column {column!r}", Order.PART)
        self._codes = np.empty(0, np.int32)
        self._numbers: dict[str, int] = {}

    def up_to(self, items: ItemTable) -> tuple[NDArray[np.int32], dict[str, int]]:
        """The codes of a table's rows, and the code of each value."""
        count = len(items)
        with self._lock.held("encoding new rows"):
            old = len(self._codes)
            if count > old:
                texts = items.texts(self._column, np.arange(old, count))
                numbers = self._numbers
                new = [numbers.setdefault(folded(str(text)), len(numbers)) for text in texts]
                self._codes = np.append(self._codes, np.array(new, np.int32))
            return self._codes[:count], self._numbers

    def first(self, count: int) -> "_ColumnCodes":
        """The codes of the first rows alone, and of their values."""
        other = _ColumnCodes(self._column)
        with self._lock.held("taking the first rows"):
            other._codes = self._codes[:count]
            # Numbers are given in the order of the rows.
            n_values = int(other._codes.max(initial=-1)) + 1
            other._numbers = dict(itertools.islice(self._numbers.items(), n_values))
        return other


def checked_embedding(
    state: FittedState, embedding: ArrayLike | None, item_id: str
) -> Float32Array:
    """Return an embedding as float32 [e].

    Raises:
        InvalidArgumentError: not numeric, of another number of dimensions than the model's, not
            finite, zero, or of a length far outside those learned.
    """
    vector = real_numbers(embedding)
    if vector is None:
        raise InvalidArgumentError(f"embedding of item {item_id!r}: is not numeric")
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
    if problem := state.embedding_range.problem(vector):
        raise InvalidArgumentError(f"embedding of item {item_id!r}: {problem}")
    return vector


def check_texts(songs: Sequence[Song]) -> None:
    """Check ids and texts of songs.

    Raises:
        InvalidArgumentError: an id or a text that no item can have, or an id given twice.
    """
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


def song_content(state: FittedState, songs: Sequence[Song]) -> ItemContent:
    """Encode songs as the sources of a fit see them: embeddings and metadata values."""
    embeddings = np.zeros((len(songs), state.embeddings.shape[1]), np.float32)
    known = np.array([song.embedding is not None for song in songs], bool)
    for row, song in enumerate(songs):
        if song.embedding is not None:
            embeddings[row] = song.embedding
    texts = [{**{name: getattr(song, name) for name in ITEM_TEXT}, **song.tags} for song in songs]
    metadata = state.vocabulary.encode_texts(texts)
    familiarity = np.array([one.familiarity for one in songs], np.float64)
    return ItemContent(embeddings, known, metadata, trust_of(familiarity))


def with_familiarity(state: FittedState, songs: Sequence[Song]) -> list[Song]:
    """Return songs with what a fit says of how familiar their embeddings are, if it is not said."""
    return [
        replace(song, familiarity=state.familiarity_of(song.embedding))
        if song.embedding is not None and song.familiarity is None
        else song
        for song in songs
    ]


def reachable_content(state: FittedState, songs: Sequence[Song]) -> ItemContent:
    """Encode songs as `song_content` does, with no embedding longer than the longest of the fit.

    Of longer ones the maps to vectors have learned nothing: they would lead everybody's list.
    """
    content = song_content(state, songs)
    return replace(content, embeddings=state.embedding_range.within_reach(content.embeddings))
