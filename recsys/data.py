"""What a play count says: one rule for every source."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array
from recsys.config import PlayWeighting


def weigh(plays: ArrayLike, weighting: PlayWeighting) -> Float32Array:
    """Play counts as 1, as log(1 + plays), or as they are; float32 of the same shape."""
    counts = np.asarray(plays, np.float32)
    if weighting == "binary":
        return np.ones_like(counts)
    return np.log1p(counts) if weighting == "log" else counts


def weigh_matrix(plays: sp.csr_matrix, weighting: PlayWeighting) -> sp.csr_matrix:
    """The same for a matrix; its sparsity stays."""
    return sp.csr_matrix((weigh(plays.data, weighting), plays.indices, plays.indptr), plays.shape)
