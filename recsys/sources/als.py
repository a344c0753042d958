"""Implicit ALS: what people who play alike play (Hu, Koren and Volinsky, 2008)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.errors import ColdtuneError
from recsys.config import ALSConfig, ContentMapConfig
from recsys.content_map import ContentMap
from recsys.fold_in import least_squares
from recsys.plays import weigh, weigh_matrix
from recsys.sources.base import Floats, ItemContent, TrainingData, Vectors


class ALSSource:
    """ALS factors for warm items; for cold items, the content map's prediction of them."""

    def __init__(self, config: ALSConfig, content_map: ContentMapConfig) -> None:
        self.config = config
        self.map_config = content_map
        self.map: ContentMap | None = None

    def fit(self, data: TrainingData) -> Vectors:
        """Factors of length ``config.factors``.

        Raises ColdtuneError where the solve fails.
        """
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError
        from threadpoolctl import threadpool_limits

        # implicit runs its own threads; BLAS threads inside them only get in their way.
        with threadpool_limits(1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
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
        items = np.ascontiguousarray(model.item_factors, np.float32)

        listeners = data.listeners
        self.map = ContentMap.fit(data.content, items, listeners, data.artists, self.map_config)
        cold = np.flatnonzero(listeners == 0)
        items[cold] = self.map.predict(data.content.take(cold))
        return Vectors(np.ascontiguousarray(model.user_factors, np.float32), items)

    def item_vectors(self, content: ItemContent) -> Floats:
        assert self.map is not None
        return self.map.predict(content)

    def fold_in(self, history: Floats, weights: Floats, gram: NDArray[np.float64]) -> Floats:
        return least_squares(history, weigh(weights, self.config.weighting), gram)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        assert self.map is not None
        return self.map.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self.map = ContentMap.from_arrays(arrays)
        return self
