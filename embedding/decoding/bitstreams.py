"""Recognise data that is stored as if it were PCM samples, and would be heard as noise.

A DTS or AC-3 stream fits into the frames of a CD or of S/PDIF, so rips of such discs are sound wav
and flac files whose samples are no samples. The same holds for the data track of a CD-ROM that was
ripped as audio. All of them begin their blocks with fixed words at fixed distances.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import AudioError

EXAMINED_WORDS: Final = 1 << 17
"""Samples of all channels, from the start of a part, that are searched: four blocks or more."""

_LARGEST_BURST: Final = 1 << 15
"""Largest distance of the preambles of IEC 61937, in words: Dolby TrueHD has 30,720."""

REPEATED: Final = 3
"""Blocks at the right distance that make a stream. A pair of words occurs by chance in one of
twenty-five thousand such parts of noise; three at one distance practically never."""


@dataclass(frozen=True)
class _Stream:
    """A kind of stream, and the words that begin each of its blocks."""

    name: str
    words: tuple[float, ...]
    """As fractions of full scale."""
    least: int
    most: int
    """Smallest and largest distance of blocks, in words."""


def _stream(name: str, bits: int, words: tuple[int, ...], least: int, most: int) -> _Stream:
    """Describe a stream by the unsigned integers, of this many bits, that begin its blocks."""
    half = 1 << (bits - 1)
    return _Stream(name, tuple(((word ^ half) - half) / half for word in words), least, most)


_DTS: Final = "a DTS bit stream"
_CODED: Final = "a coded bit stream (AC-3, DTS or Dolby E)"
_DSD: Final = "a DSD stream (DoP)"
_DSD_MARKS: Final = (0x05, 0xFA)
"""Upper eight of the 24 bits of every sample of DSD over PCM."""

_DATA: Final = "the data track of a CD-ROM"
_STREAMS: Final = (
    # ETSI TS 102 114: the sync word in 16 and in 14 bits, in either byte order.
    _stream(_DTS, 16, (0x7FFE, 0x8001), 48, 8192),
    _stream(_DTS, 16, (0xFE7F, 0x0180), 48, 8192),
    _stream(_DTS, 16, (0x1FFF, 0xE800), 48, 8192),
    _stream(_DTS, 16, (0xFF1F, 0x00E8), 48, 8192),
    # IEC 61937 and SMPTE 337M: the preambles Pa and Pb in 16, 20 and 24 bits.
    _stream(_CODED, 16, (0xF872, 0x4E1F), 48, _LARGEST_BURST),
    _stream(_CODED, 16, (0x72F8, 0x1F4E), 48, _LARGEST_BURST),
    _stream(_CODED, 20, (0x6F872, 0x54E1F), 48, _LARGEST_BURST),
    _stream(_CODED, 24, (0x96F872, 0xA54E1F), 48, _LARGEST_BURST),
    # ECMA-130: twelve bytes before each sector of 2,352 bytes, in either byte order.
    _stream(_DATA, 16, (0xFF00, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0x00FF), 1176, 1176),
    _stream(_DATA, 16, (0x00FF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFF00), 1176, 1176),
)

# ETSI TS 102 366, table 5.18: bit rates in kbit/s. A frame has 1,536 samples.
_AC3_RATES: Final = (
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
)  # fmt: skip
_AC3_SYNC: Final = {0x0B77: False, 0x770B: True}
"""Its sync word, and whether the two bytes of each word are swapped."""


@cache
def _first_words() -> NDArray[np.bool_]:
    """bool [65536]: whether the upper 16 bits of a word, unsigned, may begin a block."""
    known = np.zeros(1 << 16, dtype=np.bool_)
    known[[int(np.floor(stream.words[0] * 32768)) for stream in _STREAMS]] = True
    known[list(_AC3_SYNC)] = True
    return known


def refuse_bitstream(part: Float32Array) -> None:
    """Raise AudioError if the samples are the words of a coded stream.

    Args:
        part: samples of a lossless file, of which integers are divided by full scale, float32
            [frames, channels].

    Raises:
        AudioError: they are DTS, AC-3, Dolby E, DSD or the data track of a CD-ROM.
    """
    words = part.reshape(-1)[:EXAMINED_WORDS]
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity have no upper bits
        upper = np.floor(words * np.float32(32768)).astype(np.int16)
    if len(upper) and np.isin(upper.view(np.uint16) >> 8, _DSD_MARKS).all():
        raise AudioError(_refusal(_DSD))
    places = np.flatnonzero(_first_words()[upper.view(np.uint16)])
    if len(places) < REPEATED:
        return
    for stream in _STREAMS:
        if _is_stream(stream, words, places):
            raise AudioError(_refusal(stream.name))
    if _is_ac3(upper.view(np.uint16), places):
        raise AudioError(_refusal("an AC-3 bit stream"))


def _refusal(name: str) -> str:
    return f"holds {name} in place of sound; it has to be decoded before it can be heard"


def _is_stream(stream: _Stream, words: Float32Array, places: IntArray) -> bool:
    """Whether most of the blocks that begin at some of the places follow at one distance."""
    places = places[places <= len(words) - len(stream.words)]
    for offset, word in enumerate(stream.words):
        places = places[words[places + offset] == np.float32(word)]
    if len(places) < REPEATED:
        return False
    distances = np.diff(places)
    usual = int(np.median(distances))
    return stream.least <= usual <= stream.most and 2 * int((distances == usual).sum()) >= len(
        distances
    )


def _is_ac3(words: NDArray[np.uint16], places: IntArray) -> bool:
    """Whether words are AC-3 frames without preambles; the header of each tells its length."""
    found = 0
    for place in places[places < len(words) - 2].tolist():
        swapped = _AC3_SYNC.get(int(words[place]))
        if swapped is None:
            continue
        third = int(words[place + 2])
        size = _ac3_words(third & 0xFF if swapped else third >> 8)
        found += size > 0 and place + size < len(words) and words[place + size] == words[place]
    return found >= REPEATED - 1


def _ac3_words(code: int) -> int:
    """Length of an AC-3 frame in 16-bit words by its fifth byte; 0 if that is invalid."""
    rate, size = code >> 6, code & 63
    if rate == 3 or size >= 2 * len(_AC3_RATES):
        return 0
    kbits = _AC3_RATES[size >> 1]
    if rate == 1:  # 44.1 kHz, where every other frame is a word longer
        return 320 * kbits // 147 + (size & 1)
    return kbits * (2 if rate == 0 else 3)
