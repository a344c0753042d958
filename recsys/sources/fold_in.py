"""Fold-in: a vector for a user the model was not trained on, from the items they played.

One weighted least-squares solve per source against fixed item vectors, as implicit ALS folds a
user in (Hu, Koren and Volinsky, 2008): every item is wanted 0 with confidence 1, a played one is
wanted 1 with confidence ALPHA. It serves sources that were not trained by least squares as well,
and cold items in the history, since they have vectors like any other.
"""

import numpy as np

from datasets.arrays import Float32Array, Float64Array

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
