"""Store of hyper-images on disk, written once and read as one memory-mapped array.

One folder for each kind of image (settings of snippet and hyper-image, version of the code):

    <kind>/images.f32      float32 rows of [channels, height, width], one after another
    <kind>/index.sqlite    recording (digest of its content): first row, number of rows, checksum

The snippets of a recording are consecutive rows. Rows are written first and then entered into the
index, under the lock of the index: rows of a killed writer are not in the index and are overwritten
by the next writer; two writers wait for each other; rows in the index are never overwritten. Rows
damaged on disk are detected by their checksum, and their images are computed again.
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
"""Timeout in seconds for the lock of another writing process."""

TABLE = """
CREATE TABLE IF NOT EXISTS recordings (
    digest TEXT PRIMARY KEY,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID
"""


class ImageStore:
    """Store of the hyper-images of one kind.

    Use it as a context manager, from one thread; any number of processes may have it open.

    Examples:
        >>> from embedding.hyperimage import ImageStore
        >>> with ImageStore(folder, "tiny", (1, 2, 2)) as store:
        ...     rows = store.add("digest of a file", np.ones((3, 1, 2, 2)))
        ...     print(rows, store.find(["digest of a file"]), store.images(rows).shape)
        [0 1 2] {'digest of a file': array([0, 1, 2])} (3, 1, 2, 2)
    """

    def __init__(self, folder: Path | str, kind: str, shape: tuple[int, ...]) -> None:
        """Open the store; create it if it does not exist.

        Args:
            folder: folder with the stores of all kinds.
            kind: text of everything that the values of images depend on.
            shape: of one image: (channels, height, width).

        Raises:
            ArtifactError: the folder cannot be written.
        """
        self.folder = Path(folder) / store_folder_name(kind)
        self.shape = shape
        self._row_bytes = 4 * int(np.prod(shape))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.utime(self.folder)  # `prune` removes the least recently used stores
            self._index = self._open()
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
        """Number of rows up to the last one in the index."""
        (rows,) = self._execute("SELECT COALESCE(MAX(first + count), 0) FROM recordings")[0]
        return int(rows)

    def find(self, recordings: Iterable[str]) -> dict[str, IntArray]:
        """Look up recordings by digest.

        Damaged images are removed from the index.

        Args:
            recordings: digests.

        Returns:
            Rows of each recording that is stored and undamaged.

        Raises:
            ArtifactError: the index cannot be used.
        """
        entries = {}
        for digest in dict.fromkeys(recordings):
            for entry in self._execute(
                "SELECT first, count, checksum FROM recordings WHERE digest = ?", digest
            ):
                entries[digest] = entry
        # Read after the index: all rows in the index are in the file, even if others are writing.
        whole = self.array()
        found: dict[str, IntArray] = {}
        damaged = []
        for digest, (first, count, checksum) in entries.items():
            rows = whole[first : first + count]
            if len(rows) == count and zlib.crc32(np.ascontiguousarray(rows).data) == checksum:
                found[digest] = np.arange(first, first + count)
            else:
                damaged.append((digest, first, checksum))
        # Unless another process has replaced it meanwhile.
        forget = "DELETE FROM recordings WHERE digest = ? AND first = ? AND checksum = ?"
        for values in damaged:
            self._execute(forget, *values)
        return found

    def add(self, recording: str, images: Float32Array) -> IntArray:
        """Write the images of a recording, unless it is already stored.

        Args:
            recording: digest of the recording.
            images: float32 [n, channels, height, width].

        Returns:
            Rows of the recording.

        Raises:
            OSError: the images cannot be written, e.g. the disk is full; the store is unchanged.
        """
        content = np.ascontiguousarray(images, dtype=np.float32)
        if content.shape[1:] != self.shape:
            raise ValueError(f"a store of {self.shape} was given {content.shape}")
        try:
            try:
                first, count = self._add(recording, content)
            except sqlite3.OperationalError:
                raise  # disk full, or locked
            except sqlite3.DatabaseError:
                self._replace()
                first, count = self._add(recording, content)
        except sqlite3.Error as error:
            raise OSError(f"{self.folder / INDEX}: {error}") from error
        return np.arange(first, first + count)

    def array(self) -> Float32Array:
        """Return all rows as one memory-mapped array [rows, *shape].

        Writing to it does not change the file. Rows that are not in the index may hold anything.
        """
        path = self.folder / IMAGES
        rows = path.stat().st_size // self._row_bytes if path.exists() else 0
        if not rows:
            return np.empty((0, *self.shape), dtype=np.float32)
        return np.memmap(path, dtype=np.float32, mode="c", shape=(rows, *self.shape))

    def images(self, rows: IntArray) -> Float32Array:
        """Return some rows as one array [n, *shape].

        Consecutive rows, as written by one extraction, are memory-mapped; others are copied.
        """
        whole = self.array()
        if len(rows) and (np.diff(rows) == 1).all():
            return whole[rows[0] : rows[-1] + 1]
        return np.asarray(whole[rows])

    def _add(self, recording: str, content: Float32Array) -> tuple[int, int]:
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

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # disk full, no permission, or locked
        except sqlite3.DatabaseError:
            self._remove_files()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        # isolation_level None: transactions are begun explicitly.
        index = sqlite3.connect(self.folder / INDEX, timeout=PATIENCE, isolation_level=None)
        try:
            # Survives a kill; after a power failure the last images may have to be computed again.
            index.execute("PRAGMA journal_mode = WAL")
            index.execute("PRAGMA synchronous = NORMAL")
            index.execute(TABLE)
        except sqlite3.Error:
            index.close()
            raise
        return index

    def _execute(self, query: str, *values: str | int) -> list[tuple[int, ...]]:
        """Execute a statement and return all rows; a damaged index is replaced by an empty one."""
        try:
            return self._index.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            raise ArtifactError(f"{self.folder / INDEX}: cannot be used: {error}") from error
        except sqlite3.DatabaseError:
            self._replace()
            return self._index.execute(query, values).fetchall()

    def _replace(self) -> None:
        """Begin with an empty store in place of a damaged one."""
        self._index.close()
        self._remove_files()
        self._index = self._connect()

    def _remove_files(self) -> None:
        # Deleted and not overwritten: another process may still have the old files mapped.
        for name in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm", IMAGES):
            (self.folder / name).unlink(missing_ok=True)


def store_folder_name(kind: str) -> str:
    """Return the folder name of the store of a kind."""
    return hashlib.sha256(kind.encode()).hexdigest()[:32]


def prune(folder: Path | str, max_bytes: int) -> int:
    """Shrink a cache folder: delete the least recently used stores until it fits.

    A store (one kind of image) is deleted as a whole. A process that has it open keeps its mapped
    images.

    Args:
        folder: the ``cache`` given to `embedding.hyperimage.extract`.
        max_bytes: maximum size of the folder in bytes.

    Returns:
        Number of bytes freed.

    Examples:
        >>> from embedding.hyperimage import ImageStore, prune
        >>> with ImageStore(folder, "tiny", (1, 2, 2)) as store:
        ...     rows = store.add("digest of a file", np.ones((3, 1, 2, 2)))
        >>> prune(folder, max_bytes=1_000_000)
        0
        >>> prune(folder, max_bytes=0) > 0
        True
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
