"""The images of many recordings, as they come: kept in the store, or in memory without one."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from datasets.arrays import Float32Array, IntArray
from embedding.hyperimage.store import ImageStore

WAITING = 64
"""Recordings whose images wait in memory for those before them."""


class Collected:
    """Results by recording, which may come in any order."""

    def __init__(self, store: ImageStore | None, digests: Sequence[str | None]) -> None:
        """Begin with what the store has.

        Args:
            store: where images are kept; None keeps them in memory.
            digests: of each recording's content; None of one that cannot be read.
        """
        self.failures: dict[int, str] = {}
        self._store = store
        self._digests = digests
        self._waiting: dict[int, Float32Array] = {}
        self._next = 0
        self._arrays: dict[int, Float32Array] = {}
        self._rows: dict[int, IntArray] = {}
        if store is not None:
            found = store.find(digest for digest in digests if digest)
            self._rows = {n: found[d] for n, d in enumerate(digests) if d in found}

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def take(self, number: int, result: Float32Array | str) -> None:
        """The images of a recording, or why it has none."""
        if isinstance(result, str):
            self.failures[number] = result
        else:
            self._waiting[number] = result
        # In the order of the recordings: what is read together then lies together.
        while self._is_done(self._next):
            self._write(self._next)
            self._next += 1
        if len(self._waiting) > WAITING:
            self.finish()

    def finish(self) -> None:
        """Keep what still waits, although something before it is missing."""
        for number in sorted(self._waiting):
            self._write(number)

    def _is_done(self, number: int) -> bool:
        places = (self._waiting, self._rows, self._arrays, self.failures)
        return any(number in place for place in places)

    def _write(self, number: int) -> None:
        images = self._waiting.pop(number, None)
        if images is None:
            return
        digest = self._digests[number]
        if self._store is not None and digest:
            # A full disk costs the cache, not the images.
            with suppress(OSError):
                self._rows[number] = self._store.add(digest, images)
                return
        self._arrays[number] = images

    def images(self, shape: tuple[int, int, int]) -> tuple[Float32Array, IntArray]:
        """All images as one array [n, *shape], and the recording of each."""
        numbers = sorted(self._rows.keys() | self._arrays.keys())
        counts = [len(self._rows[n] if n in self._rows else self._arrays[n]) for n in numbers]
        recording = np.repeat(np.array(numbers, dtype=np.int64), counts)
        if not numbers:
            return np.empty((0, *shape), dtype=np.float32), recording
        if self._store is not None and not self._arrays:
            return self._store.images(np.concatenate([self._rows[n] for n in numbers])), recording
        parts = [
            self._store.images(self._rows[n])
            if self._store is not None and n in self._rows
            else self._arrays[n]
            for n in numbers
        ]
        return np.concatenate(parts, dtype=np.float32), recording
