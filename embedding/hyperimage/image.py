"""Hyper-images: several transforms of one snippet stacked into one image.

US 2018/0276540 A1, paragraphs 42, 52 and 56, Fig. 5A and 5B. Each transform is resized to the rows
of its band and the width of the image, and scaled to 0 .. 1 in the same way for every song, so that
songs stay comparable; only the loudness of the whole snippet is normalised.
"""

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.snippets import SILENCE
from embedding.hyperimage.bands import band_image
from embedding.hyperimage.colours import apply_colour_map
from embedding.hyperimage.config import HyperImageConfig
from embedding.transforms import filters
from embedding.transforms.snippet import SnippetFeatures

OFFSET = 0.2
"""A constant offset of a channel is taken out if it is above this share of the root mean square. In
recordings it is .13 at most, and has an effect of one per cent on the embedding."""

BRIGHTNESS = frozenset({"scale", "db", "unit"})
"""Normalisations with values in 0 .. 1."""


def hyperimage(y: Float32Array, config: HyperImageConfig) -> Float32Array:
    """Compute the hyper-image of one snippet.

    Args:
        y: waveform at ``config.sample_rate``, float [samples] or [channels, samples], at any level.
            Waveform bands show single channels, all other bands the mean of the channels.
        config: size and bands of the image.

    Returns:
        float32 [channels, height, width], finite, each band with its lowest row first; 0 .. 1
        unless a band is normalised otherwise. A constant gain makes no difference, except with
        ``normalise="none"``, nor does a large constant offset.

    Raises:
        InvalidArgumentError: ``y`` is not [samples] or [channels, samples].
        AudioError: NaN or infinite samples, or silence.

    Examples:
        >>> from embedding.hyperimage import HyperImageConfig, hyperimage
        >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> image = hyperimage(y, HyperImageConfig(width=64))
        >>> image.shape, float(image.min()), float(image.max())
        ((1, 128, 64), 0.0, 1.0)
    """
    stacked = _stacked(prepare_snippet(y, config), config)
    image = _clipped(_fitted(stacked, config), config)
    return image[None] if config.colour_map is None else apply_colour_map(image, config.colour_map)


def prepare_snippet(y: Float32Array, config: HyperImageConfig) -> SnippetFeatures:
    """Scale a snippet to a largest sample of 1, without large offsets, and set up its transforms.

    Raises:
        InvalidArgumentError, AudioError: as `hyperimage`.
    """
    y = np.asarray(y)
    channels = y[None] if y.ndim == 1 else y
    if channels.ndim != 2 or not 0 < len(channels) <= channels.shape[1]:
        raise InvalidArgumentError(
            f"a snippet is one row of samples, or a row for each channel; got shape {y.shape}"
        )
    # In double precision, where no difference of two float32 samples overflows.
    lowest, highest = channels.min(axis=1).astype(float), channels.max(axis=1).astype(float)
    peak = float(max(highest.max(), -lowest.min()))
    if not np.isfinite(peak):
        raise AudioError("contains NaN or infinite samples")
    if (highest - lowest).max() <= SILENCE:
        raise AudioError("is silent")
    return SnippetFeatures(
        _without_offset((channels / peak).astype(np.float32, copy=False)),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        tempogram_frames=config.tempogram_frames,
    )


def _without_offset(channels: Float32Array) -> Float32Array:
    """Take large offsets out of a snippet [channels, samples] of peak 1, and give it peak 1 again.

    An offset takes the place of the lowest notes, and at the ends of the snippet it is a click.
    """
    offset = channels.mean(axis=1, dtype=np.float64).astype(np.float32)
    power = np.einsum("cs,cs->c", channels, channels) / channels.shape[1]
    is_large = offset**2 > OFFSET**2 * power
    if not is_large.any():
        return channels
    centred = channels - np.where(is_large, offset, 0)[:, None]
    peak = np.abs(centred).max()
    return centred / peak if peak > 0 else channels


def _stacked(sound: SnippetFeatures, config: HyperImageConfig) -> list[Float32Array]:
    """Bands of the layout: [rows, frames] each, or [rows, columns] for a waveform."""
    frames = 1 + sound.channels.shape[1] // config.hop_length
    columns = config.width if config.fit == "stretch" else frames
    return [
        band_image(sound, band, rows, columns)
        for band, rows in zip(config.layout, config.band_rows(), strict=True)
    ]


def _fitted(bands: list[Float32Array], config: HyperImageConfig) -> Float32Array:
    """Stack the bands at the width of the image: [height, width]."""
    if config.fit == "pad":
        whole = np.concatenate(bands)[:, : config.width]
        return np.pad(whole, ((0, 0), (0, config.width - whole.shape[1])))
    if len({band.shape[1] for band in bands}) == 1:
        return _to_width(np.concatenate(bands), config.width)
    return np.concatenate([_to_width(band, config.width) for band in bands])


def _to_width(picture: Float32Array, width: int) -> Float32Array:
    size = picture.shape[1]
    return picture if size == width else picture @ filters.resize_bank(size, width).T


def _clipped(image: Float32Array, config: HyperImageConfig) -> Float32Array:
    """Clip brightness to 0 .. 1, which rounding may exceed by a millionth; in place."""
    if all(band.normalise in BRIGHTNESS for band in config.layout):
        return np.clip(image, 0, 1, out=image)
    start = 0
    for band, rows in zip(config.layout, config.band_rows(), strict=True):
        if band.normalise in BRIGHTNESS:
            part = image[start : start + rows]
            np.clip(part, 0, 1, out=part)
        start += rows
    return image
