"""Fusion: combine the vectors of several sources into one, whose inner product blends their scores.

A user's scores under each source are centred and divided by their standard deviation over the warm
items that the source knows, then weighted and summed. The deviation is ``s = sqrt(pᵀ Σ p)`` with Σ
the items' covariance, so no score has to be computed for it; the mean is subtracted from the item
vectors. An item that a source does not know has the zero vector there and keeps it: the source
counts neither for nor against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray

_ROWS = 16_384
"""Vectors computed in double precision at once."""

_MOST_RATIO = 20.0
"""By how much warm and cold weights may differ where one is turned into the other."""


@dataclass(frozen=True)
class Block:
    """One source's columns in the fused vectors, and how its vectors are scaled to get there.

    Examples:
        >>> items, is_cold = np.float32([[1], [3]]), np.array([False, False])
        >>> (block,) = make_blocks({"als": items}, is_cold, {"als": 1.0}, {"als": 0.5})
        >>> block.fuse_items(items, is_cold).tolist()  # centred
        [[-1.0], [1.0]]
        >>> block.fuse_users(np.float32([[5]])).tolist()  # scores have deviation 1
        [[1.0]]
    """

    name: str
    """Name of the source."""

    columns: slice
    """The source's columns in the fused vectors."""

    mean: Float32Array
    """Mean of the source's vectors of the warm items it knows, float32 [d]."""

    covariance: Float64Array
    """Covariance of these vectors, float64 [d, d]."""

    n_items: int
    """Number of these items."""

    warm: float
    """Weight of the source for warm items."""

    cold: float
    """Weight of the source for cold items."""

    def fuse_users(self, vectors: Float32Array) -> Float32Array:
        """Scale users' vectors [n, d] by the deviation of their scores; zero if that is zero."""
        fused = np.empty(vectors.shape, np.float32)
        for rows in _blocks(len(vectors)):
            p = vectors[rows].astype(np.float64)
            deviation = self._deviations(p)[:, None]
            fused[rows] = np.divide(p, deviation, out=np.zeros_like(p), where=deviation > 0)
        return fused

    def user_scales(self, vectors: Float32Array) -> Float32Array:
        """Return the deviations by which `fuse_users` divides, [n]; 0 where it returns zeros."""
        scales = np.empty(len(vectors), np.float32)
        for rows in _blocks(len(vectors)):
            scales[rows] = self._deviations(vectors[rows].astype(np.float64))
        return scales

    def _deviations(self, p: Float64Array) -> Float64Array:
        """Return the standard deviation of each user's scores over the warm items."""
        deviation = np.sqrt(np.maximum(((p @ self.covariance) * p).sum(axis=1), 0))
        # If all items score alike, the deviation is the rounding error of the scores.
        known = deviation > 1e-6 * (np.linalg.norm(p, axis=1) * self.size + 1e-300)
        return np.where(known, deviation, 0)

    @property
    def gram(self) -> Float64Array:
        """VᵀV of the warm items' vectors V, float64 [d, d]."""
        mean = self.mean.astype(np.float64)
        return self.n_items * (self.covariance + np.outer(mean, mean))

    @cached_property
    def size(self) -> float:
        """Root mean square length of the warm items' vectors."""
        mean = self.mean.astype(np.float64)
        return float(np.sqrt(self.covariance.trace() + mean @ mean))

    def fuse_items(self, vectors: Float32Array, is_cold: BoolArray) -> Float32Array:
        """Centre and weigh items' vectors [n, d]."""
        fused = np.empty(vectors.shape, np.float32)
        for rows in _blocks(len(vectors)):
            own = vectors[rows]
            known = own.any(axis=1, keepdims=True)
            fused[rows] = np.where(known, (own - self.mean) * self._weights(is_cold[rows]), 0)
        return fused

    def unfuse_items(self, fused: Float32Array, is_cold: BoolArray) -> Float32Array:
        """Recover the source's vectors [n, d] of items from their fused vectors [n, D]."""
        own = fused[:, self.columns]
        known = own.any(axis=1, keepdims=True)  # no item, if the weight is zero
        weight = self._weights(is_cold)
        return np.where(known, own / np.where(weight == 0, 1, weight) + self.mean, 0)

    def as_known(self, predicted: Float32Array, share: float) -> Float32Array:
        """Scale a predicted vector [d] so that it counts at the warm weight as at the cold one.

        share: how much of the way to the warm weight has been gone, 0 to 1.

        Examples:
            >>> block = Block("als", slice(0, 1), np.float32([1]), np.eye(1), 9, 0.5, 1.0)
            >>> [block.as_known(np.float32([3]), share).tolist() for share in (0.0, 0.5, 1.0)]
            [[5.0], [4.0], [3.0]]
        """
        if not self.warm or not predicted.any():
            return predicted
        ratio = float(np.clip(self.cold / self.warm, 1 / _MOST_RATIO, _MOST_RATIO))
        scale = np.float32(share + (1 - share) * ratio)
        return np.asarray(self.mean + scale * (predicted - self.mean), np.float32)

    def _weights(self, is_cold: BoolArray) -> Float32Array:
        """Return the weight of each item, float32 [n, 1]."""
        return np.where(is_cold, self.cold, self.warm).astype(np.float32)[:, None]


def _blocks(n: int) -> list[slice]:
    """Divide n rows into blocks, which are computed in double precision one after the other."""
    return [slice(start, start + _ROWS) for start in range(0, n, _ROWS)]


def make_blocks(
    items: Mapping[str, Float32Array],
    is_cold: BoolArray,
    warm_weights: Mapping[str, float],
    cold_weights: Mapping[str, float],
) -> tuple[Block, ...]:
    """Create the blocks of the fused vectors.

    Args:
        items: each source's item vectors, float32 [n_items, d].
        is_cold: which items are cold, bool [n_items].
        warm_weights: weight of each source for warm items.
        cold_weights: weight of each source for cold items.

    Returns:
        A block for each source, in the order of `items`.
    """
    blocks: list[Block] = []
    start = 0
    for name, vectors in items.items():
        known = np.flatnonzero(~is_cold & vectors.any(axis=1))
        n, d = max(len(known), 1), vectors.shape[1]
        parts = [known[rows] for rows in _blocks(len(known))]
        mean = sum((vectors[part].sum(axis=0, dtype=np.float64) for part in parts), np.zeros(d)) / n
        covariance = np.zeros((d, d))
        for part in parts:
            apart = vectors[part].astype(np.float64) - mean
            covariance += apart.T @ apart / n
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
    """Fuse each source's user vectors [n, d] to float32 [n, D]."""
    return np.hstack([block.fuse_users(vectors[block.name]) for block in blocks])


def user_scales(blocks: Sequence[Block], vectors: Mapping[str, Float32Array]) -> Float32Array:
    """Return the deviation by which fusion divides each user's block, float32 [n, n_blocks]."""
    return np.stack([block.user_scales(vectors[block.name]) for block in blocks], axis=1)


def fuse_items(
    blocks: Sequence[Block], vectors: Mapping[str, Float32Array], is_cold: BoolArray
) -> Float32Array:
    """Fuse each source's item vectors [n, d] to float32 [n, D]."""
    return np.hstack([block.fuse_items(vectors[block.name], is_cold) for block in blocks])


def shrink_doubted(
    blocks: Sequence[Block],
    vectors: dict[str, Float32Array],
    unheard: Mapping[str, Float32Array],
    rows: IntArray,
    trust: Float32Array,
) -> dict[str, Float32Array]:
    """Shrink vectors that are not fully believed to what is known without the embedding.

    That is what metadata predict, or the mean where they say nothing, as a zero vector does.

    Args:
        blocks: where each source's mean is taken from.
        vectors: each source's item vectors [n, d], predicted from all content.
        unheard: those of some rows, predicted without the embedding, [len(rows), d].
        rows: the rows.
        trust: how much of what each of them predicts from its embedding is believed, 0 to 1.
    """
    part = trust[:, None]
    shrunk = {name: own.copy() for name, own in vectors.items()}
    for block in blocks:
        told = unheard[block.name]
        rest = np.where(told.any(axis=1, keepdims=True), told, block.mean)
        own = shrunk[block.name]
        heard = own[rows]
        doubted = part * heard + (1 - part) * rest
        own[rows] = np.where(heard.any(axis=1, keepdims=True), doubted, heard)
    return shrunk


def unfuse_items(
    blocks: Sequence[Block], fused: Float32Array, is_cold: BoolArray
) -> dict[str, Float32Array]:
    """Recover each source's item vectors [n, d] from fused ones [n, D]."""
    vectors = {}
    for block in blocks:
        vectors[block.name] = block.unfuse_items(fused, is_cold)
    return vectors
