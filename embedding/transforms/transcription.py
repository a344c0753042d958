"""Note transcription by shift-invariant probabilistic latent component analysis.

Benetos and Dixon 2012, "A shift-invariant latent variable model for automatic music
transcription", Computer Music Journal 36(4). On a logarithmic frequency axis the distances of the
overtones of a note do not depend on its pitch, so the constant-Q spectrum is modelled as shifted
spectral templates, one for each timbre:

    P(ω, t)  ≈  P(t) · Σ_f Σ_s  P(f, s | t) · P(ω - f | s)

Templates are fixed (overtones that decay at several rates), so only the activations P(f, s | t) are
estimated, by expectation maximisation; raising them to a power above one keeps them sparse. Shifts
are a third of a semitone, which allows for detuned instruments and glides.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from datasets.arguments import check_number
from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError
from embedding.transforms.harmony import constant_q, constant_q_bins
from embedding.transforms.spectrum import HOP

LOWEST = 21
"""MIDI number of the lowest note, A0 (27.5 Hz)."""
HIGHEST = 108
"""MIDI number of the highest note, C8 (4186 Hz)."""
_STEPS = 3
"""Constant-Q bins in a semitone."""
FMIN = 440.0 * 2 ** ((LOWEST - 69 - 1 / _STEPS) / 12)
"""Frequency of the lowest bin: the middle one of each semitone is in tune."""
OVERTONES = 24
"""Overtones in a template, up to the end of the spectrum."""
DECAYS = (0.4, 0.6, 0.8, 0.95)
"""Amplitude ratio of successive overtones, of each timbre."""
PASSED = 0.85
"""Share of the spectrum below sr/2 that resampling preserves."""
ITERATIONS = 40
FIRST = 8
"""Iterations with all templates."""
_NEGLIGIBLE = 1e-3
"""A template with less than this share of every frame is left out of the remaining iterations."""
_TINY = np.float32(1e-12)
_SPARSITY = 1.1
"""Power to which the activations are raised in each iteration."""


@dataclass(frozen=True, order=True)
class TranscribedNote:
    """A note found by `transcribe`."""

    start: float
    """Start time in seconds."""

    end: float
    """End time in seconds."""

    midi: int
    """Pitch as a MIDI number: 69 is A4, 440 Hz."""

    strength: float
    """Maximum salience relative to the strongest note, above 0 and at most 1."""


def note_salience(*, y: Float32Array, sr: int = 22050, hop_length: int = HOP) -> Float32Array:
    """Compute the salience of each note in each frame (paragraphs 48 to 52).

    Args:
        y: mono waveform, float [samples].
        sr: sample rate in Hz.
        hop_length: samples between frames.

    Returns:
        float32 [notes, frames]: magnitude of the constant-Q spectrum explained by the note with its
        overtones. Row k is MIDI note 21 + k, up to 108 or what fits below sr/2.

    Raises:
        InvalidArgumentError: ``sr`` is too low for any note.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> salience = transforms.note_salience(y=y)
        >>> salience.shape, 21 + int(salience[:, 20].argmax())  # MIDI note 69 is A4
        ((88, 44), 69)
    """
    n_bins, notes = _bin_count(sr), note_count(sr)
    if notes < 1:
        raise InvalidArgumentError(f"no note can be heard at {sr} samples a second")
    power = constant_q(
        y=y, sr=sr, hop_length=hop_length, fmin=FMIN, n_bins=n_bins, bins_per_octave=12 * _STEPS
    )
    spectrum = np.sqrt(power).T
    activations = _activations(spectrum, _templates(n_bins, notes))
    shifts = activations.reshape(len(spectrum), len(DECAYS), notes, _STEPS)
    return np.ascontiguousarray(shifts.sum(axis=(1, 3)).T)


def transcribe(
    *,
    y: Float32Array | None = None,
    sr: int = 22050,
    salience: Float32Array | None = None,
    hop_length: int = HOP,
    threshold: float = 0.15,
    min_seconds: float = 0.1,
) -> list[TranscribedNote]:
    """Transcribe the notes that are played (paragraphs 48 to 52).

    Args:
        y: mono waveform, float [samples]; not needed if ``salience`` is given.
        sr: sample rate in Hz.
        salience: [notes, frames] of `note_salience`, if available.
        hop_length: samples between frames.
        threshold: minimum salience of a note, relative to the strongest note.
        min_seconds: minimum length of a note. Notes shorter than half their constant-Q window
            (0.31 s at E2, 0.08 s at E4) are left out too, as artefacts of neighbouring notes.

    Returns:
        Notes, sorted by start time.

    Raises:
        InvalidArgumentError: neither ``y`` nor ``salience`` is given, or a number out of range.

    Examples:
        >>> from embedding import transforms
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> [note.midi for note in transforms.transcribe(y=y)]  # MIDI note 69 is A4
        [69]
    """
    check_number("threshold", threshold, least=0, most=1)
    check_number("min_seconds", min_seconds, least=0)
    if salience is None:
        if y is None:
            raise InvalidArgumentError("give the waveform y or its note salience")
        salience = note_salience(y=y, sr=sr, hop_length=hop_length)
    strongest = float(salience.max(initial=0))
    if strongest <= 0:
        return []
    relative = salience / strongest
    seconds = hop_length / sr
    found = []
    for row, line in enumerate(relative):
        sounding = np.concatenate([[False], line >= threshold, [False]])
        edges = np.flatnonzero(np.diff(sounding.astype(np.int8)))
        window = _quality() / (440.0 * 2 ** ((LOWEST + row - 69) / 12))
        shortest = max(min_seconds, window / 2) / seconds
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if stop - start >= shortest:
                strength = float(line[start:stop].max())
                found.append(
                    TranscribedNote(start * seconds, stop * seconds, LOWEST + row, strength)
                )
    return sorted(found)


def note_count(sr: int) -> int:
    """Return the number of rows of `note_salience` at this sample rate."""
    return min(HIGHEST - LOWEST + 1, _bin_count(sr) // _STEPS)


def _bin_count(sr: int) -> int:
    """Number of constant-Q bins: up to two octaves above the highest note, or what fits."""
    # librosa halves the rate from octave to octave, which weakens tones near the top of each.
    fitting = constant_q_bins(int(PASSED * sr), FMIN, 12 * _STEPS)
    return min(fitting, _STEPS * (HIGHEST - LOWEST + 1) + 24 * _STEPS)


def _activations(spectrum: Float32Array, templates: Float32Array) -> Float32Array:
    """Fit [frames, bins] by templates [components, bins]: activations [frames, components]."""
    totals = spectrum.sum(axis=1, keepdims=True)
    target = spectrum / np.maximum(totals, _TINY)
    weights = np.full((len(spectrum), len(templates)), 1 / len(templates), dtype=np.float32)
    weights = _maximised(weights, target, templates, FIRST)
    # Unused templates stay unused; without them the remaining iterations are much faster.
    kept = np.flatnonzero(weights.max(axis=0) > _NEGLIGIBLE)
    activations = np.zeros_like(weights)
    activations[:, kept] = _maximised(weights[:, kept], target, templates[kept], ITERATIONS - FIRST)
    return activations * totals


def _maximised(
    weights: Float32Array, target: Float32Array, templates: Float32Array, iterations: int
) -> Float32Array:
    """Iterate expectation maximisation; the rows of the activations sum to 1."""
    turned = np.ascontiguousarray(templates.T)
    for _ in range(iterations):
        explained = np.maximum(weights @ templates, _TINY)
        weights = (weights * ((target / explained) @ turned)) ** np.float32(_SPARSITY)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), _TINY)
    return weights


@cache
def _templates(n_bins: int, notes: int) -> Float32Array:
    """Spectra of all timbres at all shifts: [timbres * notes * STEPS, bins], rows sum to 1."""
    per_octave = 12 * _STEPS
    bins = np.arange(n_bins)
    rows = []
    for decay in DECAYS:
        for shift in range(notes * _STEPS):
            places = shift + per_octave * np.log2(np.arange(1, OVERTONES + 1))
            amplitudes = decay ** np.arange(OVERTONES)
            template = amplitudes @ _lobe(bins[None, :] - places[:, None])
            rows.append(template / template.sum())
    templates = np.array(rows, dtype=np.float32)
    templates.flags.writeable = False
    return templates


def _lobe(distance: Float64Array) -> Float64Array:
    """Relative magnitude in a constant-Q bin at a distance, in bins, from a tone."""
    x = _quality() * (2.0 ** (-distance / (12 * _STEPS)) - 1)
    # The Fourier transform of a Hann window; its limit at one cycle off is one half.
    edge = np.abs(np.abs(x) - 1) < 1e-6
    lobe = np.abs(np.sinc(x) / np.where(edge, 1, 1 - x * x))
    return np.where(edge, 0.5, np.where(np.abs(x) < 2, lobe, 0))


def _quality() -> float:
    """Q: length of a constant-Q window in periods of its frequency."""
    ratio = 2 ** (2 / (12 * _STEPS))
    return (ratio + 1) / (ratio - 1)
