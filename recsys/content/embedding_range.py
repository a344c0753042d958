"""The lengths of embeddings that a model has learned from, by which others are judged.

An embedding of another scale than those of the fit is not of the same kind: a map from embeddings
to vectors, which is affine, gives it a vector so long that it leads everybody's list. Lengths are
compared on a logarithmic scale, by their median and the median deviation from it, which a few wild
ones do not move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array
from datasets.errors import DataError

FACTOR = 10.0
"""An embedding may be this many times longer or shorter than the median of the fit: of five sets of
honest embeddings, none has one that is 2.5 times longer, or 4 times shorter."""

DEVIATIONS = 10.0
"""Where lengths differ much, it may lie this many deviations of their logarithm from the median."""

WIDTH = 32
"""From this many dimensions on, an embedding whose values are all the same is a placeholder."""

_BOUNDS = (1e-12, 1e12)
"""Bounds of the median length: beyond, squares and quotients leave single precision."""

_ROWS = 65_536
"""Rows whose lengths are computed at once."""

_ROUNDING = 1e-6
"""Lengths that differ by this share of them count as equal."""

_NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median deviation."""


@dataclass(frozen=True)
class EmbeddingRange:
    """Lengths of the embeddings of a fit, and which others are taken.

    Examples:
        >>> learned = EmbeddingRange.learn(np.float32([[1, 0], [0, 2], [2, 2]]))
        >>> learned.problem(np.float32([0, 5])) is None
        True
        >>> learned.problem(np.float32([0, 500]))
        'its length 500 is far outside the lengths learned, 1 to 2.83'
    """

    shortest: float
    """Length of the shortest embedding of the fit."""

    longest: float
    """Length of the longest."""

    least: float
    """Length of the shortest that is taken."""

    most: float
    """Length of the longest that is taken."""

    constant: bool
    """Whether embeddings whose values are all the same are taken, because those of the fit are."""

    @classmethod
    def learn(cls, embeddings: Float32Array) -> Self:
        """Learn from embeddings [n, e]; wild ones among them do not count.

        Without any that is not zero, all are taken.
        """
        lengths = lengths_of(embeddings)
        known = lengths[np.isfinite(lengths) & (lengths > 0)]
        if not len(known):
            return cls(0.0, 0.0, 0.0, float(np.finfo(np.float32).max), constant=True)
        logs = np.log(known)
        middle = float(np.median(logs))
        deviation = _NORMAL * float(np.median(np.abs(logs - middle)))
        room = min(max(np.log(FACTOR), DEVIATIONS * deviation), 300.0)
        least, most = float(np.exp(middle - room)), float(np.exp(middle + room))
        own = known[(known >= least) & (known <= most)]
        constant = bool(is_constant(embeddings).mean() > 0.5)
        return cls(float(own.min()), float(own.max()), least, most, constant)

    def problem(self, embedding: Float32Array) -> str | None:
        """Say what is wrong with an embedding [e]; None if nothing is."""
        if not np.isfinite(embedding).all():
            return "it has a value that is not a finite number"
        (length,) = lengths_of(embedding[None]).tolist()
        if self.longest and length == 0:
            return "it is zero in every dimension"
        if self.longest and not self.least <= length <= self.most:
            return (
                f"its length {length:.3g} is far outside the lengths learned, "
                f"{self.shortest:.3g} to {self.longest:.3g}"
            )
        if not self.constant and is_constant(embedding[None])[0]:
            return "all its values are the same"
        return None

    def within_reach(self, embeddings: Float32Array) -> Float32Array:
        """Shorten embeddings [n, e] that are longer than all of the fit to the longest of these.

        A map learned from shorter ones says nothing about how much further it goes.
        """
        lengths = lengths_of(embeddings)
        beyond = lengths > self.longest * (1 + _ROUNDING)
        if not self.longest or not beyond.any():
            return embeddings
        shortened = embeddings.copy()
        factors = self.longest / lengths[beyond]
        shortened[beyond] = (embeddings[beyond] * factors[:, None]).astype(np.float32)
        return shortened

    def to_json(self) -> dict[str, Any]:
        """Return the range as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        numbers = {name: float(values[name]) for name in ("shortest", "longest", "least", "most")}
        if not all(np.isfinite(number) and number >= 0 for number in numbers.values()):
            raise ValueError("embedding_lengths: not all are finite numbers")
        return cls(**numbers, constant=bool(values["constant"]))


def check_learned_embeddings(embeddings: Float32Array, names: Sequence[str]) -> BoolArray:
    """Check the embeddings that a model is to learn from against each other.

    Args:
        embeddings: float32 [n, e], finite.
        names: the id of the item of each.

    Returns:
        Which are all zero while others are not, bool [n]: placeholders of items without one.

    Raises:
        DataError: single ones far longer or shorter than the others, or whose values are all the
            same, or lengths beyond single precision; names the items.
    """
    lengths = lengths_of(embeddings)
    zero: BoolArray = (lengths == 0) & bool((lengths > 0).any())
    if not embeddings.size or not (lengths > 0).any():
        return zero
    learned = EmbeddingRange.learn(embeddings)
    median = float(np.median(lengths[lengths > 0]))
    if not _BOUNDS[0] <= median <= _BOUNDS[1]:
        raise DataError(
            f"embeddings: half of them are of length {median:.3g} or more; scale them to lengths "
            f"between {_BOUNDS[0]:g} and {_BOUNDS[1]:g}"
        )
    inside = (lengths >= learned.least) & (lengths <= learned.most)
    same = is_constant(embeddings) & ~learned.constant
    wild = np.flatnonzero(~zero & (~inside | same))
    if len(wild):
        several = f" and {len(wild) - 1} more" if len(wild) > 1 else ""
        problem = learned.problem(embeddings[wild[0]])
        raise DataError(f"embeddings: item {names[wild[0]]!r}{several}: {problem}")
    return zero


def lengths_of(embeddings: Float32Array) -> Float64Array:
    """Compute the lengths of embeddings [n, e] in double precision, [n]."""
    lengths = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _ROWS):
        rows = np.asarray(embeddings[start : start + _ROWS], np.float64)
        lengths[start : start + len(rows)] = np.sqrt((rows**2).sum(axis=1))
    return lengths


def is_constant(embeddings: Float32Array) -> BoolArray:
    """Return which embeddings [n, e] have one value in all their dimensions, bool [n]."""
    if embeddings.shape[1] < WIDTH:
        return np.zeros(len(embeddings), bool)
    low, high = embeddings.min(axis=1), embeddings.max(axis=1)
    return np.asarray(low == high)


def real_numbers(values: Any) -> NDArray[np.float32] | None:
    """Convert a table or a vector of numbers to float32; None if it holds anything else.

    Texts, truth values, times and complex numbers are no numbers here, and a masked or missing
    value becomes NaN. Values beyond single precision become infinite.
    """
    try:
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(np.float64), np.nan)
        array = np.asarray(values)
        if array.dtype == object:
            flat = [np.nan if value is None else value for value in array.ravel().tolist()]
            if any(isinstance(value, str | bytes | bool | np.bool_ | complex) for value in flat):
                return None
            array = np.array([float(value) for value in flat]).reshape(array.shape)
        if array.dtype.kind not in "iuf":
            return None
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
