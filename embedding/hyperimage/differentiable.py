"""The stacked hyper-image in PyTorch: batches of snippets, on any device, with gradients.

The same values as `embedding.hyperimage.hyperimage`, with the same filter banks and scales.
Used to compute images in batches on a GPU, and to compose (US 2018/0276540 A1, paragraph 62), where
gradients pass from the network through the image to the waveform.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.snippets import SILENCE
from embedding.hyperimage.bands import FAINTEST, MFCC_SCALE
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.image import OFFSET
from embedding.transforms import filters
from embedding.transforms.snippet import RHYTHM_FLOOR, TOP_DB
from embedding.transforms.spectrum import AMIN, TINY
from embedding.transforms.table import N_MFCC

LEAST_POWER = 1e-30
"""Smallest power under a square root, whose gradient is infinite at zero; far below ``AMIN``."""


def hyperimages(y: Tensor, config: HyperImageConfig) -> Tensor:
    """Compute the stacked hyper-images of a batch of snippets.

    The Fourier transform is computed in double precision, as in
    `embedding.transforms.power_spectrogram`, except on Apple's ``mps`` devices, which have
    none; there the valleys between loud pure tones differ.

    Args:
        y: mono waveforms at ``config.sample_rate``, float [n, samples], on any device, at any
            level.
        config: size and bands: the six transforms of the preset ``stacked``, in any number and
            order, with ``normalise="scale"``.

    Returns:
        [n, 1, height, width], 0 .. 1, on the device and with the precision of ``y``. The gradient
        with respect to ``y`` is finite everywhere.

    Raises:
        InvalidArgumentError: ``y`` is not a float tensor [n, samples], or a setting has no PyTorch
            version.
        AudioError: NaN or infinite samples, or silence; the message names the row.

    Examples:
        >>> import torch
        >>> from embedding.hyperimage import HyperImageConfig, hyperimages
        >>> y = torch.randn(2, 22050, requires_grad=True)
        >>> images = hyperimages(y, HyperImageConfig(width=64))
        >>> images.shape
        torch.Size([2, 1, 128, 64])
        >>> images.sum().backward()
        >>> y.grad.shape
        torch.Size([2, 22050])
    """
    _check_config(config)
    _check_sound(y)
    sound = _BatchFeatures(_without_offset(y / y.abs().amax(dim=1, keepdim=True)), config)
    bands = []
    for band, rows in zip(config.layout, config.band_rows(), strict=True):
        picture = _BANDS[band.transform](sound)
        bands.append(_bank(picture, filters.resize_bank, picture.shape[1], rows) @ picture)
    stacked = torch.cat(bands, dim=1)
    if config.fit == "pad":
        whole = stacked[:, :, : config.width]
        return pad(whole, (0, config.width - whole.shape[2])).clamp(0, 1)[:, None]
    columns = _bank(stacked, filters.resize_bank, stacked.shape[2], config.width)
    return (stacked @ columns.T).clamp(0, 1)[:, None]


def _without_offset(y: Tensor) -> Tensor:
    """Take large offsets out of snippets of peak 1, as in `hyperimage`."""
    precision = torch.float32 if y.device.type == "mps" else torch.float64
    offset = y.mean(dim=1, keepdim=True, dtype=precision).to(y.dtype)
    is_large = offset.square() > OFFSET**2 * y.square().mean(dim=1, keepdim=True)
    if not bool(is_large.any()):
        return y
    centred = y - offset
    return torch.where(is_large, centred / centred.abs().amax(dim=1, keepdim=True), y)


@dataclass(frozen=True)
class _BatchFeatures:
    """Snippets [n, samples] of peak 1, with the intermediate results that transforms share."""

    y: Tensor
    config: HyperImageConfig

    @cached_property
    def power(self) -> Tensor:
        """Power spectrograms [n, 1 + n_fft/2, frames]."""
        n_fft = self.config.n_fft
        precision = torch.float32 if self.y.device.type == "mps" else torch.float64
        padded = pad(self.y.to(precision), (n_fft // 2, n_fft // 2))
        window = torch.hann_window(n_fft, dtype=precision, device=self.y.device)
        frames = padded.unfold(1, n_fft, self.config.hop_length) * window
        spectrum = torch.fft.rfft(frames)
        return (spectrum.real.square() + spectrum.imag.square()).to(self.y.dtype).mT

    @cached_property
    def log_mel(self) -> Tensor:
        bank = _bank(
            self.power,
            filters.mel_bank,
            self.config.sample_rate,
            self.config.n_fft,
            self.config.n_mels,
        )
        return _decibels(bank @ self.power)

    @cached_property
    def chromagram(self) -> Tensor:
        bank = _bank(
            self.power, filters.chroma_bank, self.config.sample_rate, self.config.n_fft, 12
        )
        raw = bank @ self.power
        return _divided(raw, raw.amax(dim=1, keepdim=True))


def _chroma(sound: _BatchFeatures) -> Tensor:
    return sound.chromagram


def _tonnetz(sound: _BatchFeatures) -> Tensor:
    totals = sound.chromagram.sum(dim=1, keepdim=True)
    shares = _divided(sound.chromagram, totals)
    return _bank(shares, filters.tonnetz_bank) @ shares * 0.5 + 0.5


def _mel(sound: _BatchFeatures) -> Tensor:
    return (sound.log_mel - _peak(sound.log_mel)) / TOP_DB + 1


def _mfcc(sound: _BatchFeatures) -> Tensor:
    n_mels = sound.config.n_mels
    levels = sound.log_mel - _peak(sound.log_mel)
    coefficients = _bank(levels, filters.dct_bank, N_MFCC, n_mels) @ levels
    usual = _bank(levels, _mfcc_sizes, n_mels)
    mean_level = coefficients[:, :1] / (TOP_DB * n_mels**0.5) + 1
    around_half = 0.5 + 0.5 * torch.tanh(coefficients[:, 1:] / usual)
    return torch.cat([mean_level, around_half], dim=1)


def _mfcc_sizes(n_mels: int) -> NDArray[np.floating]:
    numbers = np.arange(1, N_MFCC)[:, None]
    return np.asarray(MFCC_SCALE * np.sqrt(n_mels / 128) / numbers**0.75)


def _contrast(sound: _BatchFeatures) -> Tensor:
    sr, n_fft = sound.config.sample_rate, sound.config.n_fft
    n_bands = min(6, int(np.ceil(np.log2(sr / 2 / 200.0))))
    audible = torch.maximum(sound.power, FAINTEST * _peak(sound.power))
    valleys: list[Tensor] = []
    peaks: list[Tensor] = []
    for number, (start, stop) in enumerate(filters.contrast_bands(sr, n_fft, n_bands, 200.0)):
        band = audible[:, start:stop]
        size = stop - start + (number < n_bands)
        n = max(1, int(np.rint(0.02 * size)))
        for extremes, largest in ((valleys, False), (peaks, True)):
            found = band.topk(n, dim=1, largest=largest, sorted=False).values
            extremes.append(found.clamp_min(LEAST_POWER).sqrt().mean(dim=1))
    contrast = _decibels(torch.stack(peaks, dim=1)) - _decibels(torch.stack(valleys, dim=1))
    return (contrast / TOP_DB).clamp(0, 1)


def _tempogram(sound: _BatchFeatures) -> Tensor:
    config = sound.config
    length = config.tempogram_frames
    rises = (sound.log_mel[:, :, 1:] - sound.log_mel[:, :, :-1]).clamp_min(0).mean(dim=1)
    late = 1 + config.n_fft // (2 * config.hop_length)
    onsets = pad(rises, (late, 0))[:, : sound.log_mel.shape[2]]
    # The first onset strength is always zero, and so is the ramp before it.
    fall = torch.arange(length // 2, dtype=onsets.dtype, device=onsets.device).flip(0)
    padded = torch.cat(
        [pad(onsets, (length // 2, 0)), onsets[:, -1:] * fall / (length // 2)], dim=1
    )
    window = torch.hann_window(length, dtype=onsets.dtype, device=onsets.device)
    frames = padded.unfold(1, length, 1)[:, : onsets.shape[1]] * window
    spectrum = torch.fft.rfft(frames, n=2 * length)
    power = spectrum.real.square() + spectrum.imag.square()
    lags = torch.fft.irfft(power, n=2 * length)[:, :, :length]
    least = RHYTHM_FLOOR**2 * float(window.square().sum())
    shares = lags / lags[:, :, :1].clamp_min(least)
    return shares[:, :, : length // 2].mT


_BANDS: dict[str, Callable[[_BatchFeatures], Tensor]] = {
    "chroma": _chroma,
    "tempogram": _tempogram,
    "mel": _mel,
    "mfcc": _mfcc,
    "contrast": _contrast,
    "tonnetz": _tonnetz,
}


def _decibels(values: Tensor) -> Tensor:
    """Power [n, rows, frames] to dB, at most ``TOP_DB`` below the maximum of each snippet."""
    levels = values.clamp_min(AMIN).log10() * 10
    return torch.maximum(levels, _peak(levels) - TOP_DB)


def _peak(values: Tensor) -> Tensor:
    """Largest value of each snippet, [n, 1, 1]."""
    return values.amax(dim=(1, 2), keepdim=True)


def _divided(values: Tensor, sizes: Tensor) -> Tensor:
    """``values / sizes``; ``values`` where the size is (nearly) zero, as in silence."""
    return values / torch.where(sizes < TINY, torch.ones_like(sizes), sizes)


def _bank(like: Tensor, make: Callable[..., NDArray[np.floating]], *arguments: int) -> Tensor:
    """Return a filter bank with the precision and on the device of ``like``."""
    return _bank_on(make, arguments, like.dtype, like.device)


@lru_cache(maxsize=256)
def _bank_on(
    make: Callable[..., NDArray[np.floating]],
    arguments: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    # Cached for all callers, so not an inference tensor even if the first one is in that mode.
    with torch.inference_mode(False):
        return torch.tensor(make(*arguments), dtype=dtype, device=device)


def _check_config(config: HyperImageConfig) -> None:
    for band in config.layout:
        if band.transform not in _BANDS:
            raise InvalidArgumentError(
                f"the transform {band.transform!r} has no PyTorch version; those that have are "
                f"{', '.join(_BANDS)}"
            )
        if band.normalise not in ("scale", "db"):  # only mel can have db, which equals its scale
            raise InvalidArgumentError(
                f"the normalisation {band.normalise!r} of {band.transform!r} has no PyTorch "
                "version; 'scale' has"
            )
    if config.colour_map is not None:
        raise InvalidArgumentError("hyper-images in colours have no PyTorch version")


def _check_sound(y: Tensor) -> None:
    if not isinstance(y, Tensor) or y.ndim != 2 or not y.shape[1]:
        found = getattr(y, "shape", type(y).__name__)
        raise InvalidArgumentError(f"snippets are a tensor [n, samples]; got {found}")
    if not y.is_floating_point():
        raise InvalidArgumentError(f"snippets must be floating-point numbers; got {y.dtype}")
    spread = y.detach().amax(dim=1) - y.detach().amin(dim=1)
    if bool((spread > SILENCE).all()) and bool(spread.isfinite().all()):
        return
    row = int((~((spread > SILENCE) & spread.isfinite())).nonzero()[0])
    reason = "is silent" if bool(spread[row].isfinite()) else "contains NaN or infinite samples"
    raise AudioError(f"snippet {row} {reason}")
