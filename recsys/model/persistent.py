"""Mappings and columns of which a changed copy shares all that stays the same with the old one.

A live model never changes: each change makes another. So that a change costs the same however much
has changed before, nothing that grows is copied as a whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

K = TypeVar("K")
V = TypeVar("V")

_LOAD = 32
"""Entries of a part, on average and at most; a change copies the parts that it touches."""


class PersistentMap(Mapping[K, V]):
    """An immutable mapping in parts; the order of its keys is no particular one.

    Examples:
        >>> from recsys.model.persistent import PersistentMap
        >>> one = PersistentMap({"a": 1, "b": 2})
        >>> other = one.changed({"c": 3}, without=["a"])
        >>> one == {"a": 1, "b": 2}, other == {"b": 2, "c": 3}
        (True, True)
    """

    __slots__ = ("_length", "_parts")

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        entries = entries or {}
        count = 1
        while count * _LOAD < 2 * len(entries):  # room for as many again
            count *= 2
        self._parts: list[dict[K, V]] = [{} for _ in range(count)]
        for key, value in entries.items():
            self._parts[hash(key) & (count - 1)][key] = value
        self._length = len(entries)

    def changed(self, entries: Mapping[K, V], without: Iterable[K] = ()) -> "PersistentMap[K, V]":
        """Return the mapping without some keys, and then with other entries."""
        without = list(without)
        if not entries and not without:
            return self
        if self._length + len(entries) > len(self._parts) * _LOAD:
            return PersistentMap(dict(self.items()))._change(entries, without)
        other: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
        other._parts, other._length = list(self._parts), self._length
        mask = len(self._parts) - 1
        for place in {hash(key) & mask for key in (*entries, *without)}:
            other._parts[place] = dict(self._parts[place])
        return other._change(entries, without)

    def _change(self, entries: Mapping[K, V], without: Iterable[K]) -> "PersistentMap[K, V]":
        """Change this mapping itself, of which nobody else has the touched parts; return it."""
        mask = len(self._parts) - 1
        for key in without:
            if self._parts[hash(key) & mask].pop(key, _NOTHING) is not _NOTHING:
                self._length -= 1
        for key, value in entries.items():
            part = self._parts[hash(key) & mask]
            self._length += key not in part
            part[key] = value
        return self

    def differing(self, other: "PersistentMap[K, V]") -> set[K]:
        """Return the keys that only one of the two has, or that have other values in the other.

        What both share since one was made of the other takes no time.
        """
        if len(self._parts) == len(other._parts):
            pairs = zip(self._parts, other._parts, strict=True)
            own, others = {}, {}
            for mine, theirs in pairs:
                if mine is not theirs:
                    own.update(mine)
                    others.update(theirs)
        else:
            own, others = dict(self.items()), dict(other.items())
        found = {key for key, value in own.items() if others.get(key, _NOTHING) != value}
        return found | (others.keys() - own.keys())

    def __getitem__(self, key: K) -> V:
        return self._parts[hash(key) & (len(self._parts) - 1)][key]

    def __contains__(self, key: object) -> bool:
        return key in self._parts[hash(key) & (len(self._parts) - 1)]

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        return self._parts[hash(key) & (len(self._parts) - 1)].get(key, default)

    def __iter__(self) -> Iterator[K]:
        for part in self._parts:
            yield from part

    def __len__(self) -> int:
        return self._length


_NOTHING: Any = object()


class SharedColumn:
    """An array that grows at its end; each user knows how many of its first entries are theirs.

    Whoever writes cuts off what lies behind its own entries: it is of a change that was not kept.

    Examples:
        >>> from recsys.model.persistent import SharedColumn
        >>> column = SharedColumn(np.intp)
        >>> column.write(0, [5, 6])
        >>> early = column.first(1)
        >>> column.write(2, [7])
        >>> early.tolist(), column.first(3).tolist()
        ([5], [5, 6, 7])
    """

    def __init__(self, dtype: DTypeLike, values: Any = ()) -> None:
        self._array: NDArray[Any] = np.array(values, dtype)

    def write(self, place: int, values: Any) -> None:
        """Write values from a place on."""
        end = place + len(values)
        if end > len(self._array):
            grown = np.empty(max(end, 2 * place, 16), self._array.dtype)
            grown[:place] = self._array[:place]
            self._array = grown
        self._array[place:end] = values

    def first(self, count: int) -> NDArray[Any]:
        """Return the first entries, which must not be written to."""
        return self._array[:count]
