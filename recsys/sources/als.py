"""Implicit-feedback matrix factorization by alternating least squares (Hu et al., 2008)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import ColdtuneError
from datasets.progress import count_steps
from recsys.config import ALSConfig, ContentMapConfig
from recsys.data import CSRArrays, TrainingData, Vectors
from recsys.sources.base import FactorSource
from recsys.sources.fold_in import (
    ALSFoldIn,
    LeastSquaresFoldIn,
    least_squares_batch,
    weigh_matrix,
    weigh_plays,
)
from recsys.sources.weighted_als import mean_total, penalties, solve_rows, train

_USUAL_RATIO = 0.8
"""L2 penalty in units of alpha and of the usual number of plays: about the best on real-mini and
Last.fm. Short videos (TikTok) want at least 1.9 times as much, which validation finds."""


def usual_penalty(data: TrainingData, config: ALSConfig) -> float:
    """Return the L2 penalty that usually suits so many plays a user and an item.

    A product of vectors does not change where users' are twice as long and items' half, so the
    penalty goes by the geometric mean of the plays of both.

    Args:
        data: training data.
        config: its ``alpha`` is the unit.
    """
    n_plays = max(data.plays.nnz, 1)
    users = max(int((np.diff(data.plays.indptr) > 0).sum()), 1)
    items = max(int((data.user_counts > 0).sum()), 1)
    return _USUAL_RATIO * config.alpha * (n_plays**2 / (users * items)) ** 0.25


class ALSSource(FactorSource):
    """Implicit ALS (`recsys.sources.weighted_als`), with item factors predicted from content.

    Examples:
        >>> source = ALSSource(ALSConfig(factors=8), ContentMapConfig())
        >>> source.fit(training_data).items.shape
        (30, 8)
    """

    def __init__(self, config: ALSConfig, content_map: ContentMapConfig) -> None:
        """Create an unfitted source with these settings."""
        super().__init__(content_map, LeastSquaresFoldIn(config.weighting))
        self.config = config
        self._scales: Float64Array | None = None

    def fit(self, data: TrainingData) -> Vectors:
        """Learn factors of length ``config.factors``; see `Source.fit`.

        Raises:
            ColdtuneError: a linear system cannot be solved.
        """
        return self.fit_content(data, self.factors(data))

    def fit_content(self, data: TrainingData, factors: Vectors) -> Vectors:
        """Learn the content map from what `factors` learned; see `FactorSource.fit_content`."""
        self._learn_scales(data)
        return super().fit_content(data, factors)

    def factors(
        self, data: TrainingData, *, start: Vectors | None = None, iterations: int | None = None
    ) -> Vectors:
        """Learn factors from plays alone, without content.

        Args:
            data: training data.
            start: factors to go on from; None starts from random ones.
            iterations: number of alternations; None: as configured.

        Raises:
            ColdtuneError: a linear system cannot be solved.
        """
        config = self.config
        n = iterations or config.iterations
        try:
            with count_steps("iterations", n) as advance, np.errstate(all="ignore"):
                found = train(
                    weigh_matrix(data.plays, config.weighting),
                    factors=config.factors,
                    alpha=config.alpha,
                    regularization=self._penalty(data),
                    share=config.penalty_by_plays,
                    iterations=n,
                    seed=data.seed,
                    threads=data.threads,
                    start=start,
                    advance=advance,
                )
        except (np.linalg.LinAlgError, ColdtuneError):
            found = None
        if found is None or not all(np.isfinite(side).all() for side in (found.users, found.items)):
            raise ColdtuneError(
                "ALS could not be trained: a system has no finite solution; raise "
                f"als.regularization, or weigh plays less than {config.weighting!r}"
            )
        return found

    def learn_items(
        self, users: Float32Array, plays: CSRArrays, gram: Float64Array
    ) -> Float32Array:
        """Compute item factors by one least-squares solve each; see `FactorSource.learn_items`.

        How much a play is beside the user's others is not known here: relative weights are 1.
        """
        weighting = "binary" if self.config.weighting == "relative" else self.config.weighting
        weighted = plays._replace(data=weigh_plays(plays.data, weighting))
        if self._scales is None:
            return least_squares_batch(users, weighted, gram)
        regularization, _, mean = self._scales
        sums = np.concatenate([[0.0], np.cumsum(weighted.data, dtype=np.float64)])
        totals = sums[plays.indptr[1:]] - sums[plays.indptr[:-1]]
        charges = penalties(totals, mean, regularization, self.config.penalty_by_plays)
        return solve_rows(np.asarray(users, np.float32), gram, weighted, self.config.alpha, charges)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the content map and the scales of penalties as arrays to save."""
        own = {} if self._scales is None else {"scales": self._scales}
        return {**super().arrays(), **own}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Set the state that `arrays` returned; return the source."""
        parts = dict(arrays)
        scales = parts.pop("scales", None)  # those learned elsewhere have none
        super().restore(parts)
        if scales is not None:
            if scales.shape != (3,) or not (np.isfinite(scales) & (scales >= 0)).all():
                raise ValueError("the scales of ALS are not three numbers")
            self._use_scales(np.asarray(scales, np.float64))
        return self

    def _penalty(self, data: TrainingData) -> float:
        given = self.config.regularization
        return usual_penalty(data, self.config) if given is None else given

    def _learn_scales(self, data: TrainingData) -> None:
        """Keep what new users and items are solved by as those of the fit were."""
        plays = weigh_matrix(data.plays, self.config.weighting)
        means = mean_total(plays), mean_total(plays.T.tocsr())
        self._use_scales(np.array([self._penalty(data), *means]))

    def _use_scales(self, scales: Float64Array) -> None:
        """Fold users in as they were learned.

        Args:
            scales: penalty, mean total weight of users, and of items, float64 [3].
        """
        self._scales = scales
        config = self.config
        self.fold_in = ALSFoldIn(
            config.weighting,
            config.alpha,
            float(scales[0]),
            config.penalty_by_plays,
            float(scales[1]),
        )
