"""Pictures of sound: pure functions of a waveform or of a power spectrogram already at hand.

Every function takes, in librosa's manner, the waveform ``y`` (float, [samples], mono) or ``S``, the
power spectrogram of :func:`power_spectrogram`, and gives [features, frames]; frame t is centred at
sample ``t * hop_length``. Giving all of them one ``S`` is what makes them fast. Given the same
parameters the values equal librosa 0.11's (window Hann, centred, zero padding, tuning 0).
"""

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from datasets.errors import InvalidArgumentError
from embedding import filters

Array = NDArray[np.float32]

N_FFT: Final = 2048
HOP: Final = 512
AMIN: Final = 1e-10
"""Power below which decibels stop: -100 dB."""
BLOCK: Final = 16
"""Frames that are Fourier-transformed at a time."""
TINY: Final = float(np.finfo(np.float32).tiny)


def power_spectrogram(y: Array, *, n_fft: int = N_FFT, hop_length: int = HOP) -> Array:
    """Squared magnitude of the short-time Fourier transform (paragraph 38).

    Args:
        y: waveform, float [samples].
        n_fft: samples in a window, even.
        hop_length: samples between windows.

    Returns:
        float32 [1 + n_fft/2, 1 + samples // hop_length]; row k is k * sr / n_fft Hz.
    """
    # In double precision, as librosa, so that the weakest bins are right too.
    padded = np.pad(np.asarray(y, dtype=np.float64), n_fft // 2)
    frames = sliding_window_view(padded, n_fft)[::hop_length]
    window = filters.hann(n_fft)
    power = np.empty((len(frames), 1 + n_fft // 2), dtype=np.float32)
    # A few frames at a time stay in the processor's cache, which halves the time.
    for start in range(0, len(frames), BLOCK):
        spectrum = scipy.fft.rfft(frames[start : start + BLOCK] * window, overwrite_x=True)
        power[start : start + BLOCK] = np.square(spectrum.real) + np.square(spectrum.imag)
    return power.T


def mel(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_mels: int = 128,
) -> Array:
    """Mel-spectrogram: power in bands even to the ear (paragraph 40): [n_mels, frames]."""
    S = _spectrogram(y, S, n_fft, hop_length)
    return (S.T @ filters.mel_bank(sr, _size(S), n_mels).T).T


def decibels(S: Array, *, top_db: float = 80.0) -> Array:
    """Power to decibels, nothing more than ``top_db`` below the maximum; the shape of ``S``."""
    levels = np.maximum(S, AMIN)
    np.log10(levels, out=levels)
    levels *= 10
    return np.maximum(levels, levels.max() - np.float32(top_db), out=levels)


def mfcc(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    log_mel: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_mels: int = 128,
    n_mfcc: int = 20,
) -> Array:
    """Mel-frequency cepstral coefficients (paragraph 51): [n_mfcc, frames].

    ``log_mel`` is a mel-spectrogram in decibels where that is at hand.
    """
    if log_mel is None:
        log_mel = decibels(mel(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels))
    return (log_mel.T @ filters.dct_bank(n_mfcc, len(log_mel)).T).T


def chroma(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_chroma: int = 12,
) -> Array:
    """Chromagram: share of each pitch class from C, the strongest 1 (paragraph 39, Fig. 4D).

    Returns [n_chroma, frames]; all zeros in a silent frame.
    """
    S = _spectrogram(y, S, n_fft, hop_length)
    raw = S.T @ filters.chroma_bank(sr, _size(S), n_chroma).T
    peaks = raw.max(axis=1, keepdims=True)
    return _divided(raw, peaks).T


def tonnetz(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    chromagram: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Array:
    """Tonal centroids: fifths, minor and major thirds as points on circles (paragraph 52).

    ``chromagram`` [12, frames] is used where it is at hand. Returns [6, frames] in -1 .. 1.
    """
    if chromagram is None:
        chromagram = chroma(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length)
    totals = np.abs(chromagram).sum(axis=0)
    shares = _divided(chromagram, totals)
    return (shares.T @ filters.tonnetz_bank().T).T


def contrast(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    n_bands: int = 6,
    fmin: float = 200.0,
    quantile: float = 0.02,
) -> Array:
    """Spectral contrast: peaks over valleys in octave bands, in dB (paragraph 52).

    Jiang, Lu, Zhang, Tao, Cai 2002, "Music type classification by spectral contrast feature".

    Returns:
        [n_bands + 1, frames]: below ``fmin``, then an octave each, the last up to sr/2.

    Raises:
        InvalidArgumentError: the highest band begins at or above sr/2.
    """
    if fmin * 2.0 ** (n_bands - 1) >= sr / 2:
        raise InvalidArgumentError(
            f"{n_bands} octaves from {fmin} Hz do not fit below half of {sr} Hz"
        )
    power = _spectrogram(y, S, n_fft, hop_length).T
    bands = filters.contrast_bands(sr, 2 * (power.shape[1] - 1), n_bands, fmin)
    valleys = np.empty((n_bands + 1, len(power)), dtype=np.float32)
    peaks = np.empty_like(valleys)
    for number, (start, stop) in enumerate(bands):
        band = power[:, start:stop]
        # librosa counts the bin that it then leaves out of every band but the last.
        size = stop - start + (number < n_bands)
        n = max(1, int(np.rint(quantile * size)))
        valleys[number], peaks[number] = _extremes(band, n)
    return decibels(peaks) - decibels(valleys)


def onset_strength(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    log_mel: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Array:
    """How much louder the mel bands become from frame to frame, in dB: [frames] (paragraph 41).

    Boeck and Widmer 2013 without their vibrato suppression, as ``librosa.onset.onset_strength``.
    """
    if log_mel is None:
        log_mel = decibels(mel(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length))
    levels = log_mel.T
    rises = np.maximum(levels[1:] - levels[:-1], 0).mean(axis=1)
    # An onset is in a window from half a window before its centre on.
    late = 1 + n_fft // (2 * hop_length)
    return np.concatenate([np.zeros(late, dtype=np.float32), rises])[: len(levels)]


def tempogram(
    *,
    y: Array | None = None,
    sr: int = 22050,
    S: Array | None = None,
    onsets: Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    win_length: int = 384,
) -> Array:
    """Local autocorrelation of the onset strength: how regular the rhythm is at each lag.

    Grosche, Mueller, Kurth 2010, "Cyclic tempogram"; paragraph 39, Fig. 4E. ``onsets`` is the
    onset strength where that is at hand.

    Returns:
        [win_length, frames]: row l is a lag of l * hop_length / sr seconds, that is
        60 * sr / (l * hop_length) beats a minute; the strongest lag of a frame is 1.
    """
    if onsets is None:
        onsets = onset_strength(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length)
    half = win_length // 2
    rise = np.linspace(0, onsets[0], half, endpoint=False, dtype=np.float32)
    fall = np.linspace(0, onsets[-1], half, endpoint=False, dtype=np.float32)[::-1]
    padded = np.concatenate([rise, onsets, fall])
    window = filters.hann(win_length).astype(np.float32)
    frames = sliding_window_view(padded, win_length)[: len(onsets)] * window
    size = scipy.fft.next_fast_len(2 * win_length - 1, real=True)
    spectrum = scipy.fft.rfft(frames, n=size, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    lags = scipy.fft.irfft(power, n=size, axis=1, overwrite_x=True)[:, :win_length]
    peaks = np.abs(lags).max(axis=1, keepdims=True)
    return _divided(lags, peaks).T


def _divided(values: Array, sizes: Array) -> Array:
    """``values / sizes``, and ``values`` where the size is zero, or nearly (silence)."""
    safe = sizes.copy()
    safe[safe < TINY] = 1
    return values / safe


def _extremes(band: Array, n: int) -> tuple[Array, Array]:
    """Mean magnitude of the n weakest and of the n strongest bins of each frame of a power band."""
    # Sorting all of it is several times faster than numpy's partial sort.
    ordered = np.sort(band, axis=1)
    return np.sqrt(ordered[:, :n]).mean(axis=1), np.sqrt(ordered[:, -n:]).mean(axis=1)


def _spectrogram(y: Array | None, S: Array | None, n_fft: int, hop_length: int) -> Array:
    if S is not None:
        return S
    if y is None:
        raise InvalidArgumentError("give the waveform y or its power spectrogram S")
    return power_spectrogram(y, n_fft=n_fft, hop_length=hop_length)


def _size(S: Array) -> int:
    return 2 * (len(S) - 1)
