"""How sure a mean is: bootstrap intervals over users, paired differences and their p-values.

Users (or items) are drawn again with replacement, and the statistic is computed for every draw;
its percentiles are the interval (Efron 1979), taken further out where there are few users or
items, as percentiles alone are then too narrow (Hesterberg, The American Statistician 2015). Models
measured on the same users share the draws, so that a difference between two of them is paired.

p-values come from the paired t-test. On millions of simulated comparisons of retrieval systems
Urbano, Lima and Hanjalic (SIGIR 2019) found that its error rate is the one it promises for every
measure and sample size, where the bootstrap's is too high and the Wilcoxon and sign tests both err
more and test something other than the mean; the permutation test does as well and costs more.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from datasets.arrays import BoolArray, Float64Array
from datasets.errors import InvalidArgumentError
from evaluation.comparison.bootstrap import Draws

_ROUNDING = 1e-12
"""Differences smaller than this are none."""


class Interval(NamedTuple):
    """A mean, or a difference of means, and its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0, that is, whether a difference is shown."""
        return self.low > 0 or self.high < 0


class Difference(Interval):
    """A difference of means that was tested: its interval, and what the p-value says of it."""

    p: float
    """p-value of the paired t-test; NaN where there was nothing to test."""
    p_corrected: float
    """The same after Holm's correction for the number of differences looked at together."""
    _level: float

    @classmethod
    def tested(cls, spread: Interval, p: float, p_corrected: float, confidence: float) -> Self:
        """A difference held against the level 1 - ``confidence``."""
        found = cls(*spread)
        found.p, found.p_corrected, found._level = p, p_corrected, 1 - confidence
        return found

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0 and the corrected p-value is below the level."""
        return super().shown and self.p_corrected < self._level


def mean_interval(
    values: Float64Array, *, n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of ``values`` [n] with its bootstrap interval; NaN takes no part."""
    means = Draws(n_bootstrap, seed).means(values[:, None])[:, 0]
    present = values[np.isfinite(values)]
    mean = float(present.mean()) if len(present) else np.nan
    return interval(mean, means, len(present), confidence)


def paired_difference(
    values: Float64Array,
    baseline: Float64Array,
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


def interval(mean: float, resampled: Float64Array, n: int, confidence: float) -> Interval:
    """Expanded percentile interval around the ``mean`` of n values from its resampled means."""
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import ndtr, stdtrit

    tail = (1 - confidence) / 2
    if n > 1:
        tail = float(ndtr(stdtrit(n - 1, tail) * np.sqrt(n / (n - 1))))
    resampled = resampled[np.isfinite(resampled)]
    if n == 0 or len(resampled) == 0:
        return Interval(mean, np.nan, np.nan)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    # Rounding in the sums must not push an interval of a constant past its own mean.
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def paired_p_values(differences: Float64Array) -> Float64Array:
    """Two-sided p-values of the paired t-test: differences of each user [n, m] → [m].

    NaN is a user who does not take part. Fewer than two users show nothing: NaN. Differences that
    are all 0 have p = 1, and all the same and not 0 have p = 0.
    """
    from scipy.special import stdtr

    # What is only rounding must not be taken for a difference that all users agree on.
    small: BoolArray = np.abs(differences) < _ROUNDING
    differences = np.where(small, 0.0, differences)
    n = np.isfinite(differences).sum(axis=0)
    total = np.nansum(differences, axis=0)
    mean = total / np.maximum(n, 1)
    squares = np.nansum((differences - mean) ** 2, axis=0)
    error = np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))
    constant = error <= _ROUNDING
    t = np.abs(mean) / np.where(constant, 1.0, error)
    p = np.where(constant, np.where(np.abs(mean) < _ROUNDING, 1.0, 0.0), 2 * stdtr(n - 1, -t))
    found: Float64Array = np.where(n > 1, p, np.nan)
    return found


def holm(p_values: Sequence[float] | Float64Array) -> Float64Array:
    """p-values corrected for their number, in the order given (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below one before
    it, and none exceeds 1. The chance of any false finding among them is then at most the level,
    whatever depends on what. NaN is no test: it stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def t_interval(values: Float64Array, confidence: float) -> Interval:
    """Mean of ``values`` [n], such as one of each fold, with Student's t interval.

    One value alone has no interval: NaN. Folds share training data, so that their spread says a
    little less than it seems to (Bengio and Grandvalet, JMLR 2004).
    """
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import stdtrit

    n, mean = len(values), float(values.mean())
    if n < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)
