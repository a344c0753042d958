"""A varied order of items for somebody of whom nothing is known, where nothing has been played.

Without plays there are no popular items. A listener is shown in turn the most typical song of each
kind of sound, the largest kind first, then the next most typical one of each: whatever they play
first says much about their taste, and the first plays do not all go to whatever stands first in the
catalogue. The kinds are clusters of the embeddings of the fit (k-means).
"""

import warnings

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.system.locks import Order, ThreadLock
from recsys.model.live import LiveModel
from recsys.ranking.similarity import unit_vectors

N_KINDS = 10
"""Kinds of sound at most: the default length of a list."""

_SAMPLE = 5_000
"""Items that the kinds are found among."""


def varied_order(model: LiveModel, rows: IntArray) -> IntArray:
    """Order rows so that every kind of sound comes early; those without a sound come last.

    Args:
        model: the model.
        rows: rows of items, each of them once.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> first = varied_order(model, model.items.active)[:10]
        >>> sorted(set(model.items.texts("genre", first)))
        ['jazz', 'rock']
    """
    kinds: _Kinds = model.items.cached("kinds of sound", lambda: _Kinds(model))
    kind, typical = (values[rows] for values in kinds.up_to(model))
    # The most typical first; then the place of each among those of its kind.
    order = np.lexsort((rows, -typical, kind))
    sizes = np.bincount(kind + 1, minlength=1)
    starts = np.cumsum(sizes) - sizes
    nth = np.empty(len(rows), np.intp)
    nth[order] = np.arange(len(rows)) - starts[kind[order] + 1]
    unheard = kind < 0
    size = np.where(unheard, 0, sizes[kind + 1])
    return rows[np.lexsort((rows, kind, -size, np.where(unheard, 0, nth), unheard))]


class _Kinds:
    """The kind of each row, -1 without a sound, and how typical it is of it; extended with rows."""

    def __init__(self, model: LiveModel) -> None:
        heard = np.flatnonzero(model.state.has_embedding)
        fitted = unit_vectors(model, "sound")[heard]
        self._centres = _centres(fitted[fitted.any(axis=1)], model.state.config.seed)
        self._lock = ThreadLock("the kinds of sound", Order.PART)
        self._kind: IntArray = np.empty(0, np.intp)
        self._typical: Float32Array = np.empty(0, np.float32)

    def up_to(self, model: LiveModel) -> tuple[IntArray, Float32Array]:
        """The kinds of a model's rows, and the cosine of each with the centre of its kind."""
        count = len(model.items)
        vectors = unit_vectors(model, "sound")
        with self._lock.held("finding kinds of sound"):
            old = len(self._kind)
            if count > old:
                new = vectors[old:count]
                likeness = new @ self._centres.T
                heard = new.any(axis=1) & bool(len(self._centres))
                kind = np.full(len(new), -1)
                typical = np.zeros(len(new), np.float32)
                if heard.any():
                    kind[heard] = likeness[heard].argmax(axis=1)
                    typical[heard] = likeness[heard].max(axis=1)
                self._kind = np.append(self._kind, kind)
                self._typical = np.append(self._typical, typical)
            return self._kind[:count], self._typical[:count]

    def first(self, count: int) -> "_Kinds":
        """The same of the first rows alone."""
        other = _Kinds.__new__(_Kinds)
        other._centres, other._lock = self._centres, ThreadLock("the kinds of sound", Order.PART)
        with self._lock.held("taking the first rows"):
            other._kind, other._typical = self._kind[:count], self._typical[:count]
        return other


def _centres(vectors: Float32Array, seed: int) -> Float32Array:
    """Unit vectors [kinds, e] in the middle of clusters of unit vectors [n, e]."""
    from scipy.cluster.vq import kmeans2
    from sklearn.cluster import kmeans_plusplus

    if not len(vectors):
        return vectors
    if len(vectors) > _SAMPLE:
        rows = np.random.default_rng(seed).choice(len(vectors), _SAMPLE, replace=False)
        vectors = vectors[np.sort(rows)]
    exact = vectors.astype(np.float64)
    n = min(N_KINDS, len(np.unique(exact, axis=0)))
    start, _ = kmeans_plusplus(exact, n, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster is left out below
        centres, kind = kmeans2(exact, start, minit="matrix")
    centres = centres[np.unique(kind)]
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return np.divide(centres, lengths, out=np.zeros_like(centres), where=lengths > 0).astype(
        np.float32
    )
