import pickle
import warnings

import librosa
import numpy as np
import pytest

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.encoders.musicnn.front_end import MusiCNNFrontEnd

FRONT_END = MusiCNNFrontEnd()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Seven seconds of two tones that rise, with noise."""
    rng = np.random.default_rng(3)
    t = np.arange(7 * 16000) / 16000
    tones = 0.4 * np.sin(2 * np.pi * (200 + 100 * t) * t) + 0.2 * np.sin(2 * np.pi * 900 * t * t)
    samples = tones + 0.02 * rng.standard_normal(len(t))
    samples -= samples.mean()
    return (samples / np.abs(samples).max()).astype(np.float32)


def test_patches_are_those_of_the_wheel_but_in_float32(samples):
    # As `batch_data` of musicnn.extractor computes them.
    mel = librosa.feature.melspectrogram(y=samples, sr=16000, hop_length=256, n_fft=512, n_mels=96)
    expected = np.log10(10000 * mel.T + 1)[: 2 * 187].reshape(2, 187, 96)
    found = FRONT_END.inputs(samples * 0.3 + 0.1)
    assert found.shape == (2, 187, 96)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_three_seconds_are_one_patch_and_less_is_repeated(samples):
    assert len(FRONT_END.inputs(samples[: 3 * 16000])) == 1
    second = samples[:16000]
    whole = FRONT_END.inputs(np.tile(second, 3))
    np.testing.assert_array_equal(FRONT_END.inputs(second), whole)
    assert FRONT_END.inputs(samples[:800]).shape == (1, 187, 96)


@pytest.mark.parametrize("gain", [1e-4, 30.0, 1e6, 1e37])
def test_the_level_makes_no_difference(samples, gain):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patches = FRONT_END.inputs(samples * np.float32(gain))
    np.testing.assert_allclose(patches, FRONT_END.inputs(samples), atol=1e-3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(48000, np.float32), "is silent"),
        (np.full(48000, 0.7, np.float32), "is silent"),
        (np.array([0.1, np.nan, 0.2], np.float32), "NaN or infinite"),
        (np.array([0.1, np.inf, 0.2], np.float32), "NaN or infinite"),
        (np.array([0.1, -np.inf, np.inf], np.float32), "NaN or infinite"),
    ],
)
def test_what_cannot_be_heard_is_an_error(bad, message):
    with pytest.raises(AudioError, match=message):
        FRONT_END.inputs(bad)


@pytest.mark.parametrize("bad", [np.ones((2, 48000), np.float32), np.empty(0, np.float32)])
def test_another_shape_is_an_error(bad):
    with pytest.raises(InvalidArgumentError, match="mono"):
        FRONT_END.inputs(bad)


def test_settings_are_what_a_worker_gets():
    other = MusiCNNFrontEnd(snippet=SnippetConfig(seconds=6, count=2))
    assert pickle.loads(pickle.dumps(other)) == other
    assert other.stored_as != FRONT_END.stored_as
    assert other.digest() != FRONT_END.digest()
