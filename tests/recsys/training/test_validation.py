"""Settings left to the data are chosen on the validation split, and only those."""

import numpy as np
import pytest

from recsys import Recommender
from recsys.sources.als import DEFAULT_RATIO, ALSSource
from recsys.training.validation import (
    RATIOS,
    choose_regularization,
    hold_out,
    leaves_regularization_open,
    mean_ndcg,
    validation_users,
    warm_ndcg,
)
from tests.helpers.recommenders import CONFIG, training_data

OPEN = CONFIG.replace(als={"factors": 12})


@pytest.mark.slow
def test_the_best_penalty_on_the_split_is_taken(tastes_data):
    split = hold_out(tastes_data, OPEN)
    users = validation_users(split, split.held_warm, 2000)
    found = {}
    for ratio in RATIOS:
        als = OPEN.als.replace(regularization=ratio * OPEN.als.alpha)
        vectors = ALSSource(als, OPEN.content_map).factors(split.training)
        scores = (vectors.users @ vectors.items.T).astype(float)
        scores[split.training.plays.nonzero()] = -np.inf
        scores[:, split.training.user_counts == 0] = -np.inf
        relevant = split.held_warm.toarray() > 0
        found[ratio] = mean_ndcg(scores[users], relevant[users], relevant[users].sum(axis=1))
        assert abs(found[ratio] - warm_ndcg(vectors, split, users)) < 1e-9
    best = max(RATIOS, key=found.__getitem__)
    assert choose_regularization(split, OPEN).als.regularization == best * OPEN.als.alpha
    assert choose_regularization(split, OPEN) == choose_regularization(split, OPEN)


def test_what_is_configured_stays(tastes_data):
    given = CONFIG.replace(als={"factors": 12, "regularization": 3.0})
    assert not leaves_regularization_open(given)
    assert choose_regularization(hold_out(tastes_data, given), given) == given
    other = CONFIG.replace(sources=("fm",))
    assert not leaves_regularization_open(other)
    assert choose_regularization(None, other) == other


def test_too_little_to_choose_by(tastes):
    dataset, embeddings = tastes
    few = training_data(dataset.take_interactions(np.arange(60)), embeddings)
    config = choose_regularization(hold_out(few, OPEN), OPEN)
    assert config.als.regularization == DEFAULT_RATIO * config.als.alpha


def test_the_model_says_what_was_chosen(tastes):
    dataset, embeddings = tastes
    recommender = Recommender(OPEN.replace(sources=("als",))).fit(dataset, embeddings=embeddings)
    chosen = recommender.info["settings"]["als.regularization"]
    assert chosen / OPEN.als.alpha in RATIOS
    assert recommender.config.als.regularization is None
