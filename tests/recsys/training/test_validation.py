"""Settings left to the data are chosen on the validation split, and only those."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recsys import Recommender
from recsys.config import ALSConfig
from recsys.sources.als import ALSSource, usual_penalty
from recsys.training import validation
from recsys.training.validation import (
    RATIOS,
    choose_regularization,
    hold_out,
    leaves_regularization_open,
    ndcg_of_users,
    validation_users,
    warm_ndcg,
)
from tests.helpers.recommenders import CONFIG, training_data

OPEN = CONFIG.replace(als={"factors": 12})


def test_the_dense_part_lacks_single_plays_alone(tastes_data):
    split = hold_out(tastes_data, OPEN)
    assert len(split.cold_items) >= 20
    whole = split.dense.plays + split.held_plays
    assert (whole != tastes_data.plays).nnz == 0
    assert not split.training.plays[:, split.cold_items].nnz
    assert split.dense.plays[:, split.cold_items].nnz > 0
    # Without whole items held out, both are the same.
    deaf = replace(tastes_data, content=tastes_data.content.without_embeddings())
    only = hold_out(deaf, OPEN)
    assert only.dense is only.training


def test_of_very_many_plays_few_items_are_held_out_and_one_split_serves_all(
    tastes_data, monkeypatch
):
    third = OPEN.replace(fusion={"validation_fraction": 0.3})
    several = hold_out(tastes_data, third)
    monkeypatch.setattr("recsys.data.MANY_PLAYS", 100)
    one = hold_out(tastes_data, third)
    assert one.dense is one.training
    assert len(one.cold_items) == 20 < len(several.cold_items)  # the fewest that tell something
    chosen = choose_regularization(tastes_data, one, OPEN)
    assert chosen.config.als.regularization == usual_penalty(tastes_data, OPEN.als)
    als = ALSSource(chosen.config.als, OPEN.content_map)
    np.testing.assert_array_equal(chosen.als.items, als.factors(one.dense).items)


def test_no_more_items_are_held_out_than_tell_something(tastes_data, monkeypatch):
    third = OPEN.replace(fusion={"validation_fraction": 0.3})
    assert len(hold_out(tastes_data, third).cold_items) == 24
    monkeypatch.setattr(validation, "MOST_COLD_ITEMS", 20)
    assert len(hold_out(tastes_data, third).cold_items) in (20, 21)  # whole artists


@pytest.mark.slow
def test_a_penalty_as_good_as_the_best_on_the_split_is_taken(tastes_data):
    split = hold_out(tastes_data, OPEN)
    users = validation_users(split.dense, split.held_plays, 2000)
    usual = usual_penalty(tastes_data, OPEN.als)
    found = {}
    for ratio in RATIOS:
        als = OPEN.als.replace(regularization=ratio * usual)
        vectors = ALSSource(als, OPEN.content_map).factors(split.dense)
        scores = (vectors.users @ vectors.items.T).astype(float)
        scores[split.dense.plays.nonzero()] = -np.inf
        scores[:, split.dense.user_counts == 0] = -np.inf
        relevant = split.held_plays.toarray() > 0
        found[ratio] = ndcg_of_users(
            scores[users], relevant[users], relevant[users].sum(axis=1)
        ).mean()
        assert abs(found[ratio] - warm_ndcg(vectors, split, users).mean()) < 1e-9
    chosen = choose_regularization(tastes_data, split, OPEN)
    ratio = chosen.config.als.regularization / usual
    assert min(RATIOS, key=lambda one: abs(one - ratio)) == pytest.approx(ratio)
    assert found[min(RATIOS, key=lambda one: abs(one - ratio))] > max(found.values()) - 0.02
    # The factors that come with it are those of that penalty.
    assert warm_ndcg(chosen.als, split, users).mean() > max(found.values()) - 0.02
    again = choose_regularization(tastes_data, split, OPEN)
    assert again.config == chosen.config
    np.testing.assert_array_equal(again.als.items, chosen.als.items)


def test_what_is_configured_stays(tastes_data):
    given = CONFIG.replace(als={"factors": 12, "regularization": 3.0})
    assert not leaves_regularization_open(given)
    assert choose_regularization(tastes_data, hold_out(tastes_data, given), given) == (given, None)
    other = CONFIG.replace(sources=("fm",))
    assert not leaves_regularization_open(other)
    assert choose_regularization(tastes_data, None, other) == (other, None)


def test_too_little_to_choose_by(tastes):
    dataset, embeddings = tastes
    few = training_data(dataset.take_interactions(np.arange(60)), embeddings)
    config = choose_regularization(few, hold_out(few, OPEN), OPEN).config
    assert config.als.regularization == usual_penalty(few, OPEN.als)


def test_the_usual_penalty_by_hand(tastes_data):
    # Two users play both of two items, a third item has no plays: two plays a user and an item.
    plays = sp.csr_matrix(np.float32([[1, 9, 0], [1, 1, 0]]))
    data = replace(tastes_data, plays=plays)
    assert usual_penalty(data, ALSConfig(alpha=5.0)) == pytest.approx(0.8 * 5 * 2**0.5)


def test_the_model_says_what_was_chosen(tastes, tastes_data):
    dataset, embeddings = tastes
    recommender = Recommender(OPEN.replace(sources=("als",))).fit(dataset, embeddings=embeddings)
    chosen = recommender.info["settings"]["als.regularization"]
    ratio = chosen / usual_penalty(tastes_data, OPEN.als)
    assert min(abs(one - ratio) for one in RATIOS) < 1e-9
    assert recommender.config.als.regularization is None


def test_ndcg_by_hand():
    # First user: hits at ranks 1 and 3 of three wanted items: (1 + 1/2) / (1 + 1/log2(3) + 1/2).
    # Second: none of the wanted items is a candidate.
    scores = np.array([[0.1, 0.9, 0.5, -np.inf], [4.0, 3.0, 2.0, 1.0]])
    relevant = np.array([[True, True, False, False], [False] * 4])
    wanted = np.array([3, 1])
    first = 1.5 / (1.5 + 1 / np.log2(3))
    assert ndcg_of_users(scores, relevant, wanted).mean() == pytest.approx(first / 2)


def test_ndcg_looks_at_ten_places():
    scores = -np.arange(12.0)[None]
    relevant = np.zeros((1, 12), bool)
    relevant[0, [9, 10]] = True
    assert ndcg_of_users(scores, relevant, np.array([1]))[0] == pytest.approx(1 / np.log2(11))
