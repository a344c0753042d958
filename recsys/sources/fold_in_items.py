"""Fold-in of items: a vector for an item from the users who play it, as one of users from items.

The same weighted least-squares solve as for a user (:mod:`recsys.sources.fold_in`), with the sides
exchanged, then shrunk towards what the item's content predicts (:mod:`recsys.content.shrinkage`).
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from recsys.content.shrinkage import shrink
from recsys.sources.fold_in import least_squares


def item_vector(
    predicted: Float32Array | None,
    listeners: Float32Array,
    weights: Float32Array,
    gram: Float64Array,
    k: float,
) -> Float32Array:
    """The vector float32 [d] of an item; ``predicted``, or zero, where nobody has played it.

    predicted: [d], None for an item without content: what a map says of those is the mean of all
    items, which knows nothing of this one, and the fit does not shrink towards it either;
    listeners: [n, d], the users' vectors; weights: [n], 1 for a usual play;
    gram: [d, d], the users' PᵀP; k: listeners that what is predicted counts as.
    """
    n = len(listeners)
    if predicted is None:
        return least_squares(listeners, weights, gram)
    if not n:
        return predicted
    learned = least_squares(listeners, weights, gram)
    return shrink(learned[None], predicted[None], np.array([n]), k)[0]
