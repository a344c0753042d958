"""What a play count says: one rule for every source."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from datasets.arrays import BoolArray, Float32Array, IntArray
from recsys.config import PlayWeighting


@dataclass(frozen=True)
class ItemContent:
    """What is known of items without anybody having played them.

    embeddings: float32 [n, e]; rows without one are zero.
    has_embedding: bool [n].
    metadata: CSR [n, m], one for each metadata value (artist, genre, ...) an item has.
    """

    embeddings: Float32Array
    has_embedding: BoolArray
    metadata: sp.csr_matrix

    def __len__(self) -> int:
        return len(self.has_embedding)

    def take(self, rows: IntArray) -> "ItemContent":
        """The content of some items, in the order of ``rows``."""
        return ItemContent(
            self.embeddings[rows], self.has_embedding[rows], self.metadata[rows].tocsr()
        )


@dataclass(frozen=True)
class TrainingData:
    """What sources learn from.

    plays: CSR float32 [n_users, n_items], summed play weights.
    content: content of the same n_items.
    artists: int [n_items], equal numbers for items of one artist.
    """

    plays: sp.csr_matrix
    content: ItemContent
    artists: IntArray
    seed: int
    threads: int

    @property
    def listeners(self) -> IntArray:
        """How many users have played each item, int [n_items]. Zero: the item is cold."""
        return np.bincount(self.plays.indices, minlength=self.plays.shape[1])


@dataclass(frozen=True)
class Vectors:
    """users: float32 [n_users, d]; items: float32 [n_items, d].

    The zero vector says that the source knows nothing of that user or item.
    """

    users: Float32Array
    items: Float32Array


PLAY_BOUNDS = (1e-30, 1e30)
"""Bounds of a play weight: as float32, one outside would be nothing, or infinite in a sum."""


def weigh(plays: ArrayLike, weighting: PlayWeighting) -> Float32Array:
    """Play counts as 1, as log(1 + plays), or as they are; float32 of the same shape."""
    counts = np.asarray(plays, np.float32)
    if weighting == "binary":
        return np.ones_like(counts)
    return np.log1p(counts) if weighting == "log" else counts


def weigh_matrix(plays: sp.csr_matrix, weighting: PlayWeighting) -> sp.csr_matrix:
    """The same for a matrix; its sparsity stays."""
    return sp.csr_matrix((weigh(plays.data, weighting), plays.indices, plays.indptr), plays.shape)
