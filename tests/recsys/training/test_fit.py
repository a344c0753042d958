"""What a fit learns: a known answer, from any sources, odd embeddings and odd listening."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset
from recsys import Recommender
from tests.helpers.recommenders import (
    ALL_USERS,
    COLD,
    COLUMNS,
    CONFIG,
    IDS,
    QUICK,
    SHARES,
    dataset_of,
    taste_of,
)

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------ quality on a known answer


def share_of_right_taste(model, users, **options):
    lists = model.recommend_many(users, **options)
    return np.mean(taste_of(lists["item_id"]) == taste_of(lists["user_id"]))


def test_cold_items_of_the_right_taste_come_first(fitted):
    # Of ten cold items three or four are of a user's taste.
    assert share_of_right_taste(fitted, ALL_USERS, k=3, only=COLD) >= 0.95


@pytest.mark.parametrize("source", ["als", "fm", "content"])
def test_every_source_alone_ranks_cold_items(fit_quickly, source):
    model = fit_quickly(sources=(source,), fusion={})
    assert share_of_right_taste(model, ALL_USERS, k=3, only=COLD) >= 0.9


def test_warm_items_of_the_right_taste_come_first(fitted):
    assert share_of_right_taste(fitted, ALL_USERS, k=10) >= 0.9


def test_a_new_listener_fares_about_as_well_as_a_known_one(fitted, tastes):
    # Each user is asked about as a stranger with the same history.
    right, same = [], []
    for user in ALL_USERS[::4]:
        table = tastes[0].interactions
        history = table[table["user_id"] == user].groupby("item_id")["weight"].sum().to_dict()
        stranger = fitted.recommend(history=history, k=10)["item_id"]
        known = fitted.recommend(user, k=10)["item_id"]
        right.append(np.mean(taste_of(stranger) == taste_of([user])))
        same.append(len(set(stranger) & set(known)) / 10)
    trained = share_of_right_taste(fitted, ALL_USERS[::4], k=10)
    assert np.mean(right) >= trained - 0.03
    assert np.mean(same) >= 0.6  # chance: 10 of 76


# ------------------------------------------------------------------ fits


def test_the_same_seed_gives_the_same_model_to_the_bit(tastes, fitted):
    dataset, embeddings = tastes
    again = Recommender(CONFIG).fit(dataset, embeddings=embeddings)
    one, two = (model.recommend_many(ALL_USERS, k=90) for model in (fitted, again))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    other = Recommender(CONFIG.replace(seed=1)).fit(dataset, embeddings=embeddings)
    assert not other.recommend_many(ALL_USERS, k=10)["item_id"].equals(
        fitted.recommend_many(ALL_USERS, k=10)["item_id"]
    )


def test_als_of_very_many_plays_goes_on_from_the_validation_split(tastes, fit_quickly, monkeypatch):
    usual = fit_quickly(sources=("als", "content"), fusion={})
    monkeypatch.setattr("recsys.data.MANY_PLAYS", 100)
    further, again = (fit_quickly(sources=("als", "content"), fusion={}) for _ in range(2))
    scores = [
        one.live.state.user_vectors @ one.live.state.item_vectors.T for one in (usual, further)
    ]
    assert not np.array_equal(*scores)
    assert np.corrcoef(*(one.ravel() for one in scores))[0, 1] > 0.95
    np.testing.assert_array_equal(further.live.state.item_vectors, again.live.state.item_vectors)


def test_the_order_of_embeddings_does_not_matter(tastes, fit_quickly):
    dataset, embeddings = tastes
    shuffled = embeddings.sample(frac=1, random_state=0)
    one, two = fit_quickly(), Recommender(QUICK).fit(dataset, embeddings=shuffled)
    pd.testing.assert_frame_equal(one.recommend("user-1"), two.recommend("user-1"))


@pytest.mark.parametrize(
    "sources", [("als",), ("fm",), ("content",), ("als", "fm"), ("content", "als")]
)
def test_fewer_sources(fit_quickly, sources):
    model = fit_quickly(sources=sources, fusion={"drop_sources": False})
    found = model.recommend("user-1", k=20)
    assert list(found.columns) == COLUMNS + [f"share_{name}" for name in sources]
    assert len(found) == 20
    assert found.filter(like="share_").sum(axis=1).to_numpy() == pytest.approx(np.ones(20))
    assert np.mean(taste_of(found["item_id"]) == 1) > 0.5
    assert len(model.recommend(history=["item-1"], k=90)) == 89
    assert len(model.similar("item-1", by="fused")) == 10
    if sources == ("content",):
        with pytest.raises(InvalidArgumentError, match="no source that knows taste"):
            model.similar("item-1", by="taste")


@pytest.fixture(scope="module")
def deaf(tastes):
    """A recommender that was fitted without recordings or embeddings."""
    return Recommender(CONFIG.replace(fusion={"drop_sources": False})).fit(tastes[0])


def test_without_embeddings_listening_and_metadata_are_used(deaf, tastes):
    assert share_of_right_taste(deaf, ALL_USERS, k=10) >= 0.8
    # The genre is known of cold items.
    assert share_of_right_taste(deaf, ALL_USERS, k=3, only=COLD) >= 0.9
    found = deaf.recommend("user-1", k=90, exclude_seen=False)
    assert (found["share_content"] <= 1 / 3 + 1e-9).all()
    assert deaf.info["items"] == {"warm": 80, "cold": 10, "with_embedding": 0}
    assert deaf.info["encoder"] is None


def test_without_embeddings_nothing_sounds_similar(deaf):
    with pytest.raises(InvalidArgumentError, match="item 'item-1' has no recording or embedding"):
        deaf.similar("item-1", by="sound")
    with pytest.raises(InvalidArgumentError, match="knows no sound"):
        deaf.onboard("song.mp3", item_id="new")
    for embedding in ([1.0] * 8, []):
        with pytest.raises(InvalidArgumentError, match="knows no sound"):
            deaf.onboard(item_id="new", embedding=embedding)


def test_content_alone_without_embeddings_knows_only_what_is_popular(tastes):
    model = Recommender(QUICK.replace(sources=("content",), fusion={})).fit(tastes[0])
    found = model.recommend("user-1", k=90)
    assert found.attrs["fallback"] == "popular"
    assert len(found) == 76
    # What a user played is left out of the popular items too, and others take its place.
    lists = model.recommend_many(ALL_USERS, k=10)
    assert lists.attrs["fallback_users"] == ALL_USERS
    assert len(lists) == 10 * len(ALL_USERS)
    played = set(tastes[0].interactions[["user_id", "item_id"]].itertuples(index=False, name=None))
    assert not played & set(zip(lists["user_id"], lists["item_id"], strict=True))


def test_embeddings_of_some_items(tastes):
    dataset, embeddings = tastes
    model = Recommender(CONFIG).fit(dataset, embeddings=embeddings.iloc[40:])
    assert model.info["items"]["with_embedding"] == 50
    assert share_of_right_taste(model, ALL_USERS, k=3, only=COLD) >= 0.9
    with pytest.raises(InvalidArgumentError, match="item 'item-0' has no recording or embedding"):
        model.similar("item-0", by="sound")
    assert len(model.similar("item-60", k=90, by="sound")) == 49


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_embeddings_that_are_all_alike(tastes, value):
    dataset, embeddings = tastes
    model = Recommender(QUICK).fit(dataset, embeddings=embeddings * 0 + value)
    assert share_of_right_taste(model, ALL_USERS, k=10) >= 0.8
    with pytest.raises(InvalidArgumentError, match="no recording or embedding that sets it apart"):
        model.similar("item-1", by="sound")


def test_embeddings_wider_than_there_are_items(tastes):
    dataset, embeddings = tastes
    turned = embeddings @ np.random.default_rng(0).normal(size=(embeddings.shape[1], 150))
    wide = pd.DataFrame(np.hstack([embeddings, turned]), index=embeddings.index)
    model = Recommender(QUICK).fit(dataset, embeddings=wide)
    assert share_of_right_taste(model, ALL_USERS, k=3, only=COLD) >= 0.9


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_the_scale_of_embeddings_does_not_matter(tastes, fit_quickly, factor):
    dataset, embeddings = tastes
    scaled = Recommender(QUICK).fit(dataset, embeddings=embeddings * factor)
    one, two = fit_quickly().recommend("user-1", k=10), scaled.recommend("user-1", k=10)
    assert one["item_id"].tolist() == two["item_id"].tolist()
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-3)


def test_fit_refuses_and_leaves_what_was_learned(tastes, fit_quickly):
    dataset, embeddings = tastes
    model = fit_quickly()
    before = model.recommend("user-1")
    broken = embeddings.copy()
    broken.iloc[3, 2] = np.nan
    for wrong, message in (
        (broken, "embeddings: item 'item-3' has a value that is not a finite number"),
        (embeddings.rename({"item-0": "other"}), "item 'other' is not among the items"),
        (embeddings.to_numpy(), "must be a DataFrame"),
    ):
        with pytest.raises(DataError, match=message):
            model.fit(dataset, embeddings=wrong)
    with pytest.raises(DataError, match="nobody has played anything"):
        model.fit(dataset.take_interactions([]))
    with pytest.raises(InvalidArgumentError, match="not both"):
        model.fit(dataset, embeddings=embeddings, encoder=object())
    pd.testing.assert_frame_equal(model.recommend("user-1"), before)


def test_a_second_fit_replaces_the_first(tastes, fit_quickly):
    dataset, embeddings = tastes
    model = fit_quickly()
    model.onboard(item_id="new", embedding=embeddings.loc["item-1"])
    fewer = dataset.drop_items(["item-0"])
    model.fit(fewer, embeddings=embeddings.drop("item-0"))
    fresh = Recommender(QUICK).fit(fewer, embeddings=embeddings.drop("item-0"))
    pd.testing.assert_frame_equal(model.recommend("user-1"), fresh.recommend("user-1"))
    for gone in ("new", "item-0"):
        with pytest.raises(UnknownItemError):
            model.similar(gone)


# ------------------------------------------------------------------ odd listening


def test_several_rows_of_a_user_and_an_item_are_added_up(tastes):
    dataset, embeddings = tastes
    table = dataset.interactions
    halves = table.assign(weight=table["weight"] / 2)
    split = MusicDataset(
        items=dataset.items, interactions=pd.concat([halves, halves], ignore_index=True)
    )
    config = QUICK.replace(als={"factors": 8, "weighting": "log"})
    one, two = (
        Recommender(config).fit(data, embeddings=embeddings).recommend("user-1", k=90)
        for data in (dataset, split)
    )
    assert one["item_id"].tolist() == two["item_id"].tolist()
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-5)


def test_a_weight_of_zero_is_not_listening(tastes):
    dataset, embeddings = tastes
    zeros = pd.DataFrame(
        [("user-1", "cold-80", 0.0), ("stranger", "item-1", 0.0)],
        columns=["user_id", "item_id", "weight"],
    )
    more = MusicDataset(items=dataset.items, interactions=pd.concat([dataset.interactions, zeros]))
    one, two = (Recommender(QUICK).fit(d, embeddings=embeddings) for d in (dataset, more))
    pd.testing.assert_frame_equal(
        one.recommend_many(ALL_USERS, k=90), two.recommend_many(ALL_USERS, k=90)
    )
    found = two.recommend("user-1", only=["cold-80"])
    assert found["cold"].tolist() == [True]
    assert two.recommend("stranger").attrs["fallback"] == "popular"


@pytest.mark.parametrize("weighting", ["binary", "log"])
@pytest.mark.parametrize("weight", [1e-300, 1e300])
def test_play_counts_beyond_single_precision(tastes, weighting, weight):
    dataset, embeddings = tastes
    table = dataset.interactions.copy()
    table.loc[[5, 6], "weight"] = weight
    odd = MusicDataset(items=dataset.items, interactions=table)
    config = QUICK.replace(als={"factors": 8, "weighting": weighting})
    with np.errstate(all="raise"):
        model = Recommender(config).fit(odd, embeddings=embeddings)
    assert np.isfinite(model.recommend_many(ALL_USERS, k=90)["score"]).all()


def test_a_catalogue_of_one_item():
    one = dataset_of([("ann", "only", 3.0)], ["only"])
    for embeddings in (None, pd.DataFrame([[1.0, 2.0]], index=["only"])):
        model = Recommender(CONFIG).fit(one, embeddings=embeddings)
        assert model.recommend("ann").empty
        again = model.recommend("ann", exclude_seen=False)
        assert again["item_id"].tolist() == ["only"]
        assert model.recommend("bob")["item_id"].tolist() == ["only"]
        assert model.recommend(history=["only"]).empty
        assert model.recommend_many(["ann", "bob"])["user_id"].tolist() == ["bob"]


def test_everybody_has_played_everything():
    rows = [(user, item, 1.0) for user in "abc" for item in ("x", "y", "z")]
    model = Recommender(QUICK).fit(dataset_of(rows, ["x", "y", "z", "new"]))
    assert model.recommend("a", k=5)["item_id"].tolist() == ["new"]
    assert len(model.recommend("a", k=5, exclude_seen=False)) == 4


def test_a_user_who_has_played_everything(tastes, fit_quickly):
    dataset, embeddings = tastes
    rows = pd.DataFrame({"user_id": "all", "item_id": IDS, "weight": 1.0})
    full = MusicDataset(items=dataset.items, interactions=pd.concat([dataset.interactions, rows]))
    model = Recommender(QUICK).fit(full, embeddings=embeddings)
    none = model.recommend("all")
    assert none.empty
    assert list(none.columns) == COLUMNS + SHARES
    assert len(model.recommend("all", exclude_seen=False, k=100)) == 90
    assert model.recommend_many(["all", "user-1"], k=3)["user_id"].tolist() == ["user-1"] * 3
    assert not model.recommend("user-1", k=90)["cold"].any()


def test_one_listener():
    rows = [("ann", name, 1.0) for name in ("x", "y")]
    model = Recommender(QUICK).fit(dataset_of(rows, ["x", "y", "z"]))
    assert model.recommend("ann")["item_id"].tolist() == ["z"]


# ------------------------------------------------------------------ search by Annoy


def test_annoy_gives_the_same_lists_in_a_small_catalogue(fit_quickly):
    exact = fit_quickly()
    annoy = fit_quickly(retrieval={"method": "annoy"})
    for model in (exact, annoy):
        model.onboard(item_id="new", embedding=np.eye(8)[1])
    users = [*ALL_USERS, "nobody"]
    for options in ({"k": 5}, {"k": 200}, {"k": 5, "only": COLD}, {"k": 5, "exclude": IDS[:70]}):
        one, two = (model.recommend_many(users, **options) for model in (exact, annoy))
        assert one["item_id"].tolist() == two["item_id"].tolist()
        assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-5)


# ------------------------------------------------------------------ facts


def test_info_says_what_was_learned(fitted):
    info = fitted.info
    assert info["items"] == {"warm": 80, "cold": 10, "with_embedding": 90}
    assert info["dataset"]["n_users"] == 120
    assert len(info["dataset"]["digest"]) == 64
    assert set(info["sources"]) == {"als", "fm", "content"}
    used = {name for name, facts in info["sources"].items() if facts["used"]}
    assert set(info["blend"]["warm"]) == used >= {"content"}
    assert set(info["ridge_strengths"]) == used - {"content"}
    assert {f"source {name}" for name in used} <= set(info["seconds"])
    assert info["onboarded"] == 0


def test_constant_columns_of_given_embeddings_are_named(tastes, caplog):
    dataset, embeddings = tastes
    given = embeddings.assign(key=3.0, mode=0.0)
    model = Recommender(QUICK).fit(dataset, embeddings=given)
    (line,) = [record.getMessage() for record in caplog.records if "column" in record.getMessage()]
    assert line == (
        "embeddings: column 'key' has the same value for every item and says nothing; so have 1 "
        "more of 10"
    )
    without = Recommender(QUICK).fit(dataset, embeddings=embeddings)
    expected, found = (one.recommend_many(ALL_USERS, 5) for one in (without, model))
    assert (found["item_id"] == expected["item_id"]).mean() > 0.95
    caplog.clear()
    given.attrs["from_recordings"] = True  # idle units of a network are no mistake of anybody's
    Recommender(QUICK).fit(dataset, embeddings=given)
    assert not [record for record in caplog.records if "column" in record.getMessage()]


def test_units_of_the_columns_of_embeddings_do_not_matter(tastes):
    dataset, embeddings = tastes
    units = np.array([1e-3, 1, 60, 1e6, 1, 1, 1e3, 1][: embeddings.shape[1]])
    plain, other = (
        Recommender(QUICK).fit(dataset, embeddings=frame).recommend_many(ALL_USERS, 5)
        for frame in (embeddings, embeddings * units + 7)
    )
    assert (plain["item_id"] == other["item_id"]).mean() > 0.95
