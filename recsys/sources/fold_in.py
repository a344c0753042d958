"""Fold-in: vectors of users who were not part of the fit, from their plays; one rule per source.

ALS and LightFM solve weighted least squares, as implicit ALS folds a user in (Hu, Koren and
Volinsky, 2008): with the item vectors fixed, the user vector minimises the squared error of target
0 with confidence 1 for every item, and of target 1 with more confidence for each played item. ALS
does so with the confidence and the penalty of its fit. LightFM, which is not trained by least
squares, and factors that were learned elsewhere take confidence ALPHA and a penalty RIDGE. This
also works for cold items in a history, whose vectors are predicted. With users and items exchanged,
it gives the vector of an item from the users who play it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array, Float64Array
from datasets.linear_algebra import (
    invert_symmetric,
    single_precision,
    solve_symmetric,
    symmetric_eigen,
)
from recsys.config import PlayWeighting
from recsys.data import CSRArrays
from recsys.sources.weighted_als import penalties, solve_penalised

ALPHA = 10.0
"""Confidence of a play of weight 1; an item that was not played has confidence 1."""

RIDGE = 0.3
"""L2 penalty on the new vector, as a multiple of the fixed vectors' mean energy per dimension."""

_MOST_CONFIDENCE = 1e6
"""Of a play, up to which a short history is solved in the dimension of its length."""

_BATCH = 64
"""Linear systems solved together; bounds the memory to that many [d, d] matrices."""


class Gram:
    """VᵀV of the warm items' vectors of a source, which all its users are folded in with.

    Examples:
        >>> items = np.float32([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 0]])
        >>> gram, weights = Gram((items.T @ items).astype(float)), np.ones(1, np.float32)
        >>> bool(np.allclose(gram.fold_in(items[:1], weights),
        ...                  least_squares(items[:1], weights, gram.matrix)))
        True
    """

    def __init__(self, matrix: Float64Array) -> None:
        """Take the matrix, float64 [d, d]."""
        self.matrix = matrix

    @cached_property
    def _inverse(self) -> Float64Array | None:
        """The inverse of the matrix with the ridge; None where it is not of the matrix alone."""
        unit = float(np.trace(self.matrix)) / max(len(self.matrix), 1)
        if not 0 < unit < np.inf:
            return None
        return invert_symmetric(self.matrix + RIDGE * unit * np.eye(len(self.matrix)))

    def fold_in(self, history: Float32Array, weights: Float32Array) -> Float32Array:
        """Compute the vector of a user, as `least_squares` does.

        That of few items costs a system of as many equations, as the inverse is known:
        ``(G + XᵀCX)⁻¹Xᵀb = G⁻¹Xᵀ(I + CXG⁻¹Xᵀ)⁻¹b``.

        Args:
            history: vectors of the played items, float32 [h, d].
            weights: their play weights, float32 [h].

        Returns:
            float32 [d].
        """
        confidence = ALPHA * weights.astype(np.float64)
        is_short = 2 * len(history) <= len(self.matrix)
        is_usual = confidence.max(initial=0) < _MOST_CONFIDENCE
        if is_short and is_usual and self._inverse is not None:
            X = history.astype(np.float64)
            with np.errstate(all="ignore"):
                spread = X @ self._inverse
                left = (confidence - 1)[:, None] * (spread @ X.T) + np.eye(len(X))
                if np.isfinite(left).all():
                    return single_precision(solve_symmetric(left, confidence) @ spread)
        return least_squares(history, weights, self.matrix)

    @cached_property
    def _eigen(self) -> tuple[Float64Array, Float64Array]:
        """Eigenvalues [d], not negative, and eigenvectors [d, d], one a column."""
        values, basis = symmetric_eigen(self.matrix)
        return np.maximum(values, 0), basis

    def fold_in_penalised(
        self, history: Float32Array, confidence: Float64Array, charge: float
    ) -> Float32Array:
        """Compute the vector of a user with an L2 penalty of their own.

        Solves ``(G + XᵀCX + charge · I) x = Xᵀ(1 + C)``; that of few items in as many equations, in
        the basis of the eigenvectors of G.

        Args:
            history: vectors X of the played items, float32 [h, d].
            confidence: C, the confidence in each play, float64 [h].
            charge: L2 penalty.

        Returns:
            float32 [d].
        """
        X, d = history.astype(np.float64), len(self.matrix)
        if charge > 0 and 2 * len(X) <= d and confidence.max(initial=0) < _MOST_CONFIDENCE:
            values, basis = self._eigen
            with np.errstate(all="ignore"):
                turned = X @ basis
                spread = turned / (values + charge)
                left = confidence[:, None] * (spread @ turned.T) + np.eye(len(X))
                if np.isfinite(left).all():
                    return single_precision(
                        basis @ (solve_symmetric(left, 1 + confidence) @ spread)
                    )
        return solve_penalised(self.matrix, X, confidence, charge)


class FoldIn(Protocol):
    """How a source computes the vector of a user who was not part of the fit.

    Examples:
        >>> fold_in: FoldIn = LeastSquaresFoldIn("binary")
        >>> user = fold_in(np.float32([[2]]), np.ones(1, np.float32), Gram(np.array([[4.0]])))
        >>> round(float(user[0]), 2)
        0.49
    """

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user.

        Args:
            history: the source's vectors of the items that the user played, float32 [h, d].
            weights: plays of these items, float32 [h].
            gram: VᵀV of the warm items' vectors, [d, d].

        Returns:
            float32 [d].
        """


class HasFoldIn(Protocol):
    """A source as far as fold-in needs it."""

    @property
    def fold_in(self) -> FoldIn:
        """Computes the vector of a user who was not part of the fit."""


def fold_in_user(
    sources: Mapping[str, HasFoldIn],
    item_vectors: Mapping[str, Float32Array],
    weights: Float32Array,
    grams: Mapping[str, Gram],
) -> dict[str, Float32Array]:
    """Fold in one user with every source.

    Args:
        sources: sources by name.
        item_vectors: each source's vectors of the items that the user played, float32 [h, d].
        weights: plays of these items, float32 [h].
        grams: VᵀV of the warm items' vectors of each source, [d, d].

    Returns:
        The user's vector of each source, float32 [1, d].
    """
    return {
        name: sources[name].fold_in(vectors, weights, grams[name])[None]
        for name, vectors in item_vectors.items()
    }


@dataclass(frozen=True)
class LeastSquaresFoldIn:
    """One least-squares solve against the fixed item vectors, for ALS and LightFM."""

    weighting: PlayWeighting
    """How plays become weights."""

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user; see `FoldIn`."""
        return gram.fold_in(history, weigh_plays(weights, self.weighting))


@dataclass(frozen=True)
class ALSFoldIn:
    """The least-squares solve by which ALS learned its users."""

    weighting: PlayWeighting
    """How plays become weights."""

    alpha: float
    """Confidence of one unit of weight."""

    regularization: float
    """L2 penalty of a user with a mean total of weights."""

    share: float
    """Share of the penalty that grows with the total."""

    mean: float
    """Mean total weight of the users of the fit."""

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user; see `FoldIn`."""
        confidence = self.alpha * weigh_plays(weights, self.weighting).astype(np.float64)
        total = np.array([confidence.sum() / self.alpha])
        charge = float(penalties(total, self.mean, self.regularization, self.share)[0])
        return gram.fold_in_penalised(history, confidence, charge)


class MeanFoldIn:
    """The mean of the played items' vectors weighted by log(1 + plays), for the content source."""

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user; see `FoldIn`."""
        known = weigh_plays(weights, "log") * history.any(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = known @ history / max(known.sum(), np.finfo(np.float32).tiny)
        if not np.isfinite(mean).all():  # a sum of single precision was too large
            exact = known.astype(np.float64)
            mean = single_precision(exact @ history.astype(np.float64) / exact.sum())
        return mean.astype(np.float32)


@dataclass(frozen=True)
class EASEFoldIn:
    """The weighted sum of ``√D v`` over the played items, as for a user of the fit of EASE."""

    weighting: PlayWeighting = "binary"
    """How plays become weights."""

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user; see `FoldIn`."""
        vectors = history.astype(np.float64)
        # Of an item's vector q = h / (1 - |h|²) only the length is unknown: t = |q|² gives |h|².
        t = (vectors**2).sum(axis=1)
        own = 2 * t / (2 * t + 1 + np.sqrt(4 * t + 1))
        weighed = weigh_plays(weights, self.weighting) * (1 - own)
        return single_precision(weighed @ vectors)


class PresenceFoldIn:
    """1, or 0 for a history of cold items only, for the popularity source."""

    def __call__(self, history: Float32Array, weights: Float32Array, gram: Gram) -> Float32Array:
        """Compute the vector of a user; see `FoldIn`."""
        # A user of cold items has no popularity preference to correct.
        return np.full(1, history.any(), np.float32)


def least_squares(history: Float32Array, weights: Float32Array, gram: Float64Array) -> Float32Array:
    """Solve for one user's vector.

    Args:
        history: vectors of the played items, float32 [h, d].
        weights: their play weights, float32 [h]; 1 for a usual play.
        gram: VᵀV of all item vectors V, float64 [d, d].

    Returns:
        float32 [d].

    Examples:
        >>> items = np.float32([[1, 0], [0, 1], [1, 1]])
        >>> gram = (items.T @ items).astype(float)
        >>> user = least_squares(items[:1], np.ones(1, np.float32), gram)  # played the first item
        >>> (items @ user).argsort()[::-1].tolist()  # which now scores best, the second worst
        [0, 2, 1]
    """
    return single_precision(solve_symmetric(*_normal_equations(history, weights, gram)))


def least_squares_batch(
    vectors: Float32Array, histories: CSRArrays, gram: Float64Array
) -> Float32Array:
    """Solve for the vectors of many users at once, in batches of bounded memory.

    Args:
        vectors: item vectors, float32 [n_items, d].
        histories: play weights of each user's items, CSR float32 [n_users, n_items].
        gram: VᵀV of all item vectors V, float64 [d, d].

    Returns:
        float32 [n_users, d], rows as `least_squares` would give them.
    """
    n, d = len(histories.indptr) - 1, len(gram)
    solutions = np.empty((n, d), np.float32)
    for start in range(0, n, _BATCH):
        bounds = histories.indptr[start : start + _BATCH + 1]
        left, right = np.empty((len(bounds) - 1, d, d)), np.empty((len(bounds) - 1, d, 1))
        for row in range(len(bounds) - 1):
            own = slice(bounds[row], bounds[row + 1])
            left[row], right[row, :, 0] = _normal_equations(
                vectors[histories.indices[own]], histories.data[own], gram
            )
        solutions[start : start + len(left)] = single_precision(
            solve_symmetric(left, right)[:, :, 0]
        )
    return solutions


def _normal_equations(
    history: Float32Array, weights: Float32Array, gram: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the matrix [d, d] and the right-hand side [d] of the least-squares problem."""
    X = history.astype(np.float64)
    confidence = ALPHA * weights.astype(np.float64)
    # The vectors of a catalogue of one item are zero; then any unit gives the zero vector.
    unit = float(np.trace(gram)) / len(gram) or float((X**2).sum()) or 1.0
    left = gram + (X.T * (confidence - 1)) @ X
    left.flat[:: len(gram) + 1] += RIDGE * unit  # the diagonal
    return left, X.T @ confidence


def weigh_plays(plays: ArrayLike, weighting: PlayWeighting) -> Float32Array:
    """Convert play counts to training weights.

    Args:
        plays: play counts of any shape; for ``relative``, of one user.
        weighting: ``binary`` gives 1, ``log`` log(1 + plays), ``linear`` the counts themselves, and
            ``relative`` the square of log(1 + plays), divided by its mean over the user's items.

    Returns:
        float32 array of the same shape.

    Examples:
        >>> weigh_plays([1, 7], "relative").round(3).astype(str).tolist()  # log 8 is 3 log 2
        ['0.2', '1.8']
    """
    counts = np.asarray(plays, np.float32)
    match weighting:
        case "binary":
            return np.ones_like(counts)
        case "log":
            return np.log1p(counts)
        case "relative":
            squares = np.log1p(counts) ** 2
            mean = squares.mean(dtype=np.float64) if squares.size else 1.0
            return (squares / mean).astype(np.float32) if mean > 0 else np.ones_like(counts)
        case _:
            return counts


def weigh_matrix(plays: sp.csr_matrix, weighting: PlayWeighting) -> sp.csr_matrix:
    """Convert a CSR matrix of play counts, a user a row, to training weights; see `weigh_plays`."""
    if weighting != "relative":
        weights = weigh_plays(plays.data, weighting)
        return sp.csr_matrix((weights, plays.indices, plays.indptr), plays.shape)
    squares = np.log1p(plays.data.astype(np.float64)) ** 2
    counts = np.diff(plays.indptr)
    sums = np.bincount(np.repeat(np.arange(len(counts)), counts), squares, len(counts))
    told = np.repeat(sums > 0, counts)  # where all plays weigh nothing, they count alike
    means = sums / np.maximum(counts, 1)
    weights = np.divide(squares, np.repeat(means, counts), out=np.ones_like(squares), where=told)
    return sp.csr_matrix((weights.astype(np.float32), plays.indices, plays.indptr), plays.shape)
