"""Synthesize the demo's pitched instruments and drums.

`play_note` renders one note of an instrument in `INSTRUMENTS`, by one of three methods:

* `Pluck`: a string by Karplus and Strong ("Digital Synthesis of Plucked-String and Drum Timbres",
  Computer Music Journal 7(2), 1983), with the loop filter applied to all periods at once in the
  frequency domain.
* `Bell`: two-operator frequency modulation (Chowning, "The Synthesis of Complex Audio Spectra by
  Means of Frequency Modulation", JAES 21(7), 1973): electric piano, vibraphone, bells.
* `Wave`: cross-fade of a bright and a dark wave table: synthesizers, winds, strings, organ, piano
  and voices (by formants).

`play_drum` renders one stroke on a drum from swept sines and filtered noise. There are four kits:
`acoustic`, `brush` (jazz and folk), `machine` (analogue drum machine) and `dusty` (sampled from an
old record).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.demo.effects import band_pass, high_pass, low_pass

_TABLE = 4096
"""Samples of a wave table; a power of two, so that the phase wraps by a bit mask."""

Formants = tuple[tuple[float, float, float], ...]
"""(centre in Hz, gain, width in Hz) of each resonance."""

_AH: Formants = ((730, 1.0, 110), (1090, 0.6, 130), (2440, 0.3, 200), (3400, 0.2, 300))

_OO: Formants = ((380, 1.0, 90), (940, 0.4, 110), (2300, 0.12, 200), (3300, 0.1, 300))

_EH: Formants = ((550, 1.0, 100), (1770, 0.6, 160), (2490, 0.4, 200), (3500, 0.25, 300))


@dataclass(frozen=True)
class Pluck:
    """A plucked string."""

    ring: float  # seconds until the fundamental has fallen by 60 dB (at 220 Hz)
    damping: float  # 0: highs ring as long as the fundamental; 1: they are gone at once
    position: float = 0.2  # where it is plucked, as a share of its length
    click: float = 0.0  # level of the pick's or thumb's noise
    family: str = "guitar"


@dataclass(frozen=True)
class Bell:
    """Frequency modulation with a carrier at the pitch and one modulator."""

    ratio: float  # modulator's frequency over the carrier's
    index: float  # depth of modulation at the start of the note
    index_decay: float  # seconds
    decay: float  # seconds
    family: str = "electric piano"


@dataclass(frozen=True)
class Wave:
    """Wave tables with an envelope."""

    slope: float  # partial k has amplitude k ** -slope when bright
    dark: float  # further slope of the table it fades to
    attack: float
    decay: float  # seconds to fall to `sustain`
    sustain: float
    release: float = 0.06
    brightening: bool = False  # winds open up during the attack; the others close after it
    sweep: float = 0.3  # seconds the cross-fade between the tables takes
    odd: float = 0.0  # 1: even partials absent, as in a clarinet or a square wave
    vibrato: float = 0.0  # cents
    detune: float = 0.0  # cents between three voices in unison
    breath: float = 0.0  # noise
    glide: float = 0.0  # semitones the pitch falls by during the note
    formants: tuple[Formants, ...] = field(default=())
    drawbars: tuple[float, ...] = field(default=())
    family: str = "synthesizer"


Instrument = Pluck | Bell | Wave

INSTRUMENTS: Mapping[str, Instrument] = {
    # guitars and other strings that are plucked or struck
    "steel guitar": Pluck(2.6, 0.30, 0.16, 0.25),
    "nylon guitar": Pluck(1.8, 0.60, 0.30, 0.10),
    "electric guitar": Pluck(3.2, 0.42, 0.12, 0.15),
    "clean guitar": Pluck(2.4, 0.22, 0.10, 0.20),
    "muted guitar": Pluck(0.30, 0.35, 0.10, 0.60),
    "banjo": Pluck(0.65, 0.12, 0.08, 0.45, family="banjo"),
    "mandolin": Pluck(0.9, 0.15, 0.12, 0.35, family="mandolin"),
    "synth pluck": Wave(0.8, 1.6, 0.003, 0.22, 0.0, sweep=0.09, detune=7),
    "piano": Wave(1.15, 0.9, 0.003, 1.5, 0.0, 0.10, sweep=0.45, detune=2, family="piano"),
    "upright bass": Pluck(1.1, 0.72, 0.30, 0.20, family="bass"),
    "finger bass": Pluck(2.0, 0.62, 0.22, 0.10, family="bass"),
    "pick bass": Pluck(2.4, 0.38, 0.10, 0.40, family="bass"),
    "slap bass": Pluck(1.4, 0.16, 0.06, 0.90, family="bass"),
    # basses of the machine
    "synth bass": Wave(1.0, 1.3, 0.004, 0.5, 0.35, sweep=0.14, detune=5, family="bass"),
    "square bass": Wave(1.0, 0.8, 0.004, 0.4, 0.5, odd=1.0, sweep=0.10, family="bass"),
    "808": Wave(4.0, 1.0, 0.004, 1.6, 0.0, 0.12, glide=0.7, family="bass"),
    # keys
    "tine piano": Bell(14.0, 1.1, 0.12, 1.5),
    "reed piano": Bell(1.0, 1.8, 0.60, 1.1),
    "vibraphone": Bell(4.0, 0.9, 0.20, 1.6, family="vibraphone"),
    "glass bell": Bell(3.5, 2.2, 0.50, 1.2, family="synthesizer"),
    "organ": Wave(
        1.0, 0.3, 0.008, 1.0, 1.0, vibrato=14, family="organ",
        drawbars=(1.0, 0.9, 0.6, 0.5, 0.0, 0.35, 0.0, 0.3),
    ),
    # synthesizers
    "saw lead": Wave(1.0, 0.6, 0.01, 0.3, 0.75, detune=9, vibrato=8),
    "square lead": Wave(1.0, 0.5, 0.008, 0.3, 0.7, odd=0.95, vibrato=10),
    "super saw": Wave(1.0, 0.3, 0.02, 0.4, 0.8, detune=17),
    "warm pad": Wave(1.7, 1.0, 0.25, 1.0, 0.9, 0.30, sweep=1.5, detune=10),
    "string pad": Wave(1.15, 0.5, 0.16, 1.0, 0.9, 0.25, detune=8, vibrato=7, family="strings"),
    # winds and bowed strings
    "saxophone": Wave(
        0.9, 1.2, 0.04, 1.0, 0.9, brightening=True, sweep=0.10, vibrato=18, breath=0.05,
        formants=(((520, 0.9, 250), (1100, 1.0, 350), (2400, 0.5, 600)),), family="saxophone",
    ),
    "trumpet": Wave(
        0.55, 1.5, 0.03, 1.0, 0.9, brightening=True, sweep=0.07, vibrato=10, breath=0.015,
        formants=(((1200, 1.0, 600), (2600, 0.5, 900)),), family="trumpet",
    ),
    "brass section": Wave(
        0.6, 1.2, 0.025, 0.5, 0.75, brightening=True, sweep=0.05, detune=9, family="brass",
    ),
    "clarinet": Wave(1.1, 0.8, 0.04, 1.0, 0.9, odd=0.9, breath=0.02, family="clarinet"),
    "harmonica": Wave(
        0.5, 0.7, 0.03, 1.0, 0.95, brightening=True, vibrato=16, detune=5, breath=0.05,
        formants=(((800, 0.8, 350), (2100, 1.0, 700)),), family="harmonica",
    ),
    "fiddle": Wave(
        0.85, 0.7, 0.05, 1.0, 0.95, brightening=True, vibrato=22, breath=0.03,
        formants=(((480, 0.7, 200), (1250, 0.8, 400), (3000, 0.9, 900)),), family="fiddle",
    ),
    # voices
    "voice": Wave(
        0.75, 0.6, 0.05, 0.6, 0.85, 0.09, brightening=True, vibrato=24, breath=0.04,
        formants=(_AH, _OO, _EH), family="voice",
    ),
    "soft voice": Wave(
        1.0, 0.6, 0.07, 0.6, 0.85, 0.12, vibrato=18, breath=0.12,
        formants=(_OO, _AH, _EH), family="voice",
    ),
    "rap voice": Wave(
        0.7, 0.5, 0.012, 0.16, 0.15, 0.04, breath=0.20, glide=2.5, detune=6,
        formants=(_EH, _AH, _OO), family="voice",
    ),
}  # fmt: skip


def play_note(
    name: str, midi: float, seconds: float, brightness: float, variant: int, rate: int
) -> Float32Array:
    """Render one note, mono float32 [samples], peak about 1.

    Args:
        name: an instrument of `INSTRUMENTS`.
        midi: pitch; 69 is A4 = 440 Hz.
        seconds: how long the key is held; the result is longer by the release.
        brightness: 0 to 1.
        variant: selects among the plucks or vowels of an instrument.
        rate: sample rate in Hz.
    """
    hertz = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    instrument = INSTRUMENTS[name]
    if isinstance(instrument, Pluck):
        note = _pluck(instrument, hertz, seconds, brightness, variant, rate)
    elif isinstance(instrument, Bell):
        note = _bell(instrument, hertz, seconds, brightness, rate)
    else:
        note = _wave(instrument, hertz, seconds, brightness, variant, rate)
    peak = float(np.max(np.abs(note)))
    return note / np.float32(peak + 1e-6)


def _pluck(
    spec: Pluck, hertz: float, seconds: float, brightness: float, variant: int, rate: int
) -> Float32Array:
    rng = np.random.default_rng(variant)
    period = max(int(np.ceil(rate / hertz)), 8)
    count = int((seconds + 0.08) * hertz) + 2
    excitation = np.fft.rfft(rng.uniform(-1.0, 1.0, period))
    partial = np.arange(excitation.size)
    # White noise gives random timbre: keep its phases, fix its magnitudes.
    colour = np.maximum(partial, 1.0) ** -(0.9 - 0.6 * brightness)
    comb = np.abs(np.sin(np.pi * spec.position * partial)) + 0.05
    spectrum = np.exp(1j * np.angle(excitation)) * colour * comb * (partial > 0)
    damping = spec.damping * (1.25 - 0.5 * brightness)
    loss = 6.9 / (spec.ring * (220.0 / hertz) ** 0.35 * hertz)
    gain = np.exp(-loss) * np.cos(np.pi * partial / (2 * excitation.size)) ** (3.0 * damping)
    decay = gain[None, :] ** np.arange(count)[:, None]
    string = np.fft.irfft(spectrum[None, :] * decay, n=period, axis=1).reshape(-1)
    # A loop of whole samples is out of tune: resample it to the exact pitch.
    length = int((seconds + 0.08) * rate)
    position = np.arange(length) * (hertz * period / rate)
    note = np.interp(position, np.arange(string.size), string).astype(np.float32)
    note /= np.float32(np.max(np.abs(note)) + 1e-6)
    if spec.click > 0.0:
        click = rng.standard_normal(min(length, int(0.012 * rate))).astype(np.float32)
        click *= np.linspace(1.0, 0.0, click.size, dtype=np.float32) ** 2
        note[: click.size] += np.float32(0.35 * spec.click * (0.5 + brightness)) * click
    return _release(note, seconds, 0.08, rate)


def _bell(spec: Bell, hertz: float, seconds: float, brightness: float, rate: int) -> Float32Array:
    length = int((seconds + 0.15) * rate)
    time = np.arange(length, dtype=np.float32) / np.float32(rate)
    angle = np.float32(2.0 * np.pi * hertz) * time
    # Keep the modulator below the Nyquist frequency.
    ratio = min(spec.ratio, max(1.0, np.floor(0.4 * rate / hertz) - 1.0))
    index = spec.index * (0.4 + 1.2 * brightness) * np.exp(-time / np.float32(spec.index_decay))
    note = np.sin(angle + index.astype(np.float32) * np.sin(np.float32(ratio) * angle))
    note *= np.exp(-time / np.float32(spec.decay)) * np.minimum(1.0, time * 400.0)
    return _release(note.astype(np.float32), seconds, 0.15, rate)


def _wave(
    spec: Wave, hertz: float, seconds: float, brightness: float, variant: int, rate: int
) -> Float32Array:
    length = int((seconds + spec.release) * rate)
    time = np.arange(length, dtype=np.float32) / np.float32(rate)
    slope = spec.slope + 0.9 * (0.5 - brightness)
    bright = _table(spec, hertz, slope, variant, rate)
    dark = _table(spec, hertz, slope + spec.dark, variant, rate)
    cycles = np.float32(hertz) * time
    if spec.vibrato > 0.0:
        depth = hertz * (2.0 ** (spec.vibrato / 1200.0) - 1.0) / (2.0 * np.pi * 5.4)
        grown = np.minimum(1.0, time / np.float32(0.35))
        cycles += np.float32(depth) * grown * np.sin(np.float32(2.0 * np.pi * 5.4) * time)
    if spec.glide > 0.0:
        fall = 1.0 - 2.0 ** (-spec.glide / 12.0)
        cycles -= np.float32(hertz * fall / (2.0 * seconds)) * np.minimum(time, seconds) ** 2
    fade = np.clip(time / np.float32(spec.sweep), 0.0, 1.0)
    mix = 1.0 - fade if spec.brightening else fade  # the share of the dark table
    change = dark - bright
    note = np.zeros(length, dtype=np.float32)
    for voice in (-1, 0, 1) if spec.detune > 0.0 else (0,):
        factor = np.float32(2.0 ** (voice * spec.detune / 1200.0))
        index = (cycles * (factor * _TABLE) + np.float32((1 + 0.37 * voice) * _TABLE)).astype(
            np.int32
        )
        index &= _TABLE - 1
        note += bright.take(index) + mix * change.take(index)
    if spec.breath > 0.0:
        noise = np.random.default_rng(variant).standard_normal(length, dtype=np.float32)
        note += np.float32(spec.breath) * noise * np.float32(np.max(np.abs(note)))
    rise = np.minimum(1.0, time / np.float32(min(spec.attack, 0.5 * seconds)))
    if spec.sustain > 0.0:
        body = spec.sustain + (1.0 - spec.sustain) * np.exp(-3.0 * time / np.float32(spec.decay))
    else:
        # Low strings and tubes ring longer than high ones.
        ring = spec.decay * (260.0 / hertz) ** 0.4
        body = np.exp(-3.0 * time / np.float32(ring))
    return _release((note * rise * body).astype(np.float32), seconds, spec.release, rate)


@lru_cache(maxsize=4096)
def _table(spec: Wave, hertz: float, slope: float, variant: int, rate: int) -> Float32Array:
    """Return one period of the wave, without partials above the Nyquist frequency."""
    count = max(1, min(int(0.46 * rate / hertz), 120))
    partial = np.arange(1, count + 1, dtype=np.float64)
    amplitude = partial ** -float(slope)
    if spec.drawbars:
        bars = np.zeros(count)
        used = min(count, len(spec.drawbars))
        bars[:used] = spec.drawbars[:used]
        amplitude = bars * amplitude**0.3
    amplitude[1::2] *= 1.0 - spec.odd
    if spec.formants:
        amplitude = amplitude * _resonance(
            spec.formants[variant % len(spec.formants)], partial * hertz
        )
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=complex)
    spectrum[1 : count + 1] = -1j * amplitude
    table = np.fft.irfft(spectrum, n=_TABLE)
    return (table / (np.max(np.abs(table)) + 1e-9)).astype(np.float32)


def _resonance(formants: Formants, hertz: Float64Array) -> Float64Array:
    gain = np.full(hertz.shape, 0.04)
    for centre, level, width in formants:
        gain += level / (1.0 + np.square((hertz - centre) / width))
    return gain


def _release(note: Float32Array, seconds: float, release: float, rate: int) -> Float32Array:
    held = min(int(seconds * rate), note.size)
    tail = note.size - held
    if tail > 0:
        note[held:] *= np.linspace(1.0, 0.0, tail, dtype=np.float32) ** 1.5
    return note


KITS: Final = ("acoustic", "brush", "machine", "dusty")

DRUMS: Final = (
    "kick", "snare", "rim", "clap", "hat", "open hat", "ride", "crash", "tom", "shaker",
    "tambourine", "cowbell",
)  # fmt: skip

# (start Hz, end Hz, seconds of the sweep, seconds of the decay, click)
_KICKS: Final = {
    "acoustic": (150.0, 62.0, 0.035, 0.16, 0.5),
    "brush": (110.0, 70.0, 0.03, 0.13, 0.15),
    "machine": (230.0, 47.0, 0.06, 0.34, 0.25),
    "dusty": (135.0, 58.0, 0.04, 0.18, 0.2),
}

# (tone Hz, level of the tone, seconds of the tone, seconds of the noise, noise from Hz, to Hz)
_SNARES: Final = {
    "acoustic": (195.0, 0.9, 0.07, 0.15, 900.0, 8000.0),
    "brush": (180.0, 0.25, 0.05, 0.20, 1500.0, 6000.0),
    "machine": (185.0, 0.7, 0.09, 0.12, 1600.0, 10000.0),
    "dusty": (215.0, 0.8, 0.06, 0.11, 600.0, 5200.0),
}

# seconds of a closed hat, and what it is made of
_HATS: Final = {"acoustic": 0.045, "brush": 0.06, "machine": 0.030, "dusty": 0.040}

_METAL: Final = (2.0, 3.0, 4.16, 5.43, 6.79, 8.21)


def play_drum(
    drum: str, kit: str, tuning: float, brightness: float, rng: np.random.Generator, rate: int
) -> Float32Array:
    """Render one stroke, mono float32 [samples], peak 1.

    Args:
        drum: one of `DRUMS`.
        kit: one of `KITS`.
        tuning: factor of its pitches.
        brightness: 0 to 1.
        rng: noise.
        rate: sample rate in Hz.
    """
    if drum == "kick":
        sound = _kick(kit, tuning, brightness, rng, rate)
    elif drum == "snare":
        sound = _snare(kit, tuning, brightness, rng, rate)
    elif drum == "tom":
        sound = _sweep(190.0 * tuning, 95.0 * tuning, 0.08, 0.22, 0.5, rate)
    elif drum == "rim":
        sound = _ping((820.0 * tuning, 1720.0 * tuning), 0.018, 0.08, rate)
    elif drum == "cowbell":
        sound = _ping((562.0 * tuning, 845.0 * tuning), 0.09, 0.25, rate)
    elif drum == "clap":
        sound = _clap(rng, rate)
    else:
        sound = _metal(drum, kit, tuning, brightness, rng, rate)
    if kit == "dusty":
        sound = low_pass(sound, 5000.0, rate)
    return sound / np.float32(np.max(np.abs(sound)) + 1e-6)


def _time(seconds: float, rate: int) -> Float32Array:
    return np.arange(int(seconds * rate), dtype=np.float32) / np.float32(rate)


def _noise(seconds: float, rng: np.random.Generator, rate: int) -> Float32Array:
    return rng.standard_normal(int(seconds * rate), dtype=np.float32)


def _sweep(
    start: float, end: float, sweep: float, decay: float, seconds: float, rate: int
) -> Float32Array:
    time = _time(seconds, rate)
    cycles = end * time + (start - end) * sweep * (1.0 - np.exp(-time / sweep))
    sound = np.sin(2.0 * np.pi * cycles) * np.exp(-time / decay)
    return sound.astype(np.float32)


def _ping(pitches: tuple[float, ...], decay: float, seconds: float, rate: int) -> Float32Array:
    time = _time(seconds, rate)
    tones = sum(np.sign(np.sin(2.0 * np.pi * pitch * time)) for pitch in pitches)
    return np.asarray(tones * np.exp(-time / decay), dtype=np.float32)


def _kick(
    kit: str, tuning: float, brightness: float, rng: np.random.Generator, rate: int
) -> Float32Array:
    start, end, sweep, decay, click = _KICKS[kit]
    sound = _sweep(start * tuning, end * tuning, sweep, decay, min(4.0 * decay, 0.9), rate)
    tick = high_pass(_noise(0.008, rng, rate), 1500.0, rate)
    sound[: tick.size] += np.float32(click * (0.3 + brightness)) * tick
    return np.tanh(1.5 * sound).astype(np.float32)


def _snare(
    kit: str, tuning: float, brightness: float, rng: np.random.Generator, rate: int
) -> Float32Array:
    pitch, level, ring, rattle, low, high = _SNARES[kit]
    noise = band_pass(_noise(0.4, rng, rate), low, high * (0.6 + 0.6 * brightness), rate)
    time = _time(0.4, rate)
    sound = noise * np.exp(-time / np.float32(rattle * 0.6))
    for partial, part in ((1.0, 1.0), (1.72, 0.5)):
        wave = np.sin(np.float32(2.0 * np.pi * pitch * tuning * partial) * time)
        sound += np.float32(level * part) * wave * np.exp(-time / np.float32(ring))
    if kit == "brush":
        sound *= np.minimum(1.0, time / np.float32(0.012))
    return sound.astype(np.float32)


def _clap(rng: np.random.Generator, rate: int) -> Float32Array:
    time = _time(0.35, rate)
    envelope = 0.7 * np.exp(-time / 0.07)
    for start in (0.0, 0.011, 0.023):
        envelope = np.maximum(envelope, (time >= start) * np.exp(-np.abs(time - start) / 0.004))
    return (band_pass(_noise(0.35, rng, rate), 900.0, 3200.0, rate) * envelope).astype(np.float32)


def _metal(
    drum: str,
    kit: str,
    tuning: float,
    brightness: float,
    rng: np.random.Generator,
    rate: int,
) -> Float32Array:
    closed = _HATS[kit]
    decay, edge, ring = {
        "hat": (closed, 6500.0, 0.4),
        "open hat": (0.22, 5500.0, 0.4),
        "ride": (0.38, 3500.0, 0.9),
        "crash": (0.85, 2500.0, 0.4),
        "shaker": (0.035, 5000.0, 0.0),
        "tambourine": (0.09, 7000.0, 0.6),
    }[drum]
    seconds = min(4.5 * decay, 2.2)
    time = _time(seconds, rate)
    sound = _noise(seconds, rng, rate)
    base = 560.0 * tuning
    squares = sum(np.sign(np.sin(2.0 * np.pi * base * ratio * time)) for ratio in _METAL)
    # A machine's cymbals are six square waves; real ones are nearly noise.
    sound += np.asarray(squares * ring * (1.0 if kit == "machine" else 0.45), dtype=np.float32)
    sound = high_pass(sound, min(edge * (0.6 + 0.6 * brightness), 0.4 * rate), rate)
    if drum == "shaker":
        sound *= np.minimum(1.0, time / np.float32(0.02))
    return (sound * np.exp(-time / np.float32(decay))).astype(np.float32)
