"""Sum plays by user and item in blocks; memory grows with the pairs, not with the plays."""

from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float64Array, IntArray

_BLOCK: Final = 1 << 20
_HANDED_OUT: Final = 1 << 16  # as Python numbers these take five times the memory
_ITEM_BITS: Final = 32
_Part = tuple[IntArray, Float64Array, IntArray]


class PlayCounts:
    """Sum of the weights and earliest time of each (user, item) pair, by number.

    Numbers are from 0 to 2³¹ - 1. It holds 24 bytes a pair, and up to five times that while
    blocks are merged.

    Examples:
        >>> counts = PlayCounts()
        >>> for item in (7, 3, 7):
        ...     counts.add(user=0, item=item, weight=1.0)
        >>> users, items, weights, times = next(counts.blocks())
        >>> items.tolist(), weights.tolist()
        ([3, 7], [1.0, 2.0])
    """

    def __init__(self) -> None:
        self._keys, self._weights, self._times = array("q"), array("d"), array("q")
        self._parts: list[_Part] = []

    def add(self, user: int, item: int, weight: float, time: int = 0) -> None:
        """Add one play, or several at once."""
        self._keys.append(user << _ITEM_BITS | item)
        self._weights.append(weight)
        self._times.append(time)
        if len(self._keys) == _BLOCK:
            self._flush()

    def add_block(
        self, users: NDArray[Any], items: NDArray[Any], weights: NDArray[Any], times: NDArray[Any]
    ) -> None:
        """Add many plays, arrays [n] each."""
        keys = users.astype(np.int64) << _ITEM_BITS | items.astype(np.int64)
        self._add_part(keys, weights.astype(np.float64), times.astype(np.int64))

    def blocks(
        self,
    ) -> Iterator[tuple[IntArray, IntArray, Float64Array, IntArray]]:
        """Yield (users, items, weights, times) of all pairs in blocks, by user and item."""
        keys, weights, times = self._merged()
        for start in range(0, len(keys), _HANDED_OUT):
            block = slice(start, start + _HANDED_OUT)
            users, items = keys[block] >> _ITEM_BITS, keys[block] & ((1 << _ITEM_BITS) - 1)
            yield users, items, weights[block], times[block]

    def items(self) -> IntArray:
        """Return the numbers of all items, ascending, [n_items]."""
        found = [np.unique(items) for _, items, _, _ in self.blocks()]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def write(
        self,
        add: Callable[..., None],
        user_id: Callable[[int], str],
        item_id: Callable[[int], str],
        *,
        times: bool,
    ) -> int:
        """Pass every pair to `add` (of `interaction_writer`); return how many there were."""
        count = 0
        for users, items, weights, first in self.blocks():
            names = map(user_id, users.tolist()), map(item_id, items.tolist())
            columns = (*names, weights.tolist(), *((first.tolist(),) if times else ()))
            for row in zip(*columns, strict=True):
                add(*row)
            count += len(users)
        return count

    def _flush(self) -> None:
        if self._keys:
            columns = (np.array(self._keys), np.array(self._weights), np.array(self._times))
            self._keys, self._weights, self._times = array("q"), array("d"), array("q")
            self._add_part(*columns)

    def _add_part(self, keys: IntArray, weights: Float64Array, times: IntArray) -> None:
        """Keep a block; merge blocks when they hold as much as the first."""
        if not len(keys):
            return
        self._parts.append(_summed([(keys, weights, times)]))
        # Merging only when as much is new as was merged before keeps the work linear.
        if sum(len(part[0]) for part in self._parts[1:]) >= len(self._parts[0][0]):
            self._parts = [_summed(self._parts)]

    def _merged(self) -> _Part:
        self._flush()
        if not self._parts:
            return np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64)
        if len(self._parts) > 1:
            self._parts = [_summed(self._parts)]
        return self._parts[0]


def _summed(parts: list[_Part]) -> _Part:
    keys, weights, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return (
        keys[starts],
        np.add.reduceat(weights[order], starts),
        np.minimum.reduceat(times[order], starts),
    )
