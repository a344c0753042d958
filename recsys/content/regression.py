"""Regressions from embeddings to item vectors, and the cross-validation that chooses among them.

ridge     weighted ridge regression
low-rank  reduced-rank ridge regression: the ridge solution's fitted values, projected to the few
          directions in which they vary most (Mukherjee and Zhu 2011)
cosine    ridge regression on the vectors' directions, rescaled by one factor to their mean length:
          a popular item's long vector counts no more than any other
mlp       a network with one hidden layer

The kernel regression, which is the default, has a module of its own: `recsys.content.kernel`.

E are embeddings [n, e], Y vectors to predict [n, d], w weights of the items [n].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.linear_algebra import right_singular_vectors, symmetric_eigen
from recsys.config import ContentMapConfig

MapKind = Literal["ridge", "low-rank", "cosine", "mlp"]

KINDS: tuple[MapKind, ...] = ("ridge", "low-rank", "cosine", "mlp")
"""Kinds of regression, in the order in which ``auto`` prefers them."""

_STEPS = (25, 50, 100, 200, 400)
"""Numbers of training steps of a network that cross-validation chooses from."""

_LEAST_DIVISOR = 1e-290
"""A quotient by less than this may be infinite."""

_MARGIN = 0.01
"""Share by which another kind must reduce the error for ``auto`` to prefer it to ridge."""


class MapCandidate(NamedTuple):
    """One regression to try."""

    kind: MapKind
    strength: float
    """Ridge penalty; infinite for a network."""

    size: int
    """Rank of the map, or training steps of a network."""


@dataclass(frozen=True)
class EmbeddingMap:
    """``intercept + e·weights + relu(e·hidden + bias)·out`` of an embedding e."""

    intercept: Float64Array
    """float64 [d]."""

    weights: Float64Array
    """float64 [e, d]."""

    hidden: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))
    """float64 [e, h]; empty for an affine map."""

    bias: Float64Array = field(default_factory=lambda: np.zeros(0))
    """float64 [h]."""

    out: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))
    """float64 [h, d]."""

    def __call__(self, E: Float64Array) -> Float64Array:
        """Predict vectors [n, d] from embeddings [n, e]."""
        vectors = self.intercept + E @ self.weights
        if len(self.bias):
            vectors = vectors + np.maximum(E @ self.hidden + self.bias, 0) @ self.out
        return vectors


@dataclass(frozen=True)
class MapChoice:
    """The regression that cross-validation prefers."""

    candidate: MapCandidate

    residuals: Float64Array
    """Residual of each item under a map fitted without its fold, float64 [n, d]."""


def choose_map(
    E: Float64Array, Y: Float64Array, w: Float64Array, artists: IntArray, config: ContentMapConfig
) -> MapChoice:
    """Choose a regression by cross-validation with each artist in one fold.

    Two songs of one artist are too similar to validate on each other.
    """
    assert config.kind != "kernel"  # see `recsys.content.kernel`
    kinds = KINDS if config.kind == "auto" else (config.kind,)
    fold = artist_folds(artists, config.folds)
    best: tuple[float, MapChoice] | None = None
    for kind in kinds:
        error, choice = _cross_validate(E, Y, w, fold, _candidates(kind, config, Y.shape[1]))
        # Ridge comes first; a gain within chance does not replace it.
        if best is None or error < best[0] * (1 - _MARGIN):
            best = error, choice
    assert best is not None
    return best[1]


def _candidates(kind: MapKind, config: ContentMapConfig, d: int) -> list[MapCandidate]:
    """Return the regressions of one kind to try for vectors of length d."""
    if kind == "mlp":
        return [MapCandidate(kind, np.inf, steps) for steps in _STEPS]
    ranks = [d]
    if kind == "low-rank":
        ranks = [2**power for power in range(d.bit_length()) if 2**power < d] or [d]
    return [MapCandidate(kind, strength, rank) for rank in ranks for strength in config.strengths]


def fit_maps(
    E: Float64Array, Y: Float64Array, w: Float64Array, candidates: Sequence[MapCandidate]
) -> list[EmbeddingMap]:
    """Fit a map for each candidate; all candidates are of one kind."""
    kind = candidates[0].kind
    strengths = [candidate.strength for candidate in candidates]
    if kind == "mlp":
        return _train_networks(E, Y, w, [candidate.size for candidate in candidates])
    if kind == "cosine":
        lengths = np.linalg.norm(Y, axis=1, keepdims=True)
        units = np.divide(Y, lengths, out=np.zeros_like(Y), where=lengths > 0)
        return [_rescale(map_, E, Y, w) for map_ in ridge(E, units, w, strengths)]
    distinct = list(dict.fromkeys(strengths))
    by_strength = dict(zip(distinct, ridge(E, Y, w, distinct), strict=True))
    if kind == "ridge":
        return [by_strength[strength] for strength in strengths]
    center = weighted_mean(E, w)
    X = (E - center) * np.sqrt(w)[:, None]
    bases = {
        strength: right_singular_vectors(X @ map_.weights).T
        for strength, map_ in by_strength.items()
    }
    maps = []
    for _, strength, rank in candidates:
        full = by_strength[strength]
        basis = bases[strength][:, :rank]
        weights = full.weights @ basis @ basis.T
        maps.append(EmbeddingMap(full.intercept + center @ (full.weights - weights), weights))
    return maps


def ridge(
    E: Float64Array, Y: Float64Array, w: Float64Array, strengths: Sequence[float]
) -> list[EmbeddingMap]:
    """Fit weighted ridge regressions with a free intercept by one eigendecomposition.

    Strengths are relative: 1 is the mean eigenvalue of the weighted scatter of E. With more
    dimensions than items the smaller dual problem is solved, which has the same solution.
    """
    center, level = weighted_mean(E, w), weighted_mean(Y, w)
    X = (E - center) * np.sqrt(w)[:, None]
    Z = (Y - level) * np.sqrt(w)[:, None]
    n, width = X.shape
    values, basis = symmetric_eigen(X @ X.T if n < width else X.T @ X)
    values = np.maximum(values, 0)
    rotated = basis.T @ (Z if n < width else X.T @ Z)
    # A variance below this share of the embeddings' size is rounding error of their mean.
    least = 1e-10 * (w @ E**2).sum() + np.finfo(np.float64).tiny
    unit = max(values.sum(), least) / max(width, 1)
    maps = []
    for strength in strengths:
        with np.errstate(over="ignore"):  # an infinite penalty leaves the mean
            penalised = (values + strength * unit)[:, None]
        # With a penalty of next to nothing, what does not vary has nothing to be divided by.
        known = np.broadcast_to(penalised > _LEAST_DIVISOR, rotated.shape)
        weights = basis @ np.divide(rotated, penalised, out=np.zeros_like(rotated), where=known)
        if n < width:
            weights = X.T @ weights
        maps.append(EmbeddingMap(level - center @ weights, weights))
    return maps


def artist_folds(artists: IntArray, folds: int) -> IntArray:
    """Assign items to folds, whole artists at a time, largest first, to the smallest fold.

    Args:
        artists: artist code of each item, int [n].
        folds: number of folds.

    Returns:
        Fold of each item, int [n].
    """
    names, codes, counts = np.unique(artists, return_inverse=True, return_counts=True)
    fold_of = np.empty(len(names), np.intp)
    sizes = np.zeros(folds, np.intp)
    for artist in np.argsort(-counts, kind="stable"):
        fold_of[artist] = np.argmin(sizes)
        sizes[fold_of[artist]] += counts[artist]
    return fold_of[codes]


def weighted_mean(values: Float64Array, w: Float64Array) -> Float64Array:
    """Return the weighted mean of the rows; zeros if all weights are zero."""
    return w @ values / w.sum() if w.sum() > 0 else np.zeros(values.shape[1])


def _cross_validate(
    E: Float64Array,
    Y: Float64Array,
    w: Float64Array,
    fold: IntArray,
    candidates: Sequence[MapCandidate],
) -> tuple[float, MapChoice]:
    """Return the smallest weighted squared error, and the candidate that has it."""
    errors = np.zeros(len(candidates))
    learned: list[tuple[BoolArray, list[EmbeddingMap]]] = []
    for number in np.unique(fold):
        held_out = fold == number
        if held_out.all():  # one artist only: no training data is left
            level = EmbeddingMap(weighted_mean(Y, w), np.zeros((E.shape[1], Y.shape[1])))
            maps = [level] * len(candidates)
        else:
            maps = fit_maps(E[~held_out], Y[~held_out], w[~held_out], candidates)
        errors += [
            w[held_out] @ ((Y[held_out] - map_(E[held_out])) ** 2).sum(axis=1) for map_ in maps
        ]
        learned.append((held_out, maps))
    best = int(np.argmin(errors))
    residuals = np.empty_like(Y)
    for held_out, maps in learned:
        residuals[held_out] = Y[held_out] - maps[best](E[held_out])
    return float(errors[best]), MapChoice(candidates[best], residuals)


def _rescale(map_: EmbeddingMap, E: Float64Array, Y: Float64Array, w: Float64Array) -> EmbeddingMap:
    """Scale the map by the factor that brings its predictions closest to Y."""
    predicted = map_(E)
    energy = w @ (predicted**2).sum(axis=1)
    factor = float(w @ (predicted * Y).sum(axis=1) / energy) if energy > 0 else 1.0
    return EmbeddingMap(factor * map_.intercept, factor * map_.weights)


_HIDDEN_UNITS = 64
_LEARNING_RATE = 0.01
_WEIGHT_DECAY = 1e-3


def _train_networks(
    E: Float64Array, Y: Float64Array, w: Float64Array, steps: Sequence[int]
) -> list[EmbeddingMap]:
    """Train one network by full-batch AdamW; return its state after each number of `steps`.

    `steps` ascend. The seed is fixed: the same data give the same network.
    """
    import torch

    center, level = weighted_mean(E, w), weighted_mean(Y, w)
    total = max(float(w.sum()), np.finfo(np.float64).tiny)
    scales = [
        float(np.sqrt((w @ (table - middle) ** 2).sum() / (total * max(table.shape[1], 1))))
        for table, middle in ((E, center), (Y, level))
    ]
    # A deviation below this share of the size is rounding error of the mean.
    size = float(np.sqrt((w @ E**2).sum() / (total * max(E.shape[1], 1))))
    spread = scales[0] if scales[0] > 1e-5 * size else np.inf
    X = torch.tensor((E - center) / spread, dtype=torch.float32)
    Z = torch.tensor((Y - level) / max(scales[1], 1e-30), dtype=torch.float32)
    weights = torch.tensor(w[:, None] / total, dtype=torch.float32)

    random = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(E.shape[1], _HIDDEN_UNITS, generator=random) * np.sqrt(2 / max(E.shape[1], 1)),
        torch.zeros(_HIDDEN_UNITS),
        torch.zeros(_HIDDEN_UNITS, Y.shape[1]),
        torch.zeros(Y.shape[1]),
    ]
    for part in parts:
        part.requires_grad_()
    optimizer = torch.optim.AdamW(parts, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    maps = []
    for step in range(1, max(steps) + 1):
        predicted = torch.relu(X @ parts[0] + parts[1]) @ parts[2] + parts[3]
        loss = (weights * (predicted - Z) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in steps:
            hidden, bias, out, offset = (part.detach().double().numpy().copy() for part in parts)
            maps.append(
                EmbeddingMap(
                    level + scales[1] * offset,
                    np.zeros((E.shape[1], Y.shape[1])),
                    hidden / spread,
                    bias - center @ hidden / spread,
                    scales[1] * out,
                )
            )
    return maps
