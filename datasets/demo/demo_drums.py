"""The demo's drums: each stroke is made of swept sines and filtered noise.

A kit gives every drum its voice: ``acoustic`` (skins and brass), ``brush`` (jazz and folk),
``machine`` (analogue drum machine) and ``dusty`` (a kit sampled from an old record).
"""

from typing import Final

import numpy as np

from datasets.arrays import Float32Array
from datasets.demo.effects import band_pass, high_pass, low_pass

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


def strike(
    drum: str, kit: str, tuning: float, brightness: float, rng: np.random.Generator, rate: int
) -> Float32Array:
    """One stroke, mono, peak 1. ``tuning`` multiplies its pitches, ``brightness`` is 0 to 1."""
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
    # A machine's cymbals are six square waves, a real one's are nearly noise.
    sound += np.asarray(squares * ring * (1.0 if kit == "machine" else 0.45), dtype=np.float32)
    sound = high_pass(sound, min(edge * (0.6 + 0.6 * brightness), 0.4 * rate), rate)
    if drum == "shaker":
        sound *= np.minimum(1.0, time / np.float32(0.02))
    return (sound * np.exp(-time / np.float32(decay))).astype(np.float32)
