"""Drawing users (or items) again with replacement, and the means of each draw.

What is drawn depends on the seed and the number of rows alone. So all that is measured on the same
users can share the draws, and they are made once. A draw is kept as how often it has each row: the
means of many columns are then one product of matrices.

How sure a mean is: bootstrap intervals over users, paired differences and their p-values.

Users (or items) are drawn again with replacement, and the statistic is computed for every draw;
its percentiles are the interval (Efron 1979), taken further out where there are few users or
items, as percentiles alone are then too narrow (Hesterberg, The American Statistician 2015). Models
measured on the same users share the draws, so that a difference between two of them is paired.

p-values come from the paired t-test. On millions of simulated comparisons of retrieval systems
Urbano, Lima and Hanjalic (SIGIR 2019) found that its error rate is the one it promises for every
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

Counts = NDArray[np.uint8]

_CELLS = 4_000_000
"""Draws × rows multiplied at once."""

_AT_ONCE = 1 << 16
"""Draws × rows drawn at once: few enough to be counted in the cache."""

_KEPT = 250_000_000
"""Bytes of counts kept, one for each draw and row."""


class Draws:
    """``n_bootstrap`` draws of any number of rows.

    Raises :class:`~datasets.errors.InvalidArgumentError` for fewer than 100.
    """

    def __init__(self, n_bootstrap: int, seed: int) -> None:
        if n_bootstrap < 100:
            raise InvalidArgumentError(f"n_bootstrap must be at least 100, not {n_bootstrap}")
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self._kept: OrderedDict[int, list[Counts]] = OrderedDict()

    def means(self, values: Float64Array) -> Float64Array:
        """Means of every column over rows drawn again: [n, m] → [n_bootstrap, m].

        Row b of the result comes from the same draw for every column. NaN is a row that does not
        take part in a column; a draw without any row that does gives NaN.
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
                taking_part = counts @ present
                share = np.where(taking_part > 0, taking_part / n, np.nan)
                part[:, some_missing] /= share[:, pattern]
        return means

    def part_means(
        self, parts: Sequence[tuple[IntArray, Float64Array]], n: int
    ) -> list[Float64Array]:
        """Means over parts of the same ``n`` rows: a list of [n_bootstrap, m].

        Each part has the distinct rows [r] that are in it and their values [r, m]. All rows are
        drawn, so a part has now more and now fewer of its own; a draw without any gives NaN.
        """
        means = [np.empty((self.n_bootstrap, values.shape[1])) for _, values in parts]
        inside = np.zeros((n, len(parts)))
        told = []
        for place, (rows, values) in enumerate(parts):
            inside[rows, place] = 1.0
            # Rows of zeros add nothing but themselves; of the slices of lists most are that.
            some = values.any(axis=1)
            told.append((rows[some], values[some]))
        for block, counts in self._blocks(n):
            total = counts @ inside
            total[total == 0] = np.nan
            for place, (rows, values) in enumerate(told):
                means[place][block] = counts.take(rows, axis=1) @ values / total[:, [place]]
        return means

    def _blocks(self, n: int) -> Iterator[tuple[slice, Float64Array]]:
        """How often each of n rows is drawn, [draws, n], for some draws at a time.

        What is handed out is written over when the next is asked for.
        """
        start = 0
        room = np.empty((min(self.n_bootstrap, max(1, _CELLS // n)), n))
        for counts in self._counts(n):
            for first in range(0, len(counts), len(room)):
                now = counts[first : first + len(room)]
                block = room[: len(now)]
                block[:] = now
                yield slice(start, start + len(now)), block
                start += len(now)

    def _counts(self, n: int) -> Iterator[Counts]:
        if n in self._kept:
            self._kept.move_to_end(n)
            yield from self._kept[n]
            return
        keep = self.n_bootstrap * n <= _KEPT
        made: list[Counts] = []
        for counts in self._made(n):
            if keep:
                made.append(counts)
            yield counts
        if keep:
            self._kept[n] = made
            while sum(self._kept) * self.n_bootstrap > _KEPT:
                self._kept.popitem(last=False)

    def _made(self, n: int) -> Iterator[Counts]:
        random = np.random.default_rng(self.seed)
        step = max(1, _AT_ONCE // n)
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
    """The columns that differ, as 0 and 1, and which of them each column is."""
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
