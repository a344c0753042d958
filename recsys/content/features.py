"""From item tables and embeddings to what the sources know of an item before anybody plays it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import DataError

_LEAST_ITEMS = 2
"""A metadata value says something of other items only when this many warm ones have it."""


class MetadataVocabulary:
    """The metadata values that the model knows, as columns of a one-hot matrix.

    values: (field, value) pairs in column order.
    """

    def __init__(self, values: Sequence[tuple[str, str]]) -> None:
        self.values = [(field, value) for field, value in values]
        self._column = {pair: column for column, pair in enumerate(self.values)}
        self.fields = list(dict.fromkeys(field for field, _ in self.values))

    @classmethod
    def learn(cls, items: pd.DataFrame, warm: BoolArray) -> "MetadataVocabulary":
        """All values of artist, album, genre and tags that at least two warm items have."""
        fields = [ARTIST, ALBUM, GENRE]
        fields += [name for name in items.columns if name not in (ITEM_ID, TITLE, *fields)]
        values = []
        for field in fields:
            counts = items.loc[warm, field].value_counts()
            common = counts.index[counts >= _LEAST_ITEMS]
            values += [(field, str(value)) for value in sorted(common) if value != ""]
        return cls(values)

    def encode(self, items: pd.DataFrame) -> sp.csr_matrix:
        """CSR float32 [n, len(values)]; unknown values and absent columns give nothing."""
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


def align_embeddings(
    frame: pd.DataFrame, item_ids: pd.Index, *, ignore_others: bool = False
) -> tuple[Float32Array, BoolArray]:
    """Embeddings in the order of ``item_ids``: float32 [n, e] with zero rows for items that have
    none, and bool [n], which have one.

    frame: index item_id, one numeric column a dimension. ignore_others: leave out embeddings of
    items that are not in ``item_ids``.
    Raises DataError naming the item: unknown, twice, or with a value that is not finite.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            "embeddings: must be a DataFrame with the item ids for an index, "
            f"not {type(frame).__name__}"
        )
    ids = frame.index.astype(str)
    if ignore_others:
        frame = frame[ids.isin(item_ids)]
        ids = frame.index.astype(str)
    if (twice := ids[ids.duplicated()]).size:
        raise DataError(f"embeddings: item {twice[0]!r} has more than one row")
    position = item_ids.get_indexer(ids)
    if (position < 0).any():
        raise DataError(
            f"embeddings: item {ids[position < 0][0]!r} is not among the items of the data set"
        )
    if frame.shape[1] == 0 and len(frame):
        raise DataError("embeddings: the frame has no columns")
    try:
        with np.errstate(over="ignore"):
            values = frame.to_numpy(np.float32)
    except (TypeError, ValueError):
        raise DataError("embeddings: every column must be numeric") from None
    unfit = ~np.isfinite(values).all(axis=1)
    if unfit.any():
        raise DataError(
            f"embeddings: item {ids[unfit][0]!r} has a value that is not a finite number"
        )
    aligned = np.zeros((len(item_ids), values.shape[1]), np.float32)
    aligned[position] = values
    known = np.zeros(len(item_ids), bool)
    known[position] = True
    return aligned, known


def artist_codes(items: pd.DataFrame) -> IntArray:
    """int [n], equal for items of one artist; an item without an artist stands alone."""
    artist = items[ARTIST].astype(str)
    names = artist.where(artist != "", "\0" + items[ITEM_ID].astype(str))
    return pd.factorize(names)[0]
