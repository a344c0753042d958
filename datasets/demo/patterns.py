"""Drum, bass and chord patterns and chord progressions of the demo's songs.

A bar of 4/4 has 16 steps, a bar of 3/4 has 12. In drum and chord patterns `X` is accented, `x`
normal, `o` soft, `?` only in dense songs, and a digit plays one chord tone (1 the lowest). In bass
patterns `R` is the root, `3 5 6 7 8` that degree, `w` any chord tone (a walking bass), `a` a half
step below or above the next root. A chord is `root:quality`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEVELS: Mapping[str, float] = {"X": 1.0, "x": 0.72, "o": 0.38, "?": 0.5}


@dataclass(frozen=True)
class Groove:
    """A drum pattern and its swing."""

    drums: Mapping[str, str]
    swing: tuple[float, float] = (0.5, 0.5)
    """Range of the off-beat's position between beats: 0.5 straight, 0.67 triplets."""
    unit: int = 2
    """Steps of the swung notes: 2 eighths (jazz, blues), 1 sixteenths (funk, hip-hop)."""

    @property
    def steps(self) -> int:
        """Number of steps of a bar."""
        return len(next(iter(self.drums.values())))


_BACK = "....X.......X..."
_FOUR = "X...X...X...X..."
_EIGHTHS = "X.x.X.x.X.x.X.x."

GROOVES: Mapping[str, Groove] = {
    "rock": Groove({"kick": "X.....x.X.x.....", "snare": _BACK, "hat": _EIGHTHS}),
    "drive": Groove({"kick": "X...x.x.X...x.x.", "snare": _BACK, "open hat": "X...X...X...X..."}),
    "stadium": Groove({"kick": "X.x.....X.x....?", "snare": _BACK, "ride": "X.x.X.x.X.x.X.x."}),
    "half time": Groove(
        {"kick": "X.....x...x...?.", "snare": "........X.....?.", "crash": "X...X...X...X..."}
    ),
    "motorik": Groove({"kick": "X.x...x.X.x...x.", "snare": _BACK, "hat": "x?x?x?x?x?x?x?x?"}),
    "toms": Groove(
        {"kick": "X.......X.......", "tom": "x..x..x.x..x.xx.", "snare": "............X..."}
    ),
    "dance rock": Groove(
        {"kick": _FOUR, "snare": _BACK, "open hat": "..x...x...x...x.", "hat": "x...x...x...x..."}
    ),
    "breakbeat": Groove(
        {"kick": "X.x.......x..x..", "snare": "....X..o.o..X..o", "hat": "x.x.x.x.x.x.x.x."}
    ),
    "shuffle": Groove(
        {"kick": "X...x...X...x...", "snare": _BACK, "hat": _EIGHTHS}, swing=(0.62, 0.67)
    ),
    "slow blues": Groove(
        {"kick": "X.....x.X.....?.", "snare": _BACK, "ride": "X.x.x.x.X.x.x.x."},
        swing=(0.64, 0.67),
    ),
    "juke": Groove(
        {"kick": "X.......X.x.....", "snare": "o.x.X.x.o.x.X.x.", "hat": "x...x...x...x..."},
        swing=(0.60, 0.67),
    ),
    "train": Groove({"kick": "X.......X.......", "snare": "xoxoXoxoxoxoXoxo"}),
    "two beat": Groove(
        {"kick": "X.......X.......", "rim": "....x.......x...", "hat": "..?...?...?...?."}
    ),
    "stomp": Groove({"kick": _FOUR, "tambourine": "....X.......X.?.", "clap": "............?..."}),
    "waltz": Groove({"kick": "X...........", "rim": "....x...x...", "shaker": "x.?.x.?.x.?."}),
    "unaccompanied": Groove({"shaker": "?...?...?...?..."}),
    "funk": Groove(
        {"kick": "X..x..x...x..?..", "snare": "....X..o.o..X..o", "hat": "x?xxx?x?xxx?x?xx"},
        swing=(0.50, 0.56), unit=1,
    ),
    "disco": Groove(
        {"kick": _FOUR, "clap": _BACK, "open hat": "..x...x...x...x.", "hat": "xx.xxx.xxx.xxx.x"}
    ),
    "soul": Groove(
        {"kick": "X.....x.x.x.....", "snare": _BACK, "tambourine": "..x?..x?..x?..x?"},
        swing=(0.52, 0.60), unit=1,
    ),
    "slow jam": Groove(
        {"kick": "X......x..x.....", "rim": _BACK, "hat": "x.x?x.xxx.x?x.x?"},
        swing=(0.54, 0.62), unit=1,
    ),
    "swing": Groove(
        {"ride": "X...x.x.X...x.x.", "hat": "....x.......x...", "kick": "o...o...o...o...",
         "snare": "..?...?...?..?.."},
        swing=(0.60, 0.67),
    ),
    "brushes": Groove(
        {"snare": "x.o.X.o.x.o.X.o.", "hat": "....x.......x...", "kick": "o.......o......."},
        swing=(0.60, 0.67),
    ),
    "bossa": Groove(
        {"kick": "X.....x.X.....x.", "rim": "x..x..x...x..x..", "hat": "x.x.x.x.x.x.x.x."}
    ),
    "jazz waltz": Groove(
        {"ride": "X...x.x.x...", "hat": "....x.......", "kick": "o...........",
         "snare": "..?...?...?."},
        swing=(0.60, 0.67),
    ),
    "pop four": Groove({"kick": _FOUR, "clap": _BACK, "hat": "..x.?.x...x.?.x."}),
    "pop back": Groove(
        {"kick": "X......xX...?...", "snare": _BACK, "hat": _EIGHTHS, "clap": _BACK}
    ),
    "dembow": Groove({"kick": _FOUR, "snare": "...x..x....x..x.", "shaker": "x.xxx.xxx.xxx.xx"}),
    "boom bap": Groove(
        {"kick": "X.x.......xx....", "snare": _BACK, "hat": "x.x.x.x?x.x.x.x."},
        swing=(0.55, 0.63), unit=1,
    ),
    "trap": Groove(
        {"kick": "X.....x..x......", "clap": _BACK, "hat": "xxxxx?xxxxxxxx?x",
         "open hat": "..............?."}
    ),
    "dusty loop": Groove(
        {"kick": "X......x..x.....", "rim": _BACK, "hat": "x.x.x.x.x.x.x.x?"},
        swing=(0.56, 0.64), unit=1,
    ),
    "house": Groove(
        {"kick": _FOUR, "clap": _BACK, "open hat": "..X...X...X...X.", "shaker": "x?x?x?x?x?x?x?x?"}
    ),
    "techno": Groove({"kick": _FOUR, "hat": "x?X?x?X?x?X?x?X?", "rim": "...x..x....x..?."}),
    "electro": Groove(
        {"kick": "X.....x...x.....", "clap": _BACK, "hat": "xxxxxxxxxxxxxxxx",
         "cowbell": "..?..?....?..?.."}
    ),
}  # fmt: skip

BASS: Mapping[str, str] = {
    "eighths": "R.R.R.R.R.R.R.R.",
    "roots": "R.......R.....a.",
    "boom": "R.......5.......",
    "boogie": "R.R.3.3.5.5.6.5.",
    "walking": "R...w...w...a...",
    "disco": "R.8.R.8.R.8.R.8.",
    "funk": "R..8..R.7.8.R..a",
    "slap": "R..R..8...7.8..R",
    "offbeat": "..R...R...R...R.",
    "gallop": "R.RRR.RRR.RRR.RR",
    "long": "R...............",
    "syncopated": "R.....R..R......",
    "soul": "R..R..5.6...5.a.",
    "push": "R.....R.R...5...",
    "acid": "R.8R.R8.R.7R.85.",
}

CHORDS: Mapping[str, str] = {
    "strum": "X...x.xo.xx.x.xo",
    "straight strum": "X.x.x.xoX.x.x.xo",
    "fingerpicking": "1.3.2.4.1.3.2.4.",
    "off-beats": "....X.......X...",
    "skank": "..x...x...x...x.",
    "charleston": "X.....x.........",
    "comping": "..x...?.X.....x.",
    "scratch": "x.oxo.xo.ox.x.oo",
    "stabs": "X..x..x.......?.",
    "late stabs": "......X..x......",
    "sustained": "X...............",
    "half notes": "X.......X.......",
    "eighths": "X.x.x.x.X.x.x.x.",
    "power": "X.....x.X...x.x.",
    "gallop": "X.xxX.xxX.xxX.xx",
    "shuffle": "X.x.X.x.X.x.X.x.",
    "jangle": "3.4.2.3.5.3.2.4.",
    "arpeggio": "1234325412343254",
    "slow arpeggio": "1.2.3.4.5.4.3.2.",
    "pump": "..X...X...X...X.",
    "loop": "X.....3..4..x...",
}

QUALITIES: Mapping[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "5": (0, 7, 12),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m9": (0, 3, 7, 10, 14),
    "9": (0, 4, 7, 10, 14),
    "m7b5": (0, 3, 6, 10),
    "6": (0, 4, 7, 9),
    "sus": (0, 5, 7),
    "add9": (0, 4, 7, 14),
}

DEGREES: Mapping[str, int] = {
    "I": 0, "bII": 1, "II": 2, "bIII": 3, "III": 4, "IV": 5, "bV": 6, "V": 7, "bVI": 8, "VI": 9,
    "bVII": 10, "VII": 11,
}  # fmt: skip


@dataclass(frozen=True)
class Progression:
    """Chords that go round, the scale melodies over them use, and whether it is minor."""

    chords: str
    scale: tuple[int, ...]
    minor: bool


_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MAJOR_PENTATONIC = (0, 2, 4, 7, 9)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_MINOR_PENTATONIC = (0, 3, 5, 7, 10)
_BLUES = (0, 3, 5, 6, 7, 10)
_DORIAN = (0, 2, 3, 5, 7, 9, 10)
_MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
_PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)

PROGRESSIONS: Mapping[str, Progression] = {
    "axis": Progression("I:maj V:maj VI:min IV:maj", _MAJOR_PENTATONIC, False),
    "axis minor": Progression("VI:min IV:maj I:maj V:maj", _MAJOR_PENTATONIC, False),
    "fifties": Progression("I:maj VI:min IV:maj V:maj", _MAJOR, False),
    "bright": Progression("I:add9 IV:maj VI:min V:sus", _MAJOR_PENTATONIC, False),
    "three chords": Progression("I:maj IV:maj I:maj V:maj", _MAJOR, False),
    "cadence": Progression("I:maj I:maj IV:maj V:maj", _MAJOR_PENTATONIC, False),
    "mixolydian": Progression("I:maj bVII:maj IV:maj I:maj", _MIXOLYDIAN, False),
    "power": Progression("I:5 bVII:5 IV:5 I:5", _MINOR_PENTATONIC, True),
    "power minor": Progression("I:5 bIII:5 IV:5 bVI:5", _MINOR_PENTATONIC, True),
    "power major": Progression("I:5 IV:5 V:5 IV:5", _MAJOR_PENTATONIC, False),
    "aeolian": Progression("I:min bVI:maj bIII:maj bVII:maj", _MINOR, True),
    "dorian rock": Progression("I:min IV:maj I:min bVII:maj", _DORIAN, True),
    "twelve bars": Progression("I:7 IV:7 I:7 I:7 IV:7 I:7 V:7 IV:7", _BLUES, False),
    "turnaround": Progression("I:7 I:7 IV:7 I:7 V:7 IV:7 I:7 V:7", _BLUES, False),
    "minor blues": Progression("I:m7 IV:m7 I:m7 bVI:7 V:7 I:m7", _BLUES, True),
    "two five one": Progression("II:m7 V:7 I:maj7 VI:7", _MAJOR, False),
    "minor two five": Progression("II:m7b5 V:7 I:m7 I:m7", _MINOR, True),
    "rhythm changes": Progression("I:6 VI:7 II:m7 V:7", _MAJOR, False),
    "modal": Progression("I:m9 I:m9 bII:maj7 I:m9", _DORIAN, True),
    "descending": Progression("III:m7 VI:7 II:m7 V:9", _MAJOR, False),
    "one chord": Progression("I:9 I:9 I:9 IV:9", _MIXOLYDIAN, False),
    "minor vamp": Progression("I:m9 IV:9", _DORIAN, True),
    "soul": Progression("I:maj7 III:m7 IV:maj7 V:9", _MAJOR, False),
    "slow jam": Progression("IV:maj7 III:m7 II:m7 I:maj7", _MAJOR_PENTATONIC, False),
    "loop minor": Progression("I:m7 bVI:maj7 I:m7 V:7", _MINOR, True),
    "dark loop": Progression("I:min bII:maj I:min bII:maj", _PHRYGIAN, True),
    "two chords": Progression("I:m7 bVII:maj", _MINOR_PENTATONIC, True),
    "trance": Progression("I:min bVII:maj bVI:maj bVII:maj", _MINOR, True),
    "drone": Progression("I:min I:min I:min bIII:maj", _MINOR_PENTATONIC, True),
    "lift": Progression("IV:maj7 V:maj VI:m7 I:maj", _MAJOR_PENTATONIC, False),
}


def parse_chords(text: str) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Parse "II:m7 V:7" to (semitones of the root above the key, intervals) for each chord."""
    chords = []
    for token in text.split():
        degree, quality = token.split(":")
        chords.append((DEGREES[degree], QUALITIES[quality]))
    return tuple(chords)
