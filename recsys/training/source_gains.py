"""What a source adds to a blend, measured on held-out plays, and which sources drop out.

The gain of a source is the mean difference of nDCG@10, paired by user, between the best blend with
it and the best without it. Sources that learn from plays are dropped, the one that costs most
first, whose gain is below `LEAST_GAIN` standard errors for known and for new items alike. One
always stays. Content and popularity cost next to nothing, and stay.

LightFM costs more than all others together. It is trained on the validation split in rounds, and
stops when a round adds nothing to the blend; after a first round that shows nothing it drops out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datasets.arrays import Float64Array
from recsys.config import RecommenderConfig
from recsys.data import TrainingData, Vectors, has_many_plays
from recsys.sources.lightfm import FMSource
from recsys.sources.lightfm_model import n_epochs
from recsys.training.validation import ValidationSplit, paired_gain
from recsys.training.validation_lists import BlendCandidates, SourceVectors, candidates
from recsys.training.weight_search import WeightSearch

LEAST_GAIN = 1.0
"""Standard errors by which a source has to make lists better."""

LEARNED = ("fm", "ease", "als")
"""Sources that learn vectors from plays, of which one stays; what costs most comes first."""

_PROMISING = 0.5
"""Standard errors of gain after the first round with which LightFM goes on."""

_FIRST_EPOCHS, _FIRST_STEPS = 10, 1_000_000
"""The first round: so many epochs, or as many as make so many steps if those are more."""

_ROUNDS = 4
"""Rounds that the other epochs are divided into."""

_SHARES = (0.1, 0.2, 0.35, 0.5)
"""Weights that LightFM is tried with after a round, the others' being scaled down."""


class Gain(NamedTuple):
    """What a source adds to nDCG@10; None where that could not be measured."""

    warm: float | None
    """For lists of known items."""

    warm_error: float | None
    """Its standard error over users."""

    cold: float | None
    """For new items among themselves."""

    cold_error: float | None
    """Its standard error over users."""

    @property
    def in_errors(self) -> float:
        """The larger gain in units of its standard error."""
        pairs = ((self.warm, self.warm_error), (self.cold, self.cold_error))
        return max(
            (in_errors(gain, error) for gain, error in pairs if None not in (gain, error)),
            default=0.0,
        )

    @property
    def sentence(self) -> str:
        """Say it for people to read."""
        parts = [
            f"{gain:+.4f} (standard error {error:.4f}) for {kind} items"
            for kind, gain, error in (
                ("known", self.warm, self.warm_error),
                ("new", self.cold, self.cold_error),
            )
            if gain is not None
        ]
        return "adds to nDCG@10 " + " and ".join(parts)


def in_errors(gain: float | None, error: float | None) -> float:
    """Return a gain in units of its standard error; 0 where there is none.

    Examples:
        >>> in_errors(0.004, 0.002)
        2.0
    """
    if not gain or error is None:
        return 0.0
    return gain / error if error > 0 else float(np.copysign(np.inf, gain))


@dataclass
class BlendSearches:
    """The searches of weights for known and for new items; None where there is too little data."""

    warm: WeightSearch | None
    cold: WeightSearch | None

    def gain(self, names: Sequence[str], name: str) -> Gain:
        """Measure what one of some sources adds to the others."""
        without = [other for other in names if other != name]
        found: list[float | None] = []
        for search in (self.warm, self.cold):
            if search is None or not search.tells(without):
                found += [None, None]
            else:
                found += paired_gain(search.best(names).ndcg, search.best(without).ndcg)
        return Gain(*found)

    def drop(self, names: Sequence[str]) -> tuple[list[str], dict[str, Gain], dict[str, str]]:
        """Drop the sources that are not shown to add anything.

        Returns:
            The sources that stay; the gain of each that learns from plays, beside the others that
            were left when it was measured last; and why others are dropped.
        """
        kept, gains, dropped = list(names), dict[str, Gain](), dict[str, str]()
        if self.warm is None:
            return kept, gains, dropped
        for name in LEARNED:
            if name not in kept or sum(other in LEARNED for other in kept) == 1:
                continue
            gains[name] = self.gain(kept, name)
            if gains[name].in_errors < LEAST_GAIN:
                kept.remove(name)
                dropped[name] = gains[name].sentence
        return kept, gains, dropped


class GrownLightFM(NamedTuple):
    """LightFM on a validation split, beside the other sources."""

    warm: SourceVectors
    """All vectors, learned from ``split.dense``."""

    cold: SourceVectors
    """All vectors, learned from ``split.training``."""

    epochs: int | None
    """Epochs of its training; None where they were not chosen."""

    dropped: str
    """Why it takes no part; "" where it does."""


def grow_lightfm(
    split: ValidationSplit,
    config: RecommenderConfig,
    warm: SourceVectors,
    cold: SourceVectors,
    searches: BlendSearches | None,
) -> GrownLightFM:
    """Train LightFM on the validation split for as long as it makes the blend better.

    Args:
        split: the validation split.
        config: settings of LightFM.
        warm: the other sources' vectors, learned from ``split.dense``.
        cold: the other sources' vectors, learned from ``split.training``.
        searches: of weights of the other sources; None trains it to the end, come what may.
    """
    n_plays = split.dense.plays.nnz
    most = n_epochs(config.fm, n_plays)
    if searches is None:
        return _whole(split, config, warm, cold)
    if has_many_plays(split.dense.plays):
        return GrownLightFM(warm, cold, None, f"{n_plays:,} plays would take it long")
    if config.fm.embedding_features != "closed-form" or searches.warm is None:
        return _whole(split, config, warm, cold)
    names = list(warm.users)
    base = searches.warm.best(names)
    users, pool = searches.warm.candidates.users, np.flatnonzero(split.dense.user_counts > 0)
    last = -np.inf
    epochs, vectors = 0, None
    for epochs, vectors in _rounds(config, split.dense, most):
        grown = warm.with_vectors("fm", vectors)
        found = candidates(grown, users, split.held_plays, pool, searches.warm.candidates)
        gain, error = _best_gain(found, base.weights, base.ndcg)
        first = epochs == _first_round(n_plays, most)
        if first and in_errors(gain, error) < _PROMISING:
            # New items decide where known ones do not.
            so_far = config.replace(fm=config.fm.replace(epochs=epochs))
            if searches.cold is None or not _promises_new(split, so_far, cold, searches.cold):
                told = Gain(gain, error, None, None).sentence
                return GrownLightFM(warm, cold, None, f"after {epochs} epochs it {told}")
        if gain - last < 0.1 * error:
            break
        last = gain
    chosen = config.replace(fm=config.fm.replace(epochs=epochs))
    return _whole(split, chosen, warm, cold, epochs, vectors)


def _first_round(n_plays: int, most: int) -> int:
    """Return the epochs of the first round."""
    return min(most, max(_FIRST_EPOCHS, -(-_FIRST_STEPS // max(n_plays, 1))))


def _rounds(
    config: RecommenderConfig, training: TrainingData, most: int
) -> Iterator[tuple[int, Vectors]]:
    """Train LightFM on plays and metadata; yield epochs and vectors after each round."""
    first = _first_round(training.plays.nnz, most)
    step = max(1, -(-(most - first) // _ROUNDS))
    marks = [first, *range(first + step, most, step)]
    if marks[-1] != most:
        marks.append(most)
    return FMSource(config.fm, config.content_map).grow(training, marks)


def _best_gain(
    found: BlendCandidates, weights: Mapping[str, float], base: Float64Array
) -> tuple[float, float]:
    """Return what LightFM adds with the best of `_SHARES`, and its standard error."""
    lists = []
    for share in _SHARES:
        mixed = {name: (1 - share) * weight for name, weight in weights.items()}
        lists.append(found.ndcg({**mixed, "fm": share}))
    return paired_gain(max(lists, key=np.mean), base)


def _promises_new(
    split: ValidationSplit, config: RecommenderConfig, cold: SourceVectors, search: WeightSearch
) -> bool:
    """Return whether LightFM, after a first round, makes lists of new items better."""
    grown = _with_lightfm(split, config, cold)
    users = search.candidates.users
    found = candidates(grown, users, split.held_cold, split.cold_items, search.candidates)
    base = search.best(list(cold.users))
    return in_errors(*_best_gain(found, base.weights, base.ndcg)) >= _PROMISING


def _with_lightfm(
    split: ValidationSplit,
    config: RecommenderConfig,
    vectors: SourceVectors,
    learned: Vectors | None = None,
) -> SourceVectors:
    """Fit LightFM on what the other vectors were learned from, or take what it learned before."""
    source = FMSource(config.fm, config.content_map)
    training = vectors.training
    found = source.fit(training) if learned is None else source.fit_content(training, learned)
    return vectors.with_source("fm", source, found, split)


def _whole(
    split: ValidationSplit,
    config: RecommenderConfig,
    warm: SourceVectors,
    cold: SourceVectors,
    epochs: int | None = None,
    learned: Vectors | None = None,
) -> GrownLightFM:
    """Fit LightFM on both parts of the split.

    Args:
        split: the validation split.
        config: settings of LightFM.
        warm: the other sources' vectors, learned from ``split.dense``.
        cold: the other sources' vectors, learned from ``split.training``.
        epochs: epochs that were chosen.
        learned: what LightFM has learned from the plays of ``split.dense`` before.
    """
    grown = _with_lightfm(split, config, warm, learned)
    new = grown if cold is warm else _with_lightfm(split, config, cold)
    return GrownLightFM(grown, new, epochs, "")
