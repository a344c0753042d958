"""Embeddings as dense item features of LightFM, of a size that its training bears.

Its SGD takes one step size for all features, and embeddings grow without bound where features are
ten times too large. An item's dense features here have a mean square sum of 1 over the items that
they are learned from: together they are as large as the item's identity feature.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array
from recsys.config import FMConfig
from recsys.content.mapping import ContentMap
from recsys.sources.base import ItemContent

_STILL = 1e-6
"""A column that varies less than this beside its size says nothing but rounding."""


@dataclass(frozen=True)
class DenseFeatures:
    """Dense features ``(e - center) · projection`` of an embedding e; none where there is none.

    center [e], projection [e, c].
    """

    center: Float64Array
    projection: Float64Array

    @classmethod
    def learn(cls, content: ItemContent, config: FMConfig) -> Self:
        """Principal components for the scheme ``pca``, else every column standardised.

        Learned from the items of ``content`` that have an embedding; no features where fewer than
        two have one.
        """
        E = content.embeddings[content.has_embedding].astype(np.float64)
        if len(E) < 2:
            return cls(np.zeros(E.shape[1]), np.zeros((E.shape[1], 0)))
        if config.embedding_features == "pca":
            return cls._principal(E, config.pca_components)
        return cls.standardised(E)

    @classmethod
    def standardised(cls, E: Float64Array) -> Self:
        """Each column by its own deviation; one that stands still becomes zero. E: [n, e]."""
        center, deviation = E.mean(axis=0), E.std(axis=0)
        moves = deviation > _STILL * np.abs(E).max(axis=0, initial=0)
        size = np.sqrt(max(int(moves.sum()), 1))
        factors = np.divide(1, deviation * size, out=np.zeros_like(deviation), where=moves)
        return cls(center, np.diag(factors))

    @classmethod
    def _principal(cls, E: Float64Array, components: int) -> Self:
        from sklearn.decomposition import PCA

        pca = PCA(min(components, *E.shape), svd_solver="full").fit(E)
        energy = float(pca.explained_variance_.sum()) * (len(E) - 1) / len(E)
        size = np.sqrt(energy) if energy > 0 else np.inf
        return cls(pca.mean_, pca.components_.T / size)

    def of(self, content: ItemContent) -> Float32Array:
        """float32 [n, c]; zero rows, which are the mean, for items without an embedding."""
        features = (content.embeddings - self.center) @ self.projection
        return np.where(content.has_embedding[:, None], features, 0).astype(np.float32)

    def unfold(
        self, intercept: Float64Array, rows: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Intercept [d] and weights [e, d] for the embeddings themselves, from those for the
        features: [d] and [c, d]."""
        weights = self.projection @ rows
        return intercept - self.center @ weights, weights


def dense_matrix(content: ItemContent, features: DenseFeatures) -> sp.csr_matrix:
    """[identity | metadata | dense features], CSR float32 [n, n + m + c]."""
    return sp.hstack(
        [identity_matrix(content), sp.csr_matrix(features.of(content))], format="csr"
    ).astype(np.float32)


def identity_matrix(content: ItemContent) -> sp.csr_matrix:
    """[identity | metadata], CSR float32 [n, n + m]."""
    identity = sp.identity(len(content), dtype=np.float32, format="csr")
    return sp.hstack([identity, content.metadata], format="csr")


def dense_map(rows: Float64Array, n_metadata: int, features: DenseFeatures) -> ContentMap:
    """What the features other than identity say of an item, as a map from its content.

    rows: [m + c, d], the vectors of the metadata values and of the dense features.
    """
    d = rows.shape[1]
    intercept, weights = features.unfold(np.zeros(d), rows[n_metadata:])
    return affine_map(intercept, weights, rows[:n_metadata], np.zeros(d), rows[:n_metadata])


def affine_map(
    intercept: Float64Array,
    weights: Float64Array,
    effects: Float64Array,
    bare_intercept: Float64Array,
    bare_effects: Float64Array,
    strength: float = np.inf,
) -> ContentMap:
    """A content map of these parts, whose shapes :class:`~recsys.content.mapping.ContentMap` tells."""
    return ContentMap.from_arrays(
        {
            "intercept": np.ascontiguousarray(intercept, np.float32),
            "weights": np.ascontiguousarray(weights, np.float32),
            "effects": np.ascontiguousarray(effects, np.float32),
            "bare_intercept": np.ascontiguousarray(bare_intercept, np.float32),
            "bare_effects": np.ascontiguousarray(bare_effects, np.float32),
            "strength": np.array(strength),
        }
    )
