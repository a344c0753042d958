"""New songs: who is shown which, worked by hand, and what must hold on a real model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recsys import Recommender
from recsys.database.changes import Play
from recsys.database.song import Song
from recsys.index.base import Seen
from recsys.model.users import Profiles
from recsys.new_songs import TYPICAL
from recsys.ranking import new_songs
from recsys.ranking.new_songs import AdjustedNewSearch, NewSearch, NewSongs, best_eligible
from tests.helpers.recommenders import ALL_USERS, COLD, QUICK


@pytest.fixture(scope="module")
def model(tastes):
    """80 known songs, 10 new ones with an embedding; not to be changed."""
    return Recommender(QUICK).fit(tastes[0], embeddings=tastes[1])


def test_eligible_songs_come_first_and_values_descend():
    values = np.array([[5, 4, 3, 2], [1, 2, 3, 4]], np.float32)
    eligible = np.array([[False, True, False, True], [True] * 4])
    found = best_eligible(values, eligible, np.ones((2, 4), bool), 4)
    assert found.query.tolist() == [0] * 4 + [1] * 4
    assert found.item.tolist() == [1, 3, 0, 2, 3, 2, 1, 0]
    # Of the first row, 5 and 3 are lowered by 3, so that 5 does not exceed 2.
    assert found.score.tolist() == [4, 2, 2, 0, 4, 3, 2, 1]
    is_open = np.array([[True, False, True, False], [False] * 4])
    assert best_eligible(values, eligible, is_open, 3).item.tolist() == [0, 2]


@given(
    values=arrays.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=st.integers(-9, 9)
    ),
    size=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_the_best_are_what_sorting_gives(values, size, seed):
    rng = np.random.default_rng(seed)
    eligible, is_open = rng.random(values.shape) < 0.5, rng.random(values.shape) < 0.8
    found = best_eligible(values, eligible, is_open, size)
    for query, row in enumerate(values):
        own = found.query == query
        order = sorted(
            np.flatnonzero(is_open[query]), key=lambda n: (not eligible[query, n], -row[n])
        )
        wanted = [(bool(eligible[query, n]), row[n]) for n in order[:size]]
        assert [(bool(eligible[query, n]), row[n]) for n in found.item[own]] == wanted
        assert (np.diff(found.score[own]) <= 0).all()


def test_values_are_scores_over_the_deviation_among_the_users(model):
    live = model._model
    new = NewSongs.of(live)
    assert live.items.ids(new.rows).tolist() == COLD
    scores = live.state.user_vectors.astype(np.float64) @ live.index.vectors(new.rows).T
    assert new.mean == pytest.approx(scores.mean(axis=0), abs=1e-4)
    # A hundredth of the covariance is the same in all directions.
    assert new.deviation == pytest.approx(scores.std(axis=0), rel=0.05)
    square = np.mean(new.deviation.astype(float) ** 2)
    assert new.divisor == pytest.approx(np.sqrt(new.deviation**2 + square / 2), rel=1e-5)


def test_new_songs_are_found_once_for_each_state(fit_quickly):
    model = fit_quickly()
    before = NewSongs.of(model._model)
    assert NewSongs.of(model._model) is before
    model.onboard(item_id="late", embedding=np.ones(8))
    after = NewSongs.of(model._model)
    assert len(after) == len(before) + 1
    assert after.mean[:-1] == pytest.approx(before.mean)
    model.update(pd.DataFrame({"user_id": ["user-1"], "item_id": ["late"], "weight": [1.0]}))
    assert "late" not in model._model.items.ids(NewSongs.of(model._model).rows)
    model.remove(COLD[0])
    assert len(NewSongs.of(model._model)) == len(before) - 1
    model.onboard(item_id="heard", embedding=np.eye(8)[2])
    rebuilt = NewSongs.of(model._model)
    model.rebuild()
    assert sorted(NewSongs.of(model._model).deviation) == pytest.approx(
        sorted(rebuilt.deviation), rel=0.02
    )


def test_no_song_is_shown_to_everybody_and_more_have_a_chance(fit_quickly, tastes):
    # Two new songs are the same, and one pleases everybody: it is like the mean of what they play.
    embeddings = tastes[1]
    model = fit_quickly()
    songs = {"hub": 2 * embeddings.iloc[:80].mean(), "twin-1": embeddings.loc["item-7"]}
    songs["twin-2"] = songs["twin-1"]
    rng = np.random.default_rng(5)
    for n in range(30):
        songs[f"fresh-{n}"] = embeddings.iloc[n] + 0.3 * rng.standard_normal(8)
    for name, vector in songs.items():
        model.onboard(item_id=name, embedding=vector)
    new = [*COLD, *songs]
    shown = model.recommend_many(ALL_USERS, k=10, new=3)
    shown = shown[shown["new"]]["item_id"].value_counts()
    plain = model.recommend_many(ALL_USERS, k=3, only=new)["item_id"].value_counts()
    assert shown.sum() == plain.sum() == 360
    assert shown.max() < 0.5 * len(ALL_USERS)
    assert shown.max() < plain.max()
    assert len(shown) > len(plain)
    # Which of two equal songs comes first is another one for every user.
    alone = model.recommend_many(ALL_USERS, k=2, new="only", only=["twin-1", "twin-2"])
    assert 40 < (alone[alone["rank"] == 1]["item_id"] == "twin-1").sum() < 80


def test_what_is_not_known_at_all_comes_last(fit_quickly, tastes):
    model = fit_quickly()
    nothing = pd.DataFrame(
        {"item_id": ["bare"], "title": "", "artist": "", "album": "", "genre": ""}
    )
    model.onboard_many(type(tastes[0])(items=nothing))
    for user in ("user-1", "user-7", "nobody"):
        found = model.recommend(user, k=20, new="only")["item_id"].tolist()
        assert len(found) == 11
        assert found[-1] == "bare"


def test_a_history_may_have_new_songs(model):
    found = model.recommend(history=[COLD[3], "item-4"], k=20, new="only")
    assert sorted(found["item_id"]) == sorted(set(COLD) - {COLD[3]})
    seen = model.recommend(history=[COLD[3]], k=20, new="only", exclude_seen=False)
    assert sorted(seen["item_id"]) == sorted(COLD)
    both = Profiles(
        np.ones((2, model._model.state.user_vectors.shape[1]), np.float32),
        Seen.of([model._model.items.rows([COLD[0]]), model._model.items.rows(["item-1"])]),
    )
    search = NewSearch(model._model, both, np.arange(10), [None, None], 2)
    hits = search(np.array([0, 1]), 20)
    assert np.bincount(hits.query).tolist() == [9, 10]
    assert np.bincount(search(np.array([1]), 20).query).tolist() == [10]


def test_strangers_get_songs_by_their_id(model):
    lists = {
        user: tuple(model.recommend(user, k=4, new=2)["item_id"]) for user in map(str, range(60))
    }
    assert lists["7"] == tuple(model.recommend("7", k=4, new=2)["item_id"])
    popular = {one[:1] for one in lists.values()}
    assert len(popular) == 1  # the most popular song stands first
    shown = pd.Series([item for one in lists.values() for item in one if item in COLD])
    assert len(shown) == 120
    assert shown.nunique() >= len(COLD) - 1
    # The score is the number of users, as in a list of popular songs.
    found = model.recommend("7", k=4, new=2)
    assert (found["score"][found["new"]] == 0).all()
    assert found.attrs["fallback"] == "popular"
    assert model.recommend(history=[], new=2).attrs["fallback"] == "popular"


def test_the_search_may_be_cut_into_blocks(model, monkeypatch):
    whole = model.recommend_many(ALL_USERS[:9], k=6, new=3)
    monkeypatch.setattr(new_songs, "_ENTRIES", 25)
    monkeypatch.setattr(new_songs, "_MOST_KEPT", 0)
    assert model.recommend_many(ALL_USERS[:9], k=6, new=3)["item_id"].equals(whole["item_id"])


def test_without_plays_songs_of_every_kind(tastes):
    dataset, embeddings = tastes
    alone = Recommender(QUICK.replace(fusion={})).fit(
        type(dataset)(items=dataset.items), embeddings=embeddings
    )
    for new in ("only", 2):
        found = alone.recommend("nobody", k=6, new=new)
        assert found["new"].all()
        assert len(found) == 6
    assert "0 known songs are left for 4 places" in found.attrs["new_places"]
    near = alone.recommend(history=["item-3"], k=6, new=0.5)
    assert len(near) == 6
    assert alone.recommend("nobody", new=0).empty


def test_a_screen_of_many_new_songs_leaves_the_best_of_each_user(fit_quickly, monkeypatch):
    rng = np.random.default_rng(0)

    def songs(first, last):
        vectors = rng.standard_normal((last - first, 8)).astype(np.float32)
        made = [Song(f"more-{first + n}", embedding=own) for n, own in enumerate(vectors)]
        return [*made, Song(f"untold-{first}")]

    def check(live, candidates=None):
        new = NewSongs.of(live)
        if candidates is None:
            candidates = np.arange(len(new))
        users = [*ALL_USERS[:25], "late"]
        for user in users:
            profile = live.users.profiles([user], with_seen=True)
            if not profile.vectors.any():
                continue
            search = AdjustedNewSearch(live, profile, candidates, TYPICAL, boost=0.3)
            monkeypatch.setattr(new_songs, "_SCREENED", 10**9)
            whole = search(np.array([0]), 5)
            monkeypatch.setattr(new_songs, "_SCREENED", 100)
            narrowed = search._near(0, 5)
            found = search(np.array([0]), 5)
            assert found.item.tolist() == whole.item.tolist()
            assert found.score == pytest.approx(whole.score, abs=1e-5)
            compared.append(len(narrowed) / len(candidates))

    compared: list[float] = []
    live = fit_quickly().live.with_songs(songs(0, 300))
    check(live)
    assert np.median(compared) < 0.5
    first = NewSongs.of(live).screened.screen
    # Songs come, are played, are onboarded again and go: the same screen tells of the others.
    live = live.with_songs(songs(300, 320)).without_item("more-7")
    live, _ = live.with_plays([Play("late", "more-11", 3.0), Play("late", "more-12", 1.0)])
    live = live.with_songs([Song("more-20", embedding=np.ones(8, np.float32))])
    check(live)
    assert NewSongs.of(live).screened.screen is first
    check(live, np.arange(40, len(NewSongs.of(live))))
    live = live.with_songs(songs(400, 520))
    check(live)
    assert NewSongs.of(live).screened.screen is not first
