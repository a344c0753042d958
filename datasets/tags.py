"""Read title, artist, album, genre and further texts from the tags of an audio file.

Tags are those that mutagen knows (ID3, Vorbis, MP4, APE, ASF, and so on), and those of containers
that it does not (`chunk_tags`). What one kind of tags lacks is taken from the next one.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from datasets import columns as c
from datasets.chunk_tags import read_chunk_tags
from datasets.tables.values import is_unicode

YEAR: Final = "year"
BPM: Final = "bpm"
MOOD: Final = "mood"
ALL_GENRES: Final = "genres"
RECORDING_MBID: Final = "recording_mbid"
"""MusicBrainz id of the recording: tells which one it is, and nothing of how it sounds."""

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
    BPM: (("TBPM",), ("tmpo",), ("bpm", "tempo", "wm/beatsperminute")),
    MOOD: (("TMOO",), ("----:com.apple.iTunes:MOOD",), ("mood", "wm/mood")),
    RECORDING_MBID: (  # called the id of the track there
        ("UFID:http://musicbrainz.org",),
        ("----:com.apple.iTunes:MusicBrainz Track Id",),
        ("musicbrainz_trackid", "musicbrainz/track id"),
    ),
}

TAG_COLUMNS: Final = (ALL_GENRES, YEAR, BPM, MOOD, RECORDING_MBID)
"""Columns that an audio file's tags may give, beside title, artist, album and genre."""

_MAGIC: Final = (
    b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"\x1aE\xdf\xa3", b".snd", b"caff", b"FORM",
    b"OggS", b"fLaC", b"DSD ", b"FRM8", b"TTA1", b"TTA2", b"MPCK", b"MP+", b"wvpk", b"MAC ",
    b"tBaK", b"OFR ", b"ID3", b"ADIF", b"#!AMR", b".RMF", b".ra\xfd", b"\x0bw", b"ajkg",
    b"\x7f\xfe\x80\x01", b"Creative Voice File", b"\x30\x26\xb2\x75",
)  # fmt: skip
"""Beginnings of audio files. Those that mutagen does not know are taken without tags."""


_MBID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class FileTags(NamedTuple):
    """What `read_file_tags` found."""

    texts: dict[str, str]
    """Non-empty texts by column."""
    problem: str = ""
    """Why the file is not an audio file that can be used; empty if it may be one."""
    unread: str = ""
    """Why tags that are there could not be read; empty if they could."""


def read_file_tags(path: Path) -> FileTags:
    """Read the tags of an audio file, without decoding it.

    Args:
        path: the file.

    Returns:
        Texts of title, artist, album, genre (the first, if there are several; `genres` then has
        all, joined by "; "), year, bpm, mood and recording_mbid (the recording's MusicBrainz id).

    Examples:
        >>> read_file_tags(recording).texts
        {}
        >>> read_file_tags(folder / "none.flac").problem
        'cannot be read: No such file or directory'
    """
    from mutagen import File, MutagenError

    try:
        if not path.is_file():
            path.stat()
            return FileTags({}, "is not a regular file")
        with path.open("rb") as stream:
            head = stream.read(64)
    except (OSError, ValueError) as error:
        return FileTags({}, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    known, problem, unread = head.startswith(_MAGIC), "", ""
    sources: list[Any] = []
    try:
        file = File(path)
        if file is None and not known:
            problem = "is no recording of a known kind"
        if file is not None and file.tags:
            sources.append(file.tags)
    except (MutagenError, OSError) as error:
        # Of these mutagen knows only the commonest form, and decoders know more.
        if not head.startswith((b"RIFF", b"RF64", b"BW64", b"FORM")) and not (
            head.startswith(b"ID3") and path.suffix.lower() in (".aac", ".adts")
        ):
            problem = f"is damaged: {_one_line(error)}"
    except Exception as error:
        # Malformed tags that mutagen does not handle; the audio may be fine.
        unread = _one_line(error)
    if problem and not head:
        problem = "is empty (0 bytes)"
    if not problem:
        sources += _appended_tags(path) if not unread else []
        try:
            sources.append(read_chunk_tags(path))
        except (OSError, ValueError, EOFError) as error:
            unread = unread or _one_line(error)
    texts: dict[str, str] = {}
    for source in sources:
        if texts.get(c.GENRE):
            texts.setdefault(ALL_GENRES, "")  # those of the first kind of tags alone
        try:
            found = _texts(source)
        except Exception as error:
            unread = unread or _one_line(error)
            continue
        for name, text in found.items():
            if text and name not in texts:
                texts[name] = text
    return FileTags({name: text for name, text in texts.items() if text}, problem, unread)


def _appended_tags(path: Path) -> list[Any]:
    """Return ID3 and APE tags of formats for which mutagen looks at one kind of tags or none."""
    from mutagen import MutagenError
    from mutagen.apev2 import APEv2
    from mutagen.id3 import ID3

    found = []
    for kind in (ID3, APEv2):
        try:
            found.append(kind(path))
        except MutagenError:  # mostly: there are none
            continue
        except Exception:  # malformed ones, beside the tags that were read
            continue
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _texts(tags: Any) -> dict[str, str]:
    values_of = _reader(tags)
    texts = {}
    for field, (id3, mp4, other) in _FIELDS.items():
        values = [_clean(text) for text in values_of(id3, mp4, other)]
        values = list(dict.fromkeys(value for value in values if value))
        if field == c.GENRE:
            values = _genres(values)
            texts[c.GENRE] = values[0] if values else ""
            texts[ALL_GENRES] = "; ".join(values) if len(values) > 1 else ""
        elif field == YEAR:
            years = re.findall(r"\d{4}", " ".join(values))
            texts[YEAR] = years[0] if years else ""
        elif field == BPM:
            # MP4 writes 0 for unknown.
            texts[BPM] = next((value for value in values if value.strip("0.")), "")
        elif field == RECORDING_MBID:
            lower = (value.lower() for value in values)
            texts[field] = next((value for value in lower if _MBID.fullmatch(value)), "")
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
    frames = tags.getall(name)
    if name.startswith("UFID:"):
        return _listed([frame.data for frame in frames])
    return [str(text) for frame in frames for text in getattr(frame, "text", ())]


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
