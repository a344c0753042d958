"""Fold-in: a vector for a user the model was not trained on, from the items they played.

One weighted least-squares solve per source against fixed item vectors, as implicit ALS folds a
user in (Hu, Koren and Volinsky, 2008): every item is wanted 0 with confidence 1, a played one is
wanted 1 with confidence ALPHA. It serves sources that were not trained by least squares as well,
and cold items in the history, since they have vectors like any other.

Fold-in of items: a vector for an item from the users who play it, as one of users from items.

The same weighted least-squares solve as for a user (:mod:`recsys.sources.fold_in`), with the sides
exchanged, then shrunk towards what the item's content predicts (:mod:`recsys.content.shrinkage`).
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from recsys.content.shrinkage import shrink

ALPHA = 10.0
"""Confidence of a played item, in units of an unplayed one."""

RIDGE = 0.3
"""L2 penalty on the new vector, in units of the items' mean energy per dimension."""


def least_squares(history: Float32Array, weights: Float32Array, gram: Float64Array) -> Float32Array:
    """A user vector float32 [d].

    history: [h, d] vectors of the played items; weights: [h], 1 for a usual play;
    gram: [d, d], VᵀV over the catalogue.
    """
    X = history.astype(np.float64)
    confidence = ALPHA * weights.astype(np.float64)
    # A catalogue of one item sets nobody apart: its vectors are zero, and any unit gives zero.
    unit = float(np.trace(gram)) / len(gram) or float((X**2).sum()) or 1.0
    left = gram + (X.T * (confidence - 1)) @ X + RIDGE * unit * np.eye(len(gram))
    return np.linalg.solve(left, X.T @ confidence).astype(np.float32)


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
