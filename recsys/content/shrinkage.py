"""Shrinkage: an item moves smoothly from what its content predicts to what its listeners teach.

A vector learned from few plays is noisy, one predicted from content is blurred. Their mean, with
weights by the number n of listeners (James and Stein 1961; Efron and Morris 1973),

    v = n / (n + k') · learned + k' / (n + k') · predicted,    k' = k · max(0, 1 - n / 40),

has less error than either where k is right: the number of listeners who teach as much as the
content does. k is chosen inside the training data, on items with at least 40 listeners: their
vector is predicted by maps that saw none of their artists' items, learned again from 1, 2, 5, 10
and 20 of their listeners, and compared, mixed, with the vector that all of them taught. What so
many taught is the truth there, so it is left alone everywhere: hence k'. With k in its place, what
suits items with few listeners blurred those with hundreds.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.config import ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.regression import artist_folds
from recsys.data import ItemContent, TrainingData, Vectors

Solve = Callable[[Float32Array, Float32Array, Float64Array], Float32Array]
"""An item's vector [d] from its listeners' vectors [n, d], their plays [n], the users' gram."""

SIZES = (1, 2, 5, 10, 20)
"""From so many listeners vectors are learned again."""

GRID = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)
"""What k is chosen from."""

DEFAULT = 2.0
"""k where too few items could judge: the content counts as much as two listeners."""

ENOUGH = 2 * max(SIZES)
"""Listeners from whom a vector is taken to be learned for good."""

_LEAST_JUDGES = 20
_MOST_JUDGES = 200


def shrink(
    learned: Float32Array, predicted: Float32Array, listeners: IntArray, k: float
) -> Float32Array:
    """Learned and predicted vectors mixed by the number of listeners, float32 [n_items, d].

    Predicted where nobody has listened, learned from :data:`ENOUGH` listeners on. learned,
    predicted: [n_items, d]; listeners: n of each item, [n_items]; k: at least 0.
    """
    own = learned_share(listeners, k)[:, None]
    mixed: Float32Array = (own * learned + (1 - own) * predicted).astype(np.float32)
    return mixed


def learned_share(listeners: IntArray, k: float) -> Float64Array:
    """How much of an item's vector is what its listeners taught, 0 to 1, [n_items]."""
    n = np.asarray(listeners, np.float64)
    weight = n + k * np.maximum(0, 1 - n / ENOUGH)
    return np.divide(n, weight, out=np.zeros_like(n), where=n > 0)


def has_content(content: ItemContent) -> BoolArray:
    """Which items have an embedding or a metadata value that the model knows, bool [n]."""
    known: BoolArray = content.has_embedding | (np.diff(content.metadata.indptr) > 0)
    return known


def settle(
    content_map: ContentMap,
    data: TrainingData,
    vectors: Vectors,
    config: ContentMapConfig,
    solve: Solve,
) -> tuple[ContentMap, Float32Array]:
    """The map with its ``shrinkage``, and all items' vectors float32 [n_items, d].

    Cold items get the map's prediction; warm items with content are shrunk towards it; warm items
    without keep the vector that they have in ``vectors``.

    vectors: as the source learned them. solve: how it learns an item from its listeners.
    """
    k = config.shrinkage
    if k is None:
        k = choose_shrinkage(content_map, data, vectors, config, solve)
    listeners = data.listeners
    rows = np.flatnonzero((listeners == 0) | (has_content(data.content) & (k > 0)))
    predicted = content_map.predict(data.content.take(rows))
    items = vectors.items.copy()
    items[rows] = shrink(items[rows], predicted, listeners[rows], k)
    return replace(content_map, shrinkage=k), items


def choose_shrinkage(
    content_map: ContentMap,
    data: TrainingData,
    vectors: Vectors,
    config: ContentMapConfig,
    solve: Solve,
) -> float:
    """The least k of the grid that is not shown to be worse than the best, by scores' errors.

    The error is that of the scores' spread over users. An item's is a share of that spread, and
    all items and sizes count alike. A k is as good as the best where it is within one standard
    error of it (Breiman et al. 1984): what was learned is left alone unless content is shown to
    know better. DEFAULT where fewer than 20 warm items with content have at least 40 listeners.
    """
    rng = np.random.default_rng(data.seed)
    judges = _judges(data)
    if len(judges) < _LEAST_JUDGES:
        return DEFAULT
    users = vectors.users.astype(np.float64)
    gram = users.T @ users
    rows, predictions = _held_out_predictions(content_map, data, vectors.items, judges, config)
    plays = data.plays.tocsc()
    full = vectors.items[rows].astype(np.float64)
    again = np.empty((len(rows), len(SIZES), full.shape[1]))
    everything = np.empty_like(full)
    for number, item in enumerate(rows):
        entries = np.arange(plays.indptr[item], plays.indptr[item + 1])
        everything[number] = _learn(vectors.users, plays, entries, gram, solve)
        for place, size in enumerate(SIZES):
            chosen = rng.choice(entries, size, replace=False)
            again[number, place] = _learn(vectors.users, plays, chosen, gram, solve)
    # A source that does not learn by least squares has vectors of another length.
    again *= _factor(everything, full, gram)
    # Of the scores' spread over users: that thinned items have fewer listeners, and so a lower
    # level, than their vector of all is our doing and says nothing of items with few.
    spread = gram - len(users) * np.outer(users.mean(axis=0), users.mean(axis=0))
    energy = np.maximum(_inner(full, full, spread), np.finfo(np.float64).tiny)[:, None]
    sizes = np.array(SIZES)
    errors = []
    for k in GRID:
        own = learned_share(sizes, k)[None, :, None]
        wrong = own * again + (1 - own) * predictions[:, None] - full[:, None]
        errors.append((_inner(wrong, wrong, spread) / energy).mean(axis=1))
    # The least k that is not shown to be worse than the best one: one standard error, by item.
    best = min(errors, key=np.mean)
    for k, error in zip(GRID, errors, strict=True):
        worse = error - best
        if worse.mean() <= worse.std() / np.sqrt(len(worse)):
            return k
    raise AssertionError("the best k is not worse than itself")


def _judges(data: TrainingData) -> IntArray:
    """Items with many listeners; those with an embedding where there are enough of them."""
    many = data.listeners >= ENOUGH
    heard = np.flatnonzero(many & data.content.has_embedding)
    return (
        heard if len(heard) >= _LEAST_JUDGES else np.flatnonzero(many & has_content(data.content))
    )


def _held_out_predictions(
    content_map: ContentMap,
    data: TrainingData,
    learned: Float32Array,
    judges: IntArray,
    config: ContentMapConfig,
) -> tuple[IntArray, Float64Array]:
    """At most 200 of the judges, and their vectors [n, d] under maps without their artists."""
    if np.isfinite(content_map.strength):  # chosen already; only the data is another
        config = config.replace(strengths=(content_map.strength,))
    fold = artist_folds(data.artists, config.folds)
    rows: list[IntArray] = []
    predictions: list[Float32Array] = []
    for number in range(config.folds):
        held = judges[fold[judges] == number][: _MOST_JUDGES - sum(map(len, rows))]
        if not len(held):
            continue
        listeners = np.where(fold == number, 0, data.listeners)
        map_ = ContentMap.fit(data.content, learned, listeners, data.artists, config)
        rows.append(held)
        predictions.append(map_.predict(data.content.take(held)))
    return np.concatenate(rows), np.concatenate(predictions).astype(np.float64)


def _learn(
    users: Float32Array,
    plays: sp.csc_matrix,
    entries: IntArray,
    gram: Float64Array,
    solve: Solve,
) -> Float32Array:
    return solve(users[plays.indices[entries]], plays.data[entries], gram)


def _factor(again: Float64Array, full: Float64Array, gram: Float64Array) -> float:
    """The number that times ``again`` [n, d] comes closest to ``full`` in its scores."""
    energy = _inner(again, again, gram).sum()
    return float(_inner(again, full, gram).sum() / energy) if energy > 0 else 1.0


def _inner(a: Float64Array, b: Float64Array, gram: Float64Array) -> Float64Array:
    """aᵀGb of the last axis."""
    product: Float64Array = np.einsum("...i,...i->...", a @ gram, b)
    return product
