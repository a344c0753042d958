"""LightFM factorization machine over identity, metadata and embedding (Kula, 2015; DESIGN).

How embeddings take part is a choice, ``FMConfig.embedding_features``:

``closed-form``
    Train on [identity | metadata]; regress the resulting item vectors on the content. The result
    is an ordinary LightFM model with embedding features (:mod:`recsys.sources.lightfm_model`),
    at the cost of a training without: dense features cost 80 times as much an epoch.
``closed-form+tuning``
    A few epochs of SGD over all features from there.
``dense``, ``pca``
    SGD over [identity | metadata | embedding, or its principal components] from random vectors.

Whatever the choice, what the features other than identity say of an item is affine in its content
(unless the regression is a network), so one content map keeps it, and gives cold items their
vectors.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from recsys.config import ContentMapConfig, FMConfig
from recsys.content.mapping import ContentMap
from recsys.content.shrinkage import settle
from recsys.data import ItemContent, TrainingData, Vectors, weigh
from recsys.sources.fold_in import item_vector, least_squares
from recsys.sources.lightfm_model import (
    DenseFeatures,
    dense_map,
    dense_matrix,
    epochs_of,
    feature_vectors,
    identity_matrix,
    new_model,
    positives,
    train,
    tune,
)


class FMSource:
    """User vectors [p, 1] and item vectors [q, bias], so that a score is one inner product."""

    def __init__(self, config: FMConfig, content_map: ContentMapConfig) -> None:
        self.config = config
        self.map_config = content_map
        self.map: ContentMap | None = None

    def fit(self, data: TrainingData) -> Vectors:
        """Vectors of length ``config.components + 1``.

        Raises ColdtuneError where training diverges, and InvalidArgumentError where a content map
        is to be tuned that is not affine.
        """
        listeners = data.listeners
        warm = np.flatnonzero(listeners > 0)
        # Cold items stay out: WARP would sample them as negatives and teach the model, and every
        # artist and genre of theirs, that nobody wants what nobody has been offered.
        played = positives(data, warm)
        by_descent = self.config.embedding_features in ("dense", "pca")
        if by_descent:
            learned, self.map = self._by_descent(data, warm, played)
        else:
            learned, self.map = self._in_closed_form(data, warm, played)
        items = np.zeros((len(listeners), self.config.components + 1), np.float32)
        items[warm] = learned.items
        vectors = Vectors(learned.users, items)
        # What SGD learns of features is in every warm item already.
        mapping = self.map_config.replace(shrinkage=0.0) if by_descent else self.map_config
        self.map, items = settle(self.map, data, vectors, mapping, self.fold_in)
        return Vectors(learned.users, items)

    def _by_descent(
        self, data: TrainingData, warm: IntArray, played: sp.coo_matrix
    ) -> tuple[Vectors, ContentMap]:
        known = data.content.take(warm)
        dense = DenseFeatures.learn(known, self.config)
        model = new_model(self.config, data.seed)
        vectors = train(
            model,
            played,
            dense_matrix(known, dense),
            epochs=epochs_of(self.config, played.nnz),
            threads=data.threads,
        )
        rows = feature_vectors(model)[len(warm) :]
        return vectors, dense_map(rows, known.metadata.shape[1], dense)

    def _in_closed_form(
        self, data: TrainingData, warm: IntArray, played: sp.coo_matrix
    ) -> tuple[Vectors, ContentMap]:
        known = data.content.take(warm)
        vectors = train(
            new_model(self.config, data.seed),
            played,
            identity_matrix(known),
            epochs=epochs_of(self.config, played.nnz),
            threads=data.threads,
        )
        found = ContentMap.fit(
            known, vectors.items, data.listeners[warm], data.artists[warm], self.map_config
        )
        if self.config.embedding_features == "closed-form":
            return vectors, found
        return tune(
            vectors, known, found, played, self.config, seed=data.seed, threads=data.threads
        )

    def item_vectors(self, content: ItemContent) -> Float32Array:
        assert self.map is not None
        return self.map.predict(content)

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        return least_squares(history, weigh(weights, "binary"), gram)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        assert self.map is not None
        plays = weigh(weights, "binary")
        return item_vector(predicted, listeners, plays, gram, self.map.shrinkage)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        assert self.map is not None
        return self.map.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self.map = ContentMap.from_arrays(arrays)
        return self
