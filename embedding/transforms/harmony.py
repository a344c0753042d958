"""Harmony: pitch classes, the circles of fifths and thirds, and the constant-Q spectrum."""

import warnings

import numpy as np

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
    """Chromagram: share of each pitch class from C, the strongest 1 (paragraph 39, Fig. 4D).

    Returns [n_chroma, frames]; all zeros in a silent frame.
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
    """Tonal centroids: fifths, minor and major thirds as points on circles (paragraph 52).

    ``chromagram`` [12, frames] is used where it is at hand. Returns [6, frames] in -1 .. 1.
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
    """Constant-Q power spectrum: windows as long as their pitch needs (Fig. 4B).

    The squared magnitude of ``librosa.cqt`` (Schoerkhuber and Klapuri 2010) at tuning 0, which is
    computed by librosa itself: its windows, seconds long in the bass, are not those of the shared
    spectrogram, so it takes the waveform only.

    Returns:
        [n_bins, frames]: row k is ``fmin * 2 ** (k / bins_per_octave)`` Hz, which with 12 bins an
        octave from C1 is MIDI note 24 + k.

    Raises:
        InvalidArgumentError: the highest bin does not fit below sr/2, see
            :func:`constant_q_bins`.
    """
    import librosa

    y = np.asarray(y, dtype=np.float32)
    if n_bins > constant_q_bins(sr, fmin, bins_per_octave):
        raise InvalidArgumentError(
            f"{n_bins} constant-Q bins from {fmin:.4g} Hz do not fit below half of {sr} Hz"
        )
    with warnings.catch_warnings():
        # Sound shorter than the longest window is padded with silence, which is what is wanted.
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
    # Where librosa halves the rate first it may count one frame more than all other transforms.
    values = values[:, : 1 + len(y) // hop_length]
    return np.square(values.real) + np.square(values.imag)


def constant_q_bins(sr: int, fmin: float = filters.C1, bins_per_octave: int = 12) -> int:
    """How many constant-Q bins from ``fmin`` fit below sr/2, the width of the last included."""
    # Half the bandwidth of a Hann window, in units of its inverse length.
    half_bandwidth = 0.5 * 1.50018310546875
    ratio = 2 ** (2 / bins_per_octave)
    highest = sr / 2 / (1 + half_bandwidth * (ratio - 1) / (ratio + 1))
    return max(0, 1 + int(np.floor(bins_per_octave * np.log2(highest / fmin) - 1e-9)))
