"""MusicDataset: what a music service knows before any model, as three checked tables."""

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
from datasets.tables.values import format_value


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MusicDataset:
    """Items, their recordings, and who played what.

    Text is Python ``str`` in columns of dtype object on every version of pandas; a missing text
    is ``""``. Ids are kept exactly; whole numbers become their decimal digits. Every table has a
    RangeIndex. Treat the tables as read-only: what is derived from a data set shares them.
    """

    items: pd.DataFrame
    """``item_id`` (unique), ``title``, ``artist``, ``album``, ``genre``, then tag columns."""
    audio: pd.DataFrame
    """``item_id``, ``path``, ``title``, ``genre``: zero, one or several recordings per item.
    ``path`` is relative to ``root`` and stays inside it; without a root it is absolute."""
    interactions: pd.DataFrame
    """``user_id``, ``item_id``, ``weight`` (float64, finite, zero or more) and, where known,
    ``timestamp`` (datetime64[ns], UTC). A (user, item) pair may occur several times."""
    root: Path | None
    """The folder that relative paths start from."""

    def __init__(
        self,
        items: pd.DataFrame,
        audio: pd.DataFrame | None = None,
        interactions: pd.DataFrame | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        """Copy, check and normalise the tables; ``audio`` and ``interactions`` may be None.

        Items need all standard columns, audio ``item_id`` and ``path``, interactions
        ``user_id``, ``item_id`` and ``weight``. Further columns of items are kept as tags, of
        the others left out. Recordings must exist; they are not opened. Raises
        :class:`~datasets.errors.DataError` naming the table, the row (from 1) and the column.
        """
        folder = None if root is None else Path(root)
        tables = check_tables(
            items,
            empty_audio() if audio is None else audio,
            empty_interactions() if interactions is None else interactions,
            folder,
            (Origin("items"), Origin("audio"), Origin("interactions")),
        )
        self._set(*tables, folder)

    @classmethod
    def from_checked(
        cls,
        items: pd.DataFrame,
        audio: pd.DataFrame,
        interactions: pd.DataFrame,
        root: Path | None,
    ) -> Self:
        """A data set of tables that :func:`check_tables` returned, or rows of such tables."""
        dataset = cls.__new__(cls)
        dataset._set(items, audio, interactions, root)
        return dataset

    def _set(
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
        """Absolute path of every recording, in the order of ``audio``."""
        start = Path("/") if self.root is None else self.root.absolute()
        return [start / path for path in self.audio[c.PATH]]

    def recording_labels(self, tag: str = c.GENRE) -> "pd.Series[str]":
        """A label for every recording, in the order of ``audio``; ``""`` where unknown.

        For ``genre`` the recording's own where it has one, else its item's; for another text or
        tag column its item's. Raises :class:`InvalidArgumentError` for a column that is not there.
        """
        choices = [name for name in self.items.columns if name != c.ITEM_ID]
        if tag not in choices:
            raise InvalidArgumentError(f"no tag {tag!r}; there are: {', '.join(choices)}")
        labels = self._of_recordings(tag)
        if tag == c.GENRE:
            own = self.audio[c.GENRE]
            labels = own.where(own != "", labels)
        return labels

    def recording_artists(self) -> "pd.Series[str]":
        """Artist of every recording's item, in the order of ``audio``: a group to split by.

        Where the artist is unknown the item id stands in, so unknown artists stay apart.
        """
        artists = self._of_recordings(c.ARTIST)
        return artists.where(artists != "", self.audio[c.ITEM_ID]).rename(c.ARTIST)

    def _of_recordings(self, column: str) -> "pd.Series[str]":
        rows = pd.Index(self.items[c.ITEM_ID], dtype=object).get_indexer(
            pd.Index(self.audio[c.ITEM_ID], dtype=object)
        )
        return pd.Series(self.items[column].to_numpy()[rows], dtype=object, name=column)

    def take_interactions(self, rows: ArrayLike) -> Self:
        """The same items and recordings with only the interactions at these positions.

        ``rows``: whole numbers, [n], in any order. Raises :class:`InvalidArgumentError` for
        anything else, and for a position that is not there.
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
        """Only these items, in the order they have here, with their recordings and interactions.

        Raises :class:`UnknownItemError` for an id that is not among the items.
        """
        return self._keep(self._known(item_ids), True)

    def drop_items(self, item_ids: Iterable[str]) -> Self:
        """All but these items, and neither their recordings nor their interactions.

        Raises :class:`UnknownItemError` for an id that is not among the items.
        """
        return self._keep(self._known(item_ids), False)

    def _known(self, item_ids: Iterable[str]) -> set[str]:
        if isinstance(item_ids, str):
            raise InvalidArgumentError(f"item_ids must be several ids, not the text {item_ids!r}")
        wanted = list(item_ids)
        known = set(self.items[c.ITEM_ID])
        for item_id in wanted:
            if item_id not in known:
                raise UnknownItemError(f"no item {format_value(item_id)} in the data set")
        return set(wanted)

    def _keep(self, item_ids: set[str], keep: bool) -> Self:
        def kept(table: pd.DataFrame) -> pd.DataFrame:
            return _rows(table, np.flatnonzero(table[c.ITEM_ID].isin(item_ids).to_numpy() == keep))

        return self.from_checked(
            kept(self.items), kept(self.audio), kept(self.interactions), self.root
        )

    def digest(self) -> str:
        """Hex SHA-256 of the content of the three tables, whatever format they came from.

        Depends on the order of rows and tags, not on ``root`` nor on the recordings' bytes.
        """
        total = hashlib.sha256()
        for table in (self.items, self.audio, self.interactions):
            total.update(f"{len(table)}|{len(table.columns)}|".encode())
            for name in table.columns:
                total.update(_framed(name))
                for part in _column_bytes(table[name]):
                    total.update(part)
        return total.hexdigest()

    def summary(self) -> dict[str, int | float]:
        """Counts of what is there; ``density`` is the share of (user, item) pairs seen."""
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


def _rows(table: pd.DataFrame, positions: Any) -> pd.DataFrame:
    rows: pd.DataFrame = table.iloc[positions].reset_index(drop=True)
    return rows


def _distinct(texts: "pd.Series[str]") -> int:
    return len(set(texts) - {""})


def _framed(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(8, "little") + encoded


def _column_bytes(column: "pd.Series[Any]") -> Iterable[bytes]:
    """A column's content: distinct texts once each, then which one every row has."""
    if column.dtype != object:
        kind = "<f8" if column.dtype == np.float64 else "<i8"
        values = column.to_numpy() if kind == "<f8" else column.to_numpy().astype("datetime64[ns]")
        yield values.astype(kind).tobytes()
        return
    codes, distinct = pd.factorize(column)
    yield b"".join(map(_framed, distinct))
    yield codes.astype("<i8").tobytes()
