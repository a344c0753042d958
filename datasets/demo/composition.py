"""Write a song's plan out as notes: drums, bass, chords, a second layer of chords, and a melody.

Times are in seconds from the start of the song; one step is a sixteenth note.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from datasets.demo.instruments import INSTRUMENTS, Pluck
from datasets.demo.patterns import (
    BASS,
    CHORDS,
    GROOVES,
    LEVELS,
    PROGRESSIONS,
    Progression,
    parse_chords,
)
from datasets.demo.planning import SongPlan

_SHORTEST = 9.2
"""Least seconds of a song's bars."""

_TAIL = 1.0
"""Seconds of the last chord."""


@dataclass(frozen=True)
class NoteEvent:
    """One note of a pitched instrument."""

    start: float
    seconds: float
    midi: int
    velocity: float
    variant: int = 0


@dataclass(frozen=True)
class DrumHit:
    """One stroke on a drum."""

    start: float
    velocity: float


@dataclass(frozen=True)
class Arrangement:
    """All notes of a song, by part."""

    seconds: float
    drums: Mapping[str, list[DrumHit]]
    bass: list[NoteEvent]
    chords: list[NoteEvent]
    layer: list[NoteEvent]
    lead: list[NoteEvent]


class _Timeline:
    """The bars of a song: the time of each step and the chord at it."""

    def __init__(self, plan: SongPlan) -> None:
        groove = GROOVES[plan.groove]
        self.bar = groove.steps
        self.step = 60.0 / plan.sound.bpm / 4.0
        self.bars = int(np.ceil(_SHORTEST / (self.bar * self.step)))
        self.steps = self.bars * self.bar
        self.end = self.steps * self.step
        self._swing, self._unit = plan.swing, groove.unit
        self.chords = parse_chords(PROGRESSIONS[plan.progression].chords)
        # The progression must fit into ten seconds: slow or long ones change chords twice a bar.
        hurried = self.bar * self.step > 2.2 or len(self.chords) > 4
        self.chord_steps = self.bar // 2 if hurried else self.bar

    def time(self, step: float) -> float:
        """Return the seconds of a step, with off-beats moved by the swing."""
        pair = 2 * self._unit
        base, offset = divmod(step, pair)
        if offset <= self._unit:
            moved = offset / self._unit * self._swing
        else:
            moved = self._swing + (offset - self._unit) / self._unit * (1.0 - self._swing)
        return float((base + moved) * pair * self.step)

    def chord(self, step: int) -> tuple[int, tuple[int, ...]]:
        return self.chords[step // self.chord_steps % len(self.chords)]


def arrange(plan: SongPlan) -> Arrangement:
    """Write out the notes of a song; the same plan gives the same notes."""
    rng = np.random.default_rng([plan.artist.seed, plan.seed, 3])
    line = _Timeline(plan)
    loose = 0.009 * (1.0 - plan.sound.electronic)

    def human(notes: list[NoteEvent]) -> list[NoteEvent]:
        shifts = np.abs(rng.normal(0.0, loose, len(notes)))
        return [
            NoteEvent(
                note.start + float(shift), note.seconds, note.midi, note.velocity, note.variant
            )
            for note, shift in zip(notes, shifts, strict=True)
        ]

    layered = plan.sound.density > 0.3
    return Arrangement(
        seconds=line.end + _TAIL,
        drums=_drums(plan, line, loose, rng),
        bass=human(_bass(plan, line, rng)),
        chords=human(_chords(plan, *plan.chords, 58, line, rng)),
        layer=human(_chords(plan, *plan.layer, 65, line, rng)) if layered else [],
        lead=human(_melody(plan, line, rng)),
    )


def _drums(
    plan: SongPlan, line: _Timeline, loose: float, rng: np.random.Generator
) -> dict[str, list[DrumHit]]:
    density = plan.sound.density
    drums: dict[str, list[DrumHit]] = {}

    def add(drum: str, step: float, velocity: float) -> None:
        start = max(0.0, line.time(step) + float(rng.normal(0.0, loose)))
        drums.setdefault(drum, []).append(DrumHit(start, velocity * float(rng.uniform(0.88, 1.0))))

    fills = density > 0.35 and "snare" in GROOVES[plan.groove].drums
    for drum, pattern in GROOVES[plan.groove].drums.items():
        cymbal = drum in {"hat", "shaker", "ride", "tambourine"}
        for step in range(line.steps):
            mark = pattern[step % line.bar]
            if mark == "." or (mark == "?" and rng.random() > density):
                continue
            # Sparse songs play cymbals on beats only.
            if cymbal and step % 4 and rng.random() < 1.15 - 1.35 * density:
                continue
            filling = fills and step >= line.steps - 4 and drum != "kick"
            if not filling:
                add(drum, step, LEVELS[mark])
    for step in range(0, line.steps, 1 if density > 0.6 else 2):
        if density > 0.4 and rng.random() < 1.6 * density - 0.4:
            add("shaker", step, 0.9 if step % 4 == 0 else 0.6)
    if fills:
        fill = "tom" if plan.sound.electronic < 0.5 else "snare"
        for step in range(line.steps - 4, line.steps):
            add(fill if step % 2 else "snare", step, 0.6 + 0.1 * (step % 4))
    if plan.groove != "unaccompanied":
        add("kick", line.steps, 1.0)
        if plan.sound.drive > 0.3:
            add("crash", 0, 0.7)
            add("crash", line.steps, 0.9)
    return drums


def _marks(
    pattern: str, line: _Timeline, keep: Callable[[str], bool]
) -> Iterator[tuple[int, str, int]]:
    """Yield (step, mark, steps until the next) of a 16-step pattern repeated over the song."""
    marks = [
        (bar * line.bar + step, mark)
        for bar in range(line.bars)
        for step, mark in enumerate(pattern[: line.bar])
        if mark != "." and keep(mark)
    ]
    for index, (step, mark) in enumerate(marks):
        following = marks[index + 1][0] if index + 1 < len(marks) else line.steps
        yield step, mark, following - step


def _bass(plan: SongPlan, line: _Timeline, rng: np.random.Generator) -> list[NoteEvent]:
    name, pattern = plan.bass
    base = 28 + (plan.key + 8) % 12
    gate = 0.55 if name == "slap bass" else 0.92

    def keep(mark: str) -> bool:
        return mark == "R" or bool(rng.random() < 0.3 + 1.1 * plan.sound.density)

    notes = []
    for step, mark, length in _marks(BASS[pattern], line, keep):
        root, intervals = line.chord(step)
        following = line.chord(step + length)[0]
        if mark == "a":
            pitch = following + int(rng.choice([-1, 1]))
        elif mark == "w":
            pitch = root + int(rng.choice(intervals[1:])) % 12
        else:
            third, fifth = intervals[1] % 12, intervals[2] % 12 or 7
            pitch = root + {"R": 0, "3": third, "5": fifth, "6": 9, "7": 10, "8": 12}[mark]
        velocity = 0.95 if step % 8 == 0 else 0.8
        seconds = min(length * line.step * gate, 1.6)
        # Roots above the sixth degree go below the key, so that the line stays low.
        notes.append(
            NoteEvent(line.time(step), seconds, base + pitch - 12 * (root > 7), velocity, step % 3)
        )
    notes.append(NoteEvent(line.end, _TAIL * 0.8, base + line.chords[0][0], 0.9))
    return notes


def _voicing(root: int, intervals: tuple[int, ...], centre: int) -> list[int]:
    """Return the notes of a chord closest to `centre`, from low to high."""
    pitches = [(root + interval) % 12 for interval in intervals]
    return sorted({centre + (pitch - centre + 6) % 12 - 6 for pitch in pitches})


def _chords(
    plan: SongPlan, name: str, pattern: str, centre: int, line: _Timeline, rng: np.random.Generator
) -> list[NoteEvent]:
    density = plan.sound.density
    notes: list[NoteEvent] = []
    strum = 0.011 if isinstance(INSTRUMENTS[name], Pluck) else 0.0

    def keep(mark: str) -> bool:
        chance = {"?": density, "o": density}.get(mark, 0.25 + 0.9 * density)
        return bool(rng.random() < chance)

    def play(
        start: float, seconds: float, root: int, intervals: tuple[int, ...], mark: str
    ) -> None:
        if intervals == (0, 7, 12) and strum:
            low = 40 + (plan.key + root - 40) % 12
            pitches = [low, low + 7, low + 12]
        else:
            pitches = _voicing(plan.key + root, intervals, centre)
        if mark.isdigit():
            index = int(mark) - 1
            octave, index = divmod(index, len(pitches))
            notes.append(NoteEvent(start, seconds * 1.8, pitches[index] + 12 * octave, 0.75, index))
            return
        for index, pitch in enumerate(pitches):
            delay = strum * index
            notes.append(NoteEvent(start + delay, seconds, pitch, 0.8 * LEVELS[mark], index))

    for step, mark, length in _marks(CHORDS[pattern], line, keep):
        until = line.chord_steps - step % line.chord_steps
        seconds = min(min(length, until) * line.step * 0.95, 2.0)
        play(line.time(step), seconds, *line.chord(step), mark)
        if length > until:  # held over a change of harmony: strike again
            change = step + until
            seconds = min((length - until) * line.step * 0.95, 2.0)
            play(line.time(change), seconds, *line.chord(change), mark)
    play(line.end, _TAIL * 0.8, *line.chords[0], "X")
    return notes


def _melody(plan: SongPlan, line: _Timeline, rng: np.random.Generator) -> list[NoteEvent]:
    rapped = plan.lead == "rap voice"
    bar_seconds = line.bar * line.step
    density = plan.sound.density
    rate = 3.2 + 4.0 * density if rapped else 0.8 + 4.6 * density  # notes a second
    count = int(np.clip(rate * bar_seconds, 2, line.bar - 2))
    fine = count > line.bar // 2
    weights = np.array(
        [3.0 if s % 4 == 0 else 2.0 if s % 2 == 0 else 1.2 * fine for s in range(line.bar)]
    )
    ladder = _ladder(plan, PROGRESSIONS[plan.progression], 52 if rapped else 70)
    place = len(ladder) // 2
    notes: list[NoteEvent] = []
    silent = 0 if line.bars <= 4 else 1
    for bar in range(silent, line.bars):
        signed = (bar - silent) % 2 == 0 and not rapped
        moves = dict(plan.artist.signature) if signed else {}
        free = max(count - len(moves), 2)
        steps = rng.choice(line.bar, size=min(free, int((weights > 0).sum())), replace=False,
                           p=weights / weights.sum())  # fmt: skip
        # Sparse songs play the artist's motif alone, dense ones ornament it.
        onsets = sorted(set(moves) | {int(s) for s in steps if not signed or s > max(moves)})
        for index, onset in enumerate(onsets):
            step = bar * line.bar + onset
            following = onsets[index + 1] if index + 1 < len(onsets) else line.bar
            wander = moves.get(onset, int(rng.choice([-2, -1, -1, 0, 1, 1, 2])))
            pull = round((len(ladder) // 2 - place) * 0.3)
            place = int(
                np.clip(place + (wander + pull) // (2 if rapped else 1), 0, len(ladder) - 1)
            )
            if onset % 8 == 0 and not rapped:
                place = _nearest_chord_tone(ladder, place, plan.key, line.chord(step))
            seconds = float(np.clip((following - onset) * line.step * 0.93, 0.06, 1.1))
            velocity = 0.95 if onset % 4 == 0 else 0.8
            variant = (onset + bar) % 3
            notes.append(NoteEvent(line.time(step), seconds, ladder[place], velocity, variant))
    return notes


def _ladder(plan: SongPlan, progression: Progression, centre: int) -> list[int]:
    """Return the pitches of the scale within a tenth of `centre`."""
    span = 5 if plan.lead == "rap voice" else 10
    allowed = {(plan.key + degree) % 12 for degree in progression.scale}
    return [p for p in range(centre - span, centre + span + 1) if p % 12 in allowed]


def _nearest_chord_tone(
    ladder: list[int], place: int, key: int, chord: tuple[int, tuple[int, ...]]
) -> int:
    root, intervals = chord
    tones = {(key + root + interval) % 12 for interval in intervals}
    fitting = [i for i, pitch in enumerate(ladder) if pitch % 12 in tones]
    return min(fitting, key=lambda index: abs(index - place), default=place)
