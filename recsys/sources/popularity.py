"""Popularity: an item's number of users as a one-dimensional source.

The other sources favour popular items more, or less, than suits a user's list. The blend corrects
that: the weight of this source may be negative.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from recsys.data import ItemContent, TrainingData, Vectors
from recsys.sources.fold_in import PresenceFoldIn


class PopularitySource:
    """An item's vector [1] is its standardised log(1 + number of users); a user's is 1.

    Cold items have the zero vector: they count like warm items of average popularity.

    Examples:
        >>> source = PopularitySource().restore({"center": np.array(1.0), "scale": np.array(0.5)})
        >>> users = np.ones((10, 1), np.float32)
        >>> round(float(source.item_from_plays(None, users, users[:, 0], np.eye(1))[0]), 2)
        2.8
    """

    fold_in = PresenceFoldIn()
    _center: float
    _scale: float

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def fit(self, data: TrainingData) -> Vectors:
        """Learn mean and deviation over the warm items; see `Source.fit`."""
        counts = data.user_counts
        warm = np.flatnonzero(counts > 0)
        known = np.log1p(counts[warm])
        self._center = float(known.mean()) if len(known) else 0.0
        self._scale = float(known.std()) if len(known) else 0.0
        items = np.zeros((len(counts), 1), np.float32)
        items[warm, 0] = self._standardize(counts[warm])
        return Vectors(np.ones((data.plays.shape[0], 1), np.float32), items)

    def item_vectors(self, content: ItemContent) -> Float32Array:
        """Return zero vectors: content says nothing about popularity."""
        return np.zeros((len(content), 1), np.float32)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        users: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        """Return the popularity of an item with these users; see `Source.item_from_plays`."""
        if not len(users):
            return np.zeros(1, np.float32)
        return self._standardize(np.array([len(users)])).astype(np.float32)

    def _standardize(self, counts: IntArray) -> Float64Array:
        """Return (log(1 + counts) - mean) / deviation; zeros if all items are equally popular."""
        if self._scale == 0:
            return np.zeros(len(counts))
        return (np.log1p(counts) - self._center) / self._scale

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return mean and deviation as arrays to save."""
        return {"center": np.array(self._center), "scale": np.array(self._scale)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Set the mean and deviation that `arrays` returned; return the source."""
        self._center, self._scale = float(arrays["center"]), float(arrays["scale"])
        return self
