"""Recommender: lists in order, full, filtered, the same for one user and for many."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import COLD, CONFIG, QUICK, taste_of

from datasets.errors import (
    ColdtuneError,
    DataError,
    InvalidArgumentError,
    NotFittedError,
    UnknownItemError,
)
from datasets.music import MusicDataset
from recsys import Recommender

COLUMNS = ["rank", "item_id", "score", "title", "artist", "genre", "cold"]
SHARES = ["share_als", "share_fm", "share_content"]
IDS = [f"item-{n}" if n < 80 else f"cold-{n}" for n in range(90)]
USERS = st.sampled_from([*(f"user-{n}" for n in range(0, 120, 7)), "nobody"])


def dataset_of(rows, items, **texts):
    """A data set of (user, item, weight) rows and item ids."""
    table = pd.DataFrame(
        {"item_id": items, "title": "", "artist": "", "album": "", "genre": ""} | texts
    )
    plays = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    return MusicDataset(items=table, interactions=plays)


def played_by(dataset, user):
    table = dataset.interactions
    return set(table.loc[table["user_id"] == user, "item_id"])


# ------------------------------------------------------------------ what a list looks like


def test_columns_in_order(fitted):
    one = fitted.recommend("user-1", k=10)
    assert list(one.columns) == COLUMNS + SHARES
    assert list(fitted.recommend(history=["item-1"], k=3).columns) == COLUMNS + SHARES
    assert list(fitted.recommend("nobody", k=3).columns) == COLUMNS + SHARES
    many = fitted.recommend_many(["user-1", "user-2"], k=10)
    assert list(many.columns) == ["user_id", "rank", "item_id", "score"]
    assert list(fitted.similar("item-1").columns) == COLUMNS
    for frame in (one, many):
        assert isinstance(frame.index, pd.RangeIndex)
        assert frame["rank"].dtype.kind == "i"
        assert frame["score"].dtype.kind == "f"


def test_a_list_tells_of_the_items(fitted, tastes):
    found = fitted.recommend("user-1", k=90, exclude_seen=False)
    assert found["rank"].tolist() == list(range(1, 91))
    assert sorted(found["item_id"]) == sorted(IDS)
    assert found["score"].is_monotonic_decreasing
    items = tastes[0].items.set_index("item_id").loc[found["item_id"]]
    for name in ("title", "artist", "genre"):
        assert found[name].tolist() == items[name].tolist()
    assert found["cold"].tolist() == [name in COLD for name in found["item_id"]]
    assert found["cold"].dtype == bool


def test_shares_add_to_one(fitted):
    shares = fitted.recommend("user-1", k=90, exclude_seen=False)[SHARES].to_numpy()
    assert (shares >= 0).all()
    assert (shares <= 1).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(90))
    assert (shares.std(axis=0) > 0).all()  # each source has its own say


@settings(max_examples=60, deadline=None)
@given(
    user=USERS,
    k=st.integers(1, 100),
    exclude=st.lists(st.sampled_from(IDS), max_size=90),
    only=st.none() | st.lists(st.sampled_from(IDS), max_size=60),
    exclude_seen=st.booleans(),
)
def test_lists_are_full_and_keep_the_order_under_any_filter(
    fitted, tastes, user, k, exclude, only, exclude_seen
):
    full = fitted.recommend(user, k=90, exclude_seen=False)
    options = {"k": k, "exclude": exclude, "only": only, "exclude_seen": exclude_seen}
    found = fitted.recommend(user, **options)
    hidden = set(exclude) | (played_by(tastes[0], user) if exclude_seen else set())
    allowed = set(IDS if only is None else only) - hidden
    assert found["item_id"].tolist() == [name for name in full["item_id"] if name in allowed][:k]
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    scores = full.set_index("item_id")["score"]
    assert found["score"].to_numpy() == pytest.approx(scores[found["item_id"]].to_numpy(), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    users=st.lists(USERS, max_size=12),
    k=st.integers(1, 95),
    exclude=st.lists(st.sampled_from(IDS), max_size=30),
    only=st.none() | st.lists(st.sampled_from(IDS), max_size=60),
    exclude_seen=st.booleans(),
)
def test_many_users_get_what_each_gets_alone(fitted, users, k, exclude, only, exclude_seen):
    options = {"k": k, "exclude": exclude, "only": only, "exclude_seen": exclude_seen}
    many = fitted.recommend_many(users, **options)
    alone = [fitted.recommend(user, **options) for user in users]
    expected_users = [user for user, one in zip(users, alone, strict=True) for _ in range(len(one))]
    assert many["user_id"].tolist() == expected_users
    for column in ("rank", "item_id"):
        assert many[column].tolist() == [value for one in alone for value in one[column]]
    scores = [value for one in alone for value in one["score"]]
    assert many["score"].to_numpy() == pytest.approx(np.array(scores), abs=1e-5)
    assert many.attrs.get("fallback_users", []) == [user for user in users if user == "nobody"]


# ------------------------------------------------------------------ users


def test_played_items_are_left_out_unless_asked_for(fitted, tastes):
    played = played_by(tastes[0], "user-5")
    assert len(played) == 14
    assert not played & set(fitted.recommend("user-5", k=90)["item_id"])
    assert len(fitted.recommend("user-5", k=90)) == 76
    everything = fitted.recommend("user-5", k=90, exclude_seen=False)
    assert played < set(everything["item_id"])


def test_an_unknown_user_gets_the_popular_items_marked_as_such(fitted, tastes):
    found = fitted.recommend("nobody", k=90)
    assert found.attrs["fallback"] == "popular"
    assert found[SHARES].isna().all(axis=None)
    listeners = tastes[0].interactions.groupby("item_id")["user_id"].nunique()
    expected = listeners.reindex(found["item_id"]).fillna(0).to_numpy()
    assert found["score"].tolist() == expected.tolist()
    assert (np.diff(expected) <= 0).all()
    assert found["item_id"].tolist()[80:] == COLD  # played by nobody: last, but there
    assert "fallback" not in fitted.recommend("user-1").attrs


def test_unknown_users_of_many_are_marked(fitted):
    found = fitted.recommend_many(["user-1", "x", "user-2", "y"], k=2)
    assert found.attrs["fallback_users"] == ["x", "y"]
    assert "fallback_users" not in fitted.recommend_many(["user-1"]).attrs
    assert found.groupby("user_id", sort=False).size().tolist() == [2, 2, 2, 2]


def test_more_users_than_a_batch(fitted, monkeypatch):
    users = [f"user-{n % 130}" for n in range(50)]
    whole = fitted.recommend_many(users, k=3)
    monkeypatch.setattr("recsys.recommender._BATCH", 7)
    batched = fitted.recommend_many(users, k=3)
    pd.testing.assert_frame_equal(batched, whole)
    assert batched.attrs == whole.attrs


def test_numbers_are_ids_as_they_are_in_a_data_set():
    rows = [(user, item, 1.0) for user in range(6) for item in range(8) if (user + item) % 2]
    model = Recommender(QUICK).fit(dataset_of(rows, list(range(8))))
    one = model.recommend(3, k=2, exclude=[0], exclude_seen=False)
    assert "fallback" not in one.attrs
    assert one["item_id"].tolist() == (
        model.recommend("3", k=2, exclude=["0"], exclude_seen=False)["item_id"].tolist()
    )
    many = model.recommend_many([3], k=2, exclude=[0], exclude_seen=False)
    assert many["item_id"].tolist() == one["item_id"].tolist()
    assert many["user_id"].tolist() == ["3", "3"]
    assert model.recommend(history={1: 2.0})["item_id"].tolist() == (
        model.recommend(history={"1": 2.0})["item_id"].tolist()
    )


# ------------------------------------------------------------------ history


def test_a_history_is_not_recommended_again(fitted):
    history = ["item-1", "item-4", "cold-82"]
    found = fitted.recommend(history=history, k=90)
    assert sorted(set(IDS) - set(found["item_id"])) == sorted(history)
    assert len(fitted.recommend(history=history, k=90, exclude_seen=False)) == 90


def test_order_of_a_history_does_not_matter_and_one_play_each_is_meant(fitted):
    history = ["item-1", "item-4", "item-7", "item-0"]
    as_list = fitted.recommend(history=history)
    backwards = fitted.recommend(history=iter(history[::-1]))
    as_plays = fitted.recommend(history=dict.fromkeys(history, 1))
    repeated = fitted.recommend(history=[*history, "item-1"])
    for other in (backwards, as_plays, repeated):
        assert other["item_id"].tolist() == as_list["item_id"].tolist()
        assert other["score"].to_numpy() == pytest.approx(as_list["score"].to_numpy(), abs=1e-5)


def test_plays_of_a_history_count(fitted):
    little_rock = fitted.recommend(history={"item-0": 1, "item-1": 50}, k=10)
    little_jazz = fitted.recommend(history={"item-0": 50, "item-1": 1}, k=10)
    assert (taste_of(little_rock["item_id"]) == 1).sum() > (
        taste_of(little_jazz["item_id"]) == 1
    ).sum()


def test_a_cold_item_of_a_history_says_the_same_whatever_weight_cold_items_have(fit_quickly):
    warm = {"als": 0.4, "fm": 0.4, "content": 0.2}
    one, two = (
        fit_quickly(fusion={"warm": warm, "cold": cold}).recommend(
            history=["cold-85", "item-4"], k=20, exclude=COLD
        )
        for cold in (
            {"als": 0.1, "fm": 0.1, "content": 0.8},
            {"als": 0.8, "fm": 0.1, "content": 0.1},
        )
    )
    assert one["item_id"].tolist() == two["item_id"].tolist()
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-5)


def test_no_history_is_that_of_somebody_unknown(fitted):
    for nothing in ([], {}, ()):
        found = fitted.recommend(history=nothing, k=5)
        assert found.attrs["fallback"] == "popular"
        assert found["item_id"].tolist() == fitted.recommend("nobody", k=5)["item_id"].tolist()


# ------------------------------------------------------------------ arguments that cannot work

BAD = [
    ({"user_id": "user-1", "k": 0}, InvalidArgumentError, "k must be .* not 0"),
    ({"user_id": "user-1", "k": -3}, InvalidArgumentError, "k must be .* not -3"),
    ({"user_id": "user-1", "k": True}, InvalidArgumentError, "k must be .* not True"),
    ({"user_id": "user-1", "k": 1.5}, InvalidArgumentError, r"k must be .* not 1\.5"),
    ({"user_id": "user-1", "k": "3"}, InvalidArgumentError, "k must be .* not '3'"),
    ({"user_id": "user-1", "k": None}, InvalidArgumentError, "k must be .* not None"),
    ({"user_id": "user-1", "exclude": "item-1"}, InvalidArgumentError, "exclude must be several"),
    ({"user_id": "user-1", "exclude": None}, InvalidArgumentError, "exclude must be several"),
    ({"user_id": "user-1", "exclude": 5}, InvalidArgumentError, "exclude must be several"),
    ({"user_id": "user-1", "only": "item-1"}, InvalidArgumentError, "only must be several"),
    ({"user_id": "user-1", "exclude": ["item-1", "?"]}, UnknownItemError, r"no item '\?'"),
    ({"user_id": "user-1", "only": ["?"]}, UnknownItemError, r"no item '\?'"),
    ({"user_id": "nobody", "only": ["?"]}, UnknownItemError, r"no item '\?'"),
    ({"user_id": "user-1", "only": [["item-1"]]}, UnknownItemError, "no item"),
    ({"history": ["?"]}, UnknownItemError, r"no item '\?'"),
    ({"history": "item-1"}, InvalidArgumentError, "history must be several ids"),
    ({"history": 7}, InvalidArgumentError, "history must be several ids"),
    ({"history": {"item-1": 0}}, InvalidArgumentError, "'item-1' must be a positive number, not 0"),
    ({"history": {"item-1": -1}}, InvalidArgumentError, "must be a positive number, not -1"),
    ({"history": {"item-1": float("nan")}}, InvalidArgumentError, "positive number, not nan"),
    ({"history": {"item-1": float("inf")}}, InvalidArgumentError, "positive number, not inf"),
    ({"history": {"item-1": 1e300}}, InvalidArgumentError, r"positive number, not 1e\+300"),
    ({"history": {"item-1": "often"}}, InvalidArgumentError, "positive number, not 'often'"),
    ({"history": {"item-1": None}}, InvalidArgumentError, "positive number, not None"),
    ({"user_id": "user-1", "history": ["item-1"]}, InvalidArgumentError, "not both"),
    ({}, InvalidArgumentError, "give a user id or a history"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_recommend_refuses(fitted, arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        fitted.recommend(**arguments)
    assert isinstance(raised.value, ColdtuneError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("user-1",), InvalidArgumentError, "user_ids must be several ids"),
        ((None,), InvalidArgumentError, "user_ids must be several ids"),
        ((["user-1"], 0), InvalidArgumentError, "k must be"),
        ((["user-1"], False), InvalidArgumentError, "k must be"),
    ],
)
def test_recommend_many_refuses(fitted, arguments, error, message):
    with pytest.raises(error, match=message):
        fitted.recommend_many(*arguments)
    with pytest.raises(UnknownItemError, match=r"no item '\?'"):
        fitted.recommend_many(["user-1"], only=["?"])
    with pytest.raises(InvalidArgumentError, match="exclude must be several"):
        fitted.recommend_many(["user-1"], exclude="item-1")


def test_numpy_counts_are_counts(fitted):
    assert len(fitted.recommend("user-1", k=np.int64(4))) == 4
    assert len(fitted.recommend("user-1", k=10**12)) == 76


def test_nobody_and_nothing(fitted):
    assert fitted.recommend_many([]).empty
    assert list(fitted.recommend_many([]).columns) == ["user_id", "rank", "item_id", "score"]
    for user in ("user-1", "nobody"):
        none = fitted.recommend(user, only=[])
        assert none.empty
        assert list(none.columns) == COLUMNS + SHARES


def test_nothing_works_before_the_fit():
    model = Recommender()
    for ask in (
        lambda: model.recommend("user-1"),
        lambda: model.recommend_many(["user-1"]),
        lambda: model.similar("item-1"),
        lambda: model.onboard(item_id="new", embedding=[1.0]),
        lambda: model.save("nowhere"),
        lambda: model.info,
    ):
        with pytest.raises(NotFittedError):
            ask()


# ------------------------------------------------------------------ similar items


@pytest.mark.parametrize("by", ["sound", "taste", "fused"])
def test_similar_items_are_of_the_same_taste(fitted, by):
    for item in ("item-3", "cold-85"):
        found = fitted.similar(item, k=15, by=by)
        assert len(found) == 15
        assert item not in set(found["item_id"])
        assert found["rank"].tolist() == list(range(1, 16))
        assert found["score"].is_monotonic_decreasing
        assert found["score"].between(-1 - 1e-5, 1 + 1e-5).all()
        assert np.mean(taste_of(found["item_id"]) == taste_of([item])) >= 0.8


def test_similar_by_sound_is_the_cosine_of_centred_embeddings(fitted, tastes):
    embeddings = tastes[1] - tastes[1].mean()
    unit = embeddings.div(np.linalg.norm(embeddings, axis=1), axis=0)
    expected = (unit @ unit.loc["item-7"]).drop("item-7").sort_values(ascending=False)
    found = fitted.similar("item-7", k=89, by="sound")
    assert found["item_id"].tolist() == expected.index.tolist()
    assert found["score"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)


def test_similar_is_mutual(fitted):
    for by in ("sound", "taste", "fused"):
        there = fitted.similar("item-2", k=89, by=by).set_index("item_id")["score"]
        back = fitted.similar("item-50", k=89, by=by).set_index("item_id")["score"]
        assert there["item-50"] == pytest.approx(back["item-2"], abs=1e-5)


def test_similar_refuses(fitted):
    with pytest.raises(UnknownItemError, match=r"no item '\?'"):
        fitted.similar("?")
    with pytest.raises(InvalidArgumentError, match=r"by must be .* not 'smell'"):
        fitted.similar("item-1", by="smell")
    with pytest.raises(InvalidArgumentError, match="k must be"):
        fitted.similar("item-1", k=0)


# ------------------------------------------------------------------ quality on a known answer


def share_of_right_taste(model, users, **options):
    lists = model.recommend_many(users, **options)
    return np.mean(taste_of(lists["item_id"]) == taste_of(lists["user_id"]))


ALL_USERS = [f"user-{n}" for n in range(120)]


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


def test_the_order_of_embeddings_does_not_matter(tastes, fit_quickly):
    dataset, embeddings = tastes
    shuffled = embeddings.sample(frac=1, random_state=0)
    one, two = fit_quickly(), Recommender(QUICK).fit(dataset, embeddings=shuffled)
    pd.testing.assert_frame_equal(one.recommend("user-1"), two.recommend("user-1"))


@pytest.mark.parametrize(
    "sources", [("als",), ("fm",), ("content",), ("als", "fm"), ("content", "als")]
)
def test_fewer_sources(fit_quickly, sources):
    model = fit_quickly(sources=sources, fusion={})
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
    return Recommender(CONFIG).fit(tastes[0])


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
    noise = np.random.default_rng(0).normal(0, 0.02, (90, 150))
    wide = pd.DataFrame(np.hstack([embeddings, noise]), index=embeddings.index)
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
        model.fit(dataset.take_interactions([]), embeddings=embeddings)
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
    assert set(info["blend"]["warm"]) == {"als", "fm", "content"}
    assert set(info["ridge_strengths"]) == {"als", "fm"}
    assert "source fm" in info["seconds"]
    assert info["onboarded"] == 0
