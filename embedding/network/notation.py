"""The patent's notation of a network, e.g. ``IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O``, and more.

US 2018/0276540 A1, paragraphs 54, 67 and 70 (Fig. 8); layers in any order and number:

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

The activation of the last ``F`` is the embedding. Where no padding is given a convolution is padded
by (f - 1) · x // 2 and a pooling by (f - 1) // 2, so that a map of N rows becomes
(N - F + 2P) / S + 1, as in the TensorFlow CIFAR-10 tutorial whose shape the patent takes.
"""

from collections.abc import Iterator

from datasets.errors import InvalidArgumentError
from embedding.network.architecture import (
    Architecture,
    BatchNormalisation,
    Convolution,
    Dropout,
    FullyConnected,
    GlobalPooling,
    Layer,
    Normalisation,
    Pooling,
)

MAX_NUMBER = 1_000_000
_LETTERS = "one of C, L, P, A, N, B, G, D, F, O"
_NEED_IMAGE = "CLPANG"


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
        """Numbers after '(' and between commas; what follows the last is left to the caller."""
        self.expect("(", f"'(' and {', '.join(names)}")
        values = []
        for position, name in enumerate(names):
            if position:
                self.expect(",", f"',' and the {name}")
            values.append(self.number(name))
        return values

    def pair(self, name: str) -> tuple[int, int | None]:
        """``2``, or ``2x1`` for rows and columns."""
        rows = self.number(name)
        if self.peek() != "x":
            return rows, None
        self.at += 1
        return rows, self.number(f"columns of the {name}")

    def optional(self, letter: str, name: str, least: int) -> int | None:
        """The number of ``,<letter><number>`` if that comes next."""
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
