"""Digests of large files, their parts hashed side by side on all cores."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedding.cores import available_cores

CHUNK = 2**23
"""Bytes of a file that are hashed by one thread."""

_READ = 2**18
"""Bytes read at once: they stay in a core's cache until they are hashed."""


def digest_files(paths: Sequence[Path], *, whole: bool = False) -> list[str]:
    """Hex digests of files' contents.

    A file of at most CHUNK bytes has its SHA-256. A larger one has the SHA-256 of its chunks'
    SHA-256s, one behind the other, unless ``whole`` asks for the one of all of it, which a single
    thread computes. Two files of one size that differ have different digests.

    Raises OSError for a file that cannot be read.
    """
    parts: list[tuple[Path, int, int]] = []
    counts = []
    for path in paths:
        size = path.stat().st_size
        step = max(size, 1) if whole else CHUNK
        places = range(0, max(size, 1), step)
        parts += [(path, place, min(step, size - place)) for place in places]
        counts.append(len(places))
    with ThreadPoolExecutor(min(available_cores(), max(len(parts), 1))) as pool:
        try:
            hashes = iter([*pool.map(_hash, parts)])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    digests = []
    for count in counts:
        own = [next(hashes) for _ in range(count)]
        digests.append(own[0].hex() if count == 1 else hashlib.sha256(b"".join(own)).hexdigest())
    return digests


def _hash(part: tuple[Path, int, int]) -> bytes:
    path, place, size = part
    found = hashlib.sha256()
    buffer = memoryview(bytearray(min(_READ, size)))
    with path.open("rb", buffering=0) as stream:
        stream.seek(place)
        while size:
            count = stream.readinto(buffer[: min(size, len(buffer))])
            if not count:  # cut short meanwhile: the digest is then another
                break
            found.update(buffer[:count])
            size -= count
    return found.digest()
