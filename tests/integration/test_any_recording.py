"""Whatever is recorded: finite hyper-images of the right shape, and gain makes no difference.

Recordings go the whole way: written to a file, read as a snippet, drawn as a picture.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import SILENCE, read_snippets, resample
from embedding.audio.source import RecordingFile
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.image import hyperimage
from tests.helpers.thorough import times

CONFIGS = (HyperImageConfig(), HyperImageConfig(preset="waveform"))

MOST_SAMPLES = 1_000_000
"""Samples of all channels in a recording made at random; the longest is among the corners."""


def noise(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    return rng.uniform(-1, 1, (len(t), channels))


def tone(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    return np.sin(2 * np.pi * rng.uniform(30, 1900) * t[:, None] + rng.uniform(0, 6, channels))


def chirp(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    return np.sin(2 * np.pi * 1000 * t * t / t[-1])[:, None] * rng.uniform(0.1, 1, channels)


def click(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    y = np.zeros((len(t), channels))
    y[len(t) // 2] = 1
    return y


def beat(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    return noise(t, rng, channels) * (np.modf(rng.uniform(1, 4) * t)[0] < 0.2)[:, None]


def opposite(t: np.ndarray, rng: np.random.Generator, channels: int) -> np.ndarray:
    """Channels that cancel each other out."""
    return noise(t, rng, 1) * (-1.0) ** np.arange(channels)


SOUNDS = st.sampled_from([noise, tone, chirp, click, beat, opposite])


@pytest.mark.slow
@settings(max_examples=times(15, 40))
@given(
    sound=SOUNDS,
    seconds=st.floats(0.05, 30),
    rate=st.one_of(st.integers(4000, 192_000), st.sampled_from([4000, 8000, 44_100, 192_000])),
    channels=st.integers(1, 8),
    level=st.floats(-100, 60),
    clipped=st.booleans(),
    offset=st.sampled_from([0.0, 0.0, 0.1, 1.0]),
    gain=st.floats(-40, 40),
    seed=st.integers(0, 99),
)
def test_any_recording(
    tmp_path: Path, sound, seconds, rate, channels, level, clipped, offset, gain, seed
) -> None:
    """level and gain in dB; offset as a part of the level."""
    frames = max(int(np.ceil(0.05 * rate)), min(int(seconds * rate), MOST_SAMPLES // channels))
    y = sound(np.arange(frames) / rate, np.random.default_rng(seed), channels)
    if clipped:
        y = np.clip(2 * y, -1, 1)
    y = ((y + offset) * 10 ** (level / 20)).astype(np.float32)
    path = tmp_path / "any.wav"
    soundfile.write(path, y, rate, subtype="FLOAT")
    file = RecordingFile(path, path.name)
    for config in CONFIGS:
        (found,) = read_snippets(
            file, SnippetConfig(), config.sample_rate, channels=config.sound_channels
        )
        image = hyperimage(found.samples, config)
        assert image.shape == (1, 128, 128)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert 0 <= image.min() <= image.max() <= 1
        factor = 10 ** (gain / 20)
        if offset:
            # What is left when an offset is taken out has been rounded with the offset, anew for
            # each gain but powers of two.
            factor = 2.0 ** round(np.log2(factor))
        louder = (found.samples * np.float32(factor)).astype(np.float32)
        if np.ptp(louder) > 2 * SILENCE:  # fainter, it is silence
            assert np.abs(hyperimage(louder, config) - image).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "rate", "channels"), [(0.05, 4000, 1), (0.05, 192_000, 8), (30, 192_000, 8)]
)
def test_the_corners(tmp_path: Path, seconds: float, rate: int, channels: int) -> None:
    frames = int(np.ceil(seconds * rate))
    second = noise(np.arange(min(rate, frames)) / rate, np.random.default_rng(0), channels)
    path = tmp_path / "corner.wav"
    with soundfile.SoundFile(path, "w", rate, channels, subtype="PCM_16") as target:
        for _ in range(round(frames / len(second))):
            target.write(0.5 * second)
    for config in CONFIGS:
        (found,) = read_snippets(
            RecordingFile(path, path.name),
            SnippetConfig(),
            config.sample_rate,
            channels=config.sound_channels,
        )
        image = hyperimage(found.samples, config)
        assert image.shape == (1, 128, 128)
        assert np.isfinite(image).all()


@pytest.mark.slow
@pytest.mark.parametrize("pitch", [440.3, 7409.9])
@pytest.mark.parametrize("gain", [1e-3, 0.37, 1.1, 30.0])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.preset)
def test_gain_makes_no_difference_where_rounding_is_all_there_is(
    gain: float, pitch: float, config: HyperImageConfig
) -> None:
    """A steady tone: between its lines, in its rhythm, and in the range of melodies where the tone
    is not in it, there is nothing but rounding errors."""
    t = np.arange(5 * 36_886) / 36_886
    y = resample(np.sin(2 * np.pi * pitch * t + 2).astype(np.float32), 36_886, 22_050)
    image = hyperimage(y, config)
    assert np.abs(hyperimage(np.float32(gain) * y, config) - image).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("gain", [1e-4, 0.5, 8.0])
def test_gain_makes_no_difference_to_music(real_recordings, gain: float) -> None:
    for path in real_recordings[::33]:
        (found,) = read_snippets(RecordingFile(path, path.name), SnippetConfig(), 22050)
        for config in CONFIGS:
            image = hyperimage(found.samples, config)
            louder = hyperimage(np.float32(gain) * found.samples, config)
            assert np.abs(louder - image).max() < 1e-3
