"""Low-rank EASE: item-item ridge regression without a self-weight (Steck, WWW 2019).

EASE ("Embarrassingly shallow autoencoders for sparse data") predicts a user's plays x by x·B, where
B has a zero diagonal and solves a ridge regression in closed form: ``B = I - P diag(1 / diag P)``
with ``P = (XᵀX + λI)⁻¹``. With ``X = U S Vᵀ`` and ``D = S² / (S² + λ)``, P is ``(I - V D Vᵀ) / λ``,
and for an item j that the user has not played

    (x·B)_j = (x V) D v_jᵀ / (1 - v_j D v_jᵀ),

an inner product. Keeping only the largest singular values gives short vectors without ever
building the n × n matrix; keeping all of them gives exactly the scores of EASE. X holds the weights
of plays, by default relative to the user's mean.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from datasets.linear_algebra import largest_eigen
from recsys.config import ContentMapConfig, EASEConfig
from recsys.data import CSRArrays, TrainingData, Vectors, has_many_plays
from recsys.sources.base import FactorSource
from recsys.sources.fold_in import EASEFoldIn, weigh_matrix

_DENSE = 2500
"""Up to so many users or items, whichever are fewer, a dense matrix is decomposed."""

_MAX_SELF = 1 - 1e-6
"""Upper bound of ``v D vᵀ``, an item's weight on itself: at 1 its vector would be infinite."""


class EASESource(FactorSource):
    """Users ``x V √D`` and items ``√D v / (1 - v D vᵀ)``; cold items by the content map.

    Examples:
        >>> source = EASESource(EASEConfig(rank=8), ContentMapConfig())
        >>> source.fit(training_data).items.shape
        (30, 8)
    """

    def __init__(self, config: EASEConfig, content_map: ContentMapConfig) -> None:
        """Create an unfitted source with these settings."""
        super().__init__(content_map, EASEFoldIn(config.weighting))
        self.config = config
        self._squares: Float64Array = np.empty(0)

    def fit(self, data: TrainingData) -> Vectors:
        """Learn vectors of length ``config.rank``, or the rank of the plays if that is less."""
        exact = np.float32 if has_many_plays(data.plays) else np.float64
        plays = weigh_matrix(data.plays, self.config.weighting).astype(exact)
        values, right = _truncated_svd(plays, self.config.rank, data.seed)
        self._squares = values.astype(np.float64) ** 2
        shrunk = self._squares / (self._squares + self.config.regularization)
        half = right * np.sqrt(shrunk).astype(exact)
        own = np.minimum(np.einsum("ij,ij->i", half, half, dtype=np.float64), _MAX_SELF)
        items = (half / (1 - own).astype(exact)[:, None]).astype(np.float32)
        users = np.asarray(plays @ half, np.float32)
        return self.fit_content(data, Vectors(users, items))

    def learn_items(
        self, users: Float32Array, plays: CSRArrays, gram: Float64Array
    ) -> Float32Array:
        """Compute ``v = Σ u / S`` over the left singular vectors u of each item's users.

        All plays count as 1, which is exact for an item of a fit on binary weights; see
        `FactorSource.learn_items`.
        """
        sums = [users[rows].astype(np.float64).sum(axis=0) for rows in plays.columns()]
        half = np.stack(sums) / self._squares
        own = np.minimum((half[:, None, :] @ half[:, :, None]).ravel(), _MAX_SELF)
        return (half / (1 - own)[:, None]).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return content map, squared singular values and kind of weights as arrays to save."""
        binary = np.array(self.fold_in == EASEFoldIn("binary"))
        return {**super().arrays(), "squares": self._squares, "binary": binary}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Set the state that `arrays` returned; return the source."""
        parts = dict(arrays)
        self._squares = np.asarray(parts.pop("squares"))
        if parts.pop("binary", True):  # models of before there was a choice
            self.fold_in = EASEFoldIn("binary")
        super().restore(parts)
        if self._squares.shape != self._fitted_map().intercept.shape:
            raise ValueError("the squared singular values do not fit the content map")
        if not (np.isfinite(self._squares) & (self._squares > 0)).all():
            raise ValueError("a squared singular value is not a positive number")
        return self


def _truncated_svd(plays: sp.csr_matrix, rank: int, seed: int) -> tuple[Float64Array, Float64Array]:
    """Return the largest nonzero singular values [r] and their right vectors [n_items, r]."""
    n = min(plays.shape)
    if n <= _DENSE or rank >= n // 2:
        small = plays if plays.shape[0] <= plays.shape[1] else plays.T
        squares, left = largest_eigen((small @ small.T).toarray(), rank)
        values = np.sqrt(np.maximum(squares, 0))
        right = np.asarray(plays.T @ left) / np.maximum(values, 1e-12) if small is plays else left
    else:
        from scipy.sparse.linalg import ArpackError, svds

        start = np.random.default_rng(seed).standard_normal(n).astype(plays.dtype)
        try:
            _, values, right = svds(plays, k=rank, v0=start, return_singular_vectors="vh")
        except (
            ArpackError,
            np.linalg.LinAlgError,
        ):  # it does not converge; random projections need not
            from sklearn.utils.extmath import randomized_svd

            _, values, right = randomized_svd(plays, rank, random_state=seed)
        right = right.T
    order = np.argsort(-values, kind="stable")[:rank]
    order = order[values[order] > 1e-6 * max(float(values.max(initial=0)), 1e-12)]
    return values[order], np.ascontiguousarray(right[:, order])
