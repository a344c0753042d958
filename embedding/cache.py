"""Hyper-images on disk, keyed by the content of the recording and the settings."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.files import atomic_write, file_digest

Array = NDArray[np.float32]

DIGEST_BYTES = 32


@dataclass(frozen=True)
class ImageCache:
    """A folder with one file a recording and settings; any number of processes may use it."""

    folder: Path
    settings: str
    """What else decides the images: settings and version of the code."""

    def entry(self, recording: Path) -> Path:
        """Where the images of a recording are kept, by the content of its file.

        Raises:
            OSError: the recording cannot be read.
        """
        key = hashlib.sha256(f"{file_digest(recording)} {self.settings}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.images"


def read_entry(entry: Path, shape: tuple[int, int, int]) -> Array | None:
    """The images [n, *shape] of an entry; None if there is none, or it is damaged."""
    try:
        content = entry.read_bytes()
    except OSError:
        return None
    digest, array = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(array).digest() != digest:
        return None
    try:
        images: Array = np.load(io.BytesIO(array), allow_pickle=False)
    except ValueError:
        return None
    return images if images.shape[1:] == shape else None


def write_entry(entry: Path, images: Array) -> None:
    """Write an entry so that a reader finds all of it or nothing."""
    array = io.BytesIO()
    np.save(array, images, allow_pickle=False)
    with atomic_write(entry) as temporary:
        temporary.write_bytes(hashlib.sha256(array.getvalue()).digest() + array.getvalue())
