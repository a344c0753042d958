"""Kernel ridge regression from embeddings to vectors: the mean of a Gaussian process.

Songs that sound alike are expected to have similar vectors. With a Gaussian kernel
``k(a, b) = exp(-|a - b|² / 2h²)`` between standardised embeddings, the prediction for an embedding
is a smooth weighted mean of the vectors of the known songs around it, and far from all of them it
is the mean vector: the length of a prediction says how much is known, which that of a linear
regression does not (it grows with how unusual a sound is). See Rasmussen and Williams, *Gaussian
Processes for Machine Learning* (2006), chapter 2, and section 8.3.2 for the landmarks that keep the
cost linear in the number of songs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.linear_algebra import symmetric_eigen

LANDMARKS = 512
"""Most songs that the kernel is expanded in; with 1,024 the error on held-out songs is the same."""

MOST_TO_CHOOSE = 4000
"""Width and penalty are chosen on at most this many songs."""

MOST_TO_FIT = 50_000
"""The regression is fitted on at most this many songs: `LANDMARKS` numbers a song are held."""

_JITTER = 1e-6
"""Added to the kernel of a landmark with itself, so that landmarks that are alike do no harm."""

_DIRECTIONS = 32
"""Width and penalty are chosen on errors in this many random directions."""

_LARGE_ARTIST = 500
"""From this many songs of one artist on, leaving them out is cheaper in the space of landmarks."""

_ROWS = 65_536
"""Embeddings that are summed at once."""

_BLOCK = 4096
"""Songs whose distances to the landmarks are computed at once."""


class KernelSettings(NamedTuple):
    """Width and penalty of a kernel regression."""

    width: float
    """h² as a share of the median squared distance between two songs."""

    strength: float
    """λ: variance of a vector of full weight around what its sound says, in units of the variance
    that the sound explains."""


@dataclass(frozen=True)
class KernelMap:
    """``exp(-precision · |(e - center) / scale - landmark|²) · weights``, summed over landmarks."""

    center: Float64Array
    """Mean of the embeddings, float64 [e]."""

    inverse_scale: Float64Array
    """1 / standard deviation of each dimension, 0 for a constant one, float64 [e]."""

    landmarks: Float64Array
    """Standardised embeddings of some songs, float64 [m, e]."""

    precision: float
    """1 / 2h²."""

    weights: Float64Array
    """float64 [m, d]."""

    def __call__(self, E: Float64Array) -> Float64Array:
        """Predict vectors [n, d], less their mean, from embeddings [n, e]."""
        found = np.empty((len(E), self.weights.shape[1]))
        for start in range(0, len(E), _BLOCK):
            X = (E[start : start + _BLOCK] - self.center) * self.inverse_scale
            found[start : start + _BLOCK] = (
                gaussian_kernel(X, self.landmarks, self.precision) @ self.weights
            )
        return found


class KernelFit(NamedTuple):
    """A kernel regression with the settings that suit the data."""

    map: KernelMap
    """Predicts vectors less `level`."""

    level: Float64Array
    """Weighted mean of the vectors, float64 [d]."""

    settings: KernelSettings

    residuals: Float32Array | Float64Array
    """Residual of each song under a map fitted without its artist's songs, float [n, d]."""


def standardisation(E: Float32Array | Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the mean of each dimension and 1 / its standard deviation; 0 for a constant one.

    Args:
        E: embeddings, [n, e].

    Examples:
        >>> standardisation(np.array([[1.0, 5.0], [3.0, 5.0]]))
        (array([2., 5.]), array([1., 0.]))
    """
    if len(E) < 2:  # nothing is known of how dimensions vary
        return E.sum(axis=0, dtype=np.float64), np.ones(E.shape[1])
    blocks = [E[start : start + _ROWS] for start in range(0, len(E), _ROWS)]
    center = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / len(E)
    squares = sum(((block.astype(np.float64) - center) ** 2).sum(axis=0) for block in blocks)
    size = np.max([np.abs(block).max(axis=0) for block in blocks], axis=0)
    deviation = np.sqrt(squares / len(E))
    # What is below the rounding error of single precision does not vary.
    varies = deviation > 1e-6 * size
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    return center, inverse


def gaussian_kernel(X: Float64Array, landmarks: Float64Array, precision: float) -> Float64Array:
    """Return ``exp(-precision · |x - l|²)`` for all pairs, float64 [n, m]."""
    squares = (X**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1) - 2 * X @ landmarks.T
    np.maximum(squares, 0, out=squares)
    squares *= -precision
    return np.exp(squares, out=squares)


def fit_kernel(
    E: Float32Array | Float64Array,
    Y: Float32Array | Float64Array,
    w: Float64Array,
    artists: IntArray,
    widths: tuple[float, ...],
    strengths: tuple[float, ...],
) -> KernelFit:
    """Fit a weighted kernel ridge regression; width and penalty by leave-one-artist-out.

    The error without an artist's songs has a closed form, so each width costs one
    eigendecomposition.

    Args:
        E: embeddings, float [n, e].
        Y: vectors to predict, float [n, d].
        w: weights of the songs, float64 [n], positive.
        artists: artist code of each song, int [n]; songs of one artist are left out together.
        widths: widths to choose from.
        strengths: penalties to choose from.

    Examples:
        >>> E = np.linspace(0, 1, 40)[:, None]
        >>> fit = fit_kernel(E, np.sin(6 * E), np.ones(40), np.arange(40), (0.1, 1.0), (0.01, 1.0))
        >>> fit.settings.strength
        0.01
        >>> np.allclose(fit.level + fit.map(E), np.sin(6 * E), atol=0.05)
        True
    """
    from scipy.linalg import cholesky, solve_triangular

    if len(E) > MOST_TO_FIT:
        part = np.sort(
            np.random.default_rng(1).choice(len(E), MOST_TO_FIT, replace=False, p=w / w.sum())
        )
        fit = fit_kernel(E[part], Y[part], w[part], artists[part], widths, strengths)
        left = np.empty(Y.shape, np.float32)
        for start in range(0, len(E), _ROWS):
            rows = slice(start, start + _ROWS)
            left[rows] = Y[rows] - fit.level - fit.map(E[rows].astype(np.float64))
        left[part] = fit.residuals
        return fit._replace(residuals=left)
    center, inverse_scale = standardisation(E)
    X = (E - center) * inverse_scale
    level = w @ Y / w.sum()
    R = Y - level
    random = np.random.default_rng(0)
    landmarks = _draw(X, w, LANDMARKS, random)
    unit = _median_square(landmarks)
    settings = KernelSettings(widths[0], strengths[0])
    if len(widths) * len(strengths) > 1:
        part = np.arange(len(X))
        if len(X) > MOST_TO_CHOOSE:
            part = np.sort(random.choice(part, MOST_TO_CHOOSE, replace=False))
        settings = _choose(
            X[part], R[part], w[part], artists[part], unit, widths, strengths, random
        )
    precision = 1 / (2 * settings.width * unit)
    basis, features = _whitened(X, landmarks, precision)
    # Features in which the penalised second moments are the identity.
    moments = (features * w[:, None]).T @ features
    moments.flat[:: len(moments) + 1] += settings.strength
    factor = cholesky(moments, lower=True)
    rotated = _Features(
        solve_triangular(factor, features.T, lower=True).T, np.ones(len(moments)), w
    )
    targets = rotated.sums(R)
    residuals = rotated.left_out(R, targets, _groups(artists))
    weights = basis @ solve_triangular(factor, targets, lower=True, trans="T")
    map_ = KernelMap(center, inverse_scale, landmarks, precision, weights)
    return KernelFit(map_, level, settings, residuals)


def _choose(
    X: Float64Array,
    R: Float64Array,
    w: Float64Array,
    artists: IntArray,
    unit: float,
    widths: tuple[float, ...],
    strengths: tuple[float, ...],
    random: np.random.Generator,
) -> KernelSettings:
    """Choose width and penalty by the squared error without each song's artist.

    Args:
        X: standardised embeddings, float64 [n, e].
        R: centred vectors, float64 [n, d].
        w: weights, float64 [n].
        artists: artist codes, int [n].
        unit: median squared distance between songs.
        widths: widths to choose from.
        strengths: penalties to choose from.
        random: draws landmarks, and a projection of the vectors in which errors are compared.
    """
    if R.shape[1] > _DIRECTIONS:  # lengths of vectors are kept, up to a few per cent of chance
        R = R @ random.standard_normal((R.shape[1], _DIRECTIONS)) / np.sqrt(_DIRECTIONS)
    landmarks, groups = _draw(X, w, LANDMARKS // 2, random), _groups(artists)
    best: tuple[float, KernelSettings] | None = None
    for width in widths:
        _, features = _whitened(X, landmarks, 1 / (2 * width * unit))
        energies, rotation = symmetric_eigen((features * w[:, None]).T @ features)
        features = features @ rotation
        for strength in strengths:
            expanded = _Features(features, 1 / (np.maximum(energies, 0) + strength), w)
            wrong = expanded.left_out(R, expanded.sums(R), groups)
            error = float(w @ (wrong**2).sum(axis=1))
            if best is None or error < best[0] * (1 - 1e-9):
                best = error, KernelSettings(width, strength)
    assert best is not None
    return best[1]


@dataclass(frozen=True)
class _Features:
    """Songs in features in which a ridge regression is diagonal."""

    Z: Float64Array
    """float64 [n, r]."""

    damped: Float64Array
    """1 / (second moment + penalty) of each feature, float64 [r]."""

    w: Float64Array
    """Weights of the songs, float64 [n]."""

    def sums(self, R: Float64Array) -> Float64Array:
        """Return the weighted sums of features and vectors R [n, d], float64 [r, d]."""
        return (self.Z * self.w[:, None]).T @ R

    def left_out(self, R: Float64Array, sums: Float64Array, groups: list[IntArray]) -> Float64Array:
        """Return each song's residual under a regression without the songs of its group.

        Args:
            R: centred vectors, float64 [n, d].
            sums: `sums` of R.
            groups: rows of the artists with more than one song.
        """
        Z, w, damped = self.Z, self.w, self.damped
        wrong = R - Z @ (damped[:, None] * sums)
        own = w * ((Z**2) @ damped)  # a song's weight on its own prediction, below 1
        left = wrong / np.maximum(1 - own, 1e-9)[:, None]
        for rows in groups:
            F, v = Z[rows], w[rows]
            if len(rows) < _LARGE_ARTIST:
                within = (F * damped) @ F.T * v
                left[rows] = np.linalg.solve(np.eye(len(rows)) - within, wrong[rows])
            else:
                others = np.diag(1 / damped) - (F * v[:, None]).T @ F
                fitted = np.linalg.solve(others, sums - (F * v[:, None]).T @ R[rows])
                left[rows] = R[rows] - F @ fitted
        return left


def _draw(X: Float64Array, w: Float64Array, most: int, random: np.random.Generator) -> Float64Array:
    """Draw at most this many rows, in proportion to their weights."""
    if len(X) <= most:
        return X
    return X[np.sort(random.choice(len(X), most, replace=False, p=w / w.sum()))]


def _whitened(
    X: Float64Array, landmarks: Float64Array, precision: float
) -> tuple[Float64Array, Float64Array]:
    """Return features [n, m] whose inner products are the kernel's, as landmarks expand it.

    And the basis [m, m]: features are kernel values with the landmarks times the basis.
    """
    from scipy.linalg import cholesky, solve_triangular

    within = gaussian_kernel(landmarks, landmarks, precision)
    within.flat[:: len(within) + 1] += _JITTER
    factor = cholesky(within, lower=True)
    features = solve_triangular(factor, gaussian_kernel(X, landmarks, precision).T, lower=True).T
    return solve_triangular(factor, np.eye(len(factor)), lower=True).T, features


def _groups(artists: IntArray) -> list[IntArray]:
    """Return the rows of each artist with more than one song."""
    order = np.argsort(artists, kind="stable")
    bounds = np.flatnonzero(np.diff(artists[order], prepend=-1, append=-1))
    parts = np.split(order, bounds[1:-1]) if len(bounds) > 2 else [order]
    return [rows for rows in parts if len(rows) > 1]


def _median_square(X: Float64Array) -> float:
    """Return the median squared distance between two different rows; 1 if all are alike."""
    squares = (X**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * X @ X.T
    apart = distances[np.triu_indices(len(X), 1)]
    apart = apart[apart > 1e-9 * max(float(squares.max(initial=0)), 1e-300)]
    return float(np.median(apart)) if len(apart) else 1.0
