"""Who should hear a song: the same numbers as in users' lists, whoever the users are and whatever
has happened since the fit."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from datasets.errors import (
    InvalidArgumentError,
    NotFittedError,
    UnknownItemError,
    UnknownUserError,
)
from recsys import Recommender
from recsys.model import user_search
from recsys.model.live import LiveModel
from tests.helpers.recommenders import ALL_USERS, IDS, SHARES, dataset_of, own, taste_of

COLUMNS = ["rank", "user_id", "score", *SHARES, "like", "reason"]


def plays(*rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]).astype({"weight": float})


def by_lists(model, item, users):
    """The scores of an item in everybody's list, and who has played it."""
    lists = model.recommend_many(users, 1, only=[item], exclude_seen=False)
    unseen = model.recommend_many(users, 1, only=[item])
    scores = lists.set_index("user_id")["score"]
    return scores, set(scores.index) - set(unseen["user_id"])


def check_by_lists(model, item, users, k=500):
    scores, seen = by_lists(model, item, users)
    whole = model.audience(item, k, exclude_seen=False).set_index("user_id")["score"]
    assert set(whole.index) == set(scores.index)
    assert whole.to_numpy() == pytest.approx(scores[whole.index].to_numpy(), abs=2e-5)
    assert whole.is_monotonic_decreasing
    left = model.audience(item, k)
    assert left["user_id"].tolist() == [user for user in whole.index if user not in seen]
    return whole


@pytest.mark.slow
@settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(item=st.sampled_from(IDS), k=st.integers(1, 130), seen=st.booleans())
def test_an_audience_has_the_numbers_of_the_lists(fitted, item, k, seen):
    found = fitted.audience(item, k, exclude_seen=not seen)
    scores, played = by_lists(fitted, item, ALL_USERS)
    expected = scores if seen else scores.drop(list(played))
    assert len(found) == min(k, len(expected))
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    best = np.sort(expected.to_numpy())[::-1][: len(found)]
    assert found["score"].to_numpy() == pytest.approx(best, abs=2e-5)
    assert found["score"].to_numpy() == pytest.approx(scores[found["user_id"]].array, abs=2e-5)
    row = fitted.recommend(found["user_id"][0], 1, only=[item], exclude_seen=False).iloc[0]
    assert found[SHARES].iloc[0].tolist() == pytest.approx(row[SHARES].tolist(), abs=1e-4)
    assert found[SHARES].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_new_song_reaches_those_of_its_taste(fitted):
    found = fitted.audience("cold-82", 30)
    assert found.columns.tolist() == COLUMNS
    assert (taste_of(found["user_id"]) == taste_of(["cold-82"])[0]).all()
    # What is named as being like it was played, and is of its taste.
    table = fitted.recommend(found["user_id"][0], 100, exclude_seen=True)
    assert found["like"][0] not in set(table["item_id"])
    assert (taste_of(found["like"]) == 1).all()
    number = found["like"][0].split("-")[1]
    assert f"; nearest by sound: Song {number} by Artist {int(number) // 2} (" in found["reason"][0]
    assert found.attrs == {}


def test_scores_and_ties_by_hand():
    rows = [("b", "x", 1.0), ("a", "x", 1.0), ("c", "y", 1.0)]
    texts = {"genre": ["g", "h", "", ""]}
    dataset = dataset_of(rows, ["x", "y", "new", "nothing"], **texts)
    vectors = pd.DataFrame([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]], index=["x", "y", "new"])
    config = Recommender().config.replace(threads=1, tracking=False, sources=("content",))
    model = Recommender(config).fit(dataset, embeddings=vectors)
    found = model.audience("new", 5)
    # A user's vector is that of what was played; its scores of the two warm items have mean 0 and
    # deviation 1. Those of a and b are equal: they stand in the order of the data set.
    assert sorted(found["user_id"][:2]) == ["a", "b"]
    assert found["user_id"].tolist() == [*pd.unique(dataset.interactions["user_id"])[:2], "c"]
    assert found["score"][0] == found["score"][1] > found["score"][2]
    assert found["like"].tolist()[:2] == ["x", "x"]
    empty = model.audience("nothing")
    assert empty.empty
    assert empty.attrs["empty"] == "nothing is known of this song that tells who will like it"
    assert empty.columns.tolist() == found.columns.tolist()


def test_an_item_that_everybody_has_played_has_no_audience_left():
    rows = [(user, item, 1.0) for user in "abcd" for item in ("all", f"own-{user}")]
    dataset = dataset_of(rows, ["all", *(f"own-{user}" for user in "abcd")])
    config = Recommender().config.replace(threads=1, tracking=False, sources=("als", "popularity"))
    model = Recommender(config.replace(als={"factors": 2, "regularization": 1.0})).fit(dataset)
    found = model.audience("all")
    assert found.empty
    assert found.attrs["empty"] == "every user has played it"
    assert len(model.audience("all", exclude_seen=False)) == 4
    assert len(model.audience("own-a", 100)) == 3  # more are asked for than there are
    assert model.audience("all", users=["a"]).attrs["empty"].startswith("none of the users")
    assert model.audience("own-a", exclude=list("bcd")).attrs["empty"] == "no user is left"


def test_the_first_plays_of_a_library_make_its_first_audience():
    texts = {"title": list("abcd")}
    dataset = dataset_of([], ["a", "b", "c", "d"], **texts)
    vectors = pd.DataFrame(np.eye(4, 3) + 0.1, index=list("abcd"))
    config = Recommender().config.replace(threads=1, tracking=False)
    model = Recommender(config).fit(dataset, embeddings=vectors)
    assert model.audience("a").attrs["empty"] == "the model has no users"
    model.update(plays(("ann", "a", 1.0), ("ben", "b", 1.0)))
    found = model.audience(embedding=vectors.loc["a"].to_numpy())
    assert found["user_id"].tolist() == ["ann", "ben"]
    assert found["like"].tolist()[0] == "a"
    assert model.audience("a")["user_id"].tolist() == ["ben"]


def test_ids_are_checked_as_everywhere(fitted):
    with pytest.raises(UnknownItemError, match=r"no item 'ITEM-7' .* mean 'item-7'"):
        fitted.audience("ITEM-7")
    with pytest.raises(UnknownItemError, match=r"no file 'no/a\.wav', and no item 'no/a\.wav' "):
        fitted.audience("no/a.wav")
    with pytest.raises(UnknownItemError):
        fitted.audience("x" * 5000)
    for wrong in (None, 7.0, float("nan"), "", ["item-1"]):
        with pytest.raises(InvalidArgumentError):
            fitted.audience(wrong)
    with pytest.raises(InvalidArgumentError, match="k must be"):
        fitted.audience("item-1", 0)
    with pytest.raises(InvalidArgumentError, match="exclude_seen"):
        fitted.audience("item-1", exclude_seen="no")
    with pytest.raises(UnknownUserError, match=r"no user 'User-12'.*did you mean 'user-12'\?"):
        fitted.audience("item-1", users=["user-1", "User-12"])
    with pytest.raises(UnknownUserError, match="no user 'nobody'"):
        fitted.audience("item-1", exclude=["nobody"])
    with pytest.raises(InvalidArgumentError, match="users must be several ids, not 'user-1'"):
        fitted.audience("item-1", users="user-1")
    with pytest.raises(InvalidArgumentError, match="one of them"):
        fitted.audience("item-1", embedding=np.ones(8))
    with pytest.raises(InvalidArgumentError, match="genre is for a song that is no item"):
        fitted.audience("item-1", genre="rock")
    with pytest.raises(InvalidArgumentError, match="this model was fitted without recordings"):
        fitted.audience(b"RIFF")
    with pytest.raises(InvalidArgumentError, match=r"has shape \(3,\), the model's have \(8,\)"):
        fitted.audience(embedding=[1, 2, 3])
    with pytest.raises(NotFittedError):
        Recommender().audience("item-1")


def test_users_are_chosen_and_left_out(fitted):
    chosen = [f"user-{n}" for n in (5, 2, 8, 11, 2)]
    found = fitted.audience("cold-82", users=iter(chosen), exclude=["user-8"])
    assert set(found["user_id"]) == {"user-5", "user-2", "user-11"}
    whole = fitted.audience("cold-82", 200).set_index("user_id")["score"]
    assert found["score"].tolist() == whole[found["user_id"]].tolist()
    assert fitted.audience("cold-82", users=[]).attrs["empty"].startswith("none of the users")
    assert "user-8" not in set(fitted.audience("cold-82", 200, exclude=["user-8"])["user_id"])


def test_where_is_about_what_users_have_played(fitted, tastes):
    table = tastes[0].interactions.merge(tastes[0].items, on="item_id")
    for where in ({"artist": "Artist 3"}, {"genre": "JAZZ", "artist": ["Artist 3", "Artist 4"]}):
        fits = table["artist"].isin(np.atleast_1d(where["artist"]))
        if "genre" in where:
            fits &= table["genre"] == "jazz"
        found = fitted.audience("cold-82", 200, where=where)
        assert set(found["user_id"]) == set(table["user_id"][fits])
    nothing = fitted.audience("cold-82", where={"genre": iter(["roc"])})
    assert nothing.attrs["unmatched"] == "no item has genre 'roc'; did you mean 'rock'?"
    assert nothing.attrs["empty"] == nothing.attrs["unmatched"]
    with pytest.raises(InvalidArgumentError, match="no column 'gnere'; did you mean 'genre'"):
        fitted.audience("cold-82", where={"gnere": "rock"})
    with pytest.raises(InvalidArgumentError, match="where must be columns"):
        fitted.audience("cold-82", where="rock")
    assert len(fitted.audience("cold-82", 200, where={})) == 120


def test_an_embedding_has_the_audience_that_it_gets_when_it_is_onboarded(fitted, tastes):
    model = own(fitted)
    vector = tastes[1].loc["cold-82"].to_numpy() * 0.9
    before = repr(model), dict(model.info["now"]), model._model.revision
    found = model.audience(embedding=vector, k=200, genre="rock", artist="Artist 7")
    assert before == (repr(model), dict(model.info["now"]), model._model.revision)
    model.onboard(item_id="heard", embedding=vector, genre="rock", artist="Artist 7")
    pd.testing.assert_frame_equal(found, model.audience("heard", 200))
    other = model.audience(embedding=vector, k=200)
    assert not np.allclose(other["score"], found["score"])


class _Changes:
    """Everything that may happen to a model, drawn from a seed."""

    def __init__(self, model, seed):
        self.model, self.random, self.number = model, np.random.default_rng(seed), 0
        self.users = list(ALL_USERS)

    def one(self):
        kind = self.random.choice(["old", "new", "onboard", "remove", "replace"])
        items = self.model.search("s", 500)["item_id"].tolist()
        self.number += 1
        item, other = self.random.choice(items, 2, replace=False)
        if kind == "onboard":
            vector = np.eye(8)[self.number % 8] + 0.1
            self.model.onboard(item_id=f"late-{self.number}", title="song", embedding=vector)
        elif kind == "remove":
            self.model.remove(item)
        elif kind == "new":
            self.users.append(f"late-{self.number}")
            self.model.update(plays((self.users[-1], item, 3.0), (self.users[-1], other, 1.0)))
        else:
            users = self.random.choice(self.users, 3, replace=False)
            mode = "replace" if kind == "replace" else "add"
            self.model.update(plays(*((user, item, 2.0) for user in users)), mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_has_happened_an_audience_has_the_numbers_of_the_lists(fitted, seed):
    model = own(fitted)
    changes = _Changes(model, seed)
    for _ in range(4):
        for _ in range(changes.random.integers(1, 4)):
            changes.one()
        items = model.search("s", 500)["item_id"].tolist()
        item = str(changes.random.choice(items))
        whole = check_by_lists(model, item, [u for u in changes.users if _is_known(model, u)])
        assert set(whole.index) <= set(changes.users)
    # A model that has nothing kept from before finds the same.
    fresh = Recommender(model.config)
    fresh._model = LiveModel(model._model.state, model._model.catalog)
    found = fresh.audience(item, 500, exclude_seen=False).set_index("user_id")["score"]
    assert set(found.index) == set(whole.index)
    assert found[whole.index].to_numpy() == pytest.approx(whole.to_numpy(), abs=2e-5)


def _is_known(model, user):
    return "fallback" not in model.recommend(user, 1, exclude_seen=False).attrs


def test_plays_are_known_at_once(fitted):
    model = own(fitted)
    assert "ann" not in set(model.audience("cold-82", 500)["user_id"])
    model.update(plays(*(("ann", f"item-{n}", 5.0) for n in (1, 4, 7, 10))))
    found = model.audience("cold-82", 500).set_index("user_id")["score"]
    assert found.index.get_loc("ann") < 60
    first = model.audience("cold-82", 1)["user_id"][0]
    model.update(plays((first, "cold-82", 1.0)))
    assert first not in set(model.audience("cold-82", 500)["user_id"])
    assert first in set(model.audience("cold-82", 500, exclude_seen=False)["user_id"])
    model.remove("cold-82")
    with pytest.raises(UnknownItemError, match="cold-82"):
        model.audience("cold-82")
    model.onboard(item_id="cold-82", embedding=np.eye(8)[1])
    assert first in set(model.audience("cold-82", 500)["user_id"])


def test_users_of_whom_nothing_is_known_are_never_listed(tastes):
    # Whoever has played nothing but what is neither heard nor played by others has no taste.
    dataset, embeddings = tastes
    config = Recommender().config.replace(threads=1, tracking=False, sources=("content",))
    table = dataset.interactions
    lonely = plays(("lonely", "item-0", 1.0))
    both = type(dataset)(
        items=dataset.items, interactions=pd.concat([table, lonely], ignore_index=True)
    )
    model = Recommender(config).fit(both, embeddings=embeddings.drop("item-0"))
    assert "fallback" in model.recommend("lonely").attrs
    found = model.audience("cold-80", 500)
    assert len(found) == 120
    assert "lonely" not in set(found["user_id"])
    assert found["score"].min() < 0  # it is not that the others like it better
    assert model.audience("cold-80", users=["lonely"]).empty
    model.update(plays(("lonely", "item-3", 1.0)))
    assert "lonely" in set(model.audience("cold-80", 500)["user_id"])


@pytest.mark.slow
def test_threads_ask_while_others_write(fitted):
    model, wrong = own(fitted), []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                found = model.audience("cold-82", 500, exclude_seen=False)
                assert len(found) >= 120
                assert found["score"].is_monotonic_decreasing
                assert found["user_id"].is_unique
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(15):
        model.update(plays((f"new-{number}", f"item-{number}", 2.0), ("user-3", "cold-83", 1.0)))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    check_by_lists(model, "cold-82", [*ALL_USERS, *(f"new-{number}" for number in range(15))])


@pytest.mark.slow
def test_other_processes_are_seen_after_a_refresh(fitted, tmp_path):
    own(fitted).save(tmp_path / "model")
    reader, writer = (Recommender.load(tmp_path / "model") for _ in range(2))
    before = reader.audience("cold-82", 500)
    writer.update(plays(("ann", "item-1", 5.0), ("user-1", "cold-82", 1.0)))
    writer.onboard(item_id="other", embedding=np.eye(8)[2])
    pd.testing.assert_frame_equal(before, reader.audience("cold-82", 500))
    assert reader.refresh()
    after = reader.audience("cold-82", 500)
    pd.testing.assert_frame_equal(after, writer.audience("cold-82", 500))
    assert "ann" in set(after["user_id"])
    assert "user-1" not in set(after["user_id"])
    writer.rebuild()
    assert reader.refresh()
    merged = reader.audience("cold-82", 500)
    assert merged["user_id"].tolist() == after["user_id"].tolist()
    assert merged["score"].to_numpy() == pytest.approx(after["score"].to_numpy(), abs=1e-4)


def test_ids_in_another_unicode_form_are_taken_with_a_warning(fitted):
    model = own(fitted)
    model.onboard(item_id="caf\u00e9", embedding=np.eye(8)[1])
    model.update(plays(("zo\u00eb", "item-1", 2.0)))
    with pytest.warns(UserWarning, match="Unicode"):
        found = model.audience("cafe\u0301", users=["zo\u00eb"])
    assert found["user_id"].tolist() == ["zo\u00eb"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.audience("caf\u00e9", 3)) == 3


def test_whole_numbers_are_ids(tastes):
    model = Recommender(Recommender().config.replace(threads=1, tracking=False, sources=("als",)))
    rows = [(str(user), str(item), 1.0) for user in range(6) for item in (user, (user + 1) % 6)]
    model.fit(dataset_of(rows, [str(item) for item in range(6)]))
    pd.testing.assert_frame_equal(
        model.audience(3, users=np.arange(3)), model.audience("3", users=list("012"))
    )


@pytest.fixture
def screened(monkeypatch):
    """Users are screened however few they are, by few coordinates."""
    for name, value in {
        "SCREENED": 0, "_WIDTHS_KNOWN": (4, 6), "_WIDTHS_NEW": (3, 4), "_FIRST": 8, "_STEP": 3,
        "_MOST_LEFT": 1.0,
    }.items():  # fmt: skip
        monkeypatch.setattr(user_search, name, value)


@pytest.mark.parametrize("k", [1, 5])
def test_screening_changes_nothing(fitted, screened, k, monkeypatch):
    model, whole = own(fitted), own(fitted)
    items = ["cold-82", "cold-87", "item-3", "item-40"]
    monkeypatch.setattr(user_search, "_FIRST", 8 - 64 * k)  # however many are asked for
    for gone in ("item-5", "item-6"):
        for item in items:
            found = model.audience(item, k)
            everybody = whole.audience(item, 500)  # of so many, nobody is screened
            assert found["user_id"].tolist() == everybody["user_id"][:k].tolist()
            assert found["score"].tolist() == everybody["score"][:k].tolist()
            left = everybody["user_id"][k:].tolist()
            again = model.audience(item, k, exclude=everybody["user_id"][:k])
            assert again["user_id"].tolist() == left[:k]
        assert all(model._model.user_search._screens.values())
        for one in (model, whole):
            one.update(plays(("ann", "item-1", 5.0), ("user-4", "item-7", 2.0)))
            one.remove(gone)


def test_a_screen_is_right_about_every_score():
    rng = np.random.default_rng(0)
    users = rng.standard_normal((300, 12)) * np.geomspace(1, 100, 12)
    users[:, 5] = 0
    items = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 12))
    items[:, 7] = 0
    vectors = users.astype(np.float32)
    for is_new in (True, False):
        screen = user_search._Screen(vectors, users, items, (2, 3), is_new=is_new)
        assert [one.shape for one in screen.coordinates] == [(300, 2), (300, 3)]
        for item in (*items[:5], rng.standard_normal(12), np.zeros(12), np.eye(12)[7]):
            question = screen.ask(item.astype(np.float32), 0.0)
            near, exact = question.near(), vectors.astype(np.float64) @ item
            assert (near + question.apart() >= exact).all()
            rows = np.arange(0, 300, 7)
            assert (question.at_most(rows, near[rows]) >= exact[rows]).all()
