"""The network of MusiCNN in PyTorch: Pons and Serra 2019, "musicnn: Pre-trained convolutional...".

The front end looks at the mel spectrogram with tall filters, which hear timbre at any pitch, and
with long ones, which hear temporal patterns in every band; the loudest place of each is kept. Three
densely connected convolutions follow, and the maximum and mean over time of everything.

Batch normalisation is a scale and a shift that do not change, as in evaluation.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from datasets.arrays import Float32Array
from embedding.encoders.musicnn.weights import numbered

_POOLED = 753
"""Features at each frame: 408 of timbre, 153 of time, 3 x 64 of the convolutions that follow."""

_PENULTIMATE, _TAGS = 200, 50

_EPSILON = 1e-3
"""Added to variances, as TensorFlow's layers do."""

_TAPS = 7
"""Frames that a tall filter covers."""

_FRAMES_AT_ONCE = 34
"""Frames whose spectra stay in the processor's cache."""


class Heard(NamedTuple):
    """What the network makes of patches."""

    penultimate: Tensor
    """[n, 200]: the last layer before the tags."""

    mean_pool: Tensor
    """[n, 753]: means over time."""

    max_pool: Tensor
    """[n, 753]: maxima over time."""

    logits: Tensor
    """[n, 50]: of the tags; their sigmoids are probabilities."""


class MusiCNNNetwork(nn.Module):
    """MusiCNN: patches of a mel spectrogram to features and tags.

    Args:
        tensors: those of the checkpoint, by name; None: random ones.

    Examples:
        >>> import torch
        >>> network = MusiCNNNetwork()
        >>> with torch.inference_mode():
        ...     heard = network(torch.zeros(2, 187, 96))
        >>> heard.penultimate.shape, heard.mean_pool.shape, heard.logits.shape
        (torch.Size([2, 200]), torch.Size([2, 753]), torch.Size([2, 50]))
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]] | None = None) -> None:
        super().__init__()
        self.input_norm = _Normalisation(1)
        self.timbre = nn.ModuleList(_Timbre(height) for height in (38, 67))
        self.tempo = nn.ModuleList(_Tempo(length) for length in (128, 64, 32))
        self.middle = nn.ModuleList(_Middle(inputs) for inputs in (561, 64, 64))
        self.pool_norm = _Normalisation(2 * _POOLED)
        self.dense = nn.Linear(2 * _POOLED, _PENULTIMATE)
        self.dense_norm = _Normalisation(_PENULTIMATE)
        self.output = nn.Linear(_PENULTIMATE, _TAGS)
        if tensors is not None:
            self._take(tensors)
        self.eval()

    def forward(self, patches: Tensor) -> Heard:
        """Compute features and tags.

        Args:
            patches: float32 [n, 187, 96], ``log10(1 + 10000 * mel)``. More or fewer frames than 187
                are possible.
        """
        x = self.input_norm(patches[..., None])[..., 0]
        front = [*(block(x) for block in self.timbre), *(block(x) for block in self.tempo)]
        features = torch.cat(front, dim=1)
        first = self.middle[0](features)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        dense = torch.cat([features, first, second, third], dim=1)
        largest, mean = dense.amax(dim=2), dense.mean(dim=2)
        pooled = self.pool_norm(torch.cat([largest, mean], dim=1))
        penultimate = self.dense_norm(torch.relu(self.dense(pooled)))
        return Heard(penultimate, mean, largest, self.output(penultimate))

    def _take(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        blocks = [*self.timbre, *self.tempo, *self.middle]
        for number, block in enumerate(blocks):
            name = numbered("conv2d", number)
            # [time, frequency, 1, filters], and the convolutions that follow have features in the
            # place of frequency.
            kernel = tensors[f"{name}/kernel"][:, :, 0].transpose(2, 0, 1)
            _set(block.kernel, kernel.reshape(block.kernel.shape))
            _set(block.bias, tensors[f"{name}/bias"])
            block.norm.take(tensors, number + 1)
        self.input_norm.take(tensors, 0)
        # In TensorFlow maximum and mean of a feature stand side by side; here all maxima come
        # first.
        order = np.arange(2 * _POOLED).reshape(_POOLED, 2).T.ravel()
        self.pool_norm.take(tensors, 9, order)
        _set(self.dense.weight, tensors["dense/kernel"][order].T)
        _set(self.dense.bias, tensors["dense/bias"])
        self.dense_norm.take(tensors, 10)
        _set(self.output.weight, tensors["dense_1/kernel"].T)
        _set(self.output.bias, tensors["dense_1/bias"])


class _Normalisation(nn.Module):
    """Batch normalisation in evaluation, of the last dimension: a scale and a shift."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift

    def take(
        self,
        tensors: Mapping[str, NDArray[np.float32]],
        number: int,
        order: NDArray[np.intp] | slice = slice(None),
    ) -> None:
        gamma, beta, mean, variance = (
            tensors[f"{numbered('batch_normalization', number)}/{part}"].astype(np.float64)[order]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        _set(self.scale, scale)
        _set(self.shift, beta - mean * scale)


class _Block(nn.Module):
    """A convolution, a rectifier and a normalisation."""

    def __init__(self, filters: int, *shape: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(filters, *shape) / float(np.sqrt(np.prod(shape))))
        self.bias = nn.Parameter(torch.zeros(filters))
        self.norm = _Normalisation(filters)

    def activate(self, x: Tensor) -> Tensor:
        """Rectify and normalise a convolution [n, filters, frames]."""
        rectified = torch.relu(x + self.bias[:, None])
        return rectified * self.norm.scale[:, None] + self.norm.shift[:, None]

    def signed_kernel(self) -> tuple[Tensor, Tensor]:
        """The kernel with the sign of the scale, and these signs.

        Where the scale is negative, the largest value after normalisation is that of the smallest
        convolution. With the sign in the kernel it is the largest in every case, and rectifier and
        normalisation are needed for that one alone.
        """
        sign = torch.where(self.norm.scale < 0, -1.0, 1.0)
        return self.kernel * sign.reshape(-1, *[1] * (self.kernel.ndim - 1)), sign[:, None]


class _Timbre(_Block):
    """Tall filters: 7 frames by a part of the bands, the largest over all pitches."""

    def __init__(self, height: int) -> None:
        super().__init__(204, _TAPS, height)

    def forward(self, x: Tensor) -> Tensor:
        kernel, sign = self.signed_kernel()
        padded = functional.pad(x, (0, 0, 3, 3))
        if torch.is_grad_enabled():
            largest = functional.conv2d(padded[:, None], kernel[:, None]).amax(dim=3)
        else:
            spectra = _kernel_spectra(kernel, x.shape[2])
            back = _inverse_transform(x.shape[2], x.shape[2] - kernel.shape[2] + 1).to(x.device)
            largest = torch.stack([_largest_over_pitch(one, spectra, back) for one in padded])
        return self.activate(largest * sign)


class _Tempo(_Block):
    """Long filters: many frames of one band, the largest over all bands."""

    def __init__(self, length: int) -> None:
        super().__init__(51, length, 1)

    def forward(self, x: Tensor) -> Tensor:
        kernel, sign = self.signed_kernel()
        length = kernel.shape[1]
        # As TensorFlow pads for an even length: the additional frame comes last.
        padded = functional.pad(x, (0, 0, (length - 1) // 2, length // 2))
        largest = functional.conv2d(padded[:, None], kernel[:, None]).amax(dim=3)
        return self.activate(largest * sign)


class _Middle(_Block):
    """A convolution over time of all features."""

    def __init__(self, inputs: int) -> None:
        super().__init__(64, 7, inputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(
            functional.conv1d(functional.pad(x, (3, 3)), self.kernel.transpose(1, 2))
        )


def _largest_over_pitch(padded: Tensor, kernels: Tensor, back: Tensor) -> Tensor:
    """Correlate a patch with tall filters; return the largest values over pitch.

    By the Fourier transform over bands, where a correlation is a product: a third of the
    multiplications. As no filter reaches over the edge, nothing wraps around.

    Args:
        padded: [frames + 6, bands].
        kernels: `_kernel_spectra`.
        back: `_inverse_transform`, whose rows are the wanted pitches alone.

    Returns:
        [filters, frames].
    """
    bins, filters = len(kernels) // 2, kernels.shape[2]
    spectra = torch.view_as_real(torch.fft.rfft(padded)).unfold(0, _TAPS, 1)
    spectra = spectra.permute(1, 0, 2, 3).reshape(bins, -1, 2 * _TAPS)
    parts = []
    for start in range(0, spectra.shape[1], _FRAMES_AT_ONCE):
        part = spectra[:, start : start + _FRAMES_AT_ONCE].repeat(2, 1, 1)
        correlated = back @ torch.bmm(part, kernels).view(2 * bins, -1)
        parts.append(correlated.amax(dim=0).view(-1, filters))
    return torch.cat(parts).T


def _kernel_spectra(kernel: Tensor, bands: int) -> Tensor:
    """Conjugate spectra of kernels [filters, 7, height] as real matrices: [2 * bins, 14, filters].

    The first half gives real parts of products, the second imaginary ones.
    """
    wanted = torch.fft.rfft(kernel, bands).conj().permute(2, 1, 0)
    real = torch.cat([wanted.real, -wanted.imag], dim=1)
    imaginary = torch.cat([wanted.imag, wanted.real], dim=1)
    return torch.cat([real, imaginary])


def _inverse_transform(size: int, wanted: int) -> Tensor:
    """The first rows of the inverse Fourier transform: [wanted, 2 * bins], real parts first."""
    unit = torch.eye(size // 2 + 1, dtype=torch.complex128)
    columns = torch.cat([torch.fft.irfft(unit, size), torch.fft.irfft(1j * unit, size)])
    return columns[:, :wanted].T.to(torch.float32).contiguous()


def _set(parameter: Tensor, values: NDArray[np.floating]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)))


def as_arrays(heard: Heard) -> dict[str, Float32Array]:
    """Return features and probabilities of tags as arrays, by the names of the fields of `Heard`.

    The probabilities are called ``tags``.
    """
    named = heard._asdict()
    named["tags"] = torch.sigmoid(named.pop("logits"))
    return {name: values.numpy() for name, values in named.items()}
