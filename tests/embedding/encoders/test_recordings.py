"""Many recordings, embedded by any encoder."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import EncoderError, InvalidArgumentError
from embedding import CallableEncoder, FineTunedEncoder, HeadConfig, SnippetConfig, SongEncoder
from embedding.audio.snippets import load_snippets
from embedding.encoders import MusiCNN, embed_files, load_encoder
from embedding.encoders.songs import mean_by_recording
from embedding.hyperimage import extract
from embedding.hyperimage import inputs as inputs_module

RATE = 8000


def levels(windows: np.ndarray) -> np.ndarray:
    parts = windows.reshape(len(windows), 4, -1)
    return parts.std(axis=2)


@pytest.fixture
def songs(recording) -> list[Path]:
    return [
        recording(f"{n}.wav", seconds=3 + n, pitch=200.0 + 30 * n, seed=n, rate=22050)
        for n in range(4)
    ]


class Counting(CallableEncoder):
    """An encoder that counts the windows that it is given, but for the noise it is tried on."""

    def __init__(self, function=levels, **settings) -> None:
        self.heard = 0

        def counted(windows: np.ndarray) -> np.ndarray:
            self.heard += len(windows)
            return function(windows)

        super().__init__(counted, **{"sample_rate": RATE, "window": 1.0, "name": "l", **settings})
        _ = self.dimension
        self.heard = 0


def test_the_mean_of_three_windows(songs: list[Path]) -> None:
    found = embed_files(songs, Counting(), workers=0)
    snippet = SnippetConfig(seconds=1.0, count=3)
    expected = [levels(np.stack(load_snippets(s, snippet, RATE))).mean(axis=0) for s in songs]
    np.testing.assert_allclose(found.embeddings, expected, rtol=1e-6)
    assert (found.computed, found.failures, found.probabilities) == (4, (), {})


@pytest.mark.slow
def test_decoding_in_other_processes(songs: list[Path]) -> None:
    alone = embed_files(songs, Counting(), workers=0)
    found = embed_files(songs, Counting(), workers=2)
    np.testing.assert_allclose(found.embeddings, alone.embeddings, rtol=1e-6)


def test_recordings_that_cannot_be_used(songs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    names = [songs[0], tmp_path / "text.wav", "none.mp3", songs[1]]
    found = embed_files(names, Counting(), workers=0)
    assert np.isnan(found.embeddings).all(axis=1).tolist() == [False, True, True, False]
    assert [failure.path.name for failure in found.failures] == ["text.wav", "none.mp3"]
    assert embed_files([], Counting()).embeddings.shape == (0, 4)
    with pytest.raises(InvalidArgumentError, match="workers must be 0 or more"):
        embed_files(songs, Counting(), workers=-1)


def test_recordings_that_the_encoder_has_no_numbers_for(songs: list[Path]) -> None:
    def picky(windows: np.ndarray) -> np.ndarray:
        found = levels(windows)
        loud = np.abs(np.fft.rfft(windows, axis=1))[:, 210:250].max(axis=1) > 100
        return np.where(loud[:, None], np.nan, found)

    found = embed_files(songs, Counting(picky), workers=0)
    assert np.isnan(found.embeddings).any(axis=1).tolist() == [False, True, False, False]
    assert found.failures[0].message.endswith(
        "1.wav: the encoder returned NaN or infinite values for it"
    )


def test_an_error_of_the_encoder_names_the_recording(songs: list[Path]) -> None:
    def failing(windows: np.ndarray) -> np.ndarray:
        if len(windows) > 2:  # not of the noise it is tried on
            raise RuntimeError("out of memory")
        return levels(windows)

    with pytest.raises(EncoderError, match=r"0\.wav.*: the function l: raised RuntimeError"):
        embed_files(songs, Counting(failing), workers=0)


def test_short_recordings_are_repeated(recording) -> None:
    path = recording("short.wav", seconds=0.4, rate=RATE)
    whole = embed_files([path], Counting(lambda x: x), workers=0).embeddings[0]
    np.testing.assert_array_equal(whole[:3200], whole[3200:6400])
    assert whole.any()


def test_a_whole_recording(songs: list[Path]) -> None:
    snippet = SnippetConfig(seconds=1.0, position="whole")
    encoder = Counting(snippet=snippet)
    embed_files(songs[1:2], encoder, workers=0)
    assert encoder.heard == 4


class TestKept:
    def test_a_function_is_known_while_it_is_there(self, songs: list[Path], tmp_path: Path) -> None:
        encoder = Counting()
        first = embed_files(songs, encoder, workers=0, cache=tmp_path)
        again = embed_files(songs[::-1], encoder, workers=0, cache=tmp_path)
        np.testing.assert_array_equal(again.embeddings, first.embeddings[::-1])
        assert (encoder.heard, again.computed) == (12, 0)
        other = Counting()
        assert embed_files(songs, other, workers=0, cache=tmp_path).computed == 4
        assert not list(tmp_path.glob("*.sqlite"))

    def test_with_a_version_it_is_known_on_disk(self, songs: list[Path], tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        first = embed_files(songs[:3], Counting(version="1"), workers=0, cache=cache)
        encoder = Counting(version="1")
        again = embed_files(songs, encoder, workers=0, cache=cache)
        np.testing.assert_array_equal(again.embeddings[:3], first.embeddings)
        assert (encoder.heard, again.computed) == (3, 1)
        others = (
            Counting(version="2"),
            Counting(version="1", window=0.5),
            Counting(version="1", snippet=SnippetConfig(seconds=1)),
            Counting(lambda x: -levels(x), version="1"),
        )
        for other in others:
            assert embed_files(songs[:1], other, workers=0, cache=cache).computed == 1
        songs[0].write_bytes(songs[1].read_bytes()[:-4])
        assert embed_files(songs, Counting(version="1"), workers=0, cache=cache).computed == 1

    def test_probabilities_too(self, songs: list[Path], tmp_path: Path) -> None:
        def both(windows: np.ndarray) -> tuple:
            share = np.clip(windows.std(axis=1), 0, 1)
            return levels(windows), {"loud": np.stack([share, 1 - share], axis=1)}

        for _ in range(2):
            encoder = Counting(both, tags={"loud": ["yes", "no"]}, version="1")
            found = embed_files(songs, encoder, workers=0, cache=tmp_path)
            np.testing.assert_allclose(found.probabilities["loud"].sum(axis=1), 1, rtol=1e-6)
            assert found.embeddings.shape == (4, 4)
        assert encoder.heard == 0


def test_a_lower_sample_rate_is_said_once(recording, caplog) -> None:
    paths = [recording(f"{n}.wav", seconds=2, rate=8000, seed=n) for n in range(3)]
    paths.append(recording("cd.wav", seconds=2, rate=44100))
    with caplog.at_level(logging.WARNING):
        found = embed_files(paths, Counting(sample_rate=16000), workers=0)
    (said,) = [record.message for record in caplog.records]
    assert "0.wav has 8,000 samples a second" in said
    assert "there is nothing above 4,000 Hz in it (so it is with 2 more)" in said
    assert np.isfinite(found.embeddings).all()
    caplog.clear()
    embed_files(paths, Counting(sample_rate=8000), workers=0)
    assert not caplog.records


def test_a_network_embeds_as_it_did(songs: list[Path], example_encoder: SongEncoder) -> None:
    config = example_encoder.config
    images = extract(songs, config.snippet, config.hyperimage, workers=0)
    expected = example_encoder.embed_and_predict(images.images)
    found = embed_files(songs, example_encoder, workers=0)
    np.testing.assert_array_equal(
        found.embeddings, mean_by_recording(expected[0], images.recording, 4)
    )
    assert list(found.probabilities) == ["genre"]


def test_an_encoder_that_is_not_there_says_so_before_decoding(
    songs: list[Path], tmp_path: Path, monkeypatch
) -> None:
    Counting().save(tmp_path)
    monkeypatch.setattr("embedding.encoders.recordings.each_inputs", None)
    with pytest.raises(Exception, match="which a saved model cannot hold"):
        embed_files(songs, load_encoder(tmp_path), workers=0)


def test_a_long_recording_is_embedded_in_parts(
    songs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SnippetConfig(seconds=1.0, position="whole")
    encoder = Counting(snippet=whole, batch=2)
    at_once = embed_files(songs, encoder, workers=0)
    given: list[int] = []

    def noted(windows: np.ndarray) -> np.ndarray:
        given.append(len(windows))
        return levels(windows)

    monkeypatch.setattr(inputs_module, "MAX_BYTES_IN_MEMORY", 4 * RATE * 4)  # four windows
    found = embed_files(songs, Counting(noted, snippet=whole, batch=2), workers=0)
    np.testing.assert_array_equal(found.embeddings, at_once.embeddings)
    assert max(given) <= 2
    tuned = FineTunedEncoder(encoder, HeadConfig(epochs=2, dimension=4, threads=1))
    tuned.fit_vectors(at_once.embeddings, ["a", "b"] * 2)
    in_parts = embed_files(songs, tuned, workers=0)
    monkeypatch.undo()
    np.testing.assert_array_equal(
        in_parts.embeddings, embed_files(songs, tuned, workers=0).embeddings
    )


def test_vectors_below_heads_are_kept(songs: list[Path], tmp_path: Path) -> None:
    encoder = Counting(version="1")
    tuned = FineTunedEncoder(encoder, HeadConfig(epochs=2, dimension=4, threads=1))
    tuned.fit_vectors(np.eye(4, dtype=np.float32), ["a", "b"] * 2)
    first = embed_files(songs, tuned, workers=0, cache=tmp_path)
    heard = encoder.heard
    assert (first.computed, heard) == (4, 12)
    other = tuned.untrained(seed=1).fit_vectors(np.eye(4, dtype=np.float32), ["a", "b"] * 2)
    again = embed_files(songs, other, workers=0, cache=tmp_path)
    assert (again.computed, encoder.heard) == (0, heard)
    assert (again.embeddings != first.embeddings).any()


def test_patches_of_musicnn_are_not_kept(
    songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features(_: MusiCNN, patches: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "penultimate": patches.mean(axis=1).repeat(3, axis=1)[:, :200],
            "tags": np.full((len(patches), 50), 0.5, np.float32),
        }

    monkeypatch.setattr(MusiCNN, "features", features)
    first = embed_files(songs, MusiCNN(), workers=0, cache=tmp_path / "cache")
    sizes = [file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert sum(sizes) < 187 * 96 * 4  # of one patch
    again = embed_files(songs, MusiCNN(), workers=0, cache=tmp_path / "cache")
    assert (first.computed, again.computed) == (4, 0)
    np.testing.assert_array_equal(again.embeddings, first.embeddings)


LONG = """
import resource, sys, wave
import numpy as np
from embedding import CallableEncoder, SnippetConfig
from embedding.encoders import embed_files
folder, workers = sys.argv[1], int(sys.argv[2])
second = np.random.default_rng(0).integers(-9000, 9000, 48000, dtype=np.int16).tobytes()
for name, minutes in ("short", 2), ("long", 20):
    with wave.open(f"{folder}/{name}.wav", "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(48000)
        for _ in range(60 * minutes):
            file.writeframes(second)
whole = SnippetConfig(seconds=10.0, position="whole")
encoder = CallableEncoder(lambda x: x[:, :2], sample_rate=48000, window=10.0, snippet=whole)
peak = {}
for name in "short", "long":
    assert not embed_files([f"{folder}/{name}.wav"], encoder, workers=workers).failures
    peak[name] = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
print(peak["long"] - peak["short"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_twenty_minutes_take_as_much_memory_as_two(tmp_path: Path, workers: int) -> None:
    """Their windows are 230 MB."""
    command = [sys.executable, "-c", LONG, str(tmp_path), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # kB
