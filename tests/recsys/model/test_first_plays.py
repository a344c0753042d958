"""A new item becomes known step by step, and not with its first play."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from recsys import Recommender, RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.model.first_plays import FirstPlays
from recsys.model.live import LiveModel
from recsys.model.state import NEW_SONGS
from recsys.new_songs import NewSongCalibration
from tests.helpers.recommenders import own

MEASURED = NewSongCalibration(alpha_k=-4.0, beta_k=1.0, alpha_n=-6.0, beta_n=1.0, gamma=0.0)
"""New items have the scores of known ones less 2."""

LISTENERS = [f"user-{n}" for n in range(50)]


def fitted(tastes, sources, *, calibration=MEASURED):
    """A model whose cold weights are three times its warm ones, with this calibration."""
    dataset, embeddings = tastes
    weights = {"als": 0.6, "content": 0.4, "popularity": 0.1, "ease": 0.5}
    config = RecommenderConfig(
        threads=1,
        tracking=False,
        sources=sources,
        als={"factors": 8},
        fusion={
            "warm": {name: weights[name] for name in sources},
            "cold": {name: 3 * weights[name] for name in sources},
        },
    )
    model = Recommender(config).fit(dataset, embeddings=embeddings)
    # As the configured weights are: they are normalised.
    live, catalog = model._model, Catalog.in_memory()
    catalog.fill(live.catalog.songs())
    blocks = tuple(
        replace(block, cold=0.0 if block.name == "popularity" else 3 * block.warm)
        for block in live.state.blocks
    )
    info = {**live.state.info, NEW_SONGS: calibration and calibration.to_json()}
    model._model = LiveModel(replace(live.state, blocks=blocks, info=info), catalog)
    return model


@pytest.fixture(scope="module")
def with_popularity(tastes):
    return fitted(tastes, ("als", "content", "popularity"))


@pytest.fixture(scope="module")
def without(tastes):
    return fitted(tastes, ("als", "ease", "content"))


def onboarded(base, tastes):
    """A copy with an item like item-7."""
    model = own(base)
    model.onboard(item_id="late", embedding=tastes[1].loc["item-7"].to_numpy())
    return model


def play(model, users):
    model.update(pd.DataFrame({"user_id": users, "item_id": "late", "weight": 1.0}))


def scores(model, users):
    lists = model.recommend_many(users, 1, only=["late"], exclude_seen=False, discovery=0)
    return lists["score"].to_numpy()


@pytest.mark.parametrize("name", ["with_popularity", "without"])
def test_the_first_play_changes_no_more_than_the_next_ones(name, request, tastes):
    model = onboarded(request.getfixturevalue(name), tastes)
    others = [f"user-{n}" for n in range(60, 120)]
    plain = model._model.index.vectors(model._model.items.rows(["late"]))[0]
    steps = [model._model.users.vectors(model._model.users.rows(others)) @ plain + MEASURED.level]
    for first, last in ((0, 1), (1, 2), (2, 5), (5, 10), (10, 20), (20, 39), (39, 45)):
        play(model, LISTENERS[first:last])
        steps.append(scores(model, others))
    moved = [float(np.abs(b - a).mean()) for a, b in pairwise(steps)]
    whole = sum(moved)
    assert moved[0] < 0.25 * whole
    assert moved[0] < moved[1] + moved[2] + 0.1


def test_with_many_users_it_is_as_without_a_calibration(with_popularity, tastes):
    models = [onboarded(with_popularity, tastes)]
    live, catalog = models[0]._model, Catalog.in_memory()
    catalog.fill(with_popularity._model.catalog.songs())
    state = replace(live.state, info={**live.state.info, NEW_SONGS: None})
    bare = Recommender(with_popularity.config)
    bare._model = LiveModel(state, catalog)
    models.append(onboarded(bare, tastes))
    found = []
    for model in models:
        play(model, LISTENERS[:20])
        few = scores(model, LISTENERS[:3])
        play(model, LISTENERS[20:40])
        found.append((few, scores(model, LISTENERS[:3])))
    assert found[0][0] != pytest.approx(found[1][0], abs=1e-3)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-4)


def test_items_of_the_fit_are_not_concerned(with_popularity, tastes):
    first_plays = FirstPlays(with_popularity._model.state)
    assert first_plays.concern(None)
    assert not first_plays.concern(0)
    assert first_plays.concern(85)  # nobody has played it


@pytest.mark.parametrize("name", ["with_popularity", "without"])
def test_a_rebuild_forgets_nothing(name, request, tastes, tmp_path):
    one, two = (onboarded(request.getfixturevalue(name), tastes) for _ in range(2))
    for model in (one, two):
        play(model, LISTENERS[:3])
    before = scores(two, LISTENERS)
    two.rebuild()
    assert two._model.state.young == {int(two._model.items.rows(["late"])[0])}
    assert scores(two, LISTENERS) == pytest.approx(before, abs=1e-5)
    two.save(tmp_path / "model")
    two = Recommender.load(tmp_path / "model")
    for model in (one, two):
        play(model, LISTENERS[3:10])
    assert scores(two, LISTENERS[20:]) == pytest.approx(scores(one, LISTENERS[20:]), abs=0.1)
    play(two, LISTENERS[10:45])
    two.rebuild()
    assert not two._model.state.young


def test_models_without_a_calibration_stay_as_they_were(tastes):
    base = fitted(tastes, ("als", "content", "popularity"), calibration=None)
    first_plays = FirstPlays(base._model.state)
    predicted = {"als": np.ones(8, np.float32)}
    assert first_plays.expected(predicted, 1) is predicted
    assert first_plays.on_the_way("als", predicted["als"], 1) is predicted["als"]
