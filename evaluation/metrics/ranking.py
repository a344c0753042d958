"""Ranking metrics: each returns one value a user (or an item), for means and tests to build on.

Only users with at least one relevant item take part, each counts once, and a user without
recommendations counts 0. Relevance is yes or no. Libraries differ in these definitions; ours are

    precision@k = hits / k                      recall@k = hits / |relevant|
    hit@k       = 1 if there is any hit         MRR@k    = 1 / rank of the first hit
    nDCG@k      = Σ 1/log2(rank + 1) over hits, divided by that sum for min(k, |relevant|) hits
    MAP@k       = Σ precision@rank over hits, divided by min(k, |relevant|)
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from evaluation.metrics.hits import HitMatrix

_CELLS = 4_000_000
"""Cells of the score matrix ranked at once; bounds the memory of both AUCs."""

_CACHED = 100_000
"""Cells standardised at once: few enough to stay in the cache."""


def precision(hits: HitMatrix, k: int) -> Float64Array:
    """Share of the k places that are hits, [n_users]; a short list does not raise it."""
    return hits.first(k).count / k


def recall(hits: HitMatrix, k: int) -> Float64Array:
    """Share of the relevant items that are in the first k places, [n_users]."""
    return hits.first(k).count / hits.n_relevant


def hit(hits: HitMatrix, k: int) -> Float64Array:
    """1 where any of the first k places is a hit, else 0, [n_users]."""
    return np.minimum(hits.first(k).count, 1.0)


def ndcg(hits: HitMatrix, k: int) -> Float64Array:
    """Normalised discounted cumulative gain, [n_users] (Järvelin and Kekäläinen 2002)."""
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(k, hits.n_relevant) - 1]
    return _sum(hits, k, discount[hits.first(k).column]) / ideal


def average_precision(hits: HitMatrix, k: int) -> Float64Array:
    """Average precision, [n_users]; its mean over users is MAP@k."""
    top = hits.first(k)
    # Hits are in the order of the list: the first of a user's has the number 1, the next 2.
    number = np.arange(1, len(top.row) + 1) - (np.cumsum(top.count) - top.count)[top.row]
    return _sum(hits, k, number / (top.column + 1)) / np.minimum(k, hits.n_relevant)


def reciprocal_rank(hits: HitMatrix, k: int) -> Float64Array:
    """1 / rank of the first hit, 0 without one, [n_users]; its mean over users is MRR@k."""
    top = hits.first(k)
    some = np.flatnonzero(top.count)
    first = (np.cumsum(top.count) - top.count)[some]
    values = np.zeros(len(top.count))
    values[some] = 1.0 / (top.column[first] + 1)
    return values


RANKING_METRICS: Final[dict[str, Callable[[HitMatrix, int], Float64Array]]] = {
    "precision": precision,
    "recall": recall,
    "hit": hit,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
}
"""Every ranking metric by the name it has in tables."""

ITEM_AUC: Final = "item_auc"
"""Name of :func:`item_auc` in tables."""

USER_AUC: Final = "user_auc"
"""Name of :func:`user_auc` in tables."""

ACCURACY: Final = (*RANKING_METRICS, ITEM_AUC, USER_AUC)
"""Names of the metrics of which more is better; those beside accuracy have no best value."""


def ranking_metrics(hits: HitMatrix, ks: Iterable[int]) -> dict[tuple[str, int], Float64Array]:
    """All ranking metrics at every k: {(name, k): [n_users]}."""
    return {(name, k): metric(hits, k) for k in ks for name, metric in RANKING_METRICS.items()}


@dataclass(frozen=True, eq=False)
class ItemAuc:
    """Item-wise AUC of the items for which it is defined."""

    values: Float64Array
    """[n_kept] AUC of each item kept."""
    items: IntArray
    """[n_kept] columns of the items kept, ascending."""
    left_out: int
    """Items left out, as no user or every user is positive."""


def item_auc(scores: Float64Array, relevant: BoolArray) -> ItemAuc:
    """For each item, the chance that a listener ranks it higher than a user who is not.

    ``scores`` and ``relevant`` are [n_users, n_items]. Each user's scores are first centred and
    scaled over the items, so that users compare; then each column ranks the users, ties counting
    one half (Mann and Whitney 1947). A ranking that is the same for everybody gives 0.5, however
    well it follows popularity. A missing score (NaN) stands one standard deviation below the
    user's lowest; a user with no scores, or equal ones, is at 0 throughout.
    """
    _check_shapes(scores, relevant)
    n_users, n_items = scores.shape
    items = items_with_auc(relevant)
    standard = np.empty(scores.shape)
    for block in _blocks(n_users, n_items, _CACHED):
        standard[block] = _standardise(scores[block])
    values = np.empty(len(items))
    for block in _blocks(len(items), n_users, _CELLS):
        columns = items[block]
        values[block] = _auc(np.ascontiguousarray(standard[:, columns].T), relevant[:, columns].T)
    return ItemAuc(values, items, n_items - len(items))


def items_with_auc(relevant: BoolArray) -> IntArray:
    """Columns of the items that some users, but not all, find relevant, ascending."""
    n_positive = relevant.sum(axis=0)
    return np.flatnonzero((n_positive > 0) & (n_positive < len(relevant)))


def user_auc(scores: Float64Array, relevant: BoolArray) -> Float64Array:
    """For each user, the chance that an item they play is ranked above one they do not.

    ``scores`` and ``relevant`` are [n_users, n_items]; the result is [n_users], NaN for a user who
    plays none or all of the items. Ties count one half (Rendle et al., UAI 2009, count them 0). A
    missing score (NaN) is below every other, and ties with the other missing ones.

    Beware: it mostly measures popularity. Where some items are played by many and others by few,
    the same ranking for everybody does well if only it follows popularity; :func:`item_auc` does
    not see popularity.
    """
    _check_shapes(scores, relevant)
    values = np.empty(len(scores))
    for block in _blocks(scores.shape[0], scores.shape[1], _CELLS):
        filled = np.where(np.isnan(scores[block]), -np.inf, scores[block])
        values[block] = _auc(filled, relevant[block])
    return values


def _blocks(n_rows: int, width: int, cells: int) -> Iterator[slice]:
    step = max(1, cells // max(width, 1))
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _auc(scores: Float64Array, positive: BoolArray) -> Float64Array:
    """AUC of each row, ties one half, [n_rows]; NaN where all or none are positive.

    The sum of the positives' ranks tells it, ties sharing their mean rank (Mann and Whitney 1947).
    As few are positive, only their places among the row's sorted scores are looked for.
    """
    n_rows, n = scores.shape
    ordered = np.sort(scores, axis=1)
    row, column = np.nonzero(positive)
    wanted = scores[row, column]
    twice_rank = _place(ordered, row, wanted, "left") + _place(ordered, row, wanted, "right") + 1
    total = np.bincount(row, weights=twice_rank / 2, minlength=n_rows)
    count = np.bincount(row, minlength=n_rows)
    pairs = count * (n - count)
    values: Float64Array = (total - count * (count + 1) / 2) / np.where(pairs > 0, pairs, np.nan)
    return values


def _place(
    ordered: Float64Array, row: IntArray, wanted: Float64Array, side: Literal["left", "right"]
) -> IntArray:
    """As numpy.searchsorted, each value in a row of its own."""
    n = ordered.shape[1]
    flat = ordered.reshape(-1)
    below = np.less if side == "left" else np.less_equal
    low, high = row * n, (row + 1) * n
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        further = (low < high) & below(flat[np.minimum(middle, len(flat) - 1)], wanted)
        low = np.where(further, middle + 1, low)
        high = np.where(further, high, middle)
    return low - row * n


def _check_shapes(scores: Float64Array, relevant: BoolArray) -> None:
    if scores.shape != relevant.shape or scores.ndim != 2:
        raise InvalidArgumentError(
            f"scores {scores.shape} and relevant {relevant.shape} must be one [users, items] shape"
        )


def _standardise(scores: Float64Array) -> Float64Array:
    """Rows to mean 0 and deviation 1, missing scores filled in; see :func:`item_auc`."""
    missing: BoolArray = np.isnan(scores)
    if missing.any():
        empty = missing.all(axis=1, keepdims=True)
        filled = np.where(empty, 0.0, scores)
        lowest = np.nanmin(filled, axis=1, keepdims=True)
        spread = np.nanstd(filled, axis=1, keepdims=True)
        below = np.where(spread > 0, spread, np.maximum(np.abs(lowest), 1.0))
        scores = np.where(np.isnan(filled), lowest - below, filled)
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = scores.std(axis=1, keepdims=True)
    # A constant row leaves rounding noise, and noise must not decide ties: hence the floor here
    # and the rounding below, far under any difference that means something.
    constant = deviation <= 1e-6 * np.abs(scores).max(axis=1, keepdims=True, initial=1e-300)
    standard: Float64Array = np.round(centred / np.where(constant, np.inf, deviation), 5)
    return standard


def _sum(hits: HitMatrix, k: int, of_hit: Float64Array) -> Float64Array:
    """Sum over each user's hits among the first k places, [n_users]."""
    top = hits.first(k)
    return np.bincount(top.row, weights=of_hit, minlength=len(top.count)).astype(np.float64)
