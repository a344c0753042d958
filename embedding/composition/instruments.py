"""Instruments for compositions: the waveform of every note and drum.

A composition is a linear function of the level of each sound at each step, which makes it
differentiable; and being made of notes, it stays music whatever the gradients are.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import fftconvolve

from datasets.arrays import Float32Array, Float64Array, IntArray

NOTE_SECONDS = 1.6
"""Length of the waveform of a note."""

RANGES = {"bass": (28, 50), "pluck": (40, 96), "strings": (40, 88), "lead": (40, 76)}
"""Lowest and highest MIDI pitch of each instrument."""

LOOP_DRUMS = ("kick", "snare", "hat", "cymbal", "brush")

PARTIALS = 24
LEVEL = 0.25
"""Root mean square of each sound if its energy is spread over 0.2 s."""


@dataclass(frozen=True, eq=False)
class InstrumentSet:
    """All sounds at one sample rate."""

    sounds: Float32Array
    """float32 [n, samples]."""

    names: tuple[str, ...]
    """Instrument of each sound."""

    pitches: IntArray
    """MIDI pitch of each sound, int [n]; 0 for a drum."""


@cache
def make_instruments(sample_rate: int) -> InstrumentSet:
    """Synthesise all instruments at a sample rate, without notes above 0.4 times the rate.

    Noise has a fixed seed, so the instruments are the same for every composition.
    """
    rng = np.random.default_rng(0)
    time = np.arange(round(NOTE_SECONDS * sample_rate)) / sample_rate
    sounds, names, pitches = [], [], []
    for name, (lowest, highest) in RANGES.items():
        envelopes = _envelopes(name, time)
        for pitch in range(lowest, highest + 1):
            frequency = 440 * 2 ** ((pitch - 69) / 12)
            if frequency < 0.4 * sample_rate:
                sounds.append(_note(name, frequency, time, envelopes))
                names.append(name)
                pitches.append(pitch)
    for name in LOOP_DRUMS:
        sounds.append(_drum(name, time, sample_rate, rng))
        names.append(name)
        pitches.append(0)
    wet = _in_a_room(np.stack(sounds), time, rng)
    wet *= np.minimum(1, (time[-1] - time) / 0.05)
    size = np.sqrt(np.square(wet).sum(axis=1, keepdims=True) / (0.2 * sample_rate))
    return InstrumentSet((LEVEL * wet / size).astype(np.float32), tuple(names), np.array(pitches))


def _envelopes(name: str, time: Float64Array) -> Float64Array:
    """Amplitude envelope of each partial of an instrument: [PARTIALS, samples]."""
    number = np.arange(1.0, PARTIALS + 1)
    levels, decays = {
        "bass": (number**-2.0, 0.6 / np.sqrt(number)),
        "pluck": (number**-1.5, 0.7 / number),
        "strings": (number**-1.1, np.full(PARTIALS, 3.0)),
        "lead": (1 / number, np.full(PARTIALS, 2.0)),
    }[name]
    return levels[:, None] * np.exp(-time / decays[:, None])


def _note(name: str, frequency: float, time: Float64Array, envelopes: Float64Array) -> Float64Array:
    match name:
        case "bass":
            return _partials(frequency, envelopes, time) * _attack(time, 0.005)
        case "pluck":
            return _partials(frequency, envelopes, time) * _attack(time, 0.003)
        case "strings":
            # Two slightly detuned voices.
            pair = [_partials(frequency * f, envelopes, time) for f in (0.997, 1.003)]
            return (pair[0] + pair[1]) * _attack(time, 0.06) * _until(time, 0.8)
        case _:
            # Distorted, as by an overdriven amplifier.
            buzz = np.tanh(3 * _partials(frequency, envelopes, time))
            return buzz * _attack(time, 0.005) * _until(time, 0.45)


def _partials(frequency: float, envelopes: Float64Array, time: Float64Array) -> Float64Array:
    """Sum of the partials below 0.45 times the sample rate, with their envelopes."""
    sample_rate = 1 / (time[1] - time[0])
    turn = np.exp(2j * np.pi * frequency * time)
    wheel = np.ones_like(turn)
    total = np.zeros_like(time)
    for number, envelope in enumerate(envelopes, start=1):
        if number * frequency > 0.45 * sample_rate:
            break
        wheel *= turn
        # Different phases, so that the partials do not add up to one peak.
        total += envelope * (wheel * np.exp(1j * number)).imag
    return total


def _drum(
    name: str, time: Float64Array, sample_rate: int, rng: np.random.Generator
) -> Float64Array:
    match name:
        case "kick":
            # The pitch falls from 170 to 50 Hz.
            phase = 50 * time + 120 * 0.03 * (1 - np.exp(-time / 0.03))
            return np.sin(2 * np.pi * phase) * np.exp(-time / 0.12)
        case "snare":
            skin = np.sin(2 * np.pi * 190 * time) * np.exp(-time / 0.06)
            wires = _noise(200, 7000, len(time), sample_rate, rng)
            return 0.5 * skin + wires * np.exp(-time / 0.07)
        case "hat":
            return _noise(6000, np.inf, len(time), sample_rate, rng) * np.exp(-time / 0.03)
        case "cymbal":
            return _noise(4000, np.inf, len(time), sample_rate, rng) * np.exp(-time / 0.35)
        case _:
            return _noise(2000, 9000, len(time), sample_rate, rng) * np.exp(-time / 0.15)


def _noise(
    low: float, high: float, samples: int, sample_rate: int, rng: np.random.Generator
) -> Float64Array:
    """Noise between two frequencies; ``low`` is at most 0.3 times the sample rate."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    spectrum[(frequency < min(low, 0.3 * sample_rate)) | (frequency > high)] = 0
    return np.fft.irfft(spectrum, samples)


def _in_a_room(sounds: Float64Array, time: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Add a little reverberation."""
    echoes = rng.standard_normal(len(time)) * np.exp(-time / 0.12) * _attack(time, 0.01)
    echoes *= 0.2 / np.linalg.norm(echoes)
    echoes[0] = 1.0
    wet: Float64Array = fftconvolve(sounds, echoes[None], axes=1)[:, : len(time)]
    return wet


def _attack(time: Float64Array, seconds: float) -> Float64Array:
    return np.minimum(1, time / seconds)


def _until(time: Float64Array, end: float) -> Float64Array:
    """Envelope of a release: 1, then falling to 0 within 0.1 s before ``end``."""
    return np.clip((end - time) / 0.1, 0, 1)
