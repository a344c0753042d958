"""Which files of a folder are complete, and which are still being written."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_NANO = 1_000_000_000
_FINE = 1_000_000
_COARSE = 3 * _NANO
"""Nanoseconds: whole milliseconds are times of a file system that may round one of the two, by at
most two seconds, or were set by a program."""


class FileStamp(NamedTuple):
    """What the file system says of a file, and what changes with it."""

    inode: int
    size: int
    modified: int
    """When it was last written to, in nanoseconds."""
    changed: int
    """When it, its name or its rights last changed, in nanoseconds."""

    @staticmethod
    def of(path: Path) -> "FileStamp | None":
        """Look at a file; of a link that leads nowhere, at the link. None if there is none."""
        for look in (os.stat, os.lstat):
            try:
                status = look(path)
            except (OSError, ValueError):
                continue
            return FileStamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return None

    def is_finished(self) -> bool:
        """Return whether something other than writing was the last that happened to the file.

        A write sets both times to the same moment. Renaming it into its place, or setting its
        times and rights, which copying programs do at the end, moves the second one on.
        """
        later = self.changed - self.modified
        return self.size > 0 and later > (0 if self.modified % _FINE else _COARSE)


class _Seen(NamedTuple):
    content: tuple[int, int, int]
    """Inode, size and time of the last write."""
    since: float
    """When it was first seen so, by the clock."""
    unfinished: float | None
    """Since when it has not been complete; None if it is."""


class SettlingFiles:
    """Tells the complete files of a folder from those that are still being written.

    A file is complete when its size and time have stayed for some seconds; at once if it was
    renamed into its place, or if it was old when it was first seen. One that is taken too early
    does no harm: it is taken again when it has changed.

    Args:
        seconds: how long a file must stay the same.
        patience: seconds after which a file that does not settle is not waited for.
        clock: seconds that never go back.
        wall_clock: seconds since 1970, as the times of files.

    Examples:
        >>> from recsys.onboarding.settling import FileStamp, SettlingFiles
        >>> time = [1000.0]
        >>> files = SettlingFiles(2.0, clock=lambda: time[0], wall_clock=lambda: time[0])
        >>> new = FileStamp(1, 10, 999_500_000_000, 999_500_000_000)
        >>> list(files.complete({"a.mp3": new}))
        []
        >>> time[0] += 2
        >>> list(files.complete({"a.mp3": new}))
        ['a.mp3']
    """

    def __init__(
        self,
        seconds: float,
        *,
        patience: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._seconds = seconds
        self._patience = max(patience, 2 * seconds)
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen: dict[str, _Seen] = {}
        self._reported: set[str] = set()

    def complete(self, files: Mapping[str, FileStamp]) -> dict[str, FileStamp]:
        """Return those files that are complete now.

        Args:
            files: all files of the folder as they are now, by path.
        """
        now = self._clock()
        seen, ready = {}, {}
        for path, stamp in files.items():
            before = self._seen.get(path)
            content = stamp.inode, stamp.size, stamp.modified
            if before is not None and before.content == content:
                one = before
                done = one.unfinished is None or stamp.is_finished()
            else:
                began = None if before is None else before.unfinished
                one = _Seen(content, now, now if began is None else began)
                # By its own time only when first seen: a file that grows may have any.
                done = stamp.is_finished() or (before is None and self._is_old(stamp))
            if done or now - one.since >= self._seconds:
                one = one._replace(unfinished=None)
                ready[path] = stamp
            seen[path] = one
        self._seen = seen
        self._reported &= self._unfinished()
        return ready

    @property
    def unfinished(self) -> bool:
        """Whether there are files that are not complete."""
        return bool(self._unfinished())

    @property
    def waiting(self) -> bool:
        """Whether there are files that will be complete soon."""
        return bool(self._unfinished() - self._endless())

    def endless(self) -> list[str]:
        """Return the paths of files that do not settle; each of them once."""
        found = sorted(self._endless() - self._reported)
        self._reported.update(found)
        return found

    def _unfinished(self) -> set[str]:
        return {path for path, one in self._seen.items() if one.unfinished is not None}

    def _endless(self) -> set[str]:
        now = self._clock()
        return {
            path
            for path, one in self._seen.items()
            if one.unfinished is not None and now - one.unfinished >= self._patience
        }

    def _is_old(self, stamp: FileStamp) -> bool:
        now = int(self._wall_clock() * _NANO)
        # A time in the future is of another clock, and says nothing.
        return max(stamp.modified, stamp.changed) <= now - int(self._seconds * _NANO)


def stamps(folder: Path, paths: Iterable[str]) -> dict[str, FileStamp]:
    """Look at files of a folder; those that are no longer there are left out.

    Examples:
        >>> stamps(recording.parent, ["song.wav", "other.wav"])["song.wav"].size > 100_000
        True
    """
    found = ((path, FileStamp.of(folder / path)) for path in paths)
    return {path: stamp for path, stamp in found if stamp is not None}
