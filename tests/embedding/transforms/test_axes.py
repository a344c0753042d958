"""Linear, logarithmic and constant-Q spectra, centroid, cyclic tempogram: against librosa, against
their definitions, and by hand."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding import transforms
from embedding.transforms import filters

RATE = 22050


def tone(hertz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def music(rate: int = RATE, seconds: float = 3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    beat = 0.2 + 0.8 * (np.modf(2 * time)[0] < 0.25)
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277.2, 329.6, 1760))
    noise = 0.1 * np.random.default_rng(0).normal(size=len(time))
    return (0.1 * (beat * tones + noise)).astype(np.float32)


def clicks(tempo: float, seconds: float = 12) -> np.ndarray:
    y = np.zeros(round(seconds * RATE), dtype=np.float32)
    y[np.arange(0, len(y), RATE * 60 / tempo).astype(int)] = 1
    return y


class TestLinear:
    def test_all_of_it_is_the_spectrogram(self) -> None:
        S = transforms.power_spectrogram(music())
        np.testing.assert_array_equal(transforms.linear_spectrum(S=S), S)
        np.testing.assert_array_equal(transforms.linear_spectrum(y=music()), S)
        np.testing.assert_allclose(
            transforms.linear_frequencies(RATE), librosa.fft_frequencies(sr=RATE, n_fft=2048)
        )

    def test_a_range_has_its_ends(self) -> None:
        # 1024 samples at 8192 Hz: a bin each 8 Hz, so 16 .. 40 Hz are bins 2 to 5.
        S = transforms.power_spectrogram(music(8192), n_fft=1024)
        part = transforms.linear_spectrum(S=S, sr=8192, fmin=16, fmax=40)
        np.testing.assert_array_equal(part, S[2:6])
        found = transforms.linear_frequencies(8192, 1024, fmin=16, fmax=40)
        assert found.tolist() == [16, 24, 32, 40]

    def test_a_range_without_bins_is_an_error(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"1\.0 to 2\.0 Hz"):
            transforms.linear_spectrum(y=music(), fmin=1.0, fmax=2.0)


class TestLog:
    def test_between_bins_it_interpolates(self) -> None:
        S = transforms.power_spectrogram(music())
        frequencies = transforms.log_frequencies(RATE)
        # Up to 150 Hz semitones lie closer than the bins' 10.8 Hz.
        low = frequencies < 150
        bins = librosa.fft_frequencies(sr=RATE, n_fft=2048)
        wanted = [np.interp(frequencies[low], bins, frame) for frame in S.T]
        found = transforms.log_spectrum(S=S)[low]
        np.testing.assert_allclose(found, np.transpose(wanted), rtol=1e-4)

    def test_above_it_is_a_mean_of_all_bins(self) -> None:
        # An octave a row from 1000 Hz, a bin each 250 Hz: the row of 2000 Hz weighs 1250, 1500,
        # 1750 Hz by 1/4, 2/4, 3/4, 2000 Hz by 1, then 7/8 down to 1/8 at 3750 Hz; together 6.
        bank = filters.log_bank(16000, 64, 1000.0, None, 1)
        wanted = np.array([0.25, 0.5, 0.75, 1, *(np.arange(7, 0, -1) / 8)]) / 6
        np.testing.assert_allclose(bank[1, 5:16], wanted, rtol=1e-6)
        assert np.count_nonzero(bank[1]) == 11

    def test_frequencies(self) -> None:
        found = transforms.log_frequencies(RATE, fmin=100, fmax=800, bins_per_octave=2)
        np.testing.assert_allclose(found, 100 * 2 ** (np.arange(7) / 2))
        np.testing.assert_allclose(
            transforms.log_frequencies(RATE)[:84], librosa.cqt_frequencies(84, fmin=filters.C1)
        )

    @pytest.mark.parametrize("fmin", [0.0, -5.0, 12000.0])
    def test_an_axis_that_cannot_begin_is_an_error(self, fmin: float) -> None:
        with pytest.raises(InvalidArgumentError, match="fmin"):
            transforms.log_spectrum(y=music(), fmin=fmin)

    @settings(max_examples=20)
    @given(midi=st.integers(48, 112))
    def test_a_tone_is_in_its_row(self, midi: int) -> None:
        S = transforms.log_spectrum(y=tone(440 * 2 ** ((midi - 69) / 12), 0.5))
        assert S[:, 10].argmax() == midi - 24


class TestConstantQ:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("rate", "n_bins", "per_octave"), [(22050, 84, 12), (44100, 252, 36), (8000, 60, 12)]
    )
    def test_equals_librosa(self, rate: int, n_bins: int, per_octave: int) -> None:
        y = music(rate)
        kwargs = {"y": y, "sr": rate, "n_bins": n_bins, "bins_per_octave": per_octave}
        theirs = np.abs(librosa.cqt(**kwargs, tuning=0)) ** 2
        ours = transforms.constant_q(**kwargs)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * theirs.max())

    def test_is_what_its_definition_says(self) -> None:
        """A row is the inner product with a Hann-windowed tone of Q periods."""
        hertz = 440.0
        ratio = 2 ** (2 / 12)
        length = (ratio + 1) / (ratio - 1) * RATE / hertz
        y = tone(hertz, 3)
        places = np.arange(-int(length / 2), int(length / 2))
        window = 0.5 + 0.5 * np.cos(2 * np.pi * places / length)
        atom = window * np.exp(2j * np.pi * hertz * places / RATE) / window.sum()
        wanted = np.abs(y[60 * 512 + places] @ atom.conj()) ** 2 * length
        found = transforms.constant_q(y=y)[45, 60]  # A4 is 45 semitones above C1
        assert found == pytest.approx(wanted, rel=0.03)

    @pytest.mark.parametrize("midi", [33, 45, 60, 81, 100])
    def test_a_tone_is_in_its_row(self, midi: int) -> None:
        power = transforms.constant_q(y=tone(440 * 2 ** ((midi - 69) / 12), 4))
        assert power.shape == (84, 173)
        assert (power[:, 60:110].argmax(axis=0) == midi - 24).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [4000, 44100])
    @pytest.mark.parametrize("hop", [100, 333, 512])
    @pytest.mark.parametrize("samples", [200, 1023, 5000])
    def test_it_has_the_frames_of_all_other_transforms(
        self, rate: int, hop: int, samples: int
    ) -> None:
        y = music(rate)[:samples]
        n_bins = min(84, transforms.constant_q_bins(rate))
        power = transforms.constant_q(y=y, sr=rate, hop_length=hop, n_bins=n_bins)
        assert power.shape == (n_bins, transforms.power_spectrogram(y, hop_length=hop).shape[1])

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [4000, 16000, 22050, 44100, 48000])
    @pytest.mark.parametrize("per_octave", [12, 36])
    def test_as_many_bins_fit_as_librosa_takes(self, rate: int, per_octave: int) -> None:
        y = tone(440, 0.5, rate)
        n = transforms.constant_q_bins(rate, bins_per_octave=per_octave)
        transforms.constant_q(y=y, sr=rate, n_bins=n, bins_per_octave=per_octave)
        with pytest.raises(librosa.ParameterError, match="Nyquist"):
            librosa.cqt(y, sr=rate, n_bins=n + 1, bins_per_octave=per_octave, tuning=0)
        with pytest.raises(InvalidArgumentError, match=f"half of {rate} Hz"):
            transforms.constant_q(y=y, sr=rate, n_bins=n + 1, bins_per_octave=per_octave)


@pytest.mark.parametrize(("rate", "n_fft", "hop"), [(22050, 2048, 512), (44100, 4096, 1024)])
def test_centroid_equals_librosa(rate: int, n_fft: int, hop: int) -> None:
    kwargs = {"y": music(rate), "sr": rate, "n_fft": n_fft, "hop_length": hop}
    (theirs,) = librosa.feature.spectral_centroid(**kwargs)
    np.testing.assert_allclose(transforms.centroid(**kwargs), theirs, rtol=1e-4)


def test_centroid_of_silence_is_zero() -> None:
    assert not transforms.centroid(y=np.zeros(RATE, dtype=np.float32)).any()


class TestCyclicTempogram:
    def test_octaves_of_tempo_are_one(self) -> None:
        rows = [
            transforms.cyclic_tempogram(y=clicks(tempo)).mean(axis=1).argmax()
            for tempo in (50, 100, 200)
        ]
        # 60 rows an octave from 60 beats a minute: 100 is row 60 log2(100 / 60) = 44.2.
        assert all(abs(row - 44) <= 1 for row in rows)

    def test_other_tempi_are_others(self) -> None:
        for tempo in (66, 80, 110):
            row = transforms.cyclic_tempogram(y=clicks(tempo)).mean(axis=1).argmax()
            assert abs(row - 60 * np.log2(tempo / 60)) <= 1.5

    def test_it_is_the_mean_of_the_tempograms_octaves(self) -> None:
        # 100 frames a second: 60, 120, 240 beats a minute are lags of 100, 50, 25 frames, and 30
        # is the lag 200. Row 0 is the mean of those four.
        lags = np.random.default_rng(0).random((201, 3)).astype(np.float32)
        found = transforms.cyclic_tempogram(lags=lags, sr=51200, hop_length=512, n_tempi=1)
        np.testing.assert_allclose(found[0], lags[[25, 50, 100, 200]].mean(axis=0), rtol=1e-5)

    def test_slow_tempi_beyond_the_window_are_left_out(self) -> None:
        lags = np.random.default_rng(0).random((60, 3)).astype(np.float32)
        found = transforms.cyclic_tempogram(lags=lags, sr=51200, hop_length=512, n_tempi=1)
        np.testing.assert_allclose(found[0], lags[[25, 50]].mean(axis=0), rtol=1e-5)

    def test_a_window_too_short_for_any_tempo_is_an_error(self) -> None:
        with pytest.raises(InvalidArgumentError, match="8 lags"):
            transforms.cyclic_tempogram(y=music(), win_length=8)


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels"),
    [(22050, 2048, 128), (22050, 256, 512), (4000, 256, 16), (192_000, 1024, 100)],
)
def test_mel_bands_in_blocks_are_those_of_the_whole_bank(
    rate: int, n_fft: int, n_mels: int
) -> None:
    S = transforms.power_spectrogram(music(rate, 0.5), n_fft=n_fft)
    whole = filters.mel_bank(rate, n_fft, n_mels) @ S
    found = transforms.mel(S=S, sr=rate, n_mels=n_mels)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-6 * whole.max())


@pytest.mark.parametrize("n_lags", [1, 40, 96, 192])
def test_some_lags_are_those_of_the_whole_tempogram(n_lags: int) -> None:
    whole = transforms.tempogram(y=music(), win_length=192)
    found = transforms.tempogram(y=music(), win_length=192, n_lags=n_lags)
    np.testing.assert_allclose(found, whole[:n_lags], atol=1e-5)


def test_contrast_takes_weaker_power_for_its_floor() -> None:
    S = transforms.power_spectrogram(music())
    floor = float(np.median(S))
    found = transforms.contrast(S=S, quantile=0.1, floor=floor)
    wanted = transforms.contrast(S=np.maximum(S, np.float32(floor)), quantile=0.1)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - transforms.contrast(S=S, quantile=0.1)).max() > 1
