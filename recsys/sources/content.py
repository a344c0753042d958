"""Content-based source: items similar in sound to those a user plays."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from datasets.linear_algebra import single_precision
from recsys.content.kernel import standardisation
from recsys.data import ItemContent, TrainingData, Vectors
from recsys.sources.fold_in import MeanFoldIn, weigh_matrix


class ContentSource:
    """An item's vector is its centred embedding of length 1; a user's is the mean of their items'.

    Embeddings are centred by the mean of the warm items, or of all where hardly anything was
    played. Activations of a rectified layer all point into one orthant; centring makes the inner
    product a cosine similarity that is about zero, not close to one, for unrelated songs. Items
    without an embedding have the zero vector.

    Examples:
        >>> source = ContentSource().restore({"center": np.float32([1, 1])})
        >>> from recsys.sources.fold_in import Gram
        >>> played = np.float32([[0, 1], [1, 0]])  # vectors of two items
        >>> source.fold_in(played, np.ones(2, np.float32), Gram(np.eye(2))).tolist()
        [0.5, 0.5]
    """

    center: Float32Array
    """Mean embedding of the items that count, float32 [e]."""

    fold_in = MeanFoldIn()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def fit(self, data: TrainingData) -> Vectors:
        """Learn centre and scale; plays weigh log(1 + plays); see `Source.fit`."""
        counted = data.content.has_embedding & data.is_counted
        center, inverse_scale = standardisation(data.content.embeddings[counted])
        self.center = center.astype(np.float32)
        self.inverse_scale = single_precision(inverse_scale)
        items = self.item_vectors(data.content)
        weights = weigh_matrix(data.plays, "log")
        total = np.asarray(weights @ data.content.has_embedding.astype(np.float32))
        users = (weights @ items) / np.maximum(total, np.finfo(np.float32).tiny)[:, None]
        return Vectors(users.astype(np.float32), items)

    def item_vectors(self, content: ItemContent) -> Float32Array:
        """Standardise embeddings and scale them to length 1, float32 [n_items, e]."""
        centred = np.where(content.has_embedding[:, None], content.embeddings - self.center, 0)
        standard = centred * self.inverse_scale
        norms = np.linalg.norm(standard, axis=1, keepdims=True)
        return np.divide(standard, norms, out=np.zeros_like(standard), where=norms > 0)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        users: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        """Return `predicted`: plays do not change how an item sounds."""
        return np.zeros(users.shape[1], np.float32) if predicted is None else predicted

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return centre and scale as arrays to save."""
        return {"center": self.center, "inverse_scale": self.inverse_scale}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Set what `arrays` returned; return the source. Earlier models have no scale."""
        self.center = np.asarray(arrays["center"])
        self.inverse_scale = np.asarray(arrays.get("inverse_scale", np.ones_like(self.center)))
        if self.center.ndim != 1 or self.inverse_scale.shape != self.center.shape:
            raise ValueError("centre and scale of the content source are not one vector each")
        return self
