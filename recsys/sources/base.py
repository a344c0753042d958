"""What a source of evidence is: something that gives users and items vectors.

A source's score of an item for a user is the inner product of their vectors. A new source is one
file with a class that follows :class:`Source`, and one line in ``recsys/sources/registry.py``.
"""

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from recsys.data import ItemContent, TrainingData, Vectors


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
