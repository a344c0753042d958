"""From content to the vectors of a source: how an item nobody has played gets its vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.config import ContentMapConfig
from recsys.sources.base import Floats, ItemContent

_Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ContentMap:
    """An affine map from an item's content to a vector.

    An item with an embedding e and metadata values m gets ``intercept + e·weights + Σ effects[m]``;
    one without an embedding ``bare_intercept + Σ bare_effects[m]``. The effects of metadata are
    what it says *beyond* the embedding, so they are learned from the residuals.

    intercept [d], weights [e, d], effects [m, d], bare_intercept [d], bare_effects [m, d], float32.
    strength: the ridge penalty that cross-validation chose.
    """

    intercept: Floats
    weights: Floats
    effects: Floats
    bare_intercept: Floats
    bare_effects: Floats
    strength: float

    @classmethod
    def fit(
        cls,
        content: ItemContent,
        targets: Floats,
        listeners: NDArray[np.intp],
        artists: NDArray[np.intp],
        config: ContentMapConfig,
    ) -> Self:
        """Learn from the warm items (``listeners > 0``) only.

        Ridge regression with items weighted by n / (n + evidence). Its strength is chosen by
        cross-validation that keeps each artist in one fold, since two songs of one artist are
        too alike to test on each other. All-zero weights where no warm item has an embedding.

        targets: float32 [n, d], the vectors to predict. artists: int [n].
        """
        warm = np.flatnonzero(listeners > 0)
        evidence = listeners[warm] / (listeners[warm] + config.evidence)
        known = content.take(warm)
        wanted = targets[warm].astype(np.float64)
        heard = np.flatnonzero(known.has_embedding)

        bare_intercept = _mean(wanted, evidence)
        bare_effects = _group_effects(
            known.metadata, wanted - bare_intercept, evidence, config.group_prior
        )
        if len(heard) < 2:
            dimensions = content.embeddings.shape[1]
            zeros = np.zeros((dimensions, targets.shape[1]), np.float32)
            return cls(
                _single(bare_intercept),
                zeros,
                _single(bare_effects),
                _single(bare_intercept),
                _single(bare_effects),
                strength=np.inf,
            )

        E = known.embeddings[heard].astype(np.float64)
        Y, w = wanted[heard], evidence[heard]
        strength, residuals = _cross_validate(E, Y, w, artists[warm][heard], config)
        intercept, weights = _ridge(E, Y, w, [strength])[0]
        effects = _group_effects(known.metadata[heard], residuals, w, config.group_prior)
        return cls(
            _single(intercept),
            _single(weights),
            _single(effects),
            _single(bare_intercept),
            _single(bare_effects),
            strength,
        )

    def predict(self, content: ItemContent) -> Floats:
        """Vectors float32 [n, d] of items with that content."""
        heard = content.has_embedding[:, None]
        by_ear = (
            self.intercept + content.embeddings @ self.weights + content.metadata @ self.effects
        )
        by_label = self.bare_intercept + content.metadata @ self.bare_effects
        return np.where(heard, by_ear, by_label).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The map as arrays to save."""
        return {**vars(self), "strength": np.array(self.strength)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of :meth:`arrays`."""
        parts: dict[str, Any] = {**arrays, "strength": float(arrays["strength"])}
        return cls(**parts)


def _cross_validate(
    E: _Doubles, Y: _Doubles, w: _Doubles, artists: NDArray[np.intp], config: ContentMapConfig
) -> tuple[float, _Doubles]:
    """The best ridge strength, and the residuals of each item under a map learned without it."""
    fold = _artist_folds(artists, config.folds)
    residuals = np.empty((len(config.strengths), *Y.shape))
    for number in np.unique(fold):
        held = fold == number
        if held.all():  # a single artist: nothing can be learned without it
            residuals[:, held] = Y[held] - _mean(Y, w)
            continue
        solutions = _ridge(E[~held], Y[~held], w[~held], config.strengths)
        for row, (intercept, weights) in enumerate(solutions):
            residuals[row, held] = Y[held] - (intercept + E[held] @ weights)
    errors = np.einsum("snd,n->s", residuals**2, w)
    best = int(np.argmin(errors))
    return config.strengths[best], residuals[best]


def _artist_folds(artists: NDArray[np.intp], folds: int) -> NDArray[np.intp]:
    """A fold for each item: artists, largest first, go to the fold with the fewest items."""
    names, codes, counts = np.unique(artists, return_inverse=True, return_counts=True)
    fold_of = np.empty(len(names), np.intp)
    sizes = np.zeros(folds, np.intp)
    for artist in np.argsort(-counts, kind="stable"):
        fold_of[artist] = np.argmin(sizes)
        sizes[fold_of[artist]] += counts[artist]
    return fold_of[codes]


def _ridge(
    E: _Doubles, Y: _Doubles, w: _Doubles, strengths: tuple[float, ...] | list[float]
) -> list[tuple[_Doubles, _Doubles]]:
    """Weighted ridge with a free intercept for several strengths from one eigendecomposition.

    A strength is relative: 1 is the mean eigenvalue of the weighted scatter of E.
    """
    center, level = _mean(E, w), _mean(Y, w)
    X = (E - center) * np.sqrt(w)[:, None]
    values, basis = np.linalg.eigh(X.T @ X)
    values = np.maximum(values, 0)
    rotated = basis.T @ (X.T @ ((Y - level) * np.sqrt(w)[:, None]))
    # What varies less than this beside the embeddings' size is the rounding of their mean.
    least = 1e-10 * (w @ E**2).sum() + np.finfo(np.float64).tiny
    unit = max(values.sum(), least) / max(len(values), 1)
    solutions = []
    for strength in strengths:
        weights = basis @ (rotated / (values + strength * unit)[:, None])
        solutions.append((level - center @ weights, weights))
    return solutions


def _group_effects(
    metadata: sp.csr_matrix, residuals: _Doubles, w: _Doubles, prior: float
) -> _Doubles:
    """Shrunken weighted mean residual of the items that have each metadata value, [m, d].

    An item's residual is shared among its values in proportion to their evidence, by backfitting:
    broad values (a genre) first, then what they leave to narrow ones (an artist).
    """
    members = metadata.tocsc()
    effects = np.zeros((metadata.shape[1], residuals.shape[1]))
    left = residuals.copy()
    for value in np.argsort(-np.diff(members.indptr), kind="stable"):
        rows = members.indices[members.indptr[value] : members.indptr[value + 1]]
        if len(rows):
            effects[value] = (w[rows] @ left[rows]) / (w[rows].sum() + prior)
            left[rows] -= effects[value]
    return effects


def _mean(values: _Doubles, w: _Doubles) -> _Doubles:
    return w @ values / w.sum() if w.sum() > 0 else np.zeros(values.shape[1])


def _single(values: _Doubles) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float32)
