"""Choosing the blend: how much each source counts for warm and for cold items.

A split inside the training data holds out a share of the interactions and, of the items with an
embedding, whole artists. All sources are learned without them, and every blend on a grid is scored
by nDCG@10: on the held-out interactions of warm items among all items, and on the held-out items
among themselves. Then the cold weights are scaled as a whole so that the list of both kinds
together, out of the whole catalogue, loses no more than the share ``discovery`` of the best nDCG@10
to be had, where new items get the same share of their plays as others: predicted vectors are
guesses, and how far they may push learned ones aside is a thing to measure. Test data has no part
in it. The search is deterministic.

An embedding given here may come from a network that saw the held-out items' labels. All sources
see a held-out item through that same embedding, so it does not favour one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.config import RecommenderConfig, SourceName
from recsys.fusion import make_blocks
from recsys.sources.base import Floats, TrainingData, Vectors
from recsys.sources.registry import make_source

K = 10
STEP = 0.05
"""Grid of the weights, and the least that any source gets: a source that should say nothing at all
is left out of ``sources``, so that its vectors stay comparable between warm and cold items."""

BEST_OF = 20
"""The weights are the mean of the best point in so many of the grid's."""

PRIOR = 50
"""How many held-out items (cold) or users (warm) the default weights are worth."""

_SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
"""How much a cold item may count beside a warm one."""

_LEAST_USERS = 50
_LEAST_COLD_ITEMS = 20
_POOL = 100
"""Candidates that each source proposes for a user: the best of a blend are the best of a part."""

_DEFAULT: dict[SourceName, float] = {"als": 0.4, "fm": 0.4, "content": 0.2}
"""Where there is too little data to choose: mapping content into the space of what people play
matters more than its nearest neighbours (FACTS: Music4All, Last.fm)."""


@dataclass(frozen=True)
class Blend:
    """Weights of the sources, and how they were found, in words.

    The warm weights sum to 1; the cold ones to how much a cold item counts beside a warm one.
    """

    warm: dict[str, float]
    cold: dict[str, float]
    warm_reason: str
    cold_reason: str


def choose_blend(data: TrainingData, config: RecommenderConfig) -> Blend:
    """Weights as configured, or chosen on a validation split inside ``data``."""
    fixed = config.fusion
    default = _normalised({name: _DEFAULT[name] for name in config.sources})
    if len(config.sources) == 1:
        return Blend(default, default, "a single source", "a single source")
    if fixed.warm is not None and fixed.cold is not None:
        return Blend(_normalised(fixed.warm), _normalised(fixed.cold), "configured", "configured")

    split = _hold_out(data, config)
    if split is None:
        warm = (default, "default: too few interactions to choose")
        cold = (default, "default: too few items with an embedding to choose")
    else:
        standing = _Standing.learn(split, config)
        limit = fixed.validation_users
        warm = _search(standing, split, cold=False, limit=limit, default=default)
        cold = _search(standing, split, cold=True, limit=limit, default=default)
    if fixed.warm is not None:
        warm = (_normalised(fixed.warm), "configured")
    if fixed.cold is not None:
        cold = (_normalised(fixed.cold), "configured")
    elif split is not None:
        cold = _scale(
            standing,
            split,
            warm[0],
            cold,
            limit=fixed.validation_users,
            discovery=fixed.discovery,
        )
    return Blend(warm[0], cold[0], warm[1], cold[1])


@dataclass(frozen=True)
class _Split:
    """Data to learn from, and what was held out of it: CSR plays [n_users, n_items].

    held_later: of both kinds of items the same share, as in a time to come.
    """

    learn: TrainingData
    held_warm: sp.csr_matrix
    held_cold: sp.csr_matrix
    held_later: sp.csr_matrix
    cold_items: NDArray[np.intp]


def _hold_out(data: TrainingData, config: RecommenderConfig) -> _Split | None:
    rng = np.random.default_rng(config.seed)
    fraction = config.fusion.validation_fraction
    plays = data.plays.tocoo()
    if plays.nnz * fraction < _LEAST_USERS:
        return None
    held_items = _hold_out_artists(data, fraction, rng)
    is_cold = np.zeros(data.plays.shape[1], bool)
    is_cold[held_items] = True
    of_cold = is_cold[plays.col]
    sampled = rng.random(plays.nnz) < fraction
    of_warm = ~of_cold & sampled

    def part(mask: NDArray[np.bool_]) -> sp.csr_matrix:
        entries = (plays.data[mask], (plays.row[mask], plays.col[mask]))
        return sp.csr_matrix(entries, shape=plays.shape)

    learn = replace(data, plays=part(~(of_cold | of_warm)))
    return _Split(learn, part(of_warm), part(of_cold), part(sampled), held_items)


def _hold_out_artists(
    data: TrainingData, fraction: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Warm items with an embedding, whole artists at a time; none where too few would be left."""
    candidates = np.flatnonzero(data.content.has_embedding & (data.listeners > 0))
    wanted = max(int(fraction * len(candidates)), _LEAST_COLD_ITEMS)
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
    return candidates[held[codes]] if n_held >= _LEAST_COLD_ITEMS else candidates[:0]


@dataclass(frozen=True)
class _Standing:
    """Each source as it scores: user vectors scaled, item vectors centred, [n, d] each."""

    users: dict[str, Floats]
    items: dict[str, Floats]

    @classmethod
    def learn(cls, split: _Split, config: RecommenderConfig) -> "_Standing":
        vectors: dict[str, Vectors] = {
            name: make_source(name, config).fit(split.learn) for name in config.sources
        }
        is_cold = split.learn.listeners == 0
        items = {name: pair.items for name, pair in vectors.items()}
        ones = dict.fromkeys(vectors, 1.0)
        blocks = make_blocks(items, is_cold, ones, ones)
        return cls(
            {block.name: block.fuse_users(vectors[block.name].users) for block in blocks},
            {block.name: block.fuse_items(items[block.name], is_cold) for block in blocks},
        )


def _search(
    standing: _Standing, split: _Split, *, cold: bool, limit: int, default: dict[str, float]
) -> tuple[dict[str, float], str]:
    """The best blend on the grid for held-out interactions of one kind of items."""
    kind = "cold" if cold else "warm"
    held = split.held_cold if cold else split.held_warm
    users = _judges(split, held, limit)
    if not len(users) or (cold and len(split.cold_items) < _LEAST_COLD_ITEMS):
        return default, f"default: too little held-out {kind} data to choose"
    names = list(standing.users)
    scores, relevant = _candidates(standing, split, users, held, cold=cold)
    wanted = np.diff(held[users].indptr)

    grid = np.stack(_grid(len(names)))
    found = np.array(
        [_ndcg(np.tensordot(point, scores, axes=1), relevant, wanted) for point in grid]
    )
    # The surface is flat and one split is noisy: the middle of the best points, not their first.
    best = np.argsort(-found, kind="stable")[: max(1, len(grid) // BEST_OF)]
    weights = grid[best].mean(axis=0)
    # What a few items tell of the cold blend is mostly which items they were.
    evidence = len(split.cold_items) if cold else len(users)
    usual = np.array([default[name] for name in names])
    weights = (evidence * weights + PRIOR * usual) / (evidence + PRIOR)
    ndcg = _ndcg(np.tensordot(weights, scores, axes=1), relevant, wanted)
    items = "held-out items" if cold else "held-out interactions"
    return (
        dict(zip(names, weights.tolist(), strict=True)),
        f"nDCG@{K} {ndcg:.3f} on {items} of {len(users)} users inside training",
    )


def _scale(
    standing: _Standing,
    split: _Split,
    warm: dict[str, float],
    cold: tuple[dict[str, float], str],
    *,
    limit: int,
    discovery: float,
) -> tuple[dict[str, float], str]:
    """Cold weights scaled as far up as lists of both kinds lose no more than ``discovery``."""
    weights, reason = cold
    held = split.held_later
    users = _judges(split, held, limit)
    if not len(users) or len(split.cold_items) < _LEAST_COLD_ITEMS:
        return cold
    sides = []
    for blend, is_cold in ((warm, False), (weights, True)):
        scores, relevant = _candidates(standing, split, users, held, cold=is_cold)
        point = [blend[name] for name in standing.users]
        sides.append((np.tensordot(point, scores, axes=1), relevant))
    relevant = np.hstack([side[1] for side in sides])
    wanted = np.diff(held[users].indptr)
    found = {
        scale: _ndcg(np.hstack([sides[0][0], scale * sides[1][0]]), relevant, wanted)
        for scale in _SCALES
    }
    enough = (1 - discovery) * max(found.values())
    best = max(scale for scale in _SCALES if found[scale] >= enough)
    scaled = {name: best * weight for name, weight in weights.items()}
    return scaled, f"{reason}; times {best:g} beside warm items: nDCG@{K} {found[best]:.3f}"


def _judges(split: _Split, held: sp.csr_matrix, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` users with something held out, of whom something is left to learn from.

    None where there are too few of them to judge by.
    """
    known = np.diff(split.learn.plays.indptr) > 0
    users = np.flatnonzero((np.diff(held.indptr) > 0) & known)
    if len(users) < _LEAST_USERS:
        return users[:0]
    return users[np.linspace(0, len(users) - 1, min(limit, len(users))).astype(np.intp)]


def _candidates(
    standing: _Standing, split: _Split, users: NDArray[np.intp], held: sp.csr_matrix, *, cold: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores [n_sources, n_users, n_candidates] and whether each candidate was played."""
    pool = split.cold_items if cold else np.flatnonzero(split.learn.listeners > 0)
    seen = split.learn.plays
    size = min(_POOL, len(pool))
    all_scores, all_relevant = [], []
    for start in range(0, len(users), 256):
        rows = users[start : start + 256]
        scores = np.stack(
            [standing.users[n][rows] @ standing.items[n][pool].T for n in standing.users]
        )
        relevant = held[rows][:, pool].toarray() > 0
        scores[:, seen[rows][:, pool].toarray() > 0] = -np.inf
        proposed = np.argpartition(-scores, size - 1, axis=2)[:, :, :size]
        proposed = np.concatenate(list(proposed), axis=1)
        # One item proposed by several sources stands once, so that it fills one place of a list.
        order = np.sort(proposed, axis=1)
        repeated = np.zeros_like(order, bool)
        repeated[:, 1:] = order[:, 1:] == order[:, :-1]
        chosen = np.take_along_axis(scores, order[None], axis=2)
        chosen[:, repeated] = -np.inf
        all_scores.append(chosen)
        all_relevant.append(np.take_along_axis(relevant, order, axis=1) & ~repeated)
    return np.concatenate(all_scores, axis=1), np.concatenate(all_relevant)


def _ndcg(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_], wanted: NDArray[np.intp]
) -> float:
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


def _grid(n: int) -> Sequence[NDArray[np.float64]]:
    """All weights in multiples of STEP, none zero, that sum to 1; the most even ones first."""
    steps = round(1 / STEP)
    points = [
        np.array([*head, steps - sum(head)], np.float64) / steps
        for head in product(range(1, steps), repeat=n - 1)
        if sum(head) < steps
    ]
    return sorted(points, key=lambda point: float((point**2).sum()))


def _normalised(weights: Mapping[SourceName, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {str(name): weight / total for name, weight in weights.items()}
