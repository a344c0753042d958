"""The spectrum: the one short-time Fourier transform that all transforms share, and its two axes.

Values are power, the squared magnitude; frame t is centred at sample ``t * hop_length``.
"""

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError
from embedding.transforms import filters

N_FFT: Final = 2048
HOP: Final = 512
AMIN: Final = 1e-10
"""Power below which decibels stop: -100 dB."""
BLOCK: Final = 16
"""Frames that are Fourier-transformed at a time."""
TINY: Final = float(np.finfo(np.float32).tiny)


def power_spectrogram(
    y: Float32Array, *, n_fft: int = N_FFT, hop_length: int = HOP
) -> Float32Array:
    """Squared magnitude of the short-time Fourier transform (paragraph 38).

    Args:
        y: waveform, float [samples].
        n_fft: samples in a window, even.
        hop_length: samples between windows.

    Returns:
        float32 [1 + n_fft/2, 1 + samples // hop_length]; row k is k * sr / n_fft Hz.
    """
    # In double precision, as librosa, so that the weakest bins are right too.
    padded = np.zeros(len(y) + n_fft)
    padded[n_fft // 2 : n_fft // 2 + len(y)] = y
    frames = sliding_window_view(padded, n_fft)[::hop_length]
    window = filters.hann(n_fft)
    power = np.empty((len(frames), 1 + n_fft // 2), dtype=np.float32)
    # A few frames at a time stay in the processor's cache, which halves the time.
    for start in range(0, len(frames), BLOCK):
        spectrum = scipy.fft.rfft(frames[start : start + BLOCK] * window, overwrite_x=True)
        power[start : start + BLOCK] = np.square(spectrum.real) + np.square(spectrum.imag)
    return power.T


def linear_spectrum(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    fmin: float = 0.0,
    fmax: float | None = None,
) -> Float32Array:
    """Linear-frequency power spectrum from ``fmin`` to ``fmax`` (paragraphs 37 to 41, Fig. 4B).

    Returns:
        [bins, frames]: the rows of ``S`` whose frequency, k * sr / n_fft Hz, is in the range;
        all of them by default. :func:`linear_frequencies` names them.

    Raises:
        InvalidArgumentError: no row lies in the range.
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    start, stop = filters.bin_range(sr, window_size(S), fmin, fmax)
    return S[start:stop]


def linear_frequencies(
    sr: int, n_fft: int = N_FFT, *, fmin: float = 0.0, fmax: float | None = None
) -> Float64Array:
    """Frequency in Hz of each row of :func:`linear_spectrum`."""
    start, stop = filters.bin_range(sr, n_fft, fmin, fmax)
    return filters.fft_frequencies(sr, n_fft)[start:stop]


def log_spectrum(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    fmin: float = filters.C1,
    fmax: float | None = None,
    bins_per_octave: int = 12,
) -> Float32Array:
    """Log-frequency power spectrum: as many rows an octave, everywhere (Fig. 4B).

    Where the rows are closer than the bins of ``S`` it interpolates linearly between bins, where
    they are wider apart it is the triangle-weighted mean of the bins between the neighbouring
    rows, so that nothing is skipped.

    Returns:
        [bins, frames]: row k is ``fmin * 2 ** (k / bins_per_octave)`` Hz, up to ``fmax`` (default
        sr/2). :func:`log_frequencies` names them.

    Raises:
        InvalidArgumentError: ``fmin`` is not positive, or not below ``fmax`` and sr/2.
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    return (S.T @ filters.log_bank(sr, window_size(S), fmin, fmax, bins_per_octave).T).T


def log_frequencies(
    sr: int, *, fmin: float = filters.C1, fmax: float | None = None, bins_per_octave: int = 12
) -> Float64Array:
    """Frequency in Hz of each row of :func:`log_spectrum`."""
    return filters.log_spaced_frequencies(sr, fmin, fmax, bins_per_octave)


def decibels(S: Float32Array, *, top_db: float = 80.0) -> Float32Array:
    """Power to decibels, nothing more than ``top_db`` below the maximum; the shape of ``S``."""
    levels = np.maximum(S, AMIN)
    np.log10(levels, out=levels)
    levels *= 10
    return np.maximum(levels, levels.max() - np.float32(top_db), out=levels)


def resolve_spectrogram(
    y: Float32Array | None, S: Float32Array | None, n_fft: int, hop_length: int
) -> Float32Array:
    """``S`` where it is at hand, else the power spectrogram of ``y``.

    Raises:
        InvalidArgumentError: neither is given.
    """
    if S is not None:
        return S
    if y is None:
        raise InvalidArgumentError("give the waveform y or its power spectrogram S")
    return power_spectrogram(y, n_fft=n_fft, hop_length=hop_length)


def window_size(S: Float32Array) -> int:
    """Samples in the window that ``S`` was made with."""
    return 2 * (len(S) - 1)


def safe_divide(values: Float32Array, sizes: Float32Array) -> Float32Array:
    """``values / sizes``, and ``values`` where the size is zero, or nearly (silence)."""
    safe = sizes.copy()
    safe[safe < TINY] = 1
    return values / safe
