"""Find the audio files in a folder, and check the recording paths of a table."""

import os
import stat
from pathlib import Path, PurePosixPath

from datasets.tables.values import format_value

SUFFIXES = frozenset(
    {
        ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".m4a",
        ".mp4", ".aac", ".wma", ".webm", ".mka", ".ape", ".wv",
    }
)  # fmt: skip
"""Suffixes of audio files, case-insensitive. Some need ffmpeg to be decoded."""


def find_recordings(folder: Path) -> list[str]:
    """Return the sorted paths of all audio files in a folder and below, except hidden ones.

    Files are recognised by suffix (`SUFFIXES`); paths are relative to the folder.

    Args:
        folder: where to look.

    Examples:
        >>> find_recordings(recording.parent)
        ['song.wav']
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder)
        found += [
            (below / name).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


class RecordingChecker:
    """Checks paths of one data set's recordings; looks at each directory once, opens no file."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._real_root = None if root is None else os.path.realpath(root)
        self._real_folders: dict[str, str] = {}

    def problem(self, path: str) -> str | None:
        """Return what is wrong with a path of the audio table; None if nothing is."""
        absolute = PurePosixPath(path).is_absolute()
        if self._root is None and not absolute:
            return f"{format_value(path)} is relative, but the data set has no root folder"
        if self._root is not None and absolute:
            return f"{format_value(path)} is absolute; give it relative to the data set's folder"
        try:
            return self._missing(path) or self._outside(path)
        except OSError as error:
            return f"{format_value(path)} cannot be reached: {error.strerror}"

    def _missing(self, path: str) -> str | None:
        if self._root is not None and _climbs_out(path):
            return f"{format_value(path)} leaves the data set's folder"
        try:
            mode = (self._root or Path("/")).joinpath(path).stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return f"{format_value(path)} does not exist"
        if stat.S_ISDIR(mode):
            return f"{format_value(path)} is a directory, not a recording"
        if not stat.S_ISREG(mode):
            return f"{format_value(path)} is not a regular file"
        return None

    def _outside(self, path: str) -> str | None:
        """Check that symbolic links do not lead out of the data set's folder."""
        if self._root is None or self._real_root is None:
            return None
        folder, name = os.path.split(os.path.join(self._root, path))  # noqa: PTH118
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._real_folders[folder], name)  # noqa: PTH118
        if os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        if os.path.commonpath([real, self._real_root]) != self._real_root:
            return f"{format_value(path)} is a link that leaves the data set's folder"
        return None


def _climbs_out(path: str) -> bool:
    depth = 0
    for part in PurePosixPath(path).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
