import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.decoding.wav_chunks import wav_pieces

RATE = 8000
SONG = np.random.default_rng(0).uniform(-0.5, 0.5, (6 * RATE, 2)).astype(np.float32)


def wav(**options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SONG, RATE, format=options.pop("format", "WAV"), **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if size is None else size) + content


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return chunk(b"RIFF", content)


FORM = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16))
SAMPLES = wav()[44:]


def sized(size: int, whole: int) -> bytes:
    return chunk(b"RIFF", b"WAVE" + FORM + chunk(b"data", SAMPLES, size), whole)


@pytest.mark.parametrize(
    "content",
    [
        sized(0, 0),
        sized(0, len(SAMPLES) + 36),
        sized(0xFFFFFFFF, 0xFFFFFFFF),
        sized(0x7FFFFFFF, 0x7FFFFFFF),
        sized(10**9, 10**9),
        sized(1000, 1036),
        sized(len(SAMPLES) // 2, len(SAMPLES) // 2 + 36),
        riff(chunk(b"data", SAMPLES), FORM),
        riff(FORM, chunk(b"data", b""), chunk(b"data", SAMPLES)),
        riff(FORM, chunk(b"data", SAMPLES), chunk(b"data", b"")),
        riff(FORM, chunk(b"junk", bytes(7)), chunk(b"data", SAMPLES)),
        riff(FORM, chunk(b"junk", bytes(7)) + b"\0", chunk(b"data", SAMPLES)),
        riff(chunk(b"LIST", bytes(60_000)), FORM, chunk(b"data", SAMPLES)),
        bytes(512) + riff(FORM, chunk(b"data", SAMPLES)),
        b"HTTP/1.1 200 OK\r\n\r\n" + riff(FORM, chunk(b"data", SAMPLES)),
        riff(FORM, chunk(b"data", SAMPLES), chunk(b"LIST", bytes(3 * len(SAMPLES)))),
        wav(format="RF64"),
        wav(format="RF64").replace(b"RF64", b"BW64", 1),
        wav(format="WAVEX"),
        wav(endian="BIG"),
    ],
)
def test_all_samples_are_found(tmp_path: Path, content: bytes, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    path = tmp_path / "song.wav"
    path.write_bytes(content)
    windows = load_snippets(path, SnippetConfig(position="whole", seconds=1), RATE)
    np.testing.assert_allclose(np.concatenate(windows), SONG.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_kinds_of_samples(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "song.wav"
    content = wav(subtype=subtype)
    at = content.index(b"data")
    path.write_bytes(content[: at + 4] + bytes(4) + content[at + 8 :])
    (y,) = load_snippets(path, SnippetConfig(seconds=6), RATE)
    np.testing.assert_allclose(y, SONG.mean(axis=1), atol=0.02)


def test_what_is_no_wav_file(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    for content in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", riff(FORM), riff(chunk(b"data", SAMPLES))):
        path.write_bytes(content)
        assert wav_pieces(path) is None


def test_more_than_4_gib(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(sized(0, 0))
    with path.open("r+b") as stream:
        stream.truncate(5 << 30)  # sparse
    pieces = wav_pieces(path)
    assert pieces is not None
    header, samples = pieces
    assert header[:4] == b"RF64"
    assert len(samples) == (5 << 30) - 44
