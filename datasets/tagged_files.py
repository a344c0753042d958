"""Read a folder of recordings as a data set by their tags (ID3, Vorbis, MP4, APE, ASF).

Every recording becomes an item. Its id is its path in the folder without the suffix, as when
recordings are onboarded from a folder; files that differ only in the suffix keep it. A file without
a title gets its name. There are no interactions: such a data set can train a network or give items
to onboard, but no user preferences can be learned from it.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from datasets import columns as c
from datasets.errors import DataError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from datasets.tables.recordings import RecordingChecker, find_recordings
from datasets.tables.values import format_value, is_unicode

YEAR: Final = "year"
_BPM: Final = "bpm"
MOOD: Final = "mood"
_GENRES: Final = "genres"

# Names of a field in ID3 frames, MP4 atoms, and Vorbis, APE and ASF (in lower case).
_FIELDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]] = {
    c.TITLE: (("TIT2",), ("©nam",), ("title",)),
    c.ARTIST: (
        ("TPE1", "TPE2"),
        ("©ART", "aART"),
        ("artist", "author", "albumartist", "album artist", "wm/albumartist"),
    ),
    c.ALBUM: (("TALB",), ("©alb",), ("album", "wm/albumtitle")),
    c.GENRE: (("TCON",), ("©gen",), ("genre", "wm/genre")),
    YEAR: (
        ("TDRC", "TDRL", "TDOR"),
        ("©day",),
        ("date", "year", "wm/year", "originaldate"),
    ),
    _BPM: (("TBPM",), ("tmpo",), ("bpm", "tempo", "wm/beatsperminute")),
    MOOD: (("TMOO",), ("----:com.apple.iTunes:MOOD",), ("mood", "wm/mood")),
}

# Formats without tags, or that mutagen does not know; these files are not broken.
_UNTAGGED: Final = frozenset({".au", ".caf", ".webm", ".mka"})

logger = logging.getLogger("coldtune")


def tagged_folder(folder: Path, *, progress: bool = False) -> MusicDataset:
    """Read the recordings in a folder and its subfolders as a data set, without decoding them.

    Items are ordered by path and have title, artist, album, genre (the first, if a file has
    several; the tag `genres` then has all, joined by "; ") and, if any file has them, the tags
    year, bpm and mood. Hidden files are ignored and links to folders are not followed. Files
    that cannot be used (damaged, a link out of the folder, an invalid name) are skipped with a
    warning.

    Args:
        folder: the folder.
        progress: show a progress bar.

    Raises:
        DataError: if no recording is left.

    Examples:
        >>> tagged_folder(recording.parent).items["title"].tolist()
        ['song']
    """
    paths = find_recordings(folder)
    found, left_out = [], []
    finder = RecordingChecker(folder)
    with progress_bar("reading tags", len(paths), shown=progress) as advance:
        for path in paths:
            values, problem = _read(folder, path, finder)
            if problem:
                left_out.append((path, problem))
            else:
                found.append((path, values))
            advance(1)
    _warn(folder, left_out)
    if not found:
        raise DataError(f"{folder} holds no recordings that can be used")
    ids = _item_ids([path for path, _ in found])
    # Tags that no file has get no column.
    tags = [t for t in (_GENRES, YEAR, _BPM, MOOD) if any(values.get(t) for _, values in found)]
    items = {name: [values.get(name, "") for _, values in found] for name in (*c.ITEM_TEXT, *tags)}
    return MusicDataset(
        pd.DataFrame({c.ITEM_ID: ids} | items, dtype=object),
        pd.DataFrame({c.ITEM_ID: ids, c.PATH: [path for path, _ in found]}, dtype=object),
        root=folder,
    )


def _warn(folder: Path, left_out: Sequence[tuple[str, str]]) -> None:
    for path, problem in left_out[:10]:
        logger.warning("%s: left out: %s: %s", folder, format_value(path), problem)
    if len(left_out) > 10:
        logger.warning("%s: left out: %d more recordings", folder, len(left_out) - 10)


def _item_ids(paths: Sequence[str]) -> list[str]:
    """Return each path without its suffix, or with it where two files would share an id."""
    bare = [path[: len(path) - len(Path(path).suffix)] for path in paths]
    often = Counter([*bare, *paths])
    return [short if often[short] == 1 else path for short, path in zip(bare, paths, strict=True)]


def _read(folder: Path, path: str, finder: RecordingChecker) -> tuple[dict[str, str], str]:
    """Return (text by column, "") of a recording, or ({}, reason) if it is skipped."""
    from mutagen import File, MutagenError

    if not is_unicode(path):
        return {}, "its name is not valid text (UTF-8); rename it"
    if (problem := finder.problem(path)) is not None:
        return {}, problem
    texts: dict[str, str] = {}
    try:
        file = File(folder / path)
        if file is None and Path(path).suffix.lower() not in _UNTAGGED:
            return {}, "is no recording of a known kind"
        if file is not None and file.tags:
            texts = _texts(file.tags)
    except (MutagenError, OSError) as error:
        return {}, f"is damaged: {' '.join(str(error).split()) or type(error).__name__}"
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        # Malformed tags that mutagen does not handle; the audio may be fine.
        logger.warning("%s: the tags of %s cannot be read: %s", folder, format_value(path), error)
    texts[c.TITLE] = texts.get(c.TITLE) or Path(path).stem
    return texts, ""


def _texts(tags: Any) -> dict[str, str]:
    values_of = _reader(tags)
    texts = {}
    for field, (id3, mp4, other) in _FIELDS.items():
        values = [_clean(text) for text in values_of(id3, mp4, other)]
        values = list(dict.fromkeys(value for value in values if value))
        if field == c.GENRE:
            values = _genres(values)
            texts[c.GENRE] = values[0] if values else ""
            texts[_GENRES] = "; ".join(values) if len(values) > 1 else ""
        elif field == YEAR:
            years = re.findall(r"\d{4}", " ".join(values))
            texts[YEAR] = years[0] if years else ""
        elif field == _BPM:
            # MP4 writes 0 for unknown.
            texts[_BPM] = next((value for value in values if value.strip("0.")), "")
        else:
            texts[field] = "; ".join(values)
    return texts


_ReadValues = Callable[[tuple[str, ...], tuple[str, ...], tuple[str, ...]], list[str]]


def _reader(tags: Any) -> _ReadValues:
    """Return a function from a field's names in the three tag families to its values."""
    from mutagen.id3 import ID3
    from mutagen.mp4 import MP4Tags

    if isinstance(tags, ID3):
        return lambda id3, mp4, other: _first(_id3_values(tags, name) for name in id3)
    if isinstance(tags, MP4Tags):
        return lambda id3, mp4, other: _first(_mp4_values(tags, name) for name in mp4)
    named = {str(key).lower(): key for key in tags.keys()}  # noqa: SIM118 (some are no mappings)
    return lambda id3, mp4, other: _first(
        _listed(tags[named[name]]) if name in named else [] for name in other
    )


def _first(found: Any) -> list[str]:
    """Return the values under the first name that has any."""
    return next((values for values in found if any(map(_clean, values))), [])


def _id3_values(tags: Any, name: str) -> list[str]:
    return [str(text) for frame in tags.getall(name) for text in getattr(frame, "text", ())]


def _mp4_values(tags: Any, name: str) -> list[str]:
    return _listed(tags[name]) if name in tags else []


def _listed(value: Any) -> list[str]:
    values = [value] if isinstance(value, str | bytes | int) else list(value)
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def _clean(text: str) -> str:
    """Return text on one line, valid as Unicode."""
    valid = text.encode("utf-8", "replace").decode() if not is_unicode(text) else text
    return " ".join(valid.replace("\0", " ").split())


def _genres(values: Sequence[str]) -> list[str]:
    """Return genres by name; ID3v1 numbers ("17", "(17)", "(17)Rock") become words."""
    from mutagen.id3 import TCON

    parts = [part.strip() for value in values for part in value.split(";")]
    frame: Any = TCON
    names: list[str] = frame(encoding=3, text=[part for part in parts if part]).genres
    return list(dict.fromkeys(name for name in names if name and name != "Unknown"))
