"""Notation of convolutional networks, and shapes, parameters and costs of their layers.

The notation of US 2018/0276540 A1, paragraphs 53 to 56, 67 and 70 (Fig. 8), for example
``IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O``, extended by batch normalisation, global pooling, dropout,
dilation and padding. Layers may come in any order and number:

==================  ====================================================================
``I``               the input image; first
``C(s,f,d)``        convolution: stride s, square receptive field f, depth d; then ReLU.
                    ``C(s,f,d,x2)`` dilated by 2, ``C(s,f,d,p0)`` padded by 0
``L``               local response normalisation across channels
``P``               maximum pooling, 3 x 3 with stride 2. ``P(s,f)``: stride s, field f;
                    ``P(s,f,p0)`` padded by 0; ``P(2x1,3x1)``: rows x columns
``A``, ``N``        average pooling and L2-norm pooling, with numbers as ``P``
``F(n)``            fully connected layer of n units; then ReLU
``O``               output: one score a class; last
``B``               batch normalisation (not in the patent); straight after a ``C`` or an
                    ``F`` it stands before its ReLU
``G``               global pooling (not in the patent): mean over rows, then mean and
                    maximum over columns
``D(n)``            dropout of n per cent (not in the patent)
==================  ====================================================================

The activation of the last ``F`` is the embedding. By default a convolution is padded by
(f - 1) · x // 2 and a pooling by (f - 1) // 2. N rows become (N - F + 2P) / S + 1 rows, as in the
TensorFlow CIFAR-10 tutorial on whose network that of the patent is based.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from datasets.errors import InvalidArgumentError

Shape = tuple[int, ...]

IntPair = tuple[int, int]

PoolingKind = Literal["P", "A", "N"]


class Window(NamedTuple):
    """Receptive field of a layer, each value in (rows, columns)."""

    span: IntPair
    stride: IntPair
    padding: IntPair


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
        """Size, stride and padding; the size is dilation · (field - 1) + 1 and the default padding
        (size - 1) // 2."""
        span = self.dilation * (self.field - 1) + 1
        padding = (span - 1) // 2 if self.given_padding is None else self.given_padding
        return Window((span, span), (self.stride, self.stride), (padding, padding))

    def __str__(self) -> str:
        dilation = f",x{self.dilation}" if self.dilation != 1 else ""
        padding = "" if self.given_padding is None else f",p{self.given_padding}"
        return f"C({self.stride},{self.field},{self.depth}{dilation}{padding})"


@dataclass(frozen=True)
class Pooling:
    """``P`` maximum, ``A`` average or ``N`` L2-norm pooling; by default 3 x 3, stride 2."""

    kind: PoolingKind = "P"
    stride: int = 2
    field: int = 3
    given_padding: int | None = None
    stride_columns: int | None = None
    """Stride along the columns, if different from the rows."""
    field_columns: int | None = None
    """Columns of the field, if different from the rows."""

    @property
    def window(self) -> Window:
        """Size, stride and padding (default (field - 1) // 2), which averages leave out."""
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
    """``D(percent)``: this share of the values is set to zero in each training step."""

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
    """Output shape and costs of one layer; see `Architecture.report`.

    Examples:
        >>> from embedding.network import parse
        >>> parse("IC(2,5,4)PF(8)O").report(1, 24, 24)[0]
        LayerReport(layer='C(2,5,4)', shape=(4, 12, 12), parameters=104, multiply_adds=14400)
    """

    layer: str
    shape: Shape
    """Output shape: (channels, height, width) or (units,)."""
    parameters: int
    """Number of learned parameters."""
    multiply_adds: int
    """Multiply-add operations for one image, of convolutions and fully connected layers."""


@dataclass(frozen=True)
class Architecture:
    """Layers between input and output; ``str`` gives the notation.

    Examples:
        >>> from embedding.network import parse
        >>> architecture = parse("IC(2,5,4)PF(8)O")
        >>> architecture.dimension, architecture.shapes(1, 24, 24)
        (8, [(4, 12, 12), (4, 6, 6), (8,)])
        >>> str(architecture)
        'IC(2,5,4)PF(8)O'
    """

    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return "I" + "".join(str(layer) for layer in self.layers) + "O"

    @property
    def dimension(self) -> int:
        """Length of the embedding: units of the last fully connected layer."""
        return [layer.units for layer in self.layers if isinstance(layer, FullyConnected)][-1]

    def shapes(self, channels: int, height: int, width: int) -> list[Shape]:
        """Return the output shape of every layer: (channels, height, width), or (units,).

        Args:
            channels: channels of the image.
            height: rows of the image.
            width: columns of the image.

        Raises:
            InvalidArgumentError: the image is too small for a layer; the message names it.
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
        """Return output shape, parameters and multiply-adds of every layer.

        Args:
            channels: channels of the image.
            height: rows of the image.
            width: columns of the image.
            outputs: number of classes of the output layer; 0 leaves it out.

        Raises:
            InvalidArgumentError: as `shapes`.
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
    """Return the output size (N - F + 2P) / S + 1, rounded down (paragraph 55)."""
    return (size - span + 2 * padding) // stride + 1


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Return the output shape for an input (channels, height, width) or (units,)."""
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


def _check_fits(layer: Spatial, number: int, shape: Shape, image: IntPair) -> None:
    # Padding makes any input large enough, but the input should exceed the padding on one side:
    # otherwise the output would mostly come from zeros.
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


MAX_NUMBER = 1_000_000

_LETTERS = "one of C, L, P, A, N, B, G, D, F, O"

_NEED_IMAGE = "CLPANG"


def parse(text: str) -> Architecture:
    """Parse the notation of a network.

    Args:
        text: layers from input to output, such as ``IC(5,15,64)LPF(384)F(192)O``.

    Returns:
        The layers, checked for an order that can be built.

    Raises:
        InvalidArgumentError: invalid notation; the message gives the position (counted from 1) of
            the error and what was expected there.

    Examples:
        >>> from embedding.network import parse
        >>> parse("IC(5,15,64)LPF(384)F(192)O").dimension
        192
        >>> parse("IC(5,15)O")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: architecture 'IC(5,15)O', character 8: ...
    """
    return Architecture(tuple(_Reader(text).layers()))


class _Reader:
    """Recursive-descent parser: reads character by character from position ``at``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def layers(self) -> Iterator[Layer]:
        self.expect("I", "'I', the input")
        flat, embedded = False, False
        while self.peek() != "O":
            start = self.at
            letter = self.take(_LETTERS)
            if flat and letter in _NEED_IMAGE:
                raise self.error(start, "F, B, D or O, as no image is left")
            layer = self.layer(letter, start)
            embedded = embedded or isinstance(layer, FullyConnected)
            flat = flat or isinstance(layer, FullyConnected | GlobalPooling)
            yield layer
        if not embedded:
            raise self.error(self.at, "an F(n) before the output, which gives the embedding")
        self.at += 1
        if self.at < len(self.text):
            raise self.error(self.at, "nothing after 'O'")

    def layer(self, letter: str, start: int) -> Layer:
        match letter:
            case "C":
                stride, field, depth = self.numbers(("stride", "receptive field", "depth"))
                dilation = self.optional("x", "dilation", least=2)
                padding = self.optional("p", "padding", least=0)
                self.expect(")", "')' after the depth, or ',x' or ',p' and a number")
                return Convolution(stride, field, depth, dilation or 1, padding)
            case "P" | "A" | "N":
                return self.pooling(letter)
            case "L":
                return Normalisation()
            case "B":
                return BatchNormalisation()
            case "G":
                return GlobalPooling()
            case "D" | "F":
                (number,) = self.numbers(("per cent" if letter == "D" else "units",))
                if letter == "D" and number > 99:
                    raise self.error(start + 2, "the per cent of a dropout, from 1 to 99")
                self.expect(")", f"')' after the {'per cent' if letter == 'D' else 'units'}")
                return Dropout(number) if letter == "D" else FullyConnected(number)
            case _:
                raise self.error(start, _LETTERS)

    def pooling(self, kind: str) -> Pooling:
        if self.peek() != "(":
            return Pooling(kind)  # type: ignore[arg-type]
        self.expect("(", "'(' and stride, field")
        stride, stride_columns = self.pair("stride")
        self.expect(",", "',' and the field")
        field, field_columns = self.pair("field")
        at = self.at + 2
        padding = self.optional("p", "padding", least=0)
        most = min(field, field_columns or field) // 2
        if padding is not None and padding > most:
            raise self.error(at, f"a padding of at most half the field, {most}")
        self.expect(")", "')' after the field, or ',p' and a padding")
        return Pooling(kind, stride, field, padding, stride_columns, field_columns)  # type: ignore[arg-type]

    def numbers(self, names: tuple[str, ...]) -> list[int]:
        """Parse '(' and numbers separated by commas, up to but not including what follows."""
        self.expect("(", f"'(' and {', '.join(names)}")
        values = []
        for position, name in enumerate(names):
            if position:
                self.expect(",", f"',' and the {name}")
            values.append(self.number(name))
        return values

    def pair(self, name: str) -> tuple[int, int | None]:
        """Parse ``2``, or ``2x1`` for rows and columns."""
        rows = self.number(name)
        if self.peek() != "x":
            return rows, None
        self.at += 1
        return rows, self.number(f"columns of the {name}")

    def optional(self, letter: str, name: str, least: int) -> int | None:
        """Parse ``,<letter><number>`` if it comes next."""
        if self.text[self.at : self.at + 2] != f",{letter}":
            return None
        self.at += 2
        return self.number(name, least)

    def number(self, name: str, least: int = 1) -> int:
        start = self.at
        while (character := self.peek()) is not None and character in "0123456789":
            self.at += 1
        digits = self.text[start : self.at]
        # Leading zeros would not print back the same.
        zero_padded = len(digits) > 1 and digits[0] == "0"
        if not digits or zero_padded or len(digits) > 7 or not least <= int(digits) <= MAX_NUMBER:
            raise self.error(start, f"the {name}, a whole number from {least} to {MAX_NUMBER}")
        return int(digits)

    def peek(self) -> str | None:
        return self.text[self.at] if self.at < len(self.text) else None

    def take(self, wanted: str) -> str:
        character = self.peek()
        if character is None:
            raise self.error(self.at, wanted)
        self.at += 1
        return character

    def expect(self, wanted: str, description: str) -> None:
        if self.peek() != wanted:
            raise self.error(self.at, description)
        self.at += 1

    def error(self, at: int, wanted: str) -> InvalidArgumentError:
        found = repr(self.text[at]) if at < len(self.text) else "the end"
        return InvalidArgumentError(
            f"architecture {self.text!r}, character {at + 1}: expected {wanted}; found {found}"
        )
