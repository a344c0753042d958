"""Settings that are left to the data: chosen on the validation split inside the training data.

The best L2 penalty of ALS depends on how many people play an item and how many items a user plays:
on Last.fm's listeners (HetRec) nDCG@10 is .169 at 2 times alpha, .184 at 5 and .164 at 7.5. So it
is found for every data set, by fits without the held-out plays.
"""

import numpy as np

from recsys.config import RecommenderConfig
from recsys.sources.als import USUAL_RATIO, ALSSource
from recsys.training.validation import ValidationSplit, judges, top_ndcg

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
