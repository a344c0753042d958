"""The patent's notation of a convolutional network, e.g. ``IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O``.

US 2018/0276540 A1, paragraphs 54, 67 and 70 (Fig. 8):

========  ============================================================================
``I``     the input image; first
``C(s,f,d)``  convolution: stride s, square receptive field f, depth d; then ReLU
``L``     local response normalisation across channels
``P``     max pooling, 3 x 3 with stride 2
``F(n)``  fully connected layer of n units; then ReLU
``O``     output: one score a class; last
========  ============================================================================

The activation of the last ``F`` is the embedding. A convolution is padded by (f - 1) // 2 and a
pooling by 1, so that a map of N rows becomes (N - F + 2P) / S + 1, as in the TensorFlow CIFAR-10
tutorial whose shape the patent takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from datasets.errors import InvalidArgumentError

MAX_NUMBER = 1_000_000


@dataclass(frozen=True)
class Convolution:
    """``C(stride, field, depth)``, followed by a ReLU."""

    stride: int
    field: int
    depth: int

    @property
    def padding(self) -> int:
        """Zeros added on each side."""
        return (self.field - 1) // 2

    def __str__(self) -> str:
        return f"C({self.stride},{self.field},{self.depth})"


@dataclass(frozen=True)
class Normalisation:
    """``L``: local response normalisation over neighbouring channels."""

    def __str__(self) -> str:
        return "L"


@dataclass(frozen=True)
class Pooling:
    """``P``: max pooling."""

    stride: int = 2
    field: int = 3
    padding: int = 1

    def __str__(self) -> str:
        return "P"


@dataclass(frozen=True)
class FullyConnected:
    """``F(units)``, followed by a ReLU."""

    units: int

    def __str__(self) -> str:
        return f"F({self.units})"


Layer = Convolution | Normalisation | Pooling | FullyConnected


@dataclass(frozen=True)
class Architecture:
    """The layers between input and output; ``str`` of it is the notation again."""

    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return "I" + "".join(str(layer) for layer in self.layers) + "O"

    @property
    def dimension(self) -> int:
        """Length of the embedding: units of the last fully connected layer."""
        last = self.layers[-1]
        assert isinstance(last, FullyConnected)
        return last.units

    def shapes(self, channels: int, height: int, width: int) -> list[tuple[int, ...]]:
        """Output shape of every layer for an image: (channels, height, width), or (units,).

        Raises:
            InvalidArgumentError: the image is too small for a layer, which is named.
        """
        shape: tuple[int, ...] = (channels, height, width)
        shapes = []
        for number, layer in enumerate(self.layers, start=1):
            if isinstance(layer, FullyConnected):
                shape = (layer.units,)
            elif isinstance(layer, Convolution | Pooling):
                _check_fits(layer, number, shape, (height, width))
                depth = layer.depth if isinstance(layer, Convolution) else shape[0]
                shape = (depth, *(output_size(size, layer) for size in shape[1:]))
            shapes.append(shape)
        return shapes


def output_size(size: int, layer: Convolution | Pooling) -> int:
    """(N - F + 2P) / S + 1, rounded down: rows that are left of ``size`` rows (paragraph 55)."""
    return (size - layer.field + 2 * layer.padding) // layer.stride + 1


def parse(text: str) -> Architecture:
    """Read the notation.

    Raises:
        InvalidArgumentError: the text is not an architecture; the message points at the
            character (counted from 1) where it goes wrong and says what was expected.
    """
    return Architecture(tuple(_Reader(text).layers()))


class _Reader:
    """Reads one character after the other and knows where it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def layers(self) -> Iterator[Layer]:
        self.expect("I", "'I', the input")
        flat = False
        while self.peek() != "O":
            start = self.at
            letter = self.take("one of C, L, P, F, O")
            if letter == "F":
                (units,) = self.numbers(("units",))
                flat = True
                yield FullyConnected(units)
                continue
            if letter not in ("C", "L", "P"):
                raise self.error(start, "one of C, L, P, F, O")
            if flat:
                raise self.error(start, "F or O, as a fully connected layer leaves no image")
            if letter == "C":
                stride, field, depth = self.numbers(("stride", "receptive field", "depth"))
                yield Convolution(stride, field, depth)
            else:
                yield Normalisation() if letter == "L" else Pooling()
        if not flat:
            raise self.error(self.at, "an F(n) before the output, which gives the embedding")
        self.at += 1
        if self.at < len(self.text):
            raise self.error(self.at, "nothing after 'O'")

    def numbers(self, names: tuple[str, ...]) -> list[int]:
        self.expect("(", f"'(' and {', '.join(names)}")
        values = []
        for position, name in enumerate(names):
            if position:
                self.expect(",", f"',' and the {name}")
            values.append(self.number(name))
        self.expect(")", f"')' after the {names[-1]}")
        return values

    def number(self, name: str) -> int:
        start = self.at
        while (character := self.peek()) is not None and character in "0123456789":
            self.at += 1
        digits = self.text[start : self.at]
        # Leading zeros would not print back the same.
        if not digits or digits[0] == "0" or len(digits) > 7 or int(digits) > MAX_NUMBER:
            raise self.error(start, f"the {name}, a whole number from 1 to {MAX_NUMBER}")
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


def _check_fits(
    layer: Convolution | Pooling, number: int, shape: tuple[int, ...], image: tuple[int, int]
) -> None:
    # With the padding any map gives an output; one that is no larger than the padding on one
    # side would be mostly made of zeros.
    needed = max(layer.padding + 1, layer.field - 2 * layer.padding)
    if min(shape[1:]) < needed:
        raise InvalidArgumentError(
            f"an image of {image[0]} x {image[1]} is too small for the network: layer {number}, "
            f"{layer}, receives {shape[1]} x {shape[2]} and needs at least {needed} x {needed}"
        )
