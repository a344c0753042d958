"""From content to the vectors of a source: how an item nobody has played gets its vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from recsys.config import ContentMapConfig
from recsys.content.regression import EmbeddingMap, choose, mean, solve
from recsys.data import ItemContent


@dataclass(frozen=True)
class ContentMap:
    """A map from an item's content to a vector.

    An item with an embedding e and metadata values m gets
    ``intercept + e·weights + relu(e·hidden + bias)·out + Σ effects[m]``; one without an embedding
    ``bare_intercept + Σ bare_effects[m]``. The effects of metadata are what it says *beyond* the
    embedding, so they are learned from the residuals. A map without hidden units is affine.

    intercept [d], weights [e, d], effects [m, d], bare_intercept [d], bare_effects [m, d],
    hidden [e, h], bias [h], out [h, d], float32.
    strength: the ridge penalty that cross-validation chose; infinite where no ridge was fitted.
    shrinkage: how many listeners the prediction is worth beside what they taught (k of
    :func:`recsys.content.shrinkage.shrink`).
    """

    intercept: Float32Array
    weights: Float32Array
    effects: Float32Array
    bare_intercept: Float32Array
    bare_effects: Float32Array
    hidden: Float32Array
    bias: Float32Array
    out: Float32Array
    strength: float
    shrinkage: float = 0.0

    @classmethod
    def fit(
        cls,
        content: ItemContent,
        targets: Float32Array,
        listeners: IntArray,
        artists: IntArray,
        config: ContentMapConfig,
    ) -> Self:
        """Learn from the warm items (``listeners > 0``) only.

        Items weigh n / (n + evidence). The strength, and whatever else ``config.kind`` leaves
        open, is chosen by cross-validation that keeps each artist in one fold
        (:mod:`recsys.content.regression`). All-zero weights where no warm item has an embedding.

        targets: float32 [n, d], the vectors to predict. artists: int [n].
        """
        warm = np.flatnonzero(listeners > 0)
        evidence = listeners[warm] / (listeners[warm] + config.evidence)
        known = content.take(warm)
        wanted = targets[warm].astype(np.float64)
        heard = np.flatnonzero(known.has_embedding)

        bare_intercept = mean(wanted, evidence)
        bare_effects = _group_effects(
            known.metadata, wanted - bare_intercept, evidence, config.group_prior
        )
        width = content.embeddings.shape[1]
        map_ = EmbeddingMap(bare_intercept, np.zeros((width, targets.shape[1])))
        effects, strength = bare_effects, np.inf
        if len(heard) >= 2:
            E = known.embeddings[heard].astype(np.float64)
            Y, w = wanted[heard], evidence[heard]
            choice = choose(E, Y, w, artists[warm][heard], config)
            map_, strength = solve(E, Y, w, [choice.candidate])[0], choice.candidate.strength
            effects = _group_effects(known.metadata[heard], choice.residuals, w, config.group_prior)
        units = len(map_.bias)
        return cls(
            _single(map_.intercept),
            _single(map_.weights),
            _single(effects),
            _single(bare_intercept),
            _single(bare_effects),
            _single(map_.hidden.reshape(width, units)),
            _single(map_.bias),
            _single(map_.out.reshape(units, targets.shape[1])),
            strength,
        )

    @property
    def is_affine(self) -> bool:
        """Whether a vector is a sum of what each part of the content adds."""
        return not len(self.bias)

    def require_affine(self, purpose: str) -> None:
        """Raise InvalidArgumentError, naming the purpose, where the map is not affine."""
        if not self.is_affine:
            raise InvalidArgumentError(
                f"{purpose} needs a content map that is affine in the embedding, and this one is a "
                "network: fit with content_map.kind 'ridge', 'low-rank' or 'cosine'"
            )

    def predict(self, content: ItemContent) -> Float32Array:
        """Vectors float32 [n, d] of items with that content."""
        heard = content.has_embedding[:, None]
        by_ear = (
            self.intercept + content.embeddings @ self.weights + content.metadata @ self.effects
        )
        if not self.is_affine:
            by_ear += np.maximum(content.embeddings @ self.hidden + self.bias, 0) @ self.out
        by_label = self.bare_intercept + content.metadata @ self.bare_effects
        return np.where(heard, by_ear, by_label).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The map as arrays to save."""
        scalars = {name: np.array(getattr(self, name)) for name in ("strength", "shrinkage")}
        return {**vars(self), **scalars}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of :meth:`arrays`; a map of a model's first format was affine, unshrunk."""
        dimensions, width = arrays["weights"].shape
        parts: dict[str, Any] = {
            "hidden": np.zeros((dimensions, 0), np.float32),
            "bias": np.zeros(0, np.float32),
            "out": np.zeros((0, width), np.float32),
            **arrays,
            "strength": float(arrays["strength"]),
            "shrinkage": float(arrays.get("shrinkage", 0.0)),
        }
        return cls(**parts)


def _group_effects(
    metadata: sp.csr_matrix, residuals: Float64Array, w: Float64Array, prior: float
) -> Float64Array:
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


def _single(values: Float64Array) -> Float32Array:
    return np.ascontiguousarray(values, dtype=np.float32)
