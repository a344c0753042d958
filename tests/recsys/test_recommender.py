"""Recommender: lists in order, full, filtered, the same for one user and for many."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from typer.testing import CliRunner

from datasets.errors import (
    ColdtuneError,
    InvalidArgumentError,
    NotCopiedError,
    NotFittedError,
    UnknownItemError,
    UnknownUserError,
)
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.cli import app
from recsys.config import ALSConfig
from tests.helpers.recommenders import COLD, COLUMNS, IDS, QUICK, SHARES, dataset_of, taste_of
from tests.helpers.thorough import times

USERS = st.sampled_from([*(f"user-{n}" for n in range(0, 120, 7)), "nobody"])


def played_by(dataset, user):
    table = dataset.interactions
    return set(table.loc[table["user_id"] == user, "item_id"])


def test_importing_it_loads_nothing_that_only_fits_and_recordings_need():
    code = (
        "import sys; from recsys import Recommender\n"
        "heavy = {'torch', 'onnxruntime', 'soundfile', 'librosa', 'sklearn', 'mlflow', 'lightfm'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ what a list looks like


@pytest.mark.slow
def test_columns_in_order(fitted):
    one = fitted.recommend("user-1", k=10)
    assert list(one.columns) == COLUMNS + SHARES
    assert list(fitted.recommend(history=["item-1"], k=3).columns) == COLUMNS + SHARES
    assert list(fitted.recommend("nobody", k=3).columns) == COLUMNS + SHARES
    many = fitted.recommend_many(["user-1", "user-2"], k=10)
    assert list(many.columns) == ["user_id", "rank", "item_id", "score", "new"]
    assert list(fitted.similar("item-1").columns) == COLUMNS[:-1]
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


@pytest.mark.slow
@settings(max_examples=times(20, 60))
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
    # Known songs: how many new ones are among them depends on the length of the list.
    full = fitted.recommend(user, k=90, exclude_seen=False, new=0)
    options = {"k": k, "exclude": exclude, "only": only, "exclude_seen": exclude_seen}
    found = fitted.recommend(user, **options, new=0)
    hidden = set(exclude) | (played_by(tastes[0], user) if exclude_seen else set())
    allowed = set(IDS if only is None else only) - hidden
    with_new = fitted.recommend(user, **options)["item_id"]
    assert len(with_new) == len(set(with_new)) == min(k, len(allowed))
    assert set(with_new) <= allowed
    assert found["item_id"].tolist() == [name for name in full["item_id"] if name in allowed][:k]
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    scores = full.set_index("item_id")["score"]
    assert found["score"].to_numpy() == pytest.approx(scores[found["item_id"]].to_numpy(), abs=1e-5)


@pytest.mark.slow
@settings(max_examples=25)
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
    monkeypatch.setattr("recsys.recommender.BATCH", 7)
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


@pytest.mark.slow
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
    ({"user_id": "user-1", "only": [["item-1"]]}, InvalidArgumentError, r"only: id number 1 must"),
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
    assert len(fitted.recommend("user-1", k=10**12, new=0.5)) == 76
    assert len(fitted.recommend("user-1", k=10**12, new=10**12, per_artist=5)) == 76


def test_nobody_and_nothing(fitted):
    assert fitted.recommend_many([]).empty
    assert list(fitted.recommend_many([]).columns) == ["user_id", "rank", "item_id", "score", "new"]
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


def test_similar_by_sound_is_the_cosine_of_standardised_embeddings(fitted, tastes):
    embeddings = (tastes[1] - tastes[1].mean()) / tastes[1].std(ddof=0)
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


@pytest.mark.slow
def test_info_says_how_the_model_is_searched(fit_quickly, fitted, tmp_path):
    assert fitted.info["index"] == {"method": "exact"}
    model = fit_quickly(retrieval={"method": "annoy"})
    found = model.info["index"]
    assert found["method"] == "annoy"
    assert found["recall"] >= found["target_recall"] == 0.99
    assert found["queries"] == 60  # half of the users; the others tuned it
    assert found["n_trees"] >= 1 <= found["search_k"]
    model.save(tmp_path / "model")
    assert Recommender.load(tmp_path / "model").info["index"] == found
    said = CliRunner().invoke(app, ["info", str(tmp_path / "model")]).stdout
    assert (
        f"search: annoy (n_trees {found['n_trees']}, search_k {found['search_k']}), finds" in said
    )
    assert "of the best items of 60 users (wanted: 99.0%)" in said


# ------------------------------------------------------------------ manners


@pytest.fixture(scope="module")
def fitted_once(tastes):
    return Recommender(QUICK).fit(*tastes)


@pytest.fixture
def recommender_in_memory(fitted_once):
    """One that a test may change: what it does is undone."""
    before = fitted_once._model, fitted_once._folder
    yield fitted_once
    fitted_once._model, fitted_once._folder = before


def test_its_repr_says_on_what_it_was_fitted_and_where_it_is(recommender_in_memory, monkeypatch):
    assert repr(Recommender(QUICK)) == "<Recommender: not fitted; sources als, fm, content>"
    model = recommender_in_memory
    assert repr(model) == "<Recommender: fitted on 120 users and 90 items; in memory>"
    model.onboard(item_id="new", embedding=np.ones(8))
    place = f"/{'x' * 30}"
    monkeypatch.setattr(model, "_folder", Path(place))
    assert repr(model) == (
        f"<Recommender: fitted on 120 users and 90 items, 1 onboarded since; in '{place}'>"
    )
    monkeypatch.setattr(model, "_model", object())  # broken by somebody: still no error
    assert repr(model) == "<Recommender>"


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_fitted_one_is_not_copied_and_names_save_and_load(
    recommender_in_memory, tmp_path, copied
):
    with pytest.raises(NotCopiedError, match=r"save\(folder\).*Recommender\.load\(folder\)"):
        copied(recommender_in_memory)
    recommender_in_memory.save(tmp_path / "model")
    with pytest.raises(TypeError, match=r"Recommender\.load"):
        copied(Recommender.load(tmp_path / "model"))


@pytest.mark.parametrize(
    "copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.copy, copy.deepcopy, clone]
)
def test_a_copy_of_one_that_is_not_fitted_has_its_settings_and_fits_alike(tastes, copied):
    model = Recommender(QUICK.replace(seed=3))
    other = copied(model)
    assert other is not model
    assert other.config == model.config
    lists = [one.fit(*tastes).recommend_many(["user-1", "user-2"]) for one in (model, other)]
    pd.testing.assert_frame_equal(*lists)


def test_parameters_are_those_of_scikit_learn(recommender_in_memory):
    model = recommender_in_memory
    params = model.get_params()
    assert params["config"] == model.config
    assert params["als__factors"] == 16
    assert params["encoder__snippet__seconds"] == model.config.encoder.snippet.seconds
    assert model.get_params(deep=False) == {"config": model.config}
    changed = clone(model).set_params(als__factors=4, als__alpha=2.0, seed=7, encoder={"epochs": 1})
    assert (changed.config.als.factors, changed.config.als.alpha, changed.config.seed) == (4, 2, 7)
    assert changed.config.encoder.epochs == 1
    assert changed.config.fm == model.config.fm
    assert model.config.als.factors == 16
    with pytest.raises(NotFittedError, match="fit, or load"):
        changed.recommend("user-1")
    assert changed.set_params(config=QUICK, threads=2).config == QUICK.replace(threads=2)
    assert changed.set_params(encoder__snippet__seconds=2.0).config.encoder.snippet.seconds == 2


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"als__factros": 3}, r"no parameter 'als__factros'.*mean 'als__factors'.*there are: conf"),
        ({"factors": 3}, "no parameter 'factors'"),
        ({"als__factors": 0}, r"als\.factors: .*greater than or equal to 1"),
        ({"config": {}}, "config must be a RecommenderConfig, not dict"),
        ({"threads": 1, "no": 1}, "no parameter 'no'"),
    ],
)
def test_wrong_parameters_change_nothing(params, said):
    model = Recommender(QUICK)
    with pytest.raises(InvalidArgumentError, match=said):
        model.set_params(**params)
    assert model.config == QUICK


@pytest.mark.parametrize(
    "given", [None, pd.DataFrame({"item_id": ["a"]}), "folder", [], MusicDataset]
)
def test_a_fit_on_something_else_names_the_music_dataset(given):
    with pytest.raises(InvalidArgumentError, match=r"MusicDataset\(items, audio.*load_folder"):
        Recommender(QUICK).fit(given)


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("Item-7", r"mean 'item-7' \(Artist 3 - Song 7\)\?$"),
        ("item7", r"mean 'item-7' \(Artist 3 - Song 7\)"),
        ("song 7", r"mean 'item-7' \(Artist 3 - Song 7\)\?$"),
        (" artist 3 - SONG 7 ", r"mean 'item-7' \(Artist 3 - Song 7\)\?$"),
        ("Artist 44", r"mean 'cold-88' \(Artist 44 - Song 88\) or 'cold-89' "),
        ("nothing of the kind", "in the catalogue$"),
    ],
)
def test_unknown_items_are_answered_with_those_that_may_be_meant(
    recommender_in_memory, asked, suggested
):
    model = recommender_in_memory
    for ask in (
        lambda: model.similar(asked),
        lambda: model.explain("user-1", asked),
        lambda: model.recommend("user-1", only=["item-1", asked]),
        lambda: model.recommend(history=[asked]),
        lambda: model.remove(asked),
    ):
        with pytest.raises(UnknownItemError, match=suggested):
            ask()


def test_unknown_users_columns_and_values_are_answered_with_what_may_be_meant(
    recommender_in_memory,
):
    model = recommender_in_memory
    with pytest.raises(UnknownUserError, match="mean 'user-12'"):
        model.explain("User-12", "item-1")
    with pytest.raises(InvalidArgumentError, match=r"'gnere'; did you mean 'genre'\?; there are"):
        model.recommend("user-1", where={"gnere": "rock"})
    empty = model.recommend("user-1", where={"genre": ["roc", "blues"]})
    assert empty.attrs["unmatched"] == (
        "no item has genre 'roc'; did you mean 'rock'?; no item has genre 'blues'"
    )
    for values in (np.int64(7), [np.int64(7)], iter(["7"])):
        empty = model.recommend("user-1", where={"genre": values})
        assert empty.attrs["unmatched"] == "no item has genre '7'"


def test_values_of_a_filter_from_a_generator_count_in_every_batch(recommender_in_memory):
    genres = iter(["rock"])
    batches = recommender_in_memory.recommend_batches(k=2, batch_size=50, where={"genre": genres})
    assert [len(batch) for batch in batches][:2] == [100, 100]


@pytest.mark.parametrize("config", [{"seed": 1}, {}, "config.json", 0, ALSConfig()], ids=repr)
def test_what_is_no_config_is_refused_at_once(config, tastes):
    with pytest.raises(InvalidArgumentError, match=r"^config must be a RecommenderConfig, not "):
        Recommender(config)
    model = Recommender()
    model.config = config
    with pytest.raises(InvalidArgumentError, match=r"^config must be a RecommenderConfig, not "):
        model.fit(*tastes)


def test_songs_are_found_by_words_of_title_artist_and_id(recommender_in_memory):
    model = recommender_in_memory
    model.onboard(item_id="fresh", title="Night Song", artist="Ärzte", embedding=np.ones(8))
    model.onboard(item_id="fresh", title="Day Song", artist="Ärzte", embedding=np.ones(8))
    found = model.search("song ÄRZTE")
    assert found["item_id"].tolist() == ["fresh"]
    assert found.attrs["named"] == 0
    assert model.search("night song").empty
    assert model.search("day song").attrs["named"] == 1
    assert model.search("item-1", k=2)["item_id"].tolist() == ["item-1", "item-10"]
    assert model.search("Song 8", k=100)["item_id"].tolist()[:2] == ["item-8", "item-16"]
    assert model.search(".*").empty
    for wrong in (None, 7, ["x"]):
        with pytest.raises(InvalidArgumentError, match="text must be"):
            model.search(wrong)
