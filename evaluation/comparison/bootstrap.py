"""Drawing users (or items) again with replacement, and the means of each draw.

What is drawn depends on the seed and the number of rows alone. So all that is measured on the same
users can share the draws, and they are made once. A draw is kept as how often it has each row: the
means of many columns are then one product of matrices.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

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
