"""Random initial loops, made by musical rules, from which the optimisation starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datasets.arrays import Float64Array, IntArray
from embedding.composition.instruments import LOOP_DRUMS, RANGES, InstrumentSet

STEPS = 32
"""Sixteenth notes in a loop: two bars of four beats."""

SILENT = -7.0
"""Natural logarithm of the level of a sound that is not played: -60 dB."""

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11),  # major
    (0, 2, 3, 5, 7, 8, 10),  # minor
    (0, 2, 3, 5, 7, 9, 10),  # dorian
    (0, 2, 4, 5, 7, 9, 10),  # mixolydian
)
_BPM = (75.0, 150.0)
LOWEST, HIGHEST = 28, 96
"""MIDI pitches of all instruments."""


@dataclass(frozen=True, eq=False)
class InitialLoop:
    """A loop from which the optimisation starts."""

    hop: int
    """Samples in a step (a sixteenth note)."""

    chosen: IntArray
    """Rows of the instrument sounds that are in key, int [k]."""

    levels: Float64Array
    """Natural logarithm of the level of each of these sounds at each step, float64 [STEPS, k]."""


class _Play(Protocol):
    def __call__(self, step: int, name: str, pitch: int = 0) -> None: ...


def make_initial_loop(
    members: InstrumentSet, sample_rate: int, rng: np.random.Generator
) -> InitialLoop:
    """Make a random loop: tempo, key, four chords, bass, figures above it, and drums."""
    hop = round(sample_rate * 60 / rng.uniform(*_BPM) / 4)
    key, scale = int(rng.integers(12)), _SCALES[rng.integers(len(_SCALES))]
    in_key = np.isin((members.pitches - key) % 12, scale) | (members.pitches == 0)
    chosen = np.flatnonzero(in_key)
    column = {
        (members.names[row], int(members.pitches[row])): number for number, row in enumerate(chosen)
    }
    levels = np.full((STEPS, len(chosen)), SILENT)
    loudness = {name: rng.normal(-1, 0.7) for name in (*RANGES, *LOOP_DRUMS)}

    def play(step: int, name: str, pitch: int = 0) -> None:
        if (name, pitch) in column:
            levels[step, column[name, pitch]] = loudness[name] + rng.normal(0, 0.2)

    ladder = [pitch for pitch in range(LOWEST, HIGHEST + 1) if (pitch - key) % 12 in scale]
    density = rng.uniform(0.2, 0.9)
    for start in range(0, STEPS, 8):
        _half_bar(start, int(rng.integers(7)), ladder, density, rng, play)
    _drums(density, rng, play)
    return InitialLoop(hop, chosen, levels)


def _half_bar(
    start: int,
    root: int,
    ladder: Sequence[int],
    density: float,
    rng: np.random.Generator,
    play: _Play,
) -> None:
    """Play half a bar over the triad on ``root``, an index into ``ladder``, the pitches in key."""
    for degree in (0, 2, 4):
        play(start, "strings", ladder[root + 14 + degree])
    for step in range(start, start + 8):
        if step == start or (step % 2 == 0 and rng.random() < density):
            play(step, "bass", ladder[root + int(rng.choice([0, 0, 0, 2, 4]))])
        if rng.random() < 0.6 * density:
            play(step, "pluck", ladder[root + 21 + int(rng.choice([0, 2, 4, 5, 7]))])
        if rng.random() < 0.25 * density:
            play(step, "lead", ladder[root + 14 + int(rng.choice([0, 2, 4, 7]))])


def _drums(density: float, rng: np.random.Generator, play: _Play) -> None:
    """Play kicks on half bars, snares between them, hats on eighths, and a few at random."""
    for step in range(STEPS):
        if step % 8 == 0 or rng.random() < 0.1 * density:
            play(step, "kick")
        if step % 8 == 4:
            play(step, "snare")
        if step % 2 == 0 or rng.random() < 0.3 * density:
            play(step, "hat")
