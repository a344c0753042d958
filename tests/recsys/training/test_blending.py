"""Choosing the blend: a source that is noise gets the least, and no test data is needed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from recsys.config import FusionConfig
from recsys.training import blending
from recsys.training.validation import _hold_out_artists, hold_out
from recsys.training.weight_search import LITTLE, STEP
from tests.helpers.recommenders import CONFIG, training_data


def choose_blend(data, config):
    return blending.choose_blend(hold_out(data, config), config)


ALL = {"drop_sources": False}
SMALL = CONFIG.replace(als={"factors": 12}, fm={"components": 8, "epochs": 8}, fusion=ALL)
"""Small, with all sources whatever they add."""


@pytest.fixture(scope="module")
def noise(tastes):
    """The small data with embeddings that say nothing."""
    dataset, embeddings = tastes
    values = np.random.default_rng(3).standard_normal(embeddings.shape)
    return training_data(dataset, pd.DataFrame(values, index=embeddings.index))


def test_weights_add_to_one_and_the_reason_says_how(tastes_data):
    blend = choose_blend(tastes_data, SMALL)
    # The cold weights add to how much a cold item counts beside a warm one.
    cold = sum(blend.cold.values())
    assert f"times {cold:.3g}, so that scores of new and known items compare" in blend.cold_reason
    # A difference of scores means the same for both kinds.
    assert blend.calibration.beta_n == pytest.approx(blend.calibration.beta_k)
    for weights, total in ((blend.warm, 1), (blend.cold, cold)):
        assert list(weights) == ["als", "fm", "content"]
        assert sum(weights.values()) == pytest.approx(total)
        assert min(weights["als"], weights["fm"]) >= STEP * total - 1e-9
    # What sounds alike is not shown to make lists of known songs better than who plays what.
    assert blend.warm["content"] == LITTLE
    assert blend.cold["content"] >= STEP * cold - 1e-9
    assert "held-out interactions" in blend.warm_reason
    assert "held-out items" in blend.cold_reason


@pytest.mark.slow
def test_content_that_is_noise_gets_the_least_weight(tastes_data, noise):
    told, untold = choose_blend(tastes_data, SMALL), choose_blend(noise, SMALL)
    assert untold.warm["content"] == LITTLE
    # The embeddings give the taste away, so content gets more than where nothing is known.
    assert told.cold["content"] > 0.15 * sum(told.cold.values())


def test_a_source_that_says_nothing_takes_no_part(tastes):
    mute = training_data(tastes[0], pd.DataFrame())
    blend = choose_blend(mute, SMALL)
    without = choose_blend(mute, SMALL.replace(sources=("als", "fm")))
    assert blend.warm == pytest.approx({**without.warm, "content": 0})
    assert sum(blend.warm.values()) == pytest.approx(1)
    assert "default" not in blend.warm_reason


@pytest.mark.slow
def test_deterministic(tastes_data):
    assert choose_blend(tastes_data, SMALL) == choose_blend(tastes_data, SMALL)


def test_the_order_of_sources_is_that_of_the_configuration(tastes_data):
    blend = choose_blend(tastes_data, SMALL.replace(sources=("content", "als")))
    assert list(blend.warm) == list(blend.cold) == ["content", "als"]


def test_a_single_source_has_all_the_weight(tastes_data):
    blend = choose_blend(tastes_data, SMALL.replace(sources=("fm",)))
    assert blend.warm == blend.cold == {"fm": 1.0}
    assert blend.warm_reason == "a single source"


@pytest.mark.slow
def test_configured_weights_are_respected(tastes_data):
    warm, cold = {"als": 3, "fm": 1, "content": 1}, {"als": 1, "fm": 1, "content": 2}
    both = choose_blend(tastes_data, SMALL.replace(fusion={"warm": warm, "cold": cold}))
    assert both.warm == pytest.approx({"als": 0.6, "fm": 0.2, "content": 0.2})
    assert both.cold == pytest.approx({"als": 0.25, "fm": 0.25, "content": 0.5})
    assert both.warm_reason == both.cold_reason == "configured"
    # With one set given, the other is chosen as if none were.
    one = choose_blend(tastes_data, SMALL.replace(fusion={"cold": cold, **ALL}))
    free = choose_blend(tastes_data, SMALL)
    assert (one.warm, one.warm_reason) == (free.warm, free.warm_reason)
    assert (one.cold, one.cold_reason) == (both.cold, "configured")


@pytest.mark.parametrize(
    "weights", [{"als": 1.0}, {"als": 1, "fm": 0, "content": 1}, {"als": 1, "fm": -1, "content": 1}]
)
def test_weights_that_cannot_work_are_refused(weights):
    with pytest.raises(InvalidArgumentError):
        CONFIG.replace(fusion={"warm": weights})


# ------------------------------------------------------------------ too little to choose


def test_few_interactions_give_the_default(tastes):
    dataset, embeddings = tastes
    few = training_data(dataset.take_interactions(np.arange(100)), embeddings)
    blend = choose_blend(few, SMALL)
    assert blend.warm == {"als": 0.4, "fm": 0.4, "content": 0.2}
    # What is only guessed at does not stand beside what was learned as its equal.
    assert blend.cold == pytest.approx({name: 0.5 * part for name, part in blend.warm.items()})
    assert "times 0.5 beside warm items, a default" in blend.cold_reason
    assert blend.warm_reason == "default: too few interactions to choose"
    two = choose_blend(few, SMALL.replace(sources=("fm", "content")))
    assert two.warm == pytest.approx({"fm": 2 / 3, "content": 1 / 3})


def test_few_items_with_an_embedding_give_the_default_for_cold_items_only(tastes):
    dataset, embeddings = tastes
    blend = choose_blend(training_data(dataset, embeddings.iloc[:30]), SMALL)
    assert blend.cold == pytest.approx({"als": 0.2, "fm": 0.2, "content": 0.1})
    assert blend.cold_reason.startswith("default: too little held-out cold data to choose; times")
    assert blend.warm_reason.startswith("nDCG@10")


@pytest.mark.slow
@pytest.mark.parametrize("artists", [1, 2, 3])
def test_few_artists_leave_something_to_learn_from(tastes, tastes_data, artists):
    data = replace(tastes_data, artists=np.arange(90) % artists)
    blend = choose_blend(data, SMALL)
    # Two artists own half the items each, more than may be held out; of three, one may be.
    chosen = artists == 3
    assert blend.cold_reason.startswith("nDCG@10" if chosen else "default")
    assert blend.warm_reason.startswith("nDCG@10")


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5])
def test_whole_artists_are_held_out_at_most_a_third(tastes_data, fraction):
    rng = np.random.default_rng(0)
    artists = rng.integers(0, 25, 90)
    data = replace(tastes_data, artists=artists)
    played = data.content.has_embedding & (data.user_counts > 0)
    held = _hold_out_artists(artists, played, None, fraction, rng)
    assert 20 <= len(held) <= 80 // 3
    assert len(set(held)) == len(held)
    assert (tastes_data.user_counts[held] > 0).all()
    kept = np.setdiff1d(np.flatnonzero(tastes_data.user_counts > 0), held)
    assert not set(artists[held]) & set(artists[kept])


# ------------------------------------------------------------------ the search


def test_popularity_is_weighed_beside_the_others_and_may_count_against(tastes_data):
    config = SMALL.replace(sources=("als", "fm", "popularity"))
    split = hold_out(tastes_data, config)
    blend = blending.choose_blend(split, config)
    assert blend.warm["als"] + blend.warm["fm"] == pytest.approx(1)
    assert -0.5 <= blend.warm["popularity"] <= 4
    assert blend.cold["popularity"] == 0
    # Held out are plays of what few people play: popularity is turned against.
    rare = split.training.user_counts <= np.median(
        split.training.user_counts[split.training.user_counts > 0]
    )
    held = split.held_plays.multiply(rare[None]).tocsr()
    held.eliminate_zeros()
    against = blending.choose_blend(replace(split, held_plays=held), config)
    assert against.warm["popularity"] < min(blend.warm["popularity"], -0.1)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 49, 60])
def test_as_many_users_are_scored_as_configured(tastes_data, limit):
    fusion = FusionConfig(validation_users=limit, **ALL)
    blend = choose_blend(tastes_data, SMALL.replace(fusion=fusion))
    assert f" of {limit} users inside training" in blend.warm_reason
    assert f" of {limit} users inside training" in blend.cold_reason
