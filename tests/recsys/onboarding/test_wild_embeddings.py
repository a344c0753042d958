"""A wild embedding enters a model by no way, and what an old model holds of them does no harm."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError, ColdtuneError, DataError, InvalidArgumentError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.data import PLAY_BOUNDS
from recsys.database.song import Song
from recsys.model import LiveModel, load_model
from recsys.model.artifact import _digest, digest_files
from recsys.ranking.options import history_plays
from tests.helpers.recommenders import ALL_USERS, QUICK

WILD = [1e3, 1e12, 1e20, 3e38]
JAZZ = np.eye(8, dtype=np.float32)[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, fit_quickly):
    folder = tmp_path_factory.mktemp("saved") / "model"
    fit_quickly().save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    import shutil

    return shutil.copytree(saved, tmp_path / "model")


def good_lists(model, users=ALL_USERS):
    lists = model.recommend_many(users, 10)
    assert len(lists) == 10 * len(users)
    assert np.isfinite(lists["score"]).all()
    return lists


# ------------------------------------------------------------------ what enters


@pytest.mark.parametrize("size", WILD)
def test_no_way_in(folder, size, tastes):
    model = Recommender.load(folder)
    before = good_lists(model)
    wild = np.full(8, size, np.float32)
    items = pd.DataFrame({"item_id": ["fine", "wild"], "title": "", "artist": "", "album": "",
                          "genre": ""})  # fmt: skip
    table = pd.DataFrame([JAZZ, wild], index=["fine", "wild"])
    for call in (
        lambda: model.onboard(item_id="wild", embedding=wild),
        lambda: model.onboard(item_id="wild", embedding=wild.astype(float).tolist()),
        lambda: model.onboard_many(MusicDataset(items), table),
        lambda: model._fitted().with_songs([Song("wild", embedding=wild)]),
    ):
        with pytest.raises(InvalidArgumentError, match=r"'wild': its length .* is far outside"):
            call()
    pd.testing.assert_frame_equal(good_lists(model), before)
    assert Recommender.load(folder).info["onboarded"] == 0
    dataset, embeddings = tastes
    one = embeddings.copy()
    one.loc["item-7"] = wild
    with pytest.raises(DataError, match=r"item 'item-7': its length .* lengths learned"):
        model.fit(dataset, embeddings=one)


@pytest.mark.parametrize("embedding", [np.zeros(8), ["1"] * 8, [True] * 8, [1j] * 8, [1e-40] * 8])
def test_zero_texts_and_subnormal_numbers(folder, embedding):
    model = Recommender.load(folder)
    with pytest.raises(InvalidArgumentError, match="embedding of item 'new'"):
        model.onboard(item_id="new", embedding=embedding)


def test_a_recording_whose_embedding_is_wild(folder, monkeypatch):
    from types import SimpleNamespace

    model = Recommender.load(folder)
    heard = SimpleNamespace(embedding=np.full(8, np.nan, np.float32), scores={})
    listener = SimpleNamespace(embed=lambda _: (heard, SimpleNamespace(path="odd.wav")))
    monkeypatch.setattr(LiveModel, "audio", listener)
    with pytest.raises(ColdtuneError, match=r"^odd\.wav: its embedding cannot be used"):
        model.onboard("odd.wav", item_id="new")


@pytest.mark.parametrize("kind", ["float16", "float64", "longdouble"])
def test_other_precisions(folder, kind):
    model = Recommender.load(folder)
    model.onboard(item_id="new", embedding=JAZZ.astype(kind))
    model.onboard(item_id="whole", embedding=[0, 1, 0, 0, 0, 0, 0, 0])
    lists = [model.recommend("user-1", only=[name])["score"].item() for name in ("new", "whole")]
    assert lists[0] == lists[1]


def test_zeros_at_a_fit_stand_for_none(tastes, caplog):
    dataset, embeddings = tastes
    blank = embeddings.copy()
    blank.loc[["item-3", "item-4"]] = 0
    model = Recommender(QUICK).fit(dataset, embeddings=blank)
    assert "that of item 'item-3' is zero in every dimension and is left out, and 1 more" in (
        caplog.text
    )
    without = Recommender(QUICK).fit(dataset, embeddings=embeddings.drop(["item-3", "item-4"]))
    pd.testing.assert_frame_equal(good_lists(model), good_lists(without))


def test_a_long_one_that_is_taken_leads_no_lists(folder):
    model = Recommender.load(folder)
    longest = model.info["embedding_lengths"]["longest"]
    for name, length in (("long", 5), ("longest", longest)):
        model.onboard(item_id=name, embedding=length * JAZZ)
    scores = model.recommend("user-1", only=["long", "longest"]).set_index("item_id")["score"]
    # No song was five times as long as they are, so that next to nothing is said of it; the longest
    # that is known is familiar, and its length counts no more than that of others.
    assert abs(scores["long"]) < 0.01 * scores["longest"]


def test_a_rebuild_does_not_widen_what_is_taken(folder):
    model = Recommender.load(folder)
    learned = model.info["embedding_lengths"]
    model.onboard(item_id="long", embedding=5 * JAZZ)
    model.rebuild()
    assert Recommender.load(folder).info["embedding_lengths"] == learned


# ------------------------------------------------------------------ what is there already


def put_by_hand(folder, size):
    """Store an item as versions did that judged no embedding."""
    model = load_model(folder)
    model.catalog.put([Song("poison", title="P", embedding=np.full(8, size, np.float32))])
    model.catalog.close()


@pytest.mark.parametrize("size", [*WILD, np.nan, 0.0])
def test_a_stored_item_does_no_harm(folder, size, caplog):
    before = good_lists(Recommender.load(folder))
    put_by_hand(folder, size)
    model = Recommender.load(folder)
    assert "item 'poison': its stored embedding cannot be used" in caplog.text
    assert good_lists(model)["item_id"].ne("poison").mean() > 0.99
    shared = good_lists(model).merge(before, on=["user_id", "rank", "item_id"])
    assert len(shared) > 0.99 * len(before)
    plays = [("user-1", "poison", 2.0), ("new", "poison", 1.0), ("new", "item-1", 1.0)]
    model.update(pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]))
    for again in (model, Recommender.load(folder)):
        good_lists(again, [*ALL_USERS, "new"])
        assert len(again.recommend(history=["poison", "item-1"])) == 10
        for by in ("sound", "taste", "fused"):
            assert np.isfinite(again.similar("item-1", by=by)["score"]).all()
    caplog.clear()
    model.rebuild()
    good_lists(model, [*ALL_USERS, "new"])
    assert "poison" not in caplog.text.replace("remove", "")
    fresh = Recommender.load(folder)  # nothing is left to warn of
    assert "its stored embedding" not in caplog.text
    good_lists(fresh, [*ALL_USERS, "new"])
    fresh.remove("poison")
    good_lists(Recommender.load(folder), [*ALL_USERS, "new"])


def test_a_stored_item_can_be_removed_or_onboarded_again(folder, caplog):
    put_by_hand(folder, 1e20)
    model = Recommender.load(folder)
    model.onboard(item_id="poison", embedding=JAZZ)
    caplog.clear()
    assert Recommender.load(folder).similar("poison", 1, by="sound")["score"].item() > 0.8
    model.remove("poison")
    good_lists(Recommender.load(folder))
    assert caplog.text == ""


def test_a_stored_embedding_of_other_bytes(folder, caplog):
    model = load_model(folder)
    model.catalog.put([Song("short", embedding=np.ones(3, np.float32))])
    model.catalog.close()
    good_lists(Recommender.load(folder))
    assert "item 'short': its stored embedding cannot be used" in caplog.text


def rewrite(folder, **changes):
    """Change arrays of a saved model, and its manifest, as somebody with write access could."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest["info"].pop("embedding_lengths")  # as in earlier versions
    generation = folder / manifest["generation"]
    for name, change in changes.items():
        file = generation / f"{name}.npy"
        array = np.load(file)
        change(array)
        np.save(file, array)
        facts = manifest["files"][file.name]
        facts["bytes"], facts["sha256"] = file.stat().st_size, digest_files([file])[0]
    manifest["sha256"] = _digest(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("value", [1e20, 3e38, np.inf, np.nan])
def test_a_wild_item_in_the_fitted_state(folder, value, caplog):
    before = good_lists(Recommender.load(folder))
    users = load_model(folder).state.plays[:, 85].indices

    def spoil(array):
        array[85] = value  # an item that nobody has played

    def spoil_user(array):
        array[3] = value

    rewrite(folder, embeddings=spoil, item_vectors=spoil, user_vectors=spoil_user)
    assert not len(users)
    model = Recommender.load(folder)
    assert "item 'cold-85': its embedding or vector cannot be used" in caplog.text
    shared = good_lists(model).merge(before, on=["user_id", "item_id"])
    assert len(shared) > 0.95 * len(before)
    model.update(pd.DataFrame({"user_id": ["user-3"], "item_id": ["item-1"], "weight": [1.0]}))
    model.onboard(item_id="cold-85", embedding=JAZZ)
    good_lists(model)
    model.rebuild()
    caplog.clear()
    good_lists(Recommender.load(folder))
    assert caplog.text == ""


def test_plays_in_the_fitted_state_that_are_no_numbers(folder, caplog):
    def spoil(array):
        array[[5, 9, 11]] = np.nan, -3, np.inf

    rewrite(folder, plays_data=spoil)
    model = Recommender.load(folder)
    assert "weights that are no positive numbers" in caplog.text
    model.update(pd.DataFrame({"user_id": ALL_USERS, "item_id": "item-1", "weight": 1.0}))
    good_lists(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_als_mean", np.nan),
        ("source_als_weights", np.nan),
        ("source_als_effects", np.nan),
        ("source_als_shrinkage", np.nan),
        ("source_als_intercept", 1e38),
        ("source_als_bare_intercept", 1e30),
    ],
)
def test_what_cannot_be_repaired_says_so(folder, name, value):
    def spoil(array):
        array.flat[0] = value

    rewrite(folder, **{name: spoil})
    with pytest.raises(ArtifactError, match=r"als.* not finite"):
        Recommender.load(folder)


def test_embedding_lengths_that_are_none(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest["info"]["embedding_lengths"] = {"longest": "far"}
    manifest["sha256"] = _digest(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError):
        Recommender.load(folder)


# ------------------------------------------------------------------ weights of plays


@pytest.mark.parametrize("weight", [1e300, 1e-300, 5e-324])
def test_wild_weights_are_judged_alike(tastes, folder, weight, caplog):
    dataset, embeddings = tastes
    table = dataset.interactions.copy()
    table.loc[5, "weight"] = weight
    words = f"weight {weight:g} of user"
    caplog.set_level(logging.WARNING)
    Recommender(QUICK).fit(MusicDataset(dataset.items, interactions=table), embeddings=embeddings)
    assert words in caplog.text
    caplog.clear()
    model = Recommender.load(folder)
    model.update(pd.DataFrame({"user_id": ["user-1"], "item_id": ["item-1"], "weight": [weight]}))
    assert words in caplog.text
    good_lists(model)
    good_lists(Recommender.load(folder))
    with pytest.raises(InvalidArgumentError, match="plays of item 'item-1' must be a positive num"):
        model.recommend(history={"item-1": weight})


def test_the_bounds_of_a_history_are_those_of_plays():
    assert history_plays({"a": PLAY_BOUNDS[0], "b": PLAY_BOUNDS[1]})
    for weight in (PLAY_BOUNDS[0] / 2, PLAY_BOUNDS[1] * 2, 0, -1, np.nan, np.inf):
        with pytest.raises(InvalidArgumentError, match="'a' must be a positive number"):
            history_plays({"a": weight})


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_what_is_no_weight(folder, weight):
    model = Recommender.load(folder)
    plays = pd.DataFrame({"user_id": ["user-1"], "item_id": ["item-1"], "weight": [weight]})
    with pytest.raises(DataError, match="weight"):
        model.update(plays)


@pytest.mark.parametrize("weight", [np.inf, -2.0])
def test_stored_plays_of_no_weight_do_not_count(folder, weight, caplog):
    from recsys.database.changes import Play

    before = good_lists(Recommender.load(folder))
    model = load_model(folder)
    model.catalog.add_plays([Play("user-1", "item-1", weight)])
    model.catalog.close()
    pd.testing.assert_frame_equal(good_lists(Recommender.load(folder)), before)
    assert "no positive number" in caplog.text
