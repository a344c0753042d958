"""The content map: predict a source's item vectors from embeddings and metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from recsys.config import ContentMapConfig
from recsys.content.kernel import KernelMap, fit_kernel
from recsys.content.regression import EmbeddingMap, choose_map, fit_maps
from recsys.data import ItemContent

_BLOCK = 16_384
"""Items whose vectors are predicted at once: the work in double precision takes their memory."""

_SCALARS = ("strength", "precision", "width", "shrinkage")


@dataclass(frozen=True)
class ContentMap:
    """A map from an item's content to a vector of length d.

    An item with an embedding e and metadata values m gets
    ``intercept + e·weights + relu(e·hidden + bias)·out + kernel(e) + Σ effects[m]``; one without an
    embedding ``bare_intercept + Σ bare_effects[m]``. The effects of metadata are learned from the
    residuals of the embedding's part: what metadata adds to it. A map without hidden units and
    without landmarks of a kernel (`recsys.content.kernel`) is affine.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> from recsys.data import ItemContent
        >>> import scipy.sparse as sp
        >>> e = np.float32([[0], [1], [2], [3]])
        >>> content = ItemContent(e, np.ones(4, bool), sp.csr_matrix((4, 0), dtype=np.float32))
        >>> config = RecommenderConfig(content_map={"kind": "ridge"}).content_map
        >>> map_ = ContentMap.fit(content, 2 * e + 1, np.full(4, 50), np.arange(4), config)
        >>> map_.predict(content).round(1).ravel().tolist()
        [1.0, 3.0, 5.0, 7.0]
    """

    intercept: Float32Array
    """float32 [d]."""

    weights: Float32Array
    """float32 [e, d]."""

    effects: Float32Array
    """One row per metadata value, float32 [m, d]."""

    bare_intercept: Float32Array
    """Intercept of items without an embedding, float32 [d]."""

    bare_effects: Float32Array
    """Effects for items without an embedding, float32 [m, d]."""

    hidden: Float32Array
    """float32 [e, h]; h is 0 for an affine map."""

    bias: Float32Array
    """float32 [h]."""

    out: Float32Array
    """float32 [h, d]."""

    strength: float
    """The ridge penalty that cross-validation chose; infinite if no ridge was fitted."""

    landmarks: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Standardised embeddings in which a kernel map is expanded, float32 [l, e]; [0, 0] without."""

    kernel_weights: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """float32 [l, d]."""

    center: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))
    """Mean of the embeddings, of a kernel map, float32 [e]."""

    inverse_scale: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))
    """1 / their standard deviation in each dimension, of a kernel map, float32 [e]."""

    precision: float = 0.0
    """Of the kernel: ``exp(-precision · distance²)``."""

    width: float = 0.0
    """The width of the kernel that cross-validation chose."""

    shrinkage: float = 0.0
    """How many users the prediction is worth beside what users taught: k of
    `recsys.content.shrinkage.shrink`."""

    @classmethod
    def fit(
        cls,
        content: ItemContent,
        targets: Float32Array,
        user_counts: IntArray,
        artists: IntArray,
        config: ContentMapConfig,
    ) -> Self:
        """Learn the map from warm items.

        An item with n users weighs n / (n + evidence). The ridge penalty, and the kind of map if
        ``config.kind`` leaves it open, are chosen by cross-validation with each artist in one fold
        (`recsys.content.regression`). The weights are zero if fewer than two warm items have an
        embedding.

        Args:
            content: content of n_items items.
            targets: the vectors to predict, float32 [n_items, d].
            user_counts: number of users of each item, int [n_items]; items with 0 are not used.
            artists: artist code of each item, int [n_items].
            config: settings of the map.
        """
        warm = np.flatnonzero(user_counts > 0)
        evidence = user_counts[warm] / (user_counts[warm] + config.evidence)
        known = content.take(warm)
        wanted = targets[warm]
        embedded = np.flatnonzero(known.has_embedding)

        bare_intercept = _mean_in_blocks(wanted, evidence)
        bare_effects = _group_effects(
            known.metadata, wanted, evidence, config.group_prior, bare_intercept
        )
        width = content.embeddings.shape[1]
        map_ = EmbeddingMap(bare_intercept, np.zeros((width, targets.shape[1])))
        effects, strength = bare_effects, np.inf
        kernel: dict[str, Any] = {}
        if len(embedded) >= 2:
            E, Y, w = known.embeddings[embedded], wanted[embedded], evidence[embedded]
            of_artist = artists[warm][embedded]
            if config.kind == "kernel":
                fit = fit_kernel(E, Y, w, of_artist, config.widths, config.strengths)
                map_ = EmbeddingMap(fit.level, np.zeros((width, targets.shape[1])))
                strength, residuals = fit.settings.strength, fit.residuals
                kernel = {
                    "landmarks": _float32(fit.map.landmarks),
                    "kernel_weights": _float32(fit.map.weights),
                    "center": _float32(fit.map.center),
                    "inverse_scale": _float32(fit.map.inverse_scale),
                    "precision": fit.map.precision,
                    "width": fit.settings.width,
                }
            else:
                E64, Y64 = E.astype(np.float64), Y.astype(np.float64)
                choice = choose_map(E64, Y64, w, of_artist, config)
                (map_,) = fit_maps(E64, Y64, w, [choice.candidate])
                strength = choice.candidate.strength
                residuals = choice.residuals
            effects = _group_effects(known.metadata[embedded], residuals, w, config.group_prior)
        units = len(map_.bias)
        return cls(
            _float32(map_.intercept),
            _float32(map_.weights),
            _float32(effects),
            _float32(bare_intercept),
            _float32(bare_effects),
            _float32(map_.hidden.reshape(width, units)),
            _float32(map_.bias),
            _float32(map_.out.reshape(units, targets.shape[1])),
            strength,
            **kernel,
        )

    @classmethod
    def affine(
        cls,
        intercept: Float64Array,
        weights: Float64Array,
        effects: Float64Array,
        bare_intercept: Float64Array,
        bare_effects: Float64Array,
        strength: float = np.inf,
    ) -> Self:
        """Build an affine map from its parts; shapes are those of the fields."""
        return cls(
            _float32(intercept),
            _float32(weights),
            _float32(effects),
            _float32(bare_intercept),
            _float32(bare_effects),
            *_no_hidden_units(*weights.shape),
            strength,
        )

    @property
    def is_affine(self) -> bool:
        """Whether the map has no hidden units and no kernel."""
        return not len(self.bias) and not len(self.landmarks)

    def require_affine(self, purpose: str) -> None:
        """Raise InvalidArgumentError, naming the purpose, if the map is not affine."""
        if not self.is_affine:
            raise InvalidArgumentError(
                f"{purpose} needs a content map that is affine in the embedding, and this one is "
                "not: fit with content_map.kind 'ridge', 'low-rank' or 'cosine'"
            )

    def predict(self, content: ItemContent) -> Float32Array:
        """Predict the vectors of items, float32 [n_items, d]; many are computed in blocks."""
        if len(content) <= _BLOCK:
            return self._predict(content)
        found = np.empty((len(content), len(self.intercept)), np.float32)
        for start in range(0, len(content), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(content)))
            found[rows] = self._predict(content.take(rows))
        return found

    def _predict(self, content: ItemContent) -> Float32Array:
        embedded = content.has_embedding[:, None]
        from_embedding = (
            self.intercept + content.embeddings @ self.weights + content.metadata @ self.effects
        )
        if len(self.bias):
            hidden = np.maximum(content.embeddings @ self.hidden + self.bias, 0)
            from_embedding += hidden @ self.out
        if len(self.landmarks):
            from_embedding += self.kernel(content.embeddings.astype(np.float64))
        from_metadata = self.bare_intercept + content.metadata @ self.bare_effects
        return np.where(embedded, from_embedding, from_metadata).astype(np.float32)

    @property
    def kernel(self) -> KernelMap:
        """The part of a kernel map that an embedding's neighbours add."""
        return KernelMap(
            self.center.astype(np.float64),
            self.inverse_scale.astype(np.float64),
            self.landmarks.astype(np.float64),
            self.precision,
            self.kernel_weights.astype(np.float64),
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the map as arrays to save."""
        return {**vars(self), **{name: np.array(getattr(self, name)) for name in _SCALARS}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild a map from `arrays`; those of the first model format are affine, unshrunk.

        Raises:
            ValueError: the arrays do not fit together.
        """
        hidden, bias, out = _no_hidden_units(*arrays["weights"].shape)
        parts: dict[str, Any] = {
            "hidden": hidden,
            "bias": bias,
            "out": out,
            **arrays,
            **{name: float(arrays[name]) for name in _SCALARS if name in arrays},
        }
        found = cls(**parts)
        (width, d), units, values = found.weights.shape, len(found.bias), len(found.effects)
        shapes = {
            "intercept": (d,), "bare_intercept": (d,), "effects": (values, d),
            "bare_effects": (values, d), "hidden": (width, units), "bias": (units,),
            "out": (units, d),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(found, name).shape != shape:
                raise ValueError(f"{name} of a content map does not fit its weights")
        if n := len(found.landmarks):
            of_kernel = {
                "landmarks": (n, width), "kernel_weights": (n, d), "center": (width,),
                "inverse_scale": (width,),
            }  # fmt: skip
            for name, shape in of_kernel.items():
                if getattr(found, name).shape != shape:
                    raise ValueError(f"{name} of a content map does not fit its weights")
        return found


def _no_hidden_units(width: int, d: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return `hidden`, `bias` and `out` of an affine map."""
    return (
        np.zeros((width, 0), np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, d), np.float32),
    )


def _group_effects(
    metadata: sp.csr_matrix,
    residuals: Float32Array | Float64Array,
    w: Float64Array,
    prior: float,
    level: Float64Array | float = 0.0,
) -> Float64Array:
    """Return the shrunken weighted mean residual of the items with each metadata value, [m, d].

    Backfitting divides an item's residual among its values: frequent values (a genre) are fitted
    first, then rarer ones (an artist) to what remains.

    Args:
        metadata: values of the items, CSR [n, m].
        residuals: float [n, d].
        w: weights of the items, float64 [n].
        prior: items that the mean 0 is worth.
        level: is subtracted from the residuals, float64 [d].
    """
    members = metadata.tocsc()
    effects = np.zeros((metadata.shape[1], residuals.shape[1]))
    if not len(effects):
        return effects
    left = residuals.astype(np.float64) - level
    for value in np.argsort(-np.diff(members.indptr), kind="stable"):
        rows = members.indices[members.indptr[value] : members.indptr[value + 1]]
        if len(rows):
            effects[value] = (w[rows] @ left[rows]) / (w[rows].sum() + prior)
            left[rows] -= effects[value]
    return effects


def _mean_in_blocks(values: Float32Array, w: Float64Array) -> Float64Array:
    """Return the weighted mean of the rows, few at once; zeros if all weights are zero."""
    total = np.zeros(values.shape[1])
    for start in range(0, len(values), _BLOCK):
        rows = slice(start, start + _BLOCK)
        total += w[rows] @ values[rows].astype(np.float64)
    return total / w.sum() if w.sum() > 0 else total


def _float32(values: Float64Array) -> Float32Array:
    return np.ascontiguousarray(values, dtype=np.float32)
