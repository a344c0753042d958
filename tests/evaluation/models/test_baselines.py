import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError, NotFittedError, UnknownItemError
from datasets.folder import load_folder
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ranking_metrics
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.splitting.warm import warm_split
from tests.helpers.thorough import times


@pytest.fixture
def dataset(make_dataset):
    """a has 3 listeners, b 2 (and most plays), c 1; d is played 0 times, e by nobody."""
    plays = [("u1", "a"), ("u2", "a"), ("u3", "a"), ("u1", "b", 99.0), ("u2", "b"), ("u3", "c")]
    return make_dataset([*plays, ("u1", "a", 5.0), ("u1", "d", 0.0)], items=["e"])


def listed(frame, user):
    return frame["item_id"][frame["user_id"] == user].tolist()


def test_popularity_counts_listeners(dataset):
    model = Popularity().fit(dataset)
    frame = model.recommend_many(["u1", "u2", "u3", "new"], 3)
    assert listed(frame, "u1")[0] == "c"
    assert listed(frame, "u2")[0] == "c"
    assert listed(frame, "u3")[0] == "b"
    assert listed(frame, "new") == ["a", "b", "c"]
    assert frame["score"][frame["user_id"] == "new"].tolist() == [3, 2, 1]
    assert frame["rank"][frame["user_id"] == "new"].tolist() == [1, 2, 3]
    # A play count of 0 is no listening: d may be recommended.
    assert set(listed(frame, "u1")) == {"c", "d", "e"}


def test_seen_items_and_only(dataset):
    for model in (Popularity().fit(dataset), Random().fit(dataset)):
        assert "a" not in listed(model.recommend_many(["u1"], 9), "u1")
        assert len(model.recommend_many(["u1"], 9, exclude_seen=False)) == 5
        assert set(model.recommend_many(["u1"], 9, only=["e", "a", "c"])["item_id"]) == {"e", "c"}
        assert model.recommend_many([], 3).empty


def test_equal_popularity_is_not_ordered_by_the_catalogue(make_dataset):
    dataset = make_dataset([("u", "z")], items=[f"i{n:02d}" for n in range(40)])
    orders = [
        listed(Popularity(seed).fit(dataset).recommend_many(["v"], 41), "v") for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] == "z"
    assert orders[0][1:] != sorted(orders[0][1:])
    another = listed(Popularity(0).fit(dataset).recommend_many(["w"], 41), "w")
    assert another[0] == "z"
    assert another != orders[0]


def test_onboarded_items_have_no_listeners(dataset):
    new = dataset.drop_items(["a", "b", "c", "d", "e"])
    model = Popularity().fit(dataset.drop_items(["e"]))
    model.onboard_many(dataset.take_items(["e"])).onboard_many(new)
    frame = model.recommend_many(["v"], 9)
    assert sorted(listed(frame, "v")) == ["a", "b", "c", "d", "e"]
    assert frame["score"][frame["item_id"] == "e"].tolist() == [0.0]


def test_the_oracle_knows_the_listeners_of_the_test_side(dataset):
    train = dataset.drop_items(["a"])
    model = PopularityOracle(dataset).fit(train)
    model.onboard_many(dataset.take_items(["a"]))
    assert listed(model.recommend_many(["v"], 1), "v") == ["a"]


def test_random_is_even_and_depends_on_the_user_and_not_on_the_batch(make_dataset):
    dataset = make_dataset([("x", f"i{n}") for n in range(10)])
    model = Random(seed=1).fit(dataset)
    users = [f"u{n}" for n in range(2000)]
    frame = model.recommend_many(users, 3)
    share = frame["item_id"].value_counts(normalize=True)
    assert len(share) == 10
    assert share.between(0.08, 0.12).all()
    assert listed(frame, "u7") == listed(model.recommend_many(["u7"], 3), "u7")
    assert listed(frame, "u7") == listed(model.recommend_many(["u7"], 9), "u7")[:3]
    assert listed(frame, "u7") != listed(frame, "u8")


@pytest.mark.slow
@pytest.mark.parametrize("make", [Popularity, Random])
def test_lists_depend_on_nobody_else_and_on_no_other_item(make, make_dataset, monkeypatch):
    rng = np.random.default_rng(0)
    plays = {(f"u{a}", f"i{b:03d}") for a, b in rng.integers(0, [40, 300], (900, 2))}
    dataset = make_dataset(sorted(plays), items=[f"i{n:03d}" for n in range(320)])
    model = make(seed=2).fit(dataset)
    users = [f"u{n}" for n in range(50)]
    whole = model.recommend_many(users, 320)
    order = {user: listed(whole, user) for user in users}
    monkeypatch.setattr("evaluation.models.baselines._CELLS", 3 * 320)  # three users at once
    backwards = model.recommend_many(users[::-1], 12)
    assert backwards["user_id"].unique().tolist() == users[::-1]
    some = [f"i{n:03d}" for n in range(319, 150, -1)]
    among_some = model.recommend_many(users, 12, only=some)
    for user in users:
        assert listed(backwards, user) == order[user][:12]
        assert listed(among_some, user) == [item for item in order[user] if item in some][:12]


@pytest.mark.slow
@settings(max_examples=times(15, 40))
@given(st.integers(1, 30), st.booleans(), st.integers(0, 3), st.data())
def test_lists_are_full_and_valid(k, exclude_seen, seed, data):
    from datasets.music import MusicDataset

    names = [f"i{n}" for n in range(12)]
    plays = data.draw(
        st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from(names)), min_size=1)
    )
    import pandas as pd

    items = pd.DataFrame({"item_id": names, "title": "", "artist": "", "album": "", "genre": ""})
    frame = pd.DataFrame([(*p, 1.0) for p in plays], columns=["user_id", "item_id", "weight"])
    dataset = MusicDataset(items=items, interactions=frame)
    for model in (Popularity(seed), Random(seed)):
        answer = model.fit(dataset).recommend_many(list("uvw"), k, exclude_seen=exclude_seen)
        for user in "uvw":
            seen = {item for name, item in plays if name == user} if exclude_seen else set()
            found = listed(answer, user)
            assert len(found) == len(set(found)) == min(k, 12 - len(seen))
            assert not set(found) & seen
            scores = answer["score"][answer["user_id"] == user].to_numpy()
            assert (np.diff(scores) <= 0).all()


def test_errors(dataset):
    for model in (Popularity(), Random()):
        with pytest.raises(NotFittedError):
            model.recommend_many(["u1"], 1)
        model.fit(dataset)
        with pytest.raises(InvalidArgumentError, match="k must be a whole number of at least 1"):
            model.recommend_many(["u1"], 0)
        with pytest.raises(UnknownItemError, match="nowhere"):
            model.recommend_many(["u1"], 1, only=["a", "nowhere"])


@pytest.mark.slow
def test_on_real_listening_popularity_is_where_it_is_known_to_be(real_mini):
    dataset = load_folder(real_mini)
    split = warm_split(dataset)
    train = split.training(dataset)
    test = dataset.interactions.iloc[split.test_rows]
    users = sorted(set(test["user_id"]))
    judge = HitEncoder(users, dataset.items["item_id"], test, train.interactions)
    values = {}
    for name, model in (("popularity", Popularity()), ("random", Random())):
        hits = judge.hits(model.fit(train).recommend_many(users, 20), 20)
        values[name] = ranking_metrics(hits, [10, 20])
    # Known: .086 and .114 on items with three or more listeners.
    assert values["popularity"]["ndcg", 10].mean() == pytest.approx(0.085, abs=0.008)
    assert values["popularity"]["recall", 20].mean() == pytest.approx(0.114, abs=0.008)
    # Of 17,600 items 8.7 are relevant, so a place is a hit once in 2,000.
    assert values["random"]["precision", 20].mean() == pytest.approx(8.7 / 17_600, abs=3e-4)
