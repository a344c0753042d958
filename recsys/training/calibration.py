"""What the score of a new song is worth beside that of a known one, measured on held-out plays.

On lists of both, on a split where new items get the same share of their plays as others
(`recsys.new_songs`). Cold weights are then scaled so that a difference of scores means the same for
both kinds.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.new_songs import NewSongCalibration
from recsys.training.validation import (
    LIST_LENGTH,
    MIN_COLD_ITEMS,
    ValidationSplit,
    validation_users,
)
from recsys.training.validation_lists import SourceVectors, candidates

DEFAULT_SCALE = 0.5
"""How much a cold item counts beside a warm one if there is too little data to measure it; the
value measured on the demo catalogue."""

_SCALES = (0.05, 20.0)
"""Bounds of how much a cold item may count beside a warm one."""

_CALIBRATED = 2 * LIST_LENGTH
"""Best items of each user on which chances are learned: those that lists are made of."""

_LEAST_SLOPE = 0.02
"""By how much a deviation of the score raises the logarithm of the odds of a play at least."""


def calibrate_new_songs(
    vectors: SourceVectors,
    split: ValidationSplit,
    warm: Mapping[str, float],
    cold: Mapping[str, float],
    limit: int,
) -> NewSongCalibration | None:
    """Measure how likely items of a score are to be played: known items, and new ones.

    On held-out plays, the same share of all items'. None if there are too few.

    Args:
        vectors: vectors of the sources, learned from ``split.training``.
        split: the validation split.
        warm: weights of the sources for known items.
        cold: weights of the sources for new items.
        limit: maximum number of validation users.
    """
    held_out = split.held_plays
    users = validation_users(split.training, held_out, limit)
    if not len(users) or len(split.cold_items) < MIN_COLD_ITEMS:
        return None
    known_items = np.flatnonzero(split.training.user_counts > 0)
    found = candidates(vectors, users, held_out, known_items)
    blended = np.tensordot([warm[name] for name in found.names], found.scores, axes=1)
    known = logistic(*_best_of_each(blended, found.relevant, _CALIBRATED))

    P = np.hstack([vectors.users[name] for name in found.names]).astype(np.float64)
    V = np.hstack(
        [cold[name] * vectors.items[name][split.cold_items] for name in found.names]
    ).astype(np.float64)
    deviation = np.sqrt(((V @ np.atleast_2d(np.cov(P.T))) * V).sum(axis=1))
    told = deviation > 0
    if not told.any():
        return None
    plain = NewSongCalibration(0.0, 1.0, 0.0, 1.0)
    adjusted = plain.adjusted(
        np.asarray(P[users] @ V[told].T, np.float32),
        deviation[told],
        float(deviation[told].mean()),
    )
    # Few plays of new items are in a period as long as that of known ones. Of all their plays each
    # is in it by the same chance, which says the same with much less noise.
    relevant = (split.held_cold[users][:, split.cold_items[told]] > 0).toarray()
    share = held_out[:, split.cold_items].nnz / max(split.held_cold.nnz, 1)
    new = logistic(*_best_of_each(adjusted, relevant, _CALIBRATED), share)
    return None if known is None or new is None else NewSongCalibration(*known, *new)


def _best_of_each(
    scores: Float64Array | Float32Array, relevant: BoolArray, size: int
) -> tuple[Float64Array, BoolArray]:
    """Return the best scores of each user, and which of their items were held out, flat."""
    best = _best_columns(scores, min(size, scores.shape[1]))
    found = np.take_along_axis(scores, best, axis=1).astype(np.float64)
    finite = np.isfinite(found)
    return found[finite], np.take_along_axis(relevant, best, axis=1)[finite]


def logistic(
    scores: Float64Array, relevant: BoolArray, share: float = 1.0
) -> tuple[float, float] | None:
    """Return intercept and slope of the logistic regression of relevance on the score.

    None without an example of either kind. A slope below `_LEAST_SLOPE` per deviation of the
    scores, which then say nothing or the wrong thing, counts as that.

    Args:
        scores: a score of each pair of a user and an item.
        relevant: whether the user has played the item.
        share: chance that a play counts.
    """
    from sklearn.linear_model import LogisticRegression

    spread = float(scores.std()) if len(scores) else 0.0
    if not relevant.any() or relevant.all() or not spread > 0 or not share > 0:
        return None
    middle = float(scores.mean())
    # By so weak a penalty that it decides only where relevance follows from the score.
    standard = ((scores - middle) / spread)[:, None]
    weights = np.where(relevant, share, 1.0)
    if share < 1:  # a play that does not count is no play
        standard = np.vstack([standard, standard[relevant]])
        weights = np.append(weights, np.full(int(relevant.sum()), 1 - share))
    counts = np.append(relevant, np.zeros(len(standard) - len(relevant), bool))
    model = LogisticRegression(C=1e4).fit(standard, counts, weights)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < _LEAST_SLOPE:
        rate = share * float(relevant.mean())
        slope, intercept = _LEAST_SLOPE, float(np.log(rate / (1 - rate)))
    return intercept - slope * middle / spread, slope / spread


def scale_cold_weights(
    cold: tuple[dict[str, float], str], calibration: NewSongCalibration | None
) -> tuple[tuple[dict[str, float], str], NewSongCalibration | None]:
    """Scale cold weights so that a difference of scores means the same for new and known items.

    The calibration that is returned is that of the scaled scores.
    """
    weights, reason = cold
    if calibration is None:
        return scale_by_default(weights, reason), None
    scale = float(np.clip(calibration.beta_n / calibration.beta_k, *_SCALES))
    scaled = {name: scale * weight for name, weight in weights.items()}
    return (
        (scaled, f"{reason}; times {scale:.3g}, so that scores of new and known items compare"),
        replace(calibration, beta_n=calibration.beta_n / scale),
    )


def scale_by_default(weights: dict[str, float], reason: str) -> tuple[dict[str, float], str]:
    """Scale cold weights by `DEFAULT_SCALE`."""
    scaled = {name: DEFAULT_SCALE * weight for name, weight in weights.items()}
    return scaled, f"{reason}; times {DEFAULT_SCALE:g} beside warm items, a default as well"


def _best_columns(scores: Float32Array | Float64Array, size: int) -> IntArray:
    """Return the columns of the `size` largest scores of each row, in no order."""
    return np.asarray(np.argpartition(-scores, size - 1, axis=1)[:, :size])
