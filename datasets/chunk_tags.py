"""Read tags of containers that mutagen does not read them from: RIFF, AIFF, CAF and Matroska.

A WAV file has its title in the list INFO, an AIFF file in chunks of text, a CAF file in the chunk
info, a Matroska or WebM file in the element Tags. Sound is passed over unread.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from datasets.system.files import open_regular

LONGEST_TEXT = 1 << 16
"""Bytes of a tag that are read; what is longer is no title."""

MOST_CHUNKS = 1 << 20
"""Chunks of a file that are looked at."""

_RIFF_FIELDS = {
    b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"IALB": "album", b"IGNR": "genre",
    b"ICRD": "date", b"IBPM": "bpm",
}  # fmt: skip
_AIFF_FIELDS = {b"NAME": "title", b"AUTH": "artist"}
_CAF_FIELDS = {
    "title": "title", "artist": "artist", "album": "album", "genre": "genre", "year": "year",
    "recorded date": "date", "tempo": "bpm",
}  # fmt: skip
_MATROSKA_FIELDS = {
    "TITLE": "title", "ARTIST": "artist", "LEAD_PERFORMER": "artist", "ALBUM": "album",
    "GENRE": "genre", "DATE_RELEASED": "date", "DATE_RECORDED": "date", "DATE": "date",
    "YEAR": "year", "BPM": "bpm", "MOOD": "mood",
}  # fmt: skip

_SEGMENT, _INFO, _TITLE, _TAGS, _TAG = 0x18538067, 0x1549A966, 0x7BA9, 0x1254C367, 0x7373
_TARGETS, _TARGET_LEVEL, _SIMPLE, _NAME, _STRING = 0x63C0, 0x68CA, 0x67C8, 0x45A3, 0x4487
_ALBUM_LEVEL = 50

Fields = dict[str, list[str]]
"""Values by name of the field, as mutagen gives Vorbis comments."""


def read_chunk_tags(path: Path) -> Fields:
    """Read the tags of a RIFF, RF64, AIFF, CAF or Matroska file; nothing of other files.

    Args:
        path: a regular file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is malformed.

    Examples:
        >>> info = b"INFOINAM" + (4).to_bytes(4, "little") + b"Blue"
        >>> whole = b"WAVELIST" + len(info).to_bytes(4, "little") + info
        >>> path = folder / "a.wav"
        >>> _ = path.write_bytes(b"RIFF" + len(whole).to_bytes(4, "little") + whole)
        >>> read_chunk_tags(path)
        {'title': ['Blue']}
    """
    fields: Fields = {}
    with open_regular(path) as stream:
        head = stream.read(12)
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
            for chunk in iff_chunks(stream, "<"):
                if chunk.name == b"LIST" and _read(stream, chunk.start, 4) == b"INFO":
                    stream.seek(chunk.start + 4)
                    for part in iff_chunks(stream, "<", chunk.start + chunk.size):
                        _add(fields, _RIFF_FIELDS.get(part.name), _text(stream, part))
        elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            for chunk in iff_chunks(stream, ">"):
                if chunk.name in _AIFF_FIELDS:
                    _add(fields, _AIFF_FIELDS[chunk.name], _text(stream, chunk))
        elif head[:4] == b"caff":
            stream.seek(8)
            _read_caf(stream, fields)
        elif head[:4] == b"\x1aE\xdf\xa3":
            _read_matroska(stream, fields)
    return fields


class Chunk(NamedTuple):
    """A chunk of a file: its name, and where its content is."""

    name: bytes
    start: int
    size: int


def iff_chunks(stream: BinaryIO, order: str, end: int | None = None) -> Iterator[Chunk]:
    """Iterate over the chunks of a RIFF (`<`) or AIFF (`>`) file from the stream's position on.

    The content need not be read; chunks reach to the end of the file at most. In an RF64 file the
    size of the sound is that of its chunk `ds64`.

    Args:
        stream: a file opened for reading bytes.
        order: byte order as in `struct`.
        end: where the last chunk ends; by default the end of the file.
    """
    position = stream.tell()
    length = stream.seek(0, 2)
    end = length if end is None else min(end, length)
    long_size = None
    for _ in range(MOST_CHUNKS):
        if position + 8 > end:
            return
        name, size = struct.unpack(f"{order}4sI", _read(stream, position, 8))
        start = position + 8
        if name == b"ds64" and size >= 16:
            long_size = struct.unpack("<Q", _read(stream, start + 8, 8))[0]
        if size == 0xFFFFFFFF:
            size = long_size if name == b"data" and long_size is not None else end - start
        size = min(size, end - start)
        yield Chunk(name, start, size)
        position = start + size + size % 2


class Element(NamedTuple):
    """An element of a Matroska file: its id, and where its content is."""

    id: int
    start: int
    size: int


def matroska_elements(stream: BinaryIO, start: int, end: int) -> Iterator[Element]:
    """Iterate over the Matroska elements in a range of bytes of a file; content need not be read.

    An element whose size is unknown reaches to the end.
    """
    position = start
    for _ in range(MOST_CHUNKS):
        if position >= end:
            return
        head = _read(stream, position, min(12, end - position))
        id_bytes = _width(head)
        if not 1 <= id_bytes <= 4 or len(head) <= id_bytes:
            return
        size_bytes = _width(head[id_bytes:])
        if not size_bytes or len(head) < id_bytes + size_bytes:
            return
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes])
        size &= (1 << (7 * size_bytes)) - 1
        begin = position + id_bytes + size_bytes
        if size == (1 << (7 * size_bytes)) - 1:
            size = end - begin
        size = min(size, end - begin)
        yield Element(int.from_bytes(head[:id_bytes]), begin, size)
        position = begin + size


def _width(head: bytes) -> int:
    """Bytes of a number of variable length, by its first byte; 0 if that is none."""
    return 9 - head[0].bit_length() if head and head[0] else 0


def _read_matroska(stream: BinaryIO, fields: Fields) -> None:
    for segment in matroska_elements(stream, 0, stream.seek(0, 2)):
        if segment.id != _SEGMENT:
            continue
        end = segment.start + segment.size
        for part in matroska_elements(stream, segment.start, end):
            inside = (part.start, part.start + part.size)
            if part.id == _INFO:
                for one in matroska_elements(stream, *inside):
                    if one.id == _TITLE:
                        fields.setdefault("title", []).insert(0, _utf8(stream, one))
            elif part.id == _TAGS:
                for tag in matroska_elements(stream, *inside):
                    if tag.id == _TAG:
                        _read_matroska_tag(stream, tag, fields)


def _read_matroska_tag(stream: BinaryIO, tag: Element, fields: Fields) -> None:
    level, found = 0, []
    for part in matroska_elements(stream, tag.start, tag.start + tag.size):
        inside = (part.start, part.start + part.size)
        if part.id == _TARGETS:
            for one in matroska_elements(stream, *inside):
                if one.id == _TARGET_LEVEL:
                    level = int.from_bytes(_read(stream, one.start, min(one.size, 8)))
        elif part.id == _SIMPLE:
            texts = {
                one.id: _utf8(stream, one)
                for one in matroska_elements(stream, *inside)
                if one.id in (_NAME, _STRING)
            }
            found.append((texts.get(_NAME, "").upper(), texts.get(_STRING, "")))
    for name, text in found:
        # The title of what is above a song is that of its album; many files give no level.
        field = "album" if name == "TITLE" and level == _ALBUM_LEVEL else _MATROSKA_FIELDS.get(name)
        _add(fields, field, text)


def _read_caf(stream: BinaryIO, fields: Fields) -> None:
    position, end = stream.tell(), stream.seek(0, 2)
    for _ in range(MOST_CHUNKS):
        if position + 12 > end:
            return
        name, size = struct.unpack(">4sq", _read(stream, position, 12))
        if name == b"info":
            content = _read(stream, position + 16, max(0, min(size - 4, 16 * LONGEST_TEXT)))
            parts = content.split(b"\0")
            for key, value in zip(parts[::2], parts[1::2], strict=False):
                field = _CAF_FIELDS.get(key.decode("utf-8", "replace").lower())
                _add(fields, field, value.decode("utf-8", "replace"))
        if size < 0:  # the sound, to the end of the file
            return
        position += 12 + size


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    stream.seek(start)
    return stream.read(size)


def _text(stream: BinaryIO, chunk: Chunk) -> str:
    """Text without a declared encoding: UTF-8 if it is that, else the one of Western Windows."""
    raw = _read(stream, chunk.start, min(chunk.size, LONGEST_TEXT)).split(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _utf8(stream: BinaryIO, element: Element) -> str:
    raw = _read(stream, element.start, min(element.size, LONGEST_TEXT))
    return raw.decode("utf-8", "replace").rstrip("\0")


def _add(fields: Fields, name: str | None, text: str) -> None:
    if name is not None and text.strip():
        fields.setdefault(name, []).append(text)
