"""EASE in low rank: what an item's neighbours say, each neighbour with its own weight.

EASE (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019) predicts a user's
plays x by x·B, where B has no diagonal and solves a ridge regression in closed form:
``B = I - P diag(1 / diag P)`` with ``P = (XᵀX + λI)⁻¹``. With ``X = U S Vᵀ`` and
``D = S² / (S² + λ)``, P is ``(I - V D Vᵀ) / λ``, and for an item j that the user has not played

    (x·B)_j = (x V) D v_jᵀ / (1 - v_j D v_jᵀ),

an inner product. Cut to the largest singular values, users and items have short vectors, and the
memory of the n × n matrix is never needed; with all of them the score is that of EASE itself.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from recsys.config import ContentMapConfig, EASEConfig
from recsys.content.mapping import ContentMap
from recsys.content.shrinkage import settle, shrink
from recsys.data import ItemContent, TrainingData, Vectors

_SELF = 1 - 1e-6
"""Most of an item that its own plays can explain: at 1 its vector would be infinite."""


class EASESource:
    """Users ``x V √D`` and items ``√D v / (1 - v D vᵀ)``; cold items by the content map."""

    def __init__(self, config: EASEConfig, content_map: ContentMapConfig) -> None:
        self.config = config
        self.map_config = content_map
        self.map: ContentMap | None = None
        self._squares: Float64Array = np.empty(0)

    def fit(self, data: TrainingData) -> Vectors:
        """Vectors of length ``config.rank``, or less where the plays have no such rank."""
        plays = data.plays.astype(np.float64)
        plays.data[:] = 1
        values, right = _singular(plays, self.config.rank, data.seed)
        self._squares = values**2
        shrunk = self._squares / (self._squares + self.config.regularization)
        half = right * np.sqrt(shrunk)
        own = np.minimum((half**2).sum(axis=1), _SELF)
        items = (half / (1 - own)[:, None]).astype(np.float32)
        users = np.asarray(plays @ half, np.float32)
        listeners = data.listeners
        learned = ContentMap.fit(data.content, items, listeners, data.artists, self.map_config)
        self.map, items = settle(
            learned, data, Vectors(users, items), self.map_config, self._from_listeners
        )
        return Vectors(users, items)

    def item_vectors(self, content: ItemContent) -> Float32Array:
        assert self.map is not None
        return self.map.predict(content)

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        """The sum of what each played item adds, ``√D v``: exactly the vector of a trained user."""
        vectors = history.astype(np.float64)
        # Of an item's vector q = h / (1 - |h|²) only the length is lost: t = |q|² gives |h|².
        t = (vectors**2).sum(axis=1)
        own = 2 * t / (2 * t + 1 + np.sqrt(4 * t + 1))
        return ((1 - own) @ vectors).astype(np.float32)

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        assert self.map is not None
        learned = self._from_listeners(listeners, weights, gram)
        if predicted is None:
            return learned
        n = np.array([len(listeners)])
        return shrink(learned[None], predicted[None], n, self.map.shrinkage)[0]

    def _from_listeners(
        self, listeners: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        """The vector [d] of an item that these users [n, d] play.

        ``v = Σ u / S`` over their left singular vectors u, which is exact for an item of the fit.
        """
        half = listeners.astype(np.float64).sum(axis=0) / self._squares
        return (half / (1 - min(float(half @ half), _SELF))).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        assert self.map is not None
        return {**self.map.arrays(), "squares": self._squares}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        parts = dict(arrays)
        self._squares = np.asarray(parts.pop("squares"))
        self.map = ContentMap.from_arrays(parts)
        return self


def _singular(plays: sp.csr_matrix, rank: int, seed: int) -> tuple[Float64Array, Float64Array]:
    """The largest singular values [r] and their right vectors [n_items, r], none of them zero."""
    n = min(plays.shape)
    if rank < n // 2:
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(seed).standard_normal(n)
        _, values, right = svds(plays, k=rank, v0=start, return_singular_vectors="vh")
        right = right.T
    else:
        small = plays if plays.shape[0] <= plays.shape[1] else plays.T
        squares, left = np.linalg.eigh((small @ small.T).toarray())
        values = np.sqrt(np.maximum(squares, 0))
        right = np.asarray(plays.T @ left) / np.maximum(values, 1e-12) if small is plays else left
    order = np.argsort(-values, kind="stable")[:rank]
    order = order[values[order] > 1e-6 * max(float(values.max(initial=0)), 1e-12)]
    return values[order], np.ascontiguousarray(right[:, order])
