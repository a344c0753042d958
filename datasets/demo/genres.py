"""The demo's nine genres (those of US 2018/0276540 A1, [0102]) as descriptions to compose by.

A genre gives ranges for the five properties of a `SoundProfile`, and lists of patterns and
instruments to draw from.
Instruments are listed from the most acoustic to the most electronic.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np

from datasets.arrays import Float64Array

SOUND_PROPERTIES: Final = ("tempo", "brightness", "drive", "electronic", "density")

SLOWEST: Final = 60.0
FASTEST: Final = 200.0


@dataclass(frozen=True)
class SoundProfile:
    """Properties of a song's sound, each 0 to 1 on a scale shared by all genres."""

    tempo: float
    """Beats per minute on a logarithmic scale, 60 to 200."""
    brightness: float
    drive: float
    """Distortion and saturation."""
    electronic: float
    """0 acoustic instruments; 1 synthesizers and drum machines."""
    density: float
    """How many notes and layers."""

    @property
    def bpm(self) -> float:
        """Beats per minute."""
        return float(SLOWEST * (FASTEST / SLOWEST) ** self.tempo)

    def array(self) -> Float64Array:
        """Return the five values in the order of ``SOUND_PROPERTIES``."""
        return np.array(astuple(self), dtype=np.float64)


def tempo_from_bpm(bpm: float) -> float:
    """Return the value of ``SoundProfile.tempo`` for beats per minute."""
    return float(np.log(bpm / SLOWEST) / np.log(FASTEST / SLOWEST))


Span = tuple[float, float]


@dataclass(frozen=True)
class GenreStyle:
    """Ranges, patterns and instruments of a genre's songs."""

    name: str
    bpm: Span
    brightness: Span
    drive: Span
    electronic: Span
    density: Span
    grooves: tuple[str, ...]
    progressions: tuple[str, ...]
    bass: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    chords: tuple[str, ...]
    chord_patterns: tuple[str, ...]
    layers: tuple[str, ...]
    layer_patterns: tuple[str, ...]
    leads: tuple[str, ...]
    mix: tuple[float, float, float, float, float]
    """Decibels of drums, bass, chords, layer and lead against an even mix."""
    tone: tuple[float, float, float]
    """Mastering: decibels below 200 Hz, between, and above 2.5 kHz."""
    noise: str
    room: Span
    """Seconds of reverberation."""
    wet: Span
    """Level of the room against the direct sound."""
    neighbours: tuple[str, ...]
    """Genres that its artists borrow from."""

    @property
    def ranges(self) -> Float64Array:
        """Least and most of each property of a `SoundProfile`, [5, 2]."""
        tempo = (tempo_from_bpm(self.bpm[0]), tempo_from_bpm(self.bpm[1]))
        return np.array([tempo, self.brightness, self.drive, self.electronic, self.density])


_ALL = (
    GenreStyle(
        "alternative", (98, 158), (0.30, 0.85), (0.10, 0.60), (0.10, 0.65), (0.20, 0.90),
        grooves=("motorik", "toms", "dance rock", "half time", "breakbeat"),
        progressions=("axis minor", "aeolian", "dorian rock", "lift", "power minor"),
        bass=("pick bass", "pick bass", "finger bass", "square bass"),
        bass_patterns=("eighths", "push", "eighths"),
        chords=("clean guitar", "electric guitar", "clean guitar"),
        chord_patterns=("jangle", "eighths", "strum", "slow arpeggio"),
        layers=("electric guitar", "string pad", "warm pad"),
        layer_patterns=("sustained", "half notes", "power"),
        leads=("voice", "soft voice", "electric guitar", "square lead"),
        mix=(0, 0, 2, 3, -2), tone=(3.0, 0.0, -3.0),
        noise="hiss", room=(1.4, 2.8), wet=(0.35, 0.75),
        neighbours=("rock", "pop", "electronic", "folk/country"),
    ),
    GenreStyle(
        "blues", (62, 128), (0.20, 0.70), (0.15, 0.75), (0.0, 0.40), (0.10, 0.80),
        grooves=("shuffle", "slow blues", "juke"),
        progressions=("twelve bars", "turnaround", "minor blues"),
        bass=("upright bass", "finger bass"),
        bass_patterns=("boogie", "walking", "roots"),
        chords=("steel guitar", "steel guitar", "electric guitar", "organ"),
        chord_patterns=("shuffle", "off-beats", "charleston"),
        layers=("harmonica", "organ", "organ"),
        layer_patterns=("sustained", "off-beats"),
        leads=("harmonica", "steel guitar", "electric guitar", "voice"),
        mix=(-1, -1, 2, -2, 3), tone=(-5.0, 4.0, -3.0),
        noise="hiss", room=(0.4, 1.2), wet=(0.08, 0.25),
        neighbours=("rock", "jazz", "folk/country", "funk/soul/rnb"),
    ),
    GenreStyle(
        "electronic", (114, 146), (0.25, 1.0), (0.0, 0.70), (0.65, 1.0), (0.25, 1.0),
        grooves=("house", "techno", "electro", "breakbeat"),
        progressions=("trance", "drone", "minor vamp", "two chords", "dark loop"),
        bass=("synth bass", "square bass", "synth bass"),
        bass_patterns=("offbeat", "gallop", "acid"),
        chords=("super saw", "synth pluck", "super saw"),
        chord_patterns=("arpeggio", "pump", "stabs"),
        layers=("warm pad", "super saw", "warm pad"),
        layer_patterns=("sustained", "pump"),
        leads=("glass bell", "square lead", "saw lead"),
        mix=(4, 3, 3, 1, -6), tone=(3.0, -5.0, 5.0),
        noise="none", room=(0.6, 3.0), wet=(0.12, 0.40),
        neighbours=("pop", "rap/hip-hop", "alternative", "funk/soul/rnb"),
    ),
    GenreStyle(
        "folk/country", (74, 138), (0.25, 0.80), (0.0, 0.45), (0.0, 0.50), (0.05, 0.80),
        grooves=("train", "two beat", "stomp", "waltz", "unaccompanied"),
        progressions=("three chords", "cadence", "fifties", "mixolydian"),
        bass=("upright bass", "upright bass", "finger bass"),
        bass_patterns=("boom", "boom", "roots"),
        chords=("nylon guitar", "steel guitar", "steel guitar"),
        chord_patterns=("fingerpicking", "strum", "straight strum"),
        layers=("banjo", "mandolin", "steel guitar"),
        layer_patterns=("fingerpicking", "off-beats", "skank"),
        leads=("fiddle", "harmonica", "voice", "soft voice"),
        mix=(-6, -2, 4, 2, 2), tone=(-8.0, 0.0, 2.0),
        noise="hiss", room=(0.3, 1.2), wet=(0.06, 0.22),
        neighbours=("blues", "pop", "rock", "alternative"),
    ),
    GenreStyle(
        "funk/soul/rnb", (78, 122), (0.30, 0.85), (0.0, 0.60), (0.10, 0.80), (0.25, 1.0),
        grooves=("funk", "soul", "disco", "slow jam"),
        progressions=("one chord", "minor vamp", "soul", "slow jam"),
        bass=("finger bass", "slap bass", "slap bass", "synth bass"),
        bass_patterns=("funk", "slap", "soul", "disco"),
        chords=("muted guitar", "muted guitar", "tine piano", "reed piano"),
        chord_patterns=("scratch", "stabs", "comping"),
        layers=("brass section", "organ", "tine piano"),
        layer_patterns=("late stabs", "stabs", "sustained"),
        leads=("saxophone", "voice", "soft voice", "saw lead"),
        mix=(1, 3, 1, 2, -1), tone=(1.0, 0.0, 4.0),
        noise="hiss", room=(0.4, 1.4), wet=(0.08, 0.25),
        neighbours=("pop", "jazz", "rap/hip-hop", "electronic"),
    ),
    GenreStyle(
        "jazz", (88, 200), (0.12, 0.60), (0.0, 0.28), (0.0, 0.45), (0.10, 0.90),
        grooves=("swing", "brushes", "bossa", "jazz waltz"),
        progressions=("two five one", "minor two five", "rhythm changes", "modal", "descending"),
        bass=("upright bass", "upright bass", "finger bass"),
        bass_patterns=("walking", "walking", "boom"),
        chords=("piano", "nylon guitar", "vibraphone", "tine piano"),
        chord_patterns=("comping", "charleston", "comping"),
        layers=("piano", "vibraphone", "brass section"),
        layer_patterns=("late stabs", "half notes"),
        leads=("trumpet", "saxophone", "clarinet", "piano", "vibraphone"),
        mix=(-3, 3, -1, 0, 3), tone=(0.0, 2.0, -6.0),
        noise="crackle", room=(0.5, 1.6), wet=(0.10, 0.30),
        neighbours=("blues", "funk/soul/rnb", "rap/hip-hop"),
    ),
    GenreStyle(
        "pop", (88, 130), (0.40, 0.95), (0.0, 0.50), (0.20, 0.80), (0.15, 0.90),
        grooves=("pop four", "pop back", "dembow", "dance rock"),
        progressions=("axis", "axis minor", "fifties", "bright", "lift"),
        bass=("finger bass", "synth bass", "square bass"),
        bass_patterns=("syncopated", "eighths", "disco"),
        chords=("steel guitar", "piano", "synth pluck", "super saw"),
        chord_patterns=("half notes", "eighths", "slow arpeggio", "skank"),
        layers=("string pad", "warm pad", "super saw"),
        layer_patterns=("sustained", "pump"),
        leads=("voice", "voice", "soft voice", "synth pluck"),
        mix=(-1, -2, -1, 2, 5), tone=(0.0, -3.0, 6.0),
        noise="none", room=(0.7, 2.2), wet=(0.15, 0.35),
        neighbours=("funk/soul/rnb", "electronic", "alternative", "rock"),
    ),
    GenreStyle(
        "rap/hip-hop", (70, 106), (0.15, 0.75), (0.05, 0.75), (0.30, 1.0), (0.15, 0.95),
        grooves=("boom bap", "dusty loop", "trap"),
        progressions=("loop minor", "dark loop", "two chords", "minor vamp"),
        bass=("upright bass", "square bass", "808", "808"),
        bass_patterns=("long", "syncopated", "syncopated"),
        chords=("piano", "tine piano", "glass bell", "synth pluck"),
        chord_patterns=("loop", "half notes", "slow arpeggio"),
        layers=("brass section", "string pad", "warm pad"),
        layer_patterns=("late stabs", "sustained"),
        leads=("rap voice", "rap voice", "rap voice", "rap voice", "saw lead"),
        mix=(4, 5, -4, -4, 3), tone=(8.0, 0.0, -5.0),
        noise="crackle", room=(0.3, 1.1), wet=(0.05, 0.20),
        neighbours=("funk/soul/rnb", "electronic", "jazz", "pop"),
    ),
    GenreStyle(
        "rock", (100, 172), (0.35, 0.90), (0.50, 1.0), (0.0, 0.45), (0.25, 1.0),
        grooves=("rock", "drive", "stadium", "half time"),
        progressions=("power", "power major", "power minor", "mixolydian"),
        bass=("pick bass", "pick bass", "finger bass"),
        bass_patterns=("eighths", "gallop", "push"),
        chords=("electric guitar",),
        chord_patterns=("power", "eighths", "gallop"),
        layers=("electric guitar", "organ", "electric guitar"),
        layer_patterns=("sustained", "power", "half notes"),
        leads=("voice", "electric guitar", "electric guitar"),
        mix=(2, 0, 5, 3, 0), tone=(-3.0, 1.0, 6.0),
        noise="hiss", room=(0.4, 1.0), wet=(0.05, 0.20),
        neighbours=("alternative", "blues", "pop"),
    ),
)  # fmt: skip

GENRES: Mapping[str, GenreStyle] = {genre.name: genre for genre in _ALL}
