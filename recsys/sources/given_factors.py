"""Factors of ALS that were learned elsewhere, such as on a cluster, from more plays than are here.

They take the place of what ALS would learn here; everything around them is the same: the map that
predicts items from content, shrinkage, fold-in of users.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import DataError
from datasets.tables.values import format_value
from recsys.config import ALSConfig, ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.shrinkage import has_content, shrink
from recsys.data import CSRArrays, TrainingData, Vectors
from recsys.sources.als import ALSSource
from recsys.sources.fold_in import least_squares_batch, weigh_matrix

VECTOR, LISTENERS = "vector", "listeners"
"""Columns of a table of factors; the second is the number of users who have played an item."""

ITEMS_FOLDER, USERS_FOLDER = "items.parquet", "users.parquet"
"""The tables in a folder of factors: each a folder of Parquet files, or one such file."""


@dataclass(frozen=True, eq=False, repr=False)
class GivenFactors:
    """Vectors of users and items whose inner product is the score of ALS.

    Examples:
        >>> ids = pd.Index(["s1", "s2"])
        >>> given = GivenFactors(ids, np.eye(2, dtype=np.float32), np.array([9, 4]))
        >>> given.rank, given
        (2, <GivenFactors: 2 items and 0 users in 2 dimensions>)
    """

    item_ids: pd.Index
    """The items."""
    items: Float32Array
    """float32 [n_items, rank]."""
    listeners: IntArray
    """Users who have played each item, of all that the factors were learned from, int [n_items]."""
    user_ids: pd.Index = field(default_factory=lambda: pd.Index([], dtype=object))
    """The users; others are folded in from their plays."""
    users: Float32Array = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """float32 [n_users, rank]."""
    origin: str = "given"
    """Where they come from, for people to read."""

    def __repr__(self) -> str:
        n, rank = self.items.shape
        return f"<GivenFactors: {n:,} items and {len(self.user_ids):,} users in {rank} dimensions>"

    @property
    def rank(self) -> int:
        """Length of a vector."""
        return int(self.items.shape[1])

    def of_items(self, item_ids: pd.Index) -> tuple[Float32Array, IntArray, BoolArray]:
        """Return vectors, listeners and whether there are any, of these items; zeros without."""
        rows = self.item_ids.get_indexer(item_ids)
        known = rows >= 0
        vectors = np.zeros((len(rows), self.rank), np.float32)
        vectors[known] = self.items[rows[known]]
        listeners = np.zeros(len(rows), np.int64)
        listeners[known] = self.listeners[rows[known]]
        return vectors, listeners, known

    def of_users(self, user_ids: pd.Index) -> tuple[Float32Array, BoolArray]:
        """Return vectors of these users, and whether there are any; zeros without."""
        rows = self.user_ids.get_indexer(user_ids)
        known = rows >= 0
        vectors = np.zeros((len(rows), self.rank), np.float32)
        if known.any():
            vectors[known] = self.users[rows[known]]
        return vectors, known


@dataclass(frozen=True, eq=False)
class AlignedFactors:
    """Given factors in the rows of training data; zeros for what they lack."""

    items: Float32Array
    listeners: IntArray
    has_items: BoolArray
    users: Float32Array
    has_users: BoolArray

    @classmethod
    def of(cls, given: GivenFactors, item_ids: pd.Index, user_ids: pd.Index) -> "AlignedFactors":
        """Put factors into the order of these ids.

        Raises:
            DataError: none of the items has any.
        """
        items, listeners, has_items = given.of_items(item_ids)
        if not has_items.any():
            raise DataError(f"factors of {given.origin}: none of the data set's items has any")
        return cls(items, listeners, has_items, *given.of_users(user_ids))


class GivenALSSource(ALSSource):
    """ALS with factors that were learned elsewhere, as its ``fit`` alone differs.

    Users and items without any are folded in from their plays. An item's listeners are those that
    its factors were learned from, or those of the data, whichever are more: so an item that nobody
    has played in a sample, and many elsewhere, keeps what was learned.
    """

    def __init__(
        self, config: ALSConfig, content_map: ContentMapConfig, given: AlignedFactors
    ) -> None:
        """Create an unfitted source of training data with the rows of `given`."""
        super().__init__(config, content_map)
        self.given = given

    def fit(self, data: TrainingData) -> Vectors:
        """Take the factors, fold in what they lack, and learn the map; see `Source.fit`."""
        given = self.given
        items, users = given.items.copy(), given.users.copy()
        plays = weigh_matrix(data.plays, self.config.weighting)
        unknown = np.flatnonzero(~given.has_users)
        if len(unknown):
            known = items.astype(np.float64)
            rows = CSRArrays.from_matrix(plays[unknown].tocsr())
            users[unknown] = least_squares_batch(items, rows, known.T @ known)
        new = np.flatnonzero(~given.has_items & (data.user_counts > 0))
        if len(new):
            double = users.astype(np.float64)
            rows = CSRArrays.from_matrix(data.plays[:, new].T.tocsr())
            items[new] = self.learn_items(users, rows, double.T @ double)
        counts = np.maximum(given.listeners, data.user_counts)
        content_map = ContentMap.fit(data.content, items, counts, data.artists, self.map_config)
        found = self._combine_with_content(
            content_map, data, Vectors(users, items), self.map_config
        )
        more = np.flatnonzero(counts > data.user_counts)
        k = self._fitted_map().shrinkage
        found.items[more] = items[more]
        told = more[has_content(data.content)[more]]
        if k > 0 and len(told):
            predicted = self.item_vectors(data.content.take(told))
            found.items[told] = shrink(items[told], predicted, counts[told], k)
        return found


def read_factors(folder: str | Path, item_ids: pd.Index, user_ids: pd.Index) -> GivenFactors:
    """Read the factors of some items and users from a folder that `learn_factors` wrote.

    The tables are read in parts, so that they may be larger than the memory.

    Args:
        folder: with items.parquet (item_id, vector, listeners) and, where there is one,
            users.parquet (user_id, vector).
        item_ids: the items wanted.
        user_ids: the users wanted.

    Raises:
        DataError: a table is missing or damaged, or a row of it cannot be used.

    Examples:
        >>> table = pd.DataFrame(
        ...     {"item_id": ["s1", "s2"], "vector": [[1.0, 0.0], [0.0, 1.0]], "listeners": [9, 4]}
        ... )
        >>> table.to_parquet(folder / "items.parquet")
        >>> read_factors(folder, pd.Index(["s2", "s3"]), pd.Index([])).items.tolist()
        [[0.0, 1.0]]
    """
    place = Path(folder)
    items = _read(place / ITEMS_FOLDER, ITEM_ID, item_ids, LISTENERS)
    if items is None:
        raise DataError(f"{place}: has no {ITEMS_FOLDER}, so there are no factors here")
    users = _read(place / USERS_FOLDER, USER_ID, user_ids, None)
    found = GivenFactors(items[0], items[1], items[2], origin=str(place))
    if users is None or not len(users[0]):
        return found
    if users[1].shape[1] != found.rank:
        raise DataError(
            f"{place}: the users' vectors have {users[1].shape[1]} numbers, the items' {found.rank}"
        )
    return GivenFactors(*items, users[0], users[1], str(place))


def _read(
    table: Path, key: str, wanted: pd.Index, counted: str | None
) -> tuple[pd.Index, Float32Array, IntArray] | None:
    """Ids, vectors and counts of the wanted rows of a table; None if there is no table."""
    import pyarrow as pa

    if not table.exists():
        return None
    ids: list[Any] = []
    vectors: list[Float32Array] = []
    counts: list[IntArray] = []
    width = -1
    try:
        for batch in _batches(table, [key, VECTOR, *([counted] if counted else [])]):
            found = batch.column(key).to_pandas().astype(object)
            rows = np.flatnonzero(wanted.get_indexer(pd.Index(found)) >= 0)
            lists = batch.column(VECTOR)
            lengths = np.asarray(lists.value_lengths().fill_null(-1))
            if not len(lengths):
                continue
            width = int(lengths[0]) if width < 0 else width
            if (lengths != width).any() or width < 1:
                wrong = int(np.flatnonzero((lengths != width) | (lengths < 1))[0])
                raise DataError(
                    f"{table}: the vector of {key} {format_value(found.iloc[wrong])} has "
                    f"{max(int(lengths[wrong]), 0)} numbers, others have {max(width, 0)}"
                )
            part = np.asarray(lists.flatten(), np.float32).reshape(-1, width)[rows]
            if not np.isfinite(part).all():
                bad = found.iloc[rows[np.flatnonzero(~np.isfinite(part).all(axis=1))[0]]]
                raise DataError(f"{table}: the vector of {key} {format_value(bad)} is not finite")
            ids += found.iloc[rows].tolist()
            vectors.append(part)
            if counted:
                counts.append(np.asarray(batch.column(counted), np.int64)[rows])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{table}: cannot be read: {str(error).splitlines()[0]}") from None
    index = pd.Index(ids, dtype=object)
    if index.has_duplicates:
        twice = index[index.duplicated()][0]
        raise DataError(f"{table}: {key} {format_value(twice)} is there twice")
    return (
        index,
        np.concatenate(vectors) if vectors else np.empty((0, max(width, 0)), np.float32),
        np.concatenate(counts) if counts else np.zeros(len(index), np.int64),
    )


def _batches(table: Path, columns: list[str]) -> Iterator[Any]:
    import pyarrow.dataset as ds

    # Files whose names begin with _ or . are the engine's own notes, and not read.
    found = ds.dataset(table, format="parquet")
    missing = [name for name in columns if name not in found.schema.names]
    if missing:
        there = ", ".join(map(format_value, found.schema.names)) or "none"
        raise DataError(f"{table}: column {missing[0]!r} missing; there are: {there}")
    yield from found.to_batches(columns=columns)
