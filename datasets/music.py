"""`MusicDataset`: items, their recordings and who played what, as three checked tables."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets import columns as c
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.tables.checks import (
    ITEM_COLUMNS,
    Origin,
    check_tables,
    empty_audio,
    empty_interactions,
)
from datasets.tables.frames import FrameLike
from datasets.tables.ids import checked_ids
from datasets.tables.spellings import known_spellings, warn_of_forms
from datasets.tables.values import format_value
from datasets.texts.suggestions import did_you_mean


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MusicDataset:
    """Items, their recordings, and interactions of users with items.

    Text is Python `str` in columns of dtype object, on every version of pandas; missing text
    is `""`. Ids are kept exactly; whole numbers become their decimal digits. Every table has a
    RangeIndex. Treat the tables as read-only: derived data sets share them.

    Examples:
        >>> items = pd.DataFrame({"item_id": ["a", "b"], "title": ["One", "Two"], "artist": "Band",
        ...                       "album": "", "genre": "jazz"})
        >>> plays = pd.DataFrame({"user_id": ["u1"], "item_id": ["a"], "weight": [3]})
        >>> MusicDataset(items, interactions=plays)
        <MusicDataset: 2 items, 0 recordings of 0 of them, 1 interactions of 1 users>
    """

    items: pd.DataFrame
    """`item_id` (unique), `title`, `artist`, `album`, `genre`, then tag columns."""
    audio: pd.DataFrame
    """`item_id`, `path`, `title`, `genre`: zero, one or several recordings per item. `path` is
    relative to `root` and stays inside it; without a root it is absolute."""
    interactions: pd.DataFrame
    """`user_id`, `item_id`, `weight` (float64, finite, zero or more) and, where known,
    `timestamp` (datetime64[ns], UTC). A (user, item) pair may occur several times."""
    root: Path | None
    """The folder that relative paths start from; None if all are absolute."""

    def __init__(
        self,
        items: FrameLike,
        audio: FrameLike | None = None,
        interactions: FrameLike | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        """Copy, check and normalise the tables: frames of pandas, polars, Arrow or others.

        Args:
            items: columns `item_id`, `title`, `artist`, `album`, `genre`; more are kept as tags.
            audio: columns `item_id`, `path`, optionally `title` and `genre`; the recordings must
                exist, they are not opened. None: no recordings.
            interactions: columns `user_id`, `item_id`, `weight`, optionally `timestamp`. None:
                no interactions.
            root: folder that relative recording paths start from.

        Raises:
            DataError: if a table is wrong; the message names the table, row (from 1) and column.
        """
        folder = None if root is None else Path(root)
        tables = check_tables(
            items,
            empty_audio() if audio is None else audio,
            empty_interactions() if interactions is None else interactions,
            folder,
            (Origin("items"), Origin("audio"), Origin("interactions")),
        )
        self._set_tables(*tables, folder)

    @classmethod
    def from_checked(
        cls,
        items: pd.DataFrame,
        audio: pd.DataFrame,
        interactions: pd.DataFrame,
        root: Path | None,
    ) -> Self:
        """Create a data set from tables that `check_tables` returned, or rows of such tables."""
        dataset = cls.__new__(cls)
        dataset._set_tables(items, audio, interactions, root)
        return dataset

    def _set_tables(
        self,
        items: pd.DataFrame,
        audio: pd.DataFrame,
        interactions: pd.DataFrame,
        root: Path | None,
    ) -> None:
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "audio", audio)
        object.__setattr__(self, "interactions", interactions)
        object.__setattr__(self, "root", root)

    @property
    def tags(self) -> list[str]:
        """Names of the item columns beyond the standard ones, in order."""
        return [name for name in self.items.columns if name not in ITEM_COLUMNS]

    def recording_paths(self) -> list[Path]:
        """Return the absolute path of every recording, in the order of `audio`."""
        start = Path("/") if self.root is None else self.root.absolute()
        return [start / path for path in self.audio[c.PATH]]

    def recording_labels(self, tag: str = c.GENRE) -> "pd.Series[str]":
        """Return a label for every recording, in the order of `audio`; `""` where unknown.

        Args:
            tag: "genre": the recording's own genre, else its item's; any other text or tag column:
                that of its item.

        Raises:
            InvalidArgumentError: if there is no such column.
        """
        choices = [name for name in self.items.columns if name != c.ITEM_ID]
        if tag not in choices:
            hint = did_you_mean(tag, choices)
            raise InvalidArgumentError(f"no tag {tag!r}{hint}; there are: {', '.join(choices)}")
        labels = self._per_recording(tag)
        if tag == c.GENRE:
            own = self.audio[c.GENRE]
            labels = own.where(own != "", labels)
        return labels

    def recording_artists(self) -> "pd.Series[str]":
        """Return the artist of every recording's item, in the order of `audio`, to group splits by.

        Where the artist is unknown the item id takes its place, so that each such item is a group.
        """
        artists = self._per_recording(c.ARTIST)
        return artists.where(artists != "", self.audio[c.ITEM_ID]).rename(c.ARTIST)

    def _per_recording(self, column: str) -> "pd.Series[str]":
        rows = pd.Index(self.items[c.ITEM_ID], dtype=object).get_indexer(
            pd.Index(self.audio[c.ITEM_ID], dtype=object)
        )
        return pd.Series(self.items[column].to_numpy()[rows], dtype=object, name=column)

    def take_interactions(self, rows: ArrayLike) -> Self:
        """Return a data set with the same items and recordings and some of the interactions.

        Args:
            rows: positions of the interactions to keep, whole numbers [n], in any order.

        Raises:
            InvalidArgumentError: if `rows` is not one-dimensional, or a position is out of range.

        Examples:
            >>> len(dataset.take_interactions([0, 5]).interactions)
            2
        """
        positions = np.asarray(rows)
        if positions.size == 0:
            positions = positions.astype(np.int64)
        if positions.ndim != 1 or positions.dtype.kind not in "iu":
            raise InvalidArgumentError("rows must be a one-dimensional array of positions")
        count = len(self.interactions)
        if positions.size and not (positions.min() >= 0 and positions.max() < count):
            raise InvalidArgumentError(f"rows must lie between 0 and {count - 1}")
        return self.from_checked(
            self.items, self.audio, _rows(self.interactions, positions), self.root
        )

    def take_items(self, item_ids: Iterable[str]) -> Self:
        """Return a data set of these items, in their order here, with recordings and interactions.

        Raises:
            UnknownItemError: if an id is not among the items.

        Examples:
            >>> dataset.take_items(["s1", "s0"]).items["item_id"].tolist()
            ['s0', 's1']
        """
        return self._filter_items(self._checked_ids(item_ids), True)

    def drop_items(self, item_ids: Iterable[str]) -> Self:
        """Return a data set without these items, their recordings and their interactions.

        Raises:
            UnknownItemError: if an id is not among the items.

        Examples:
            >>> len(dataset.drop_items(["s0"]).items)
            29
        """
        return self._filter_items(self._checked_ids(item_ids), False)

    def _checked_ids(self, item_ids: Iterable[str]) -> set[str]:
        wanted = checked_ids("item_ids", item_ids)
        known = set(self.items[c.ITEM_ID])
        if spelt := known_spellings(set(wanted) - known, known):
            warn_of_forms("item_ids", spelt)
            wanted = [spelt.get(item_id, item_id) for item_id in wanted]
        for item_id in wanted:
            if item_id not in known:
                hint = did_you_mean(item_id, known)
                raise UnknownItemError(f"no item {format_value(item_id)} in the data set{hint}")
        return set(wanted)

    def _filter_items(self, item_ids: set[str], keep: bool) -> Self:
        def kept(table: pd.DataFrame) -> pd.DataFrame:
            return _rows(table, np.flatnonzero(table[c.ITEM_ID].isin(item_ids).to_numpy() == keep))

        return self.from_checked(
            kept(self.items), kept(self.audio), kept(self.interactions), self.root
        )

    def digest(self) -> str:
        """Return the hex SHA-256 of the content of the three tables, independent of file format.

        It depends on the order of rows and tags, but not on `root` or the recordings' content.
        """
        total = hashlib.sha256()
        for table in (self.items, self.audio, self.interactions):
            total.update(f"{len(table)}|{len(table.columns)}|".encode())
            for name in table.columns:
                total.update(_length_prefixed(name))
                for part in _column_bytes(table[name]):
                    total.update(part)
        return total.hexdigest()

    def summary(self) -> dict[str, int | float]:
        """Return counts of items, users, interactions, recordings, artists and genres.

        `density` is the share of all (user, item) pairs that occur.

        Examples:
            >>> counts = dataset.summary()
            >>> counts["n_users"], counts["n_items_with_listeners"], counts["n_genres"]
            (60, 28, 2)
        """
        users, user_names = pd.factorize(self.interactions[c.USER_ID])
        played, played_names = pd.factorize(self.interactions[c.ITEM_ID])
        pairs = len(pd.unique(users * np.int64(len(self.items)) + played))
        cells = len(user_names) * len(self.items)
        return {
            "n_items": len(self.items),
            "n_users": len(user_names),
            "n_interactions": len(self.interactions),
            "n_recordings": len(self.audio),
            "n_items_with_audio": self.audio[c.ITEM_ID].nunique(),
            "n_items_with_listeners": len(played_names),
            "n_artists": _distinct(self.items[c.ARTIST]),
            "n_genres": _distinct(self.items[c.GENRE]),
            "density": pairs / cells if cells else 0.0,
        }

    def __repr__(self) -> str:
        place = "" if self.root is None else f" in {str(self.root)!r}"
        return (
            f"<MusicDataset{place}: {len(self.items):,} items, {len(self.audio):,} recordings"
            f" of {self.audio[c.ITEM_ID].nunique():,} of them,"
            f" {len(self.interactions):,} interactions"
            f" of {self.interactions[c.USER_ID].nunique():,} users>"
        )


def check_dataset(dataset: object) -> None:
    """Raise InvalidArgumentError, which says how to make one, unless this is a `MusicDataset`.

    Examples:
        >>> check_dataset(pd.DataFrame())
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: dataset must be a MusicDataset, not a DataFrame: ...
    """
    if not isinstance(dataset, MusicDataset):
        kind = type(dataset).__name__
        what = "None" if dataset is None else f"{'an' if kind[:1] in 'AEIOUaeiou' else 'a'} {kind}"
        raise InvalidArgumentError(
            f"dataset must be a MusicDataset, not {what}: make one of tables with "
            "MusicDataset(items, audio, interactions), or of a folder with "
            "datasets.folder.load_folder(path)"
        )


def _rows(table: pd.DataFrame, positions: Any) -> pd.DataFrame:
    rows: pd.DataFrame = table.iloc[positions].reset_index(drop=True)
    return rows


def _distinct(texts: "pd.Series[str]") -> int:
    return len(set(texts) - {""})


def _length_prefixed(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(8, "little") + encoded


def _column_bytes(column: "pd.Series[Any]") -> Iterable[bytes]:
    """Yield a column's content: each distinct text once, then which one each row has."""
    if column.dtype != object:
        kind = "<f8" if column.dtype == np.float64 else "<i8"
        values = column.to_numpy() if kind == "<f8" else column.to_numpy().astype("datetime64[ns]")
        yield values.astype(kind).tobytes()
        return
    codes, distinct = pd.factorize(column)
    yield b"".join(map(_length_prefixed, distinct))
    yield codes.astype("<i8").tobytes()
