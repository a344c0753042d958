from typing import get_args

import numpy as np
import pytest

from embedding.hyperimage import config as hyperimage_config
from embedding.transforms.snippet import SnippetFeatures
from embedding.transforms.table import TRANSFORMS


def noise(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    samples = np.random.default_rng(0).normal(size=(channels, round(rate * seconds)))
    return (0.1 * samples).astype(np.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rate", "seconds"), [(22050, 1), (4000, 0.05), (192_000, 0.1)])
def test_every_transform_of_any_sound(rate: int, seconds: float) -> None:
    sound = SnippetFeatures(noise(rate, seconds, channels=2), rate)
    frames = sound.power.shape[1]
    for name, transform in TRANSFORMS.items():
        assert name == transform.name
        values = transform.compute(sound)
        assert values.dtype == np.float32, name
        assert values.shape[-1] == (sound.channels.shape[1] if "wave" in name else frames), name
        assert values.ndim == (2 if transform.kind == "picture" else 1), name
        assert np.isfinite(values).all() or name == "cepstral_pitch", name
        if transform.value == "power":
            assert (values >= 0).all(), name
        if transform.positions is not None:
            places = transform.positions(sound)
            assert places.shape == (len(values),), name
            assert (np.diff(places) > 0).all(), name
        if transform.axis.names:
            assert len(transform.axis.names) == len(values), name


def test_the_settings_know_the_table() -> None:
    assert set(get_args(hyperimage_config.TransformName)) == set(TRANSFORMS)
    powers = {name for name, transform in TRANSFORMS.items() if transform.value == "power"}
    assert powers == hyperimage_config.POWERS
    waveforms = {name for name, transform in TRANSFORMS.items() if transform.kind == "waveform"}
    assert waveforms == hyperimage_config.WAVEFORMS


def test_axes_say_where_a_tone_is() -> None:
    y = np.sin(2 * np.pi * 880 * np.arange(22050) / 22050).astype(np.float32)[None]
    sound = SnippetFeatures(y)
    for name in ("linear", "log", "constant_q_hz", "mel", "melodic_range", "melodic_range_linear"):
        transform = TRANSFORMS[name]
        assert transform.axis.unit == "Hz"
        row = transform.compute(sound)[:, 20].argmax()
        assert transform.positions(sound)[row] == pytest.approx(880, rel=0.03), name
    for name in ("constant_q_note", "notes"):
        transform = TRANSFORMS[name]
        assert transform.axis.unit == "MIDI note"
        assert transform.positions(sound)[transform.compute(sound)[:, 20].argmax()] == 81, name


def test_one_channel_is_both_sides_and_opposite_channels_do_not_cancel() -> None:
    left, right = TRANSFORMS["waveform_left"], TRANSFORMS["waveform_right"]
    mono = SnippetFeatures(noise(8000, 0.1), 8000)
    np.testing.assert_array_equal(left.compute(mono), right.compute(mono))
    both = np.concatenate([mono.channels, -mono.channels])
    np.testing.assert_array_equal(SnippetFeatures(both, 8000).y, mono.y)
    stereo = SnippetFeatures(noise(8000, 0.1, channels=2), 8000)
    np.testing.assert_array_equal(right.compute(stereo), stereo.channels[1])
    np.testing.assert_allclose(stereo.y, stereo.channels.mean(axis=0), rtol=1e-5, atol=1e-7)
