"""How sure a mean is: bootstrap intervals over users, and paired differences.

Users (or items) are drawn again with replacement, and the statistic is computed for every draw;
its percentiles are the interval (Efron 1979), taken further out where there are few users or
items, as percentiles alone are then too narrow (Hesterberg, The American Statistician 2015). Models
measured on the same users share the draws, so that a difference between two of them is paired.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InvalidArgumentError

Values = NDArray[np.float64]

_CELLS = 8_000_000
"""Draws × rows held at once."""


class Interval(NamedTuple):
    """A mean, or a difference of means, and its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0, that is, whether a difference is shown."""
        return self.low > 0 or self.high < 0


def resampled_means(values: Values, *, n_bootstrap: int, seed: int) -> Values:
    """Means of every column over rows drawn again: [n, m] → [n_bootstrap, m].

    Row b of the result comes from the same draw for every column. The same seed and n give the
    same draws.
    """
    if values.ndim != 2 or len(values) == 0:
        raise InvalidArgumentError(f"expected a value for at least one user, got {values.shape}")
    if n_bootstrap < 100:
        raise InvalidArgumentError(f"n_bootstrap must be at least 100, not {n_bootstrap}")
    n = len(values)
    random = np.random.default_rng(seed)
    means = np.empty((n_bootstrap, values.shape[1]))
    step = max(1, _CELLS // n)
    for start in range(0, n_bootstrap, step):
        draws = min(step, n_bootstrap - start)
        chosen = random.integers(0, n, size=(draws, n)) + np.arange(draws)[:, None] * n
        counts = np.bincount(chosen.ravel(), minlength=draws * n).reshape(draws, n)
        means[start : start + draws] = counts @ values / n
    return means


def mean_interval(
    values: Values, *, n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of ``values`` [n] with its bootstrap interval."""
    means = resampled_means(values[:, None], n_bootstrap=n_bootstrap, seed=seed)[:, 0]
    return interval(float(values.mean()), means, len(values), confidence)


def paired_difference(
    values: Values,
    baseline: Values,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of ``values - baseline`` over the same users [n], with its bootstrap interval."""
    if values.shape != baseline.shape:
        raise InvalidArgumentError(
            f"paired values need the same users: {values.shape} against {baseline.shape}"
        )
    return mean_interval(
        values - baseline, n_bootstrap=n_bootstrap, confidence=confidence, seed=seed
    )


def interval(mean: float, resampled: Values, n: int, confidence: float) -> Interval:
    """Expanded percentile interval around the ``mean`` of n values from its resampled means."""
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import ndtr, stdtrit

    tail = (1 - confidence) / 2
    if n > 1:
        tail = float(ndtr(stdtrit(n - 1, tail) * np.sqrt(n / (n - 1))))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    # Rounding in the sums must not push an interval of a constant past its own mean.
    return Interval(mean, min(float(low), mean), max(float(high), mean))
