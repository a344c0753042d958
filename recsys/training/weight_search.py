"""The search of blend weights on candidates of validation users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from datasets.arrays import Float64Array
from recsys.config import SourceName
from recsys.training.validation import paired_gain
from recsys.training.validation_lists import POPULARITY, BlendCandidates

STEP = 0.05
"""Step of the grid of weights, and the smallest weight: a source that should not count at all is
left out of ``sources``, so that its vectors stay comparable between warm and cold items."""

BEST_SHARE = 20
"""One in this many points of the grid is averaged: the best ones."""

_CONTENT: SourceName = "content"
"""The source that stays whatever it adds: known items have a part of it in their vectors, by which
they are compared with new ones."""

LITTLE = 0.01
"""Weight of content among known items where it is not shown to make their lists better."""

PRIOR = 50
"""How many held-out items (cold) or users (warm) the default weights are worth."""

_POPULARITY_WEIGHTS = (
    *(-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2),
    *(0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0),
)
"""Weights of popularity to try beside the others, which sum to 1. Where users have played little,
as in short videos, hardly anything else is known of what they will play."""


@dataclass(frozen=True)
class FoundWeights:
    """The best weights of some sources, and what lists by them are worth."""

    weights: dict[str, float]
    """Those of all sources but popularity sum to 1."""

    ndcg: Float64Array
    """nDCG@10 of each validation user, float64 [n_users]."""


@dataclass
class WeightSearch:
    """Finds the weights that suit the held-out plays of some users.

    Examples:
        >>> found = BlendCandidates(
        ...     np.array([0]),
        ...     ["als", "fm"],
        ...     np.float32([[[3, 2, 1]], [[1, 2, 4]]]),  # ALS ranks the played item first
        ...     np.array([[True, False, False]]),
        ...     np.array([1]),
        ... )
        >>> search = WeightSearch(found, {"als": 0.5, "fm": 0.5}, evidence=10_000, cold=False)
        >>> round(search.best(["als", "fm"]).weights["als"], 2)
        0.6
    """

    candidates: BlendCandidates
    """BlendCandidates of the users, under all sources."""

    default: Mapping[str, float]
    """The default weights."""

    evidence: int
    """Number of items or users that speak for what is found, against `PRIOR`."""

    cold: bool
    """Whether the candidates are held-out items, which have no popularity."""

    _known: dict[tuple[str, ...], FoundWeights] = field(default_factory=dict, repr=False)

    def tells(self, names: Sequence[str]) -> bool:
        """Return whether any of these sources, popularity apart, tells items apart."""
        silent = self.candidates.uninformative
        return any(name != POPULARITY and name not in silent for name in names)

    def best(self, names: Sequence[str]) -> FoundWeights:
        """Return the best weights of some sources; those that say nothing get 0.

        Args:
            names: sources, of which one tells items apart at least.
        """
        key = tuple(names)
        if key not in self._known:
            self._known[key] = self._search(key)
        return self._known[key]

    def _search(self, names: tuple[str, ...]) -> FoundWeights:
        # A source that scores all items alike, as content does without recordings, takes no part:
        # its weight would change nothing, and a grid of fewer sources is finer.
        silent = self.candidates.uninformative
        others = [n for n, name in enumerate(names) if name != POPULARITY and name not in silent]
        prior = np.array([self.default.get(name, 0.0) for name in names])
        if prior[others].sum() > 0:
            quiet = [n for n, name in enumerate(names) if name in silent]
            prior[quiet] = 0
            prior = prior / prior.sum()
        points = weight_grid(len(others))
        grid = np.zeros((len(points), len(names)))
        grid[:, others] = points
        weights = self._mean_of_best(names, grid, prior)
        if _CONTENT in names and _CONTENT not in silent and len(others) > 1 and not self.cold:
            weights = self._with_little_content(names, weights)
        if POPULARITY in names and not self.cold:
            line = np.tile(weights, (len(_POPULARITY_WEIGHTS), 1))
            line[:, names.index(POPULARITY)] = _POPULARITY_WEIGHTS
            without = self.candidates.ndcg(dict(zip(names, weights.tolist(), strict=True)))
            with_it = self._mean_of_best(names, line, weights)
            lists = self.candidates.ndcg(dict(zip(names, with_it.tolist(), strict=True)))
            gain, error = paired_gain(lists, without)
            if gain > error:  # otherwise it is chance
                weights = with_it
        found = dict(zip(names, weights.tolist(), strict=True))
        return FoundWeights(found, self.candidates.ndcg(found))

    def _with_little_content(self, names: tuple[str, ...], weights: Float64Array) -> Float64Array:
        """Give content `LITTLE` weight where more is not shown to make lists better."""
        others = [name for name in names if name not in (_CONTENT, POPULARITY)]
        rest = self.best(others)
        lists = self.candidates.ndcg(dict(zip(names, weights.tolist(), strict=True)))
        gain, error = paired_gain(lists, rest.ndcg)
        if gain > error:
            return weights
        few = {name: (1 - LITTLE) * weight for name, weight in rest.weights.items()}
        return np.array([{**few, _CONTENT: LITTLE}.get(name, 0.0) for name in names])

    def _mean_of_best(
        self, names: tuple[str, ...], points: Float64Array, prior: Float64Array
    ) -> Float64Array:
        """Return the mean of the best points, as the surface is flat and the split noisy."""
        found = np.array(
            [self.candidates.ndcg(dict(zip(names, point, strict=True))).mean() for point in points]
        )
        best = np.argsort(-found, kind="stable")[: max(1, len(points) // BEST_SHARE)]
        center: Float64Array = points[best].mean(axis=0)
        return (self.evidence * center + PRIOR * prior) / (self.evidence + PRIOR)


def weight_grid(n: int) -> Float64Array:
    """Return all positive weights of n sources that sum to 1, [n_points, n], most even ones first.

    They are multiples of STEP, or of 2 STEP for more than three sources.

    Examples:
        >>> weight_grid(2)[:2].round(2).tolist()
        [[0.5, 0.5], [0.45, 0.55]]
    """
    steps = round(1 / STEP) if n <= 3 else round(0.5 / STEP)
    points = [
        [*head, steps - sum(head)]
        for head in product(range(1, steps), repeat=n - 1)
        if sum(head) < steps
    ]
    return np.array(sorted(points, key=lambda point: sum(part**2 for part in point))) / steps
