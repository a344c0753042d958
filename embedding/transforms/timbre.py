"""Timbre: bands even to the ear, their cepstrum, and the shape of the spectrum."""

import numpy as np

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
    """Mel-spectrogram: power in bands even to the ear (paragraph 40): [n_mels, frames]."""
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
    """Mel-frequency cepstral coefficients (paragraph 51): [n_mfcc, frames].

    ``log_mel`` is a mel-spectrogram in decibels where that is at hand.
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
    """Spectral contrast: peaks over valleys in octave bands, in dB (paragraph 52).

    Jiang, Lu, Zhang, Tao, Cai 2002, "Music type classification by spectral contrast feature".

    ``quantile`` is the share of a band's bins that are its peak and its valley. Weaker power than
    ``floor`` counts as that.

    Returns:
        [n_bands + 1, frames]: below ``fmin``, then an octave each, the last up to sr/2.

    Raises:
        InvalidArgumentError: the highest band begins at or above sr/2.
    """
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
        # librosa counts the bin that it then leaves out of every band but the last.
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
    """Spectral centroid: the mean frequency, weighted by magnitude, in Hz: [frames].

    Paragraph 52. Equals ``librosa.feature.spectral_centroid``; 0 in a silent frame.
    """
    magnitude = np.sqrt(resolve_spectrogram(y, S, n_fft, hop_length).T)
    frequencies = filters.fft_frequencies(sr, 2 * (magnitude.shape[1] - 1)).astype(np.float32)
    return safe_divide(magnitude @ frequencies, magnitude.sum(axis=1))


def _extremes(band: Float32Array, n: int, floor: float) -> tuple[Float32Array, Float32Array]:
    """Mean magnitude of the n weakest and of the n strongest bins of each frame of a power band."""
    # Sorting all of it is several times faster than numpy's partial sort.
    ordered = np.sort(band, axis=1)
    weakest, strongest = (
        np.sqrt(np.maximum(part, np.float32(floor))) for part in (ordered[:, :n], ordered[:, -n:])
    )
    if n == 1:
        return weakest[:, 0], strongest[:, 0]
    # A product, since numpy's mean over so short an axis takes several times as long.
    share = np.full(n, 1 / n, dtype=np.float32)
    return weakest @ share, strongest @ share
