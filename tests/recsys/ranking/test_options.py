"""Filters and knobs of a list, every combination against brute force on a small model."""

import inspect
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.ranking.options import ListArguments, ListOptions
from recsys.ranking.similarity import unit_vectors
from tests.helpers.recommenders import COLD, IDS, QUICK
from tests.helpers.thorough import times

USERS = st.sampled_from([*(f"user-{n}" for n in range(0, 120, 7)), "nobody"])
ARTISTS = ["Ann", "ann ", " ANN", "Bo", "bo", "", " ", "Cy", "Ann", "Di"]
MOODS = ["calm", "Wild", ""]


@pytest.fixture(scope="module")
def model(tastes):
    """Few artists, spelt in several ways; some items silent, some onboarded, some replaced."""
    dataset, embeddings = tastes
    items = dataset.items.assign(
        artist=[ARTISTS[n % 10] for n in range(90)], mood=[MOODS[n % 7 % 3] for n in range(90)]
    )
    silent = [IDS[n] for n in range(0, 90, 9)]
    model = Recommender(QUICK).fit(
        MusicDataset(items=items, interactions=dataset.interactions),
        embeddings=embeddings.drop(index=silent),
    )
    rng = np.random.default_rng(0)
    for n, item in enumerate(["new-0", "new-1", "new-2", "cold-83", "new-1"]):
        vector = embeddings.loc[IDS[n]] + 0.2 * rng.standard_normal(8)
        tags = {"mood": "wild"} if n % 2 else {}
        model.onboard(
            item_id=item, artist=["bo", "ANN", "New"][n % 3], genre="Jazz", tags=tags,
            embedding=vector,
        )  # fmt: skip
    return model


class Brute:
    """What a list should be, one item at a time, from the scores of a list without filters."""

    def __init__(self, model, dataset):
        library = model._model
        self.model = model
        frame = model.recommend("user-0", k=1000, exclude_seen=False)
        ids = frame["item_id"].tolist()
        rows = library.items.rows(ids)
        texts = {name: library.items.texts(name, rows) for name in ("artist", "genre", "mood")}
        self.texts = {
            item: {name: str(texts[name][n]).strip().lower() for name in texts}
            for n, item in enumerate(ids)
        }
        sound, fused = unit_vectors(library, "sound"), unit_vectors(library, "fused")
        self.sound = dict(zip(ids, sound[rows], strict=True))
        self.fused = dict(zip(ids, fused[rows], strict=True))
        plays = dataset.interactions
        self.listeners = plays.groupby("item_id")["user_id"].nunique().to_dict()
        self.played = plays.groupby("user_id")["item_id"].agg(set).to_dict()

    def alike(self, one, other):
        heard = self.sound[one].any() and self.sound[other].any()
        vectors = self.sound if heard else self.fused
        return float(vectors[one] @ vectors[other])

    def eligible(self, user, exclude_seen, exclude, only, where):
        full = self.model.recommend(user, k=1000, exclude_seen=False)
        hidden = set(exclude) | (self.played.get(user, set()) if exclude_seen else set())
        return {
            item: score
            for item, score in zip(full["item_id"], full["score"], strict=True)
            if item not in hidden
            and (only is None or item in only)
            and all(
                self.texts[item][column] in {value.strip().lower() for value in values}
                for column, values in (where or {}).items()
            )
        }

    def capped(self, items, per_artist):
        """How many of these items a list can hold."""
        artists = [self.texts[item]["artist"] for item in items]
        none = artists.count("")
        return none + sum(min(per_artist, artists.count(one)) for one in {*artists} - {""})

    def pick(self, scores, k, per_artist, diversity, correction):
        """The list chosen from a pool of scored items, best first."""
        ids = list(scores)
        if not ids:
            return []
        relevance = {item: float(scores[item]) for item in ids}
        if correction:
            z = standardised(list(relevance.values()))
            popular = standardised([math.log1p(self.listeners.get(item, 0)) for item in ids])
            relevance = {i: a - correction * b for i, a, b in zip(ids, z, popular, strict=True)}
            ids.sort(key=lambda item: -relevance[item])
        low, high = min(relevance.values()), max(relevance.values())
        chosen = []
        while len(chosen) < k and ids:

            def value(item):
                own = (relevance[item] - low) / (high - low) if high > low else 0
                most = max((self.alike(item, other) for other in chosen), default=0)
                return (1 - diversity) * own - diversity * most if diversity else relevance[item]

            best = max(ids, key=value)
            chosen.append(best)
            ids.remove(best)
            artist = self.texts[best]["artist"]
            same = sum(self.texts[other]["artist"] == artist for other in chosen)
            if per_artist and artist and same >= per_artist:
                ids = [item for item in ids if self.texts[item]["artist"] != artist]
        return chosen


def standardised(values):
    mean, deviation = np.mean(values), np.std(values)
    return [(value - mean) / deviation if deviation > 1e-9 else 0 for value in values]


@pytest.fixture(scope="module")
def brute(model, tastes):
    return Brute(model, tastes[0])


OPTIONS = st.fixed_dictionaries(
    {
        "exclude_seen": st.booleans(),
        "exclude": st.lists(st.sampled_from([*IDS, "new-0"]), max_size=30),
        "only": st.none() | st.lists(st.sampled_from([*IDS, "new-0", "new-1"]), max_size=60),
        "where": st.none()
        | st.dictionaries(
            st.sampled_from(["artist", "genre", "mood"]),
            st.lists(
                st.sampled_from(["ann", " Bo", "", "jazz", "ROCK", "wild", "calm", "none"]),
                min_size=1,
                max_size=5,
            ),
            max_size=2,
        ),
        "per_artist": st.none() | st.integers(1, 4),
        "diversity": st.sampled_from([0.0, 0.0, 0.3, 0.8, 1.0]),
        "popularity_correction": st.sampled_from([0.0, 0.0, 0.4, 1.0]),
    }
)


@pytest.mark.slow
@settings(max_examples=times(40, 120))
@given(user=USERS, k=st.integers(1, 40), options=OPTIONS, small=st.booleans())
def test_every_combination_is_what_brute_force_gives(model, brute, user, k, options, small):
    with pytest.MonkeyPatch.context() as patch:
        if small:  # pools that do not hold the whole catalogue, and grow where a cap needs it
            patch.setattr("recsys.ranking.options._LEAST_POOL", 4)
            patch.setattr("recsys.ranking.options._POOL", 1)
        found = model.recommend(user, k, **options)
    names = ("exclude_seen", "exclude", "only", "where")
    scores = brute.eligible(user, **{name: options[name] for name in names})
    per_artist, diversity = options["per_artist"], options["diversity"]
    correction = 0 if user == "nobody" else options["popularity_correction"]
    size = len(scores)
    if diversity or correction:
        size = max(4, k) if small else max(100, 10 * k)
        while per_artist and size < len(scores):
            pool = list(scores)[:size]
            if brute.capped(pool, per_artist) >= k:
                break
            size *= 4
    pool = dict(list(scores.items())[:size])
    assert found["item_id"].tolist() == brute.pick(pool, k, per_artist, diversity, correction)
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    expected = [scores[item] for item in found["item_id"]]
    assert found["score"].to_numpy() == pytest.approx(np.array(expected), abs=1e-5)
    room = brute.capped(scores, per_artist) if per_artist else len(scores)
    assert len(found) == min(k, room)  # never short while enough items are eligible


@pytest.mark.slow
@settings(max_examples=30)
@given(
    users=st.lists(USERS, max_size=8),
    k=st.integers(1, 20),
    options=OPTIONS,
    at_once=st.sampled_from([1, 250, 1_000_000]),
)
def test_many_users_get_what_each_gets_alone(model, users, k, options, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys.ranking.reranking._MOST_CANDIDATES", at_once)
        many = model.recommend_many(users, k, **options)
    alone = [model.recommend(user, k, **options)["item_id"].tolist() for user in users]
    assert many["item_id"].tolist() == [item for one in alone for item in one]
    assert many["rank"].tolist() == [n for one in alone for n in range(1, len(one) + 1)]


def test_replaced_items_have_the_texts_they_were_given_last(model):
    everything = model.recommend("user-1", k=1000, exclude_seen=False)["item_id"].tolist()
    assert len(everything) == len(set(everything)) == 93
    jazz = model.recommend("user-1", k=1000, exclude_seen=False, where={"genre": "jazz"})
    assert {"new-0", "new-1", "new-2", "cold-83"} <= set(jazz["item_id"])
    new = model.recommend("user-1", k=1000, where={"artist": "new"})
    assert new["item_id"].tolist() == ["new-2"]
    late = model.recommend("user-1", k=1000, where={"artist": ["ann", "bo"], "genre": "jazz"})
    assert {"new-0", "new-1", "cold-83"} <= set(late["item_id"])


def test_an_item_onboarded_later_is_found_by_its_texts(fit_quickly):
    model = fit_quickly()
    assert model.recommend("user-1", where={"artist": "later"}).empty
    model.onboard(item_id="late", artist="Later", embedding=np.ones(8))
    assert model.recommend("user-1", where={"artist": "later"})["item_id"].tolist() == ["late"]


@pytest.mark.slow
def test_what_was_played_or_removed_since_the_fit_keeps_to_the_filters(fit_quickly):
    model = fit_quickly()
    jazz = {"genre": "jazz", "artist": ["artist 2", "late"]}  # by Artist 2: item-4, item-5
    model.onboard(item_id="new", artist="Late", genre="jazz", embedding=np.ones(8))
    plays = [("user-3", "new"), ("nobody", "item-4"), ("user-0", "item-4")]
    model.update(pd.DataFrame(plays, columns=["user_id", "item_id"]).assign(weight=3.0))
    for user in ("user-1", "nobody", "not even that"):
        found = model.recommend(user, k=90, exclude_seen=False, where=jazz, diversity=0.5)
        assert sorted(found["item_id"]) == ["item-4", "new"]
    assert model.recommend("nobody", where=jazz)["item_id"].tolist() == ["new"]
    model.remove("item-4")
    found = model.recommend("user-1", k=90, exclude_seen=False, where=jazz, per_artist=1)
    assert found["item_id"].tolist() == ["new"]


def test_nothing_asked_for_is_what_there_was_before(model, monkeypatch):
    monkeypatch.setattr(
        "recsys.ranking.ranking.search_and_rerank", None
    )  # nothing is reordered at no one's wish
    plain = model.recommend("user-1", k=20)
    zero = model.recommend(
        "user-1", k=20, where={}, per_artist=None, diversity=0, popularity_correction=0
    )
    assert plain.equals(zero)
    monkeypatch.undo()
    assert model.recommend("user-1", k=20, per_artist=1000).equals(plain)


@pytest.mark.slow
def test_a_number_in_place_of_a_text_means_its_digits(model, tastes):
    dataset, embeddings = tastes
    items = dataset.items.assign(year=["1999" if n % 2 else "2001" for n in range(90)])
    dated = Recommender(QUICK).fit(
        MusicDataset(items=items, interactions=dataset.interactions), embeddings=embeddings
    )
    found = dated.recommend("user-1", k=90, exclude_seen=False, where={"year": 1999})
    assert sorted(found["item_id"]) == sorted(IDS[1::2])


def test_the_knobs_do_what_they_say(model):
    plain = model.recommend("user-1", k=10)
    corrected = model.recommend("user-1", k=10, popularity_correction=1.0)
    listeners = model._model.state.user_counts
    mean = [
        listeners[model._model.state.item_ids.get_indexer(frame["item_id"])].mean()
        for frame in (plain[~plain["cold"]], corrected[~corrected["cold"]])
    ]
    assert corrected["cold"].sum() >= plain["cold"].sum()
    assert set(COLD) & set(corrected["item_id"]) or mean[1] < mean[0]
    varied = model.recommend("user-1", k=10, diversity=0.9)
    assert varied["item_id"][0] == plain["item_id"][0]
    assert varied["genre"].nunique() > plain["genre"].nunique()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_artist": 0}, "per_artist must be a whole number of at least 1, not 0"),
        ({"per_artist": True}, "per_artist must be a whole number of at least 1, not True"),
        ({"per_artist": 1.5}, "per_artist must be a whole number of at least 1, not 1.5"),
        ({"diversity": 1.1}, "diversity must be a number from 0 to 1, not 1.1"),
        ({"diversity": math.nan}, "diversity must be a number from 0 to 1, not nan"),
        ({"diversity": "much"}, "diversity must be a number from 0 to 1, not 'much'"),
        (
            {"popularity_correction": -0.1},
            "popularity_correction must be a number from 0 to 1, not -0.1",
        ),
        ({"where": {"colour": "red"}}, "items have no column 'colour'; there are: item_id"),
        ({"where": {"genre": None}}, "where: values of 'genre' must be texts, not None"),
        ({"where": {"genre": ["jazz", 1.5]}}, "where: values of 'genre' must be texts, not 1.5"),
        ({"where": "genre=jazz"}, "where must be columns with their values, not 'genre=jazz'"),
    ],
)
def test_what_cannot_work_is_one_clear_error(model, options, message):
    for ask in (
        lambda: model.recommend("user-1", **options),
        lambda: model.recommend_many(["user-1"], **options),
    ):
        with pytest.raises(InvalidArgumentError) as error:
            ask()
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_tags_that_only_later_items_have(fit_quickly, tmp_path):
    model = fit_quickly()
    with pytest.raises(
        InvalidArgumentError, match=r"no column 'mood'; there are: item_id, .*genre$"
    ):
        model.recommend("user-1", where={"mood": "calm"})
    model.onboard(item_id="calm", embedding=np.eye(8)[0], tags={"mood": "Calm"})
    model.onboard(item_id="loud", embedding=np.eye(8)[1], tags={"mood": "loud", "key": "c"})
    model.save(tmp_path / "model")
    model.update(pd.DataFrame({"user_id": ["user-2"], "item_id": ["loud"], "weight": [1.0]}))
    loaded = Recommender.load(tmp_path / "model")
    rebuilt = Recommender.load(tmp_path / "model")
    rebuilt.rebuild()
    for one in (model, loaded, rebuilt):
        calm = one.recommend("user-1", where={"mood": "calm"})
        assert calm["item_id"].tolist() == ["calm"]
        assert one.recommend("user-1", where={"mood": "LOUD", "key": "c"})["item_id"].tolist() == [
            "loud"
        ]
        assert len(one.recommend("user-1", 200, where={"mood": ""}, exclude_seen=False)) == 90
        with pytest.raises(InvalidArgumentError, match=r"genre, key, mood$"):
            one.recommend("user-1", where={"tempo": "fast"})
    assert loaded.explain(None, "loud", history=["calm"]).common == ()
    rebuilt.onboard(item_id="calmer", embedding=np.eye(8)[0], tags={"mood": "Calm"})
    assert [one.value for one in rebuilt.explain(None, "calmer", history=["calm"]).common] == [
        "Calm"
    ]


@pytest.mark.parametrize(
    "name", ["recommend", "recommend_many", "recommend_batches", "write_recommendations"]
)
def test_signatures_name_every_option_with_its_default(name):
    shown = inspect.signature(getattr(Recommender, name)).parameters
    assert shown["k"].default == ListOptions().k
    for option in ListArguments.__annotations__:
        assert shown[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown[option].default == getattr(ListOptions, option)
    assert not any(one.kind is one.VAR_KEYWORD for one in shown.values())


def test_an_unknown_option_is_an_error_and_ids_may_come_from_a_generator(model):
    with pytest.raises(TypeError, match="colour"):
        model.recommend("user-1", colour="red")
    few = model.recommend("user-1", only=(item for item in IDS[:5]), exclude=iter([IDS[0]]))
    assert set(few["item_id"]) <= set(IDS[1:5])
