import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig
from embedding.audio.waveform import load_waveforms
from embedding.decoding.readers import silence_decoder


def test_remarks_are_dropped_and_the_rest_is_passed_on(capfd) -> None:
    with silence_decoder():
        os.write(2, b"[src/libmpg123/layer3.c:1774] error: part2_3_length too large\n")
        os.write(2, b"Note: Illegal Audio-MPEG-Header\n")
        os.write(2, b"something else\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "something else\n"


def test_the_error_stream_is_back_after_an_error_and_after_nesting(capfd) -> None:
    try:
        with silence_decoder(), silence_decoder():
            os.write(2, b"inside\n")
            raise KeyError
    except KeyError:
        pass
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "inside\nafter\n"


def test_threads_may_share_it(capfd) -> None:
    def speak() -> None:
        for _ in range(50):
            with silence_decoder():
                os.write(2, b"word\n")

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err.count("word\n") == 200


@pytest.mark.slow
def test_decoding_an_mp3_from_the_middle_says_nothing(recording, capfd) -> None:
    from embedding.audio.config import SnippetConfig
    from embedding.audio.snippets import load_snippets

    path = recording("song.mp3", seconds=30)
    load_snippets(path, SnippetConfig(count=5), 22050)
    assert capfd.readouterr() == ("", "")


class TestDamagedFlac:
    """Bytes that were overwritten, behind which libsndfile finds its way again."""

    RATE = 22050

    def song(self, folder: Path) -> tuple[np.ndarray, bytearray]:
        y = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * self.RATE)
        path = folder / "song.flac"
        soundfile.write(path, y, self.RATE)
        return y, bytearray(path.read_bytes())

    def windows(self, path: Path, content: bytes) -> np.ndarray:
        path.write_bytes(content)
        snippet = SnippetConfig(position="whole", seconds=0.5)
        found = load_waveforms(path, snippet, self.RATE, channels=1)
        sound = np.zeros(round((found[-1].start + 0.5) * self.RATE), dtype=np.float32)
        for window in found:  # those without any sound are left out
            start = round(window.start * self.RATE)
            sound[start : start + len(window.samples[0])] = window.samples[0]
        return sound

    @pytest.mark.parametrize("place", [0.0, 0.05, 0.5, 0.97])
    @pytest.mark.parametrize("size", [50, 20_000])
    def test_the_rest_is_heard_in_its_place(self, tmp_path, caplog, place, size) -> None:
        y, content = self.song(tmp_path)
        start = 8192 + round(place * (len(content) - 8192 - size))
        content[start : start + size] = np.random.default_rng(1).bytes(size)
        found = self.windows(tmp_path / "song.flac", bytes(content))
        right = np.isclose(found, y[: len(found)], atol=1e-4)
        lost = (size / len(content) * len(y) + 3 * 4096) / len(y)
        assert len(found) >= len(y) * (1 - lost) - self.RATE
        assert right.mean() > 1 - 2 * lost
        assert "song.flac: is damaged at " in caplog.text or "is cut off" in caplog.text

    def test_in_the_first_frame(self, tmp_path) -> None:
        y, content = self.song(tmp_path)
        first = content.index(b"\xff\xf8", 42)
        content[first + 20 : first + 70] = bytes(50)
        found = self.windows(tmp_path / "song.flac", bytes(content))
        assert np.isclose(found, y[-len(found) :], atol=1e-4).mean() > 0.9

    def test_damaged_and_then_cut_off_or_followed_by_zeros(self, tmp_path, caplog) -> None:
        y, content = self.song(tmp_path)
        content[20_000:20_050] = bytes(50)
        half = bytes(content[: len(content) // 2])
        for ending in (b"", bytes(len(content) // 2)):
            found = self.windows(tmp_path / "song.flac", half + ending)
            assert 9 < len(found) / self.RATE <= 10.5
            assert np.isclose(found, y[: len(found)], atol=1e-4).mean() > 0.9
            assert "song.flac: is cut off or damaged: " in caplog.text

    def test_with_something_in_front(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("PATH", "")
        y, content = self.song(tmp_path)
        for front in (bytes(1000), b"ID3\x03\0\0\0\0\x10\0" + bytes(2048)):
            found = self.windows(tmp_path / "song.flac", front + bytes(content))
            np.testing.assert_allclose(found, y, atol=1e-4)


@pytest.mark.parametrize("form", [0x2001, 0x00FF])
def test_a_codec_that_only_ffmpeg_knows_is_not_called_damage(
    tmp_path: Path, monkeypatch, form: int
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 9000), 8000)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 20, form)
    path.write_bytes(content)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AudioError, match="its codec needs ffmpeg, which is not installed"):
        load_waveforms(path, SnippetConfig(), 8000)
