"""Implicit ALS: what people who play alike play (Hu, Koren and Volinsky, 2008)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import ColdtuneError
from recsys.config import ALSConfig, ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.shrinkage import settle
from recsys.data import ItemContent, TrainingData, Vectors, weigh, weigh_matrix
from recsys.sources.fold_in import item_vector, least_squares

USUAL_RATIO = 2.0
"""L2 penalty in units of alpha where the data did not choose it."""


class ALSSource:
    """ALS factors for warm items, shrunk towards the content map's prediction of them; for cold
    items, that prediction."""

    def __init__(self, config: ALSConfig, content_map: ContentMapConfig) -> None:
        self.config = config
        self.map_config = content_map
        self.map: ContentMap | None = None

    def fit(self, data: TrainingData) -> Vectors:
        """Factors of length ``config.factors``.

        Raises ColdtuneError where the solve fails.
        """
        factors = self.factors(data)
        learned = ContentMap.fit(
            data.content, factors.items, data.listeners, data.artists, self.map_config
        )
        self.map, items = settle(learned, data, factors, self.map_config, self.fold_in)
        return Vectors(factors.users, items)

    def factors(self, data: TrainingData) -> Vectors:
        """What plays alone teach: :meth:`fit` without content.

        Raises ColdtuneError where the solve fails.
        """
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError
        from threadpoolctl import threadpool_limits

        penalty = self.config.regularization
        # implicit runs its own threads; BLAS threads inside them only get in their way.
        with threadpool_limits(1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=USUAL_RATIO * self.config.alpha if penalty is None else penalty,
                alpha=self.config.alpha,
                iterations=self.config.iterations,
                random_state=data.seed,
                num_threads=data.threads,
            )
            try:
                model.fit(weigh_matrix(data.plays, self.config.weighting), show_progress=False)
            except ModelFitError as error:
                raise ColdtuneError(
                    f"ALS could not be trained: {error}; raise als.regularization, or weigh plays "
                    f"less than {self.config.weighting!r}"
                ) from None
        return Vectors(
            np.ascontiguousarray(model.user_factors, np.float32),
            np.ascontiguousarray(model.item_factors, np.float32),
        )

    def item_vectors(self, content: ItemContent) -> Float32Array:
        assert self.map is not None
        return self.map.predict(content)

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        return least_squares(history, weigh(weights, self.config.weighting), gram)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        assert self.map is not None
        plays = weigh(weights, self.config.weighting)
        return item_vector(predicted, listeners, plays, gram, self.map.shrinkage)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        assert self.map is not None
        return self.map.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self.map = ContentMap.from_arrays(arrays)
        return self
