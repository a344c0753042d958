"""Fusion: several pairs of vectors become one pair whose inner product blends their scores.

A user's scores under each source are centred and divided by their standard deviation over the
warm items that the source knows, then weighted and summed. The deviation is ``s = sqrt(pᵀ Σ p)``
with Σ the items' covariance, so nothing is scored to find it; the mean is taken off the items'
side. An item of which a source knows nothing has the zero vector there and keeps it: the source
speaks neither for nor against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array


@dataclass(frozen=True)
class Block:
    """Where a source stands in the fused vectors, and how its vectors get there.

    mean [d] and covariance [d, d] of the source's vectors of the warm items it knows, and how many
    those are; warm and cold: its weight for items with and without listeners.
    """

    name: str
    columns: slice
    mean: Float32Array
    covariance: Float64Array
    n_items: int
    warm: float
    cold: float

    def fuse_users(self, vectors: Float32Array) -> Float32Array:
        """This block of users' fused vectors [n, d]; zero where all items score alike."""
        p = vectors.astype(np.float64)
        deviation = self._deviations(p)[:, None]
        fused = np.divide(p, deviation, out=np.zeros_like(p), where=deviation > 0)
        return fused.astype(np.float32)

    def user_scales(self, vectors: Float32Array) -> Float32Array:
        """What :meth:`fuse_users` divides each user's vector by, [n]; 0 where it gives zero."""
        return self._deviations(vectors.astype(np.float64)).astype(np.float32)

    def _deviations(self, p: Float64Array) -> Float64Array:
        deviation = np.sqrt(np.maximum(((p @ self.covariance) * p).sum(axis=1), 0))
        # Where all items score alike, the deviation is rounding noise of the scores.
        known = deviation > 1e-6 * (np.linalg.norm(p, axis=1) * self.size + 1e-300)
        return np.where(known, deviation, 0)

    @property
    def gram(self) -> Float64Array:
        """VᵀV of the warm items' vectors, [d, d]."""
        mean = self.mean.astype(np.float64)
        return self.n_items * (self.covariance + np.outer(mean, mean))

    @property
    def size(self) -> float:
        """The root mean square length of the warm items' vectors."""
        mean = self.mean.astype(np.float64)
        return float(np.sqrt(self.covariance.trace() + mean @ mean))

    def fuse_items(self, vectors: Float32Array, is_cold: BoolArray) -> Float32Array:
        """This block of items' fused vectors [n, d]."""
        known = vectors.any(axis=1, keepdims=True)
        return np.where(known, (vectors - self.mean) * self._weight(is_cold), 0)

    def unfuse_items(self, fused: Float32Array, is_cold: BoolArray) -> Float32Array:
        """The source's vectors [n, d] of items with these fused vectors [n, D]."""
        own = fused[:, self.columns]
        known = own.any(axis=1, keepdims=True)  # none where the weight is zero
        weight = self._weight(is_cold)
        return np.where(known, own / np.where(weight == 0, 1, weight) + self.mean, 0)

    def _weight(self, is_cold: BoolArray) -> Float32Array:
        return np.where(is_cold, self.cold, self.warm).astype(np.float32)[:, None]


def make_blocks(
    items: Mapping[str, Float32Array],
    is_cold: BoolArray,
    warm_weights: Mapping[str, float],
    cold_weights: Mapping[str, float],
) -> tuple[Block, ...]:
    """Blocks for sources' item vectors [n, d], in order."""
    blocks: list[Block] = []
    start = 0
    for name, vectors in items.items():
        known = vectors[~is_cold & vectors.any(axis=1)].astype(np.float64)
        mean = known.sum(axis=0) / max(len(known), 1)
        known -= mean
        covariance = (known.T @ known) / max(len(known), 1)
        columns = slice(start, start + vectors.shape[1])
        blocks.append(
            Block(
                name,
                columns,
                mean.astype(np.float32),
                covariance,
                len(known),
                warm_weights[name],
                cold_weights[name],
            )
        )
        start = columns.stop
    return tuple(blocks)


def fuse_users(blocks: Sequence[Block], vectors: Mapping[str, Float32Array]) -> Float32Array:
    """Fused user vectors float32 [n, D] from each source's [n, d]."""
    return np.hstack([block.fuse_users(vectors[block.name]) for block in blocks])


def user_scales(blocks: Sequence[Block], vectors: Mapping[str, Float32Array]) -> Float32Array:
    """What fusion divides each user's block by, float32 [n, n_blocks]."""
    return np.stack([block.user_scales(vectors[block.name]) for block in blocks], axis=1)


def fuse_items(
    blocks: Sequence[Block], vectors: Mapping[str, Float32Array], is_cold: BoolArray
) -> Float32Array:
    """Fused item vectors float32 [n, D] from each source's [n, d]."""
    return np.hstack([block.fuse_items(vectors[block.name], is_cold) for block in blocks])


def shares(blocks: Sequence[Block], user: Float32Array, items: Float32Array) -> Float64Array:
    """How much of each score each source gave, float64 [n, n_blocks], rows summing to 1.

    Only what speaks *for* an item counts: a block that lowers the score has share 0. Where no
    block speaks for it, the shares are equal.
    """
    parts = np.stack(
        [items[:, block.columns] @ user[block.columns] for block in blocks], axis=1
    ).astype(np.float64)
    favour = np.maximum(parts, 0)
    total = favour.sum(axis=1, keepdims=True)
    return np.divide(favour, total, out=np.full_like(favour, 1 / len(blocks)), where=total > 0)
