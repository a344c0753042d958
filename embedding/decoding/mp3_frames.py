"""Find the frames of an mp3 whose header gives a wrong length, or with something between them.

An mp3 is a sequence of frames, each with a header of four bytes that tells its length. How many
there are stands in the first one (``Xing``, ``Info`` or ``VBRI``), which many encoders and all
recorders of streams leave out. libmpg123 then takes the bit rate of the first frame for that of
all: with a variable bit rate the length is wrong by any factor, and libsndfile reads no further.
It also stops where more than a kilobyte of something else lies between two frames.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from datasets.system.files import open_regular
from embedding.decoding.spliced import Piece

SEARCH_BYTES: Final = 1 << 20
"""Bytes that are read at a time when all frames are looked for."""

FIRST_BYTES: Final = 1 << 13
"""Bytes that are read to find the first frame."""

MAX_GARBAGE: Final = 1 << 24
"""Bytes without a frame after which the search for the first one ends."""

IN_A_ROW: Final = 4
"""Frames that must follow one another where frames begin; two headers in a row are often chance."""

TRAILER: Final = 1 << 16
"""Bytes behind the last frame that are not looked at: tags, mostly."""

_SAMPLED_FRAMES: Final = 24
"""Places where a file without a length is tried for frames of one size."""

_SAME: Final = 0xFFFE0C00
"""Bits of a header that are the same in all frames: sync, version, layer and sample rate."""

_KBITS: Final = {  # by (is version 1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _version_layer_rate(header: int) -> tuple[bool, int, int] | None:
    """Whether a header is of MPEG version 1, its layer, and its sample rate in Hz."""
    rates = _RATES.get(header >> 19 & 3)
    layer, number = 4 - (header >> 17 & 3), header >> 10 & 3
    if header >> 21 != 0x7FF or rates is None or layer == 4 or number == 3:
        return None
    return header >> 19 & 3 == 3, layer, rates[number]


def _length(header: int) -> int:
    """Length of a frame in bytes; 0 if this is no header, or does not say."""
    known, bits = _version_layer_rate(header), header >> 12 & 15
    if known is None or bits in (0, 15):
        return 0
    first, layer, rate = known
    bytes_a_second, padding = _KBITS[first, layer][bits - 1] * 125, header >> 9 & 1
    if layer == 1:
        return (48 * bytes_a_second // rate // 4 * 4 // 4 + padding) * 4
    return (1152 if first or layer == 2 else 576) * bytes_a_second // rate + padding


_LENGTHS: Final = tuple(_length(0x7FF << 21 | middle << 9) for middle in range(1 << 12))
"""Lengths of frames by the twelve bits of a header after its sync."""


@dataclass(frozen=True)
class Mp3Frames:
    """The frames of an mp3.

    Attributes:
        first: header of the first frame.
        count: number of frames.
        runs: where they are, in order.
    """

    first: int
    count: int
    runs: tuple[range, ...]

    @property
    def samples(self) -> int:
        """Length in samples of one channel."""
        return self.count * _samples(self.first)

    def pieces(self) -> list[Piece]:
        """The frames behind a header that gives their number, to be read as a `SplicedFile`."""
        if not _is_layer_3(self.first):  # in which alone there is such a header
            return list(self.runs)
        # Without a checksum and padding, at a bit rate in whose frames the header has room.
        header = self.first & ~0xF200 | 0x10000 | (9 if _is_first_version(self.first) else 8) << 12
        frame = bytearray(_LENGTHS[header >> 9 & 0xFFF])
        size = len(frame) + sum(map(len, self.runs))
        struct.pack_into(">I", frame, 0, header)
        at = _place_of_length(header)
        struct.pack_into(">4sIII", frame, at, b"Xing", 3, self.count, min(size, 0xFFFFFFFF))
        return [bytes(frame), *self.runs]


def _is_layer_3(header: int) -> bool:
    return header >> 17 & 3 == 1


def _is_first_version(header: int) -> bool:
    return header >> 19 & 3 == 3


def _samples(header: int) -> int:
    layer = 4 - (header >> 17 & 3)
    if layer == 1:
        return 384
    return 1152 if layer == 2 or _is_first_version(header) else 576


def _place_of_length(header: int) -> int:
    """Where the number of frames stands in the first frame: behind its empty side information."""
    mono = header >> 6 & 3 == 3
    return 4 + ((17 if mono else 32) if _is_first_version(header) else (9 if mono else 17))


def find_frames(path: Path) -> Mp3Frames | None:
    """Find all frames of an mp3, whatever lies before, between and behind them.

    Returns:
        None if there are none.
    """
    with open_regular(path) as stream:
        at = _behind_tags(stream)
        search = _FrameSearch(stream)
        runs: list[range] = []
        key = first = count = 0
        while (start := search.next_run(at, key)) is not None:
            if not runs:
                if start - at > MAX_GARBAGE:
                    return None
                first = search.header(start)
                if _states_length(stream, start, first) is not None:
                    start += _LENGTHS[first >> 9 & 0xFFF]
                key = first & _SAME
            at, number = search.end_of_run(start, key)
            if at > start:
                runs.append(range(start, at))
                count += number
            at = max(at, start + 1)
        return Mp3Frames(first, count, tuple(runs)) if count else None


def right_frames(path: Path, samples: int) -> Mp3Frames | None:
    """Find the frames of an mp3 that libsndfile opened, if their number is not what it believes.

    Args:
        path: the file.
        samples: its length according to libsndfile, in samples of one channel.

    Returns:
        None if the length is right, or nothing better is known.
    """
    with open_regular(path) as stream:
        start = _behind_tags(stream)
        stream.seek(0, 2)
        size = stream.tell()
        search = _FrameSearch(stream, FIRST_BYTES)
        found = search.next_run(start, 0, most=FIRST_BYTES)
        if found is None:
            return None
        header = search.header(found)
        if not _is_layer_3(header):
            return None
        stated = _states_length(stream, found, header)
        if stated is not None:
            frames, length = stated
            known = abs(frames * _samples(header) - samples) <= 4 * _samples(header)
            # Nothing more than tags behind the frames that it counts.
            if known and size - found - length <= TRAILER + length // 50:
                return None
        elif _has_frames_of_one_size(stream, found, header, size, samples):
            return None
    frames_found = find_frames(path)
    if frames_found is None:
        return None
    wrong = abs(frames_found.samples - samples)
    return frames_found if wrong > max(20 * _samples(frames_found.first), samples // 100) else None


def _behind_tags(stream: BinaryIO) -> int:
    """Place behind the ID3v2 tags at the beginning."""
    at = 0
    while True:
        stream.seek(at)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 127:
            return at
        a, b, c, d = head[6:]
        at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)


def _states_length(stream: BinaryIO, start: int, header: int) -> tuple[int, int] | None:
    """Number of frames and of bytes that the first frame states; None if it does not.

    Without a number of bytes: as many as there could be.
    """
    at = _place_of_length(header)
    stream.seek(start)
    frame = stream.read(at + 16) + bytes(56)
    name, flags, frames, size = struct.unpack_from(">4sIII", frame, at)
    if name in (b"Xing", b"Info") and flags & 1 and frames:
        return frames, size if flags & 2 else 1 << 62
    stream.seek(start + 36)
    name, size, frames = struct.unpack(">4s6xII", (stream.read(18) + bytes(18))[:18])
    return (frames, size) if name == b"VBRI" and frames else None


def _has_frames_of_one_size(
    stream: BinaryIO, start: int, header: int, size: int, samples: int
) -> bool:
    """Whether frames of one bit rate, from the first to the last, have the believed length."""
    known = _version_layer_rate(header)
    if known is None:
        return False
    first, layer, rate = known
    bytes_a_second = _KBITS[first, layer][(header >> 12 & 15) - 1] * 125
    a_frame = _samples(header) * bytes_a_second / rate
    frames = (size - start) / a_frame
    if abs(frames * _samples(header) - samples) > max(samples // 100, 20 * _samples(header)):
        return False
    same = _SAME | 0xF000
    for sample in range(1, _SAMPLED_FRAMES):
        stream.seek(start + int(round(frames * sample / _SAMPLED_FRAMES) * a_frame) - 3)
        near = stream.read(10)
        headers = (int.from_bytes(near[place : place + 4], "big") for place in range(7))
        if not any(found & same == header & same for found in headers):
            return False
    return True


class _FrameSearch:
    """Looks for frames in a file, of which it holds a part."""

    def __init__(self, stream: BinaryIO, chunk: int = SEARCH_BYTES) -> None:
        self._stream, self._chunk = stream, chunk
        self._start, self._data = 0, b""

    def header(self, at: int) -> int:
        """The four bytes at a place; 0 at the end of the file."""
        place = at - self._start
        data = self._data[place : place + 4] if place >= 0 else b""
        if len(data) < 4:
            self._stream.seek(at)
            data = self._stream.read(4)
        return int.from_bytes(data, "big") if len(data) == 4 else 0

    def next_run(self, at: int, key: int, most: int | None = None) -> int | None:
        """Where frames follow one another from ``at`` on; None if nowhere.

        Args:
            at: where the search begins.
            key: what their headers must have in common; 0 for anything.
            most: bytes after which the search ends.
        """
        end = None if most is None else at + most
        while (end is None or at < end) and self._load(at):
            found = self._data.find(b"\xff", at - self._start)
            if found < 0:
                at = self._start + len(self._data)
                continue
            at = self._start + found
            if self._begins(at, key):
                return at
            at += 1
        return None

    def end_of_run(self, at: int, key: int) -> tuple[int, int]:
        """Where frames that follow one another end, and how many there are."""
        count = 0
        lengths = _LENGTHS
        while self._load(at, 4):
            data, origin = self._data, self._start
            place, size = at - origin, len(data)
            while place + 4 <= size:
                header = int.from_bytes(data[place : place + 4], "big")
                length = lengths[header >> 9 & 0xFFF]
                if header & _SAME != key or not length:
                    return origin + place, count
                if place + length > size:
                    break
                place += length
                count += 1
            if origin + place == at and not self._load(at, length if place + 4 <= size else 4):
                return at, count  # cut off
            at = origin + place
        return at, count

    def _begins(self, at: int, key: int) -> bool:
        first = 0
        for _ in range(IN_A_ROW):
            header = self.header(at)
            length = _LENGTHS[header >> 9 & 0xFFF] if header >> 21 == 0x7FF else 0
            if not length or header & 3 == 2 or (key and header & _SAME != key):
                return False
            key, first = header & _SAME, first or at
            at += length
        return True

    def _load(self, at: int, least: int = 1) -> bool:
        """Hold a chunk from a place on, of so many bytes at least; False if there are none."""
        if at < self._start or at + least > self._start + len(self._data):
            self._stream.seek(at)
            self._start, self._data = at, self._stream.read(self._chunk)
        return len(self._data) - (at - self._start) >= least
