"""Filter banks of the transforms, cached for each set of parameters.

The same banks as in librosa 0.11 (the tests compare them), implemented here because importing
librosa takes longer than extracting dozens of hyper-images.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_number
from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError

MEL_BLOCK = 16
"""Mel filters in a block."""

C1 = 440.0 * 2 ** (-45 / 12)
"""Frequency of the note C1 (MIDI 24), 32.7 Hz, the start of logarithmic axes."""


@cache
def hann(length: int) -> Float64Array:
    """Return the periodic Hann window, float64 [length]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    window.flags.writeable = False
    return window


@cache
def mel_bank(sr: int, n_fft: int, n_mels: int) -> Float32Array:
    """Return triangular filters of equal area on Slaney's mel scale: [n_mels, 1 + n_fft/2]."""
    edges = _mel_to_hz(np.linspace(0, _hz_to_mel(sr / 2), n_mels + 2))
    ramps = edges[:, None] - fft_frequencies(sr, n_fft)[None, :]
    widths = np.diff(edges)[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    weights = np.maximum(0, np.minimum(rising, falling))
    return _frozen(weights * (2 / (edges[2:] - edges[:-2]))[:, None])


@cache
def mel_blocks(sr: int, n_fft: int, n_mels: int) -> tuple[tuple[slice, slice, Float32Array], ...]:
    """Return `mel_bank` as blocks without most of its zeros.

    Filters overlap only with their neighbours, so a block of filters needs few bins.

    Returns:
        For each block: slice of mel bands, slice of FFT bins, weights [bins, mels].
    """
    bank = mel_bank(sr, n_fft, n_mels)
    blocks = []
    for start in range(0, n_mels, MEL_BLOCK):
        part = bank[start : start + MEL_BLOCK]
        used = np.flatnonzero(part.any(axis=0))
        # A narrow filter between two bins has no weights.
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        blocks.append((slice(start, start + len(part)), bins, _frozen(part[:, bins].T)))
    return tuple(blocks)


def mel_centres(sr: int, n_mels: int) -> Float64Array:
    """Return the centre frequency in Hz of each filter of `mel_bank`: float64 [n_mels]."""
    return _mel_to_hz(np.linspace(0, _hz_to_mel(sr / 2), n_mels + 2))[1:-1].astype(np.float64)


@cache
def chroma_bank(sr: int, n_fft: int, n_chroma: int) -> Float32Array:
    """Return filters of pitch classes from C, at A4 = 440 Hz: [n_chroma, 1 + n_fft/2].

    Gaussian bumps around each pitch class, weighted by a Gaussian over octaves centred five
    octaves above A0 (Ellis 2007, "Chroma feature analysis and synthesis").
    """
    frequencies = np.arange(1, n_fft) * (sr / n_fft)
    bins = n_chroma * np.log2(frequencies / (440.0 / 16))
    # The bin of 0 Hz has no pitch; it is placed one and a half octaves below the first.
    bins = np.concatenate([[bins[0] - 1.5 * n_chroma], bins])
    widths = np.concatenate([np.maximum(np.diff(bins), 1.0), [1.0]])
    distance = bins[None, :] - np.arange(n_chroma)[:, None]
    half = np.round(n_chroma / 2)
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    weights = np.exp(-0.5 * (2 * distance / widths) ** 2)
    weights /= np.maximum(np.linalg.norm(weights, axis=0), np.finfo(np.float32).tiny)
    weights *= np.exp(-0.5 * ((bins / n_chroma - 5.0) / 2.0) ** 2)
    weights = np.roll(weights, -3 * (n_chroma // 12), axis=0)
    return _frozen(weights[:, : 1 + n_fft // 2])


@cache
def dct_bank(n_coefficients: int, n_inputs: int) -> Float32Array:
    """Return the orthonormal discrete cosine transform II: [n_coefficients, n_inputs]."""
    angles = np.pi / n_inputs * (np.arange(n_inputs)[None, :] + 0.5)
    bank = np.sqrt(2 / n_inputs) * np.cos(np.arange(n_coefficients)[:, None] * angles)
    bank[0] /= np.sqrt(2)
    return _frozen(bank)


@cache
def tonnetz_bank() -> Float32Array:
    """Return the map of pitch classes to circles of fifths, minor and major thirds: [6, 12].

    Harte, Sandler, Gasser 2006, "Detecting harmonic change in musical audio".
    """
    steps = np.array([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3])
    angles = np.outer(steps, np.arange(12.0))
    angles[::2] -= 0.5
    radii = np.array([1, 1, 1, 1, 0.5, 0.5])[:, None]
    return _frozen(radii * np.cos(np.pi * angles))


@cache
def contrast_bands(sr: int, n_fft: int, n_bands: int, fmin: float) -> tuple[tuple[int, int], ...]:
    """Return the first bin, and the bin after the last, of n_bands + 1 octave bands.

    As in librosa, a band starts one bin early and lacks its last bin; the top band reaches sr/2.
    """
    frequencies = fft_frequencies(sr, n_fft)
    edges = [0.0, *(fmin * 2.0**octave for octave in range(n_bands + 1))]
    bands = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        start = int(inside[0]) - (1 if number else 0)
        stop = len(frequencies) if number == n_bands else int(inside[-1])
        bands.append((start, stop))
    return tuple(bands)


@cache
def log_bank(
    sr: int, n_fft: int, fmin: float, fmax: float | None, bins_per_octave: int
) -> Float32Array:
    """Return triangular filters at logarithmic frequencies: [bins, 1 + n_fft/2], rows sum to 1.

    A triangle reaches to the neighbouring frequencies on both sides, but at least over one FFT bin,
    which is linear interpolation.
    """
    centres = log_spaced_frequencies(sr, fmin, fmax, bins_per_octave)[:, None]
    step = 2 ** (1 / bins_per_octave)
    bins = fft_frequencies(sr, n_fft)[None, :]
    below = np.maximum(centres - centres / step, sr / n_fft)
    above = np.maximum(centres * step - centres, sr / n_fft)
    weights = np.maximum(
        0, 1 - np.where(bins < centres, (centres - bins) / below, (bins - centres) / above)
    )
    return _frozen(weights / weights.sum(axis=1, keepdims=True))


@cache
def tempo_bank(sr: int, hop_length: int, n_lags: int, n_tempi: int) -> Float32Array:
    """Return the map of tempogram lags to tempo classes from 60 beats a minute: [n_tempi, n_lags].

    Each class is the mean over its tempi in 30 to 480 beats a minute whose lag is available, each
    interpolated linearly between lags.
    """
    octaves = np.arange(-1, 3)
    tempi = 60 * 2 ** (np.arange(n_tempi)[:, None] / n_tempi + octaves[None, :])
    lags = 60 * sr / (hop_length * tempi)
    weights = np.maximum(0, 1 - np.abs(lags[:, :, None] - np.arange(n_lags)))
    weights[lags > n_lags - 1] = 0
    known = weights.sum(axis=(1, 2))
    if not known.all():
        raise InvalidArgumentError(f"a tempogram of {n_lags} lags is too short for some tempi")
    return _frozen(weights.sum(axis=1) / known[:, None])


@cache
def resize_bank(size: int, wanted: int) -> Float32Array:
    """Return the linear interpolation from ``size`` points to ``wanted``: [wanted, size].

    Downsampling averages all inputs near an output with triangular weights, against aliasing;
    upsampling interpolates between the two nearest. Rows sum to 1.
    """
    scale = size / wanted
    centres = (np.arange(wanted) + 0.5) * scale - 0.5
    distance = np.abs(centres[:, None] - np.arange(size)[None, :]) / max(scale, 1.0)
    # When upsampling, outputs beyond the outermost inputs repeat them.
    weights = np.maximum(0, 1 - distance)
    return _frozen(weights / weights.sum(axis=1, keepdims=True))


def fft_frequencies(sr: int, n_fft: int) -> Float64Array:
    """Return the frequency in Hz of each FFT bin: float64 [1 + n_fft/2]."""
    return np.asarray(np.arange(1 + n_fft // 2) * (sr / n_fft), dtype=np.float64)


def bin_range(sr: int, n_fft: int, fmin: float, fmax: float | None) -> tuple[int, int]:
    """Return the first FFT bin, and the bin after the last, from ``fmin`` to ``fmax`` Hz inclusive.

    Raises:
        InvalidArgumentError: there is no bin in this range.
    """
    check_number("fmin", fmin)
    if fmax is not None:
        check_number("fmax", fmax)
    start = max(0, int(np.ceil(fmin * n_fft / sr)))
    stop = 1 + n_fft // 2
    if fmax is not None:
        stop = min(stop, 1 + int(np.floor(fmax * n_fft / sr)))
    if start >= stop:
        raise InvalidArgumentError(
            f"no frequency of a window of {n_fft} samples at {sr} Hz lies in {fmin} to {fmax} Hz"
        )
    return start, stop


def log_spaced_frequencies(
    sr: int, fmin: float, fmax: float | None, bins_per_octave: int
) -> Float64Array:
    """Return ``fmin * 2 ** (k / bins_per_octave)`` Hz for all k, up to ``fmax`` and sr/2.

    Raises:
        InvalidArgumentError: ``fmin`` is not positive, or above ``fmax`` or sr/2.
    """
    if fmax is not None:
        check_number("fmax", fmax, above=0)
    highest = min(sr / 2, np.inf if fmax is None else fmax)
    if not 0 < fmin <= highest:
        raise InvalidArgumentError(
            f"fmin must be above 0 and at most {highest:.6g} Hz; got {fmin:.6g} Hz"
        )
    steps = int(np.floor(bins_per_octave * np.log2(highest / fmin) + 1e-9))
    return np.asarray(fmin * 2 ** (np.arange(steps + 1) / bins_per_octave), dtype=np.float64)


def _frozen(matrix: NDArray[np.floating]) -> Float32Array:
    result = np.ascontiguousarray(matrix, dtype=np.float32)
    result.flags.writeable = False  # shared by every caller
    return result


def _hz_to_mel(hertz: float) -> float:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)


def _mel_to_hz(mels: NDArray[np.floating]) -> NDArray[np.floating]:
    above = 1000 * np.exp(np.maximum(mels - 15, 0) * np.log(6.4) / 27)
    return np.where(mels < 15, mels * 200 / 3, above)
