"""Harmony: chromagram, tonal centroids (tonnetz) and constant-Q spectrum."""

import warnings

import numpy as np

from datasets.arguments import check_number
from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from embedding.transforms import filters
from embedding.transforms.spectrum import HOP, N_FFT, resolve_spectrogram, safe_divide, window_size


def chroma(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_chroma: int = 12,
) -> Float32Array:
    """Compute the chromagram: energy of each pitch class (paragraph 39, Fig. 4D).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        n_chroma: number of pitch classes in an octave.

    Returns:
        [n_chroma, frames], pitch classes from C; the strongest of a frame is 1; silence is 0.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.chroma(y=y)[:, 20].argmax()  # A
        np.int64(9)
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    raw = S.T @ filters.chroma_bank(sr, window_size(S), n_chroma).T
    peaks = raw.max(axis=1, keepdims=True)
    return safe_divide(raw, peaks).T


def tonnetz(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    chromagram: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Float32Array:
    """Compute tonal centroids: fifths, minor and major thirds as points on circles (par. 52).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        chromagram: [12, frames] of `chroma`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.

    Returns:
        [6, frames], x and y of each circle, -1 .. 1.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.tonnetz(y=y).shape
        (6, 44)
    """
    if chromagram is None:
        chromagram = chroma(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length)
    totals = np.abs(chromagram).sum(axis=0)
    shares = safe_divide(chromagram, totals)
    return (shares.T @ filters.tonnetz_bank().T).T


def constant_q(
    *,
    y: Float32Array,
    sr: int = 22050,
    hop_length: int = HOP,
    fmin: float = filters.C1,
    n_bins: int = 84,
    bins_per_octave: int = 12,
) -> Float32Array:
    """Compute the constant-Q power spectrum, with longer windows for lower pitches (Fig. 4B).

    The squared magnitude of ``librosa.cqt`` (Schoerkhuber and Klapuri 2010) at tuning 0. Its
    windows, seconds long in the bass, differ from those of the shared spectrogram, so it needs the
    waveform.

    Args:
        y: mono waveform, float [samples].
        sr: sample rate in Hz.
        hop_length: samples between frames.
        fmin: frequency of the first row in Hz, by default C1.
        n_bins: number of rows.
        bins_per_octave: rows in an octave.

    Returns:
        [n_bins, frames]: row k is ``fmin * 2 ** (k / bins_per_octave)`` Hz, which with 12 bins an
        octave from C1 is MIDI note 24 + k.

    Raises:
        InvalidArgumentError: the highest bin does not fit below sr/2; see
            `constant_q_bins`.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.constant_q(y=y)[:, 20].argmax() + 24  # MIDI note 69 is A4
        np.int64(69)
    """
    import librosa

    y = np.asarray(y, dtype=np.float32)
    if n_bins > constant_q_bins(sr, fmin, bins_per_octave):
        raise InvalidArgumentError(
            f"{n_bins} constant-Q bins from {fmin:.4g} Hz do not fit below half of {sr} Hz"
        )
    with warnings.catch_warnings():
        # Sound shorter than the longest window is padded with silence, as intended.
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)
        values = librosa.cqt(
            y,
            sr=sr,
            hop_length=hop_length,
            fmin=fmin,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            tuning=0.0,
        )
    # If librosa first halves the rate, it may return one frame more than all other transforms.
    values = values[:, : 1 + len(y) // hop_length]
    return np.square(values.real) + np.square(values.imag)


def constant_q_bins(sr: int, fmin: float = filters.C1, bins_per_octave: int = 12) -> int:
    """Return the number of constant-Q bins from ``fmin`` that fit below sr/2, with their bandwidth.

    Args:
        sr: sample rate in Hz.
        fmin: frequency of the first bin in Hz.
        bins_per_octave: bins in an octave.

    Raises:
        InvalidArgumentError: ``fmin`` is not above 0.

    Examples:
        >>> from embedding import transforms
        >>> transforms.constant_q_bins(22050)
        101
    """
    # Half the bandwidth of a Hann window, in units of its inverse length.
    check_number("fmin", fmin, above=0)
    half_bandwidth = 0.5 * 1.50018310546875
    ratio = 2 ** (2 / bins_per_octave)
    highest = sr / 2 / (1 + half_bandwidth * (ratio - 1) / (ratio + 1))
    return max(0, 1 + int(np.floor(bins_per_octave * np.log2(highest / fmin) - 1e-9)))
