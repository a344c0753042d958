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
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recsys.config import RecommenderConfig, SourceName
from recsys.data import Vectors
from recsys.fusion import make_blocks
from recsys.sources.registry import make_source
from recsys.training.validation import LEAST_COLD_ITEMS, K, ValidationSplit, judges, ndcg

STEP = 0.05
"""Grid of the weights, and the least that any source gets: a source that should say nothing at all
is left out of ``sources``, so that its vectors stay comparable between warm and cold items."""

BEST_OF = 20
"""The weights are the mean of the best point in so many of the grid's."""

PRIOR = 50
"""How many held-out items (cold) or users (warm) the default weights are worth."""

USUAL_SCALE = 0.5
"""How much a cold item counts beside a warm one where there is too little data to measure it: what
is measured on the demo catalogue."""

_SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
"""How much a cold item may count beside a warm one."""

POPULARITY: SourceName = "popularity"
"""The source whose weight may be negative."""

_POPULARITY = (-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2)
"""Weights of popularity beside the others, which sum to 1."""

_POOL = 100
"""Candidates that each source proposes for a user: the best of a blend are the best of a part."""

_DEFAULT: dict[SourceName, float] = {"als": 0.4, "fm": 0.4, "content": 0.2, "ease": 0.3}
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


def choose_blend(split: ValidationSplit | None, config: RecommenderConfig) -> Blend:
    """Weights as configured, or chosen on a validation split; defaults where there is none."""
    fixed = config.fusion
    default = _default(config.sources)
    if len(config.sources) == 1:
        return Blend(default, default, "a single source", "a single source")
    if fixed.warm is not None and fixed.cold is not None:
        return Blend(_normalised(fixed.warm), _normalised(fixed.cold), "configured", "configured")

    if split is None:
        warm = (default, "default: too few interactions to choose")
        cold = _usually_scaled(default, "default: too few items with an embedding to choose")
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
class _Standing:
    """Each source as it scores: user vectors scaled, item vectors centred, [n, d] each."""

    users: dict[str, Float32Array]
    items: dict[str, Float32Array]

    @property
    def silent(self) -> list[str]:
        """Sources that tell no items apart."""
        return [name for name, items in self.items.items() if not items.any()]

    @classmethod
    def learn(cls, split: ValidationSplit, config: RecommenderConfig) -> "_Standing":
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
    standing: _Standing,
    split: ValidationSplit,
    *,
    cold: bool,
    limit: int,
    default: dict[str, float],
) -> tuple[dict[str, float], str]:
    """The best blend on the grid for held-out interactions of one kind of items."""
    kind = "cold" if cold else "warm"
    held = split.held_cold if cold else split.held_warm
    users = judges(split, held, limit)
    if not len(users) or (cold and len(split.cold_items) < LEAST_COLD_ITEMS):
        return default, f"default: too little held-out {kind} data to choose"
    names = list(standing.users)
    scores, relevant = _candidates(standing, split, users, held, cold=cold)
    wanted = np.diff(held[users].indptr)

    def judge(weights: Float64Array) -> float:
        return ndcg(np.tensordot(weights, scores, axes=1), relevant, wanted)

    # What a few items tell of the cold blend is mostly which items they were.
    evidence = len(split.cold_items) if cold else len(users)
    usual = np.array([default[name] for name in names])

    def settle(points: Float64Array) -> Float64Array:
        found = np.array([judge(point) for point in points])
        # The surface is flat and a split is noisy: the middle of the best points, not the first.
        best = np.argsort(-found, kind="stable")[: max(1, len(points) // BEST_OF)]
        middle: Float64Array = points[best].mean(axis=0)
        return (evidence * middle + PRIOR * usual) / (evidence + PRIOR)

    place = {name: number for number, name in enumerate(names)}
    # A source that says the same of every item, as content does without recordings, takes no part:
    # its weight would change nothing, and a grid of fewer sources is finer.
    silent = [place[name] for name in standing.silent]
    others = [place[name] for name in names if name != POPULARITY and place[name] not in silent]
    if not others:
        return default, f"default: no source tells {kind} items apart"
    if usual[others].sum() > 0:
        usual[silent] = 0
        usual = usual / usual.sum()
    points = _grid(len(others))
    grid = np.zeros((len(points), len(names)))
    grid[:, others] = points
    weights = settle(grid)
    if POPULARITY in place and not cold:  # of a cold item it knows nothing
        along = np.tile(weights, (len(_POPULARITY), 1))
        along[:, place[POPULARITY]] = _POPULARITY
        usual = weights
        weights = settle(along)
    items = "held-out items" if cold else "held-out interactions"
    return (
        dict(zip(names, weights.tolist(), strict=True)),
        f"nDCG@{K} {judge(weights):.3f} on {items} of {len(users)} users inside training",
    )


def _scale(
    standing: _Standing,
    split: ValidationSplit,
    warm: dict[str, float],
    cold: tuple[dict[str, float], str],
    *,
    limit: int,
    discovery: float,
) -> tuple[dict[str, float], str]:
    """Cold weights scaled as far up as lists of both kinds lose no more than ``discovery``."""
    weights, reason = cold
    held = split.held_later
    users = judges(split, held, limit)
    if not len(users) or len(split.cold_items) < LEAST_COLD_ITEMS:
        return _usually_scaled(weights, reason)
    sides = []
    for blend, is_cold in ((warm, False), (weights, True)):
        scores, relevant = _candidates(standing, split, users, held, cold=is_cold)
        point = [blend[name] for name in standing.users]
        sides.append((np.tensordot(point, scores, axes=1), relevant))
    relevant = np.hstack([side[1] for side in sides])
    wanted = np.diff(held[users].indptr)
    found = {
        scale: ndcg(np.hstack([sides[0][0], scale * sides[1][0]]), relevant, wanted)
        for scale in _SCALES
    }
    enough = (1 - discovery) * max(found.values())
    best = max(scale for scale in _SCALES if found[scale] >= enough)
    scaled = {name: best * weight for name, weight in weights.items()}
    return scaled, f"{reason}; times {best:g} beside warm items: nDCG@{K} {found[best]:.3f}"


def _usually_scaled(weights: dict[str, float], reason: str) -> tuple[dict[str, float], str]:
    scaled = {name: USUAL_SCALE * weight for name, weight in weights.items()}
    return scaled, f"{reason}; times {USUAL_SCALE:g} beside warm items, a default as well"


def _candidates(
    standing: _Standing,
    split: ValidationSplit,
    users: IntArray,
    held: sp.csr_matrix,
    *,
    cold: bool,
) -> tuple[Float32Array, BoolArray]:
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
        for own, name in enumerate(standing.users):
            # Their weights may be zero or negative; the others keep such an item out.
            if name == POPULARITY or name in standing.silent:
                chosen[own] = np.where(np.isfinite(chosen[own]), chosen[own], 0)
        all_scores.append(chosen)
        all_relevant.append(np.take_along_axis(relevant, order, axis=1) & ~repeated)
    return np.concatenate(all_scores, axis=1), np.concatenate(all_relevant)


def _grid(n: int) -> Float64Array:
    """All weights in multiples of STEP, or of twice that for more than three sources, none zero,
    that sum to 1: [points, n], the most even ones first."""
    steps = round(1 / STEP) if n <= 3 else round(0.5 / STEP)
    points = [
        [*head, steps - sum(head)]
        for head in product(range(1, steps), repeat=n - 1)
        if sum(head) < steps
    ]
    return np.array(sorted(points, key=lambda point: sum(part**2 for part in point))) / steps


def _default(sources: Sequence[SourceName]) -> dict[str, float]:
    return _normalised({name: _DEFAULT.get(name, 0.0) for name in sources})


def _normalised(weights: Mapping[SourceName, float]) -> dict[str, float]:
    """In proportion, so that all but that of popularity sum to 1."""
    total = sum(weight for name, weight in weights.items() if name != POPULARITY)
    return {str(name): weight / (total or 1) for name, weight in weights.items()}
