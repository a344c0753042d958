"""Similar items: cosine similarity by sound, by taste, or by all sources together."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from datasets.system.locks import Order, ThreadLock
from recsys.model.live import LiveModel
from recsys.model.state import SOURCES_LEFT_OUT, FittedState

Space = Literal["sound", "taste", "fused"]
"""What items are compared by: embeddings, the sources that know who plays them, or all sources."""

_ROOM = 1.25
"""How much larger than needed the array is made when added rows no longer fit."""


def similar_rows(model: LiveModel, row: int, k: int, by: Space) -> tuple[IntArray, Float32Array]:
    """Find the k rows most similar to one row.

    Returns:
        The rows and their cosine similarity; equally similar ones in order of rows.

    Raises:
        InvalidArgumentError: another space, or a row that has nothing to compare.
    """
    vectors, known = _cached(model, by).up_to(model)
    if not known[row]:
        name = model.items.ids(np.array([row]))[0]
        raise InvalidArgumentError(f"item {name!r} {what_lacks(by)}")
    return nearest_rows(model, vectors[row], k, by, other_than=row)


def nearest_rows(
    model: LiveModel, vector: Float32Array, k: int, by: Space, *, other_than: int | None = None
) -> tuple[IntArray, Float32Array]:
    """Find the k rows most similar to a unit vector [d] of the same kind.

    Args:
        model: the model.
        vector: a unit vector, as `unit_by_sound` or `unit_by_sources` makes it.
        k: how many rows.
        by: what items are compared by.
        other_than: a row to leave out.

    Returns:
        As `similar_rows`.
    """
    vectors, known = _cached(model, by).up_to(model)
    scores = vectors @ vector
    eligible = known.copy()
    if other_than is not None:
        eligible[other_than] = False
    eligible[model.items.retired] = False
    candidates = np.flatnonzero(eligible)
    if len(candidates) > k:
        kth = np.partition(scores[candidates], len(candidates) - k)[len(candidates) - k]
        candidates = candidates[scores[candidates] >= kth]
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
    return best, scores[best]


def what_lacks(by: Space) -> str:
    """Say what an item without a vector lacks, to follow its name.

    Examples:
        >>> what_lacks("taste")
        'has no listeners or content that sets it apart by taste'
    """
    lacks = "recording or embedding" if by == "sound" else "listeners or content"
    return f"has no {lacks} that sets it apart by {by}"


def unit_vectors(model: LiveModel, by: Space) -> Float32Array:
    """Return unit vectors float32 [rows, d] of all rows; zero where there is nothing to compare.

    They are computed once and cached with the model, and must not be written to.
    """
    return _cached(model, by).up_to(model)[0]


def unit_vectors_of(model: LiveModel, by: Space, rows: IntArray) -> Float32Array:
    """Compute unit vectors float32 [len(rows), d] of some rows, without caching them."""
    return _cached(model, by).make(model, rows)


def knows_likeness(model: LiveModel) -> bool:
    """Return whether anything tells items apart: an embedding, or a source besides popularity."""
    has_embeddings = bool(model.state.has_embedding.any())
    return has_embeddings or any(block.name != "popularity" for block in model.state.blocks)


def _cached(model: LiveModel, by: Space) -> "_UnitVectors":
    if by not in get_args(Space):
        raise InvalidArgumentError(f"by must be 'sound', 'taste' or 'fused', not {by!r}")

    def make() -> _UnitVectors:
        if by != "sound":
            unit_by_sources(model, by, model.index.vectors(np.empty(0, np.intp)))  # may raise
        return _UnitVectors(_by_sound if by == "sound" else _by_sources(by))

    return model.items.cached(f"unit vectors by {by}", make)


class _UnitVectors:
    """Unit vectors of rows, computed on first use and extended as rows are added."""

    def __init__(self, make: Callable[[LiveModel, IntArray], Float32Array]) -> None:
        self.make = make
        self._lock = ThreadLock("the unit vectors of the items", Order.PART)
        self._count = 0
        self._array = np.empty((0, 0), np.float32)
        self._known = np.empty(0, bool)

    def up_to(self, model: LiveModel) -> tuple[Float32Array, BoolArray]:
        """The vectors of a model's rows, and which of them are not zero."""
        count = len(model.items)
        with self._lock.held("computing unit vectors"):
            if count > self._count:
                new = self.make(model, np.arange(self._count, count))
                if count > len(self._array):
                    size = int(_ROOM * count) if self._count else count
                    array = np.empty((size, new.shape[1]), np.float32)
                    if self._count:
                        array[: self._count] = self._array[: self._count]
                    self._array = array
                self._array[self._count : count] = new
                self._known = np.append(self._known[: self._count], new.any(axis=1))
                self._count = count
            return self._array[:count], self._known[:count]

    def first(self, count: int) -> "_UnitVectors":
        """The vectors of the first rows alone."""
        other = _UnitVectors(self.make)
        with self._lock.held("taking the first rows"):
            other._count = count = min(count, self._count)
            other._array, other._known = self._array[:count], self._known[:count]
        return other


def unit_by_sound(state: FittedState, embeddings: Float32Array) -> Float32Array:
    """Compute unit vectors float32 [n, e] of embeddings, standardised by the fitted ones."""
    return _unit(state.standardised(embeddings))


def unit_by_sources(model: LiveModel, by: Space, fused: Float32Array) -> Float32Array:
    """Compute unit vectors of fused ones [n, D] in the spaces of several sources, side by side.

    Each source's part is brought to length one first, so that its weight is what the blend says.

    Raises:
        InvalidArgumentError: no source tells items apart so.
    """
    without = {"popularity"} | ({"content"} if by == "taste" else set())
    blocks = [block for block in model.state.blocks if block.name not in without]
    if not blocks:
        why = model.state.info.get(SOURCES_LEFT_OUT)
        raise InvalidArgumentError(
            f"this model has no source that knows taste{f': {why}' if why else ''}"
        )
    parts = [np.sqrt(np.float32(one.warm)) * _unit(fused[:, one.columns]) for one in blocks]
    return _unit(np.hstack(parts))


def _by_sound(model: LiveModel, rows: IntArray) -> Float32Array:
    embeddings, known = model.items.embeddings(rows)
    return unit_by_sound(model.state, embeddings) * known[:, None]


def _by_sources(by: Space) -> Callable[[LiveModel, IntArray], Float32Array]:
    return lambda model, rows: unit_by_sources(model, by, model.index.vectors(rows))


def _unit(vectors: Float32Array) -> Float32Array:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
