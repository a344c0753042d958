"""A folder of recordings with tags (ID3, Vorbis, MP4, APE, ASF) as a data set, without any table.

Every recording becomes an item. Its id is its path from the folder on, without the suffix, as
where recordings are onboarded from a folder; two files that differ in the suffix alone keep it.
Title, artist, album, genre and a few tags are read from the file; where it has no title its name
is the title. Nobody has played anything: such a data set can teach a network what songs sound
like and give items to onboard, it cannot teach what people like.
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
BPM: Final = "bpm"
MOOD: Final = "mood"
GENRES: Final = "genres"

# What a field is called in ID3 frames, MP4 atoms, and Vorbis, APE and ASF (by lower case).
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
    BPM: (("TBPM",), ("tmpo",), ("bpm", "tempo", "wm/beatsperminute")),
    MOOD: (("TMOO",), ("----:com.apple.iTunes:MOOD",), ("mood", "wm/mood")),
}

# Formats that are no tag formats, or none that mutagen knows: nothing is broken about them.
_UNTAGGED: Final = frozenset({".au", ".caf", ".webm", ".mka"})

logger = logging.getLogger("coldtune")


def tagged_folder(folder: Path, *, progress: bool = False) -> MusicDataset:
    """The recordings in a folder and below as a data set without listening.

    Items come in the order of their paths and have title, artist, album, genre (the first, where a
    file has several; then all of them are in the tag ``genres``, parted by "; ") and, where any
    file says so, the tags year, bpm and mood. Hidden files are left out and links to folders are
    not followed, so that no loop of links has an end to wait for. What cannot be used (damaged, a
    link out of the folder, a name that is not valid text) is left out with a warning.

    Raises :class:`~datasets.errors.DataError` where no recording is left.
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
    # A tag that no file has is no column.
    tags = [t for t in (GENRES, YEAR, BPM, MOOD) if any(values.get(t) for _, values in found)]
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
    """Each path without its suffix; with it where another file has or could have that id."""
    bare = [path[: len(path) - len(Path(path).suffix)] for path in paths]
    often = Counter([*bare, *paths])
    return [short if often[short] == 1 else path for short, path in zip(bare, paths, strict=True)]


def _read(folder: Path, path: str, finder: RecordingChecker) -> tuple[dict[str, str], str]:
    """(texts by column, "") of a recording, or ({}, why it is left out)."""
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
        # Tags that break their format's rules in ways that mutagen does not expect either. The
        # sound may be fine.
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
            texts[GENRES] = "; ".join(values) if len(values) > 1 else ""
        elif field == YEAR:
            years = re.findall(r"\d{4}", " ".join(values))
            texts[YEAR] = years[0] if years else ""
        elif field == BPM:
            # MP4 writes 0 for unknown.
            texts[BPM] = next((value for value in values if value.strip("0.")), "")
        else:
            texts[field] = "; ".join(values)
    return texts


Values = Callable[[tuple[str, ...], tuple[str, ...], tuple[str, ...]], list[str]]


def _reader(tags: Any) -> Values:
    """A function from a field's names in the three families of tags to its values."""
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
    """The values under the first name that has any."""
    return next((values for values in found if any(map(_clean, values))), [])


def _id3_values(tags: Any, name: str) -> list[str]:
    return [str(text) for frame in tags.getall(name) for text in getattr(frame, "text", ())]


def _mp4_values(tags: Any, name: str) -> list[str]:
    return _listed(tags[name]) if name in tags else []


def _listed(value: Any) -> list[str]:
    values = [value] if isinstance(value, str | bytes | int) else list(value)
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def _clean(text: str) -> str:
    """One line of valid text."""
    valid = text.encode("utf-8", "replace").decode() if not is_unicode(text) else text
    return " ".join(valid.replace("\0", " ").split())


def _genres(values: Sequence[str]) -> list[str]:
    """Genres by name: ID3v1 numbers ("17", "(17)", "(17)Rock") as the words they stand for."""
    from mutagen.id3 import TCON

    parts = [part.strip() for value in values for part in value.split(";")]
    frame: Any = TCON
    names: list[str] = frame(encoding=3, text=[part for part in parts if part]).genres
    return list(dict.fromkeys(name for name in names if name and name != "Unknown"))
