"""Onboarding: recommendable at once, replaced when onboarded again, refused where it cannot be."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ColdtuneError, DataError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset
from recsys import Recommender
from tests.helpers.recommenders import COLD, QUICK, taste_of

pytestmark = pytest.mark.slow

JAZZ = np.eye(8, dtype=np.float32)[1]
"""The direction of taste 1 in the embeddings of the small data."""

JAZZ_USERS = [f"user-{n}" for n in range(1, 120, 3)]
ROCK_USERS = [f"user-{n}" for n in range(0, 120, 3)]


@pytest.fixture
def model(fit_quickly):
    return fit_quickly()


def new_items(**columns):
    n = len(next(iter(columns.values())))
    table = {
        "item_id": [f"new-{i}" for i in range(n)],
        "title": "",
        "artist": "",
        "album": "",
        "genre": "",
    }
    return MusicDataset(items=pd.DataFrame(table | columns))


def check_jazz_is_new_0_and_rock_is_new_1(model):
    for users, item in ((JAZZ_USERS, "new-0"), (ROCK_USERS, "new-1")):
        lists = model.recommend_many(users, k=1, only=["new-0", "new-1"])
        assert (lists["item_id"] == item).mean() > 0.9


# ------------------------------------------------------------------ one item


def test_recommendable_at_once_to_whom_it_suits(model):
    told = model.onboard(item_id="new", title="So What", artist="Miles", embedding=JAZZ)
    assert told[:3] == ("new", None, None)
    assert told.familiarity > 0.5
    # Three cold items are of each group's taste; for the one group the new item is a fourth.
    for users, k, least, most in ((JAZZ_USERS, 4, 38, 40), (ROCK_USERS, 3, 0, 2)):
        lists = model.recommend_many(users, k=k, only=[*COLD, "new"])
        assert least <= (lists["item_id"] == "new").sum() <= most
    row = model.recommend("user-1", only=["new"]).iloc[0]
    assert row[["item_id", "title", "artist", "genre"]].tolist() == ["new", "So What", "Miles", ""]
    assert row["cold"] == True  # noqa: E712
    assert row.filter(like="share_").sum() == pytest.approx(1)
    assert model.info["onboarded"] == 1


def test_scores_are_those_of_an_item_that_was_there_at_the_fit(tastes, model):
    # A twin of a cold item: same embedding, same texts (the model knows its genre).
    dataset, embeddings = tastes
    twin = dataset.items.set_index("item_id").loc["cold-85"]
    model.onboard(item_id="twin", embedding=embeddings.loc["cold-85"], **twin.to_dict())
    pair = model.recommend("user-3", only=["twin", "cold-85"]).set_index("item_id")
    assert pair.loc["twin", "score"] == pytest.approx(pair.loc["cold-85", "score"], abs=1e-5)
    shares = pair.filter(like="share_").to_numpy()
    assert shares[0] == pytest.approx(shares[1], abs=1e-5)


def test_lists_grow_by_the_new_item(model):
    before = model.recommend("user-1", k=200)
    model.onboard(item_id="new", embedding=JAZZ)
    after = model.recommend("user-1", k=200)
    assert len(after) == len(before) + 1
    without = after[after["item_id"] != "new"]
    assert without["item_id"].tolist() == before["item_id"].tolist()
    assert "new" not in set(model.recommend("user-1", k=200, exclude=["new"])["item_id"])


def test_similar_finds_it_and_from_it(model):
    model.onboard(item_id="new", embedding=JAZZ)
    for by in ("sound", "taste", "fused"):
        found = model.similar("new", k=10, by=by)
        assert np.mean(taste_of(found["item_id"]) == 1) >= 0.9
        everything = model.similar(found["item_id"][0], k=90, by=by)
        assert len(everything) == 90
        assert "new" in set(everything["item_id"][:40])


def test_a_history_may_hold_it(model):
    model.onboard(item_id="new", embedding=JAZZ)
    found = model.recommend(history=["new"], k=90)
    assert "new" not in set(found["item_id"])
    assert np.mean(taste_of(found["item_id"][:10]) == 1) >= 0.9
    assert "new" in set(model.recommend(history=["new"], k=91, exclude_seen=False)["item_id"])


def test_it_comes_to_users_nothing_is_known_of_after_all_others(model):
    model.onboard(item_id="new", embedding=JAZZ)
    found = model.recommend("nobody", k=200)
    assert found.attrs["fallback"] == "popular"
    assert len(found) == 91
    assert "new" in set(found["item_id"][80:])


def test_texts_help_to_place_it(tastes):
    # Fitted without embeddings, only the genre says who will like it.
    deaf = Recommender(QUICK).fit(tastes[0])
    deaf.onboard_many(new_items(genre=["jazz", "rock"]))
    check_jazz_is_new_0_and_rock_is_new_1(deaf)


def test_onboarding_again_replaces(model):
    model.onboard(item_id="new", title="Old", embedding=np.eye(8)[0])
    score = model.recommend("user-1", only=["new"])["score"].item()
    model.onboard(item_id="new", title="New", embedding=JAZZ)
    found = model.recommend("user-1", k=200)
    assert (found["item_id"] == "new").sum() == 1
    assert found.loc[found["item_id"] == "new", "title"].tolist() == ["New"]
    assert model.recommend("user-1", only=["new"])["score"].item() > score
    assert (model.recommend("nobody", k=200)["item_id"] == "new").sum() == 1
    for by in ("sound", "taste", "fused"):
        assert (model.similar("item-1", k=200, by=by)["item_id"] == "new").sum() == 1
        assert "new" not in set(model.similar("new", k=200, by=by)["item_id"])
    assert model.info["onboarded"] == 1


def test_an_item_of_the_fit_that_nobody_played_can_be_replaced(model):
    assert model.recommend("user-1", k=3, only=COLD)["item_id"].tolist().count("cold-80") == 0
    model.onboard(item_id="cold-80", title="Another take", embedding=JAZZ)
    found = model.recommend("user-1", k=200)
    assert len(found) == 76
    own = found[found["item_id"] == "cold-80"]
    assert own["title"].tolist() == ["Another take"]
    assert own["rank"].item() < 25
    assert model.recommend("user-1", exclude=["cold-80"], k=200)["item_id"].nunique() == 75


def test_many_one_after_the_other_under_annoy(fit_quickly):
    model = fit_quickly(retrieval={"method": "annoy", "n_trees": 5})
    for number in range(12):
        model.onboard(item_id=f"new-{number % 6}", embedding=np.eye(8)[number % 3])
    found = model.recommend("user-1", k=200)
    assert len(found) == 76 + 6
    assert found["item_id"].is_unique
    assert found["score"].is_monotonic_decreasing


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"item_id": "item-1"}, "'item-1' has listeners already"),
        ({"item_id": " "}, "item_id is blank"),
        ({"item_id": None}, r"item_id is missing \(None\)"),
        ({"item_id": 5.0}, r"item_id must be a text or a whole number, not 5\.0 \(float\)"),
        ({"title": None}, "title of item 'new' must be a text, not None"),
        ({"tags": {"year": 1999}}, "year of item 'new' must be a text, not 1999"),
        ({"embedding": JAZZ[:7]}, r"'new': has shape \(7,\), the model's have \(8,\)"),
        ({"embedding": JAZZ[None]}, r"'new': has shape \(1, 8\)"),
        ({"embedding": 1.0}, r"'new': has shape \(\)"),
        ({"embedding": [np.nan] * 8}, "'new': has a value that is not a finite number"),
        ({"embedding": [1e300] * 8}, "'new': has a value that is not a finite number"),
        ({"embedding": ["loud"] * 8}, "'new': is not numeric"),
        ({"embedding": [[1], [1, 2]]}, "'new': is not numeric"),
        ({"embedding": None}, "give a recording or an embedding, one of them"),
        ({"recording": "a.mp3"}, "give a recording or an embedding, one of them"),
        (
            {"recording": "a.mp3", "embedding": None},
            "without recordings .* onboard with embedding=",
        ),
    ],
)
def test_refused_and_nothing_is_added(model, arguments, message):
    before = model.recommend("user-1", k=200)
    with pytest.raises(InvalidArgumentError, match=message) as raised:
        model.onboard(**{"item_id": "new", "embedding": JAZZ} | arguments)
    assert isinstance(raised.value, ColdtuneError)
    assert "\n" not in str(raised.value)
    pd.testing.assert_frame_equal(model.recommend("user-1", k=200), before)
    assert model.info["onboarded"] == 0
    with pytest.raises(UnknownItemError):
        model.similar("new")


# ------------------------------------------------------------------ many items


def test_items_of_a_data_set(model):
    dataset = new_items(title=["A", "B", "C"], artist=["X", "Y", "Z"], genre=["", "", "jazz"])
    embeddings = pd.DataFrame([JAZZ, np.eye(8)[0]], index=["new-1", "new-0"])
    report = model.onboard_many(dataset, embeddings=embeddings)
    assert report[["item_id", "status"]].to_dict("list") == {
        "item_id": ["new-0", "new-1", "new-2"],
        "status": ["heard", "heard", "metadata only"],
    }
    assert report["familiarity"].between(0, 1).tolist() == [True, True, False]  # NaN: not heard
    assert report.attrs["recordings_left_out"] == []
    lists = model.recommend_many(JAZZ_USERS, k=3, only=["new-0", "new-1", "new-2"])
    assert len(lists) == 3 * len(JAZZ_USERS)
    first = lists[lists["rank"] == 1]["item_id"]
    last = lists[lists["rank"] == 3]["item_id"]
    assert (first == "new-0").mean() < 0.1
    assert (last == "new-0").mean() > 0.9  # taste 0, and a jazz listener's last choice
    assert model.similar("new-2", by="taste")["title"].notna().all()
    with pytest.raises(InvalidArgumentError, match="item 'new-2' has no recording or embedding"):
        model.similar("new-2", by="sound")


def test_one_by_one_or_all_at_once_is_the_same(fit_quickly):
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.random((4, 8), np.float32), index=[f"new-{n}" for n in range(4)])
    dataset = new_items(genre=["jazz", "", "rock", "unheard of"])
    together, apart = fit_quickly(), fit_quickly()
    together.onboard_many(dataset, embeddings=vectors)
    for row in dataset.items.itertuples():
        apart.onboard(item_id=row.item_id, genre=row.genre, embedding=vectors.loc[row.item_id])
    one, two = (model.recommend_many(JAZZ_USERS, k=95) for model in (together, apart))
    assert one["item_id"].tolist() == two["item_id"].tolist()
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-5)


def test_tags_help_as_in_the_fit(tastes):
    dataset, _ = tastes
    moods = dataset.items["genre"].map({"rock": "loud", "jazz": "soft", "pop": "sweet"})
    tagged = MusicDataset(
        items=dataset.items.assign(genre="", artist="", mood=moods),
        interactions=dataset.interactions,
    )
    model = Recommender(QUICK).fit(tagged)
    model.onboard_many(new_items(mood=["soft", "loud"]))
    check_jazz_is_new_0_and_rock_is_new_1(model)


def test_interactions_and_embeddings_of_others_are_not_looked_at(model, tastes):
    dataset = MusicDataset(
        items=new_items(genre=["jazz"]).items,
        interactions=pd.DataFrame(
            [("user-1", "new-0", 5.0)], columns=["user_id", "item_id", "weight"]
        ),
    )
    embeddings = pd.concat([tastes[1], pd.DataFrame([JAZZ], index=["new-0"])])
    model.onboard_many(dataset, embeddings=embeddings)
    assert model.recommend("user-1", only=["new-0"])["cold"].tolist() == [True]
    assert model.info["onboarded"] == 1


@pytest.mark.parametrize(
    ("embeddings", "error", "message"),
    [
        (pd.DataFrame([["x"] * 8], index=["new-1"]), DataError, "every column must be numeric"),
        (pd.DataFrame([[np.nan] * 8], index=["new-1"]), DataError, "item 'new-1' has a value"),
        (pd.DataFrame([JAZZ] * 2, index=["new-1"] * 2), DataError, "'new-1' has more than one row"),
        (np.ones((2, 8)), DataError, "must be a DataFrame"),
        (
            pd.DataFrame([JAZZ[:7]], index=["new-1"]),
            InvalidArgumentError,
            r"'new-1': has shape \(7,\)",
        ),
    ],
)
def test_all_or_none_are_added(model, embeddings, error, message):
    with pytest.raises(error, match=message):
        model.onboard_many(new_items(genre=["jazz", "rock"]), embeddings=embeddings)
    assert model.info["onboarded"] == 0
    with pytest.raises(UnknownItemError):
        model.recommend("user-1", only=["new-0"])


def test_an_item_with_listeners_among_others_stops_all(model, tastes):
    with pytest.raises(InvalidArgumentError, match="item 'item-0' has listeners already"):
        model.onboard_many(tastes[0])
    assert model.info["onboarded"] == 0


def test_a_data_set_of_no_items(model):
    report = model.onboard_many(new_items(genre=["jazz"]).take_items([]))
    assert report.empty
    assert list(report.columns) == ["item_id", "status", "familiarity"]
    assert model.info["onboarded"] == 0
