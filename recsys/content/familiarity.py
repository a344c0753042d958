"""Familiarity: how much a recording sounds like what a model has learned from.

A sound is described by statistics of its hyper-image where the model makes one, and by its
embedding where it does not, as with given embeddings: a network that was trained to tell genres
sees nothing unusual in a kind of music that it was not taught (docs/decisions.md). The distance of
a description is the mean distance to its `_NEIGHBOURS` nearest references, which are those of songs
that the model has learned from. What distance is usual is measured on these songs themselves, each
without the songs of its own artist: as far as from them to the others is it to a song by an artist
who has never been heard.

The *familiarity* of a recording is the share of these artists' songs that are at least as far from
the others as it is, every artist counting the same (a conformal p-value: Vovk, Gammerman and
Shafer, Algorithmic Learning in a Random World, 2005). So a song by an unheard artist of the kinds
that are known has a familiarity that is spread evenly over 0 to 1, .5 on average; 5 % of such songs
are at .05 or below; and what is unlike everything is close to 0. Beyond the largest distance
measured, the share falls exponentially.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.linear_algebra import single_precision, symmetric_eigen
from recsys.content.kernel import standardisation

_NEIGHBOURS = 5
"""Nearest references whose mean distance counts, fewer if there are fewer."""

MOST_REFERENCES = 2048
"""Songs kept as references at most, drawn at random."""

LEAST_ARTISTS = 3
"""Fewest artists from whose songs usual distances are learned."""

UNKNOWN_FAMILIARITY = (
    "how familiar recordings sound is not known: that takes embeddings, which differ, of songs by "
    f"{LEAST_ARTISTS} artists"
)

DOUBTED = 0.05
"""Familiarity below which a song is recommended more carefully (docs/decisions.md)."""

_LEAST_PART = 1e-3
"""Of probabilities that is always believed, so that their order stays."""

_AT_ONCE = 2048
"""Sounds compared at once."""

_DIRECTIONS = 16
"""Principal directions of embeddings that are scaled to the same deviation; the others are scaled
like the last of these, so that what hardly varies does not count for more."""

_ARRAYS = ("center", "scale", "rotation", "references", "distances", "shares")

Description = Literal["sound", "embedding"]
"""What describes a sound: statistics of its hyper-image, or its embedding."""

DESCRIPTIONS: tuple[Description, ...] = get_args(Description)


def trust_of(familiarity: Float32Array | Float64Array) -> Float32Array:
    """Return how much of what a recording predicts is believed: familiarity / `DOUBTED`, at most 1.

    Where familiarity is not known (NaN), all of it is.

    Examples:
        >>> trust_of(np.array([0.5, 0.05, 0.0125, np.nan])).tolist()
        [1.0, 1.0, 0.25, 1.0]
    """
    known = np.where(np.isfinite(familiarity), familiarity, 1.0)
    return np.minimum(known / DOUBTED, 1).astype(np.float32)


def careful_scores(
    scores: Mapping[str, Mapping[str, float]] | None, familiarity: float | None
) -> dict[str, dict[str, float]] | None:
    """Return predicted probabilities, less sure where what is heard is not fully believed.

    What is not believed is spread evenly over the values of a tag: their sum and their order stay.

    Args:
        scores: {tag: {value: probability}}, or None.
        familiarity: of the recording; None where it is not known.

    Examples:
        >>> careful_scores({"genre": {"blues": 0.9, "jazz": 0.1}}, 0.5)
        {'genre': {'blues': 0.9, 'jazz': 0.1}}
        >>> careful_scores({"genre": {"blues": 1.0, "jazz": 0.0}}, DOUBTED / 2)
        {'genre': {'blues': 0.75, 'jazz': 0.25}}
        >>> careful_scores({"tags": {"blues": 0.75, "80s": 0.25, "sad": 0.5}}, 0.0125)
        {'tags': {'blues': 0.5625, '80s': 0.4375, 'sad': 0.5}}
    """
    if scores is None:
        return None
    (trust,) = trust_of(np.array([np.nan if familiarity is None else familiarity])).tolist()
    careful = {}
    for tag, values in scores.items():
        part = max(trust, _LEAST_PART)
        rest = (1 - part) * sum(values.values()) / max(len(values), 1)
        careful[tag] = {name: part * p + rest for name, p in values.items()}
    return careful


def caution(familiarity: float | None) -> str:
    """Say why a song of this familiarity is recommended more carefully; "" if it is not.

    Examples:
        >>> caution(0.02)[-62:]
        'so it is recommended more carefully: its sound counts only 40%'
        >>> caution(0.5), caution(None)
        ('', '')
    """
    if familiarity is None or not familiarity < DOUBTED:
        return ""
    (trust,) = trust_of(np.array([familiarity])).tolist()
    return (
        f"it sounds unlike what the model has learned from (familiarity {familiarity:.3f}), so it "
        f"is recommended more carefully: its sound counts only {trust:.0%}"
    )


@dataclass(frozen=True, repr=False)
class Familiarity:
    """Tells how familiar embeddings are; made by `learn_familiarity` or from its `arrays`.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> known, artists = rng.normal(size=(200, 8)).astype(np.float32), np.arange(200) // 2
        >>> familiarity, _ = learn_familiarity(known, artists)
        >>> unheard = familiarity.of(rng.normal(size=(500, 8)).astype(np.float32))
        >>> bool(0.4 < unheard.mean() < 0.6)
        True
        >>> familiarity.of(np.full((1, 8), 9, np.float32)).round(3).tolist()
        [0.0]
    """

    center: Float32Array
    """Mean of the descriptions, float32 [e]."""

    scale: Float32Array
    """By what each dimension is multiplied then, float32 [e]."""

    rotation: Float32Array
    """By what they are multiplied last, float32 [e, e]; [0, 0] for nothing."""

    references: Float32Array
    """Descriptions of songs, transformed so, float32 [m, e]."""

    distances: Float64Array
    """Distances of songs to the references of other artists, ascending, float64 [n]."""

    shares: Float64Array
    """How much each of them counts, 1 / number of songs of its artist, float64 [n]."""

    def __repr__(self) -> str:
        return f"<Familiarity: {len(self.references):,} songs of {self.n_artists:,} artists>"

    @property
    def n_artists(self) -> int:
        """Artists whose songs the usual distances are from."""
        return round(float(self.shares.sum()))

    def of(self, described: Float32Array) -> Float64Array:
        """Return the familiarity of sounds with descriptions [n, e], float64 [n], from 0 to 1."""
        X = _transformed(described, self.center, self.scale, self.rotation)
        return self._of_distances(_distances(X, self.references))

    def _of_distances(self, distances: Float64Array) -> Float64Array:
        """Return which share of the songs that were measured is at least so far away."""
        beyond = self._beyond[np.searchsorted(self.distances, distances, side="left")]
        shares = (beyond + 1) / (self.n_artists + 1)
        excess = np.maximum(distances - self.distances[-1], 0)
        return np.asarray(shares * np.exp(-excess / self._tail), np.float64)

    @cached_property
    def _beyond(self) -> Float64Array:
        """Sums of the shares from each distance on, [n + 1]."""
        return np.append(np.cumsum(self.shares[::-1])[::-1], 0.0)

    @cached_property
    def _tail(self) -> float:
        """Mean excess of the larger half of the distances over their median.

        An exponential distribution of this mean falls no faster than the tails that were met.
        """
        over = self.distances - np.median(self.distances)
        excess = float(over[over > 0].mean()) if (over > 0).any() else 0.0
        return max(excess, 1e-3 * float(self.distances[-1]), 1e-9)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fitted state as arrays to save."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild from `arrays`.

        Raises:
            KeyError, ValueError: the arrays are not all there, or do not fit together.
        """
        found = cls(*(np.asarray(arrays[name]) for name in _ARRAYS))
        width, n = len(found.center), len(found.distances)
        shapes = {"center": (width,), "scale": (width,), "distances": (n,), "shares": (n,)}
        fits = all(getattr(found, name).shape == shape for name, shape in shapes.items())
        fits = fits and found.rotation.shape in ((0, 0), (width, width))
        if not fits or found.references.ndim != 2 or found.references.shape[1] != width:
            raise ValueError("what familiarity is told by does not fit together")
        if not n or not len(found.references) or not (found.shares > 0).all():
            raise ValueError("familiarity is told by no songs")
        if not all(np.isfinite(getattr(found, name)).all() for name in _ARRAYS):
            raise ValueError("what familiarity is told by is not finite")
        if (np.diff(found.distances) < 0).any():
            raise ValueError("usual distances are not in ascending order")
        return found


def learn_familiarity(
    described: Float32Array, artists: IntArray, kind: Description = "embedding", seed: int = 0
) -> tuple[Familiarity | None, Float64Array]:
    """Learn which distances are usual among the songs that a model learns from.

    Args:
        described: descriptions of the songs, float32 [n, e], finite.
        artists: artist code of each song, int [n].
        kind: what describes them. Embeddings are compared along their principal directions.
        seed: seed of the draw of references.

    Returns:
        What tells familiarity, None where that cannot be learned: from fewer than `LEAST_ARTISTS`
        artists, or where all descriptions are the same. And the familiarity of the songs
        themselves, each told without its artist's songs, float64 [n]; NaN where it is not known.

    Examples:
        >>> two_songs = np.float32([[0, 1], [1, 0]])
        >>> learn_familiarity(two_songs, np.array([0, 1]))
        (None, array([nan, nan]))
    """
    rows = np.arange(len(described))
    if len(rows) > MOST_REFERENCES:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(rows), MOST_REFERENCES, replace=False))
    _, of_artist, sizes = np.unique(artists[rows], return_inverse=True, return_counts=True)
    mean, inverse = standardisation(described)
    if len(sizes) < LEAST_ARTISTS or not inverse.any():
        return None, np.full(len(described), np.nan)
    # What never varied may vary in a new sound, in a unit that is not known.
    inverse[inverse == 0] = np.median(inverse[inverse > 0])
    center, scale = single_precision(mean), single_precision(inverse)
    rotation = np.zeros((0, 0), np.float32)
    if kind == "embedding":
        rotation = _rotation(_transformed(described[rows], center, scale, rotation))
    X = _transformed(described, center, scale, rotation)
    references = single_precision(X[rows])
    distances = _distances(X, references, artists, artists[rows])
    order = np.argsort(distances[rows], kind="stable")
    shares = (1 / sizes[of_artist])[order]
    found = Familiarity(center, scale, rotation, references, distances[rows][order], shares)
    return found, found._of_distances(distances)


def _rotation(X: Float64Array) -> Float32Array:
    """Return what turns standardised embeddings [n, e] to principal directions, and scales them."""
    values, directions = symmetric_eigen(X.T @ X / len(X))
    # Few songs do not tell the deviation in many directions.
    largest = np.sort(values)[::-1][: min(_DIRECTIONS, max(len(X) // 8, 1))]
    least = largest[largest > 1e-6 * largest[0]][-1]
    return single_precision(directions / np.sqrt(np.maximum(values, least)))


def _transformed(
    described: Float32Array, center: Float32Array, scale: Float32Array, rotation: Float32Array
) -> Float64Array:
    X = (described.astype(np.float64) - center) * scale
    return X @ rotation if len(rotation) else X


def _distances(
    X: Float64Array,
    references: Float32Array,
    artists: IntArray | None = None,
    of_references: IntArray | None = None,
) -> Float64Array:
    """Return the mean distance of each x [n, e] to its nearest references [m, e], float64 [n].

    Args:
        X: transformed descriptions.
        references: those of songs.
        artists: artist code of each x, whose own songs do not count.
        of_references: artist code of each reference.
    """
    R = references.astype(np.float64)
    squares = (R**2).sum(axis=1)
    found = np.empty(len(X))
    for start in range(0, len(X), _AT_ONCE):
        part = X[start : start + _AT_ONCE]
        apart = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ R.T
        np.maximum(apart, 0, out=apart)
        if artists is not None and of_references is not None:
            apart[artists[start : start + len(part), None] == of_references] = np.inf
        near = min(_NEIGHBOURS, apart.shape[1])
        nearest = np.sqrt(np.partition(apart, near - 1, axis=1)[:, :near])
        there = np.isfinite(nearest)
        total = np.where(there, nearest, 0).sum(axis=1)
        found[start : start + len(part)] = total / np.maximum(there.sum(axis=1), 1)
    return found
