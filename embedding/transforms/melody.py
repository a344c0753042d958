"""Melody: cepstrum, pitch of a single voice, and spectrum of the melodic range."""

from typing import Literal

import numpy as np
import scipy.fft

from datasets.arguments import check_number
from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError
from embedding.transforms.spectrum import (
    HOP,
    N_FFT,
    TINY,
    linear_frequencies,
    linear_spectrum,
    log_frequencies,
    log_spectrum,
    resolve_spectrogram,
    window_size,
)

Scale = Literal["linear", "log"]

MELODY_HZ = (40.0, 1500.0)
"""Range of melodies in Hz, as in the melodic-range spectrogram of Sonic Visualiser."""

PITCH_FMIN, PITCH_FMAX = 60.0, 800.0
"""Range of pitches that are searched, in Hz."""

SHARE = 0.7
"""An earlier peak is preferred if it has at least this share of the height of the highest peak."""

FLOOR = 1e-6
"""Smallest power in the cepstrum, relative to the maximum of the frame: -60 dB."""


def cepstrum(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Float32Array:
    """Compute the real cepstrum: periodicity of the log spectrum (paragraphs 48 to 52).

    Noll 1967, "Cepstrum pitch determination".

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.

    Returns:
        [1 + n_fft/2, frames] in nepers of power: row q is a quefrency of q / sr seconds. Power is
        limited to 60 dB below the maximum of the frame; a silent frame is zero.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.cepstrum(y=y).shape
        (1025, 44)
    """
    power = resolve_spectrogram(y, S, n_fft, hop_length).T
    peaks = power.max(axis=1, keepdims=True)
    levels = np.log(np.maximum(power / np.maximum(peaks, TINY), FLOOR))
    levels[peaks[:, 0] < TINY] = 0
    return scipy.fft.irfft(levels, axis=1)[:, : power.shape[1]].T


def cepstral_pitch(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    fmin: float = PITCH_FMIN,
    fmax: float = PITCH_FMAX,
    threshold: float = 0.14,
) -> Float32Array:
    """Estimate the pitch of a single voice by the peak of its cepstrum (paragraphs 48 to 52).

    Takes the first peak that has most of the height of the highest peak, refined by a parabola
    through its neighbours. A sound without overtones, such as a pure tone, has no pitch.

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        fmin: lowest pitch in Hz.
        fmax: highest pitch in Hz.
        threshold: minimum height of a peak in nepers (white noise reaches 0.13).

    Returns:
        [frames], pitch in Hz; NaN where no peak is found.

    Raises:
        InvalidArgumentError: the window or the sample rate does not suit ``fmin`` and ``fmax``.

    Examples:
        >>> from embedding import transforms
        >>> time = np.arange(22050) / 22050
        >>> voice = sum(np.sin(2 * np.pi * 220 * n * time) / n for n in range(1, 20))
        >>> float(transforms.cepstral_pitch(y=voice)[20].round())
        220.0
    """
    check_number("fmin", fmin, above=0)
    check_number("fmax", fmax, above=0)
    check_number("threshold", threshold)
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    shortest, longest = int(np.ceil(sr / fmax)), int(sr / fmin)
    if not 2 <= shortest < longest < len(S) - 1:
        raise InvalidArgumentError(
            f"pitches from {fmin:.4g} to {fmax:.4g} Hz need another window than "
            f"{window_size(S)} samples at {sr} Hz"
        )
    values = cepstrum(S=S, sr=sr).T
    before, here, after = (values[:, shortest + step : longest + 1 + step] for step in (-1, 0, 1))
    # Multiples of the period have peaks too, which may be higher if the period is not an integer.
    lowest = np.maximum(SHARE * here.max(axis=1, keepdims=True), threshold)
    peaks = (here >= before) & (here > after) & (here > lowest)
    first = peaks.argmax(axis=1)[:, None]
    low, top, high = (np.take_along_axis(part, first, 1)[:, 0] for part in (before, here, after))
    bend = low - 2 * top + high
    shift = 0.5 * (low - high) / np.where(bend < 0, bend, -1)
    pitch = sr / (shortest + first[:, 0] + shift)
    return np.where(peaks.any(axis=1), pitch, np.nan).astype(np.float32)


def melodic_range(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
    scale: Scale = "log",
    bins_per_octave: int = 24,
) -> Float32Array:
    """Compute the power spectrum of the range of melodies, 40 to 1500 Hz (paragraph 56, Fig. 5B).

    The range of the melodic-range spectrogram of Sonic Visualiser (Cannam, Landone, Sandler 2010),
    which has windows of 8192 samples; use a larger ``n_fft`` if the shared ``S`` is too coarse.

    Args:
        y: mono waveform, float [samples]; not needed if ``S`` is given.
        sr: sample rate in Hz.
        S: power spectrogram [1 + n_fft/2, frames] of `power_spectrogram`, if available.
        n_fft: window length in samples; ignored if ``S`` is given.
        hop_length: samples between frames; ignored if ``S`` is given.
        scale: ``linear``: rows at k * sr / n_fft Hz; ``log``: rows at
            ``40 * 2 ** (k / bins_per_octave)`` Hz.
        bins_per_octave: rows in an octave, for scale ``log``.

    Returns:
        [bins, frames]; `melodic_frequencies` gives the frequencies of the rows.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> transforms.melodic_range(y=y).shape
        (126, 44)
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    low, high = MELODY_HZ
    if scale == "linear":
        return linear_spectrum(S=S, sr=sr, fmin=low, fmax=high)
    return log_spectrum(S=S, sr=sr, fmin=low, fmax=high, bins_per_octave=bins_per_octave)


def melodic_frequencies(
    sr: int, n_fft: int = N_FFT, *, scale: Scale = "log", bins_per_octave: int = 24
) -> Float64Array:
    """Return the frequency in Hz of each row of `melodic_range`.

    Args:
        sr: sample rate in Hz.
        n_fft: window length in samples.
        scale: as for `melodic_range`.
        bins_per_octave: as for `melodic_range`.

    Examples:
        >>> from embedding import transforms
        >>> transforms.melodic_frequencies(22050)[[0, 24, 48]].tolist()
        [40.0, 80.0, 160.0]
    """
    low, high = MELODY_HZ
    if scale == "linear":
        return linear_frequencies(sr, n_fft, fmin=low, fmax=high)
    return log_frequencies(sr, fmin=low, fmax=high, bins_per_octave=bins_per_octave)
