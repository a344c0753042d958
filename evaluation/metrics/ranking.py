"""Ranking metrics (precision, recall, nDCG, MAP, MRR, AUC), as one value per user or per item.

Means, intervals and tests are up to the caller. Every user has at least one relevant item, counts
once, and counts 0 without recommendations. Relevance is binary. Definitions differ between
libraries; here they are::

    precision@k = hits / k                      recall@k = hits / |relevant|
    hit@k       = 1 if there is any hit         MRR@k    = 1 / rank of the first hit
    nDCG@k      = Σ 1/log2(rank + 1) over hits, divided by that sum for min(k, |relevant|) hits
    MAP@k       = Σ precision@rank over hits, divided by min(k, |relevant|)
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from evaluation.metrics.hits import HitMatrix

_CELLS = 4_000_000
"""Cells of the score matrix ranked at once; bounds the memory that both AUCs need."""

_CACHED = 100_000
"""Cells standardised at once: few enough to stay in the cache."""


def precision(hits: HitMatrix, k: int) -> Float64Array:
    """Compute precision@k = hits / k; a list shorter than k is not favoured.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 to 1.

    Examples:
        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> precision(hits, k=2)  # 1 hit in 2 places
        array([0.5])
    """
    return hits.first(k).count / k


def recall(hits: HitMatrix, k: int) -> Float64Array:
    """Compute recall@k = hits / number of relevant items.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 to 1; below 1 where more than ``k`` items are relevant.

    Examples:
        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> recall(hits, k=3)  # 2 of 4 relevant items
        array([0.5])
    """
    return hits.first(k).count / hits.n_relevant


def hit(hits: HitMatrix, k: int) -> Float64Array:
    """Compute the hit rate hit@k = 1 if any of the first k places is a hit, else 0.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 or 1.

    Examples:
        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> hit(hits, k=2)
        array([1.])
    """
    return np.minimum(hits.first(k).count, 1.0)


def ndcg(hits: HitMatrix, k: int) -> Float64Array:
    """Compute nDCG@k, the normalised discounted cumulative gain (Järvelin and Kekäläinen 2002).

    DCG = Σ 1 / log2(rank + 1) over the hits, divided by the DCG of the best possible list, which
    has min(k, number of relevant items) hits in its first places.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 to 1.

    Examples:
        Hits at ranks 1 and 3 of the 3 possible: (1 + 1/2) / (1 + 1/log2(3) + 1/2) = 0.704.

        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> ndcg(hits, k=3).round(3)
        array([0.704])
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(k, hits.n_relevant) - 1]
    return _sum(hits, k, discount[hits.first(k).column]) / ideal


def average_precision(hits: HitMatrix, k: int) -> Float64Array:
    """Compute the average precision at k; its mean over users is MAP@k.

    AP@k = Σ precision@rank over the hits, divided by min(k, number of relevant items).

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 to 1.

    Examples:
        Precision is 1/1 at the first hit and 2/3 at the second: (1 + 2/3) / 3 = 0.556.

        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> average_precision(hits, k=3).round(3)
        array([0.556])
    """
    top = hits.first(k)
    # Hits are in the order of the list: number them 1, 2, ... within each user.
    number = np.arange(1, len(top.row) + 1) - (np.cumsum(top.count) - top.count)[top.row]
    return _sum(hits, k, number / (top.column + 1)) / np.minimum(k, hits.n_relevant)


def reciprocal_rank(hits: HitMatrix, k: int) -> Float64Array:
    """Compute 1 / rank of the first hit, 0 without a hit; its mean over users is MRR@k.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.

    Returns:
        [n_users], 0 to 1.

    Examples:
        >>> hits = HitMatrix(np.array([[False, True, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[1, 5, 7]]))
        >>> reciprocal_rank(hits, k=3)
        array([0.5])
    """
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
"""Every ranking metric by its name in tables."""

ITEM_AUC: Final = "item_auc"
"""The name of ``item_auc`` in tables."""

USER_AUC: Final = "user_auc"
"""The name of ``user_auc`` in tables."""

AUDIENCE_RECALL: Final = "audience_recall"
"""The name of ``audience_recall`` in tables."""

AUDIENCE: Final = 100
"""Users of an audience whose recall comparisons measure."""

ITEM_METRICS: Final = (ITEM_AUC, AUDIENCE_RECALL)
"""Names of the metrics with one value an item, both of the same items."""

ACCURACY: Final = (*RANKING_METRICS, ITEM_AUC, AUDIENCE_RECALL, USER_AUC)
"""Names of the metrics where more is better; those of ``beyond_accuracy`` have no best value."""


def ranking_metrics(hits: HitMatrix, ks: Iterable[int]) -> dict[tuple[str, int], Float64Array]:
    """Compute all ``RANKING_METRICS`` at every k.

    Args:
        hits: lists of at least ``max(ks)`` places.
        ks: numbers of places that count.

    Returns:
        {(name, k): [n_users]}.

    Examples:
        >>> hits = HitMatrix(np.array([[True, False, True]]), n_relevant=np.array([4]),
        ...                  n_listed=np.array([3]), items=np.array([[5, 1, 7]]))
        >>> metrics = ranking_metrics(hits, ks=[1, 3])
        >>> float(metrics["precision", 1][0]), float(metrics["recall", 3][0])
        (1.0, 0.5)
    """
    return {(name, k): metric(hits, k) for k in ks for name, metric in RANKING_METRICS.items()}


@dataclass(frozen=True, eq=False)
class ItemAuc:
    """Item-wise AUC of the items for which it is defined, see ``item_auc``."""

    values: Float64Array
    """[n_kept]: AUC of each item kept, 0 to 1."""
    items: IntArray
    """[n_kept]: columns of the items kept, ascending."""
    left_out: int
    """Number of items left out, as they are relevant to no user or to every user."""


def item_auc(scores: Float64Array, relevant: BoolArray) -> ItemAuc:
    """Compute for each item the probability that a user of the item scores it above another user.

    Each user's scores are first standardised over the items (mean 0, deviation 1), so that they
    can be compared between users; then the users are ranked by each column, ties counting one half
    (Mann and Whitney 1947). A ranking that is the same for everybody gives 0.5, however well it
    follows popularity.

    Args:
        scores: [n_users, n_items]. A missing score (NaN) counts as one standard deviation below
            the user's lowest; a user with no scores, or equal ones, is 0 throughout.
        relevant: [n_users, n_items], whether the item is relevant to the user.

    Returns:
        The AUCs of the items that are relevant to some users but not to all.

    Raises:
        InvalidArgumentError: the two shapes differ.

    Examples:
        Two users with opposite tastes, first ranked by a personal model, then alike:

        >>> relevant = np.array([[True, False], [False, True]])
        >>> item_auc(np.array([[0.9, 0.1], [0.2, 0.8]]), relevant).values
        array([1., 1.])
        >>> item_auc(np.array([[0.9, 0.1], [0.9, 0.1]]), relevant).values
        array([0.5, 0.5])
    """
    _check_shapes(scores, relevant)
    n_users, n_items = scores.shape
    items = items_with_auc(relevant)
    standard = _standardised(scores)
    values = np.empty(len(items))
    for block in _blocks(len(items), n_users, _CELLS):
        columns = items[block]
        values[block] = _auc(np.ascontiguousarray(standard[:, columns].T), relevant[:, columns].T)
    return ItemAuc(values, items, n_items - len(items))


def audience_recall(scores: Float64Array, relevant: BoolArray, k: int = AUDIENCE) -> Float64Array:
    """Compute for each item the share of its users who are among the k that it suits best.

    The recall of the item's audience: users are compared as by ``item_auc``. Of users who tie for
    the last places of the k, each counts as much as a draw among them would on average: a ranking
    that is the same for everybody gets k / n_users.

    Args:
        scores: [n_users, n_items], as for ``item_auc``.
        relevant: [n_users, n_items], whether the item is relevant to the user.
        k: users of an audience.

    Returns:
        The recall of the items that are relevant to some users but not to all, as ``item_auc``
        orders them, 0 to 1; below 1 where more than ``k`` users are relevant.

    Raises:
        InvalidArgumentError: the two shapes differ, or k is below 1.

    Examples:
        Three users; the item suits the third best, and the other two like it:

        >>> scores = np.array([[0.2, 0.8], [0.1, 0.9], [0.7, 0.3]])
        >>> relevant = np.array([[True, False], [True, False], [False, False]])
        >>> audience_recall(scores, relevant, k=2).tolist()
        [0.5]
    """
    _check_shapes(scores, relevant)
    check_whole("k", k)
    n_users, items = len(scores), items_with_auc(relevant)
    if k >= n_users:
        return np.ones(len(items))
    standard = _standardised(scores)
    values = np.empty(len(items))
    for block in _blocks(len(items), n_users, _CELLS):
        columns = items[block]
        own, liked = standard[:, columns], relevant[:, columns]
        least = np.partition(own, n_users - k, axis=0)[n_users - k]
        above, tied = own > least, own == least
        places = (k - above.sum(axis=0)) / tied.sum(axis=0)
        found = (above & liked).sum(axis=0) + places * (tied & liked).sum(axis=0)
        values[block] = found / liked.sum(axis=0)
    return values


def items_with_auc(relevant: BoolArray) -> IntArray:
    """Return the columns of the items relevant to some users but not to all, ascending.

    Args:
        relevant: [n_users, n_items].

    Examples:
        >>> items_with_auc(np.array([[True, True, False], [False, True, False]])).tolist()
        [0]
    """
    n_positive = relevant.sum(axis=0)
    return np.flatnonzero((n_positive > 0) & (n_positive < len(relevant)))


def user_auc(scores: Float64Array, relevant: BoolArray) -> Float64Array:
    """Compute for each user the probability that a relevant item is scored above another item.

    Ties count one half (Rendle et al., UAI 2009, count them 0). Beware that it mostly measures
    popularity: where a few items have most of the plays, one ranking by popularity for everybody
    does well. ``item_auc`` does not depend on popularity.

    Args:
        scores: [n_users, n_items]. A missing score (NaN) is below every other, and ties with the
            other missing ones.
        relevant: [n_users, n_items], whether the item is relevant to the user.

    Returns:
        [n_users], 0 to 1; NaN for a user with no or only relevant items.

    Raises:
        InvalidArgumentError: the two shapes differ.

    Examples:
        The relevant item beats one of two others:

        >>> user_auc(np.array([[0.5, 0.9, 0.1]]), np.array([[True, False, False]]))
        array([0.5])
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
    """Compute the AUC of each row, ties one half, [n_rows]; NaN where all or none are positive.

    It follows from the sum of the positives' ranks, ties sharing their mean rank (Mann and Whitney
    1947). As few are positive, only their places among the row's sorted scores are searched.
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
    """Do as numpy.searchsorted, each value within its own row."""
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


def _standardised(scores: Float64Array) -> Float64Array:
    """Standardise all rows, a few at a time; see ``_standardise``."""
    standard = np.empty(scores.shape)
    n_users, n_items = scores.shape
    for block in _blocks(n_users, n_items, _CACHED):
        standard[block] = _standardise(scores[block])
    return standard


def _standardise(scores: Float64Array) -> Float64Array:
    """Scale rows to mean 0 and deviation 1, with missing scores filled in; see ``item_auc``."""
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
    # Rounding noise of a constant row must not break ties: hence this threshold and the rounding
    # below, both far under any meaningful difference.
    constant = deviation <= 1e-6 * np.abs(scores).max(axis=1, keepdims=True, initial=1e-300)
    standard: Float64Array = np.round(centred / np.where(constant, np.inf, deviation), 5)
    return standard


def _sum(hits: HitMatrix, k: int, of_hit: Float64Array) -> Float64Array:
    """Sum ``of_hit`` over each user's hits within the first k places, [n_users]."""
    top = hits.first(k)
    return np.bincount(top.row, weights=of_hit, minlength=len(top.count)).astype(np.float64)
