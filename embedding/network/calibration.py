"""Calibration of tag probabilities: a temperature for each tag, learned on artists left out.

Networks are too sure of themselves. Dividing the logits by one number, the temperature, before the
softmax or the sigmoid changes no ranking, and makes probabilities mean what they say (Guo, Pleiss,
Sun and Weinberger, On calibration of modern neural networks, ICML 2017). It must be learned on
songs by artists whom the network has not been trained on: of those that it knows, it is sure with
good reason. Refitting the last layers alone without an artist does not help, as the layers below
have seen the artist (docs/decisions.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array

if TYPE_CHECKING:
    from embedding.network.optimisation import Loss

BINS = 15
"""Bins of confidence in the expected calibration error, all of the same width."""

LEAST_GROUPS = 5
"""Fewest artists left out from whom a temperature is learned."""

LEAST_IMAGES = 20
"""Fewest of their images with a known value of the tag."""

_RANGE = (0.1, 20.0)
"""Temperatures that are considered."""


@dataclass(frozen=True)
class Calibration:
    """The temperature of a tag, and what it changes on the images that it was learned on.

    Examples:
        >>> Calibration(temperature=1.7, error_before=0.13, error=0.05, images=120).to_json()
        {'temperature': 1.7, 'error_before': 0.13, 'error': 0.05, 'images': 120}
    """

    temperature: float
    """By what logits are divided; 1 changes nothing."""

    error_before: float
    """Expected calibration error of the probabilities as the network gives them."""

    error: float
    """The same with the temperature."""

    images: int
    """Images of artists left out."""

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it did not, or the temperature is not positive.
        """
        numbers = {one.name: float(values[one.name]) for one in fields(cls)}
        if not all(np.isfinite(value) for value in numbers.values()):
            raise ValueError("a calibration has a number that is not finite")
        if numbers["temperature"] <= 0:
            raise ValueError("a temperature is not positive")
        return cls(
            numbers["temperature"],
            numbers["error_before"],
            numbers["error"],
            int(numbers["images"]),
        )


def expected_calibration_error(
    probabilities: Float32Array | Float64Array,
    wanted: NDArray[Any],
    *,
    several: bool = False,
) -> float:
    """Compute how far probabilities are from shares, on average.

    Predictions are put into `BINS` bins by their confidence; the error is the difference between
    mean confidence and share of correct ones in each bin, weighted by the number of predictions.

    Args:
        probabilities: [n, classes].
        wanted: which classes are right, 0 or 1, [n, classes].
        several: whether several classes may hold at once. The predictions are then all pairs of an
            image and a class, and otherwise the most probable class of each image.

    Returns:
        From 0 to 1; NaN without predictions.

    Examples:
        >>> sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
        >>> right = np.array([[1, 0], [0, 1], [1, 0]])
        >>> round(expected_calibration_error(sure, right), 3)  # (2 · |.5 - .9| + |1 - .6|) / 3
        0.4
    """
    p, truth = np.asarray(probabilities, np.float64), np.asarray(wanted, np.float64)
    if several:
        confidence, correct = p.ravel(), truth.ravel()
    else:
        best = p.argmax(axis=1) if p.size else np.empty(0, np.intp)
        confidence, correct = (table[np.arange(len(p)), best] for table in (p, truth))
    if not len(confidence):
        return float("nan")
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(place, correct - confidence, minlength=BINS)
    return float(np.abs(gap).sum() / len(confidence))


def calibrate(
    logits: Float32Array, wanted: Float32Array, loss: "Loss", *, n_groups: int
) -> Calibration | None:
    """Learn the temperature of a tag by maximum likelihood.

    Args:
        logits: of each window of the images, float32 [n, windows, classes]. The probabilities of an
            image are the mean over its windows.
        wanted: which classes are right, float32 [n, classes]; all 0 where they are not known.
        loss: what the network was trained with, which says how logits become probabilities.
        n_groups: artists of the images.

    Returns:
        None where there are too few images or artists.
    """
    known: BoolArray = np.asarray(wanted.any(axis=1), bool)
    if n_groups < LEAST_GROUPS or known.sum() < LEAST_IMAGES:
        return None
    scores, truth = logits[known].astype(np.float64), wanted[known].astype(np.float64)
    several = loss == "binary_cross_entropy"

    def miss(log_temperature: float) -> float:
        p = _probabilities(scores / np.exp(log_temperature), several=several)
        chance = np.where(truth > 0, p, 1 - p) if several else (p * truth).sum(axis=1)
        return float(-np.log(np.maximum(chance, 1e-12)).mean())

    temperature = _best_temperature(miss)
    before, after = (
        expected_calibration_error(
            _probabilities(scores / t, several=several), truth, several=several
        )
        for t in (1.0, temperature)
    )
    return Calibration(temperature, before, after, int(known.sum()))


def temperature_of(probabilities: Float64Array, wanted: NDArray[Any]) -> float:
    """Learn a temperature for probabilities [n, classes] of which no logits are kept.

    Examples:
        >>> sure, right = np.array([[0.99, 0.01]] * 4), np.array([[1, 0]] * 3 + [[0, 1]])
        >>> round(float(sharpened(sure, temperature_of(sure, right))[0, 0]), 2)
        0.75
    """
    truth = np.asarray(wanted, np.float64)

    def miss(log_temperature: float) -> float:
        p = sharpened(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum((p * truth).sum(axis=1), 1e-12)).mean())

    return _best_temperature(miss)


def sharpened(probabilities: Float64Array, temperature: float) -> Float64Array:
    """Apply a temperature to probabilities [n, classes] that sum to 1, of which no logits are kept.

    Examples:
        >>> sharpened(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    powers = np.maximum(probabilities, np.finfo(np.float32).tiny) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _best_temperature(miss: Callable[[float], float]) -> float:
    """The temperature whose logarithm has the smallest loss; 1 where nothing is gained."""
    from scipy.optimize import minimize_scalar

    bounds = (float(np.log(_RANGE[0])), float(np.log(_RANGE[1])))
    found = minimize_scalar(miss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)) if found.fun < miss(0.0) else 1.0


def _probabilities(logits: Float64Array, *, several: bool) -> Float64Array:
    """Mean over the windows of the probabilities, [n, classes]."""
    from scipy.special import expit, softmax

    p = expit(logits) if several else softmax(logits, axis=2)
    return np.asarray(p.mean(axis=1), np.float64)
