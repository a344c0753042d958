"""Atomic writes, checks that a place can be written, and digests of files."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.system.temporary import room_for, temporary_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datasets.arrays import IntArray

UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    EOFError, SyntaxError, RecursionError, RuntimeError,
)  # fmt: skip
"""What reading a file raises that is not what this library wrote."""

_BLOCK = 2**23
"""Bytes of an array that are written at once."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file so that readers see the old content or the new one, never a part.

    Yields a temporary path beside `path`. At the end of the block it is synced to disk and
    renamed to `path`; on any error, including an interruption, it is removed and `path` is
    unchanged (what a killed process left is removed by the next one that writes in the folder).
    Missing parent folders are created.

    Examples:
        >>> with atomic_write(folder / "new" / "notes.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (folder / "new" / "notes.txt").read_text()
        'whole'
    """
    with parents_created(path), temporary_file(path) as temporary:
        yield temporary
        sync_file(temporary)
        # It was made private to its owner; give it what `open` would have.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_directory(path.parent)


@contextmanager
def parents_created(path: Path) -> Iterator[None]:
    """Create the missing parent folders of a file.

    On any error in the block, including an interruption, those that are empty are removed.

    Examples:
        >>> with parents_created(folder / "a" / "b.txt"):
        ...     _ = (folder / "a" / "b.txt").write_text("text")
    """
    missing = _missing_above(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        _remove_empty(missing)
        raise


def check_writable(path: Path) -> None:
    """Check that a file can be written at `path`, without leaving anything behind.

    Raises:
        OSError: if it cannot.

    Examples:
        >>> check_writable(folder / "new" / "report.html")
        >>> (folder / "new").exists()
        False
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    # Tried in the nearest folder there is: to make the missing ones and take them away again would
    # take them from under another process that makes them too.
    nearest = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    tempfile.TemporaryFile(dir=nearest).close()


def _missing_above(path: Path) -> list[Path]:
    return [folder for folder in path.absolute().parents if not folder.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # what was never made, or holds something by now
            folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically.

    Examples:
        >>> write_text(folder / "a.txt", "text")
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_array(path: Path, array: NDArray[Any], order: IntArray | None = None) -> None:
    """Write an array as a .npy file.

    It is written and not mapped: a full disk is an error and does not end the process.

    Args:
        path: file to write.
        array: numbers or truth values.
        order: the rows to write, in this order; None for all as they are.

    Raises:
        DiskFullError: the disk has no room for it.
        OSError: it cannot be written.

    Examples:
        >>> write_array(folder / "a.npy", np.arange(6).reshape(3, 2), order=np.array([2, 0]))
        >>> np.load(folder / "a.npy").tolist()
        [[4, 5], [0, 1]]
    """
    from numpy.lib import format as npy

    n_rows = len(array) if order is None else len(order)
    row = array[:1].nbytes
    facts = {
        "descr": npy.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": (n_rows, *array.shape[1:]),
    }
    step = max(_BLOCK // max(row, 1), 1)
    with room_for(path.parent, path.name, n_rows * row), path.open("wb") as stream:
        npy.write_array_header_1_0(stream, facts)
        for start in range(0, n_rows, step):
            rows = slice(start, start + step)
            block = array[rows] if order is None else array[order[rows]]
            stream.write(block.tobytes())


def open_array(path: Path) -> NDArray[Any]:
    """Open a .npy file, memory-mapped and read-only; nothing in it is unpickled.

    Raises:
        Exception: one of `UNREADABLE`: it is no .npy file, or does not hold what its head says.

    Examples:
        >>> write_array(folder / "a.npy", np.arange(3))
        >>> open_array(folder / "a.npy").tolist()
        [0, 1, 2]
    """
    import numpy as np

    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        size = path.stat().st_size - stream.tell()
    if dtype.hasobject:
        raise ValueError("it has pickled objects, which are not read")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"it should hold an array of shape {list(shape)} and has {size:,} bytes")
    if not size:  # an empty file cannot be mapped
        return np.zeros(shape, dtype)
    # As a plain array: every slice of a `memmap` takes a microsecond more.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to the disk, so that a rename survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file's content.

    Examples:
        >>> _ = (folder / "a").write_bytes(b"")
        >>> file_digest(folder / "a")[:16]
        'e3b0c44298fc1c14'
    """
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading in binary mode; pipes, devices, sockets and folders are refused.

    Opening a pipe waits until something writes to it, and opening a device may do things. So the
    kind of file is looked at before it is opened, and again afterwards, as another one may have
    come into its place; links are followed.

    Args:
        path: the file.

    Raises:
        OSError: it is not a file, or cannot be opened; ``strerror`` says why.
        ValueError: no file can have this name.

    Examples:
        >>> _ = (folder / "a").write_bytes(b"text")
        >>> with open_regular(folder / "a") as stream:
        ...     stream.read()
        b'text'
        >>> open_regular(folder)
        Traceback (most recent call last):
        IsADirectoryError: [Errno 21] is a folder, not a file: ...
    """
    _refuse_irregular(path, path.stat())
    return open(path, "rb", opener=_open_at_once)


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text; pipes, devices, sockets and folders are refused, unopened.

    Raises:
        OSError: it is not a file, or cannot be opened; ``strerror`` says why.
        UnicodeDecodeError: it is not UTF-8.

    Examples:
        >>> write_text(folder / "a.txt", "text")
        >>> read_text(folder / "a.txt")
        'text'
    """
    with open_regular(path) as stream:
        return stream.read().decode("utf-8")


def reason_of(error: Exception) -> str:
    """Return what an error of reading a file says, without its number and the file's name.

    Examples:
        >>> reason_of(PermissionError(13, "Permission denied", "a.json"))
        'Permission denied'
    """
    return getattr(error, "strerror", None) or str(error)


def _open_at_once(path: str, flags: int) -> int:
    # Without waiting, and without becoming the process's terminal.
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        _refuse_irregular(path, os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    return handle


def _refuse_irregular(path: str | Path, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    raise OSError(errno.EINVAL, f"is a {kind}, not a file", str(path))


def cache_folder() -> Path:
    """Return the folder for caches and downloads: `COLDTUNE_CACHE` or `~/.cache/coldtune`."""
    configured = os.environ.get("COLDTUNE_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "coldtune"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
