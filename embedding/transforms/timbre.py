"""Timbre: mel spectrogram, MFCC, spectral contrast and spectral centroid."""

import numpy as np

from datasets.arguments import check_number
from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from embedding.transforms import filters
from embedding.transforms.spectrum import (
    HOP,
    N_FFT,
    decibels,
    resolve_spectrogram,
    safe_divide,
    window_size,
)


def mel(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_mels: int = 128,
) -> Float32Array:
    """Compute the mel spectrogram: power in bands of equal perceived width (paragraph 40).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        n_mels: number of bands.

    Returns:
        [n_mels, frames], power.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.mel(y=y, n_mels=64).shape
        (64, 44)
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    power = S.T
    bands = np.empty((len(power), n_mels), dtype=np.float32)
    for mels, bins, block in filters.mel_blocks(sr, window_size(S), n_mels):
        bands[:, mels] = power[:, bins] @ block
    return bands.T


def mfcc(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    log_mel: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_mels: int = 128,
    n_mfcc: int = 20,
) -> Float32Array:
    """Compute mel-frequency cepstral coefficients (paragraph 51).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        log_mel: mel spectrogram in dB, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        n_mels: number of mel bands.
        n_mfcc: number of coefficients.

    Returns:
        [n_mfcc, frames].

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.mfcc(y=y).shape
        (20, 44)
    """
    if log_mel is None:
        log_mel = decibels(mel(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels))
    return (log_mel.T @ filters.dct_bank(n_mfcc, len(log_mel)).T).T


def contrast(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_bands: int = 6,
    fmin: float = 200.0,
    quantile: float = 0.02,
    floor: float = 0.0,
) -> Float32Array:
    """Compute the spectral contrast: peaks over valleys in octave bands (paragraph 52).

    Jiang, Lu, Zhang, Tao, Cai 2002, "Music type classification by spectral contrast feature".

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        n_bands: number of octaves.
        fmin: start of the first octave in Hz.
        quantile: share of the bins of a band that form its peak, and its valley.
        floor: smaller power is raised to this value.

    Returns:
        [n_bands + 1, frames] in dB: the band below ``fmin``, then one octave each, the last up to
        sr/2.

    Raises:
        InvalidArgumentError: the highest band begins at or above sr/2, or a number out of range.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.contrast(y=y).shape
        (7, 44)
    """
    check_number("fmin", fmin, above=0)
    check_number("quantile", quantile, least=0, most=1)
    check_number("floor", floor, least=0)
    if fmin * 2.0 ** (n_bands - 1) >= sr / 2:
        raise InvalidArgumentError(
            f"{n_bands} octaves from {fmin} Hz do not fit below half of {sr} Hz"
        )
    power = resolve_spectrogram(y, S, n_fft, hop_length).T
    bands = filters.contrast_bands(sr, 2 * (power.shape[1] - 1), n_bands, fmin)
    valleys = np.empty((n_bands + 1, len(power)), dtype=np.float32)
    peaks = np.empty_like(valleys)
    for number, (start, stop) in enumerate(bands):
        band = power[:, start:stop]
        # As librosa, which counts a bin that it then leaves out of all bands but the last.
        size = stop - start + (number < n_bands)
        n = max(1, int(np.rint(quantile * size)))
        valleys[number], peaks[number] = _extremes(band, n, floor)
    return decibels(peaks) - decibels(valleys)


def centroid(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Float32Array:
    """Compute the spectral centroid: mean frequency weighted by magnitude (paragraph 52).

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.

    Returns:
        [frames] in Hz, as ``librosa.feature.spectral_centroid``; 0 in a silent frame.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> float(transforms.centroid(y=y)[20].round())
        440.0
    """
    magnitude = np.sqrt(resolve_spectrogram(y, S, n_fft, hop_length).T)
    frequencies = filters.fft_frequencies(sr, 2 * (magnitude.shape[1] - 1)).astype(np.float32)
    return safe_divide(magnitude @ frequencies, magnitude.sum(axis=1))


def _extremes(band: Float32Array, n: int, floor: float) -> tuple[Float32Array, Float32Array]:
    """Mean magnitude of the n weakest and the n strongest bins of each frame of a power band."""
    # A full sort is several times faster here than NumPy's partial sort.
    ordered = np.sort(band, axis=1)
    weakest, strongest = (
        np.sqrt(np.maximum(part, np.float32(floor))) for part in (ordered[:, :n], ordered[:, -n:])
    )
    if n == 1:
        return weakest[:, 0], strongest[:, 0]
    # A matrix product, several times faster than NumPy's mean over so short an axis.
    share = np.full(n, 1 / n, dtype=np.float32)
    return weakest @ share, strongest @ share
