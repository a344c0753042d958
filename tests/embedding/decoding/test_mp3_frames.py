"""mp3 files with wrong lengths, garbage, damage: all that is there is heard in its place."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.decoding.mp3_frames import find_frames, right_frames
from embedding.decoding.readers import silence_decoder

SECONDS = 20
RATE = 44100


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A variable bit rate: ten seconds of near silence, then noise that dies away each second."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=SECONDS * RATE) * np.tile(np.linspace(0.3, 0, RATE), SECONDS)
    y[: 10 * RATE] *= 1e-3
    path = tmp_path_factory.mktemp("mp3") / "song.mp3"
    soundfile.write(path, y, RATE, bitrate_mode="VARIABLE", compression_level=0.4)
    return path.read_bytes()


def without_length(song: bytes) -> bytes:
    """Without the first frame, which holds no sound but the number of frames."""
    at = song.index(b"\xff\xfb", 4)
    assert b"Xing" in song[:at] or b"Info" in song[:at]
    return song[at:]


def check(path: Path, content: bytes, seconds: float = SECONDS) -> None:
    path.write_bytes(content)
    windows = load_snippets(path, SnippetConfig(position="whole", seconds=1), 22050)
    assert abs(len(windows) - seconds) <= 1
    # The loud half is the second one.
    levels = np.array([window.std() for window in windows])
    assert (levels[: len(levels) // 2 - 2] < 0.01).all()
    assert (levels[len(levels) // 2 + 2 :] > 0.05).all()


def test_without_a_header_of_lengths(song: bytes, tmp_path: Path) -> None:
    check(tmp_path / "song.mp3", without_length(song))


@pytest.mark.parametrize("size", [5000, 100_000])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_with_garbage_in_front(
    song: bytes, tmp_path: Path, size: int, kind: str, monkeypatch
) -> None:
    monkeypatch.setenv("PATH", "")
    garbage = bytes(size) if kind == "zeros" else np.random.default_rng(0).bytes(size)
    check(tmp_path / "song.mp3", garbage + song)


def test_with_garbage_between_and_behind(song: bytes, tmp_path: Path, caplog) -> None:
    noise = np.random.default_rng(0).bytes(10_000)
    middle = len(song) // 2
    check(tmp_path / "song.mp3", song[:middle] + noise + song[middle:])
    assert "song.mp3: is damaged in 1 places, which are left out" in caplog.text
    caplog.clear()
    check(tmp_path / "song.mp3", without_length(song) + 10 * noise)
    assert caplog.text == ""


def test_cut_off(song: bytes, tmp_path: Path, caplog) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(song[: len(song) // 2])
    windows = load_snippets(path, SnippetConfig(position="whole", seconds=1), 22050)
    assert 8 < len(windows) < SECONDS - 2
    assert "song.mp3: is cut off or damaged: " in caplog.text


def test_two_behind_one_another(song: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    for content in (song + song, without_length(song) * 2):
        path.write_bytes(content)
        windows = load_snippets(path, SnippetConfig(position="whole", seconds=1), 22050)
        assert abs(len(windows) - 2 * SECONDS) <= 1


def test_with_a_huge_tag(song: bytes, tmp_path: Path) -> None:
    # Sizes in tags have seven bits a byte: 3 MiB.
    tag = b"ID3\x03\0\0" + bytes([1, 64, 0, 0]) + b"\xff\xfb\x90\x00" * ((3 << 20) // 4)
    check(tmp_path / "song.mp3", tag + without_length(song))


def test_a_constant_bit_rate_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    y = np.random.default_rng(0).normal(size=SECONDS * RATE) / 10
    soundfile.write(path, y, RATE, bitrate_mode="CONSTANT", compression_level=0.5)
    content = without_length(path.read_bytes())
    path.write_bytes(content)
    with silence_decoder():
        frames = soundfile.info(path).frames
    assert right_frames(path, frames) is None
    found = find_frames(path)
    assert found is not None
    assert abs(found.samples - SECONDS * RATE) < 4 * 1152
    # Tags at the end, as of pictures, are not taken for sound.
    path.write_bytes(content + b"APETAGEX" + bytes(len(content)))
    found = right_frames(path, 2 * frames)
    assert found is not None
    assert abs(found.samples - SECONDS * RATE) < 4 * 1152


def test_a_good_file_is_left_as_it_is(song: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(song)
    assert right_frames(path, soundfile.info(path).frames) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xfb\x90\x00" * 3000, bytes(5000)])
def test_what_is_no_mp3(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert find_frames(path) is None
    assert right_frames(path, 1000) is None
    path.write_bytes(np.random.default_rng(0).bytes(300_000))
    assert find_frames(path) is None
