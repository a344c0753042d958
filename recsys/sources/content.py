"""Content: what sounds like what a user plays."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from recsys.data import ItemContent, TrainingData, Vectors, weigh, weigh_matrix


class ContentSource:
    """An item's vector is its centred unit embedding; a user's, the mean over their history.

    Centring (by the mean of the warm items) makes the inner product a cosine similarity that is
    zero, not close to one, for unrelated songs: activations of a rectified layer all point into
    one orthant. An item without an embedding has the zero vector.
    """

    center: Float32Array

    def fit(self, data: TrainingData) -> Vectors:
        """Vectors of the length of the embeddings; plays weigh log(1 + plays)."""
        warm = data.content.has_embedding & (data.listeners > 0)
        embeddings = data.content.embeddings
        self.center = (
            embeddings[warm].mean(axis=0, dtype=np.float64).astype(np.float32)
            if warm.any()
            else np.zeros(embeddings.shape[1], np.float32)
        )
        items = self.item_vectors(data.content)
        weights = weigh_matrix(data.plays, "log")
        heard = np.asarray(weights @ data.content.has_embedding.astype(np.float32))
        users = (weights @ items) / np.maximum(heard, np.finfo(np.float32).tiny)[:, None]
        return Vectors(users.astype(np.float32), items)

    def item_vectors(self, content: ItemContent) -> Float32Array:
        centred = np.where(content.has_embedding[:, None], content.embeddings - self.center, 0)
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        heard = weigh(weights, "log") * history.any(axis=1)
        return (heard @ history / max(heard.sum(), np.finfo(np.float32).tiny)).astype(np.float32)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        return np.zeros(listeners.shape[1], np.float32) if predicted is None else predicted

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"center": self.center}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self.center = np.asarray(arrays["center"])
        return self
