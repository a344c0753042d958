"""List the audio files in a folder and what is passed over; check the paths of recordings."""

import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datasets.tables.values import format_value
from datasets.texts.file_names import name_as_text

SUFFIXES = frozenset(
    {
        ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2",
        ".mp1", ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".m4a", ".m4b", ".m4r",
        ".mp4", ".aac", ".adts", ".3gp", ".3ga", ".wma", ".asf", ".webm", ".weba", ".mka", ".ape",
        ".wv", ".mpc", ".mp+", ".mpp", ".tta", ".tak", ".ofr", ".dsf", ".dff", ".ac3", ".eac3",
        ".dts", ".amr", ".ra", ".rm", ".voc", ".shn",
    }
)  # fmt: skip
"""Suffixes of audio files, case-insensitive. Some need ffmpeg to be decoded."""


ROOT = "the folder itself"
"""Kind of a `PassedOver` that is the folder that was to be looked through."""


UNREADABLE, LINKS, SPECIAL = "unreadable folders", "links to folders", "pipes, devices and sockets"

NOTABLE = frozenset({ROOT, UNREADABLE, LINKS, SPECIAL})
"""Kinds of a `PassedOver` in which there may be recordings after all."""


class PassedOver(NamedTuple):
    """A file or folder that holds no recording for us, and why."""

    path: str
    """Relative to the folder that was looked through, with `/`; `.` is that folder itself."""
    reason: str
    kind: str
    """Short name of the reason, the same for all files that have it, to count them by."""


class FolderListing(NamedTuple):
    """What `list_recordings` found."""

    recordings: list[str]
    """Paths of the audio files, sorted."""
    passed_over: list[PassedOver]
    """Everything else, by path."""


def list_recordings(folder: Path) -> FolderListing:
    """List all audio files in a folder and below, and what was passed over.

    Files are recognised by suffix (`SUFFIXES`). Links to folders are not followed. Names that begin
    with a dot are hidden, but not those that begin with three (`...Baby One More Time.mp3`).

    Args:
        folder: where to look.

    Returns:
        Paths relative to the folder. A file or folder that may not be read is passed over.

    Examples:
        >>> _ = (folder / "cover.jpg").write_bytes(b"")
        >>> list_recordings(folder).passed_over[0].reason
        'is no audio file by its suffix'
    """
    found: list[str] = []
    passed_over: list[PassedOver] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    path = below + entry.name
                    problem = _not_a_recording(entry)
                    if problem is not None:
                        passed_over.append(PassedOver(path, *problem))
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/")
                    else:
                        found.append(path)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            kind = UNREADABLE if below else ROOT
            passed_over.append(PassedOver(below.rstrip("/") or ".", reason, kind))
    return FolderListing(sorted(found), sorted(passed_over))


def _not_a_recording(entry: "os.DirEntry[str]") -> tuple[str, str] | None:
    """Return why an entry is passed over, in full and in short; None for folders and recordings."""
    folder = entry.is_dir(follow_symlinks=False)
    if entry.name.startswith(".") and not entry.name.startswith("..."):
        return ("is a hidden folder", "hidden folders") if folder else ("is hidden", "hidden files")
    if folder:
        return None
    try:
        mode = entry.stat().st_mode
    except OSError:  # a link that leads nowhere, which whoever opens the recording will report
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        return "is a link to a folder, which is not followed", LINKS
    suffix = Path(entry.name).suffix.lower()
    if suffix not in SUFFIXES:
        kind = f"{name_as_text(suffix)} files" if suffix else "files without a suffix"
        return "is no audio file by its suffix", kind
    if not stat.S_ISREG(mode):
        return "is not a regular file", SPECIAL
    return None


def count_passed_over(passed_over: Sequence[PassedOver]) -> str:
    """Count what was passed over by its kind, in words; the most frequent kind comes first.

    Examples:
        >>> jpg = PassedOver("cover.jpg", "is no audio file by its suffix", ".jpg files")
        >>> count_passed_over([jpg, jpg])
        '2 .jpg files'
    """
    counts = Counter(one.kind for one in passed_over)
    often_first = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(kind if kind == ROOT else f"{count:,} {kind}" for kind, count in often_first)


def find_recordings(folder: Path) -> list[str]:
    """Return the sorted paths of all audio files in a folder and below; see `list_recordings`.

    Args:
        folder: where to look.

    Examples:
        >>> find_recordings(recording.parent)
        ['song.wav']
    """
    return list_recordings(folder).recordings


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
