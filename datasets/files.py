"""Writing files so that a reader sees the old content or the new, never half of either."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    On any error, interruption included, the temporary file is removed and ``path`` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name[:40]}.", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync_file(temporary)
        # mkstemp makes files private to their owner; give them what `open` would have.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_directory(path: Path) -> None:
    """Force a directory's entries to the disk, so that a rename survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder for things that can be made again: ``COLDTUNE_CACHE`` or ``~/.cache/coldtune``."""
    configured = os.environ.get("COLDTUNE_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "coldtune"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
