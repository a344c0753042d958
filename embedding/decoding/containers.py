"""What a file is by its first bytes, and the length of m4a and aac without starting a program.

ffmpeg takes longer to start than to decode a snippet, so it is started once, with the place of the
snippet. Where that is depends on the length of the recording, which these formats state in a few
bytes (ISO/IEC 14496-12) or in the heads of their frames (ISO/IEC 13818-7).
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from datasets.system.files import open_regular

HEAD_BYTES = 64

MAX_BOXES = 10_000
"""Boxes of an m4a that are looked at; a recording has a few dozen."""

MAX_ADTS_BYTES = 1 << 28
"""Largest aac file whose frames are counted here."""

_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "MPEG-4 (m4a, mp4)"),
    (4, b"moov", "QuickTime (mov)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska (mka, webm)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (wma)"),
    (0, b"MAC ", "Monkey's Audio (ape)"),
    (0, b"wvpk", "WavPack (wv)"),
    (0, b"TTA1", "True Audio (tta)"),
    (0, b"tBaK", "TAK"),
    (0, b"MPCK", "Musepack (mpc)"),
    (0, b"MP+", "Musepack (mpc)"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x0b\x77", "Dolby Digital (ac3)"),
    (0, b"DSD ", "DSD (dsf)"),
    (0, b"FRM8", "DSD (dff)"),
    (0, b"FLV\x01", "Flash video (flv)"),
    (8, b"AVI ", "AVI"),
    (0, b"ADIF", "AAC"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
"""Place and content of the bytes that tell the formats of which only ffmpeg reads."""

_ADTS_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip

_ADTS_FRAMES = 1024


@dataclass(frozen=True)
class StreamInfo:
    """The first audio stream of a file, as the file describes it or as it was measured.

    Attributes:
        rate: sample rate, Hz.
        seconds: length.
        offset: what ffmpeg's clock shows more than the place in the decoded sound, in seconds.
    """

    rate: int
    seconds: float
    offset: float = 0.0


def kind_for_ffmpeg(path: Path) -> str | None:
    """Return the name of a file's format if it is one that only ffmpeg reads, by its content."""
    with open_regular(path) as stream:
        head = stream.read(HEAD_BYTES)
    return next((name for at, magic, name in _KINDS if head[at : at + len(magic)] == magic), None)


_OTHER_CODECS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b"OggS", b".snd")

_OGG_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
"""Beginnings of an Ogg file's first packet that libsndfile reads."""


def may_need_ffmpeg(path: Path) -> bool:
    """Return whether a file is of a format of which libsndfile knows some codecs, ffmpeg others."""
    with open_regular(path) as stream:
        head = stream.read(HEAD_BYTES)
    return head.startswith(_OTHER_CODECS) and not any(name in head for name in _OGG_CODECS)


def file_version(path: Path) -> tuple[int, ...]:
    """Return numbers that change when another file takes the place of this one.

    Raises:
        OSError: there is no file.
    """
    return _version(path.stat())


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_header(path: Path) -> StreamInfo | None:
    """Read rate and exact length of an m4a or aac file.

    Returns:
        None for other formats, and where these are damaged, fragmented or cut in an odd way.
    """
    with open_regular(path) as stream:
        key = _version(os.fstat(stream.fileno()))
        with suppress(KeyError):  # looked at before it was decoded together with others
            return _seen[key]
        info = _read_header(stream)
    with suppress(RuntimeError, StopIteration):  # another thread changes it
        while len(_seen) >= MAX_SEEN:
            _seen.pop(next(iter(_seen)), None)
    _seen[key] = info
    return info


MAX_SEEN = 64
"""Files whose headers are remembered."""

_seen: dict[tuple[int, ...], StreamInfo | None] = {}


def _read_header(stream: BinaryIO) -> StreamInfo | None:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    try:
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _Mpeg4(stream).info()
        if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0):
            return _adts_info(stream)
    except (struct.error, OverflowError, ZeroDivisionError):
        pass  # it ends where something should be
    return None


class _Mpeg4:
    """Boxes of an MPEG-4 file, of which few and only small ones are read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._boxes = 0

    def info(self) -> StreamInfo | None:
        moov = self._find((0, self._stream.seek(0, 2)), b"moov")
        # In fragments the header knows nothing of the length.
        if moov is None or self._find(moov, b"mvex") is not None:
            return None
        movie_rate = self._rate_and_length(self._find(moov, b"mvhd"))[0]
        for name, trak in self._inside(moov):
            if name == b"trak" and self._read(self._find(trak, b"mdia", b"hdlr"), 8, 4) == b"soun":
                return self._track_info(trak, movie_rate)
        return None

    def _track_info(self, trak: tuple[int, int], movie_rate: int) -> StreamInfo | None:
        clock, length = self._rate_and_length(self._find(trak, b"mdia", b"mdhd"))
        edits = self._find(trak, b"edts", b"elst")
        if edits is not None:
            version, count = struct.unpack(">B3xI", self._read(edits, 0, 8))
            layout = ">Qqi" if version else ">Iii"
            shown, start, _ = struct.unpack(layout, self._read(edits, 8, struct.calcsize(layout)))
            if count != 1 or start < 0:
                return None
            # Before `start` is what the encoder needs to begin. The length that is shown is rounded
            # to the clock of the movie, which is coarse; the end of the track is exact.
            length -= start
            if shown and shown + 2 < length / clock * movie_rate:
                length = round(shown / movie_rate * clock)
        sound = self._read(self._find(trak, b"mdia", b"minf", b"stbl", b"stsd"), 8, 36)
        (rate,) = struct.unpack(">32xI", sound)
        if not 0 < length < 2**48 or not clock > 0:
            return None
        # Rates of 65,536 Hz and more do not fit into this field.
        return StreamInfo((rate >> 16) or clock, length / clock)

    def _rate_and_length(self, box: tuple[int, int] | None) -> tuple[int, int]:
        (version,) = self._read(box, 0, 1)
        layout, at = (">IQ", 20) if version else (">II", 12)
        rate, length = struct.unpack(layout, self._read(box, at, struct.calcsize(layout)))
        return rate, length

    def _find(self, box: tuple[int, int], *names: bytes) -> tuple[int, int] | None:
        """Return where the content of the first box of this name lies, in a box or deeper."""
        for name in names:
            found = next((inner for kind, inner in self._inside(box) if kind == name), None)
            if found is None:
                return None
            box = found
        return box

    def _inside(self, box: tuple[int, int]) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Yield name and (begin, end) of the content of each box in another."""
        at, end = box
        while at + 8 <= end and self._boxes < MAX_BOXES:
            self._boxes += 1
            self._stream.seek(at)
            size, name = struct.unpack(">I4s", self._stream.read(8))
            head = 8
            if size == 1:
                (size,) = struct.unpack(">Q", self._stream.read(8))
                head = 16
            elif size == 0:
                size = end - at
            if size < head:
                return
            yield name, (at + head, min(at + size, end))
            at += size

    def _read(self, box: tuple[int, int] | None, at: int, size: int) -> bytes:
        if box is None or box[0] + at + size > box[1]:
            raise struct.error("the box is missing or too short")
        self._stream.seek(box[0] + at)
        return self._stream.read(size)


def _adts_info(stream: BinaryIO) -> StreamInfo | None:
    """Count the frames of an aac file, which has no header."""
    data = stream.read(MAX_ADTS_BYTES + 1)
    if len(data) > MAX_ADTS_BYTES:
        return None
    at = 0
    if data[:3] == b"ID3":
        a, b, c, d = data[6:10]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    first, blocks, size = at, 0, len(data)
    while at + 7 <= size and data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
        length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if length < 7 or at + length > size:
            break
        blocks += (data[at + 6] & 3) + 1
        at += length
    # Something else between the frames: ffmpeg looks for the next one.
    if not blocks or size - at > max(8192, size // 1000):
        return None
    rate_number = data[first + 2] >> 2 & 15
    if rate_number >= len(_ADTS_RATES):
        return None
    rate = _ADTS_RATES[rate_number]
    return StreamInfo(rate, blocks * _ADTS_FRAMES / rate)
