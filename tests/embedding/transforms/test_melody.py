import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding import transforms

RATE = 22050


def voice(hertz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    overtones = range(1, int(min(20, rate / 2 / hertz)))
    return sum(0.7**n * np.sin(2 * np.pi * n * hertz * time) for n in overtones).astype(np.float32)


@settings(max_examples=25)
@given(hertz=st.floats(75, 780))
def test_the_pitch_of_a_voice(hertz: float) -> None:
    pitch = transforms.cepstral_pitch(y=voice(hertz))[3:-3]
    assert np.isfinite(pitch).mean() > 0.9
    assert np.nanmedian(pitch) == pytest.approx(hertz, rel=0.01)


def test_a_glide_is_followed() -> None:
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * (150 * time + 37.5 * time**2)  # 150 Hz, 75 Hz a second more
    y = sum(0.7**n * np.sin(n * phase) for n in range(1, 20)).astype(np.float32)
    pitch = transforms.cepstral_pitch(y=y)[3:-3]
    wanted = 150 + 75 * np.arange(3, 3 + len(pitch)) * 512 / RATE
    np.testing.assert_allclose(pitch, wanted, rtol=0.02)


@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
def test_what_has_no_overtones_has_no_pitch(kind: str) -> None:
    y = {
        "noise": np.random.default_rng(0).normal(size=RATE),
        "tone": np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE),
        "silence": np.zeros(RATE),
    }[kind]
    assert np.isnan(transforms.cepstral_pitch(y=y)).all()


def test_the_cepstrum_is_the_transform_of_the_log_spectrum() -> None:
    """Power exp(a cos(2 pi k q / n)) has a cepstrum of a/2 at quefrency q, and nothing else but
    the constant at 0."""
    n, q, a = 512, 20, 1.5
    S = np.exp(a * np.cos(2 * np.pi * np.arange(1 + n // 2) * q / n))[:, None].astype(np.float32)
    found = transforms.cepstrum(S=S)[:, 0]
    assert found[q] == pytest.approx(a / 2, rel=1e-4)
    found[[0, q]] = 0
    assert np.abs(found).max() < 1e-5


def test_pitches_that_the_window_cannot_hold_are_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="512 samples at 22050 Hz"):
        transforms.cepstral_pitch(y=voice(200), n_fft=512)


def test_melodic_range() -> None:
    S = transforms.power_spectrogram(voice(440))
    linear = transforms.melodic_range(S=S, scale="linear")
    frequencies = transforms.melodic_frequencies(RATE, scale="linear")
    # 40 to 1500 Hz in steps of 10.77 Hz: bins 4 to 139.
    np.testing.assert_array_equal(linear, S[4:140])
    assert len(frequencies) == len(linear)
    assert frequencies[linear[:, 20].argmax()] == pytest.approx(440, abs=11)
    log = transforms.melodic_range(S=S)
    frequencies = transforms.melodic_frequencies(RATE)
    assert len(log) == len(frequencies) == 126  # floor(24 log2(1500 / 40)) + 1
    assert frequencies[0] == pytest.approx(40)
    assert frequencies[log[:, 20].argmax()] == pytest.approx(440, rel=0.03)
    assert (log[:, 20].max(), linear[:, 20].max()) == pytest.approx((S.max(), S.max()), rel=0.2)
