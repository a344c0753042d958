"""Values against librosa, given the same parameters; and things that must hold of any sound."""

import librosa
import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from embedding import transforms
from embedding.transforms import filters

RATES = [(22050, 2048, 512), (44100, 4096, 1024), (16000, 1024, 256)]


def music(sr: int) -> np.ndarray:
    """Three seconds of chords with onsets, noise and a fade, so that no transform is trivial."""
    time = np.arange(3 * sr) / sr
    beat = 0.2 + 0.8 * (np.modf(2 * time)[0] < 0.25)
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277.2, 329.6, 1760))
    noise = 0.1 * np.random.default_rng(0).normal(size=len(time))
    return ((beat * tones + noise) * np.linspace(0.1, 0.01, len(time))).astype(np.float32)


def assert_equal(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-4) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.mark.parametrize(("sr", "n_fft", "hop"), RATES)
class TestAgainstLibrosa:
    def test_power_spectrogram(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        theirs = np.abs(librosa.stft(y, n_fft=n_fft, hop_length=hop)) ** 2
        assert_equal(transforms.power_spectrogram(y, n_fft=n_fft, hop_length=hop), theirs)

    def test_mel(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        kwargs = {"y": y, "sr": sr, "n_fft": n_fft, "hop_length": hop, "n_mels": 64}
        assert_equal(transforms.mel(**kwargs), librosa.feature.melspectrogram(**kwargs))

    def test_decibels(self, sr: int, n_fft: int, hop: int) -> None:
        S = np.abs(librosa.stft(music(sr), n_fft=n_fft, hop_length=hop)) ** 2
        assert_equal(transforms.decibels(S), librosa.power_to_db(S))

    def test_mfcc(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        kwargs = {"y": y, "sr": sr, "n_fft": n_fft, "hop_length": hop, "n_mfcc": 20, "n_mels": 128}
        assert_equal(transforms.mfcc(**kwargs), librosa.feature.mfcc(**kwargs))

    def test_chroma(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        kwargs = {"y": y, "sr": sr, "n_fft": n_fft, "hop_length": hop}
        assert_equal(transforms.chroma(**kwargs), librosa.feature.chroma_stft(tuning=0, **kwargs))

    def test_tonnetz(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        kwargs = {"y": y, "sr": sr, "n_fft": n_fft, "hop_length": hop}
        chroma = librosa.feature.chroma_stft(tuning=0, **kwargs)
        assert_equal(transforms.tonnetz(**kwargs), librosa.feature.tonnetz(chroma=chroma))

    def test_contrast(self, sr: int, n_fft: int, hop: int) -> None:
        n_bands = 6 if sr > 16000 else 5
        kwargs = {"sr": sr, "n_fft": n_fft, "hop_length": hop, "n_bands": n_bands}
        theirs = librosa.feature.spectral_contrast(y=music(sr), **kwargs)
        assert_equal(transforms.contrast(y=music(sr), **kwargs), theirs)

    def test_contrast_with_wide_quantile(self, sr: int, n_fft: int, hop: int) -> None:
        magnitude = np.abs(librosa.stft(music(sr), n_fft=n_fft, hop_length=hop))
        kwargs = {"sr": sr, "n_bands": 4, "fmin": 150.0, "quantile": 0.2}
        theirs = librosa.feature.spectral_contrast(S=magnitude, **kwargs)
        assert_equal(transforms.contrast(S=magnitude**2, **kwargs), theirs)

    def test_onset_strength(self, sr: int, n_fft: int, hop: int) -> None:
        y = music(sr)
        kwargs = {"y": y, "sr": sr, "n_fft": n_fft, "hop_length": hop}
        assert_equal(transforms.onset_strength(**kwargs), librosa.onset.onset_strength(**kwargs))

    @pytest.mark.parametrize("win_length", [384, 192, 65])
    def test_tempogram(self, sr: int, n_fft: int, hop: int, win_length: int) -> None:
        y = music(sr)
        onsets = librosa.onset.onset_strength(y=y, sr=sr, n_fft=n_fft, hop_length=hop)
        theirs = librosa.feature.tempogram(onset_envelope=onsets, win_length=win_length)
        ours = transforms.tempogram(y=y, sr=sr, n_fft=n_fft, hop_length=hop, win_length=win_length)
        assert_equal(ours, theirs)

    def test_banks(self, sr: int, n_fft: int, hop: int) -> None:
        assert_equal(filters.chroma_bank(sr, n_fft, 12), librosa.filters.chroma(sr=sr, n_fft=n_fft))
        assert_equal(filters.mel_bank(sr, n_fft, 128), librosa.filters.mel(sr=sr, n_fft=n_fft))


def test_real_music_equals_librosa(real_recordings) -> None:
    for path in real_recordings[::25]:
        y, sr = librosa.load(path, sr=22050, duration=5)
        S = transforms.power_spectrogram(y)
        assert_equal(transforms.mfcc(S=S), librosa.feature.mfcc(y=y, sr=sr))
        assert_equal(transforms.chroma(S=S), librosa.feature.chroma_stft(y=y, sr=sr, tuning=0))
        assert_equal(transforms.tempogram(S=S), librosa.feature.tempogram(y=y, sr=sr))
        assert_equal(transforms.contrast(S=S), librosa.feature.spectral_contrast(y=y, sr=sr))


def test_a_shared_spectrogram_gives_what_the_waveform_gives() -> None:
    y = music(22050)
    S = transforms.power_spectrogram(y)
    log_mel = transforms.decibels(transforms.mel(S=S))
    chromagram = transforms.chroma(S=S)
    for name in ("mel", "mfcc", "chroma", "contrast", "tonnetz", "tempogram", "onset_strength"):
        transform = getattr(transforms, name)
        np.testing.assert_array_equal(transform(y=y), transform(S=S))
    np.testing.assert_array_equal(transforms.mfcc(log_mel=log_mel), transforms.mfcc(S=S))
    np.testing.assert_array_equal(
        transforms.tonnetz(chromagram=chromagram), transforms.tonnetz(S=S)
    )


def test_a_440_hz_tone_is_an_a() -> None:
    y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    chroma = transforms.chroma(y=y)
    assert chroma.shape == (12, 44)
    assert (chroma[:, 3:-3].argmax(axis=0) == 9).all()  # C is 0, so A is 9


def test_clicks_every_half_second_show_at_that_lag() -> None:
    y = np.zeros(5 * 22050, dtype=np.float32)
    y[:: 22050 // 2] = 1
    lags = transforms.tempogram(y=y, win_length=192).mean(axis=1)
    # 22050 / 512 / 2 = 21.5 frames; lag 0 and its neighbours are always strong.
    assert 10 + lags[10:35].argmax() in (21, 22)


def test_silence_is_finite_everywhere() -> None:
    y = np.zeros(22050, dtype=np.float32)
    for name in ("mel", "mfcc", "chroma", "contrast", "tonnetz", "tempogram"):
        assert np.isfinite(getattr(transforms, name)(y=y)).all(), name
    assert not transforms.chroma(y=y).any()


def test_nothing_to_transform_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="waveform"):
        transforms.mel()


def test_contrast_bands_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="half of 8000"):
        transforms.contrast(y=music(8000), sr=8000)


@pytest.mark.parametrize(("size", "wanted"), [(216, 128), (128, 64), (7, 7), (3, 10), (1, 4)])
def test_resizing_keeps_a_constant_and_a_ramp(size: int, wanted: int) -> None:
    bank = filters.resize_bank(size, wanted)
    assert bank.shape == (wanted, size)
    np.testing.assert_allclose(bank.sum(axis=1), 1, atol=1e-6)
    # Away from the ends a straight line stays one: output i lies at (i + ½) · size / wanted - ½.
    line = bank @ np.arange(size, dtype=np.float32)
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    reach = max(size / wanted, 1.0)
    inside = (centres >= reach) & (centres <= size - 1 - reach)
    np.testing.assert_allclose(line[inside], centres[inside], atol=0.1)


def test_resizing_down_skips_nothing() -> None:
    # A single bright column keeps its share of brightness wherever it is.
    weights = filters.resize_bank(216, 128).sum(axis=0)[4:-4]
    np.testing.assert_allclose(weights, 128 / 216, rtol=0.15)
