"""Recordings that arrive, one by one."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from datasets.errors import AudioError, EncoderError
from embedding import CallableEncoder, EncoderConfig, SongEncoder
from embedding.encoders import MusiCNN
from embedding.parallel import PersistentWorker
from recsys.audio import RecordingEmbedder
from tests.helpers.recordings import sound


class Pretrained(MusiCNN):
    """Means of the bands that MusiCNN hears, in place of its network."""

    heads_: ClassVar[dict] = {}

    def embed_and_predict(self, inputs: np.ndarray) -> tuple[np.ndarray, dict]:
        return inputs.mean(axis=1), {}


def test_a_lower_rate_than_that_of_a_pretrained_encoder(
    tmp_path: Path, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(PersistentWorker, "run", lambda self, function, job: function(job))
    embedder = RecordingEmbedder(Pretrained())
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            path = tmp_path / f"{number}.wav"
            soundfile.write(path, sound(3.0, 8000), 8000)
            embedder.embed(path)
    (said,) = [record.message for record in caplog.records]
    assert "0.wav has 8,000 samples a second" in said
    assert "the encoder's recordings 16,000" in said


def test_several_in_one_pass_are_what_each_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PersistentWorker, "run", lambda self, function, job: function(job))
    images = np.random.default_rng(0).random((8, 1, 128, 128)).astype(np.float32)
    network = SongEncoder(EncoderConfig(epochs=1, threads=1)).fit(images, ["a", "b"] * 4)
    embedder = RecordingEmbedder(network)
    paths = [tmp_path / f"{number}.wav" for number in range(10)]
    for number, path in enumerate(paths):
        soundfile.write(path, sound(3.0, 22050, pitch=200.0 + 50 * number), 22050)
    found = embedder.embed_each([*paths[:4], tmp_path / "gone.wav", *paths[4:]])
    error = found.pop(4)
    assert isinstance(error, AudioError)
    assert "gone.wav" in str(error)
    for path, several in zip(paths, found, strict=True):
        alone, _ = embedder.embed(path)
        assert several.embedding.tolist() == alone.embedding.tolist()
        assert several.scores == alone.scores
    assert embedder.embed_each([]) == []


def test_one_that_cannot_be_embedded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(windows: np.ndarray) -> np.ndarray:
        if np.abs(windows).max(axis=1).min() < 0.05:
            raise ValueError("no")
        return windows[:, :2]

    monkeypatch.setattr(PersistentWorker, "run", lambda self, function, job: function(job))
    embedder = RecordingEmbedder(CallableEncoder(refuse, sample_rate=8000, window=1.0))
    paths = [tmp_path / "loud.wav", tmp_path / "quiet.wav"]
    for path, gain in zip(paths, (0.5, 0.01), strict=True):
        soundfile.write(path, gain * np.sin(np.arange(16000)), 8000)
    with pytest.raises(EncoderError, match=r"quiet\.wav"):
        embedder.embed_each(paths)


LONG = """
import resource, sys, wave
import numpy as np
from embedding import CallableEncoder, SnippetConfig
from recsys.audio import RecordingEmbedder
second = np.random.default_rng(0).integers(-9000, 9000, 48000, dtype=np.int16).tobytes()
whole = SnippetConfig(seconds=10.0, position="whole")
encoder = CallableEncoder(lambda x: x[:, :2], sample_rate=48000, window=10.0, snippet=whole)
embedder = RecordingEmbedder(encoder)
peak = {}
for minutes in 5, 30:
    with wave.open(f"{sys.argv[1]}/{minutes}.wav", "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(48000)
        for _ in range(60 * minutes):
            file.writeframes(second)
    embedder.embed(f"{sys.argv[1]}/{minutes}.wav")
    peak[minutes] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
embedder.close()
whole = max(peak[30], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(whole - peak[5])
"""


@pytest.mark.slow
def test_a_long_recording_that_arrives_takes_no_more_memory(tmp_path: Path) -> None:
    """Its windows are 346 MB, those of the short one 58 MB."""
    command = [sys.executable, "-c", LONG, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # kB
