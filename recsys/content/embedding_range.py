"""The lengths of embeddings that a model has learned from, by which others are judged.

An embedding of another scale than those of the fit is not of the same kind: a map from embeddings
to vectors, which is affine, gives it a vector so long that it leads everybody's list. Lengths are
compared on a logarithmic scale, by their median and the median deviation from it, which a few wild
ones do not move.

Where dimensions have units of their own, one of them may make up all of the length. Maps
standardise embeddings, so that units are nothing to judge by: what is far outside must be so with
each dimension in a unit of its own values as well. What is outside by that alone may have a value
that few items have; that counts only where lengths as they were given say less.
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

_TRIMMED = 0.01
"""Share of a dimension's largest values that do not count for its unit: wild ones may be among."""

_SAMPLE = 65_536
"""Units are computed from at most this many embeddings."""


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

    units: tuple[float, ...] = ()
    """The unit of each dimension, 0 where all values are 0; empty in models of earlier versions."""

    own_least: float = 0.0
    """`least` with each dimension in its unit."""

    own_most: float = 0.0
    """`most` with each dimension in its unit."""

    @classmethod
    def learn(cls, embeddings: Float32Array) -> Self:
        """Learn from embeddings [n, e]; wild ones among them do not count.

        Without any that is not zero, all are taken.
        """
        found = _bounds(lengths_of(embeddings))
        if found is None:
            return cls(0.0, 0.0, 0.0, float(np.finfo(np.float32).max), constant=True)
        constant = bool(is_constant(embeddings).mean() > 0.5)
        units = _units(embeddings)
        _, _, least, most = _bounds(lengths_of(embeddings, units)) or found
        return cls(*found, constant, tuple(units.tolist()), least, most)

    def is_outside(self, embeddings: Float32Array) -> BoolArray:
        """Return which embeddings [n, e] are too short or too long to be taken, bool [n]."""
        lengths = lengths_of(embeddings)
        outside: BoolArray = ~((lengths >= self.least) & (lengths <= self.most))
        if not self.units:
            return outside
        # Where one dimension makes up the length, nearly all lengths may be inside.
        says_little = self.most * self.own_least > self.own_most * self.least * (1 + _ROUNDING)
        if says_little or outside.any():
            lengths = lengths_of(embeddings, np.array(self.units))
            own: BoolArray = ~((lengths >= self.own_least) & (lengths <= self.own_most))
            outside = own if says_little else outside & own
        return outside

    def problem(self, embedding: Float32Array) -> str | None:
        """Say what is wrong with an embedding [e]; None if nothing is."""
        if not np.isfinite(embedding).all():
            return "it has a value that is not a finite number"
        (length,) = lengths_of(embedding[None]).tolist()
        if self.longest and length == 0:
            return "it is zero in every dimension"
        if self.longest and self.is_outside(embedding[None])[0]:
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
        units = tuple(float(unit) for unit in values.get("units", ()))
        if units:
            numbers |= {name: float(values[name]) for name in ("own_least", "own_most")}
        if not all(np.isfinite(number) and number >= 0 for number in (*numbers.values(), *units)):
            raise ValueError("embedding_lengths: not all are finite numbers")
        return cls(**numbers, constant=bool(values["constant"]), units=units)


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
    same = is_constant(embeddings) & (not learned.constant)
    wild = np.flatnonzero(~zero & (learned.is_outside(embeddings) | same))
    if len(wild):
        several = f" and {len(wild) - 1} more" if len(wild) > 1 else ""
        problem = learned.problem(embeddings[wild[0]])
        raise DataError(f"embeddings: item {names[wild[0]]!r}{several}: {problem}")
    return zero


def lengths_of(embeddings: Float32Array, units: Float64Array | None = None) -> Float64Array:
    """Compute the lengths of embeddings [n, e] in double precision, [n].

    units: of each dimension, [e]; a dimension whose unit is 0 does not count.

    Examples:
        >>> lengths_of(np.float32([[3, 40]]), np.array([1.0, 10.0])).tolist()
        [5.0]
    """
    lengths = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _ROWS):
        rows = np.asarray(embeddings[start : start + _ROWS], np.float64)
        if units is not None:
            rows = np.divide(rows, units, out=np.zeros_like(rows), where=units > 0)
        lengths[start : start + len(rows)] = np.sqrt((rows**2).sum(axis=1))
    return lengths


def _bounds(lengths: Float64Array) -> tuple[float, float, float, float] | None:
    """The shortest and the longest that are not wild, and bounds of those; None without any."""
    known = lengths[np.isfinite(lengths) & (lengths > 0)]
    if not len(known):
        return None
    logs = np.log(known)
    middle = float(np.median(logs))
    deviation = _NORMAL * float(np.median(np.abs(logs - middle)))
    room = min(max(np.log(FACTOR), DEVIATIONS * deviation), 300.0)
    least, most = float(np.exp(middle - room)), float(np.exp(middle + room))
    own = known[(known >= least) & (known <= most)]
    return float(own.min()), float(own.max()), least, most


def _units(embeddings: Float32Array) -> Float64Array:
    """The root mean square of each dimension without its largest values, [e].

    Where nothing else is left, it is the largest value: one that few items have is not wild.
    """
    rows = embeddings
    if len(rows) > _SAMPLE:
        rows = rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.intp)]
    kept = max(len(rows) - max(int(_TRIMMED * len(rows)), 1), 1)
    units = np.empty(rows.shape[1])
    for column in range(rows.shape[1]):
        values = np.abs(np.asarray(rows[:, column], np.float64))
        values[~np.isfinite(values)] = 0
        values.partition(kept - 1)
        unit = np.sqrt((values[:kept] ** 2).mean())
        units[column] = unit if unit > 0 else values.max()
    return units


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
