"""Notes: which are played when, by shift-invariant probabilistic latent component analysis.

Benetos and Dixon 2012, "A shift-invariant latent variable model for automatic music
transcription", Computer Music Journal 36(4). On a logarithmic frequency axis a note's overtones
keep their distances whatever its pitch, so the constant-Q spectrum is explained as one spectral
template of each timbre, shifted:

    P(ω, t)  ≈  P(t) · Σ_f Σ_s  P(f, s | t) · P(ω - f | s)

Templates are known beforehand (overtones that fall off at several rates), so only the activations
P(f, s | t) are estimated, by expectation maximisation; raised to a power above one they stay
sparse. Shifts are a third of a semitone, so an instrument may be out of tune or glide.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError
from embedding.transforms.harmony import constant_q, constant_q_bins
from embedding.transforms.spectrum import HOP

LOWEST = 21
"""MIDI number of the lowest note, A0 (27.5 Hz)."""
HIGHEST = 108
"""MIDI number of the highest note, C8 (4186 Hz)."""
STEPS = 3
"""Constant-Q bins in a semitone."""
FMIN = 440.0 * 2 ** ((LOWEST - 69 - 1 / STEPS) / 12)
"""Frequency of the lowest bin: the middle one of each semitone is in tune."""
OVERTONES = 24
"""Overtones in a template, as far as the spectrum reaches."""
DECAYS = (0.4, 0.6, 0.8, 0.95)
"""Amplitude of each overtone relative to the one below it: one timbre each."""
PASSED = 0.85
"""Share of the spectrum below sr/2 that resampling leaves as it is."""
ITERATIONS = 40
FIRST = 8
"""Iterations with all templates."""
NEGLIGIBLE = 1e-3
"""Share of every frame's spectrum below which a template is then left out."""
TINY = np.float32(1e-12)
SPARSITY = 1.1
"""Power to which the activations are raised in each iteration."""


@dataclass(frozen=True, order=True)
class TranscribedNote:
    """One played note."""

    start: float
    """When it begins, in seconds."""

    end: float
    """When it ends, in seconds."""

    midi: int
    """Pitch as a MIDI number: 69 is A4, 440 Hz."""

    strength: float
    """Its salience relative to that of the strongest note, above 0 and at most 1."""


def note_salience(*, y: Float32Array, sr: int = 22050, hop_length: int = HOP) -> Float32Array:
    """How strongly each note sounds in each frame (paragraphs 48 to 52).

    Args:
        y: waveform, float [samples], mono; as the constant-Q spectrum it cannot come from a
            shared spectrogram.
        sr: samples a second.
        hop_length: samples between frames.

    Returns:
        float32 [notes, frames], magnitude of the constant-Q spectrum that the note explains with
        all its overtones; row k is MIDI note 21 + k, up to 108 or what fits below sr/2.

    Raises:
        InvalidArgumentError: ``sr`` is too low for any note.
    """
    n_bins, notes = _bin_count(sr), note_count(sr)
    if notes < 1:
        raise InvalidArgumentError(f"no note can be heard at {sr} samples a second")
    power = constant_q(
        y=y, sr=sr, hop_length=hop_length, fmin=FMIN, n_bins=n_bins, bins_per_octave=12 * STEPS
    )
    spectrum = np.sqrt(power).T
    activations = _activations(spectrum, _templates(n_bins, notes))
    shifts = activations.reshape(len(spectrum), len(DECAYS), notes, STEPS)
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
    """The notes that are played, in the order of their beginnings (paragraphs 48 to 52).

    Args:
        y: waveform, float [samples], mono.
        sr: samples a second.
        salience: [notes, frames] of :func:`note_salience`, where it is at hand.
        hop_length: samples between frames.
        threshold: salience, relative to the strongest note's, from which a note sounds.
        min_seconds: shorter notes are left out; so are notes shorter than half their constant-Q
            window (0.31 s at E2, 0.08 s at E4), which are the edges of what is beside them.

    Raises:
        InvalidArgumentError: neither ``y`` nor ``salience`` is given.
    """
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
    """Rows of :func:`note_salience` at this sample rate."""
    return min(HIGHEST - LOWEST + 1, _bin_count(sr) // STEPS)


def _bin_count(sr: int) -> int:
    """Constant-Q bins: two octaves of overtones above the highest note, or what fits."""
    # Where librosa halves the rate from octave to octave, tones near the top of one are weakened.
    fitting = constant_q_bins(int(PASSED * sr), FMIN, 12 * STEPS)
    return min(fitting, STEPS * (HIGHEST - LOWEST + 1) + 24 * STEPS)


def _activations(spectrum: Float32Array, templates: Float32Array) -> Float32Array:
    """Activations [frames, components] that explain [frames, bins] by [components, bins]."""
    totals = spectrum.sum(axis=1, keepdims=True)
    target = spectrum / np.maximum(totals, TINY)
    weights = np.full((len(spectrum), len(templates)), 1 / len(templates), dtype=np.float32)
    weights = _maximised(weights, target, templates, FIRST)
    # What no frame needs by now will not come back, and the rest is then several times faster.
    kept = np.flatnonzero(weights.max(axis=0) > NEGLIGIBLE)
    activations = np.zeros_like(weights)
    activations[:, kept] = _maximised(weights[:, kept], target, templates[kept], ITERATIONS - FIRST)
    return activations * totals


def _maximised(
    weights: Float32Array, target: Float32Array, templates: Float32Array, iterations: int
) -> Float32Array:
    """Expectation maximisation of activations whose rows sum to 1."""
    turned = np.ascontiguousarray(templates.T)
    for _ in range(iterations):
        explained = np.maximum(weights @ templates, TINY)
        weights = (weights * ((target / explained) @ turned)) ** np.float32(SPARSITY)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), TINY)
    return weights


@cache
def _templates(n_bins: int, notes: int) -> Float32Array:
    """Spectra of all timbres at all shifts: [timbres * notes * STEPS, bins], rows sum to 1."""
    per_octave = 12 * STEPS
    bins = np.arange(n_bins)
    rows = []
    for decay in DECAYS:
        for shift in range(notes * STEPS):
            places = shift + per_octave * np.log2(np.arange(1, OVERTONES + 1))
            amplitudes = decay ** np.arange(OVERTONES)
            template = amplitudes @ _lobe(bins[None, :] - places[:, None])
            rows.append(template / template.sum())
    templates = np.array(rows, dtype=np.float32)
    templates.flags.writeable = False
    return templates


def _lobe(distance: Float64Array) -> Float64Array:
    """Magnitude in a constant-Q bin so many bins above a tone, relative to one on it."""
    x = _quality() * (2.0 ** (-distance / (12 * STEPS)) - 1)
    # The Fourier transform of a Hann window; its limit at one cycle off is one half.
    edge = np.abs(np.abs(x) - 1) < 1e-6
    lobe = np.abs(np.sinc(x) / np.where(edge, 1, 1 - x * x))
    return np.where(edge, 0.5, np.where(np.abs(x) < 2, lobe, 0))


def _quality() -> float:
    """Periods of its frequency in a constant-Q window."""
    ratio = 2 ** (2 / (12 * STEPS))
    return (ratio + 1) / (ratio - 1)
