"""Coded streams that are stored as samples, and music that must not be taken for one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.decoding.bitstreams import refuse_bitstream


def words(
    *,
    sync: tuple[int, ...],
    distance: int,
    bits: int = 16,
    channels: int = 2,
    length: int = 40_000,
) -> np.ndarray:
    """Samples of random words with sync words at a distance: float32 [frames, channels]."""
    half = 1 << (bits - 1)
    stream = np.random.default_rng(0).integers(-half, half, length)
    for start in range(77, len(stream) - len(sync), distance):
        stream[start : start + len(sync)] = [(word ^ half) - half for word in sync]
    return (stream / half).astype(np.float32).reshape(-1, channels)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("a DTS bit stream", words(sync=(0x7FFE, 0x8001), distance=1024)),
        ("a DTS bit stream", words(sync=(0xFE7F, 0x0180), distance=1024)),
        ("a DTS bit stream", words(sync=(0x1FFF, 0xE800), distance=2048)),
        ("a DTS bit stream", words(sync=(0x7FFE0000, 0x80010000), distance=1024, bits=32)),
        ("a coded bit stream", words(sync=(0xF872, 0x4E1F), distance=3072)),
        ("a coded bit stream", words(sync=(0x6F872, 0x54E1F), distance=3840, bits=20)),
        ("a coded bit stream", words(sync=(0x96F872, 0xA54E1F), distance=3840, bits=24)),
        # Bursts of E-AC-3 and of Dolby TrueHD are further apart.
        ("a coded bit stream", words(sync=(0xF872, 0x4E1F), distance=12_288, length=100_000)),
        ("a coded bit stream", words(sync=(0xF872, 0x4E1F), distance=30_720, length=100_000)),
        # 448 kbit/s at 48 kHz: code 30, 1,792 bytes.
        ("an AC-3 bit stream", words(sync=(0x0B77, 0x1234, 0x1E40), distance=896)),
        ("an AC-3 bit stream", words(sync=(0x770B, 0x1234, 0x401E), distance=896)),
        (
            "the data track of a CD-ROM",
            words(sync=(0xFF00, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0x00FF), distance=1176),
        ),
    ],
)
def test_streams_are_refused(name: str, samples: np.ndarray) -> None:
    with pytest.raises(AudioError, match=f"holds {name}"):
        refuse_bitstream(samples)
    refuse_bitstream(samples * np.float32(0.9))  # at another level no decoder would know it


def test_sound_is_not_refused() -> None:
    rng = np.random.default_rng(0)
    loud = rng.integers(-(1 << 15), 1 << 15, (300_000, 2)) / 32768
    # A loud tone of a square wave between the values of the DTS sync word, upside down on the
    # right: each pair of words is one, but they are far too near each other.
    square = np.repeat([[32766, -32767], [-32767, 32766]], 20, axis=0) / 32768
    quiet = rng.integers(-2, 3, (50_000, 2)) / 32768
    for samples in (loud, np.tile(square, (500, 1)), quiet, np.zeros((1000, 2)), np.zeros((1, 1))):
        refuse_bitstream(samples.astype(np.float32))


def test_one_sync_word_is_chance() -> None:
    refuse_bitstream(words(sync=(0x7FFE, 0x8001), distance=30_000))


@pytest.mark.parametrize("channels", [1, 2])
def test_dsd_over_pcm_is_refused(channels: int) -> None:
    rng = np.random.default_rng(0)
    marks = np.where(np.arange(5000) % 2, 0x05, 0xFA)[:, None]
    stream = marks << 16 | rng.integers(0, 1 << 16, (5000, channels))
    samples = (((stream ^ 0x800000) - 0x800000) / 0x800000).astype(np.float32)
    with pytest.raises(AudioError, match="holds a DSD stream"):
        refuse_bitstream(samples)
    samples[100] = 0
    refuse_bitstream(samples)


def test_samples_without_a_place_in_the_range_are_left_to_others() -> None:
    with np.errstate(all="raise"):
        refuse_bitstream(np.array([[np.nan, np.inf], [-np.inf, 1e30]], dtype=np.float32))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
def test_a_rip_is_refused_in_every_kind_of_samples(tmp_path: Path, subtype: str) -> None:
    samples = words(sync=(0x7FFE, 0x8001), distance=1024)
    soundfile.write(tmp_path / "rip.wav", samples, 44100, subtype=subtype)
    with pytest.raises(AudioError, match=r"rip\.wav: holds a DTS bit stream"):
        load_snippets(tmp_path / "rip.wav", SnippetConfig(seconds=0.2), 22050)
