"""Ways to learn a map from embeddings to vectors, and the cross-validation that chooses among them.

ridge     weighted ridge regression
low-rank  reduced-rank ridge regression: the ridge solution's fitted values, kept in the few
          directions they vary most in (Mukherjee and Zhu 2011)
cosine    ridge regression on the vectors' directions, made as long as the vectors again by one
          factor: a popular item's long vector counts no more than another's
mlp       a network with one hidden layer

A content map that is no straight line: a network with one hidden layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from datasets.arrays import BoolArray, Float64Array, IntArray
from recsys.config import ContentMapConfig

Kind = Literal["ridge", "low-rank", "cosine", "mlp"]

KINDS: tuple[Kind, ...] = ("ridge", "low-rank", "cosine", "mlp")

STEPS = (25, 50, 100, 200, 400)
"""Steps of training a network that cross-validation chooses from."""

MARGIN = 0.01
"""Share of the ridge's error that another kind must save to be preferred to it by ``auto``."""


class Candidate(NamedTuple):
    """One way to learn a map, all but the data.

    strength: ridge penalty, infinite for a network. size: rank of the map, or a network's steps.
    """

    kind: Kind
    strength: float
    size: int


@dataclass(frozen=True)
class EmbeddingMap:
    """``intercept + e·weights + relu(e·hidden + bias)·out`` of an embedding e.

    intercept [d], weights [e, d], hidden [e, h], bias [h], out [h, d]; h is 0 for an affine map.
    """

    intercept: Float64Array
    weights: Float64Array
    hidden: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))
    bias: Float64Array = field(default_factory=lambda: np.zeros(0))
    out: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))

    def __call__(self, E: Float64Array) -> Float64Array:
        vectors = self.intercept + E @ self.weights
        if len(self.bias):
            vectors = vectors + np.maximum(E @ self.hidden + self.bias, 0) @ self.out
        return vectors


@dataclass(frozen=True)
class Choice:
    """What cross-validation prefers, and each item's residual under a map learned without it."""

    candidate: Candidate
    residuals: Float64Array


def choose(
    E: Float64Array, Y: Float64Array, w: Float64Array, artists: IntArray, config: ContentMapConfig
) -> Choice:
    """The best way to predict Y [n, d] from E [n, e], items weighing w [n].

    Each artist is in one fold, since two songs of one artist are too alike to test on each other.
    """
    kinds = KINDS if config.kind == "auto" else (config.kind,)
    fold = artist_folds(artists, config.folds)
    best: tuple[float, Choice] | None = None
    for kind in kinds:
        error, choice = _cross_validate(E, Y, w, fold, candidates(kind, config, Y.shape[1]))
        # Ridge comes first: what is no better than chance would have it does not replace it.
        if best is None or error < best[0] * (1 - MARGIN):
            best = error, choice
    assert best is not None
    return best[1]


def candidates(kind: Kind, config: ContentMapConfig, width: int) -> list[Candidate]:
    """All that cross-validation tries of one kind, for vectors of that length."""
    if kind == "mlp":
        return [Candidate(kind, np.inf, steps) for steps in STEPS]
    ranks = [width]
    if kind == "low-rank":
        ranks = [2**power for power in range(width.bit_length()) if 2**power < width] or [width]
    return [Candidate(kind, strength, rank) for rank in ranks for strength in config.strengths]


def solve(
    E: Float64Array, Y: Float64Array, w: Float64Array, wanted: Sequence[Candidate]
) -> list[EmbeddingMap]:
    """A map for each candidate, all of one kind."""
    kind = wanted[0].kind
    strengths = [candidate.strength for candidate in wanted]
    if kind == "mlp":
        return train(E, Y, w, [candidate.size for candidate in wanted])
    if kind == "cosine":
        lengths = np.linalg.norm(Y, axis=1, keepdims=True)
        units = np.divide(Y, lengths, out=np.zeros_like(Y), where=lengths > 0)
        return [_as_long(map_, E, Y, w) for map_ in ridge(E, units, w, strengths)]
    distinct = list(dict.fromkeys(strengths))
    by_strength = dict(zip(distinct, ridge(E, Y, w, distinct), strict=True))
    if kind == "ridge":
        return [by_strength[strength] for strength in strengths]
    center = mean(E, w)
    X = (E - center) * np.sqrt(w)[:, None]
    bases = {
        strength: np.linalg.svd(X @ map_.weights, full_matrices=False)[2].T
        for strength, map_ in by_strength.items()
    }
    maps = []
    for _, strength, rank in wanted:
        full = by_strength[strength]
        kept = bases[strength][:, :rank]
        weights = full.weights @ kept @ kept.T
        maps.append(EmbeddingMap(full.intercept + center @ (full.weights - weights), weights))
    return maps


def ridge(
    E: Float64Array, Y: Float64Array, w: Float64Array, strengths: Sequence[float]
) -> list[EmbeddingMap]:
    """Weighted ridge with a free intercept for several strengths from one eigendecomposition.

    A strength is relative: 1 is the mean eigenvalue of the weighted scatter of E. With more
    dimensions than items the smaller, dual problem is solved, which has the same solution.
    """
    center, level = mean(E, w), mean(Y, w)
    X = (E - center) * np.sqrt(w)[:, None]
    Z = (Y - level) * np.sqrt(w)[:, None]
    n, width = X.shape
    values, basis = np.linalg.eigh(X @ X.T if n < width else X.T @ X)
    values = np.maximum(values, 0)
    rotated = basis.T @ (Z if n < width else X.T @ Z)
    # What varies less than this beside the embeddings' size is the rounding of their mean.
    least = 1e-10 * (w @ E**2).sum() + np.finfo(np.float64).tiny
    unit = max(values.sum(), least) / max(width, 1)
    maps = []
    for strength in strengths:
        weights = basis @ (rotated / (values + strength * unit)[:, None])
        if n < width:
            weights = X.T @ weights
        maps.append(EmbeddingMap(level - center @ weights, weights))
    return maps


def artist_folds(artists: IntArray, folds: int) -> IntArray:
    """A fold for each item: artists, largest first, go to the fold with the fewest items."""
    names, codes, counts = np.unique(artists, return_inverse=True, return_counts=True)
    fold_of = np.empty(len(names), np.intp)
    sizes = np.zeros(folds, np.intp)
    for artist in np.argsort(-counts, kind="stable"):
        fold_of[artist] = np.argmin(sizes)
        sizes[fold_of[artist]] += counts[artist]
    return fold_of[codes]


def mean(values: Float64Array, w: Float64Array) -> Float64Array:
    """Weighted mean of the rows; zero where nothing weighs anything."""
    return w @ values / w.sum() if w.sum() > 0 else np.zeros(values.shape[1])


def _cross_validate(
    E: Float64Array, Y: Float64Array, w: Float64Array, fold: IntArray, tried: Sequence[Candidate]
) -> tuple[float, Choice]:
    """The least weighted squared error of the candidates, and whose it is."""
    errors = np.zeros(len(tried))
    learned: list[tuple[BoolArray, list[EmbeddingMap]]] = []
    for number in np.unique(fold):
        held = fold == number
        if held.all():  # a single artist: nothing can be learned without it
            level = EmbeddingMap(mean(Y, w), np.zeros((E.shape[1], Y.shape[1])))
            maps = [level] * len(tried)
        else:
            maps = solve(E[~held], Y[~held], w[~held], tried)
        errors += [w[held] @ ((Y[held] - map_(E[held])) ** 2).sum(axis=1) for map_ in maps]
        learned.append((held, maps))
    best = int(np.argmin(errors))
    residuals = np.empty_like(Y)
    for held, maps in learned:
        residuals[held] = Y[held] - maps[best](E[held])
    return float(errors[best]), Choice(tried[best], residuals)


def _as_long(map_: EmbeddingMap, E: Float64Array, Y: Float64Array, w: Float64Array) -> EmbeddingMap:
    """The map times the factor that brings what it predicts closest to Y."""
    predicted = map_(E)
    energy = w @ (predicted**2).sum(axis=1)
    factor = float(w @ (predicted * Y).sum(axis=1) / energy) if energy > 0 else 1.0
    return EmbeddingMap(factor * map_.intercept, factor * map_.weights)


HIDDEN = 64
"""Units of the hidden layer."""

LEARNING_RATE = 0.01

WEIGHT_DECAY = 1e-3


def train(
    E: Float64Array, Y: Float64Array, w: Float64Array, steps: Sequence[int]
) -> list[EmbeddingMap]:
    """The network after each number of ``steps`` (rising) of Adam over all items at once.

    E [n, e], Y [n, d], w [n] the items' weights. One fixed seed: the same data, the same network.
    """
    import torch

    center, level = mean(E, w), mean(Y, w)
    total = max(float(w.sum()), np.finfo(np.float64).tiny)
    scales = [
        float(np.sqrt((w @ (table - middle) ** 2).sum() / (total * max(table.shape[1], 1))))
        for table, middle in ((E, center), (Y, level))
    ]
    # What varies less than this beside its size is the rounding of the mean.
    size = float(np.sqrt((w @ E**2).sum() / (total * max(E.shape[1], 1))))
    spread = scales[0] if scales[0] > 1e-5 * size else np.inf
    X = torch.tensor((E - center) / spread, dtype=torch.float32)
    Z = torch.tensor((Y - level) / max(scales[1], 1e-30), dtype=torch.float32)
    weights = torch.tensor(w[:, None] / total, dtype=torch.float32)

    random = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(E.shape[1], HIDDEN, generator=random) * np.sqrt(2 / max(E.shape[1], 1)),
        torch.zeros(HIDDEN),
        torch.zeros(HIDDEN, Y.shape[1]),
        torch.zeros(Y.shape[1]),
    ]
    for part in parts:
        part.requires_grad_()
    optimizer = torch.optim.AdamW(parts, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
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
