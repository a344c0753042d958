"""Choose the blend: the weight of each source, for warm and for cold items.

All sources are fitted on the training part of a validation split
(`recsys.training.validation`), and every blend on a grid is scored by nDCG@10: on held-out
interactions of warm items among all items, and on held-out items among themselves. What a cold
item's score is worth beside a warm one's is then measured on lists of both, on a split where new
items get the same share of their plays as others (`recsys.new_songs`), and cold weights are scaled
so that a difference of scores means the same for both kinds. The search is deterministic.

Given embeddings may come from a network that saw the held-out items' labels. All sources see a
held-out item through the same embedding, so that favours none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.config import RecommenderConfig, SourceName
from recsys.data import Vectors
from recsys.fusion import make_blocks
from recsys.new_songs import NewSongCalibration
from recsys.sources.registry import make_source
from recsys.training.validation import (
    LIST_LENGTH,
    MIN_COLD_ITEMS,
    ValidationSplit,
    mean_ndcg,
    validation_users,
)

STEP = 0.05
"""Step of the grid of weights, and the smallest weight: a source that should not count at all is
left out of ``sources``, so that its vectors stay comparable between warm and cold items."""

BEST_SHARE = 20
"""One in this many points of the grid is averaged: the best ones."""

PRIOR = 50
"""How many held-out items (cold) or users (warm) the default weights are worth."""

DEFAULT_SCALE = 0.5
"""How much a cold item counts beside a warm one if there is too little data to measure it; the
value measured on the demo catalogue."""

_SCALES = (0.05, 20.0)
"""Bounds of how much a cold item may count beside a warm one."""

_CALIBRATED = 2 * LIST_LENGTH
"""Best items of each user on which chances are learned: those that lists are made of."""

_LEAST_SLOPE = 0.02
"""By how much a deviation of the score raises the logarithm of the odds of a play at least."""

POPULARITY: SourceName = "popularity"
"""The source whose weight may be negative."""

_POPULARITY_WEIGHTS = (
    *(-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2),
    *(0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0),
)
"""Weights of popularity to try beside the others, which sum to 1. Where users have played little,
as in short videos, hardly anything else is known of what they will play."""

_POOL_SIZE = 100
"""Candidates per source and user: the best of a blend are among the best of a source."""

_DEFAULT_WEIGHTS: dict[SourceName, float] = {"als": 0.4, "fm": 0.4, "content": 0.2, "ease": 0.3}
"""Weights if there is too little data to choose: on Music4All and Last.fm, content mapped to the
factors of plays matters more than nearest neighbours by content. A source not named here
has weight 0 then, as popularity has."""


@dataclass(frozen=True)
class Blend:
    """Weights of the sources, and how they were chosen.

    Examples:
        >>> Blend({"als": 1.0}, {"als": 0.5}, "configured", "configured").cold["als"]
        0.5
    """

    warm: dict[str, float]
    """Weights for warm items; they sum to 1."""

    cold: dict[str, float]
    """Weights for cold items; they sum to how much a cold item counts beside a warm one."""

    warm_reason: str
    """How the weights for warm items were chosen, for people to read."""

    cold_reason: str
    """How the weights for cold items were chosen, for people to read."""

    calibration: NewSongCalibration | None = None
    """How likely items of a score are to be played; None where that was not measured."""

    def to_json(self) -> dict[str, Any]:
        """Return weights and reasons as JSON values."""
        return {
            "warm": self.warm,
            "cold": self.cold,
            "warm_reason": self.warm_reason,
            "cold_reason": self.cold_reason,
        }


def choose_blend(split: ValidationSplit | None, config: RecommenderConfig) -> Blend:
    """Return the configured weights, or choose them on a validation split.

    Args:
        split: the validation split; None uses the default weights.
        config: sources, their settings, and weights that are not to be chosen.

    Examples:
        >>> blend = choose_blend(None, RecommenderConfig(sources=("als", "fm")))
        >>> blend.warm, blend.warm_reason
        ({'als': 0.5, 'fm': 0.5}, 'default: too few interactions to choose')
    """
    fixed = config.fusion
    default = _default_weights(config.sources)
    if len(config.sources) == 1:
        return Blend(default, default, "a single source", "a single source")
    if fixed.warm is not None and fixed.cold is not None:
        return Blend(_normalised(fixed.warm), _normalised(fixed.cold), "configured", "configured")

    if split is None:
        warm = (default, "default: too few interactions to choose")
        cold = _scale_by_default(default, "default: too few items with an embedding to choose")
    else:
        vectors = _SourceVectors.fit(split, config)
        limit = fixed.validation_users
        warm = _choose_weights(vectors, split, cold=False, limit=limit, default=default)
        cold = _choose_weights(vectors, split, cold=True, limit=limit, default=default)
    if fixed.warm is not None:
        warm = (_normalised(fixed.warm), "configured")
    if fixed.cold is not None:
        cold = (_normalised(fixed.cold), "configured")
    calibration = None
    if split is not None:
        calibration = _calibrate(vectors, split, warm[0], cold[0], limit)
        if fixed.cold is None:
            cold, calibration = _scale_cold_weights(cold, calibration)
    return Blend(warm[0], cold[0], warm[1], cold[1], calibration)


@dataclass(frozen=True)
class _SourceVectors:
    """Each source's vectors ready to blend: users scaled, items centred, float32 [n, d]."""

    users: dict[str, Float32Array]
    items: dict[str, Float32Array]

    @property
    def uninformative(self) -> list[str]:
        """Sources that give all items the same score."""
        return [name for name, items in self.items.items() if not items.any()]

    @classmethod
    def fit(cls, split: ValidationSplit, config: RecommenderConfig) -> "_SourceVectors":
        """Fit all sources on the training part of a split."""
        sources = {name: make_source(name, config) for name in config.sources}
        vectors: dict[str, Vectors] = {
            name: source.fit(split.training) for name, source in sources.items()
        }
        is_cold = split.training.user_counts == 0
        items = {name: pair.items for name, pair in vectors.items()}
        if not split.knows_texts:
            rows, content = split.cold_items, split.training.content.take(split.cold_items)
            bare = replace(content, metadata=content.metadata * 0)
            for name, source in sources.items():
                items[name][rows] = source.item_vectors(bare)
        ones = dict.fromkeys(vectors, 1.0)
        blocks = make_blocks(items, is_cold, ones, ones)
        return cls(
            {block.name: block.fuse_users(vectors[block.name].users) for block in blocks},
            {block.name: block.fuse_items(items[block.name], is_cold) for block in blocks},
        )


def _choose_weights(
    vectors: _SourceVectors,
    split: ValidationSplit,
    *,
    cold: bool,
    limit: int,
    default: dict[str, float],
) -> tuple[dict[str, float], str]:
    """Return the best blend for held-out interactions of warm or of cold items, and the reason."""
    kind = "cold" if cold else "warm"
    held_out = split.held_cold if cold else split.held_warm
    users = validation_users(split, held_out, limit)
    if not len(users) or (cold and len(split.cold_items) < MIN_COLD_ITEMS):
        return default, f"default: too little held-out {kind} data to choose"
    names = list(vectors.users)
    scores, relevant = _candidates(vectors, split, users, held_out, cold=cold)
    n_relevant = np.diff(held_out[users].indptr)
    # What a few items say about the cold blend depends mostly on which items they are.
    evidence = len(split.cold_items) if cold else len(users)

    def ndcg(weights: Float64Array) -> float:
        return mean_ndcg(np.tensordot(weights, scores, axes=1), relevant, n_relevant)

    def best_weights(points: Float64Array, prior: Float64Array) -> Float64Array:
        found = np.array([ndcg(point) for point in points])
        # The surface is flat and the split is noisy: take the mean of the best points.
        best = np.argsort(-found, kind="stable")[: max(1, len(points) // BEST_SHARE)]
        center: Float64Array = points[best].mean(axis=0)
        return (evidence * center + PRIOR * prior) / (evidence + PRIOR)

    column = {name: number for number, name in enumerate(names)}
    # A source that scores all items alike, as content does without recordings, takes no part: its
    # weight would change nothing, and a grid of fewer sources is finer.
    silent = [column[name] for name in vectors.uninformative]
    others = [column[name] for name in names if name != POPULARITY and column[name] not in silent]
    if not others:
        return default, f"default: no source tells {kind} items apart"
    prior = np.array([default[name] for name in names])
    if prior[others].sum() > 0:
        prior[silent] = 0
        prior = prior / prior.sum()
    points = _grid(len(others))
    grid = np.zeros((len(points), len(names)))
    grid[:, others] = points
    weights = best_weights(grid, prior)
    if POPULARITY in column and not cold:  # cold items have no popularity
        line = np.tile(weights, (len(_POPULARITY_WEIGHTS), 1))
        line[:, column[POPULARITY]] = _POPULARITY_WEIGHTS
        weights = best_weights(line, weights)
    items = "held-out items" if cold else "held-out interactions"
    return (
        dict(zip(names, weights.tolist(), strict=True)),
        f"nDCG@{LIST_LENGTH} {ndcg(weights):.3f} on {items} of {len(users)} users inside training",
    )


def _calibrate(
    vectors: _SourceVectors,
    split: ValidationSplit,
    warm: dict[str, float],
    cold: dict[str, float],
    limit: int,
) -> NewSongCalibration | None:
    """Measure how likely items of a score are to be played: known items, and new ones.

    On held-out plays, the same share of all items'. None if there are too few.
    """
    held_out = split.held_mixed
    users = validation_users(split, held_out, limit)
    if not len(users) or len(split.cold_items) < MIN_COLD_ITEMS:
        return None
    scores, relevant = _candidates(vectors, split, users, held_out, cold=False)
    blended = np.tensordot([warm[name] for name in vectors.users], scores, axes=1)
    known = _logistic(*_best_of_each(blended, relevant, _CALIBRATED))

    P = np.hstack([vectors.users[name] for name in vectors.users]).astype(np.float64)
    V = np.hstack(
        [cold[name] * vectors.items[name][split.cold_items] for name in vectors.users]
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
    new = _logistic(*_best_of_each(adjusted, relevant, _CALIBRATED), share)
    return None if known is None or new is None else NewSongCalibration(*known, *new)


def _best_of_each(
    scores: Float64Array | Float32Array, relevant: BoolArray, size: int
) -> tuple[Float64Array, BoolArray]:
    """Return the best scores of each user, and which of their items were held out, flat."""
    best = _best_columns(scores, min(size, scores.shape[1]))
    found = np.take_along_axis(scores, best, axis=1).astype(np.float64)
    finite = np.isfinite(found)
    return found[finite], np.take_along_axis(relevant, best, axis=1)[finite]


def _logistic(
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


def _scale_cold_weights(
    cold: tuple[dict[str, float], str], calibration: NewSongCalibration | None
) -> tuple[tuple[dict[str, float], str], NewSongCalibration | None]:
    """Scale cold weights so that a difference of scores means the same for new and known items.

    The calibration that is returned is that of the scaled scores.
    """
    weights, reason = cold
    if calibration is None:
        return _scale_by_default(weights, reason), None
    scale = float(np.clip(calibration.beta_n / calibration.beta_k, *_SCALES))
    scaled = {name: scale * weight for name, weight in weights.items()}
    return (
        (scaled, f"{reason}; times {scale:.3g}, so that scores of new and known items compare"),
        replace(calibration, beta_n=calibration.beta_n / scale),
    )


def _scale_by_default(weights: dict[str, float], reason: str) -> tuple[dict[str, float], str]:
    """Scale cold weights by `DEFAULT_SCALE`."""
    scaled = {name: DEFAULT_SCALE * weight for name, weight in weights.items()}
    return scaled, f"{reason}; times {DEFAULT_SCALE:g} beside warm items, a default as well"


def _candidates(
    vectors: _SourceVectors,
    split: ValidationSplit,
    users: IntArray,
    held_out: sp.csr_matrix,
    *,
    cold: bool,
) -> tuple[Float32Array, BoolArray]:
    """Return the union of each source's best items per user.

    Scores are float32 [n_sources, n_users, n_candidates], and relevance (held out or not) bool
    [n_users, n_candidates].
    """
    pool = split.cold_items if cold else np.flatnonzero(split.training.user_counts > 0)
    seen = split.training.plays
    size = min(_POOL_SIZE, len(pool))
    all_scores, all_relevant = [], []
    for start in range(0, len(users), 256):
        rows = users[start : start + 256]
        is_seen = seen[rows][:, pool].nonzero()

        def scores(
            name: str, rows: IntArray = rows, is_seen: tuple[IntArray, ...] = is_seen
        ) -> Float32Array:
            found = vectors.users[name][rows] @ vectors.items[name][pool].T
            found[is_seen] = -np.inf
            return np.asarray(found)

        relevant = (held_out[rows][:, pool] > 0).toarray()
        # One source at a time, and computed again below: all at once would be 18 kB an item.
        proposed = np.concatenate([_best_columns(scores(n), size) for n in vectors.users], axis=1)
        # An item that several sources propose counts once, so that it takes one place in a list.
        order = np.sort(proposed, axis=1)
        repeated = np.zeros_like(order, bool)
        repeated[:, 1:] = order[:, 1:] == order[:, :-1]
        chosen = np.stack([np.take_along_axis(scores(n), order, axis=1) for n in vectors.users])
        chosen[:, repeated] = -np.inf
        for own, name in enumerate(vectors.users):
            # Their weights may be zero or negative: infinity would become NaN or attract. The other
            # sources keep excluded items out.
            if name == POPULARITY or name in vectors.uninformative:
                chosen[own] = np.where(np.isfinite(chosen[own]), chosen[own], 0)
        all_scores.append(chosen)
        all_relevant.append(np.take_along_axis(relevant, order, axis=1) & ~repeated)
    return np.concatenate(all_scores, axis=1), np.concatenate(all_relevant)


def _best_columns(scores: Float32Array | Float64Array, size: int) -> IntArray:
    """Return the columns of the `size` largest scores of each row, in no order."""
    found = np.empty((len(scores), size), np.intp)
    for start in range(0, len(scores), 16):  # few rows at once, as positions need twice the memory
        block = -scores[start : start + 16]
        found[start : start + 16] = np.argpartition(block, size - 1, axis=1)[:, :size]
    return found


def _grid(n: int) -> Float64Array:
    """Return all positive weights of n sources that sum to 1, [n_points, n], most even ones first.

    They are multiples of STEP, or of 2 STEP for more than three sources.
    """
    steps = round(1 / STEP) if n <= 3 else round(0.5 / STEP)
    points = [
        [*head, steps - sum(head)]
        for head in product(range(1, steps), repeat=n - 1)
        if sum(head) < steps
    ]
    return np.array(sorted(points, key=lambda point: sum(part**2 for part in point))) / steps


def _default_weights(sources: Sequence[SourceName]) -> dict[str, float]:
    """Return the default weights of these sources."""
    return _normalised({name: _DEFAULT_WEIGHTS.get(name, 0.0) for name in sources})


def _normalised(weights: Mapping[SourceName, float]) -> dict[str, float]:
    """Scale weights so that all but that of popularity sum to 1."""
    total = sum(weight for name, weight in weights.items() if name != POPULARITY)
    return {str(name): weight / (total or 1) for name, weight in weights.items()}
