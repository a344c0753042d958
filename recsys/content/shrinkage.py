"""Shrink learned item vectors towards the vectors predicted from content.

A vector learned from few plays is noisy, one predicted from content is biased. Their weighted mean,
with n users who play the item (James and Stein 1961; Efron and Morris 1973),

    v = n / (n + k') · learned + k' / (n + k') · predicted,    k' = k · max(0, 1 - n / 40),

has less error than either for the right k: the number of users who teach as much as the content
does. k is chosen inside the training data on items with at least 40 users: their vectors are
predicted by maps fitted without their artists' items, learned again from 1, 2, 5, 10 and 20 of
their users, mixed, and compared with the vectors learned from all users. Those count as the truth,
so items with 40 users or more are not shrunk: hence k'. With k in its place, the k that suits items
with few users blurred those with hundreds.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.config import ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.regression import artist_folds
from recsys.data import CSRArrays, ItemContent, TrainingData, Vectors

LearnItems = Callable[[Float32Array, CSRArrays, Float64Array], Float32Array]
"""A source's way to learn item vectors [n_items, d] from plays alone, with fixed user vectors: from
user vectors [n_users, d], plays CSR [n_items, n_users], and the Gram matrix of all users [d, d]."""

SIZES = (1, 2, 5, 10, 20)
"""Numbers of users from which vectors are learned again."""

GRID = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)
"""Values of k to choose from."""

DEFAULT = 2.0
"""k if there are too few items to choose it on."""

ENOUGH = 2 * max(SIZES)
"""Number of users from which on an item's learned vector is not shrunk."""

_BLOCK = 16_384

_MIN_ITEMS = 20
_MAX_ITEMS = 200


def shrink(
    learned: Float32Array, predicted: Float32Array, user_counts: IntArray, k: float
) -> Float32Array:
    """Mix learned and predicted vectors by the number of users.

    Args:
        learned: vectors learned from plays, float32 [n_items, d].
        predicted: vectors predicted from content, float32 [n_items, d].
        user_counts: number of users of each item, int [n_items].
        k: number of users the prediction is worth, at least 0.

    Returns:
        float32 [n_items, d]: the prediction for items without users, the learned vector for items
        with at least `ENOUGH` users.

    Examples:
        >>> learned, predicted = np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)
        >>> shrink(learned, predicted, np.array([0, 10, 40]), k=40).ravel().tolist()
        [0.0, 0.25, 1.0]
    """
    own = learned_share(user_counts, k)[:, None]
    mixed = np.empty(learned.shape, np.float32)
    for start in range(0, len(mixed), _BLOCK):  # in double precision, few at once
        rows = slice(start, start + _BLOCK)
        mixed[rows] = own[rows] * learned[rows] + (1 - own[rows]) * predicted[rows]
    return mixed


def learned_share(user_counts: IntArray, k: float) -> Float64Array:
    """Return the weight of the learned vectors, between 0 and 1, [n_items]."""
    n = np.asarray(user_counts, np.float64)
    weight = n + k * np.maximum(0, 1 - n / ENOUGH)
    return np.divide(n, weight, out=np.zeros_like(n), where=n > 0)


def has_content(content: ItemContent) -> BoolArray:
    """Return which items have an embedding or a known metadata value, bool [n_items]."""
    known: BoolArray = content.has_embedding | (np.diff(content.metadata.indptr) > 0)
    return known


def apply_shrinkage(
    content_map: ContentMap,
    data: TrainingData,
    vectors: Vectors,
    config: ContentMapConfig,
    learn_items: LearnItems,
) -> tuple[ContentMap, Float32Array]:
    """Shrink warm items with content towards the map's prediction; give it to cold items.

    Args:
        content_map: predicts item vectors from content.
        data: training data.
        vectors: the vectors that the source learned from plays.
        config: its ``shrinkage`` is k; None chooses k on `data`.
        learn_items: how the source learns items from their users.

    Returns:
        The map with its ``shrinkage``, and vectors of all items, float32 [n_items, d]. Warm items
        without content keep their learned vectors.
    """
    k = config.shrinkage
    if k is None:
        k = choose_shrinkage(content_map, data, vectors, config, learn_items)
    user_counts = data.user_counts
    rows = np.flatnonzero((user_counts == 0) | (has_content(data.content) & (k > 0)))
    predicted = content_map.predict(data.content.take(rows))
    items = vectors.items.copy()
    items[rows] = shrink(items[rows], predicted, user_counts[rows], k)
    return replace(content_map, shrinkage=k), items


def choose_shrinkage(
    content_map: ContentMap,
    data: TrainingData,
    vectors: Vectors,
    config: ContentMapConfig,
    learn_items: LearnItems,
) -> float:
    """Choose the smallest k of `GRID` that is not significantly worse than the best.

    The error of an item is that of its scores over all users, as a share of their variance; items
    and `SIZES` count alike. A k is as good as the best if it is within one standard error (Breiman
    et al. 1984), so learned vectors are changed only if content is shown to help. Arguments are
    those of `apply_shrinkage`.

    Returns:
        k; `DEFAULT` if fewer than 20 warm items with content have at least 40 users.
    """
    rng = np.random.default_rng(data.seed)
    candidates = _evaluation_items(data)
    if len(candidates) < _MIN_ITEMS:
        return DEFAULT
    items, predicted = _held_out_predictions(content_map, data, vectors.items, candidates, config)
    target = vectors.items[items].astype(np.float64)

    users = vectors.users.astype(np.float64)
    gram = users.T @ users
    plays = data.plays.tocsc()
    all_plays = CSRArrays.from_matrix(plays[:, items].T)
    relearned = learn_items(vectors.users, all_plays, gram).astype(np.float64)
    thinned = learn_items(vectors.users, _thinned_plays(plays, items, rng), gram)
    learned = thinned.astype(np.float64).reshape(len(items), len(SIZES), -1)
    # A source that does not learn by least squares has vectors of another length.
    learned *= _scale(relearned, target, gram)

    # Errors are measured on the scores' variance over users, without their mean: that items thinned
    # here have fewer users, and so lower scores, says nothing about items with few users.
    covariance = gram - len(users) * np.outer(users.mean(axis=0), users.mean(axis=0))
    energy = np.maximum(_inner(target, target, covariance), np.finfo(np.float64).tiny)[:, None]
    errors = []
    for k in GRID:
        own = learned_share(np.array(SIZES), k)[None, :, None]
        wrong = own * learned + (1 - own) * predicted[:, None] - target[:, None]
        errors.append((_inner(wrong, wrong, covariance) / energy).mean(axis=1))
    best = min(errors, key=np.mean)
    for k, error in zip(GRID, errors, strict=True):
        worse = error - best
        if worse.mean() <= worse.std() / np.sqrt(len(worse)):
            return k
    raise AssertionError("the best k is not worse than itself")


def _evaluation_items(data: TrainingData) -> IntArray:
    """Return items with many users and an embedding, or any content if those are too few."""
    many = data.user_counts >= ENOUGH
    embedded = np.flatnonzero(many & data.content.has_embedding)
    if len(embedded) >= _MIN_ITEMS:
        return embedded
    return np.flatnonzero(many & has_content(data.content))


def _held_out_predictions(
    content_map: ContentMap,
    data: TrainingData,
    learned: Float32Array,
    candidates: IntArray,
    config: ContentMapConfig,
) -> tuple[IntArray, Float64Array]:
    """Return up to 200 candidates and their vectors [n, d] by maps fitted without their artists."""
    if np.isfinite(content_map.strength):  # chosen before; only the training items differ
        config = config.replace(strengths=(content_map.strength,))
        if content_map.width:
            config = config.replace(widths=(content_map.width,))
    fold = artist_folds(data.artists, config.folds)
    rows: list[IntArray] = []
    predictions: list[Float32Array] = []
    for number in range(config.folds):
        held_out = candidates[fold[candidates] == number][: _MAX_ITEMS - sum(map(len, rows))]
        if not len(held_out):
            continue
        user_counts = np.where(fold == number, 0, data.user_counts)
        map_ = ContentMap.fit(data.content, learned, user_counts, data.artists, config)
        rows.append(held_out)
        predictions.append(map_.predict(data.content.take(held_out)))
    return np.concatenate(rows), np.concatenate(predictions).astype(np.float64)


def _thinned_plays(plays: sp.csc_matrix, items: IntArray, rng: np.random.Generator) -> CSRArrays:
    """Draw users of each item, for each of `SIZES`: CSR [len(items) * len(SIZES), n_users]."""
    drawn = []
    for item in items:
        entries = np.arange(plays.indptr[item], plays.indptr[item + 1])
        drawn += [rng.choice(entries, size, replace=False) for size in SIZES]
    chosen = np.concatenate(drawn)
    starts = np.concatenate([[0], np.cumsum(np.tile(SIZES, len(items)))])
    return CSRArrays(plays.data[chosen], plays.indices[chosen], starts)


def _scale(vectors: Float64Array, target: Float64Array, gram: Float64Array) -> float:
    """Return the factor that brings the scores of `vectors` [n, d] closest to those of `target`."""
    energy = _inner(vectors, vectors, gram).sum()
    return float(_inner(vectors, target, gram).sum() / energy) if energy > 0 else 1.0


def _inner(a: Float64Array, b: Float64Array, gram: Float64Array) -> Float64Array:
    """Return aᵀGb along the last axis."""
    product: Float64Array = np.einsum("...i,...i->...", a @ gram, b)
    return product
