"""Recordings as bytes and as file objects, and what is none."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio import source as recording_source
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.audio.source import on_disk
from tests.helpers.recordings import install_ffmpeg, m4a_header
from tests.helpers.thorough import times

RATE = 22050


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
class TestSameAsTheFile:
    def test_bytes(self, recording, extension: str) -> None:
        path = recording(f"song.{extension}", seconds=9)
        self.compare(path, path.read_bytes())

    def test_a_stream_in_memory(self, recording, extension: str) -> None:
        path = recording(f"song.{extension}", seconds=9)
        self.compare(path, io.BytesIO(path.read_bytes()))

    def test_an_open_file(self, recording, extension: str) -> None:
        path = recording(f"song.{extension}", seconds=9)
        with path.open("rb") as stream:
            self.compare(path, stream)

    def test_a_spooled_upload(self, recording, extension: str) -> None:
        path = recording(f"song.{extension}", seconds=9)
        with tempfile.SpooledTemporaryFile() as stream:
            stream.write(path.read_bytes())
            stream.seek(0)
            self.compare(path, stream)

    def compare(self, path: Path, source) -> None:
        snippet = SnippetConfig(count=2, seconds=2, position="random", seed=1)
        for expected, y in zip(
            load_snippets(path, snippet, RATE), load_snippets(source, snippet, RATE), strict=True
        ):
            np.testing.assert_array_equal(y, expected)


class TestMessages:
    def message(self, source, kind=AudioError) -> str:
        with pytest.raises(kind) as caught:
            load_snippets(source, SnippetConfig(), RATE)
        message = str(caught.value)
        assert "\n" not in message
        assert "coldtune-" not in message
        return message

    def upload(self, content: bytes, name: str) -> io.BytesIO:
        stream = io.BytesIO(content)
        stream.name = name
        return stream

    def test_name_the_upload(self) -> None:
        stream = self.upload(b"la la la" * 100, "my song.mp3")
        assert self.message(stream).startswith("my song.mp3: cannot be decoded")

    def test_say_how_long_bytes_are_that_have_no_name(self) -> None:
        assert "recording of 1,000 bytes: cannot be decoded" in self.message(bytes(1000))

    def test_keep_a_hostile_name_short_and_on_one_line(self) -> None:
        message = self.message(self.upload(b"x" * 100, "\x1b[31m\n" + "../" * 500 + "x.wav"))
        assert "\x1b" not in message
        assert len(message) < 400

    @pytest.mark.parametrize("source", [b"", io.BytesIO()])
    def test_nothing(self, source) -> None:
        assert "is empty (0 bytes)" in self.message(source)

    def test_a_stream_that_was_read_already(self, recording) -> None:
        with recording().open("rb") as stream:
            stream.read()
            assert "song.wav: is empty" in self.message(stream)

    def test_a_closed_file(self, recording) -> None:
        with recording().open("rb") as stream:
            pass
        assert "song.wav: cannot be read: read of closed file" in self.message(stream)

    def test_a_file_opened_as_text(self, recording) -> None:
        with recording().open(encoding="latin-1") as stream:
            assert "gives str, not bytes" in self.message(stream, InvalidArgumentError)

    def test_an_upload_that_is_read_asynchronously(self) -> None:
        class Upload:
            filename = "song.mp3"

            async def read(self, size: int) -> bytes:
                return b""

        assert "song.mp3: reading it gives coroutine" in self.message(
            Upload(), InvalidArgumentError
        )

    @pytest.mark.parametrize("source", [None, 7, np.zeros(100), ["a.mp3"]])
    def test_what_is_no_recording(self, source) -> None:
        assert type(source).__name__ in self.message(source, InvalidArgumentError)

    def test_a_stream_without_an_end(self, monkeypatch) -> None:
        monkeypatch.setattr(recording_source, "MAX_BYTES", 5 << 20)

        class Endless(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                return bytes(size)

        assert "uploaded recording: is larger than" in self.message(Endless())


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["wav", "flac", "mp3"])
def test_damage_anywhere_gives_sound_or_our_own_error(recording, extension: str) -> None:
    content = np.frombuffer(recording(f"song.{extension}", seconds=3).read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    loaded = 0
    for number in range(times(42, 120)):
        damaged = content.copy()
        places = rng.integers(min(200, len(content)) if number % 2 else len(content), size=20)
        damaged[places] = rng.integers(256, size=20)
        snippet = SnippetConfig(seconds=1, position=("middle", "whole", "end")[number % 3])
        try:
            snippets = load_snippets(damaged.tobytes(), snippet, RATE)
        except AudioError:  # anything else would fail the test
            continue
        loaded += 1
        assert all(y.shape == (RATE,) and np.isfinite(y).all() for y in snippets)
    assert loaded > 0


def test_a_decoder_behind_the_end_that_the_header_gives(recording, monkeypatch) -> None:
    """As damaged mp3s have it: the package then asks for a negative number of samples."""
    original = soundfile.SoundFile.read

    def read(self, frames=-1, *args, **kwargs):
        if self.tell() > RATE:
            raise ValueError("negative dimensions are not allowed")
        return original(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    (y,) = load_snippets(recording(seconds=6), SnippetConfig(seconds=1, position="end"), RATE)
    assert np.abs(y).max() > 0.3


def test_what_was_written_is_removed_again(recording, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    load_snippets(recording().read_bytes(), SnippetConfig(), RATE)
    with pytest.raises(AudioError):
        load_snippets(b"noise", SnippetConfig(), RATE)
    with on_disk([b"one", io.BytesIO(b"two")]) as files:
        assert [file.path.read_bytes() for file in files] == [b"one", b"two"]
    assert list(folder.iterdir()) == []


def test_formats_for_ffmpeg_work_from_bytes_too(recording, tmp_path: Path, monkeypatch) -> None:
    """With a stand-in for the program, which reads the temporary file and not the network."""
    converted = recording("converted.au", seconds=5.25, subtype="FLOAT")
    install_ffmpeg(
        tmp_path,
        monkeypatch,
        'case "$*" in *"-protocol_whitelist file "*" -i file:/"*) ;; *) exit 1;; esac\n'
        f'cat "{converted}"',
    )
    (y,) = load_snippets(m4a_header(RATE, 9), SnippetConfig(position="start"), RATE)
    (expected,) = load_snippets(converted, SnippetConfig(position="start"), RATE)
    np.testing.assert_array_equal(y, expected)
