"""Wake whoever watches a folder when something in it may have changed.

The library `watchfiles` tells of changes. What it says is a reason to look at the folder again and
nothing more: events may be lost, a look finds everything.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_STEP, _TOGETHER, _TIMEOUT = 200, 1600, 500
"""Milliseconds: between two looks for events, for which events are collected at most, and after
which there is a wake-up without any."""

EVERY = 5.0
"""Seconds between two looks at a folder whose changes cannot be told."""


class FolderChanges:
    """Wake-ups: True when something may have changed, and False twice a second otherwise.

    A folder that is not there is waited for. Links to other folders are not followed: one may lead
    to the whole disk.

    Args:
        folder: the folder, absolute.
        stop: ends the wake-ups.
        every: seconds between two wake-ups that do not wait for events, as changes that other
            machines make in a folder of the network are not told; None to wait for events.

    Examples:
        >>> stop = threading.Event()
        >>> changes = iter(FolderChanges(folder, stop, every=0.01))
        >>> next(changes)
        True
        >>> stop.set()
        >>> any(changes)
        False
    """

    def __init__(self, folder: Path, stop: threading.Event, every: float | None = None) -> None:
        self._folder = folder
        self._stop = stop
        self._every = every
        self.problem = ""
        """Why events cannot be told, so that the folder is looked at now and then; "" if they
        can."""

    def __iter__(self) -> Iterator[bool]:
        while not self._stop.is_set():
            if self._every is not None:
                yield True
                until = time.monotonic() + self._every
                while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
                    self._stop.wait(min(left, _TIMEOUT / 1000))
                    yield False
            elif folder_identity(self._folder) is None:
                yield True
                self._stop.wait(_TIMEOUT / 1000)
            else:
                yield from self._events()

    def _events(self) -> Iterator[bool]:
        """Wake-ups while the folder stays the same one."""
        try:
            from watchfiles import watch
            from watchfiles._rust_notify import WatchfilesRustInternalError
        except ImportError:
            self._look_now_and_then("the library watchfiles is missing (pip install watchfiles)")
            return
        identity = folder_identity(self._folder)
        below = _folders_below(self._folder)
        paths = [self._folder] if below is None else [self._folder, *below]
        first = True
        try:
            events = watch(
                *paths,
                watch_filter=None,
                recursive=below is None,
                debounce=_TOGETHER,
                step=_STEP,
                rust_timeout=_TIMEOUT,
                yield_on_timeout=True,
                stop_event=self._stop,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            for changes in events:
                yield first or bool(changes)
                first = False
                if folder_identity(self._folder) != identity:
                    return  # another one has its name now, whose events nobody tells yet
                if below is not None and changes and _folders_below(self._folder) != below:
                    return
        except FileNotFoundError:
            return  # it has just gone
        except WatchfilesRustInternalError as error:
            if first:
                self._look_now_and_then(f"its changes cannot be told ({error})")
            # Else the name of a file is no text, of which the library tells nothing more.
        except (OSError, UnicodeError) as error:
            self._look_now_and_then(f"its changes cannot be told ({error})")

    def _look_now_and_then(self, reason: str) -> None:
        self.problem, self._every = reason, EVERY


def folder_identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if there is none that can be read.

    Examples:
        >>> folder_identity(folder / "none") is None
        True
    """
    try:
        status = folder.stat()
        os.scandir(folder).close()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _folders_below(folder: Path) -> list[Path] | None:
    """All folders below one, hidden ones left out, if links lead out of it; None without links.

    Told to watch a folder with all in it, the library would follow links.
    """
    found, linked, waiting = [], False, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith(".") or entry.name.startswith("..."):
                            waiting.append(Path(entry.path))
                            found.append(Path(entry.path))
                    elif entry.is_symlink() and entry.is_dir():
                        linked = True
        except OSError:
            continue
    return sorted(found) if linked else None
