import sys

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio import load_snippets
from embedding.config import HyperImageConfig, SnippetConfig
from embedding.hyperimage_config import Band
from embedding.hyperimage import hyperimage

RATE = 22050


def song(seconds: float = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    y = np.sin(2 * np.pi * 330 * time) * (np.modf(2 * time)[0] < 0.3)
    return (0.3 * y + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def test_the_default_picture() -> None:
    image = hyperimage(song(), HyperImageConfig())
    assert image.shape == (1, 128, 128)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    for start, stop in ((0, 12), (12, 31), (31, 95), (95, 115), (115, 122), (122, 128)):
        assert image[0, start:stop].std() > 0.005


def test_bands_are_librosas_transforms_on_their_scales() -> None:
    """With as many rows and columns as the transforms have, resizing changes nothing."""
    y = song()
    y /= np.abs(y).max()
    frames = 1 + len(y) // 512

    def picture(transform: str, rows: int) -> np.ndarray:
        layout = (Band(transform=transform, rows=rows),)
        return hyperimage(y, HyperImageConfig(height=rows, width=frames, layout=layout))[0]

    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE), ref=np.max)
    np.testing.assert_allclose(picture("mel", 128), mel / 80 + 1, atol=1e-4)
    chroma = librosa.feature.chroma_stft(y=y, sr=RATE, tuning=0)
    np.testing.assert_allclose(picture("chroma", 12), chroma, atol=1e-4)
    tonnetz = librosa.feature.tonnetz(chroma=chroma)
    np.testing.assert_allclose(
        np.repeat(tonnetz, 2, axis=0) / 2 + 0.5, picture("tonnetz", 12), atol=0.3
    )
    tempogram = librosa.feature.tempogram(y=y, sr=RATE, win_length=192)
    np.testing.assert_allclose(picture("tempogram", 96), tempogram[:96], atol=1e-4)
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=20)
    np.testing.assert_allclose(picture("mfcc", 20)[0], 1 + mfcc[0] / (80 * np.sqrt(128)), atol=1e-4)


@pytest.mark.parametrize("gain", [1e-5, 0.1, 0.7, 3.0, 1e6])
def test_loudness_makes_no_difference(gain: float) -> None:
    y = song()
    config = HyperImageConfig()
    quiet = hyperimage(np.float32(gain) * y, config)
    assert np.abs(quiet - hyperimage(y, config)).max() < 1e-3


@pytest.mark.parametrize(
    ("height", "width", "seconds", "rate"),
    [(128, 128, 5, 22050), (96, 65, 3, 16000), (40, 300, 30, 44100), (200, 16, 0.25, 4000)],
)
def test_any_size_and_rate(height: int, width: int, seconds: float, rate: int) -> None:
    config = HyperImageConfig(height=height, width=width, sample_rate=rate)
    y = np.random.default_rng(0).normal(size=round(seconds * rate)).astype(np.float32)
    image = hyperimage(y, config)
    assert image.shape == (1, height, width)
    assert np.isfinite(image).all()


def test_bands_come_in_the_order_of_the_layout() -> None:
    layout = (Band(transform="tonnetz", rows=6), Band(transform="chroma", rows=12))
    config = HyperImageConfig(height=18, layout=layout)
    turned = HyperImageConfig(height=18, layout=layout[::-1])
    np.testing.assert_array_equal(
        hyperimage(song(), config)[0, 6:], hyperimage(song(), turned)[0, :12]
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error(bad: float) -> None:
    y = song()
    y[100] = bad
    with pytest.raises(AudioError, match="NaN or infinite"):
        hyperimage(y, HyperImageConfig())


def test_silence_is_an_error() -> None:
    with pytest.raises(AudioError, match="silent"):
        hyperimage(np.zeros(RATE), HyperImageConfig())


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, RATE), (RATE, 2), (0, RATE)])
def test_what_is_no_row_of_samples_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="one row"):
        hyperimage(np.ones(shape), HyperImageConfig())


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seconds=st.floats(0.05, 30),
    rate=st.integers(4000, 192_000),
    channels=st.integers(1, 8),
    level=st.floats(-90, 90),
    seed=st.integers(0, 3),
)
def test_any_recording_gives_finite_images(
    tmp_path, seconds: float, rate: int, channels: int, level: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = int(np.ceil(seconds * rate))
    samples = rng.normal(size=(frames, channels)) * 10 ** (level / 20)
    if seed % 2:  # mostly digital silence with a click
        samples[: frames // 2] = 0
        samples[frames // 2 + 1 :] = 0
    path = tmp_path / "any.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    for y in load_snippets(path, SnippetConfig(count=2), RATE):
        image = hyperimage(y, HyperImageConfig())
        assert image.shape == (1, 128, 128)
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1


def test_none_of_it_needs_librosa_or_torch() -> None:
    import subprocess

    code = (
        "import sys, embedding.extraction\n"
        "heavy = {'torch', 'librosa', 'numba', 'sklearn', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
