"""LightFM factorization machine over identity, metadata and embedding features (Kula, 2015).

`FMConfig.embedding_features` says how embeddings take part:

``closed-form``
    Train on [identity | metadata]; regress the resulting item vectors on the content. The result
    is an ordinary LightFM model with embedding features (`recsys.sources.lightfm_model`) at the
    cost of a training without them: an epoch with dense features costs 80 times as much.
``closed-form+tuning``
    A few epochs of SGD over all features from there.
``dense``, ``pca``
    SGD over [identity | metadata | embedding, or its principal components] from random vectors.

In all cases, what the features other than identity add to an item is affine in its content (unless
the regression is a network); one content map stores it and gives cold items their vectors.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array, IntArray
from recsys.config import ContentMapConfig, FMConfig
from recsys.content.mapping import ContentMap
from recsys.data import CSRArrays, TrainingData, Vectors
from recsys.sources.base import FactorSource
from recsys.sources.fold_in import LeastSquaresFoldIn, least_squares_batch, weigh_plays
from recsys.sources.lightfm_model import (
    EmbeddingFeatures,
    binary_interactions,
    content_map_of_features,
    feature_matrix,
    feature_vectors,
    identity_matrix,
    n_epochs,
    new_model,
    train_model,
    tune_model,
)


class FMSource(FactorSource):
    """User vectors [p, 1] and item vectors [q, bias], so that a score is one inner product.

    Examples:
        >>> source = FMSource(FMConfig(components=8, epochs=5), ContentMapConfig())
        >>> source.fit(training_data).items.shape
        (30, 9)
    """

    def __init__(self, config: FMConfig, content_map: ContentMapConfig) -> None:
        """Create an unfitted source with these settings."""
        super().__init__(content_map, LeastSquaresFoldIn("binary"))
        self.config = config

    def fit(self, data: TrainingData) -> Vectors:
        """Learn vectors of length ``config.components + 1``; see `Source.fit`.

        Raises:
            ColdtuneError: training diverged.
            InvalidArgumentError: a content map that is not affine would have to be tuned.
        """
        # Cold items stay out: WARP would sample them as negatives and teach the model, and all
        # their artists and genres, that nobody wants what nobody was offered.
        warm = np.flatnonzero(data.user_counts > 0)
        played = binary_interactions(data, warm)
        if self.config.embedding_features == "closed-form":
            ((_, factors),) = self.grow(data, [n_epochs(self.config, played.nnz)])
            return self.fit_content(data, factors)
        by_sgd = self.config.embedding_features in ("dense", "pca")
        fit = self._fit_by_sgd if by_sgd else self._fit_tuned
        learned, content_map = fit(data, warm, played)
        items = np.zeros((len(data.content), self.config.components + 1), np.float32)
        items[warm] = learned.items
        # With SGD, warm items contain what their features taught; they are not shrunk again.
        map_config = self.map_config.replace(shrinkage=0.0) if by_sgd else self.map_config
        return self._combine_with_content(
            content_map, data, Vectors(learned.users, items), map_config
        )

    def _fit_by_sgd(
        self, data: TrainingData, warm: IntArray, played: sp.coo_matrix
    ) -> tuple[Vectors, ContentMap]:
        """Train on all features; return warm items' vectors and the content's part of them."""
        known = data.content.take(warm)
        scaler = EmbeddingFeatures.fit(known, self.config)
        model = new_model(self.config, data.seed)
        vectors = train_model(
            model,
            played,
            feature_matrix(known, scaler),
            epochs=n_epochs(self.config, played.nnz),
            threads=data.threads,
        )
        rows = feature_vectors(model)[len(warm) :]
        return vectors, content_map_of_features(rows, known.metadata.shape[1], scaler)

    def grow(self, data: TrainingData, marks: Sequence[int]) -> Iterator[tuple[int, Vectors]]:
        """Train on identity and metadata alone; yield the vectors at several numbers of epochs.

        Args:
            data: training data.
            marks: numbers of epochs, ascending.

        Yields:
            The number of epochs, and vectors of users and items; those of cold items are zero.
        """
        warm = np.flatnonzero(data.user_counts > 0)
        played, features = binary_interactions(data, warm), identity_matrix(data.content.take(warm))
        model, done = new_model(self.config, data.seed), 0
        for mark in marks:
            learned = train_model(model, played, features, epochs=mark - done, threads=data.threads)
            done = mark
            items = np.zeros((data.plays.shape[1], self.config.components + 1), np.float32)
            items[warm] = learned.items
            yield done, Vectors(learned.users, items)

    def _fit_tuned(
        self, data: TrainingData, warm: IntArray, played: sp.coo_matrix
    ) -> tuple[Vectors, ContentMap]:
        """Train on identity and metadata, and tune that with the regression of warm items."""
        known = data.content.take(warm)
        vectors = train_model(
            new_model(self.config, data.seed),
            played,
            identity_matrix(known),
            epochs=n_epochs(self.config, played.nnz),
            threads=data.threads,
        )
        config = self.map_config
        if config.kind == "kernel":
            config = config.replace(kind="ridge")  # features of SGD add up linearly
        content_map = ContentMap.fit(
            known, vectors.items, data.user_counts[warm], data.artists[warm], config
        )
        return tune_model(
            vectors, known, content_map, played, self.config, seed=data.seed, threads=data.threads
        )

    def learn_items(
        self, users: Float32Array, plays: CSRArrays, gram: Float64Array
    ) -> Float32Array:
        """Compute item vectors by least squares; see `FactorSource.learn_items`."""
        weights = weigh_plays(plays.data, "binary")
        return least_squares_batch(users, plays._replace(data=weights), gram)
