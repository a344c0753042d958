"""Power spectrograms with linear or logarithmic frequency axis.

Values are power, the squared magnitude; frame t is centred at sample ``t * hop_length``.
"""

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from datasets.arguments import check_number
from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError
from embedding.transforms import filters

N_FFT: Final = 2048
HOP: Final = 512
AMIN: Final = 1e-10
"""Smallest power that is converted to dB: -100 dB."""
_BLOCK: Final = 16
"""Frames in a block of the Fourier transform."""
TINY: Final = float(np.finfo(np.float32).tiny)


def power_spectrogram(
    y: Float32Array, *, n_fft: int = N_FFT, hop_length: int = HOP
) -> Float32Array:
    """Compute the squared magnitude of the short-time Fourier transform (paragraph 38).

    Args:
        y: mono waveform, float [samples].
        n_fft: window length in samples, even.
        hop_length: samples between frames.

    Returns:
        float32 [1 + n_fft/2, 1 + samples // hop_length]; row k is k * sr / n_fft Hz.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.power_spectrogram(y).shape
        (1025, 44)
    """
    # In double precision, as in librosa, so that the weakest bins are exact too.
    padded = np.zeros(len(y) + n_fft)
    padded[n_fft // 2 : n_fft // 2 + len(y)] = y
    frames = sliding_window_view(padded, n_fft)[::hop_length]
    window = filters.hann(n_fft)
    power = np.empty((len(frames), 1 + n_fft // 2), dtype=np.float32)
    # Small blocks stay in the processor cache, which halves the time.
    for start in range(0, len(frames), _BLOCK):
        spectrum = scipy.fft.rfft(frames[start : start + _BLOCK] * window, overwrite_x=True)
        power[start : start + _BLOCK] = np.square(spectrum.real) + np.square(spectrum.imag)
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
    """Compute the power spectrum with linear frequencies (paragraphs 37 to 41, Fig. 4B).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        fmin: lowest frequency in Hz.
        fmax: highest frequency in Hz; None: sr/2.

    Returns:
        [bins, frames]: the rows of ``S`` from ``fmin`` to ``fmax``;
        `linear_frequencies` gives their frequencies.

    Raises:
        InvalidArgumentError: no row lies in the range.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.linear_spectrum(y=y, fmin=100, fmax=200).shape
        (9, 44)
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    start, stop = filters.bin_range(sr, window_size(S), fmin, fmax)
    return S[start:stop]


def linear_frequencies(
    sr: int, n_fft: int = N_FFT, *, fmin: float = 0.0, fmax: float | None = None
) -> Float64Array:
    """Return the frequency in Hz of each row of `linear_spectrum`.

    Args:
        sr: sample rate in Hz.
        n_fft: window length in samples.
        fmin: lowest frequency in Hz.
        fmax: highest frequency in Hz; None: sr/2.

    Examples:
        >>> from embedding import transforms
        >>> transforms.linear_frequencies(22050, 2048, fmin=100, fmax=130).round().tolist()
        [108.0, 118.0, 129.0]
    """
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
    """Compute the power spectrum with logarithmic frequencies (Fig. 4B).

    Where rows are closer than the bins of ``S``, bins are interpolated linearly; where they are
    wider apart, a row is the triangle-weighted mean of the bins between its neighbours.

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        fmin: frequency of the first row in Hz.
        fmax: highest frequency in Hz; None: sr/2.
        bins_per_octave: rows in an octave.

    Returns:
        [bins, frames]: row k is ``fmin * 2 ** (k / bins_per_octave)`` Hz;
        `log_frequencies` gives their frequencies.

    Raises:
        InvalidArgumentError: ``fmin`` is not positive, or not below ``fmax`` and sr/2.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.log_spectrum(y=y).shape
        (101, 44)
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    return (S.T @ filters.log_bank(sr, window_size(S), fmin, fmax, bins_per_octave).T).T


def log_frequencies(
    sr: int, *, fmin: float = filters.C1, fmax: float | None = None, bins_per_octave: int = 12
) -> Float64Array:
    """Return the frequency in Hz of each row of `log_spectrum`.

    Args:
        sr: sample rate in Hz.
        fmin: frequency of the first row in Hz.
        fmax: highest frequency in Hz; None: sr/2.
        bins_per_octave: rows in an octave.

    Examples:
        >>> from embedding import transforms
        >>> transforms.log_frequencies(22050, fmin=110, fmax=440, bins_per_octave=1).tolist()
        [110.0, 220.0, 440.0]
    """
    return filters.log_spaced_frequencies(sr, fmin, fmax, bins_per_octave)


def decibels(S: Float32Array, *, top_db: float = 80.0) -> Float32Array:
    """Convert power to decibels.

    Args:
        S: power, any shape.
        top_db: range of the result; lower levels are raised to ``top_db`` below the maximum.

    Raises:
        InvalidArgumentError: ``top_db`` is no number of at least 0.

    Examples:
        >>> from embedding import transforms
        >>> transforms.decibels(np.array([1, 0.1, 0], dtype=np.float32)).round().tolist()
        [0.0, -10.0, -80.0]
    """
    check_number("top_db", top_db, least=0)
    levels = np.maximum(S, AMIN)
    np.log10(levels, out=levels)
    levels *= 10
    return np.maximum(levels, levels.max() - np.float32(top_db), out=levels)


def resolve_spectrogram(
    y: Float32Array | None, S: Float32Array | None, n_fft: int, hop_length: int
) -> Float32Array:
    """Return ``S`` if given, else the power spectrogram of ``y``.

    Raises:
        InvalidArgumentError: neither is given.
    """
    if S is not None:
        return S
    if y is None:
        raise InvalidArgumentError("give the waveform y or its power spectrogram S")
    return power_spectrogram(y, n_fft=n_fft, hop_length=hop_length)


def window_size(S: Float32Array) -> int:
    """Return the window length with which ``S`` was computed."""
    return 2 * (len(S) - 1)


def safe_divide(values: Float32Array, sizes: Float32Array) -> Float32Array:
    """Return ``values / sizes``; ``values`` where the size is (nearly) zero, as in silence."""
    safe = sizes.copy()
    safe[safe < TINY] = 1
    return values / safe
