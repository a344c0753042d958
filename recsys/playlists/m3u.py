"""Playlists as M3U files in UTF-8 (.m3u8): seconds, artist, title and path of each song."""

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_from_bytes

import pandas as pd

from datasets.columns import ARTIST, ITEM_ID, PATH, TITLE
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.system.files import check_writable, write_text
from datasets.texts.file_names import name_from_text
from datasets.texts.safe_text import printable
from recsys.playlists.files import some_of

NOTES = "notes"
"""Attribute of a playlist: what could not be done as asked, a line each."""

_SUFFIX = ".m3u8"

_LINE_ENDS = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")

_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
"""A path that can stand on a line as it is: without control characters, line ends, other bytes."""


class WrittenPlaylist(NamedTuple):
    """What `write_m3u` has written."""

    songs: int
    """Songs in the file."""
    left_out: tuple[str, ...]
    """Ids of those without a file."""


def write_m3u(frame: pd.DataFrame, out: str | Path, *, replace: bool = False) -> WrittenPlaylist:
    r"""Write a playlist as an M3U file in UTF-8, completely or not at all.

    Paths are relative to the M3U file where the recording is in its folder or below, so that both
    can be moved together, and absolute elsewhere. A name that cannot stand on a line as it is (line
    ends, control characters, bytes that are not UTF-8, spaces at an end) is written as a ``file:``
    address. Line ends and control characters in titles do not reach the file.

    Args:
        frame: what `Recommender.playlist` returned, or any table with the columns item_id, title,
            artist and path ("" where there is no file).
        out: file to write, ending in .m3u8.
        replace: also where there is a file already.

    Returns:
        How many songs were written, and which were left out, having no file.

    Raises:
        InvalidArgumentError: another ending, a file that is there already, or no song that has a
            file; nothing is written.
        ArtifactError: the file cannot be written.

    Examples:
        >>> songs = recommender.playlist("s1", length=2)
        >>> songs["path"] = [str(folder / "Blue #1.mp3"), str(folder / "Red.mp3")]
        >>> write_m3u(songs, folder / "list.m3u8")
        WrittenPlaylist(songs=2, left_out=())
        >>> print((folder / "list.m3u8").read_text().split("\n")[2])
        Blue #1.mp3
    """
    place = check_m3u(out, replace=replace)
    if frame.empty:
        because = "; ".join(frame.attrs.get(NOTES, ()))
        raise InvalidArgumentError(f"{place}: no song to write{because and f': {because}'}")
    left_out = frame[ITEM_ID][frame[PATH] == ""].tolist()
    there = frame[frame[PATH] != ""]
    if there.empty:
        have = "song has" if len(frame) == 1 else "songs have"
        raise InvalidArgumentError(
            f"{place}: {len(frame):,} {have} no recording that is there: {some_of(left_out)}"
        )
    lines = ["#EXTM3U"]
    for item_id, title, artist, path in zip(
        *(there[name] for name in (ITEM_ID, TITLE, ARTIST, PATH)), strict=True
    ):
        file = Path(name_from_text(path)).absolute()
        texts = (artist, title if title.strip() else file.stem or item_id)
        shown = " - ".join(filter(None, map(_one_line, texts)))
        lines += [f"#EXTINF:{_seconds(file)},{shown}", _entry(file, place.parent)]
    try:
        write_text(place, "\n".join(lines) + "\n")
    except OSError as error:
        raise ArtifactError(f"{place}: cannot be written: {error.strerror or error}") from error
    return WrittenPlaylist(len(there), tuple(left_out))


def check_m3u(out: str | Path, *, replace: bool) -> Path:
    """Check that a playlist can be written, and return its absolute path.

    Raises:
        InvalidArgumentError: the file's name ends otherwise, or a file is there already.
        ArtifactError: it cannot be written.

    Examples:
        >>> check_m3u("list.m3u", replace=False)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: list.m3u: must end in .m3u8, which is M3U in UTF-8
    """
    if Path(out).suffix.lower() != _SUFFIX:
        raise InvalidArgumentError(f"{out}: must end in {_SUFFIX}, which is M3U in UTF-8")
    place = Path(out).absolute()
    if not replace and os.path.lexists(place):
        raise InvalidArgumentError(f"{out}: is there already; replace=True writes over it")
    try:
        check_writable(place)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error.strerror or error}") from None
    return place


def _one_line(text: str) -> str:
    return printable(_LINE_ENDS.sub(" ", text).strip())


def _entry(file: Path, folder: Path) -> str:
    """The line of a recording in a playlist that lies in a folder."""
    shown = str(file)
    for start, path in (
        (folder, file),
        (folder.resolve(), file),
        (folder.resolve(), file.resolve()),
    ):
        if path.is_relative_to(start):
            shown = str(path.relative_to(start))
            break
    if not _PLAIN.fullmatch(shown) or shown != shown.strip():
        return f"file://{quote_from_bytes(os.fsencode(file))}"
    # Not a comment, and not the scheme of an address, as in "#1.mp3" and "re:mix.mp3".
    unclear = shown.startswith(("#", "~", "\ufeff")) or ":" in shown.partition("/")[0]
    return f"./{shown}" if unclear else shown


def _seconds(file: Path) -> int:
    """The length of a recording as its header says, in whole seconds; -1 if it is not known."""
    from mutagen import File

    if not os.path.isfile(file):  # noqa: PTH113 - opening a pipe would wait
        return -1
    try:
        info = getattr(File(file), "info", None)
        return max(round(float(getattr(info, "length", -1.0))), -1) or -1
    except Exception:  # of damaged files, mutagen raises all kinds of errors
        return -1
