"""Melody: the pitch of a voice, and the range that melodies lie in."""

from typing import Literal

import numpy as np
import scipy.fft

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
"""Where melodies lie, as in Sonic Visualiser's melodic-range spectrogram."""

PITCH_FMIN, PITCH_FMAX = 60.0, 800.0
"""Lowest and highest pitch of a voice that is looked for, in Hz."""

SHARE = 0.7
"""Share of the height of the highest peak of the cepstrum from which an earlier one is taken."""

FLOOR = 1e-6
"""Power relative to the frame's maximum below which the cepstrum does not look: -60 dB."""


def cepstrum(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    S: Float32Array | None = None,
    n_fft: int = N_FFT,
    hop_length: int = HOP,
) -> Float32Array:
    """Real cepstrum: how periodic the spectrum in dB is along frequency (paragraphs 48 to 52).

    Noll 1967, "Cepstrum pitch determination".

    Returns:
        [1 + n_fft/2, frames] in nepers of power: row q is a quefrency of q / sr seconds. Power
        more than 60 dB below the frame's maximum counts as that; a silent frame is zero.
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
    """Pitch of one voice by the peak of its cepstrum, in Hz: [frames] (paragraphs 48 to 52).

    The first peak is taken, among periods of ``1/fmax`` to ``1/fmin`` seconds, that has most of the
    height of the highest, and refined by a parabola through its neighbours. NaN where none is
    above ``threshold`` nepers (white noise reaches 0.13): no overtones, no pitch, so a pure tone
    has none.

    Raises:
        InvalidArgumentError: ``fmin`` or ``fmax`` cannot be told apart with this window and rate.
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    shortest, longest = int(np.ceil(sr / fmax)), int(sr / fmin)
    if not 2 <= shortest < longest < len(S) - 1:
        raise InvalidArgumentError(
            f"pitches from {fmin:.4g} to {fmax:.4g} Hz need another window than "
            f"{window_size(S)} samples at {sr} Hz"
        )
    values = cepstrum(S=S, sr=sr).T
    before, here, after = (values[:, shortest + step : longest + 1 + step] for step in (-1, 0, 1))
    # Two and three periods show as well, and may be stronger where one is not a whole number.
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
    """Power spectrum of 40 to 1500 Hz, where melodies lie (paragraph 56, Fig. 5B).

    The range of the melodic-range spectrogram of Sonic Visualiser (Cannam, Landone, Sandler 2010),
    which uses windows of 8192 samples; ``n_fft`` may be given where the shared ``S`` is too coarse.

    Returns:
        [bins, frames]: ``"linear"`` rows k * sr / n_fft Hz, ``"log"`` rows
        ``40 * 2 ** (k / bins_per_octave)`` Hz; :func:`melodic_frequencies` names them.
    """
    S = resolve_spectrogram(y, S, n_fft, hop_length)
    low, high = MELODY_HZ
    if scale == "linear":
        return linear_spectrum(S=S, sr=sr, fmin=low, fmax=high)
    return log_spectrum(S=S, sr=sr, fmin=low, fmax=high, bins_per_octave=bins_per_octave)


def melodic_frequencies(
    sr: int, n_fft: int = N_FFT, *, scale: Scale = "log", bins_per_octave: int = 24
) -> Float64Array:
    """Frequency in Hz of each row of :func:`melodic_range`."""
    low, high = MELODY_HZ
    if scale == "linear":
        return linear_frequencies(sr, n_fft, fmin=low, fmax=high)
    return log_frequencies(sr, fmin=low, fmax=high, bins_per_octave=bins_per_octave)
