"""What the tests of the audio side share: small recordings made on the spot."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.arrays import Float32Array


def sound(
    seconds: float, rate: int = 22050, *, pitch: float = 440.0, seed: int = 0
) -> Float32Array:
    """A tone that beats twice a second over a little noise: float32 [samples], peak below 1."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    beat = 0.2 + 0.8 * (np.modf(2 * time)[0] < 0.25)
    return (0.5 * beat * np.sin(2 * np.pi * pitch * time) + 0.01 * noise).astype(np.float32)


def write_song(path: Path, number: int) -> Path:
    """Write a second of a tone that beats: low for even numbers, high for odd ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(11025) / 11025
    wave = np.sin(2 * np.pi * (220, 880)[number % 2] * 2 ** (number / 24) * t)
    noise = 0.05 * np.random.default_rng(number).standard_normal(len(t))
    soundfile.write(path, 0.4 * wave * (1 + np.sin(8 * np.pi * t)) / 2 + noise, 11025)
    return path


def box(name: bytes, *content: bytes) -> bytes:
    """A box of an MPEG-4 file."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def m4a_header(rate: int, seconds: float, *, priming: int = 0) -> bytes:
    """An m4a of this length that holds no sound: all that is read of it to find its length."""
    frames = round(seconds * rate)
    clock = struct.pack(">12xII4x", rate, priming + frames)
    edits = struct.pack(">4xIIii", 1, round(1000 * seconds), priming, 1 << 16)
    sound = struct.pack(">4xII4s16xHH4xI", 1, 36, b"mp4a", 1, 16, rate << 16)
    track = box(
        b"trak",
        box(b"edts", box(b"elst", edits)),
        box(
            b"mdia",
            box(b"mdhd", clock),
            box(b"hdlr", struct.pack(">8x4s12x", b"soun")),
            box(b"minf", box(b"stbl", box(b"stsd", sound))),
        ),
    )
    movie = box(b"mvhd", struct.pack(">12xII80x", 1000, round(1000 * seconds)))
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", movie, track)


def install_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a shell script in the place of the ffmpeg program, and nothing in that of ffprobe."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    for name in ("cat", "sleep"):
        (program.parent / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(program.parent))
    return program


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a recording and gives its path."""

    def write(name: str = "song.wav", seconds: float = 6.0, rate: int = 22050, **kwargs) -> Path:
        channels = kwargs.pop("channels", 1)
        samples = kwargs.pop("samples", None)
        subtype = kwargs.pop("subtype", None)
        if samples is None:
            samples = sound(seconds, rate, **kwargs)
        if channels > 1:
            samples = np.repeat(np.asarray(samples)[:, None], channels, axis=1)
        path = tmp_path / name
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


@pytest.fixture(scope="session")
def real_recordings() -> list[Path]:
    """Real recordings of several formats, where they are at hand."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "real-mini" / "audio"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return sorted(folder.iterdir())
