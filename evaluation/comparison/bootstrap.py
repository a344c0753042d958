"""Bootstrap confidence intervals, paired differences and their p-values.

Users (or items) are resampled with replacement and the mean is computed for every resample; its
percentiles are the interval (Efron 1979), expanded where there are few users or items, as
percentiles alone are then too narrow (Hesterberg, The American Statistician 2015). Models measured
on the same users share the resamples, so that a difference between two of them is paired.

p-values come from the paired t-test. On millions of simulated comparisons of retrieval systems
Urbano, Lima and Hanjalic (SIGIR 2019) found that its error rate is the nominal one for every
measure and sample size, where the bootstrap's is too high and the Wilcoxon and sign tests both err
more and test something other than the mean; the permutation test does as well and costs more.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import InvalidArgumentError

_Counts = NDArray[np.uint8]

_CELLS = 4_000_000
"""Resamples × rows multiplied at once."""

_DRAWN_AT_ONCE = 1 << 16
"""Resamples × rows drawn at once: few enough to be counted in the processor's cache."""

_CACHE_BYTES = 250_000_000
"""Bytes of counts kept, one for each resample and row."""

_ROUNDING = 1e-12
"""Differences smaller than this count as 0."""


class Bootstrap:
    """Resamples of any number of rows, and the means of values over them.

    The resamples depend on the seed and the number of rows alone, so that all that is measured on
    the same users shares them. A resample is kept as how often it has each row: the means of many
    columns are then one matrix product.

    Args:
        n_bootstrap: number of resamples, at least 100.
        seed: seed of the random numbers.

    Raises:
        InvalidArgumentError: fewer than 100 resamples.

    Examples:
        >>> means = Bootstrap(200, seed=0).means(np.arange(50.0)[:, None])
        >>> means.shape
        (200, 1)
        >>> bool(abs(means.mean() - 24.5) < 1)
        True
    """

    def __init__(self, n_bootstrap: int, seed: int) -> None:
        if n_bootstrap < 100:
            raise InvalidArgumentError(f"n_bootstrap must be at least 100, not {n_bootstrap}")
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self._cache: OrderedDict[int, list[_Counts]] = OrderedDict()

    def means(self, values: Float64Array) -> Float64Array:
        """Compute the mean of every column over resampled rows.

        Args:
            values: [n, m]; NaN is a row without a value in a column.

        Returns:
            [n_bootstrap, m]; a row comes from the same resample in every column. NaN where a
            resample has no row with a value.
        """
        if values.ndim != 2 or len(values) == 0:
            raise InvalidArgumentError(
                f"expected a value for at least one user, got {values.shape}"
            )
        n = len(values)
        missing = np.isnan(values)
        some_missing = np.flatnonzero(missing.any(axis=0))
        present, pattern = _distinct_columns(~missing[:, some_missing])
        values = np.where(missing, 0.0, values) if len(some_missing) else values
        means = np.empty((self.n_bootstrap, values.shape[1]))
        for block, counts in self._blocks(n):
            part = means[block]
            part[:] = counts @ values / n
            if len(some_missing):
                n_present = counts @ present
                share = np.where(n_present > 0, n_present / n, np.nan)
                part[:, some_missing] /= share[:, pattern]
        return means

    def part_means(
        self, parts: Sequence[tuple[IntArray, Float64Array]], n: int
    ) -> list[Float64Array]:
        """Compute means over parts of the same ``n`` rows.

        All rows are resampled, so that a resample has now more and now fewer rows of a part.

        Args:
            parts: for each part its distinct rows [r] and their values [r, m].
            n: number of rows in all.

        Returns:
            For each part [n_bootstrap, m]; NaN where a resample has no row of the part.
        """
        means = [np.empty((self.n_bootstrap, values.shape[1])) for _, values in parts]
        inside = np.zeros((n, len(parts)))
        nonzero = []
        for place, (rows, values) in enumerate(parts):
            inside[rows, place] = 1.0
            # Rows of zeros add nothing to the sums; of the slices of lists most are that.
            some = values.any(axis=1)
            nonzero.append((rows[some], values[some]))
        for block, counts in self._blocks(n):
            total = counts @ inside
            total[total == 0] = np.nan
            for place, (rows, values) in enumerate(nonzero):
                means[place][block] = counts.take(rows, axis=1) @ values / total[:, [place]]
        return means

    def _blocks(self, n: int) -> Iterator[tuple[slice, Float64Array]]:
        """How often each of n rows is drawn, [resamples, n], for some resamples at a time.

        The array is overwritten when the next block is asked for.
        """
        start = 0
        room = np.empty((min(self.n_bootstrap, max(1, _CELLS // n)), n))
        for counts in self._cached_counts(n):
            for first in range(0, len(counts), len(room)):
                now = counts[first : first + len(room)]
                block = room[: len(now)]
                block[:] = now
                yield slice(start, start + len(now)), block
                start += len(now)

    def _cached_counts(self, n: int) -> Iterator[_Counts]:
        if n in self._cache:
            self._cache.move_to_end(n)
            yield from self._cache[n]
            return
        keep = self.n_bootstrap * n <= _CACHE_BYTES
        kept: list[_Counts] = []
        for counts in self._draw_counts(n):
            if keep:
                kept.append(counts)
            yield counts
        if keep:
            self._cache[n] = kept
            while sum(self._cache) * self.n_bootstrap > _CACHE_BYTES:
                self._cache.popitem(last=False)

    def _draw_counts(self, n: int) -> Iterator[_Counts]:
        random = np.random.default_rng(self.seed)
        step = max(1, _DRAWN_AT_ONCE // n)
        size = max(step, _CELLS // n // step * step)
        for start in range(0, self.n_bootstrap, size):
            # No row is drawn 256 times: of fewer rows there are not as many draws, and of more
            # the chance is below 1e-500.
            counts = np.empty((min(size, self.n_bootstrap - start), n), np.uint8)
            for first in range(0, len(counts), step):
                some = counts[first : first + step]
                chosen = random.integers(0, n, size=some.shape)
                chosen += np.arange(len(some))[:, None] * n
                some[:] = np.bincount(chosen.ravel(), minlength=some.size).reshape(some.shape)
            yield counts


def _distinct_columns(columns: BoolArray) -> tuple[Float64Array, IntArray]:
    """The distinct columns as 0 and 1, and which of them each column is."""
    numbers: dict[bytes, int] = {}
    distinct, pattern = [], []
    for column in columns.T:
        key = np.packbits(column).tobytes()
        if key not in numbers:
            numbers[key] = len(numbers)
            distinct.append(column)
        pattern.append(numbers[key])
    stacked = np.stack(distinct, axis=1) if distinct else np.empty((len(columns), 0))
    return stacked.astype(np.float64), np.array(pattern, np.int64)


class Interval(NamedTuple):
    """A mean, or a difference of means, and its confidence interval.

    Examples:
        >>> Interval(0.2, low=0.1, high=0.3).shown
        True
        >>> Interval(0.1, low=-0.1, high=0.3).shown
        False
    """

    mean: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0, that is, whether a difference is shown."""
        return self.low > 0 or self.high < 0


class Difference(Interval):
    """A difference of means with its interval, and the p-value of a test.

    Examples:
        >>> spread = Interval(0.2, low=0.1, high=0.3)
        >>> gap = Difference.tested(spread, p=0.01, p_corrected=0.08, confidence=0.95)
        >>> gap.shown  # the interval excludes 0, but the corrected p-value is above 0.05
        False
    """

    p: float
    """p-value of the paired t-test; NaN where there was nothing to test."""
    p_corrected: float
    """The same after Holm's correction for the number of differences tested together."""
    _level: float

    @classmethod
    def tested(cls, spread: Interval, p: float, p_corrected: float, confidence: float) -> Self:
        """Make a difference tested at the level 1 - ``confidence``."""
        found = cls(*spread)
        found.p, found.p_corrected, found._level = p, p_corrected, 1 - confidence
        return found

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0 and the corrected p-value is below the level."""
        return super().shown and self.p_corrected < self._level


def mean_interval(
    values: Float64Array, *, n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Compute the mean of values with its bootstrap interval.

    Args:
        values: [n]; NaN is left out.
        n_bootstrap: number of resamples, at least 100.
        confidence: level of the interval.
        seed: seed of the resamples.

    Examples:
        >>> found = mean_interval(np.arange(100.0))
        >>> found.mean
        49.5
        >>> found.low < found.mean < found.high
        True
    """
    means = Bootstrap(n_bootstrap, seed).means(values[:, None])[:, 0]
    present = values[np.isfinite(values)]
    mean = float(present.mean()) if len(present) else np.nan
    return percentile_interval(mean, means, len(present), confidence)


def paired_difference(
    values: Float64Array,
    baseline: Float64Array,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute the mean of ``values - baseline`` over the same users with its bootstrap interval.

    Args:
        values: [n], one value a user.
        baseline: [n], of the same users in the same order.
        n_bootstrap: number of resamples, at least 100.
        confidence: level of the interval.
        seed: seed of the resamples.

    Raises:
        InvalidArgumentError: the arrays have different shapes.

    Examples:
        >>> noise = np.random.default_rng(0).random(200)
        >>> paired_difference(noise + 0.1, noise).shown
        True
    """
    if values.shape != baseline.shape:
        raise InvalidArgumentError(
            f"paired values need the same users: {values.shape} against {baseline.shape}"
        )
    return mean_interval(
        values - baseline, n_bootstrap=n_bootstrap, confidence=confidence, seed=seed
    )


def percentile_interval(
    mean: float, resampled: Float64Array, n: int, confidence: float
) -> Interval:
    """Compute the expanded percentile interval around a mean.

    Args:
        mean: the mean of n values.
        resampled: [n_bootstrap], the means of the resamples; NaN is left out.
        n: number of values.
        confidence: level of the interval.

    Raises:
        InvalidArgumentError: ``confidence`` is not between 0 and 1.

    Examples:
        >>> values = np.arange(50.0)
        >>> resampled = Bootstrap(200, seed=0).means(values[:, None])[:, 0]
        >>> found = percentile_interval(values.mean(), resampled, len(values), 0.95)
        >>> found.low < 24.5 < found.high
        True
    """
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
    """Compute two-sided p-values of the paired t-test.

    Args:
        differences: [n users, m]; NaN is a user without a value.

    Returns:
        [m]; NaN for fewer than two users, 1 where all differences are 0, and 0 where all are the
        same and not 0.

    Examples:
        >>> paired_p_values(np.array([[0.0, 0.3], [0.0, 0.1], [0.0, 0.2]])).round(3).tolist()
        [1.0, 0.074]
    """
    from scipy.special import stdtr

    # Rounding errors must not look like a difference that all users agree on.
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
    """Correct p-values for their number (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below one before
    it, and none exceeds 1. The chance of any false finding among them is then at most the level,
    whatever their dependence.

    Args:
        p_values: [m]; NaN is no test: it stays NaN and does not count.

    Returns:
        [m], in the order given.

    Examples:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def t_interval(values: Float64Array, confidence: float) -> Interval:
    """Compute the mean of values, such as one of each fold, with Student's t interval.

    Folds share training data, so that their spread is somewhat too small (Bengio and Grandvalet,
    JMLR 2004).

    Args:
        values: [n]; the interval of a single value is NaN.
        confidence: level of the interval.

    Raises:
        InvalidArgumentError: ``confidence`` is not between 0 and 1.

    Examples:
        >>> [round(value, 3) for value in t_interval(np.array([0.2, 0.3, 0.4]), 0.95)]
        [0.3, 0.052, 0.548]
    """
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import stdtrit

    n, mean = len(values), float(values.mean())
    if n < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)
