"""The convolutional network in PyTorch, built from its notation."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from embedding.architecture import Architecture, Convolution, FullyConnected, Normalisation, Pooling


class Standardise(nn.Module):
    """Each image less its mean, divided by its deviation, as in the TensorFlow CIFAR-10 tutorial.

    Loudness and contrast say no genre; and nothing is learned from other images that could leak.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, channels, height, width]; an image without contrast becomes zero."""
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        # A constant image leaves rounding errors, which must not be blown up.
        return centred / deviation.clamp_min(1e-6)


class LocalResponseNorm(nn.Module):
    """x / (1 + alpha · sum of squares over 9 neighbouring channels) ^ 0.75, alpha = 0.001 / 9.

    Krizhevsky, Sutskever, Hinton 2012, section 3.3, with the constants of the TensorFlow CIFAR-10
    tutorial. Equal to ``torch.nn.LocalResponseNorm(9, 0.001)`` and ten times faster on a CPU, where
    PyTorch's own takes more time than the convolutions.
    """

    band: Tensor
    SIZE = 9
    ALPHA = 0.001

    def __init__(self, channels: int) -> None:
        super().__init__()
        number = torch.arange(channels)
        near = (number[:, None] - number[None, :]).abs() <= self.SIZE // 2
        weights = near.float() * (self.ALPHA / self.SIZE)
        self.register_buffer("band", weights[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = _LocalResponseNorm.apply(x, self.band)  # type: ignore[no-untyped-call]
        return normalised


class _LocalResponseNorm(torch.autograd.Function):
    """With its derivative written out: s = 1 + B x², y = x s^-¾, dx = dy s^-¾ - 1½ x B(dy x s^-1¾).

    B, the band matrix of neighbouring channels, is symmetric.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor) -> Tensor:
        inverse_root = torch.rsqrt(nn.functional.conv2d(x * x, band).add_(1.0))
        divisor = torch.sqrt(inverse_root).mul_(inverse_root)
        ctx.save_for_backward(x, band, inverse_root, divisor)
        return x * divisor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, band, inverse_root, divisor = ctx.saved_tensors
        direct = gradient * divisor
        through = (direct * x).mul_(inverse_root).mul_(inverse_root)
        return direct.addcmul_(x, nn.functional.conv2d(through, band), value=-1.5), None


class SongNetwork(nn.Module):
    """Images to embeddings (``embed``) and class scores (``forward``).

    Args:
        architecture: the layers.
        image_shape: (channels, height, width) of the images.
        n_classes: number of outputs.
    """

    def __init__(
        self, architecture: Architecture, image_shape: tuple[int, int, int], n_classes: int
    ) -> None:
        super().__init__()
        self.standardise = Standardise()
        shapes: list[tuple[int, ...]] = [
            tuple(image_shape),
            *architecture.shapes(*image_shape),
        ]
        layers: list[nn.Module] = []
        for layer, shape in zip(architecture.layers, shapes, strict=False):
            match layer:
                case Convolution(stride, field, depth):
                    layers += [nn.Conv2d(shape[0], depth, field, stride, layer.padding), nn.ReLU()]
                case Normalisation():
                    layers.append(LocalResponseNorm(shape[0]))
                case Pooling(stride, field, padding):
                    layers.append(nn.MaxPool2d(field, stride, padding))
                case FullyConnected(units):
                    if len(shape) > 1:
                        layers.append(nn.Flatten())
                    layers += [nn.Linear(math.prod(shape), units), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(architecture.dimension, n_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Float [n, channels, height, width] to embeddings [n, dimension]."""
        embeddings: Tensor = self.trunk(self.standardise(images))
        return embeddings

    def forward(self, images: Tensor) -> Tensor:
        """Float [n, channels, height, width] to class scores (logits) [n, classes]."""
        scores: Tensor = self.head(self.embed(images))
        return scores


def initialise(network: SongNetwork, seed: int) -> None:
    """Random weights that keep the variance through ReLU layers (He et al. 2015); small output.

    Hidden biases start a little above zero, so that few units are dead from the start.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.trunk:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.constant_(module.bias, 0.05)
    nn.init.normal_(network.head.weight, std=0.01, generator=generator)
    nn.init.zeros_(network.head.bias)
