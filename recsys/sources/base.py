"""What a source of evidence is: something that gives users and items vectors.

A source's score of an item for a user is the inner product of their vectors. A new source is one
file with a class that follows :class:`Source`, and one line in ``recsys/sources/registry.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray


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


class Source(Protocol):
    """One source of evidence."""

    def fit(self, data: TrainingData) -> Vectors:
        """Learn; return vectors of all users and items of ``data``, cold items included."""

    def item_vectors(self, content: ItemContent) -> Float32Array:
        """Vectors float32 [n, d] of items nobody has played, from their content alone."""

    def fold_in(
        self, history: Float32Array, weights: Float32Array, gram: Float64Array
    ) -> Float32Array:
        """A vector float32 [d] for a new user.

        history: [h, d] vectors of the items they played; weights: [h], plays;
        gram: [d, d], the warm items' VᵀV.
        """

    def item_from_plays(
        self,
        predicted: Float32Array | None,
        listeners: Float32Array,
        weights: Float32Array,
        gram: Float64Array,
    ) -> Float32Array:
        """A vector float32 [d] for an item from who plays it.

        predicted: [d], what :meth:`item_vectors` says, None where the item has no content that it
        could be predicted from; listeners: [n, d], this source's vectors of the users who play it;
        weights: [n], plays; gram: [d, d], all users' PᵀP. Without listeners it is ``predicted``,
        or zero.
        """

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The state that :meth:`item_vectors` needs, as arrays to save."""

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Take up a state that :meth:`arrays` gave."""
