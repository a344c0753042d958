"""Find the links of a chained Ogg file: streams that follow one another, as of recorded radio.

libsndfile reads the first link only. Each can be read alone, as the part of the file where it lies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from datasets.system.files import open_regular

MAX_LINKS: Final = 1000
"""Links of a file that are read; the rest is ignored."""

_HEAD: Final = struct.Struct("<4sBBqIII")
"""RFC 3533: OggS, version, flags, position, serial number, page number, checksum."""

_LARGEST_PAGE: Final = 27 + 255 + 255 * 255

_CODECS: Final = (b"\x01vorbis", b"OpusHead")


class _Page(NamedTuple):
    start: int
    end: int
    begins: bool
    position: int
    serial: int
    number: int


def ogg_links(path: Path) -> list[range]:
    """Return where the links of an Ogg file lie that hold sound, in order.

    A file of one link is told by three of its pages.

    Returns:
        An empty list if there is one link only, as in nearly all files.
    """
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        first, middle = _page_from(stream, 0), _page_from(stream, size // 2)
        last = _last_page(stream, size)
        if first is None or last is None:
            return []
        known = _first_serials(stream)
        share = middle.position / last.position if middle and last.position > 0 else 0
        if (
            middle is not None
            and {middle.serial, last.serial} <= known
            and (len(known) > 1 or (0.1 < share < 0.9 and middle.number < last.number))
        ):
            return []
        links = list(_walk(stream, size))
    return links if len(links) > 1 else []


def _walk(stream: BinaryIO, size: int) -> Iterator[range]:
    """Yield where each link lies, up to `MAX_LINKS`."""
    start, found, was_begin = 0, 0, False
    has_sound = False
    at = 0
    while (page := _page_from(stream, at)) is not None and found < MAX_LINKS:
        if page.begins and not was_begin:
            if has_sound:
                yield range(start, page.start)
                found += 1
            start, has_sound = page.start, False
        if page.begins:
            stream.seek(page.start + 28)
            has_sound = has_sound or stream.read(16).startswith(_CODECS)
        was_begin = page.begins
        at = page.end
    if has_sound and found < MAX_LINKS:
        yield range(start, size)


def _first_serials(stream: BinaryIO) -> set[int]:
    """Serial numbers of the streams that begin at the beginning of the file."""
    serials, at = set(), 0
    while (page := _page_from(stream, at)) is not None and page.begins:
        serials.add(page.serial)
        at = page.end
    return serials


def _last_page(stream: BinaryIO, size: int) -> _Page | None:
    """The last page that is whole, or its header at least."""
    start = max(0, size - 2 * _LARGEST_PAGE)
    stream.seek(start)
    data = stream.read(size - start)
    place = len(data)
    while (place := data.rfind(b"OggS", 0, place)) >= 0:
        page = _page(data[place:], start + place)
        if page is not None and page.position >= 0:
            return page
    return None


def _page_from(stream: BinaryIO, at: int) -> _Page | None:
    """The first page at or after a place; None at the end of the file."""
    stream.seek(at)
    data = stream.read(27 + 255)
    page = _page(data, at)
    if page is not None:
        return page
    while True:
        stream.seek(at)
        data = stream.read(_LARGEST_PAGE + 27 + 255)
        place = data.find(b"OggS", 1 if data.startswith(b"OggS") else 0)
        if place >= 0:
            page = _page(data[place:], at + place)
            if page is not None:
                return page
            at += place
        at += max(1, len(data) - 300) if place < 0 else 1
        if len(data) < _LARGEST_PAGE and place < 0:
            return None


def _page(data: bytes, start: int) -> _Page | None:
    if len(data) < 27 or not data.startswith(b"OggS\0"):
        return None
    _, _, flags, position, serial, number, _ = _HEAD.unpack_from(data)
    segments = data[27 : 27 + data[26]]
    if len(segments) < data[26]:
        return None
    size = 27 + len(segments) + sum(segments)
    return _Page(start, start + size, bool(flags & 2), position, serial, number)
