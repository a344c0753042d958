"""Digest of the sound of a recording: of its encoded audio, without tags, pictures and padding.

A rating, a ReplayGain value or another title changes a file, but not this digest; it is what tells
that a renamed or retagged file is the same recording. Nothing is decoded: reading the file is all
it costs. One recording in two formats has two digests, and so have two encodings of one song.
"""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from datasets.chunk_tags import MOST_CHUNKS, iff_chunks, matroska_elements

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 1 << 18
_FARTHEST = 1 << 43

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")

_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")

_MP3_RATES = (44100, 48000, 32000)
_MP3_KILOBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)

_Part = tuple[int, int]
"""First byte and number of bytes of a part of a file."""


def sound_digest(path: Path) -> str:
    """Return the hex SHA-256 of the encoded audio of a file, whatever its tags.

    A file of an unknown format is taken as a whole, and so is one whose structure is damaged.

    Args:
        path: a regular file.

    Raises:
        OSError: it cannot be read.

    Examples:
        >>> from mutagen import File
        >>> import soundfile
        >>> path = folder / "song.flac"
        >>> soundfile.write(path, np.zeros(1000), 8000)
        >>> before = sound_digest(path)
        >>> tagged = File(path)
        >>> tagged["TITLE"] = "Silence"
        >>> tagged.save()
        >>> sound_digest(path) == before
        True
    """
    with path.open("rb") as stream:
        length = stream.seek(0, 2)
        try:
            parts = [part for part in _audio_parts(stream, length) if part[1] > 0]
        except (struct.error, ValueError, IndexError, OverflowError):
            parts = []
        digest = hashlib.sha256()
        for start, size in parts or [(0, length)]:
            _update(digest, stream, start, size)
    return digest.hexdigest()


def _update(digest: "_Hash", stream: BinaryIO, start: int, size: int) -> None:
    stream.seek(start)
    while size > 0 and (block := stream.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)


def _audio_parts(stream: BinaryIO, length: int) -> Iterator[_Part]:
    """Yield the parts of a file that are its audio, in order; nothing where none is found."""
    start = _after_id3(stream)
    end = _before_trailing_tags(stream, start, length)
    head = _read(stream, start, 36)
    if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX"):
        stream.seek(start + 12)
        chunks = iff_chunks(stream, ">" if head[:4] == b"RIFX" else "<")
        yield from ((one.start, one.size) for one in chunks if one.name in (b"fmt ", b"data"))
    elif head[:4] == b"FORM":
        stream.seek(start + 12)
        chunks = iff_chunks(stream, ">")
        yield from ((one.start, one.size) for one in chunks if one.name in (b"COMM", b"SSND"))
    elif head[:4] == b"fLaC":
        yield _after_flac_blocks(stream, start, end)
    elif head[:4] == b"OggS":
        yield from _ogg_parts(stream, start, end)
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        yield from _mp4_parts(stream, start, length)
    elif head[:4] == b"\x1aE\xdf\xa3":
        for segment in matroska_elements(stream, start, length):
            if segment.id == _SEGMENT:
                inside = matroska_elements(stream, segment.start, segment.start + segment.size)
                yield from ((one.start, one.size) for one in inside if one.id == _CLUSTER)
    elif head[:16] == _ASF:
        yield from _guid_parts(stream, start, length, _ASF_DATA, padded=False)
    elif head[:4] == b"riff":
        yield from _guid_parts(stream, start + 40, length, _W64_DATA, padded=True)
    elif head[:4] == b"caff":
        yield from _sized_parts(stream, start + 8, length, b"data", ">4sq", own=False)
    elif head[:4] == b"DSD ":
        yield from _sized_parts(stream, start, length, b"data", "<4sQ", own=True)
    else:  # frames that follow one another: mp3, aac, ac3, WavPack, Monkey's Audio, Musepack, ...
        start += _info_frame(head, _read(stream, start, 400))
        yield start, end - start


def _info_frame(head: bytes, begin: bytes) -> int:
    """Bytes of the first frame of an mp3 file if it has facts about the file in place of sound."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # MPEG audio, layer III
        return 0
    if not any(name in begin[:200] for name in (b"Xing", b"Info", b"VBRI")):
        return 0
    first = head[1] & 0x18 == 0x18  # MPEG 1; else 2 or 2.5
    rate = _MP3_RATES[head[2] >> 2 & 3] >> (0 if first else 1 if head[1] & 0x10 else 2)
    kilobits = _MP3_KILOBITS[0 if first else 1][head[2] >> 4]
    return (144 if first else 72) * kilobits * 1000 // rate + (head[2] >> 1 & 1)


def _after_id3(stream: BinaryIO) -> int:
    """Where a file begins behind its ID3v2 tags, of which there may be several."""
    start = 0
    for _ in range(MOST_CHUNKS):
        head = _read(stream, start, 10)
        if head[:3] != b"ID3" or len(head) < 10:
            return start
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    return start


def _before_trailing_tags(stream: BinaryIO, start: int, end: int) -> int:
    """Where a file ends before its ID3v1, APE and Lyrics3 tags."""
    for _ in range(16):
        before = end
        if end - start >= 128 and _read(stream, end - 128, 3) == b"TAG":
            end -= 128
        if end - start >= 227 and _read(stream, end - 227, 4) == b"TAG+":
            end -= 227
        if end - start >= 32 and (foot := _read(stream, end - 32, 32))[:8] == b"APETAGEX":
            size, _, flags = struct.unpack("<III", foot[12:24])
            size += 32 if flags & 0x80000000 else 0
            if size <= end - start:
                end -= size
        if end - start >= 15 and (foot := _read(stream, end - 15, 15))[6:] == b"LYRICS200":
            size = int(foot[:6]) + 15 if foot[:6].isdigit() else 0
            if size <= end - start:
                end -= size
        if end - start >= 10 and (foot := _read(stream, end - 10, 10))[:3] == b"3DI":
            size = 20
            for place, byte in enumerate(reversed(foot[6:])):
                size += (byte & 0x7F) << 7 * place
            if size <= end - start:
                end -= size
        if end == before:
            return end
    return end


def _after_flac_blocks(stream: BinaryIO, start: int, end: int) -> _Part:
    position = start + 4
    for _ in range(MOST_CHUNKS):
        head = _read(stream, position, 4)
        if len(head) < 4:
            return start, 0
        position += 4 + int.from_bytes(head[1:])
        if head[0] & 0x80:
            return position, end - position
    return start, 0


def _ogg_parts(stream: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """Yield the content of the pages of an Ogg file without each stream's comments.

    Comments are the second packet of a stream. When they grow the pages behind them get other
    numbers and checksums, so that only the content counts.
    """
    packets: dict[bytes, int] = {}  # packets of each stream that have ended
    position = start
    while position + 27 <= end:
        head = _read(stream, position, 27 + 255)
        if head[:4] != b"OggS":
            return
        if head[5] & 2:  # the first page of a stream
            packets[head[14:18]] = 0
        sizes = head[27 : 27 + head[26]]
        content = position + 27 + head[26]
        done = packets.get(head[14:18], 2)
        if done >= 2:
            yield content, sum(sizes)
        else:
            at = content
            for size in sizes:
                if done != 1:
                    yield at, size
                at += size
                done += size < 255
            packets[head[14:18]] = done
        position = content + sum(sizes)


def _mp4_parts(stream: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    position, described = start, False
    parts: list[_Part] = []
    for _ in range(MOST_CHUNKS):
        head = _read(stream, position, 16)
        if len(head) < 8:
            break
        size, name = struct.unpack(">I4s", head[:8])
        before = 8
        if size == 1:
            size, before = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - position
        if size < before:
            break
        described |= name == b"moov"
        if name == b"mdat":
            parts.append((position + before, min(size, end - position) - before))
        position += size
    if described:  # otherwise it cannot be decoded: not the same as a file that can
        yield from parts


def _guid_parts(
    stream: BinaryIO, start: int, end: int, wanted: bytes, *, padded: bool
) -> Iterator[_Part]:
    """Parts of a file of chunks with 16 bytes of name and 8 of size, which counts these 24 too."""
    position = start
    for _ in range(MOST_CHUNKS):
        head = _read(stream, position, 24)
        if len(head) < 24:
            return
        size = struct.unpack("<Q", head[16:])[0]
        if size < 24:
            return
        if head[:16] == wanted:
            yield position + 24, min(size, end - position) - 24
        position += size + (-size % 8 if padded else 0)


def _sized_parts(
    stream: BinaryIO, start: int, end: int, wanted: bytes, layout: str, *, own: bool
) -> Iterator[_Part]:
    """Parts of a file of chunks with 4 bytes of name and 8 of size, which may count these 12."""
    position = start
    for _ in range(MOST_CHUNKS):
        head = _read(stream, position, 12)
        if len(head) < 12:
            return
        name, size = struct.unpack(layout, head)
        size -= 12 if own else 0
        if size < 0:
            size = end - position - 12
        if name == wanted:
            yield position + 12, min(size, end - position - 12)
        position += 12 + size


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    if start > _FARTHEST:  # a damaged size leads out of the file
        return b""
    stream.seek(start)
    return stream.read(size)
