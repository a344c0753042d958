"""What a new song's score is worth beside a known one's: chances found again, and scaled."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.data import TrainingData
from recsys.new_songs import NewSongCalibration
from recsys.training.calibration import calibrate_new_songs, logistic, scale_cold_weights
from recsys.training.validation import ValidationSplit
from recsys.training.validation_lists import SourceVectors
from tests.helpers.recommenders import item_content


def test_alogistic_regression_finds_the_chances_that_were_drawn():
    rng = np.random.default_rng(0)
    scores = rng.normal(3, 2, 40_000)
    played = rng.random(40_000) < 1 / (1 + np.exp(4 - 0.8 * scores))
    intercept, slope = logistic(scores, played)
    assert (intercept, slope) == (pytest.approx(-4, abs=0.15), pytest.approx(0.8, abs=0.04))


def test_plays_that_count_by_a_chance_say_the_same_as_those_that_do():
    rng = np.random.default_rng(3)
    scores = rng.normal(1, 1, 60_000)
    played = rng.random(60_000) < 1 / (1 + np.exp(2 - scores))
    counted = played & (rng.random(60_000) < 0.2)
    assert logistic(scores, played, 0.2) == pytest.approx(logistic(scores, counted), abs=0.1)


def test_scores_that_say_nothing_or_the_wrong_thing_have_the_least_slope():
    scores = np.arange(100.0)
    intercept, slope = logistic(scores, scores < 20)
    assert slope == pytest.approx(0.02 / scores.std())
    assert intercept + slope * scores.mean() == pytest.approx(np.log(0.2 / 0.8))
    assert logistic(scores, scores < 0) is None  # nothing was played
    assert logistic(np.ones(9), np.arange(9) < 3) is None  # nothing differs


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
        dense=data,
        held_cold=sp.csr_matrix(held * (np.arange(known + new) >= known)),
        held_plays=sp.csr_matrix(held),  # all plays of new items lie in the period
        cold_items=np.arange(known, known + new),
    )
    vectors = SourceVectors(data, {"a": users}, {"a": items})
    ones = {"a": 1.0}
    found = calibrate_new_songs(vectors, split, ones, ones, n)
    expected = [-2, 1, -3, 2]
    values = [found.alpha_k, found.beta_k, found.alpha_n, found.beta_n]
    assert values == pytest.approx(expected, abs=0.1)
    (weights, reason), scaled = scale_cold_weights((ones, "why"), found)
    assert weights == {"a": pytest.approx(2, abs=0.2)}
    assert reason.startswith("why; times ")
    assert scaled.beta_n == pytest.approx(scaled.beta_k)
    assert (scaled.alpha_k, scaled.alpha_n) == (found.alpha_k, found.alpha_n)


def test_without_a_calibration_cold_weights_have_the_default_scale():
    (weights, reason), found = scale_cold_weights(({"a": 1.0}, "why"), None)
    assert (weights, found) == ({"a": 0.5}, None)
    assert "a default as well" in reason
    steep = NewSongCalibration(-5, 0.01, -5, 10.0)
    assert scale_cold_weights(({"a": 1.0}, ""), steep)[0][0] == {"a": 20.0}  # bounded
