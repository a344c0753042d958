"""Calibration of tag probabilities: a temperature for each tag, learned on artists left out.

Networks are too sure of themselves. Dividing the logits by one number, the temperature, before the
softmax or the sigmoid changes no ranking, and makes probabilities mean what they say (Guo, Pleiss,
Sun and Weinberger, On calibration of modern neural networks, ICML 2017). It must be learned on
songs by artists whom the network has not been trained on: of those that it knows, it is sure with
good reason. Refitting the last layers alone without an artist does not help, as the layers below
have seen the artist (docs/decisions.md).

What people see is the probability of a recording, the mean over its images. It is that mean which
is calibrated: a temperature that is right for single images makes it too unsure, as the mean of
images that disagree is unsure already.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from embedding.network.targets import validation_split

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from embedding.network.optimisation import Loss

BINS = 15
"""Bins of confidence in the expected calibration error, all of the same width."""

LEAST_GROUPS = 5
"""Fewest artists left out from whom a temperature is learned."""

LEAST_RECORDINGS = 20
"""Fewest of their recordings with a known value of the tag."""

_SHARE = 0.1
"""Share of the images by the artists left out."""

_LARGEST_SHARE = 0.34
"""The same where there are so few recordings that a tenth of them teaches nothing."""

_RANGE = (0.1, 20.0)
"""Temperatures that are considered."""

_USUAL = 0.5
"""Standard deviation of temperatures' logarithms, as far as is known beforehand: twenty recordings
that all happen to be right do not make every probability 1."""


@dataclass(frozen=True)
class Calibration:
    """The temperature of a tag, and what it changes on the recordings that it was learned on.

    Examples:
        >>> found = Calibration(1.7, error_before=0.13, error=0.05, images=120, recordings=40)
        >>> found.to_json()
        {'temperature': 1.7, 'error_before': 0.13, 'error': 0.05, 'images': 120, 'recordings': 40}
    """

    temperature: float
    """By what logits are divided; 1 changes nothing."""

    error_before: float
    """Expected calibration error of recordings' probabilities as the network gives them."""

    error: float
    """The same with the temperature."""

    images: int
    """Images of artists left out."""

    recordings: int | None = None
    """Their recordings; None for those of earlier versions, which are of single images."""

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it did not, or the temperature is not positive.
        """
        recordings = values.get("recordings")
        names = [one.name for one in fields(cls) if one.name != "recordings" or recordings]
        numbers = {name: float(values[name]) for name in names}
        if not all(np.isfinite(value) for value in numbers.values()):
            raise ValueError("a calibration has a number that is not finite")
        if numbers["temperature"] <= 0:
            raise ValueError("a temperature is not positive")
        return cls(
            numbers["temperature"],
            numbers["error_before"],
            numbers["error"],
            int(numbers["images"]),
            int(numbers["recordings"]) if recordings else None,
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
    logits: Float32Array,
    wanted: Float32Array,
    loss: "Loss",
    *,
    groups: NDArray[Any],
    recording: IntArray | None = None,
) -> Calibration | None:
    """Learn the temperature of a tag, by the mean squared error of recordings' probabilities.

    Their likelihood would be lost on the few that are confidently wrong, and a temperature that
    makes these bearable makes most recordings too unsure (docs/decisions.md).

    Args:
        logits: of each window of the images, float32 [n, windows, classes].
        wanted: which classes are right, float32 [n, classes]; all 0 where they are not known. Of
            a recording, those of its first image that has any count.
        loss: what the network was trained with, which says how logits become probabilities.
        groups: the artist of each image, [n].
        recording: int [n], number of the recording of each image, whose probabilities are the mean
            over its images and their windows. None: each image is a recording.

    Returns:
        None where there are too few recordings or artists.
    """
    known: BoolArray = np.asarray(wanted.any(axis=1), bool)
    numbers = np.arange(len(wanted)) if recording is None else recording
    _, first, of_image = np.unique(numbers[known], return_index=True, return_inverse=True)
    if len(set(groups[known].tolist())) < LEAST_GROUPS or len(first) < LEAST_RECORDINGS:
        return None
    scores, truth = logits[known].astype(np.float64), wanted[known][first].astype(np.float64)
    several = loss == "binary_cross_entropy"
    means = _means(of_image)

    def shown(temperature: float) -> Float64Array:
        return np.asarray(means @ _probabilities(scores / temperature, several=several))

    def miss(log_temperature: float) -> float:
        squares = np.square(shown(float(np.exp(log_temperature))) - truth).sum(axis=1)
        return float(squares.mean() + (log_temperature / _USUAL) ** 2 / (2 * len(truth)))

    temperature = _best_temperature(miss)
    before, after = (
        expected_calibration_error(shown(t), truth, several=several) for t in (1.0, temperature)
    )
    return Calibration(temperature, before, after, int(known.sum()), len(truth))


def artists_to_leave_out(
    labels: IntArray, groups: NDArray[Any], recording: IntArray, seed: int
) -> tuple[IntArray, bool]:
    """Choose images by a tenth of the artists, or by up to a third where these are too few.

    Args:
        labels: int [n], class of each image.
        groups: the artist of each image, [n].
        recording: int [n], number of the recording of each image.
        seed: random seed.

    Returns:
        Positions of the images, none where there are too few artists or recordings; and whether
        they are more than a tenth, so many that a network loses by learning little of them.
    """
    n = max(1, len(np.unique(recording)))
    # Twice as many as are needed teach more, and whole groups seldom make exactly the share.
    larger = min(_LARGEST_SHARE, 2 * LEAST_RECORDINGS / n)
    for share in (_SHARE, larger):
        chosen = validation_split(labels, groups, share, seed)
        enough = len(np.unique(recording[chosen])) >= LEAST_RECORDINGS
        if enough and len(set(groups[chosen].tolist())) >= LEAST_GROUPS:
            return chosen, share > _SHARE
    return chosen[:0], False


def _means(number: IntArray) -> "csr_array":
    """What takes the mean over the rows of each number, [numbers, n]."""
    from scipy.sparse import csr_array

    share = 1 / np.bincount(number)[number]
    return csr_array((share, (number, np.arange(len(number)))))


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
