"""The convolutional network as PyTorch modules."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from datasets.arrays import Float64Array
from embedding.network.architecture import (
    Architecture,
    BatchNormalisation,
    Convolution,
    Dropout,
    FullyConnected,
    GlobalPooling,
    IntPair,
    Layer,
    Normalisation,
    Pooling,
    Shape,
)
from embedding.network.config import SequenceName, Standardisation
from embedding.network.sequence.heads import SequenceHead, make_head


class Standardise(nn.Module):
    """Subtract a mean and divide by a standard deviation.

    Args:
        of: ``image``: statistics of each image, as in the TensorFlow CIFAR-10 tutorial, which
            ignores loudness and contrast. ``training``: statistics of all training images.
            ``rows``: of each row of each channel, over all training images.
        channels: channels of the images.
        height: rows of the images.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, of: Standardisation, channels: int = 1, height: int = 1) -> None:
        super().__init__()
        self.of = of
        if of != "image":
            shape = (channels, height, 1) if of == "rows" else ()
            self.register_buffer("mean", torch.zeros(shape))
            self.register_buffer("deviation", torch.ones(shape))

    def learn(self, mean: float | Float64Array, deviation: float | Float64Array) -> None:
        """Set the mean and the standard deviation of the training images.

        Args:
            mean: one number, or for ``rows`` one for each row: [channels, height].
            deviation: likewise.
        """
        self.mean.copy_(torch.as_tensor(mean).reshape(self.mean.shape))
        least = torch.as_tensor(deviation).reshape(self.mean.shape).clamp_min(1e-6)
        self.deviation.copy_(least)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise [n, channels, height, width]; a constant image stays constant."""
        if self.of != "image":
            return (x - self.mean) / self.deviation
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        # Rounding errors of a constant image must not be amplified.
        return centred / deviation.clamp_min(1e-6)


class LocalResponseNorm(nn.Module):
    """x / (1 + alpha · sum of squares over 9 neighbouring channels) ^ 0.75, alpha = 0.001 / 9.

    Krizhevsky, Sutskever, Hinton 2012, section 3.3, with the constants of the TensorFlow CIFAR-10
    tutorial. Equals ``torch.nn.LocalResponseNorm(9, 0.001)`` but is ten times faster on a CPU,
    where PyTorch's version takes more time than the convolutions.
    """

    band: Tensor
    SIZE = 9
    ALPHA = 0.001

    def __init__(self, channels: int) -> None:
        super().__init__()
        band = torch.empty(channels, channels, 1, 1)
        # A device without memory is there to tell shapes; computing on it makes PyTorch import its
        # compiler, which takes a second.
        if not band.is_meta:
            number = torch.arange(channels)
            near = (number[:, None] - number[None, :]).abs() <= self.SIZE // 2
            band = (near.float() * (self.ALPHA / self.SIZE))[:, :, None, None]
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = _LocalResponseNorm.apply(x, self.band)  # type: ignore[no-untyped-call]
        return normalised


class _LocalResponseNorm(torch.autograd.Function):
    """Explicit gradient: s = 1 + B x², y = x s^-¾, dx = dy s^-¾ - 1½ x B(dy x s^-1¾).

    B is the (symmetric) band matrix of neighbouring channels.
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


class L2Pool(nn.Module):
    """L2-norm pooling: root of the sum of squares of each field, with zero padding."""

    def __init__(self, field: IntPair, stride: IntPair, padding: IntPair) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(field, stride, padding, count_include_pad=True)
        self.count = math.prod(field)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, channels, height, width]."""
        # The small constant keeps the gradient of the root finite at zero.
        return torch.sqrt(self.count * self.mean(x * x) + 1e-12)


class GlobalPool(nn.Module):
    """Mean over rows, then mean and maximum over columns: [n, c, h, w] to [n, 2c].

    The mean over time describes the whole snippet, the maximum events within it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, channels, height, width]."""
        over_time = x.mean(dim=2)
        return torch.cat([over_time.mean(dim=2), over_time.amax(dim=2)], dim=1)


class SongNetwork(nn.Module):
    """Network from images to embeddings (``embed``) and class scores of each tag (``scores``).

    A shared trunk, whose last fully connected layer is the embedding, and one linear output head
    for each tag.

    Args:
        architecture: the layers.
        image_shape: (channels, height, width) of the images.
        n_classes: number of outputs of each head.
        standardise: standardisation of the images; see `Standardise`.
        sequence: how the vectors of a song's windows are put together; anything but ``mean`` has a
            head of its own (`embedding.network.sequence.heads`), the attribute ``sequence``.

    Examples:
        >>> import torch
        >>> from embedding.network import SongNetwork, parse
        >>> network = SongNetwork(parse("IC(2,5,4)PF(8)O"), (1, 24, 24), n_classes=[3])
        >>> images = torch.zeros(2, 1, 24, 24)
        >>> network.embed(images).shape, network(images).shape
        (torch.Size([2, 8]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        architecture: Architecture,
        image_shape: Shape,
        n_classes: Sequence[int],
        standardise: Standardisation = "image",
        sequence: SequenceName = "mean",
    ) -> None:
        super().__init__()
        self.standardise = Standardise(standardise, *image_shape[:2])
        shapes = [image_shape, *architecture.shapes(*image_shape)]
        self.trunk = nn.Sequential(*_modules(architecture.layers, shapes))
        dimension = architecture.dimension
        self.heads = nn.ModuleList(nn.Linear(dimension, n) for n in n_classes)
        self.sequence: SequenceHead | None = None
        if sequence != "mean":
            self.sequence = make_head(sequence, dimension, n_classes)

    def windows(self, images: Tensor) -> Tensor:
        """Map windows, float [n, channels, height, width], to their vectors [n, dimension]."""
        vectors: Tensor = self.trunk(self.standardise(images))
        return vectors

    def embed(self, images: Tensor) -> Tensor:
        """Map images, float [n, channels, height, width], to embeddings [n, dimension].

        With a head over sequences, each image is a song of one window.
        """
        vectors = self.windows(images)
        return vectors if self.sequence is None else self.sequence.pool(vectors[:, None])

    def scores(self, images: Tensor) -> list[Tensor]:
        """Map images [n, channels, height, width] to logits [n, classes] of each tag."""
        embeddings = self.embed(images)
        return [head(embeddings) for head in self._tag_heads()]

    @property
    def output_sizes(self) -> list[int]:
        """Numbers of outputs of the heads."""
        return [head.out_features for head in self.heads if isinstance(head, nn.Linear)]

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, channels, height, width] to logits [n, classes] of the first tag."""
        scores: Tensor = self._tag_heads()[0](self.embed(images))
        return scores

    def _tag_heads(self) -> nn.ModuleList:
        return self.heads if self.sequence is None else self.sequence.heads


def initialise_weights(network: SongNetwork, seed: int) -> None:
    """Initialise weights at random (He et al. 2015), output heads close to zero.

    Hidden biases start slightly above zero, so that few units are dead from the start.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.trunk.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.constant_(module.bias, 0.05)
    for head in network.heads:
        assert isinstance(head, nn.Linear)
        nn.init.normal_(head.weight, std=0.01, generator=generator)
        nn.init.zeros_(head.bias)


def extend_outputs(weights: Mapping[str, Tensor], n_classes: Sequence[int]) -> dict[str, Tensor]:
    """Copy the weights of a network, with heads extended to ``n_classes`` outputs.

    New outputs come last and have zero weights, and so an average score at first.
    """
    more = {name: tensor.detach().clone() for name, tensor in weights.items()}
    for number, n in enumerate(n_classes):
        for name in (f"heads.{number}.weight", f"heads.{number}.bias"):
            old = more[name]
            more[name] = torch.cat([old, old.new_zeros(n - len(old), *old.shape[1:])])
    return more


def _modules(layers: Sequence[Layer], shapes: Sequence[Shape]) -> Iterator[nn.Module]:
    """Build the PyTorch modules of the layers, given their input shapes."""
    for number, (layer, shape) in enumerate(zip(layers, shapes, strict=False)):
        after = layers[number + 1] if number + 1 < len(layers) else None
        yield from _module(layer, shape)
        # Batch normalisation comes before the ReLU.
        if isinstance(layer, Convolution | FullyConnected) and not _is_batch(after):
            yield nn.ReLU()
        before = layers[number - 1] if number else None
        if _is_batch(layer) and isinstance(before, Convolution | FullyConnected):
            yield nn.ReLU()


def _module(layer: Layer, shape: Shape) -> Iterator[nn.Module]:
    match layer:
        case Convolution(stride, field, depth, dilation):
            yield nn.Conv2d(shape[0], depth, field, stride, layer.window.padding, dilation)
        case Pooling("P"):
            yield nn.MaxPool2d(*layer.window)
        case Pooling("A"):
            yield nn.AvgPool2d(*layer.window, count_include_pad=False)
        case Pooling("N"):
            yield L2Pool(*layer.window)
        case Normalisation():
            yield LocalResponseNorm(shape[0])
        case BatchNormalisation():
            yield nn.BatchNorm2d(shape[0]) if len(shape) > 1 else nn.BatchNorm1d(shape[0])
        case GlobalPooling():
            yield GlobalPool()
        case Dropout(percent):
            yield nn.Dropout(percent / 100)
        case FullyConnected(units):
            if len(shape) > 1:
                yield nn.Flatten()
            yield nn.Linear(math.prod(shape), units)


def _is_batch(layer: Layer | None) -> bool:
    return isinstance(layer, BatchNormalisation)
