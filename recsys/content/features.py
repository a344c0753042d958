"""Content features of items: one-hot metadata, embeddings in item order, artist codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import DataError
from datasets.tables.frames import embedding_frame, is_counted
from datasets.tables.spellings import known_spellings, warn_of_forms
from datasets.tables.values import format_value
from datasets.tags import RECORDING_MBID
from recsys.content.embedding_range import real_numbers

_MIN_ITEMS = 2
"""Fewest warm items with a metadata value for it to be a feature: one item's value says nothing
about other items."""


class MetadataVocabulary:
    """The metadata values that a model knows, as columns of a one-hot matrix.

    Attributes:
        values: (field, value) pairs in column order.
        fields: The distinct fields.

    Examples:
        >>> vocabulary = MetadataVocabulary.learn(dataset.items, np.ones(30, bool))
        >>> ("genre", "jazz") in vocabulary.values
        True
        >>> vocabulary.encode(dataset.items).shape == (30, len(vocabulary.values))
        True
    """

    def __init__(self, values: Sequence[tuple[str, str]]) -> None:
        """Create a vocabulary of (field, value) pairs in column order."""
        self.values = [(field, value) for field, value in values]
        self._column = {pair: column for column, pair in enumerate(self.values)}
        self.fields = list(dict.fromkeys(field for field, _ in self.values))

    @classmethod
    def learn(cls, items: pd.DataFrame, warm: BoolArray) -> "MetadataVocabulary":
        """Collect the values of artist, album, genre and tags that at least two warm items have.

        Ids of recordings are left out: they say nothing of other items.

        Args:
            items: item table of a data set.
            warm: which rows are warm, bool [n_items].
        """
        fields = [ARTIST, ALBUM, GENRE]
        others = (ITEM_ID, TITLE, RECORDING_MBID, *fields)
        fields += [name for name in items.columns if name not in others]
        values = []
        for field in fields:
            counts = items.loc[warm, field].value_counts()
            common = counts.index[counts >= _MIN_ITEMS]
            values += [(field, str(value)) for value in sorted(common) if value != ""]
        return cls(values)

    def encode(self, items: pd.DataFrame) -> sp.csr_matrix:
        """Encode an item table as CSR float32 [n_items, len(values)], without unknown values."""
        rows, columns = [], []
        for field in self.fields:
            if field not in items:
                continue
            found = [self._column.get((field, str(value)), -1) for value in items[field]]
            known = np.flatnonzero(np.asarray(found) >= 0)
            rows.append(known)
            columns.append(np.asarray(found)[known])
        row = np.concatenate(rows) if rows else np.empty(0, np.intp)
        column = np.concatenate(columns) if columns else np.empty(0, np.intp)
        shape = (len(items), len(self.values))
        return sp.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)

    def encode_texts(self, items: Sequence[Mapping[str, str]]) -> sp.csr_matrix:
        """Encode items given by their texts that are not empty; the result is that of `encode`.

        This takes as long as the items have texts, however many fields the vocabulary has.
        """
        found = [
            sorted(self._column[pair] for pair in texts.items() if pair in self._column)
            for texts in items
        ]
        indptr = np.cumsum([0, *map(len, found)])
        columns = np.array([column for own in found for column in own], np.intp)
        shape = (len(items), len(self.values))
        return sp.csr_matrix((np.ones(len(columns), np.float32), columns, indptr), shape=shape)


def align_embeddings(
    frame: object, item_ids: pd.Index, *, ignore_others: bool = False
) -> tuple[Float32Array, BoolArray]:
    """Arrange embeddings in the order of `item_ids`.

    Args:
        frame: embeddings: index or column item_id, one other numeric column per dimension.
        item_ids: ids of n_items items.
        ignore_others: skip embeddings of items that are not in `item_ids` instead of raising.

    Returns:
        Embeddings, float32 [n_items, e], zero for items without one; and which items have one,
        bool [n_items].

    Raises:
        DataError: an item is unknown or occurs twice, or a value is not a finite number. The
            message names the item.

    Examples:
        >>> frame = pd.DataFrame([[1.0, 2.0]], index=["s1"])
        >>> vectors, known = align_embeddings(frame, pd.Index(["s0", "s1"]))
        >>> vectors.tolist(), known.tolist()
        ([[0.0, 0.0], [1.0, 2.0]], [False, True])
    """
    given, frame = frame, embedding_frame(frame)
    if ignore_others:
        spelt = known_spellings(frame.index[~frame.index.isin(item_ids)], item_ids)
        known_ids = frame.index.isin([*item_ids, *spelt])
        if len(frame) and not known_ids.any():
            raise DataError(
                f"embeddings: none of the {len(frame):,} ids, such as {frame.index[0]!r}, "
                f"is that of an item{_where_ids_are(given, frame, item_ids)}"
            )
        frame = frame[known_ids]
    ids = frame.index
    if (twice := ids[ids.duplicated()]).size:
        raise DataError(f"embeddings: item {twice[0]!r} has more than one row")
    position = item_ids.get_indexer(ids)
    if (position < 0).any() and (spelt := known_spellings(ids[position < 0], item_ids)):
        warn_of_forms("embeddings", spelt)
        ids = pd.Index([spelt.get(item_id, item_id) for item_id in ids], dtype=object)
        if (twice := ids[ids.duplicated()]).size:
            raise DataError(f"embeddings: item {twice[0]!r} has more than one row")
        position = item_ids.get_indexer(ids)
    if (position < 0).any():
        raise DataError(
            f"embeddings: item {ids[position < 0][0]!r} is not among the items of the data set"
            f"{_where_ids_are(given, frame, item_ids)}"
        )
    if frame.shape[1] == 0 and len(frame):
        raise DataError("embeddings: the frame has no columns")
    values = _numbers(frame)
    unfit = np.argwhere(~np.isfinite(values))
    if len(unfit):
        row, column = unfit[0].tolist()
        others = len(np.unique(unfit[:, 0])) - 1
        more = f" ({others:,} more such item{'s' if others > 1 else ''})"
        raise DataError(
            f"embeddings: item {ids[row]!r} has a value that is not a finite number in single "
            f"precision: {format_value(frame.iat[row, column])} in column "
            f"{format_value(frame.columns[column])}"
            f"{more if others else ''}"
        )
    aligned = np.zeros((len(item_ids), values.shape[1]), np.float32)
    aligned[position] = values
    known = np.zeros(len(item_ids), bool)
    known[position] = True
    return aligned, known


def _numbers(frame: pd.DataFrame) -> Float32Array:
    """The values of a table of embeddings, float32 [rows, columns]; missing ones are NaN."""
    if all(isinstance(kind, np.dtype) and kind.kind in "iuf" for kind in frame.dtypes):
        with np.errstate(over="ignore"):
            return frame.to_numpy(np.float32)
    columns = []
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        nullable = isinstance(column.dtype, pd.api.extensions.ExtensionDtype)
        numbers = real_numbers(column.to_numpy(object, na_value=np.nan) if nullable else column)
        if numbers is None:
            raise DataError(
                f"embeddings: every column must be numeric and {frame.columns[position]!r} is not; "
                f"{_what_to_do(column)}"
            )
        columns.append(numbers)
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0), np.float32)


def _what_to_do(column: "pd.Series[Any]") -> str:
    """What makes numbers of a column that has none."""
    first = column.iloc[0] if len(column) else None
    if isinstance(first, list | tuple | np.ndarray):
        return (
            "it holds vectors, and one column a dimension is expected: "
            "pandas.DataFrame(frame[column].tolist(), index=ids)"
        )
    return "ids belong in the index or column item_id"


def _where_ids_are(given: object, frame: pd.DataFrame, item_ids: pd.Index) -> str:
    """The end of a message about unknown ids: the column that holds those of items, if any.

    Args:
        given: the table as it was given.
        frame: the same with the ids in the index.
        item_ids: ids of the items.
    """
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if len(column) and pd.Index(column.astype(object).astype(str)).isin(item_ids).all():
            return (
                f"; ids of items are in column {format_value(name)}: name it 'item_id', or make it "
                "the index"
            )
    if pd.Index([str(name) for name in frame.columns]).isin(item_ids).any():
        return "; ids of items are the names of columns: give the transposed frame, .T"
    # Numbers in a column of ids are not those of rows.
    if isinstance(given, pd.DataFrame) and given.shape == frame.shape and is_counted(given.index):
        return "; the index counts rows: ids belong in the index or column item_id"
    if len(item_ids):
        return f"; ids there are texts such as {item_ids[0]!r}"
    return ""


def artist_codes(items: pd.DataFrame) -> IntArray:
    """Number the artists; an item without an artist gets a number of its own.

    Args:
        items: columns item_id and artist; an item without an artist has the text "".

    Returns:
        int [n_items], equal for items of one artist.

    Examples:
        >>> items = pd.DataFrame({"item_id": ["a", "b", "c"], "artist": ["X", "", "X"]})
        >>> artist_codes(items).tolist()
        [0, 1, 0]
    """
    artist = items[ARTIST].astype(str)
    names = artist.where(artist != "", "\0" + items[ITEM_ID].astype(str))
    return pd.factorize(names)[0]
