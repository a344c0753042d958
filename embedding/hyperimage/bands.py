"""Bands of a hyper-image: transforms scaled to brightness, in the same way for every song.

Scales depend on the snippet by its loudness only, so that songs stay comparable:

- power spectra: the loudest point is 1, 80 dB below it 0
- ``chroma``, ``tempogram``, ``cyclic_tempogram``: unchanged, the strongest of a frame 1
- ``tonnetz``: -1 is 0, +1 is 1
- ``mfcc``: coefficient 0 as the mean level of the frame, the others around one half
- ``contrast``: 0 dB is 0, 80 dB is 1
- ``centroid``: 0 Hz is 0, half the sample rate 1
- ``onset_strength``: no rise is 0, 10 dB is .76, approaching 1
- ``cepstral_pitch``: 60 Hz is 0, 800 Hz is 1, by octaves; 0 where no pitch is found
- ``notes``: the strongest note is 1
- waveforms: drawn between the lowest and the highest row
"""

from collections.abc import Callable

import numpy as np

from datasets.arrays import Float32Array
from embedding.audio.waveform import envelope
from embedding.hyperimage.config import WAVEFORMS, Band
from embedding.transforms import filters
from embedding.transforms.melody import PITCH_FMAX, PITCH_FMIN
from embedding.transforms.snippet import TOP_DB, SnippetFeatures
from embedding.transforms.spectrum import decibels
from embedding.transforms.table import N_MFCC, TRANSFORMS
from embedding.transforms.timbre import contrast, mfcc

MFCC_SCALE = 200.0
"""Twice the typical size of MFCC 1, in dB."""

FAINTEST = 1e-11
"""Smallest power that counts, relative to the loudest point of the spectrum: -110 dB. Below it lie
rounding errors of the samples, which depend on the gain."""

ONSET_SCALE = 10.0
"""A large onset strength, in dB."""


def band_image(sound: SnippetFeatures, band: Band, rows: int, columns: int) -> Float32Array:
    """Compute one band of a hyper-image.

    Args:
        sound: the snippet, with a largest sample of 1.
        band: transform and scale.
        rows: height of the band.
        columns: width of a waveform; other transforms have one column a frame.

    Returns:
        [rows, frames], or [rows, columns] for a waveform; the lowest row comes first.
    """
    if band.transform in WAVEFORMS:
        return rasterize_waveform(TRANSFORMS[band.transform].compute(sound), rows, columns)
    values = _NORMALISED[band.normalise](sound, band.transform)
    picture = values if values.ndim == 2 else values[None]
    return picture if len(picture) == rows else filters.resize_bank(len(picture), rows) @ picture


def rasterize_waveform(y: Float32Array, rows: int, columns: int) -> Float32Array:
    """Draw a waveform as an image (Fig. 4A): [rows, columns], 1 on the line, else 0.

    A column is filled from the lowest to the highest sample of its time, and joined to the column
    before, so that the line is never broken. -1 is the lower edge, +1 the upper edge. A partly
    covered pixel has the covered share as its value.
    """
    outline = envelope(y, min(columns, len(y)))[0]
    lowest, highest = outline[:, np.arange(columns) * outline.shape[1] // columns]
    before_low, before_high = np.roll(lowest, 1), np.roll(highest, 1)
    before_low[0], before_high[0] = lowest[0], highest[0]
    lowest, highest = np.minimum(lowest, before_high), np.maximum(highest, before_low)
    low = (lowest + 1) * (rows / 2)
    high = (highest + 1) * (rows / 2)
    thin = np.maximum(LINE - (high - low), 0) / 2
    low, high = low - thin, high + thin
    row = np.arange(rows)[:, None]
    covered = np.minimum(high, row + 1) - np.maximum(low, row)
    return np.clip(covered, 0, 1).astype(np.float32)


LINE = 0.5
"""Minimum thickness of the line of a waveform, in rows."""


def _scaled(sound: SnippetFeatures, name: str) -> Float32Array:
    """Values on the scale of the transform itself."""
    return _SCALES[name](sound) if name in _SCALES else _levels(sound, name)


def _levels(sound: SnippetFeatures, name: str) -> Float32Array:
    """Power in dB: the loudest point is 1, ``TOP_DB`` below it 0."""
    power = np.maximum(TRANSFORMS[name].compute(sound), _faintest(sound))
    return _below_loudest(decibels(power, top_db=TOP_DB))


def _faintest(sound: SnippetFeatures) -> np.float32:
    """Smallest power that counts in this snippet."""
    return np.float32(FAINTEST) * sound.power.max()


def _below_loudest(levels: Float32Array) -> Float32Array:
    return (levels - levels.max()) / np.float32(TOP_DB) + np.float32(1)


def _values(sound: SnippetFeatures, name: str) -> Float32Array:
    return np.nan_to_num(TRANSFORMS[name].compute(sound), nan=0.0)


def _over_peak(sound: SnippetFeatures, name: str) -> Float32Array:
    values = _values(sound, name)
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


def _to_unit(sound: SnippetFeatures, name: str) -> Float32Array:
    values = _values(sound, name)
    lowest, highest = values.min(), values.max()
    return (values - lowest) / (highest - lowest) if highest > lowest else np.zeros_like(values)


def _mel(sound: SnippetFeatures) -> Float32Array:
    return _below_loudest(sound.log_mel)


def _tonnetz(sound: SnippetFeatures) -> Float32Array:
    return TRANSFORMS["tonnetz"].compute(sound) * np.float32(0.5) + np.float32(0.5)


def _mfcc(sound: SnippetFeatures) -> Float32Array:
    """Coefficient 0 as the mean level of the frame, the others around one half.

    Coefficients shrink as their number grows, so each is divided by its typical size; the
    hyperbolic tangent keeps rare large values in range.
    """
    levels = sound.log_mel - sound.log_mel.max()
    coefficients = mfcc(log_mel=levels, n_mfcc=N_MFCC)
    usual = MFCC_SCALE * np.sqrt(sound.n_mels / 128) / np.arange(1, N_MFCC)[:, None] ** 0.75
    mean_level = coefficients[:1] / np.float32(TOP_DB * np.sqrt(sound.n_mels)) + 1
    around_half = 0.5 + 0.5 * np.tanh(coefficients[1:] / usual.astype(np.float32))
    return np.concatenate([mean_level, around_half])


def _contrast(sound: SnippetFeatures) -> Float32Array:
    values = contrast(
        S=sound.power, sr=sound.sr, n_bands=sound.octaves, floor=float(_faintest(sound))
    )
    return np.clip(values / np.float32(TOP_DB), 0, 1)


def _centroid(sound: SnippetFeatures) -> Float32Array:
    return TRANSFORMS["centroid"].compute(sound) / np.float32(sound.sr / 2)


def _onsets(sound: SnippetFeatures) -> Float32Array:
    return np.tanh(sound.onsets / np.float32(ONSET_SCALE))


def _pitch(sound: SnippetFeatures) -> Float32Array:
    octaves = np.log2(sound.pitch / PITCH_FMIN) / np.log2(PITCH_FMAX / PITCH_FMIN)
    return np.clip(np.nan_to_num(octaves, nan=0.0), 0, 1)


def _notes(sound: SnippetFeatures) -> Float32Array:
    return _over_peak(sound, "notes")


_SCALES: dict[str, Callable[[SnippetFeatures], Float32Array]] = {
    "chroma": lambda sound: sound.chromagram,
    "tempogram": TRANSFORMS["tempogram"].compute,
    "cyclic_tempogram": TRANSFORMS["cyclic_tempogram"].compute,
    "mel": _mel,
    "mfcc": _mfcc,
    "contrast": _contrast,
    "tonnetz": _tonnetz,
    "centroid": _centroid,
    "onset_strength": _onsets,
    "cepstral_pitch": _pitch,
    "notes": _notes,
}
"""Scales of the transforms whose values are not power."""

_NORMALISED: dict[str, Callable[[SnippetFeatures, str], Float32Array]] = {
    "scale": _scaled,
    "db": _levels,
    "peak": _over_peak,
    "unit": _to_unit,
    "none": _values,
}
