"""Similar items: cosines in the space of sound, of taste, or of all sources together."""

import threading
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from recsys.model.live import LiveModel

Space = Literal["sound", "taste", "fused"]

_ROOM = 1.25
"""How much larger than needed the array is made when onboarded rows no longer fit."""


def similar_rows(library: LiveModel, row: int, k: int, by: Space) -> tuple[IntArray, Float32Array]:
    """The k rows most like one row, and their cosine similarity; equal ones in order of rows.

    Raises InvalidArgumentError for another space, or where the row has nothing to compare.
    """
    vectors, known = _kept(library, by)
    if not known[row]:
        name = library.items.ids(np.array([row]))[0]
        lacks = "recording or embedding" if by == "sound" else "listeners or content"
        raise InvalidArgumentError(f"item {name!r} has no {lacks} that sets it apart by {by}")
    scores = vectors @ vectors[row]
    eligible = known.copy()
    eligible[row] = False
    eligible[library.items.retired] = False
    candidates = np.flatnonzero(eligible)
    if len(candidates) > k:
        kth = np.partition(scores[candidates], len(candidates) - k)[len(candidates) - k]
        candidates = candidates[scores[candidates] >= kth]
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
    return best, scores[best]


def unit_vectors(library: LiveModel, by: Space) -> Float32Array:
    """Unit vectors [rows, d] of all rows; zero where there is nothing to compare. Do not write.

    They are made once and kept with the library: 4 bytes times d for each row and space asked for.
    """
    return _kept(library, by)[0]


def unit_vectors_of(library: LiveModel, by: Space, rows: IntArray) -> Float32Array:
    """Unit vectors [len(rows), d] of these rows alone, as :func:`unit_vectors`; none are kept."""
    return _keeper(library, by).make(library, rows)


def knows_likeness(library: LiveModel) -> bool:
    """Whether anything tells items apart: an embedding, or a source that knows taste."""
    heard = bool(library.state.has_embedding.any())
    return heard or any(block.name != "popularity" for block in library.state.blocks)


def _kept(library: LiveModel, by: Space) -> tuple[Float32Array, BoolArray]:
    """Unit vectors [rows, d], and which of them are not zero [rows]."""
    return _keeper(library, by).up_to(library)


def _keeper(library: LiveModel, by: Space) -> "_Kept":
    if by not in get_args(Space):
        raise InvalidArgumentError(f"by must be 'sound', 'taste' or 'fused', not {by!r}")

    def make() -> _Kept:
        return _Kept(_sound(library) if by == "sound" else _fused(library, by))

    return library.items.cached(f"unit vectors {by}", make)


class _Kept:
    """Vectors of rows, made when first asked for.

    A row's vector depends on the row and the fit alone, so that onboarding makes none of them
    wrong: it only adds rows.
    """

    def __init__(self, make: Callable[[LiveModel, IntArray], Float32Array]) -> None:
        self.make = make
        self._turn = threading.Lock()
        self._count = 0
        self._array = np.empty((0, 0), np.float32)
        self._known = np.empty(0, bool)

    def up_to(self, library: LiveModel) -> tuple[Float32Array, BoolArray]:
        """The vectors of a library's rows, and which of them are not zero."""
        count = len(library.items)
        with self._turn:
            if count > self._count:
                new = self.make(library, np.arange(self._count, count))
                if count > len(self._array):
                    size = int(_ROOM * count) if self._count else count
                    array = np.empty((size, new.shape[1]), np.float32)
                    if self._count:
                        array[: self._count] = self._array[: self._count]
                    self._array = array
                self._array[self._count : count] = new
                self._known = np.append(self._known, new.any(axis=1))
                self._count = count
            return self._array[:count], self._known[:count]


def _sound(library: LiveModel) -> Callable[[LiveModel, IntArray], Float32Array]:
    """Unit embeddings, centred on the mean of the fitted ones."""
    state = library.state
    fitted = np.asarray(state.embeddings)[state.has_embedding]
    # In double precision, or embeddings that are all alike would differ by what rounding left.
    centre = fitted.mean(axis=0, dtype=np.float64).astype(np.float32) if len(fitted) else 0

    def make(library: LiveModel, rows: IntArray) -> Float32Array:
        embeddings, known = library.items.embeddings(rows)
        return _unit(np.where(known[:, None], embeddings - centre, 0).astype(np.float32))

    return make


def _fused(library: LiveModel, by: Space) -> Callable[[LiveModel, IntArray], Float32Array]:
    """Vectors in the spaces of several sources, side by side.

    Each source's part is brought to length one first, so that its weight is what the blend says.
    """
    without = {"popularity"} | ({"content"} if by == "taste" else set())
    blocks = [block for block in library.state.blocks if block.name not in without]
    if not blocks:
        raise InvalidArgumentError("this model has no source that knows taste")

    def make(library: LiveModel, rows: IntArray) -> Float32Array:
        fused = library.index.vectors(rows)
        parts = [np.sqrt(np.float32(one.warm)) * _unit(fused[:, one.columns]) for one in blocks]
        return _unit(np.hstack(parts))

    return make


def _unit(vectors: Float32Array) -> Float32Array:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
