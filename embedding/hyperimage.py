"""Hyper-images: several transforms of one snippet stacked into one picture.

US 2018/0276540 A1, paragraphs 42, 52 and 56, Fig. 5A. Every transform is resized to the rows of its
band and to the width of the picture and brought to 0 .. 1 on a scale that is the same for every
song, so that songs stay comparable; only the loudness of the whole snippet is taken out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from datasets.errors import AudioError, InvalidArgumentError
from embedding import filters, transforms
from embedding.audio import is_silent
from embedding.config import HyperImageConfig

Array = NDArray[np.float32]

TOP_DB = 80.0
N_MFCC = 20


def hyperimage(y: Array, config: HyperImageConfig) -> Array:
    """The hyper-image of one snippet.

    Args:
        y: waveform at ``config.sample_rate``, mono, float [samples]; any level.
        config: kind, size and bands of the picture.

    Returns:
        float32 [channels, height, width], finite, 0 .. 1; for ``stacked`` one channel, each band
        with its lowest row first. A constant gain leaves it unchanged.

    Raises:
        InvalidArgumentError: ``y`` is not one row of samples.
        AudioError: NaN or infinite samples, or silence.
    """
    y = np.asarray(y)
    if y.ndim != 1 or not len(y):
        raise InvalidArgumentError(f"a snippet is one row of samples; got shape {y.shape}")
    peak = float(np.abs(y).max())
    if not np.isfinite(peak):
        raise AudioError("contains NaN or infinite samples")
    if is_silent(y):
        raise AudioError("is silent")
    return _PRESETS[config.preset]((y / peak).astype(np.float32), config)


def _stacked(y: Array, config: HyperImageConfig) -> Array:
    """The bands of the layout, each resized to its rows, under one another: [1, height, width]."""
    sound = _Sound(y, config)
    bands = []
    for band, rows in zip(config.layout, config.band_rows(), strict=True):
        picture = _BANDS[band.transform](sound)
        bands.append(filters.resize_bank(len(picture), rows) @ picture)
    stacked = np.concatenate(bands)
    image = stacked @ filters.resize_bank(stacked.shape[1], config.width).T
    # Rounding may leave a value a millionth outside.
    return np.clip(image, 0, 1)[None]


@dataclass(frozen=True)
class _Sound:
    """One snippet, and what several transforms share, each made once when first asked for."""

    y: Array
    config: HyperImageConfig

    @cached_property
    def power(self) -> Array:
        return transforms.power_spectrogram(
            self.y, n_fft=self.config.n_fft, hop_length=self.config.hop_length
        )

    @cached_property
    def log_mel(self) -> Array:
        power = transforms.mel(S=self.power, sr=self.config.sample_rate, n_mels=self.config.n_mels)
        return transforms.decibels(power, top_db=TOP_DB)

    @cached_property
    def chromagram(self) -> Array:
        return transforms.chroma(S=self.power, sr=self.config.sample_rate)


def _chroma(sound: _Sound) -> Array:
    return sound.chromagram


def _tonnetz(sound: _Sound) -> Array:
    return transforms.tonnetz(chromagram=sound.chromagram) * np.float32(0.5) + np.float32(0.5)


def _mel(sound: _Sound) -> Array:
    """The loudest point is 1, ``TOP_DB`` below it 0."""
    levels = sound.log_mel
    return (levels - levels.max()) / np.float32(TOP_DB) + np.float32(1)


def _mfcc(sound: _Sound) -> Array:
    """Coefficient 0 as the mean level of the frame, the others around one half.

    Coefficients shrink as their number grows, so each is divided by its usual size; the hyperbolic
    tangent keeps rare large ones in range.
    """
    levels = sound.log_mel - sound.log_mel.max()
    coefficients = transforms.mfcc(log_mel=levels, n_mfcc=N_MFCC)
    usual = MFCC_SCALE * np.sqrt(sound.config.n_mels / 128) / np.arange(1, N_MFCC)[:, None] ** 0.75
    mean_level = coefficients[:1] / np.float32(TOP_DB * np.sqrt(sound.config.n_mels)) + 1
    around_half = 0.5 + 0.5 * np.tanh(coefficients[1:] / usual.astype(np.float32))
    return np.concatenate([mean_level, around_half])


MFCC_SCALE = 200.0
"""Usual size of the first coefficient in dB, times two."""


def _contrast(sound: _Sound) -> Array:
    """0 dB is 0, ``TOP_DB`` is 1; as many octaves from 200 Hz as fit below half the sample rate."""
    octaves = int(np.ceil(np.log2(sound.config.sample_rate / 2 / 200.0)))
    contrast = transforms.contrast(
        S=sound.power, sr=sound.config.sample_rate, n_bands=min(6, octaves)
    )
    return np.clip(contrast / TOP_DB, 0, 1)


def _tempogram(sound: _Sound) -> Array:
    onsets = transforms.onset_strength(
        log_mel=sound.log_mel, n_fft=sound.config.n_fft, hop_length=sound.config.hop_length
    )
    lags = transforms.tempogram(onsets=onsets, win_length=sound.config.tempogram_frames)
    # Beyond half the window hardly any of it overlaps its shifted self: nothing is left to see.
    return lags[: sound.config.tempogram_frames // 2]


_BANDS: dict[str, Callable[[_Sound], Array]] = {
    "chroma": _chroma,
    "tempogram": _tempogram,
    "mel": _mel,
    "mfcc": _mfcc,
    "contrast": _contrast,
    "tonnetz": _tonnetz,
}

_PRESETS: dict[str, Callable[[Array, HyperImageConfig], Array]] = {"stacked": _stacked}
