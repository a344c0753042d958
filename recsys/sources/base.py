"""The `Source` protocol, and the base class of sources that learn factors from plays.

A source of evidence gives users and items vectors; its score of an item for a user is their inner
product. To add a source, write a class that follows `Source` in a module of its own; name it in
recsys/config.py and recsys/sources/registry.py; and give it a default weight in
recsys/training/blending.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from recsys.config import ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.shrinkage import apply_shrinkage, shrink
from recsys.data import CSRArrays, ItemContent, TrainingData, Vectors
from recsys.sources.fold_in import FoldIn


class Source(Protocol):
    """One source of evidence.

    Examples:
        >>> from recsys.sources import make_source
        >>> source: Source = make_source("popularity", recommender.config)
        >>> vectors = source.fit(training_data)
        >>> vectors.users.shape, vectors.items.shape
        ((60, 1), (30, 1))
    """

    def fit(self, data: TrainingData) -> Vectors:
        """Learn from training data; return vectors of all its users and items, cold ones too."""

    def item_vectors(self, content: ItemContent) -> Float32Array:
        """Predict vectors of items from their content alone, float32 [n_items, d]."""

    @property
    def fold_in(self) -> FoldIn:
        """Computes the vector of a user who was not part of the fit."""

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        users: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        """Compute the vector of an item from the users who play it.

        Args:
            predicted: the vector that `item_vectors` gives the item, float32 [d]; None if the item
                has no content to predict from.
            users: this source's vectors of the users who play the item, float32 [n, d].
            weights: play weights of these users, float32 [n].
            gram: PᵀP of all users' vectors P, float64 [d, d].

        Returns:
            float32 [d]; without users `predicted`, or zeros.
        """

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the fitted state as arrays to save."""

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Set the fitted state that `arrays` returned; return the source."""


class FactorSource(ABC):
    """Base class of sources that learn item factors from plays and predict those of cold items.

    A content map predicts item factors from content; warm items are shrunk towards the prediction,
    cold items get it. Subclasses implement `fit` and `learn_items`.

    Examples:
        >>> from recsys.sources import ALSSource
        >>> source: FactorSource = ALSSource(recommender.config.als, recommender.config.content_map)
        >>> vectors = source.fit(training_data)
        >>> predicted = source.item_vectors(training_data.content)
        >>> bool((vectors.items[-1] == predicted[-1]).all())  # the last item has no plays
        True
    """

    def __init__(self, content_map: ContentMapConfig, fold_in: FoldIn) -> None:
        """Create an unfitted source with these settings of its content map and this fold-in."""
        self.map_config = content_map
        self.fold_in = fold_in
        self.map: ContentMap | None = None

    def __repr__(self) -> str:
        settings = getattr(self, "config", self.map_config)
        return f"<{type(self).__name__}: {'not ' if self.map is None else ''}fitted; {settings!r}>"

    @abstractmethod
    def fit(self, data: TrainingData) -> Vectors:
        """Learn from training data; see `Source.fit`."""

    @abstractmethod
    def learn_items(
        self, users: Float32Array, plays: CSRArrays, gram: Float64Array
    ) -> Float32Array:
        """Learn items' vectors from their plays alone, with the user vectors fixed.

        Args:
            users: user vectors, float32 [n_users, d].
            plays: play weights of each item's users, CSR float32 [n_items, n_users].
            gram: PᵀP of all users' vectors P, float64 [d, d].

        Returns:
            float32 [n_items, d].
        """

    def item_vectors(self, content: ItemContent) -> Float32Array:
        """Predict vectors of items from their content alone, float32 [n_items, d]."""
        return self._fitted_map().predict(content)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        users: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        """Compute an item's vector from its users, shrunk as in the fit; see `Source`."""
        n = len(users)
        if predicted is not None and not n:
            return predicted
        plays = CSRArrays(weights, np.arange(n), np.array([0, n]))
        learned = self.learn_items(users, plays, gram)
        if predicted is None:
            # What the map predicts without content is the mean item; the fit ignores it as well.
            return learned[0]
        return shrink(learned, predicted[None], np.array([n]), self._fitted_map().shrinkage)[0]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the content map as arrays to save."""
        return self._fitted_map().arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Set the content map that `arrays` returned; return the source."""
        self.map = ContentMap.from_arrays(arrays)
        return self

    def fit_content(self, data: TrainingData, factors: Vectors) -> Vectors:
        """Learn the content map from factors; return these with what content says of items.

        Args:
            data: training data.
            factors: what was learned from plays alone.
        """
        content_map = ContentMap.fit(
            data.content, factors.items, data.user_counts, data.artists, self.map_config
        )
        return self._combine_with_content(content_map, data, factors, self.map_config)

    def _combine_with_content(
        self,
        content_map: ContentMap,
        data: TrainingData,
        factors: Vectors,
        config: ContentMapConfig,
    ) -> Vectors:
        """Keep the map, shrink warm items towards its predictions and give them to cold items."""
        self.map, items = apply_shrinkage(content_map, data, factors, config, self.learn_items)
        return Vectors(factors.users, items)

    def _fitted_map(self) -> ContentMap:
        assert self.map is not None
        return self.map
