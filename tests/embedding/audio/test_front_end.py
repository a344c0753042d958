"""Windows of samples as the input of an encoder."""

import pickle

import numpy as np
import pytest

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.front_end import WaveformFrontEnd


def ramp(size: int) -> np.ndarray:
    return np.arange(size, dtype=np.float32)


def test_windows_follow_one_another_and_the_last_ends_with_the_snippet() -> None:
    front_end = WaveformFrontEnd(sample_rate=1000, window=0.01)
    windows = front_end.inputs(ramp(25))
    assert windows.dtype == np.float32
    assert windows[:, 0].tolist() == [0, 10, 15]
    assert windows[:, -1].tolist() == [9, 19, 24]
    np.testing.assert_array_equal(front_end.inputs(ramp(20)), ramp(20).reshape(2, 10))
    assert front_end.inputs(ramp(10)).shape == (1, *front_end.input_shape)


def test_what_is_shorter_than_a_window_is_repeated() -> None:
    (window,) = WaveformFrontEnd(sample_rate=1000, window=0.01).inputs(ramp(4))
    assert window.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_stereo() -> None:
    front_end = WaveformFrontEnd(sample_rate=1000, window=0.01, channels=2)
    windows = front_end.inputs(np.stack([ramp(20), -ramp(20)]))
    assert windows.shape == (2, *front_end.input_shape) == (2, 2, 10)
    np.testing.assert_array_equal(windows[1], [ramp(20)[10:], -ramp(20)[10:]])
    with pytest.raises(InvalidArgumentError, match=r"stereo is \[2, samples\]; got \(20,\)"):
        front_end.inputs(ramp(20))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers(bad: float) -> None:
    samples = ramp(20)
    samples[3] = bad
    with pytest.raises(AudioError, match="NaN or infinite"):
        WaveformFrontEnd(sample_rate=1000, window=0.01).inputs(samples)


@pytest.mark.parametrize(
    "settings",
    [
        {"sample_rate": 0, "window": 1},
        {"sample_rate": -48000, "window": 1},
        {"sample_rate": 48000.5, "window": 1},
        {"sample_rate": 48000, "window": 0},
        {"sample_rate": 48000, "window": -10},
        {"sample_rate": 48000, "window": np.nan},
        {"sample_rate": 48000, "window": 10, "channels": 3},
    ],
)
def test_bad_settings(settings: dict[str, float]) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"WaveformFrontEnd: (sample_rate|window|channels)"
    ):
        WaveformFrontEnd(**settings)


def test_it_goes_to_other_processes_and_differs_by_every_setting() -> None:
    front_end = WaveformFrontEnd(sample_rate=16000, window=2)
    assert pickle.loads(pickle.dumps(front_end)) == front_end
    others = [
        {"sample_rate": 16001}, {"window": 2.5}, {"channels": 2},
        {"snippet": SnippetConfig(seconds=2)},
    ]  # fmt: skip
    digests = {front_end.replace(**change).digest() for change in others}
    assert len(digests | {front_end.digest()}) == 5
