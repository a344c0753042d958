"""The hyper-image store: pictures on disk, written once and read as one array in memory-map.

A folder for each kind of picture (settings of snippet and hyper-image, version of the code):

    <kind>/images.f32      float32 rows of [channels, height, width], one after another
    <kind>/index.sqlite    recording (digest of its content): first row, number of rows, checksum

A recording's snippets are consecutive rows. A row is written first and entered into the index
then, under the index's lock: a writer that is killed leaves rows that no index knows, which the
next one writes over; two writers wait for one another; what the index knows is never written again.
Rows damaged on disk are found by their checksum and made anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError

IMAGES, INDEX = "images.f32", "index.sqlite"

PATIENCE = 60
"""Seconds to wait for another process that is writing."""

TABLE = """
CREATE TABLE IF NOT EXISTS recordings (
    digest TEXT PRIMARY KEY,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID
"""


class ImageStore:
    """Hyper-images of one kind.

    Use it as a context manager, from one thread; any number of processes may have it open.
    """

    def __init__(self, folder: Path | str, kind: str, shape: tuple[int, int, int]) -> None:
        """Open the store, and make it where there is none.

        Args:
            folder: folder of the stores of all kinds.
            kind: all that decides the values of a recording's pictures.
            shape: channels, height, width.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        self.folder = Path(folder) / store_folder_name(kind)
        self.shape = shape
        self._row_bytes = 4 * int(np.prod(shape))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.utime(self.folder)  # for `prune`: it is in use
            self._index = self._opened()
        except OSError as error:
            raise ArtifactError(
                f"{folder}: the cache cannot be made there: {error.strerror}"
            ) from error
        except sqlite3.Error as error:
            raise ArtifactError(f"{self.folder / INDEX}: cannot be used: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def __len__(self) -> int:
        """Rows in use and before them."""
        (rows,) = self._asked("SELECT COALESCE(MAX(first + count), 0) FROM recordings")[0]
        return int(rows)

    def find(self, recordings: Iterable[str]) -> dict[str, IntArray]:
        """Rows of the recordings, by digest, that are there and undamaged.

        A damaged recording is taken out of the index.

        Raises:
            ArtifactError: the index cannot be used.
        """
        entries = {}
        for digest in dict.fromkeys(recordings):
            for entry in self._asked(
                "SELECT first, count, checksum FROM recordings WHERE digest = ?", digest
            ):
                entries[digest] = entry
        # After the index, as another process may be writing: what the index knows is in the file.
        whole = self.array()
        found: dict[str, IntArray] = {}
        damaged = []
        for digest, (first, count, checksum) in entries.items():
            rows = whole[first : first + count]
            if len(rows) == count and zlib.crc32(np.ascontiguousarray(rows).data) == checksum:
                found[digest] = np.arange(first, first + count)
            else:
                damaged.append((digest, first, checksum))
        # Unless another process has made it again meanwhile.
        forget = "DELETE FROM recordings WHERE digest = ? AND first = ? AND checksum = ?"
        for values in damaged:
            self._asked(forget, *values)
        return found

    def add(self, recording: str, images: Float32Array) -> IntArray:
        """Write a recording's pictures [n, *shape]; its rows, or those that it already has.

        Raises:
            OSError: they cannot be written, as on a full disk; the store is as before.
        """
        content = np.ascontiguousarray(images, dtype=np.float32)
        if content.shape[1:] != self.shape:
            raise ValueError(f"a store of {self.shape} was given {content.shape}")
        try:
            first, count = self._added(recording, content)
        except sqlite3.Error as error:
            raise OSError(f"{self.folder / INDEX}: {error}") from error
        return np.arange(first, first + count)

    def array(self) -> Float32Array:
        """All rows as one array [rows, *shape], mapped from the file; writing to it changes
        nothing on disk. Rows that the index does not know may be anything."""
        path = self.folder / IMAGES
        rows = path.stat().st_size // self._row_bytes if path.exists() else 0
        if not rows:
            return np.empty((0, *self.shape), dtype=np.float32)
        return np.memmap(path, dtype=np.float32, mode="c", shape=(rows, *self.shape))

    def images(self, rows: IntArray) -> Float32Array:
        """Some rows as one array [n, *shape]: mapped from the file where they follow one another,
        as those of a folder that was extracted in one run do; else copied."""
        whole = self.array()
        if len(rows) and (np.diff(rows) == 1).all():
            return whole[rows[0] : rows[-1] + 1]
        return np.asarray(whole[rows])

    def _added(self, recording: str, content: Float32Array) -> tuple[int, int]:
        index = self._index
        index.execute("BEGIN IMMEDIATE")
        try:
            known = index.execute(
                "SELECT first, count FROM recordings WHERE digest = ?", (recording,)
            ).fetchone()
            if known:
                return int(known[0]), int(known[1])
            (first,) = index.execute(
                "SELECT COALESCE(MAX(first + count), 0) FROM recordings"
            ).fetchone()
            self._write(first * self._row_bytes, content)
            index.execute(
                "INSERT INTO recordings VALUES (?, ?, ?, ?)",
                (recording, first, len(content), zlib.crc32(content.data)),
            )
            index.execute("COMMIT")
            return int(first), len(content)
        finally:
            if index.in_transaction:
                index.execute("ROLLBACK")

    def _write(self, place: int, content: Float32Array) -> None:
        handle = os.open(self.folder / IMAGES, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(handle, "rb+") as stream:
            stream.seek(place)
            stream.write(content.data)

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.OperationalError:
            raise  # no place, no permission, or in use
        except sqlite3.DatabaseError:
            self._remove_files()
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        # Transactions begin where this module says so.
        index = sqlite3.connect(self.folder / INDEX, timeout=PATIENCE, isolation_level=None)
        try:
            # A kill loses nothing; after a power cut the last rows may have to be made again.
            index.execute("PRAGMA journal_mode = WAL")
            index.execute("PRAGMA synchronous = NORMAL")
            index.execute(TABLE)
        except sqlite3.Error:
            index.close()
            raise
        return index

    def _asked(self, query: str, *values: str | int) -> list[tuple[int, ...]]:
        """All rows of a statement; a damaged index is made anew, and knows nothing."""
        try:
            return self._index.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            raise ArtifactError(f"{self.folder / INDEX}: cannot be used: {error}") from error
        except sqlite3.DatabaseError:
            self._index.close()
            self._remove_files()
            self._index = self._connected()
            return self._index.execute(query, values).fetchall()

    def _remove_files(self) -> None:
        # Not written over: another process may still have the old files mapped.
        for name in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm", IMAGES):
            (self.folder / name).unlink(missing_ok=True)


def store_folder_name(kind: str) -> str:
    """Name of the folder that holds the store of a kind."""
    return hashlib.sha256(kind.encode()).hexdigest()[:32]


def prune(folder: Path | str, max_bytes: int) -> int:
    """Make a folder of stores smaller: those used least recently go, until it fits.

    A store is one kind of picture, so it goes as a whole. A process that has one open keeps what
    it has mapped.

    Args:
        folder: what was given as ``cache`` to :func:`embedding.hyperimage.extraction.extract`.
        max_bytes: how large it may be.

    Returns:
        Bytes that were freed.
    """
    stores = [path.parent for path in Path(folder).glob(f"*/{INDEX}")]
    sizes = {store: sum(file.stat().st_size for file in store.iterdir()) for store in stores}
    excess = sum(sizes.values()) - max_bytes
    freed = 0
    for store in sorted(stores, key=lambda store: store.stat().st_mtime):
        if freed >= excess:
            break
        shutil.rmtree(store)
        freed += sizes[store]
    return freed
