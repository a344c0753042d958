"""Places for new songs in lists: how many, where they stand, and what holds with every option."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from recsys import Recommender
from recsys.database.catalog import Catalog
from recsys.index import exact
from recsys.index.base import Hits
from recsys.index.screen import Screen
from recsys.model.live import LiveModel
from recsys.new_songs import NewSongCalibration
from recsys.ranking import new_songs, ranking
from recsys.ranking.budget import Path
from recsys.ranking.new_songs import NewSongs
from recsys.ranking.options import ListOptions
from recsys.ranking.places import merged
from tests.helpers.recommenders import ALL_USERS, COLD, IDS, QUICK
from tests.helpers.thorough import times

ARTISTS = ["Ann", "Bo", "", "Cy", "Ann", "Di"]
USERS = st.sampled_from(["user-0", "user-7", "user-31", "user-64", "user-119", "nobody", "other"])


@pytest.fixture(scope="module")
def model(tastes):
    """80 known songs of few artists, ten new ones, three onboarded; not to be changed."""
    dataset, embeddings = tastes
    items = dataset.items.assign(artist=[ARTISTS[n % 6] for n in range(90)])
    model = Recommender(QUICK).fit(
        type(dataset)(items=items, interactions=dataset.interactions), embeddings=embeddings
    )
    for n in range(3):
        vector = embeddings.loc[IDS[n]].to_numpy() + 0.1
        model.onboard(item_id=f"late-{n}", artist="New", embedding=vector)
    return model


NEW = {*COLD, "late-0", "late-1", "late-2"}


def hits(*lists):
    query = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    pairs = [pair for one in lists for pair in one]
    return Hits(
        query,
        np.array([item for item, _ in pairs], np.intp),
        np.array([score for _, score in pairs], np.float32),
    )


def test_new_songs_stand_by_score_but_not_below_their_share():
    new = hits([(90, 0.1), (91, 0.0)], [], [(92, 9.0), (93, 8.5)], [(94, 1.0)])
    known = hits([(n, 9 - n) for n in range(8)], [(5, 1.0)], [(6, 8.7), (7, 8.5), (8, 1.0)], [])
    found = merged(new, known)
    assert found.query.tolist() == [0] * 10 + [1] + [2] * 5 + [3]
    lists = [found.item[found.query == n].tolist() for n in range(4)]
    # Two of ten: the first not below the fifth place, the second not below the tenth.
    assert lists[0] == [0, 1, 2, 3, 90, 4, 5, 6, 7, 91]
    assert lists[1] == [5]
    assert lists[2] == [92, 6, 7, 93, 8]  # equal scores: the known song first
    assert lists[3] == [94]


def test_parts_keep_their_order_where_it_is_not_that_of_scores():
    new, known = hits([(90, 2.0), (91, 7.0)]), hits([(1, 5.0), (2, 9.0), (3, 1.0)])
    assert merged(new, known).item.tolist() == [1, 2, 90, 91, 3]


@given(st.lists(st.tuples(st.lists(st.floats(-3, 3)), st.lists(st.floats(-3, 3))), max_size=5))
def test_of_any_first_places_new_songs_have_their_share(lists):
    new = hits(*([(100 + n, one) for n, one in enumerate(first)] for first, _ in lists))
    known = hits(*([(n, one) for n, one in enumerate(second)] for _, second in lists))
    found = merged(new, known)
    for query, (first, second) in enumerate(lists):
        items = found.item[found.query == query]
        assert items[items >= 100].tolist() == list(range(100, 100 + len(first)))
        assert items[items < 100].tolist() == list(range(len(second)))
        counts = np.cumsum(items >= 100)
        least = np.arange(1, len(items) + 1) * len(first) // max(len(items), 1)
        assert (counts >= least).all()


@pytest.mark.parametrize(
    ("new", "k", "places"),
    [
        ("only", 7, 7), (0, 10, 0), (1, 10, 1), (25, 10, 10), (np.int64(2), 10, 2), (0.0, 10, 0),
        (1.0, 10, 10), (0.25, 10, 3), (0.24, 10, 2), (0.01, 10, 0), (0.05, 10, 1), (0.15, 10, 2),
        (0.35, 10, 4), (np.float32(0.3), 10, 3), (0.29, 100, 29), (None, 10, 0),
    ],
)  # fmt: skip
def test_how_many_places(new, k, places):
    assert ListOptions(k=k, new=new).new_places == places


@pytest.mark.parametrize(
    "new", [True, False, np.True_, -1, 1.5, 3.0, -0.1, math.nan, math.inf, "3", "all", "", [1], {}]
)
def test_what_is_no_number_of_places(model, new):
    for ask in (model.recommend, lambda user, **o: model.recommend_many([user], **o)):
        with pytest.raises(
            InvalidArgumentError, match="new must be 'only', a whole number"
        ) as error:
            ask("user-1", new=new)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("discovery", [-0.1, 1.01, True, "0.1", math.nan])
def test_what_is_no_budget(model, discovery):
    with pytest.raises(InvalidArgumentError, match="discovery must be a number from 0 to 1"):
        model.recommend("user-1", discovery=discovery)


OPTIONS = st.fixed_dictionaries(
    {
        "exclude_seen": st.booleans(),
        "exclude": st.lists(st.sampled_from([*IDS, "late-0"]), max_size=30),
        "only": st.none() | st.lists(st.sampled_from([*IDS, *NEW]), max_size=60),
        "where": st.none() | st.just({"artist": ["ann", "new", ""]}),
        "per_artist": st.none() | st.integers(1, 4),
        "diversity": st.sampled_from([0.0, 0.0, 0.4]),
        "popularity_correction": st.sampled_from([0.0, 0.0, 0.5]),
        "discovery": st.sampled_from([None, 0.0, 0.1, 1.0]),
        "new": st.sampled_from([None, "only", 0, 1, 3, 40, 0.2, 0.5, 1.0]),
    }
)


@settings(max_examples=times(30, 80))
@given(user=USERS, k=st.integers(1, 30), options=OPTIONS, measured=st.booleans())
def test_lists_have_their_places_whatever_else_is_asked(
    model, calibrated, user, k, options, measured
):
    model = calibrated if measured else model
    found = model.recommend(user, k, **options)
    items, live = found["item_id"].tolist(), model._model.items
    assert len(set(items)) == len(items)
    assert found["new"].tolist() == [item in NEW for item in items]
    plain = {name: options[name] for name in ("exclude_seen", "exclude", "only", "where")}
    left = model.recommend(user, 1000, **plain)["item_id"].tolist()
    assert set(items) <= set(left)

    def room(ids):
        """How many of these a list can hold under the cap."""
        artists = [str(one).strip().lower() for one in live.texts("artist", live.rows(ids))]
        cap = options["per_artist"] or 1000
        return artists.count("") + sum(min(cap, artists.count(a)) for a in {*artists} - {""})

    assert room(items) == len(items)  # the cap holds across both kinds
    new, known = [i for i in left if i in NEW], [i for i in left if i not in NEW]
    wanted = ListOptions(k=k, new=options["new"]).new_places
    n_new = int(found["new"].sum())
    if options["new"] is None:
        assert len(items) == min(k, room(left))
    elif options["new"] == "only":
        assert len(items) == n_new == min(k, room(new))
    elif not wanted:
        assert n_new == 0
        assert len(items) == min(k, room(known))
    else:
        assert len(items) == min(k, room(left))  # never short
        assert n_new >= min(wanted, room(new))
        if n_new > wanted:  # known songs have run out
            assert len(items) - n_new < k - wanted
    assert ("new_places" in found.attrs) == (options["new"] is not None and n_new != wanted)
    many = model.recommend_many([user, "user-3", user], k, **options)
    assert many["item_id"].tolist()[: len(items)] == items
    assert many["new"].tolist()[: len(items)] == found["new"].tolist()


@settings(max_examples=15)
@given(
    user=USERS,
    k=st.integers(1, 30),
    budgets=st.lists(st.floats(0, 1), min_size=2, max_size=4),
    measured=st.booleans(),
)
def test_a_larger_budget_never_shows_fewer_new_songs(model, calibrated, user, k, budgets, measured):
    model = calibrated if measured else model
    counts = [
        int(model.recommend(user, k, discovery=budget)["new"].sum()) for budget in sorted(budgets)
    ]
    assert counts == sorted(counts)


def test_the_budget_of_the_fit_changes_nothing(model):
    fitted = model.config.fusion.discovery
    plain = model.recommend_many(ALL_USERS, 7)
    assert model.recommend_many(ALL_USERS, 7, discovery=fitted).equals(plain)
    shares = [model.recommend_many(ALL_USERS, 7, discovery=x)["new"].mean() for x in (0, 0.5, 1)]
    assert shares[0] <= plain["new"].mean() <= shares[1] <= shares[2]
    assert shares[0] < shares[2]


def with_state(base, **info):
    """The same model with other facts about its fit."""
    live = base._model
    other = Recommender(base.config)
    catalog = Catalog.in_memory()
    catalog.fill(live.catalog.songs())
    state = replace(live.state, info={**live.state.info, **info})
    other._model = LiveModel(state, catalog)
    for n in range(3):
        other.onboard(
            item_id=f"late-{n}",
            artist="New",
            embedding=live.items.songs([f"late-{n}"])[0].embedding,
        )
    return other


@pytest.fixture(scope="module")
def calibrated(model):
    """The model with a calibration: new songs count less than their scores say."""
    return with_state(model, new_songs=MEASURED.to_json())


MEASURED = NewSongCalibration(alpha_k=-4.0, beta_k=1.5, alpha_n=-4.5, beta_n=1.2, gamma=0.5)


def test_list_scores_are_on_the_scale_of_known_songs(calibrated):
    live = calibrated._model
    found = calibrated.recommend("user-1", k=93, exclude_seen=False)
    assert found["score"].is_monotonic_decreasing
    plain = calibrated.recommend("user-1", k=93, exclude_seen=False, new=0)
    known = found[~found["new"]]
    assert known["item_id"].tolist() == plain["item_id"].tolist()
    assert known["score"].to_numpy() == pytest.approx(plain["score"].to_numpy(), abs=1e-5)
    new, user = NewSongs.of(live), live.users.vectors(live.users.rows(["user-1"]))[0]
    scores = live.index.vectors(new.rows) @ user
    typical = new.deviation.mean()
    adjusted = scores * typical / np.sqrt((new.deviation**2 + typical**2) / 2)
    expected = pd.Series((-4.5 + 1.2 * adjusted + 4.0) / 1.5, index=live.items.ids(new.rows))
    own = calibrated.recommend("user-1", k=20, new="only", discovery=0.0).set_index("item_id")
    assert own["score"].to_numpy() == pytest.approx(expected[own.index].to_numpy(), abs=2e-3)
    # A budget adds the same to all of them.
    more = calibrated.recommend("user-1", k=20, new="only", discovery=0.9).set_index("item_id")
    raised = more["score"] - own["score"][more.index]
    assert raised.min() > 0
    assert np.ptp(raised) < 1e-4


def test_a_song_of_which_nothing_is_known_has_a_low_score(calibrated, tastes):
    one = with_state(calibrated)
    nothing = pd.DataFrame(
        {"item_id": ["bare"], "title": "", "artist": "", "album": "", "genre": ""}
    )
    one.onboard_many(type(tastes[0])(items=nothing))
    for user in ALL_USERS[:5]:
        found = one.recommend(user, 100, exclude_seen=False)
        assert found["score"].is_monotonic_decreasing
        new = found[found["new"]]
        assert new["item_id"].tolist()[-1] == "bare"
        assert -20 < new["score"].iloc[-1] < 0


def test_every_budget_shows_what_it_pays_for(calibrated):
    fitted = calibrated.config.fusion.discovery
    plain = calibrated.recommend_many(ALL_USERS, 10)
    assert calibrated.recommend_many(ALL_USERS, 10, discovery=fitted).equals(plain)
    shares = [
        calibrated.recommend_many(ALL_USERS, 10, discovery=budget)["new"].mean()
        for budget in (0, fitted, 0.05, 0.2, 1)
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[4] == 1


def test_what_a_budget_buys_is_computed_anew_for_a_tenth_more_new_songs(
    calibrated, monkeypatch, tmp_path
):
    one = with_state(calibrated)
    made = []

    def path(*arguments):
        made.append(arguments)
        return Path(*arguments)

    monkeypatch.setattr("recsys.ranking.ranking.Path", path)
    one.recommend("user-1")
    one.recommend_many(ALL_USERS, new=2)
    assert len(made) == 1
    assert len(made[0][1].new) == len(ALL_USERS)
    vector = one._model.items.songs(["late-0"])[0].embedding
    for n, several in ((0, 2), (1, 3), (2, 4), (3, 4)):  # of 14, 15, 16 and 17: 13, 14, 15 and 15
        one.onboard(item_id=f"later-{n}", embedding=vector)
        one.recommend("user-1")
        assert len(made) == several
    one.save(tmp_path / "model")
    lists = Recommender.load(tmp_path / "model").recommend_many(ALL_USERS, 10, discovery=0.03)
    assert lists["item_id"].equals(one.recommend_many(ALL_USERS, 10, discovery=0.03)["item_id"])


def test_a_model_that_measured_nothing_says_so(model):
    assert "was not measured" in model.recommend("user-1", discovery=0.1).attrs["discovery"]
    assert "was not" in model.recommend_many(["user-1"], discovery=0.1).attrs["discovery"]
    assert "discovery" not in model.recommend("user-1").attrs


def test_lists_of_new_songs_alone_are_in_the_order_of_their_scores(model, calibrated):
    for one in (model, calibrated):
        for options in ({}, {"per_artist": 2}):
            lists = one.recommend_many(ALL_USERS[:30], 8, new="only", **options)
            assert lists.groupby("user_id")["score"].is_monotonic_decreasing.all()


@pytest.mark.parametrize("options", [{}, {"diversity": 0.4}, {"per_artist": 2}])
def test_a_larger_budget_never_shows_fewer_where_nothing_was_measured(model, options):
    users, before = [f"user-{n}" for n in range(0, 120, 3)], None
    for budget in (0.0, 0.005, 0.01, 0.02, 0.3, 1.0):  # 0.01 is that of the fit
        lists = model.recommend_many(users, 10, discovery=budget, **options)
        counts = lists.groupby("user_id", sort=False)["new"].sum()
        assert (lists.groupby("user_id").size() == 10).all()
        assert before is None or (counts >= before).all()
        before = counts


@pytest.mark.parametrize(
    "broken", [{"alpha_k": "x"}, {"beta_n": 0.0}, {"gamma": 2}, {"beta_k": math.nan}]
)
def test_what_is_no_calibration(broken):
    with pytest.raises((TypeError, ValueError)):
        NewSongCalibration.from_json(MEASURED.to_json() | broken)
    with pytest.raises(KeyError):
        NewSongCalibration.from_json({"alpha_k": 1.0})


def test_a_calibration_is_kept_with_the_model(calibrated, tmp_path):
    calibrated.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded._model.state.calibration == MEASURED
    assert loaded.recommend("user-1", 20)["item_id"].equals(
        calibrated.recommend("user-1", 20)["item_id"]
    )
    loaded.rebuild()
    assert loaded._model.state.calibration == MEASURED


def test_too_few_of_either_is_said(model):
    few = model.recommend("user-1", k=30, new=20)
    assert (len(few), few["new"].sum()) == (30, 13)
    assert few.attrs["new_places"] == (
        "13 new songs are left for 20 places; known songs take the other places"
    )
    only = model.recommend("user-1", k=30, new="only")
    assert (len(only), only["new"].all()) == (13, True)
    assert only.attrs["new_places"] == "13 new songs are left for 30 places"
    lists = model.recommend_many(["user-1", "nobody", "user-2"], k=30, new=20)
    assert lists.attrs["new_places"] == (
        "3 of 3 lists have fewer than 20 new songs, as too few new songs are left"
    )
    assert "new_places" not in model.recommend_many(["user-1"], k=30, new=13).attrs
    known = model.recommend("user-1", k=6, new=2, only=[*COLD, "item-1", "item-2"])
    assert len(known) == 6
    assert "1 known song is left for 4 places; new songs take" in known.attrs["new_places"]


def test_an_artist_whose_every_song_is_new(model):
    capped = model.recommend("user-1", k=10, new=5, per_artist=1, where={"artist": "new"})
    assert (len(capped), capped["new"].sum()) == (1, 1)
    both = model.recommend("user-1", k=5, new=2, per_artist=1)
    artists = [one for one in both["artist"] if one]
    assert len(artists) == len(set(artists))
    assert both["new"].sum() == 2


def test_no_new_songs_at_all(tastes):
    dataset, embeddings = tastes
    items = dataset.items.iloc[:80]
    model = Recommender(QUICK).fit(
        type(dataset)(items=items, interactions=dataset.interactions), embeddings.iloc[:80]
    )
    plain = model.recommend("user-1")
    filled = model.recommend("user-1", new=3)
    assert filled["item_id"].tolist() == plain["item_id"].tolist()
    assert filled.attrs["new_places"].startswith("0 new songs are left for 3 places; known")
    assert model.recommend("user-1", new="only").empty
    assert model.recommend("user-1", discovery=1.0)["item_id"].equals(plain["item_id"])
    assert model.recommend_many([], new=2).empty


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_every_index_finds_the_same(tastes, model, method):
    dataset, embeddings = tastes
    config = QUICK.replace(retrieval={"method": method, "target_recall": 1.0})
    items = dataset.items.assign(artist=[ARTISTS[n % 6] for n in range(90)])
    other = Recommender(config).fit(
        type(dataset)(items=items, interactions=dataset.interactions), embeddings=embeddings
    )
    for n in range(3):
        vector = embeddings.loc[IDS[n]].to_numpy() + 0.1
        other.onboard(item_id=f"late-{n}", artist="New", embedding=vector)
    for options in ({"new": 3}, {"discovery": 0.5}, {"new": "only"}, {"new": 0}):
        found = other.recommend_many(ALL_USERS[:20], 8, **options)
        expected = model.recommend_many(ALL_USERS[:20], 8, **options)
        assert found["item_id"].equals(expected["item_id"])


def test_files_and_batches_have_the_same(model, tmp_path):
    options = {"new": 3, "discovery": 0.2, "per_artist": 2}
    whole = model.recommend_many(ALL_USERS, 8, **options)
    report = model.write_recommendations(tmp_path / "a.parquet", k=8, batch_size=50, **options)
    assert (report.new_rows, report.other_places) == (int(whole["new"].sum()), 0)
    found = pd.read_parquet(tmp_path / "a.parquet").set_index(["user_id", "rank"]).sort_index()
    expected = whole.set_index(["user_id", "rank"]).sort_index()
    assert found["item_id"].equals(expected["item_id"])
    assert found["new"].equals(expected["new"])
    batches = list(model.recommend_batches(ALL_USERS, 8, batch_size=40, **options))
    assert pd.concat(batches, ignore_index=True)["item_id"].equals(whole["item_id"])
    few = model.write_recommendations(tmp_path / "b.parquet", k=30, new=20)
    assert (few.other_places, few.new_rows) == (120, 120 * 13)
    assert "other_places" in few.to_dict()


def test_new_songs_are_explained(model):
    found = model.recommend("user-1", k=6, new=3)
    shares = found.filter(like="share_").sum(axis=1)
    assert shares.to_numpy() == pytest.approx(np.ones(6))
    for item, score in found[found["new"]][["item_id", "score"]].itertuples(index=False):
        why = model.explain("user-1", item)
        assert why.cold
        assert why.score == pytest.approx(score, abs=1e-5)


def test_a_saved_model_has_what_its_first_lists_need(calibrated, tmp_path, monkeypatch):
    monkeypatch.setattr(new_songs, "_SCREENED", 5)
    monkeypatch.setattr(exact, "_LEAST_SCREENED", 20)
    monkeypatch.setattr(exact, "WIDTHS", (2, 4))

    def lists(model):
        options = {}, {"discovery": 0.5}, {"new": 1}
        return [
            model.recommend(user, 2, **one).to_dict() for user in ALL_USERS[:5] for one in options
        ]

    catalog, model = Catalog.in_memory(), Recommender(calibrated.config)
    songs = calibrated.live.catalog.songs()
    catalog.fill(song for song in songs if not song.item_id.startswith("late"))
    model._model = LiveModel(calibrated.live.state, catalog)
    expected = lists(model)
    model.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    with monkeypatch.context() as patched:
        for place, name in ((new_songs, "_levels"), (Screen, "of"), (ranking, "_known_of_the_fit")):
            patched.setattr(place, name, lambda *given: pytest.fail("computed again"))
        assert lists(loaded) == expected
    # What is not of this model, or was saved by an earlier version, is computed as before.
    live, saved = loaded.live, dict(loaded.live.prepared)
    names = {"new_level_mean", "new_screen_near", "screen_near", "sampled_known"}
    assert names < set(saved)
    cut = {name: array[:-1] for name, array in saved.items()}
    odd = {name: np.zeros(array.shape, "<U1") for name, array in saved.items()}
    for arrays in ({}, cut, odd, *({**saved, name: cut[name]} for name in saved)):
        loaded._model = LiveModel(live.state, live.catalog, prepared=arrays)
        assert lists(loaded) == expected
