"""Convolutional networks as a list of layers: their shapes, sizes and costs.

US 2018/0276540 A1, paragraphs 53 to 56, 67 and 70 (Fig. 8). :mod:`embedding.network.notation` reads and
explains the notation that ``str`` of an architecture gives.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from datasets.errors import InvalidArgumentError

Shape = tuple[int, ...]
Pair = tuple[int, int]
PoolingKind = Literal["P", "A", "N"]


class Window(NamedTuple):
    """What a layer looks at at a time, in (rows, columns)."""

    span: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True)
class Convolution:
    """``C(stride, field, depth)``, followed by a ReLU (after a ``B``, where one comes next)."""

    stride: int
    field: int
    depth: int
    dilation: int = 1
    given_padding: int | None = None

    @property
    def window(self) -> Window:
        """Size, step and padding in both directions; the receptive field spans
        dilation · (field - 1) + 1, and (span - 1) // 2 zeros are added where nothing else is asked
        for."""
        span = self.dilation * (self.field - 1) + 1
        padding = (span - 1) // 2 if self.given_padding is None else self.given_padding
        return Window((span, span), (self.stride, self.stride), (padding, padding))

    def __str__(self) -> str:
        dilation = f",x{self.dilation}" if self.dilation != 1 else ""
        padding = "" if self.given_padding is None else f",p{self.given_padding}"
        return f"C({self.stride},{self.field},{self.depth}{dilation}{padding})"


@dataclass(frozen=True)
class Pooling:
    """``P`` maximum, ``A`` average, ``N`` L2 norm of a field; by itself 3 x 3, stride 2."""

    kind: PoolingKind = "P"
    stride: int = 2
    field: int = 3
    given_padding: int | None = None
    stride_columns: int | None = None
    """Step along the columns where it is another than along the rows."""
    field_columns: int | None = None
    """Columns of the field where they are not as many as its rows."""

    @property
    def window(self) -> Window:
        """Size, step and padding, (field - 1) // 2 by itself; no pooling counts what is added."""
        span = (self.field, self.field_columns or self.field)
        stride = (self.stride, self.stride_columns or self.stride)
        given = self.given_padding
        rows, columns = ((size - 1) // 2 if given is None else given for size in span)
        return Window(span, stride, (rows, columns))

    def __str__(self) -> str:
        if self == Pooling(self.kind):
            return self.kind
        stride = _pair(self.stride, self.stride_columns)
        padding = "" if self.given_padding is None else f",p{self.given_padding}"
        return f"{self.kind}({stride},{_pair(self.field, self.field_columns)}{padding})"


@dataclass(frozen=True)
class Normalisation:
    """``L``: local response normalisation over neighbouring channels."""

    def __str__(self) -> str:
        return "L"


@dataclass(frozen=True)
class BatchNormalisation:
    """``B``: batch normalisation (Ioffe and Szegedy 2015)."""

    def __str__(self) -> str:
        return "B"


@dataclass(frozen=True)
class GlobalPooling:
    """``G``: mean over the rows, then mean and maximum over the columns (time): 2 · depth units."""

    def __str__(self) -> str:
        return "G"


@dataclass(frozen=True)
class Dropout:
    """``D(percent)``: that share of the values is zero in each step of a training."""

    percent: int

    def __str__(self) -> str:
        return f"D({self.percent})"


@dataclass(frozen=True)
class FullyConnected:
    """``F(units)``, followed by a ReLU."""

    units: int

    def __str__(self) -> str:
        return f"F({self.units})"


Spatial = Convolution | Pooling
Layer = Spatial | Normalisation | BatchNormalisation | GlobalPooling | Dropout | FullyConnected


@dataclass(frozen=True)
class LayerReport:
    """What a layer makes of one image, and what it costs."""

    layer: str
    shape: Shape
    """(channels, height, width) or (units,) that come out."""
    parameters: int
    """Numbers that are learned."""
    multiply_adds: int
    """Multiplications with additions for one image, of convolutions and full connections."""


@dataclass(frozen=True)
class Architecture:
    """The layers between input and output; ``str`` of it is the notation again."""

    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return "I" + "".join(str(layer) for layer in self.layers) + "O"

    @property
    def dimension(self) -> int:
        """Length of the embedding: units of the last fully connected layer."""
        return [layer.units for layer in self.layers if isinstance(layer, FullyConnected)][-1]

    def shapes(self, channels: int, height: int, width: int) -> list[Shape]:
        """Output shape of every layer for an image: (channels, height, width), or (units,).

        Raises:
            InvalidArgumentError: the image is too small for a layer, which is named.
        """
        shape: Shape = (channels, height, width)
        shapes = []
        for number, layer in enumerate(self.layers, start=1):
            if isinstance(layer, Convolution | Pooling):
                _check_fits(layer, number, shape, (height, width))
            shape = output_shape(layer, shape)
            shapes.append(shape)
        return shapes

    def report(
        self, channels: int, height: int, width: int, outputs: int = 0
    ) -> tuple[LayerReport, ...]:
        """Shape, parameters and multiply-adds of every layer, the output of ``outputs`` last.

        Raises: as :meth:`shapes`.
        """
        before: list[Shape] = [(channels, height, width), *self.shapes(channels, height, width)]
        rows = [
            LayerReport(str(layer), after, *_cost(layer, inputs, after))
            for layer, inputs, after in zip(self.layers, before, before[1:], strict=False)
        ]
        if outputs:
            weights = self.dimension * outputs
            rows.append(LayerReport("O", (outputs,), weights + outputs, weights))
        return tuple(rows)


def output_size(size: int, span: int, stride: int, padding: int) -> int:
    """(N - F + 2P) / S + 1, rounded down: rows that are left of ``size`` rows (paragraph 55)."""
    return (size - span + 2 * padding) // stride + 1


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Shape that a layer makes of (channels, height, width) or (units,)."""
    match layer:
        case FullyConnected(units):
            return (units,)
        case GlobalPooling():
            return (2 * shape[0],)
        case Convolution() | Pooling():
            depth = layer.depth if isinstance(layer, Convolution) else shape[0]
            return (depth, *map(output_size, shape[1:], *layer.window))
        case _:
            return shape


def _cost(layer: Layer, before: Shape, after: Shape) -> tuple[int, int]:
    """Parameters and multiply-adds of a layer."""
    match layer:
        case Convolution(field=field, depth=depth):
            weights = before[0] * field * field * depth
            return weights + depth, weights * after[1] * after[2]
        case FullyConnected(units):
            weights = math.prod(before) * units
            return weights + units, weights
        case BatchNormalisation():
            return 2 * before[0], 0
        case _:
            return 0, 0


def _check_fits(layer: Spatial, number: int, shape: Shape, image: Pair) -> None:
    # With the padding any map gives an output; one that is no larger than the padding on one
    # side would be mostly made of zeros.
    span, _, padding = layer.window
    needed = [max(p + 1, f - 2 * p) for f, p in zip(span, padding, strict=True)]
    if shape[1] < needed[0] or shape[2] < needed[1]:
        raise InvalidArgumentError(
            f"an image of {image[0]} x {image[1]} is too small for the network: layer {number}, "
            f"{layer}, receives {shape[1]} x {shape[2]} and needs at least "
            f"{needed[0]} x {needed[1]}"
        )


def _pair(rows: int, columns: int | None) -> str:
    return str(rows) if columns is None else f"{rows}x{columns}"
