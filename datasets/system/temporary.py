"""Temporary folders and files that no end of a process leaves behind, and full disks.

A process that is killed removes nothing. So whoever makes a temporary folder or file holds a lock
on it (flock, which ends with the process, however it ends), and whoever makes the next one removes
those that nobody holds. The lock tells processes apart even where they have the same ids, as in
containers that share a folder.
"""

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datasets.errors import DiskFullError

PREFIX = "coldtune-tmp-"
"""With this begin the names of all temporary folders."""

_FILE = re.compile(r"\..{1,40}\.coldtune-tmp-[a-z0-9_]{8}(\..*)?", re.DOTALL)
"""Names of temporary files, which lie beside the files that they become."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_WRITTEN = re.compile(r"\d+ requested and \d+ written")

_TRIES = 100

_looked_after: set[Path] = set()
"""Folders in which this process has looked for left-over files."""


@contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """Provide an empty folder that is removed at the end of the block.

    If the process is killed in the block, the folder is removed by the next one that makes a
    temporary folder at the same place. A forked child does not remove the folder of its parent.

    Args:
        within: where to make it; None for the folder that `tempfile` chooses, TMPDIR mostly.

    Raises:
        DiskFullError: there is no room for it.
        OSError: it cannot be made.

    Examples:
        >>> with temporary_folder() as place:
        ...     _ = (place / "notes.txt").write_text("for now")
        >>> place.exists()
        False
    """
    parent = Path(tempfile.gettempdir()) if within is None else within
    remove_left_overs(parent)
    owner = os.getpid()
    with room_for(parent, "a temporary folder"):
        folder, lock = _make(lambda: _new_folder(parent))
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_left_overs(parent: Path | None = None) -> None:
    """Remove the temporary folders of processes that have ended without doing so.

    Those of living processes stay, and so does whatever belongs to another user of the machine.

    Args:
        parent: where to look; None for the folder that `tempfile` chooses.

    Examples:
        >>> (folder / "coldtune-tmp-killed").mkdir()
        >>> remove_left_overs(folder)
        >>> list(folder.iterdir())
        []
    """
    with suppress(OSError):  # no folder to look in: then the caller says so
        place = Path(tempfile.gettempdir()) if parent is None else parent
        with os.scandir(place) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
        for folder in found:
            with suppress(OSError):
                _remove_if_left(folder)


def hold(path: Path) -> int | None:
    """Lock a temporary file or folder until the returned descriptor is closed.

    Returns:
        The descriptor; None where the file system knows no locks, so that nothing is ever removed.

    Raises:
        FileNotFoundError: it is gone.
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Provide an empty file beside `path`, of the same suffix, that is removed at the end.

    If the process is killed in the block, the file is removed by the next one that makes a
    temporary file in the same folder.

    Args:
        path: a file in an existing folder; it need not exist.

    Raises:
        OSError: the temporary file cannot be made.

    Examples:
        >>> with temporary_file(folder / "notes.txt") as file:
        ...     print(file.suffix, file.parent == folder, list(file.read_bytes()))
        .txt True []
        >>> file.exists()
        False
    """
    parent = path.parent.absolute()
    if parent not in _looked_after:
        _looked_after.add(parent)
        _remove_left_over_files(parent)
    owner = os.getpid()
    made, lock = _make(lambda: _new_file(path))
    try:
        yield made
    finally:
        if os.getpid() == owner:
            made.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def room_for(folder: Path, what: str, n_bytes: int = 0) -> Iterator[None]:
    """Say what needs how much room, and how much there is, where the disk is full.

    Args:
        folder: where the block writes.
        what: what it writes, for the message.
        n_bytes: how much it will write at least; 0 if that is not known.

    Raises:
        DiskFullError: there is less room than that, or the block finds the disk full.

    Examples:
        >>> with room_for(folder, "the index", 10**20):
        ...     print("never reached")
        Traceback (most recent call last):
        datasets.errors.DiskFullError: ...: 100,000,000,000,000,000,000 bytes are needed, ...
    """
    if n_bytes > _free(folder):
        raise _disk_full(folder, what, n_bytes)
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        # NumPy's own error has a text alone: how much was to be written, and how much was.
        if error.errno not in _FULL and not _WRITTEN.fullmatch(str(error)):
            raise
        raise _disk_full(folder, what, n_bytes) from error


def _disk_full(folder: Path, what: str, n_bytes: int) -> DiskFullError:
    free = f"{_free(folder):,} bytes are free"
    room = f"{n_bytes:,} bytes are needed, {free}" if n_bytes else free
    advice = "; make room, or name another folder in TMPDIR" if _is_temporary(folder) else ""
    return DiskFullError(f"{folder}: the disk is full, there is no room for {what}: {room}{advice}")


def _is_temporary(folder: Path) -> bool:
    ours = any(part.startswith(PREFIX) for part in folder.parts)
    return ours or folder == Path(tempfile.gettempdir())


def _free(folder: Path) -> int:
    for place in (folder.absolute(), *folder.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def _remove_left_over_files(parent: Path) -> None:
    with suppress(OSError):
        with os.scandir(parent) as entries:
            found = [Path(entry.path) for entry in entries if _FILE.fullmatch(entry.name)]
        for file in found:
            with suppress(OSError):
                _remove_if_left(file)


def _new_folder(parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def _new_file(path: Path) -> Path:
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name[:40]}.{PREFIX}", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    return Path(name)


def _make(new: Callable[[], Path]) -> tuple[Path, int | None]:
    """Make and lock a new folder or file."""
    for _ in range(_TRIES):
        made = new()
        # Another process may take it for a left-over before it is locked.
        with suppress(FileNotFoundError, BlockingIOError):
            lock = hold(made)
            if lock is None or made.exists():
                return made, lock
            os.close(lock)
    raise FileExistsError(errno.EEXIST, "is removed again and again", str(made))


def _remove_if_left(path: Path) -> None:
    status = path.lstat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return
    lock = hold(path)
    if lock is None:
        return
    try:
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)
