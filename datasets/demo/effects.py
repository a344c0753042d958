"""Audio effects of the demo: filters, distortion, echo, reverberation, noise and mastering.

Samples are float32; mono is [samples], stereo [2, samples]. Rates are in Hz.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from datasets.arrays import Float32Array, Float64Array

TARGET_RMS = 0.12
"""RMS of every song, about 18 dB below full scale."""

_CEILING = 0.70
"""Highest peak; mp3 and ogg overshoot by up to a third when decoded."""

_KNEE = 0.45


@lru_cache(maxsize=512)
def _butterworth(kind: str, order: int, low: float, high: float, rate: int) -> NDArray[Any]:
    edges = [low, high] if kind == "bandpass" else max(low, high)
    sections: NDArray[Any] = signal.butter(order, edges, kind, fs=rate, output="sos")
    return sections


def _apply(sections: NDArray[Any], samples: Float32Array) -> Float32Array:
    filtered: Float32Array = signal.sosfilt(sections, samples, axis=-1).astype(np.float32)
    return filtered


def low_pass(samples: Float32Array, cutoff: float, rate: int, order: int = 2) -> Float32Array:
    """Apply a Butterworth low-pass, cutoff in Hz (limited below the Nyquist frequency)."""
    cutoff = float(np.clip(round(cutoff), 30.0, 0.46 * rate))
    return _apply(_butterworth("lowpass", order, 0.0, cutoff, rate), samples)


def high_pass(samples: Float32Array, cutoff: float, rate: int, order: int = 2) -> Float32Array:
    """Apply a Butterworth high-pass, cutoff in Hz (limited below the Nyquist frequency)."""
    cutoff = float(np.clip(round(cutoff), 10.0, 0.46 * rate))
    return _apply(_butterworth("highpass", order, 0.0, cutoff, rate), samples)


def band_pass(samples: Float32Array, low: float, high: float, rate: int) -> Float32Array:
    """Apply a second-order Butterworth band-pass between `low` and `high` Hz."""
    high = min(high, 0.46 * rate)
    return _apply(_butterworth("bandpass", 1, round(low), round(high), rate), samples)


def equalise(
    samples: Float32Array, decibels: Callable[[Float64Array], Float64Array], rate: int
) -> Float32Array:
    """Change the level by `decibels(frequencies in Hz)`, with zero phase."""
    points = np.geomspace(20.0, 0.5 * rate, 96)
    gains = 10.0 ** (decibels(points) / 20.0)
    length = samples.shape[-1]
    size = fft.next_fast_len(length + 2048, real=True)
    frequencies = fft.rfftfreq(size, 1.0 / rate)
    spectrum = fft.rfft(samples, size, axis=-1)
    spectrum *= np.interp(frequencies, points, gains).astype(np.float32)
    shaped: Float32Array = fft.irfft(spectrum, size, axis=-1)[..., :length]
    return np.ascontiguousarray(shaped)


def overdrive(samples: Float32Array, amount: float) -> Float32Array:
    """Apply soft clipping, 0 (clean) to 1 (heavy), at about constant loudness."""
    if amount <= 0.01:
        return samples
    level = float(np.sqrt(np.mean(np.square(samples)))) + 1e-9
    drive = 0.06 * 300.0**amount
    # The offset adds even harmonics, as a valve does; its DC is removed again.
    bent = np.tanh(samples * np.float32(drive / level) + np.float32(0.15)) - np.float32(
        np.tanh(0.15)
    )
    return (bent * np.float32(level / (float(np.sqrt(np.mean(np.square(bent)))) + 1e-9))).astype(
        np.float32
    )


def cabinet(samples: Float32Array, brightness: float, rate: int) -> Float32Array:
    """Filter like a guitar loudspeaker: above 90 Hz, below 2.5 to 5.5 kHz."""
    return low_pass(high_pass(samples, 90.0, rate), 2500.0 + 3000.0 * brightness, rate)


def tremolo(samples: Float32Array, hertz: float, depth: float, rate: int) -> Float32Array:
    """Modulate the level periodically."""
    time = np.arange(samples.shape[-1], dtype=np.float32) / np.float32(rate)
    wave = np.sin(np.float32(2.0 * np.pi * hertz) * time)
    return (samples * (1.0 - np.float32(depth) * (0.5 + 0.5 * wave))).astype(np.float32)


def wah(samples: Float32Array, hertz: float, rate: int) -> Float32Array:
    """Sweep a vowel-like filter `hertz` times a second, as a mix of three fixed bands."""
    time = np.arange(samples.shape[-1], dtype=np.float32) / np.float32(rate)
    sweep = 0.5 + 0.5 * np.sin(np.float32(2.0 * np.pi * hertz) * time)
    wet = np.zeros_like(samples)
    for centre, edges in ((0.0, (350.0, 700.0)), (0.5, (700.0, 1400.0)), (1.0, (1400.0, 2600.0))):
        weight = np.maximum(0.0, 1.0 - 2.0 * np.abs(sweep - np.float32(centre)))
        wet += weight * band_pass(samples, *edges, rate)
    return (1.6 * wet + 0.25 * samples).astype(np.float32)


def chorus(samples: Float32Array, depth: float, rate: int) -> Float32Array:
    """Make stereo from mono, with a copy of varying delay on each side."""
    length = samples.shape[-1]
    time = np.arange(length, dtype=np.float32)
    sides = []
    for phase in (0.0, np.pi / 2):
        delay = 0.012 + 0.003 * np.sin(2.0 * np.pi * 0.7 / rate * time + phase)
        position = np.maximum(time - (delay * rate).astype(np.float32), 0.0)
        index = position.astype(np.int32)
        fraction = position - index
        following = np.minimum(index + 1, length - 1)
        sides.append(samples[index] * (1.0 - fraction) + samples[following] * fraction)
    return (samples + np.float32(depth) * np.stack(sides)).astype(np.float32)


def echo(stereo: Float32Array, seconds: float, level: float, rate: int) -> Float32Array:
    """Add four fading repeats on alternating sides."""
    out = stereo.copy()
    step = int(seconds * rate)
    for repeat in range(1, 5):
        shift = repeat * step
        if shift >= stereo.shape[1]:
            break
        source = stereo[::-1] if repeat % 2 else stereo
        out[:, shift:] += np.float32(level**repeat) * source[:, :-shift]
    return out


def reverb(
    stereo: Float32Array, seconds: float, damping: float, rng: np.random.Generator, rate: int
) -> Float32Array:
    """Return reverberation alone: stereo noise that decays by 60 dB in `seconds`."""
    length = max(int(seconds * rate), 64)
    time = np.arange(length, dtype=np.float32) / np.float32(rate)
    tail = rng.standard_normal((2, length), dtype=np.float32) * np.exp(
        np.float32(-6.9 / seconds) * time
    )
    tail[:, : int(0.008 * rate)] = 0.0  # the first reflection comes a little later
    tail = low_pass(tail, 9000.0 - 6500.0 * damping, rate)
    tail /= np.sqrt(np.sum(np.square(tail), axis=1, keepdims=True)) + np.float32(1e-9)
    wet: Float32Array = signal.oaconvolve(stereo, tail, mode="full", axes=1)[:, : stereo.shape[1]]
    return wet.astype(np.float32)


def duck(samples: Float32Array, times: Float64Array, depth: float, rate: int) -> Float32Array:
    """Lower the level after each of `times` (seconds), like a compressor keyed by a kick drum."""
    if depth <= 0.0:
        return samples
    gain = np.ones(samples.shape[-1], dtype=np.float32)
    length = int(0.22 * rate)
    dip = 1.0 - np.float32(depth) * np.linspace(1.0, 0.0, length, dtype=np.float32) ** 1.5
    for start in (times * rate).astype(int):
        part = gain[start : start + length]
        np.minimum(part, dip[: part.size], out=part)
    return (samples * gain).astype(np.float32)


def surface_noise(kind: str, level: float, length: int, rng: np.random.Generator) -> Float32Array:
    """Return stereo background noise: tape "hiss", vinyl "crackle" or "none"."""
    if kind == "none" or level <= 0.0:
        return np.zeros((2, length), dtype=np.float32)
    hiss = rng.standard_normal((2, length), dtype=np.float32)
    if kind == "hiss":
        return (np.float32(level) * hiss).astype(np.float32)
    noise = np.float32(0.25) * hiss
    count = int(rng.poisson(0.0009 * length))
    sizes = rng.exponential(9.0, count) * rng.choice([-1.0, 1.0], count)
    noise[:, rng.integers(length, size=count)] += sizes.astype(np.float32)
    return (np.float32(level) * noise).astype(np.float32)


def master(stereo: Float32Array, loudness: float, rate: int) -> Float32Array:
    """High-pass, set the loudness (times `loudness`), fade both ends and limit peaks."""
    clean = high_pass(stereo, 28.0, rate)
    fade_in, fade_out = int(0.004 * rate), int(0.35 * rate)
    clean[:, :fade_in] *= np.linspace(0.0, 1.0, fade_in, dtype=np.float32)
    clean[:, -fade_out:] *= np.linspace(1.0, 0.0, fade_out, dtype=np.float32) ** 2
    rms = float(np.sqrt(np.mean(np.square(clean)))) + 1e-9
    clean *= np.float32(TARGET_RMS * loudness / rms)
    # Above the knee, peaks are compressed towards the ceiling, which they never reach.
    span = _CEILING - _KNEE
    loud = np.abs(clean) > _KNEE
    peaks = clean[loud]
    clean[loud] = np.copysign(_KNEE + span * np.tanh((np.abs(peaks) - _KNEE) / span), peaks)
    return clean
