"""What sources add: measured in pairs, and without a gain they drop out."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys import Recommender
from recsys.training import source_gains
from recsys.training.blending import choose_blend
from recsys.training.source_gains import BlendSearches, Gain, in_errors
from recsys.training.validation import hold_out, paired_gain
from recsys.training.validation_lists import BlendCandidates
from recsys.training.weight_search import WeightSearch
from tests.helpers.recommenders import CONFIG

SMALL = CONFIG.replace(als={"factors": 12}, fm={"components": 8, "epochs": 8}, fusion={})


def search(strengths: dict[str, float], users: int = 300) -> WeightSearch:
    """Sources that know the played item this well, each with noise of its own."""
    random = np.random.default_rng(0)
    relevant = np.zeros((users, 30), bool)
    relevant[np.arange(users), random.integers(0, 30, users)] = True
    scores = random.normal(size=(len(strengths), users, 30))
    for own, strength in zip(scores, strengths.values(), strict=True):
        own += strength * relevant
    found = BlendCandidates(
        np.arange(users), list(strengths), scores.astype(np.float32), relevant, np.ones(users, int)
    )
    return WeightSearch(found, dict.fromkeys(strengths, 1.0), evidence=users, cold=False)


def test_gains_by_hand():
    gain, error = paired_gain(np.array([0.5, 0.3, 0.1]), np.array([0.1, 0.1, 0.1]))
    assert gain == pytest.approx(0.2)
    assert error == pytest.approx(0.2 / np.sqrt(3))
    assert in_errors(gain, error) == pytest.approx(np.sqrt(3))
    assert in_errors(None, None) == 0
    assert in_errors(0.1, 0.0) == np.inf
    assert Gain(0.1, 0.1, -0.2, 0.1).in_errors == pytest.approx(1)
    assert Gain(None, None, None, None).in_errors == 0


def test_a_source_of_noise_drops_out_and_two_that_know_stay():
    known = search({"als": 2.0, "ease": 2.0, "fm": 0.0})
    kept, gains, dropped = BlendSearches(known, None).drop(["als", "ease", "fm"])
    assert kept == ["als", "ease"]
    assert set(gains) == {"als", "ease", "fm"}
    # What costs least stays where two say the same.
    same = search({"als": 2.0, "ease": 0.0, "fm": 0.0})
    same.candidates.scores[1:] = same.candidates.scores[0]
    assert BlendSearches(same, None).drop(["als", "ease", "fm"])[0] == ["als"]
    assert gains["als"].warm > 3 * gains["als"].warm_error
    assert dropped["fm"].startswith("adds to nDCG@10")


def test_one_source_stays_whatever_it_knows():
    kept, _, dropped = BlendSearches(search({"als": 0.0, "ease": 0.0}), None).drop(["als", "ease"])
    assert len(kept) == len(dropped) == 1


def test_a_gain_on_new_items_is_enough():
    warm, cold = search({"als": 3.0, "ease": 0.0}), search({"als": 0.5, "ease": 2.0})
    kept, gains, _ = BlendSearches(warm, replace(cold, cold=True)).drop(["als", "ease"])
    assert kept == ["als", "ease"]
    assert gains["ease"].cold > 3 * gains["ease"].cold_error


def test_content_and_popularity_are_never_dropped():
    known = search({"als": 2.0, "content": 0.0, "popularity": 0.0})
    kept, _, dropped = BlendSearches(known, None).drop(["als", "content", "popularity"])
    assert (kept, dropped) == (["als", "content", "popularity"], {})


def test_without_validation_data_nothing_drops_out():
    assert BlendSearches(None, None).drop(["als", "fm"]) == (["als", "fm"], {}, {})


def test_lightfm_that_adds_nothing_is_not_trained_to_the_end(tastes_data, monkeypatch):
    split = hold_out(tastes_data, SMALL)
    monkeypatch.setattr(source_gains, "_PROMISING", np.inf)
    blend = choose_blend(split, SMALL)
    assert "fm" not in blend.warm
    assert blend.dropped["fm"].startswith("after 8 epochs it adds")
    assert sum(blend.warm.values()) == pytest.approx(1)
    # Who asks for all sources, or gives weights, has them.
    kept = choose_blend(split, SMALL.replace(fusion={"drop_sources": False}))
    assert list(kept.warm) == ["als", "fm", "content"]
    given = {"als": 1.0, "fm": 1.0, "content": 1.0}
    assert list(choose_blend(split, SMALL.replace(fusion={"cold": given})).warm) == list(given)


def test_lightfm_stops_when_a_round_adds_nothing(tastes_data, monkeypatch):
    config = SMALL.replace(fm={"components": 8, "epochs": None})
    monkeypatch.setattr(source_gains, "_PROMISING", -np.inf)
    monkeypatch.setattr(source_gains, "LEAST_GAIN", -np.inf)
    monkeypatch.setattr(source_gains, "_FIRST_STEPS", 1)
    blend = choose_blend(hold_out(tastes_data, config), config)
    assert 10 <= blend.lightfm_epochs < 100
    assert "fm" in blend.warm


def test_lightfm_stays_out_where_it_would_take_too_long(tastes_data, monkeypatch):
    monkeypatch.setattr("recsys.data.MANY_PLAYS", 10)
    blend = choose_blend(hold_out(tastes_data, SMALL), SMALL)
    assert list(blend.dropped) == ["fm"]
    assert re.fullmatch(r"1,\d{3} plays would take it long", blend.dropped["fm"])


def test_the_model_says_what_each_source_costs_and_brings(tastes):
    dataset, embeddings = tastes
    values = np.random.default_rng(3).standard_normal(embeddings.shape)
    noise = pd.DataFrame(values, index=embeddings.index)
    model = Recommender(SMALL).fit(dataset, embeddings=noise)
    facts = model.info["sources"]
    assert list(facts) == ["als", "fm", "content"]
    used = [name for name, fact in facts.items() if fact["used"]]
    assert used == list(model.info["blend"]["warm"])
    for name, fact in facts.items():
        assert bool(fact["why_not"]) != fact["used"], name
    assert sum(facts[name]["seconds"] for name in used) > 0
    assert "content" in used
    assert facts["content"]["gain"] is None
