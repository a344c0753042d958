"""Rhythm: onset strength, tempogram and cyclic tempogram."""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from datasets.arguments import check_number
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
    """Compute the onset strength: mean rise of the mel bands between frames (paragraph 41).

    Boeck and Widmer 2013 without their vibrato suppression, as ``librosa.onset.onset_strength``.

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        log_mel: mel spectrogram in dB, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.

    Returns:
        [frames] in dB.

    Examples:
        >>> from embedding import transforms
        >>> y = np.zeros(22050)
        >>> y[11025:] = np.sin(2 * np.pi * 440 * np.arange(11025) / 22050)
        >>> seconds = transforms.onset_strength(y=y).argmax() * transforms.HOP / 22050
        >>> float(seconds.round(1))
        0.5
    """
    if log_mel is None:
        log_mel = decibels(mel(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length))
    levels = log_mel.T
    rises = np.maximum(levels[1:] - levels[:-1], 0).mean(axis=1)
    # An onset enters a window half a window before its centre.
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
    """Compute the tempogram: local autocorrelation of the onset strength (par. 39, Fig. 4E).

    Grosche, Mueller, Kurth 2010, "Cyclic tempogram".

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        onsets: onset strength [frames] of `onset_strength`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        win_length: window length in frames.
        n_lags: number of lags; None: ``win_length``.
        floor: onset strength in dB (root mean square under the window) below which values fade to
            0, so that a steady tone does not show the rhythm of its rounding errors.

    Returns:
        [n_lags, frames]: row l is a lag of l * hop_length / sr seconds, which is a tempo of
        60 * sr / (l * hop_length) beats a minute. Lag 0, the strongest, is 1.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.tempogram(y=y, win_length=40).shape
        (40, 44)
    """
    check_number("floor", floor, least=0)
    if onsets is None:
        onsets = onset_strength(y=y, sr=sr, S=S, n_fft=n_fft, hop_length=hop_length)
    half = win_length // 2
    rise = np.linspace(0, onsets[0], half, endpoint=False, dtype=np.float32)
    fall = np.linspace(0, onsets[-1], half, endpoint=False, dtype=np.float32)[::-1]
    padded = np.concatenate([rise, onsets, fall])
    window = filters.hann(win_length).astype(np.float32)
    frames = sliding_window_view(padded, win_length)[: len(onsets)] * window
    n_lags = n_lags or win_length
    # Long enough that circular correlation does not affect the wanted lags.
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
    """Compute the cyclic tempogram, which merges tempi a power of two apart (paragraph 39).

    Grosche, Mueller, Kurth 2010, "Cyclic tempogram: a mid-level tempo representation for music
    signals": the tempogram by tempo instead of lag, averaged over the four octaves of tempo from
    30 to 480 beats a minute, as a chromagram is a spectrum averaged over octaves of pitch.

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        onsets: onset strength [frames] of `onset_strength`, if available.
        lags: tempogram of `tempogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        win_length: window length of the tempogram in frames.
        n_tempi: number of rows.

    Returns:
        [n_tempi, frames]: row k is a tempo of ``60 * 2 ** (k / n_tempi)`` beats a minute, and of
        half, twice, four times as many.

    Raises:
        InvalidArgumentError: the window is too short for some tempi.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.cyclic_tempogram(y=y).shape
        (60, 44)
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
