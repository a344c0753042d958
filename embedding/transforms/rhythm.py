"""Rhythm: where notes begin, and how regularly."""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from datasets.arrays import Float32Array
from embedding.transforms import filters
from embedding.transforms.spectrum import HOP, N_FFT, decibels, safe_divide
from embedding.transforms.timbre import mel


def onset_strength(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    log_mel: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Float32Array:
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
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    onsets: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    win_length: int = 384,
    n_lags: int | None = None,
    floor: float = 0.0,
) -> Float32Array:
    """Local autocorrelation of the onset strength: how regular the rhythm is at each lag.

    Grosche, Mueller, Kurth 2010, "Cyclic tempogram"; paragraph 39, Fig. 4E. ``onsets`` is the
    onset strength where that is at hand. ``floor`` is an onset strength in dB, root mean square
    under the window, below which values fade to 0 instead of lag 0 being 1: what has no rhythm
    (a steady tone) is then not shown with that of its rounding errors.

    Returns:
        [n_lags, frames], by default [win_length, frames]: row l is a lag of l * hop_length / sr
        seconds, that is 60 * sr / (l * hop_length) beats a minute; lag 0, the strongest, is 1.
    """
    if onsets is None:
        onsets = onset_strength(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length)
    half = win_length // 2
    rise = np.linspace(0, onsets[0], half, endpoint=False, dtype=np.float32)
    fall = np.linspace(0, onsets[-1], half, endpoint=False, dtype=np.float32)[::-1]
    padded = np.concatenate([rise, onsets, fall])
    window = filters.hann(win_length).astype(np.float32)
    frames = sliding_window_view(padded, win_length)[: len(onsets)] * window
    n_lags = n_lags or win_length
    # So long that what wraps around misses the lags that are wanted.
    size = scipy.fft.next_fast_len(win_length + n_lags - 1, real=True)
    spectrum = scipy.fft.rfft(frames, n=size, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    lags = scipy.fft.irfft(power, n=size, axis=1, overwrite_x=True)[:, :n_lags]
    least = np.float32(floor**2 * np.square(window).sum())
    return safe_divide(lags, np.maximum(lags[:, :1], least)).T


def cyclic_tempogram(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    onsets: Float32Array | None = None,
    lags: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    win_length: int = 384,
    n_tempi: int = 60,
) -> Float32Array:
    """Tempogram in which tempi a power of two apart are one (paragraph 39).

    Grosche, Mueller, Kurth 2010, "Cyclic tempogram: a mid-level tempo representation for music
    signals": the tempogram by tempo instead of lag, averaged over the four octaves of tempo from
    30 to 480 beats a minute, as a chromagram is a spectrum averaged over octaves of pitch.
    ``onsets`` or ``lags``, the :func:`tempogram`, are used where they are at hand.

    Returns:
        [n_tempi, frames]: row k stands for ``60 * 2 ** (k / n_tempi)`` beats a minute, and for
        half, twice, four times as many.

    Raises:
        InvalidArgumentError: the window is too short for any tempo.
    """
    if lags is None:
        lags = tempogram(
            y=y,
            sr=sr,
            S=S,
            onsets=onsets,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
        )
    return (lags.T @ filters.tempo_bank(sr, hop_length, len(lags), n_tempi).T).T
