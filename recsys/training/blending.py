"""Choose the blend: which sources take part, and the weight of each for warm and for cold items.

Sources are fitted on the training parts of a validation split (`recsys.training.validation`), and
every blend on a grid is scored by nDCG@10: on held-out interactions of known items among all items,
and on held-out items among themselves. A source of collaborative vectors that is not shown to make
either better drops out; LightFM, which costs most, is asked first after few epochs
(`recsys.training.source_gains`). What a cold item's score is worth beside a warm one's is measured
afterwards (`recsys.training.calibration`). The search is deterministic.

Given embeddings may come from a network that saw the held-out items' labels. All sources see a
held-out item through the same embedding, so that favours none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recsys.config import RecommenderConfig, SourceName
from recsys.data import Vectors
from recsys.new_songs import NewSongCalibration
from recsys.training.calibration import calibrate_new_songs, scale_by_default, scale_cold_weights
from recsys.training.source_gains import BlendSearches, Gain, grow_lightfm
from recsys.training.validation import (
    LIST_LENGTH,
    MIN_COLD_ITEMS,
    ValidationSplit,
    validation_users,
)
from recsys.training.validation_lists import POPULARITY, SourceVectors, candidates
from recsys.training.weight_search import WeightSearch

_DEFAULT_WEIGHTS: dict[str, float] = {"als": 0.4, "fm": 0.4, "content": 0.2, "ease": 0.3}
"""Weights if there is too little data to choose: on Music4All and Last.fm, content mapped to the
factors of plays matters more than nearest neighbours by content. A source not named here
has weight 0 then, as popularity has."""


@dataclass(frozen=True)
class Blend:
    """Sources and their weights, and how they were chosen.

    Examples:
        >>> Blend({"als": 1.0}, {"als": 0.5}, "configured", "configured").cold["als"]
        0.5
    """

    warm: dict[str, float]
    """Weights for warm items; they sum to 1."""

    cold: dict[str, float]
    """Weights for cold items; they sum to how much a cold item counts beside a warm one."""

    warm_reason: str
    """How the weights for warm items were chosen, for people to read."""

    cold_reason: str
    """How the weights for cold items were chosen, for people to read."""

    calibration: NewSongCalibration | None = None
    """How likely items of a score are to be played; None where that was not measured."""

    gains: dict[str, Gain] = field(default_factory=dict)
    """What each source adds, of those where that was measured."""

    dropped: dict[str, str] = field(default_factory=dict)
    """Sources that take no part, and why, for people to read."""

    lightfm_epochs: int | None = None
    """Epochs after which LightFM was stopped on the validation split; None where it was not."""

    def to_json(self) -> dict[str, Any]:
        """Return weights and reasons as JSON values."""
        return {
            "warm": self.warm,
            "cold": self.cold,
            "warm_reason": self.warm_reason,
            "cold_reason": self.cold_reason,
        }


def choose_blend(
    split: ValidationSplit | None,
    config: RecommenderConfig,
    als: Vectors | None = None,
) -> Blend:
    """Return the configured weights, or choose them on a validation split.

    Args:
        split: the validation split; None uses the default weights.
        config: sources, their settings, and weights that are not to be chosen.
        als: factors of ALS that were learned from ``split.dense`` before.

    Examples:
        >>> blend = choose_blend(None, RecommenderConfig(sources=("als", "fm")))
        >>> blend.warm, blend.warm_reason
        ({'als': 0.5, 'fm': 0.5}, 'default: too few interactions to choose')
    """
    fixed = config.fusion
    default = _default_weights(config.sources)
    if len(config.sources) == 1:
        return Blend(default, default, "a single source", "a single source")
    if fixed.warm is not None and fixed.cold is not None:
        return Blend(_normalised(fixed.warm), _normalised(fixed.cold), "configured", "configured")
    if split is None:
        few = "default: too few interactions to choose"
        warm = (default, few) if fixed.warm is None else (_normalised(fixed.warm), "configured")
        cold = (
            scale_by_default(default, "default: too few items with an embedding to choose")
            if fixed.cold is None
            else (_normalised(fixed.cold), "configured")
        )
        return Blend(warm[0], cold[0], warm[1], cold[1])

    choice = _fit_and_choose(split, config, als)
    names = choice.names
    warm = _weights(choice.searches.warm, names, "warm")
    cold = _weights(choice.searches.cold, names, "cold")
    if fixed.warm is not None:
        warm = (_normalised(fixed.warm), "configured")
    if fixed.cold is not None:
        cold = (_normalised(fixed.cold), "configured")
    limit = fixed.validation_users
    calibration = calibrate_new_songs(choice.cold.only(names), split, warm[0], cold[0], limit)
    if fixed.cold is None:
        cold, calibration = scale_cold_weights(cold, calibration)
    return Blend(
        warm[0],
        cold[0],
        warm[1],
        cold[1],
        calibration,
        choice.gains,
        choice.dropped,
        choice.lightfm_epochs,
    )


class _Choice(NamedTuple):
    """Sources that take part in a blend."""

    names: list[str]
    lightfm_epochs: int | None
    gains: dict[str, Gain]
    dropped: dict[str, str]
    cold: SourceVectors
    """Vectors of all of them, learned without the held-out items."""
    searches: BlendSearches


def _fit_and_choose(
    split: ValidationSplit, config: RecommenderConfig, als: Vectors | None
) -> _Choice:
    """Fit the sources on a validation split, and choose those that take part."""
    # LightFM is asked for apart, unless it is all there is to learn from plays.
    first = tuple(name for name in config.sources if name != "fm")
    asks_lightfm = "fm" in config.sources and bool({"als", "ease"} & set(first))
    start = config.replace(sources=first, fusion={}) if asks_lightfm else config
    warm = cold = SourceVectors.fit(split.dense, split, start, als)
    if split.training is not split.dense:
        cold = SourceVectors.fit(split.training, split, start)
    searches = _searches(split, config, warm, cold)
    fusion = config.fusion
    may_drop = fusion.drop_sources and fusion.warm is None and fusion.cold is None
    dropped: dict[str, str] = {}
    epochs = None
    if asks_lightfm:
        grown = grow_lightfm(split, config, warm, cold, searches if may_drop else None)
        warm, cold, epochs = grown.warm, grown.cold, grown.epochs
        if grown.dropped:
            dropped["fm"] = grown.dropped
        else:
            warm, cold = warm.only(config.sources), cold.only(config.sources)
            searches = _searches(split, config, warm, cold)
    kept, gains, others = list(warm.users), dict[str, Gain](), dict[str, str]()
    if may_drop:
        kept, gains, others = searches.drop(kept)
    return _Choice(kept, epochs, gains, {**dropped, **others}, cold, searches)


def _searches(
    split: ValidationSplit, config: RecommenderConfig, warm: SourceVectors, cold: SourceVectors
) -> BlendSearches:
    """Find candidates of validation users, among known and among held-out items."""
    limit, default = config.fusion.validation_users, _default_weights(config.sources)
    known = new = None
    users = validation_users(split.dense, split.held_plays, limit)
    if len(users):
        pool = np.flatnonzero(split.dense.user_counts > 0)
        found = candidates(warm, users, split.held_plays, pool)
        known = WeightSearch(found, default, evidence=len(users), cold=False)
    users = validation_users(split.training, split.held_cold, limit)
    if len(users) and len(split.cold_items) >= MIN_COLD_ITEMS:
        found = candidates(cold, users, split.held_cold, split.cold_items)
        # What a few items say about the cold blend depends mostly on which items they are.
        new = WeightSearch(found, default, evidence=len(split.cold_items), cold=True)
    return BlendSearches(known, new)


def _weights(
    search: WeightSearch | None, names: Sequence[str], kind: str
) -> tuple[dict[str, float], str]:
    """Return the best weights of these sources, and how they were chosen."""
    default = _default_weights(names)
    if search is None:
        return default, f"default: too little held-out {kind} data to choose"
    if not search.tells(names):
        return default, f"default: no source tells {kind} items apart"
    found = search.best(names)
    items = "held-out items" if search.cold else "held-out interactions"
    return found.weights, (
        f"nDCG@{LIST_LENGTH} {found.ndcg.mean():.3f} on {items} of {len(found.ndcg)} users "
        "inside training"
    )


def _default_weights(sources: Sequence[str]) -> dict[str, float]:
    """Return the default weights of these sources."""
    return _normalised({name: _DEFAULT_WEIGHTS.get(name, 0.0) for name in sources})


def _normalised(weights: Mapping[SourceName, float] | Mapping[str, float]) -> dict[str, float]:
    """Scale weights so that all but that of popularity sum to 1."""
    total = sum(weight for name, weight in weights.items() if name != POPULARITY)
    return {str(name): weight / (total or 1) for name, weight in weights.items()}
