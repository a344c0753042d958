"""Choosing the blend: a source that is noise gets the least, and no test data is needed."""

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from datasets.errors import InvalidArgumentError
from recsys.config import FusionConfig
from recsys.data import TrainingData
from recsys.new_songs import NewSongCalibration
from recsys.training import blending
from recsys.training.blending import (
    STEP,
    _calibrate,
    _candidates,
    _grid,
    _logistic,
    _scale_cold_weights,
    _SourceVectors,
)
from recsys.training.validation import ValidationSplit, _hold_out_artists, hold_out, mean_ndcg
from tests.helpers.recommenders import CONFIG, item_content, training_data


def choose_blend(data, config):
    return blending.choose_blend(hold_out(data, config), config)


SMALL = CONFIG.replace(als={"factors": 12}, fm={"components": 8, "epochs": 8})


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
        assert min(weights.values()) >= STEP * total - 1e-9
    assert "held-out interactions" in blend.warm_reason
    assert "held-out items" in blend.cold_reason


@pytest.mark.slow
def test_content_that_is_noise_gets_the_least_weight(tastes_data, noise):
    told, untold = choose_blend(tastes_data, SMALL), choose_blend(noise, SMALL)
    assert untold.warm["content"] < 0.2  # what it gets where nothing is known
    assert untold.warm["content"] < told.warm["content"]
    # The embeddings give the taste away, so content gets more than where nothing is known.
    assert told.cold["content"] > 0.2 * sum(told.cold.values())


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
    one = choose_blend(tastes_data, SMALL.replace(fusion={"cold": cold}))
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


@pytest.mark.parametrize(("n", "points"), [(1, 1), (2, 19), (3, 171), (4, 84)])
def test_the_grid_covers_all_weights_most_even_first(n, points):
    grid = np.array(_grid(n))
    assert grid.shape == (points, n)
    assert grid.sum(axis=1) == pytest.approx(np.ones(points))
    assert grid.min() >= STEP - 1e-9
    assert len(np.unique(grid.round(6), axis=0)) == points
    assert np.ptp(grid[0]) <= 2 * STEP + 1e-9


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
    held = split.held_warm.multiply(rare[None]).tocsr()
    held.eliminate_zeros()
    against = blending.choose_blend(replace(split, held_warm=held), config)
    assert against.warm["popularity"] < min(blend.warm["popularity"], -0.1)


def test_ndcg_by_hand():
    # First user: hits at ranks 1 and 3 of three wanted items: (1 + 1/2) / (1 + 1/log2(3) + 1/2).
    # Second: none of the wanted items is a candidate.
    scores = np.array([[0.1, 0.9, 0.5, -np.inf], [4.0, 3.0, 2.0, 1.0]])
    relevant = np.array([[True, True, False, False], [False] * 4])
    wanted = np.array([3, 1])
    first = 1.5 / (1.5 + 1 / np.log2(3))
    assert mean_ndcg(scores, relevant, wanted) == pytest.approx(first / 2)


def test_ndcg_looks_at_ten_places():
    scores = -np.arange(12.0)[None]
    relevant = np.zeros((1, 12), bool)
    relevant[0, [9, 10]] = True
    assert mean_ndcg(scores, relevant, np.array([1])) == pytest.approx(1 / np.log2(11))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 49, 60])
def test_as_many_users_are_scored_as_configured(tastes_data, limit):
    fusion = FusionConfig(validation_users=limit)
    blend = choose_blend(tastes_data, SMALL.replace(fusion=fusion))
    assert f" of {limit} users inside training" in blend.warm_reason
    assert f" of {limit} users inside training" in blend.cold_reason


def array(rows):
    return np.array(rows, np.float32)


@pytest.fixture
def scored():
    """One user and five items: 0 was learned from, 1 and 2 held out (2 was played), 3 and 4 held
    out whole (4 was played). Scores by source: a 5 4 3 2 1, b 1 2 3 4 5."""
    # A second user makes items 1 and 2 warm.
    plays = sp.csr_matrix(array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]))
    data = TrainingData(plays, item_content(np.zeros((5, 1))), np.arange(5), seed=0, threads=1)
    user = array([[1.0]])
    return (
        _SourceVectors(
            {"a": user, "b": user},
            {"a": array([[5], [4], [3], [2], [1]]), "b": array([[1], [2], [3], [4], [5]])},
        ),
        ValidationSplit(
            data,
            held_warm=sp.csr_matrix(array([[0, 0, 1, 0, 0]])),
            held_cold=sp.csr_matrix(array([[0, 0, 0, 0, 1]])),
            held_mixed=sp.csr_matrix(array([[0, 0, 1, 0, 0]])),
            cold_items=np.array([3, 4]),
        ),
    )


@pytest.mark.parametrize(
    ("cold", "candidates", "relevant"),
    [(False, [(4, 2), (3, 3)], [3]), (True, [(2, 4), (1, 5)], [1])],
)
def test_candidates_are_new_to_the_user_and_of_one_kind(scored, cold, candidates, relevant):
    vectors, split = scored
    held = split.held_cold if cold else split.held_warm
    scores, hits = _candidates(vectors, split, np.array([0]), held, cold=cold)
    stands = np.isfinite(scores[0, 0])
    # Each once, though both sources propose it.
    assert sorted(zip(*scores[:, 0, stands].tolist(), strict=True)) == sorted(candidates)
    assert scores[0, hits].tolist() == relevant


def test_a_logistic_regression_finds_the_chances_that_were_drawn():
    rng = np.random.default_rng(0)
    scores = rng.normal(3, 2, 40_000)
    played = rng.random(40_000) < 1 / (1 + np.exp(4 - 0.8 * scores))
    intercept, slope = _logistic(scores, played)
    assert (intercept, slope) == (pytest.approx(-4, abs=0.15), pytest.approx(0.8, abs=0.04))


def test_plays_that_count_by_a_chance_say_the_same_as_those_that_do():
    rng = np.random.default_rng(3)
    scores = rng.normal(1, 1, 60_000)
    played = rng.random(60_000) < 1 / (1 + np.exp(2 - scores))
    counted = played & (rng.random(60_000) < 0.2)
    assert _logistic(scores, played, 0.2) == pytest.approx(_logistic(scores, counted), abs=0.1)


def test_scores_that_say_nothing_or_the_wrong_thing_have_the_least_slope():
    scores = np.arange(100.0)
    intercept, slope = _logistic(scores, scores < 20)
    assert slope == pytest.approx(0.02 / scores.std())
    assert intercept + slope * scores.mean() == pytest.approx(np.log(0.2 / 0.8))
    assert _logistic(scores, scores < 0) is None  # nothing was played
    assert _logistic(np.ones(9), np.arange(9) < 3) is None  # nothing differs


def test_calibration_compares_new_items_with_known_ones():
    # New items are played by a steeper curve of the score, and less: logit = 2 s - 3 for s - 2.
    rng = np.random.default_rng(1)
    n, known, new = 3000, 60, 40
    users, items = (rng.normal(size=(size, 1)).astype(np.float32) for size in (n, known + new))
    items[known:] = np.where(items[known:] > 0, 1, -1)  # all as long, so none is adjusted
    logit = np.hstack([users @ items[:known].T - 2, 2 * users @ items[known:].T - 3])
    played = rng.random(logit.shape) < 1 / (1 + np.exp(-logit))
    learned = np.zeros((n, known + new), np.float32)
    learned[np.arange(n), rng.integers(0, known, n)] = 1
    learned[:known, :known] += np.eye(known)
    held = np.where(learned > 0, 0, played).astype(np.float32)
    data = TrainingData(
        sp.csr_matrix(learned), item_content(np.zeros((known + new, 1))), np.arange(known + new),
        seed=0, threads=1,
    )  # fmt: skip
    split = ValidationSplit(
        data,
        held_warm=sp.csr_matrix(held * (np.arange(known + new) < known)),
        held_cold=sp.csr_matrix(held * (np.arange(known + new) >= known)),
        held_mixed=sp.csr_matrix(held),  # all plays of new items lie in the period
        cold_items=np.arange(known, known + new),
    )
    vectors = _SourceVectors({"a": users}, {"a": items})
    ones = {"a": 1.0}
    found = _calibrate(vectors, split, ones, ones, n)
    expected = [-2, 1, -3, 2]
    values = [found.alpha_k, found.beta_k, found.alpha_n, found.beta_n]
    assert values == pytest.approx(expected, abs=0.1)
    (weights, reason), scaled = _scale_cold_weights((ones, "why"), found)
    assert weights == {"a": pytest.approx(2, abs=0.2)}
    assert reason.startswith("why; times ")
    assert scaled.beta_n == pytest.approx(scaled.beta_k)
    assert (scaled.alpha_k, scaled.alpha_n) == (found.alpha_k, found.alpha_n)


def test_without_a_calibration_cold_weights_have_the_default_scale():
    (weights, reason), found = _scale_cold_weights(({"a": 1.0}, "why"), None)
    assert (weights, found) == ({"a": 0.5}, None)
    assert "a default as well" in reason
    steep = NewSongCalibration(-5, 0.01, -5, 10.0)
    assert _scale_cold_weights(({"a": 1.0}, ""), steep)[0][0] == {"a": 20.0}  # bounded


def test_memory_for_candidates_does_not_grow_with_sources_and_little_with_items():
    rng = np.random.default_rng(0)
    n, names = 20_000, [f"source {number}" for number in range(5)]
    vectors = blending._SourceVectors(
        {name: rng.normal(size=(256, 4)).astype(np.float32) for name in names},
        {name: rng.normal(size=(n, 4)).astype(np.float32) for name in names},
    )
    plays, held = (sp.random(256, n, k / n, "csr", np.float32, rng=rng) for k in (50, 5))
    learned = SimpleNamespace(user_counts=np.ones(n, int), plays=plays)
    split = SimpleNamespace(training=learned, cold_items=np.arange(0))
    tracemalloc.start()
    try:
        blending._candidates(vectors, split, np.arange(256), held, cold=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / n < 4_000  # bytes an item; all sources at once took 18,000
