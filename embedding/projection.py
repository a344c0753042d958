"""Project embeddings to two or three dimensions (US 2018/0276540 A1, paragraphs 60 to 63)."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_whole
from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError

ProjectionMethod = Literal["pca", "umap", "tsne"]

FEWEST = 4
"""Minimum number of vectors."""

_PERPLEXITY = 30.0
_NEIGHBOURS = 15


@dataclass(frozen=True, eq=False)
class Projection:
    """Result of `project`."""

    points: Float32Array
    """float32 [n, dimensions]."""
    explained: Float64Array | None
    """Share of the variance along each axis, float64 [dimensions], for PCA; None for t-SNE and
    UMAP."""


def project(
    vectors: NDArray[np.floating],
    method: ProjectionMethod = "pca",
    *,
    dimensions: int = 3,
    seed: int = 0,
) -> Projection:
    """Project vectors to a few dimensions; the same vectors and seed give the same points.

    Args:
        vectors: [n, d], finite.
        method: ``pca``: principal components (Pearson 1901) by decreasing variance, each with the
            sign that makes its largest coefficient positive; components without variance are zero.
            ``tsne``: van der Maaten and Hinton (2008). ``umap``: McInnes et al. (2018), by the
            optional package umap-learn. The latter two keep neighbours together; their axes and
            distances have no meaning, and points are only centred.
        dimensions: number of dimensions of the result.
        seed: random seed of ``tsne`` and ``umap``.

    Raises:
        InvalidArgumentError: unknown method, fewer than four vectors, values that are not finite,
            or umap-learn is not installed.

    Examples:
        >>> from embedding.projection import project
        >>> projection = project(embeddings, "pca", dimensions=2)
        >>> projection.points.shape, projection.explained.shape
        ((30, 2), (2,))
    """
    if method not in get_args(ProjectionMethod):
        raise InvalidArgumentError(f"method must be one of {', '.join(get_args(ProjectionMethod))}")
    if dimensions < 1:
        raise InvalidArgumentError(f"dimensions must be at least 1, not {dimensions}")
    check_whole("seed", seed, 0)
    table = np.asarray(vectors, np.float64)
    if table.ndim != 2 or len(table) < FEWEST or not table.shape[1]:
        raise InvalidArgumentError(
            f"vectors: at least {FEWEST} of them are needed, not an array of shape {table.shape}"
        )
    if not np.isfinite(table).all():
        raise InvalidArgumentError("vectors: there is a value that is not a finite number")
    if method == "pca":
        return _pca(table, dimensions)
    points = _tsne(table, dimensions, seed) if method == "tsne" else _umap(table, dimensions, seed)
    return Projection((points - points.mean(axis=0)).astype(np.float32), None)


def _pca(table: Float64Array, dimensions: int) -> Projection:
    from sklearn.decomposition import PCA

    n = min(dimensions, *table.shape)
    many = len(table) > 10 * table.shape[1]  # then the covariance matrix is much smaller
    with np.errstate(invalid="ignore"):  # identical vectors have no variance to divide by
        pca = PCA(n, svd_solver="covariance_eigh" if many else "full").fit(table)
    axes = pca.components_
    # The sign of a component is arbitrary; fix it, so that all machines give the same.
    largest = np.abs(axes).argmax(axis=1)
    signs = np.where(axes[np.arange(n), largest] < 0, -1.0, 1.0)
    points = np.zeros((len(table), dimensions))
    points[:, :n] = (table - pca.mean_) @ (axes * signs[:, None]).T
    explained = np.zeros(dimensions)
    explained[:n] = np.nan_to_num(pca.explained_variance_ratio_)
    return Projection(points.astype(np.float32), explained)


def _tsne(table: Float64Array, dimensions: int, seed: int) -> Float64Array:
    from sklearn.manifold import TSNE

    found: Float64Array = TSNE(
        dimensions,
        perplexity=min(_PERPLEXITY, (len(table) - 1) / 3),
        init="pca" if dimensions <= min(table.shape) else "random",
        method="barnes_hut" if dimensions < 4 else "exact",
        random_state=seed,
    ).fit_transform(table)
    return found


def _umap(table: Float64Array, dimensions: int, seed: int) -> Float64Array:
    import warnings

    try:
        from umap import UMAP
    except ImportError:
        raise InvalidArgumentError(
            "UMAP needs the package umap-learn: pip install 'coldtune[map]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about one thread because of the seed, and small inputs
        found: Float64Array = UMAP(
            n_components=dimensions,
            n_neighbors=min(_NEIGHBOURS, len(table) - 1),
            # Spectral initialisation fails for very few points.
            init="spectral" if len(table) > 10 * dimensions else "random",
            random_state=seed,
            n_jobs=1,
        ).fit_transform(table)
    return found
