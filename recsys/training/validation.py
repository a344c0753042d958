"""A split inside the training data, on which settings and blend weights are chosen.

It holds out a share of the interactions and, of the items with an embedding, whole artists. Test
data has no part in it, and it is the same for the same data and seed.

Settings that are left to the data: chosen on the validation split inside the training data.

The best L2 penalty of ALS depends on how many people play an item and how many items a user plays:
on Last.fm's listeners (HetRec) nDCG@10 is .169 at 2 times alpha, .184 at 5 and .164 at 7.5. So it
is found for every data set, by fits without the held-out plays.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float64Array, IntArray
from recsys.config import RecommenderConfig
from recsys.data import TrainingData, Vectors
from recsys.sources.als import USUAL_RATIO, ALSSource

K = 10
"""Length of the lists that nDCG judges."""

LEAST_USERS = 50

LEAST_COLD_ITEMS = 20


@dataclass(frozen=True)
class ValidationSplit:
    """Data to learn from, and what was held out of it: CSR plays [n_users, n_items].

    held_later: of both kinds of items the same share, as in a time to come.
    """

    learn: TrainingData
    held_warm: sp.csr_matrix
    held_cold: sp.csr_matrix
    held_later: sp.csr_matrix
    cold_items: IntArray


def hold_out(data: TrainingData, config: RecommenderConfig) -> ValidationSplit | None:
    """The split for this seed; None where there are too few interactions to hold any out."""
    rng = np.random.default_rng(config.seed)
    fraction = config.fusion.validation_fraction
    plays = data.plays.tocoo()
    if plays.nnz * fraction < LEAST_USERS:
        return None
    held_items = _hold_out_artists(data, fraction, rng)
    is_cold = np.zeros(data.plays.shape[1], bool)
    is_cold[held_items] = True
    of_cold = is_cold[plays.col]
    sampled = rng.random(plays.nnz) < fraction
    of_warm = ~of_cold & sampled

    def part(mask: BoolArray) -> sp.csr_matrix:
        entries = (plays.data[mask], (plays.row[mask], plays.col[mask]))
        return sp.csr_matrix(entries, shape=plays.shape)

    learn = replace(data, plays=part(~(of_cold | of_warm)))
    return ValidationSplit(learn, part(of_warm), part(of_cold), part(sampled), held_items)


def _hold_out_artists(data: TrainingData, fraction: float, rng: np.random.Generator) -> IntArray:
    """Warm items with an embedding, whole artists at a time; none where too few would be left."""
    candidates = np.flatnonzero(data.content.has_embedding & (data.listeners > 0))
    wanted = max(int(fraction * len(candidates)), LEAST_COLD_ITEMS)
    most = len(candidates) // 3
    artists, codes, sizes = np.unique(
        data.artists[candidates], return_inverse=True, return_counts=True
    )
    held = np.zeros(len(artists), bool)
    n_held = 0
    for artist in rng.permutation(len(artists)):
        # An artist too large for what may go would take along what there is to learn from.
        if n_held + sizes[artist] <= most:
            held[artist] = True
            n_held += sizes[artist]
        if n_held >= wanted:
            break
    return candidates[held[codes]] if n_held >= LEAST_COLD_ITEMS else candidates[:0]


def judges(split: ValidationSplit, held: sp.csr_matrix, limit: int) -> IntArray:
    """At most ``limit`` users with something held out, of whom something is left to learn from.

    None where there are too few of them to judge by.
    """
    known = np.diff(split.learn.plays.indptr) > 0
    users = np.flatnonzero((np.diff(held.indptr) > 0) & known)
    if len(users) < LEAST_USERS:
        return users[:0]
    return users[np.linspace(0, len(users) - 1, min(limit, len(users))).astype(np.intp)]


def ndcg(scores: Float64Array, relevant: BoolArray, wanted: IntArray) -> float:
    """Mean nDCG@K of users whose candidates have these scores [n, c]; ``wanted`` [n] held out."""
    k = min(K, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    top_scores = np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-top_scores, axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    discount = 1 / np.log2(np.arange(2, K + 2))
    gain = np.take_along_axis(relevant, top, axis=1) @ discount[:k]
    ideal = np.cumsum(discount)[np.minimum(wanted, K) - 1]
    return float((gain / ideal).mean())


def top_ndcg(vectors: Vectors, split: ValidationSplit, users: IntArray) -> float:
    """Mean nDCG@K of these users' lists of warm items, for their held-out plays of warm items."""
    from implicit.cpu.topk import topk

    warm = np.flatnonzero(split.learn.listeners > 0)
    held, seen = (plays[users][:, warm].tocsr() for plays in (split.held_warm, split.learn.plays))
    wanted = np.diff(split.held_warm[users].indptr)
    rows, _ = topk(
        np.ascontiguousarray(vectors.items[warm]),
        np.ascontiguousarray(vectors.users[users]),
        min(K, len(warm)),
        filter_query_items=seen,
        num_threads=split.learn.threads,
    )
    relevant = np.asarray(held[np.arange(len(users))[:, None], rows].todense()) > 0
    order = -np.arange(rows.shape[1], dtype=np.float64)
    return ndcg(np.tile(order, (len(users), 1)), relevant, wanted)


RATIOS = (0.5, 1.0, 2.0, 3.5, 5.0, 7.0)
"""Penalties of ALS, in units of alpha, that are tried."""

MOST_PLAYS = 1_000_000
"""With more (user, item) pairs than these nothing is tried: fits take long then."""


def leaves_open(config: RecommenderConfig) -> bool:
    """Whether a configuration leaves something to the data that :func:`settle` chooses."""
    return config.als.regularization is None and "als" in config.sources


def settle(split: ValidationSplit | None, config: RecommenderConfig) -> RecommenderConfig:
    """The configuration with everything that it left open chosen."""
    if not leaves_open(config):
        return config
    ratio = USUAL_RATIO if split is None else _als_ratio(split, config)
    return config.replace(als=config.als.replace(regularization=ratio * config.als.alpha))


def _als_ratio(split: ValidationSplit, config: RecommenderConfig) -> float:
    users = judges(split, split.held_warm, config.fusion.validation_users)
    if not len(users) or split.learn.plays.nnz > MOST_PLAYS:
        return USUAL_RATIO
    found = []
    for ratio in RATIOS:
        als = config.als.replace(regularization=ratio * config.als.alpha)
        vectors = ALSSource(als, config.content_map).factors(split.learn)
        found.append(top_ndcg(vectors, split, users))
    return RATIOS[int(np.argmax(found))]
