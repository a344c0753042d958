"""Search in a large catalogue by a screen in files, which reads few items as a whole."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from datasets.system.files import UNREADABLE, open_array, write_array
from recsys.index.base import Hits, Seen
from recsys.index.exact import ExactIndex
from recsys.index.screen import SCREEN_ARRAYS, Screen, best_of

SCREEN_PARTS = tuple(f".{part}.npy" for part in SCREEN_ARRAYS)
"""Suffixes of the files, one of each array of a `Screen`."""


class ScreenedIndex:
    """Search over a catalogue by a `Screen` in files.

    Examples:
        >>> items = np.float32([[1, 0], [0, 3], [2, 2]])
        >>> ScreenedIndex.build(items, [items], folder / "index")
        >>> index = ScreenedIndex(folder / "index", items, slack=1.0)
        >>> index.search(np.float32([[1, 0]]), 2, seen=None, banned=np.array([], int)).item.tolist()
        [2, 0]
    """

    def __init__(self, path: Path, items: Float32Array, slack: float) -> None:
        """Open the files that `build` wrote; they are memory-mapped.

        Args:
            path: as given to `build`.
            items: the item vectors that it was built for.
            slack: factor of the bounds, in (0, 1]; 1 searches exactly.

        Raises:
            ArtifactError: a file cannot be read, or the files do not fit together.
        """
        self.slack = slack
        self._items = np.asarray(items)
        try:
            parts = [np.asarray(open_array(path.with_suffix(part))) for part in SCREEN_PARTS]
            self._screen = Screen(*parts)
            if not self._screen.is_of(self._items):
                raise ValueError("the screen is of other items")
        except UNREADABLE as error:
            raise ArtifactError(
                f"{path}: cannot be read: {str(error) or type(error).__name__}"
            ) from None

    @staticmethod
    def build(items: Float32Array, users: Sequence[Float32Array], path: Path) -> None:
        """Write an index.

        Args:
            items: item vectors, float32 [n, D].
            users: kinds of vectors that it will be asked with, float32 [m, D] each.
            path: the files get this name and the suffixes `SCREEN_PARTS`.

        Raises:
            DiskFullError: the disk has no room for them.
        """
        for suffix, part in zip(SCREEN_PARTS, Screen.of(items, users).arrays, strict=True):
            write_array(path.with_suffix(suffix), part)

    def with_slack(self, slack: float) -> "ScreenedIndex":
        """Return the same index with another slack."""
        other = copy(self)
        other.slack = slack
        return other

    def __repr__(self) -> str:
        n, dimension = self._items.shape
        return f"<ScreenedIndex: {n:,} items with {dimension} dimensions, slack {self.slack}>"

    @property
    def info(self) -> Mapping[str, object]:
        """The search method and its slack."""
        return {"method": "screened", "slack": self.slack}

    def search(self, queries: Float32Array, k: int, seen: Seen | None, banned: IntArray) -> Hits:
        """Find the k items with the largest inner product; see `Index.search`."""
        parts = []
        for number, query in enumerate(queries):
            excluded = banned if seen is None else np.concatenate([banned, seen[number]])
            found = self._screen.search(self._items, query, k, excluded, self.slack)
            if found is None:
                hits = ExactIndex(self._items).search(query[None], k, None, excluded)
            else:
                hits = best_of(self._items, query, found.rows, k)
            parts.append(hits._replace(query=np.full(len(hits.item), number)))
        return Hits.concatenate(parts)

    def share_compared(self, queries: Float32Array, k: int) -> float:
        """Measure the mean share of the catalogue's numbers that a search for the k best reads."""
        nothing = np.empty(0, np.intp)
        numbers = [0.0]
        width, n = self._screen.arrays[0].shape[1], max(self._items.size, 1)
        for query in queries:
            found = self._screen.search(self._items, query, k, nothing, self.slack)
            if found is None:
                numbers.append(1.0)
            else:
                read = found.compared * (width + 1) + found.scored * self._items.shape[1]
                numbers.append(read / n)
        return float(np.sum(numbers)) / max(len(queries), 1)
