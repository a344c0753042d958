"""Popularity: how many people play an item, as one dimension more.

Other sources like popular items more, or less, than suits a listener's list. The blend finds by how
much: the weight of this source may be negative.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from recsys.data import ItemContent, TrainingData, Vectors


class PopularitySource:
    """An item's vector [1] is its standardised log(1 + listeners); a user's is 1.

    A cold item has the zero vector: it counts like a warm one of usual popularity.
    """

    _center: float
    _scale: float

    def fit(self, data: TrainingData) -> Vectors:
        listeners = data.listeners
        known = np.log1p(listeners[listeners > 0])
        self._center = float(known.mean()) if len(known) else 0.0
        self._scale = float(known.std()) if len(known) else 0.0
        items = np.zeros((len(listeners), 1), np.float32)
        warm = np.flatnonzero(listeners > 0)
        items[warm, 0] = [self._value(n) for n in listeners[warm]]
        return Vectors(np.ones((data.plays.shape[0], 1), np.float32), items)

    def item_vectors(self, content: ItemContent) -> Float32Array:
        return np.zeros((len(content), 1), np.float32)

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        # Of somebody whose items nobody has played nothing is known that popularity could mend.
        return np.full(1, history.any(), np.float32)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        return np.array([self._value(len(listeners))] if len(listeners) else [0.0], np.float32)

    def _value(self, listeners: int) -> float:
        if self._scale == 0:
            return 0.0
        return (float(np.log1p(listeners)) - self._center) / self._scale

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"center": np.array(self._center), "scale": np.array(self._scale)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self._center, self._scale = float(arrays["center"]), float(arrays["scale"])
        return self
