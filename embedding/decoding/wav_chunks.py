"""Find format and samples of a wav file whose header is wrong, so that it can have another one.

A program that writes to a pipe, or that was interrupted, leaves a length of 0 or of 0xFFFFFFFF, and
one that writes more than 4 GiB the remainder. Some write chunks in another order, forget the byte
that fills up a chunk of odd length, or put something in front. libsndfile refuses such files, or
finds no sound in them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from datasets.system.files import open_regular
from embedding.decoding.spliced import Piece

SEARCHED_BYTES: Final = 1 << 16
"""Bytes at the beginning in which the header is looked for."""

UNEXPLAINED: Final = 0.1
"""Share of a file that may lie behind its samples and be no chunk. With more of that, the length of
the samples is taken for wrong, and they go on to the end."""

MAX_CHUNKS: Final = 10_000

MAX_FORMAT: Final = 1 << 12
"""Largest size of a format chunk."""

_UNKNOWN: Final = 0xFFFFFFFF


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of the content
    size: int  # as it says


def wav_pieces(path: Path) -> list[Piece] | None:
    """Return a wav file with a right header, to be read as a `SplicedFile`.

    Returns:
        None if it is no wav file, or nothing is wrong with its header.
    """
    with open_regular(path) as stream:
        end = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(SEARCHED_BYTES)
        riff = next((at for at in _places(head) if head[at + 8 : at + 12] == b"WAVE"), None)
        if riff is None:
            return None
        order = ">" if head[riff : riff + 4] == b"RIFX" else "<"
        chunks = list(_chunks(stream, riff + 12, end, order))
        form = next((chunk for chunk in chunks if chunk.name == b"fmt "), None)
        data = [chunk for chunk in chunks if chunk.name == b"data"]
        if form is None or not data or not 14 <= form.size <= MAX_FORMAT:
            return None
        stream.seek(form.start)
        content = stream.read(form.size)
        # Empty ones stand before the right one where a writer began twice.
        sound = max(data, key=lambda chunk: min(chunk.size, end - chunk.start))
        explained = sum(min(chunk.size, end - chunk.start) + 8 for chunk in chunks) + riff + 12
        size = sound.size
        if size in (0, _UNKNOWN) or end - explained > UNEXPLAINED * end:
            size = end - sound.start
        size = min(size, end - sound.start)
    (align,) = struct.unpack_from(order + "H", content, 12)
    size -= size % max(1, align)
    return [_header(order, content, size), range(sound.start, sound.start + size)]


def _places(head: bytes) -> Iterator[int]:
    """Where a header may begin."""
    for name in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        at = head.find(name)
        if at >= 0:
            yield at


def _chunks(stream: BinaryIO, at: int, end: int, order: str) -> Iterator[_Chunk]:
    """Yield the chunks from a place on, as far as there are any."""
    for _ in range(MAX_CHUNKS):
        found = _chunk(stream, at, end, order)
        if found is None:
            return
        yield found
        at = found.start + found.size
        # Chunks begin at even places; some writers forget that.
        if found.size % 2 and _chunk(stream, at + 1, end, order) is not None:
            at += 1


def _chunk(stream: BinaryIO, at: int, end: int, order: str) -> _Chunk | None:
    if at + 8 > end:
        return None
    stream.seek(at)
    name, size = struct.unpack(order + "4sI", stream.read(8).ljust(8, b"\0"))
    # Letters, digits, a space or an underscore at the end: samples seldom look like that.
    if not all(48 <= c < 58 or 65 <= c < 91 or 97 <= c < 123 or c in b" _-" for c in name):
        return None
    return _Chunk(name, at + 8, size)


def _header(order: str, form: bytes, size: int) -> bytes:
    """Header for samples of so many bytes; RF64 if a wav header cannot tell the number."""
    whole = 4 + 8 + len(form) + len(form) % 2 + 8 + size
    form_chunk = struct.pack(order + "4sI", b"fmt ", len(form)) + form + b"\0" * (len(form) % 2)
    if whole < _UNKNOWN or order == ">":
        name = b"RIFX" if order == ">" else b"RIFF"
        start = name + struct.pack(order + "I", min(whole, _UNKNOWN)) + b"WAVE"
    else:
        lengths = struct.pack("<QQQI", whole + 36, size, 0, 0)
        start = b"RF64" + struct.pack("<I", _UNKNOWN) + b"WAVE"
        start += b"ds64" + struct.pack("<I", len(lengths)) + lengths
    return start + form_chunk + struct.pack(order + "4sI", b"data", min(size, _UNKNOWN))
