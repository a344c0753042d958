"""Implicit-feedback matrix factorization by alternating least squares (Hu et al., 2008)."""

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import ColdtuneError
from datasets.progress import count_steps
from datasets.system.forking import openmp_threads
from recsys.config import ALSConfig, ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.data import CSRArrays, TrainingData, Vectors
from recsys.sources.base import FactorSource
from recsys.sources.fold_in import (
    LeastSquaresFoldIn,
    least_squares_batch,
    weigh_matrix,
    weigh_plays,
)

DEFAULT_RATIO = 2.0
"""L2 penalty in units of alpha where the data did not choose it."""


class ALSSource(FactorSource):
    """Implicit ALS by the library implicit, with item factors predicted from content.

    Examples:
        >>> source = ALSSource(ALSConfig(factors=8), ContentMapConfig())
        >>> source.fit(training_data).items.shape
        (30, 8)
    """

    def __init__(self, config: ALSConfig, content_map: ContentMapConfig) -> None:
        """Create an unfitted source with these settings."""
        super().__init__(content_map, LeastSquaresFoldIn(config.weighting))
        self.config = config

    def fit(self, data: TrainingData) -> Vectors:
        """Learn factors of length ``config.factors``; see `Source.fit`.

        Raises:
            ColdtuneError: a linear system cannot be solved.
        """
        factors = self.factors(data)
        content_map = ContentMap.fit(
            data.content, factors.items, data.user_counts, data.artists, self.map_config
        )
        return self._combine_with_content(content_map, data, factors, self.map_config)

    def factors(self, data: TrainingData) -> Vectors:
        """Learn factors from plays alone, without content.

        Raises:
            ColdtuneError: a linear system cannot be solved.
        """
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError
        from threadpoolctl import threadpool_limits

        penalty = self.config.regularization
        # implicit runs its own threads; BLAS threads inside them slow it down.
        with threadpool_limits(1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=DEFAULT_RATIO * self.config.alpha if penalty is None else penalty,
                alpha=self.config.alpha,
                iterations=self.config.iterations,
                random_state=data.seed,
                num_threads=openmp_threads(data.threads),
            )
            try:
                with count_steps("iterations", self.config.iterations) as advance:
                    model.fit(
                        weigh_matrix(data.plays, self.config.weighting),
                        show_progress=False,
                        callback=lambda *_: advance(1),
                    )
            except ModelFitError as error:
                raise ColdtuneError(
                    f"ALS could not be trained: {error}; raise als.regularization, or weigh plays "
                    f"less than {self.config.weighting!r}"
                ) from None
        return Vectors(
            np.ascontiguousarray(model.user_factors, np.float32),
            np.ascontiguousarray(model.item_factors, np.float32),
        )

    def learn_items(
        self, users: Float32Array, plays: CSRArrays, gram: Float64Array
    ) -> Float32Array:
        """Compute item factors by one least-squares solve each; see `FactorSource.learn_items`."""
        weights = weigh_plays(plays.data, self.config.weighting)
        return least_squares_batch(users, plays._replace(data=weights), gram)
