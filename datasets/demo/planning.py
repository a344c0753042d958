"""Draw an artist as a variation of a genre, and a song as a variation of its artist.

Every choice is drawn from two seeds, so `(genre, artist_seed, song_seed)` determines a song.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from datasets.arrays import Float64Array
from datasets.demo.genres import GENRES, GenreStyle, SoundProfile
from datasets.demo.instruments import INSTRUMENTS, KITS
from datasets.demo.patterns import GROOVES, PROGRESSIONS
from datasets.errors import InvalidArgumentError

_SONG_SPREAD: Final = 0.09
"""Standard deviation of a song's sound around its artist's, as a share of the genre's range."""

_BUSY: Final = 0.48
"""Mean of tempo, drive and density from which a song has high arousal."""


@dataclass(frozen=True)
class ArtistStyle:
    """What the songs of one artist have in common."""

    genre: str
    seed: int
    neighbour: str
    crossover: float
    """Chance that a part of a song is borrowed from `neighbour`; also pulls the sound there."""
    place: tuple[float, ...]
    """The artist's place within the genre's range of each property of Sound, 0 to 1."""
    key: int
    grooves: tuple[str, ...]
    progressions: tuple[str, ...]
    leads: tuple[str, ...]
    signature: tuple[tuple[int, int], ...]
    """A melodic motif of all songs: (step of the bar, steps on the scale) each."""
    swing: float
    """Place within the groove's range of swing."""
    room: float
    wet: float
    pan: float
    loudness: float
    gains: tuple[float, ...]
    """Decibels of drums, bass, chords, layer and lead against the usual mix."""
    tone: tuple[float, ...]
    """Decibels of bass, middle and treble on the finished record."""
    modulation: str
    """Effect on the chords: `"none"`, `"chorus"` or `"tremolo"`."""
    echo: float
    """Level of the lead's echo."""


@dataclass(frozen=True)
class SongPlan:
    """Everything that determines a song, before its notes are written."""

    artist: ArtistStyle
    seed: int
    sound: SoundProfile
    key: int
    groove: str
    swing: float
    kit: str
    progression: str
    bass: tuple[str, str]
    """(instrument, pattern), as are `chords` and `layer`."""
    chords: tuple[str, str]
    layer: tuple[str, str]
    lead: str
    noise: str

    @property
    def emotion(self) -> str:
        """happy, relaxed, sad or tense, by mode and arousal (Russell's circumplex)."""
        busy = (self.sound.tempo + self.sound.drive + self.sound.density) / 3.0 > _BUSY
        if PROGRESSIONS[self.progression].minor:
            return "tense" if busy else "sad"
        return "happy" if busy else "relaxed"

    @property
    def instrument(self) -> str:
        """Family of the lead instrument, such as "voice" or "saxophone"."""
        return INSTRUMENTS[self.lead].family


def draw_artist(genre: str, artist_seed: int) -> ArtistStyle:
    """Draw the artist with this seed in a genre.

    Raises:
        InvalidArgumentError: if the genre is not one of the nine.
    """
    if genre not in GENRES:
        raise InvalidArgumentError(
            f"genre {genre!r} is not known; it must be one of {', '.join(GENRES)}"
        )
    own = GENRES[genre]
    rng = np.random.default_rng([artist_seed, 1])
    neighbour = GENRES[str(rng.choice(own.neighbours))]
    crossover = float(0.35 * rng.beta(1.0, 3.0))
    mixed = own if rng.random() > crossover else neighbour
    return ArtistStyle(
        genre=genre,
        seed=artist_seed,
        neighbour=neighbour.name,
        crossover=crossover,
        place=tuple(float(value) for value in rng.uniform(0.02, 0.98, 5)),
        key=int(rng.integers(12)),
        grooves=_choose(own.grooves, 2, rng),
        progressions=_choose(own.progressions, 2, rng),
        leads=_choose(own.leads, 2, rng),
        signature=_signature(rng),
        swing=float(rng.random()),
        room=float(rng.uniform(*mixed.room)),
        wet=float(rng.uniform(*mixed.wet)),
        pan=float(rng.uniform(0.15, 0.7) * rng.choice([-1, 1])),
        loudness=float(10.0 ** (rng.normal(0.0, 0.8) / 20.0)),
        gains=tuple(float(value) for value in rng.normal(0.0, 1.2, 5)),
        tone=tuple(
            float((1.0 - crossover) * first + crossover * second + rng.normal(0.0, 0.5))
            for first, second in zip(own.tone, neighbour.tone, strict=True)
        ),
        modulation=str(rng.choice(["none", "none", "chorus", "tremolo"])),
        echo=float(rng.choice([0.0, 0.0, 0.25, 0.4])),
    )


def draw_plan(artist: ArtistStyle, song_seed: int) -> SongPlan:
    """Draw the song with this seed of an artist."""
    own, other = GENRES[artist.genre], GENRES[artist.neighbour]
    rng = np.random.default_rng([artist.seed, song_seed, 2])
    place = _reflect(np.array(artist.place) + rng.normal(0.0, _SONG_SPREAD, 5))
    ranges = (1.0 - artist.crossover) * own.ranges + artist.crossover * other.ranges
    sound = SoundProfile(*(float(value) for value in ranges[:, 0] + place * np.ptp(ranges, axis=1)))

    def borrowed() -> bool:
        return bool(rng.random() < artist.crossover)

    groove = str(rng.choice(other.grooves if borrowed() else artist.grooves))
    progression = str(rng.choice(other.progressions if borrowed() else artist.progressions))
    lead = str(rng.choice(other.leads if borrowed() else artist.leads))
    bass = other if borrowed() else own
    chords = other if borrowed() else own
    layer = other if borrowed() else own
    steepness = place[3]
    low, high = GROOVES[groove].swing
    return SongPlan(
        artist=artist,
        seed=song_seed,
        sound=sound,
        key=int((artist.key + rng.choice([0, 0, 5, 7, 2])) % 12),
        groove=groove,
        swing=low + (high - low) * artist.swing,
        kit=_kit(own, sound, rng),
        progression=progression,
        bass=(_by_place(bass.bass, steepness, rng), str(rng.choice(bass.bass_patterns))),
        chords=(_by_place(chords.chords, steepness, rng), str(rng.choice(chords.chord_patterns))),
        layer=(_by_place(layer.layers, steepness, rng), str(rng.choice(layer.layer_patterns))),
        lead=lead,
        noise=other.noise if borrowed() else own.noise,
    )


def _choose(choices: Sequence[str], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    picked = rng.choice(len(choices), size=min(count, len(choices)), replace=False)
    return tuple(choices[index] for index in picked)


def _signature(rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    count = int(rng.integers(3, 6))
    steps = np.sort(rng.choice(np.arange(0, 12), size=count, replace=False))
    moves = rng.choice([-3, -2, -1, -1, 1, 1, 2, 3, 4], size=count)
    return tuple((int(step), int(move)) for step, move in zip(steps, moves, strict=True))


def _reflect(place: Float64Array) -> Float64Array:
    """Mirror values outside 0 to 1 at the nearer edge."""
    return np.clip(1.0 - np.abs(1.0 - np.abs(place)), 0.0, 1.0)


def _by_place(choices: Sequence[str], place: float, rng: np.random.Generator) -> str:
    """Return one of `choices` (acoustic first), by a place between acoustic and electronic."""
    index = round(place * (len(choices) - 1) + float(rng.normal(0.0, 0.3)))
    return choices[min(max(index, 0), len(choices) - 1)]


def _kit(genre: GenreStyle, sound: SoundProfile, rng: np.random.Generator) -> str:
    electronic = sound.electronic + float(rng.normal(0.0, 0.06))
    acoustic, brush, machine, dusty = KITS
    if electronic > 0.55:
        return dusty if genre.noise == "crackle" and electronic < 0.78 else machine
    if sound.drive < 0.14 and sound.density < 0.6:
        return brush
    return acoustic
