"""Ids in the two forms of Unicode are one in the data, the embeddings and every call of a model."""

import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataWarning, UnknownItemError
from datasets.music import MusicDataset
from recsys import Recommender
from tests.helpers.recommenders import QUICK

ITEMS = [f"s\u00f4ng {n}" for n in range(16)]
USERS = [f"us\u00e9r {n}" for n in range(24)]


def other(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(0)
    rows = [
        (user, item, float(random.integers(1, 9)))
        for user in USERS
        for item in random.choice(ITEMS[:15], 5, replace=False)
    ]
    items = pd.DataFrame({"item_id": ITEMS}).assign(
        title="T", artist="", album="", genre=["jazz", "rock"] * 8
    )
    return items, pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])


def vectors(ids: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(size=(16, 4)), index=ids)


@pytest.fixture(scope="module")
def model() -> Recommender:
    items, plays = tables()
    return Recommender(QUICK).fit(MusicDataset(items, None, plays), embeddings=vectors(ITEMS))


@pytest.fixture
def told() -> Iterator[list[Any]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def messages(told: list[Any]) -> list[str]:
    return [str(one.message) for one in told if issubclass(one.category, DataWarning)]


def test_every_question_takes_either_form(model: Recommender, told: list[Any]) -> None:
    user, item = USERS[3], ITEMS[3]
    pairs = [
        (model.recommend(other(user)), model.recommend(user)),
        (
            model.recommend(user, only=[other(item), ITEMS[4]], exclude_seen=False),
            model.recommend(user, only=[item, ITEMS[4]], exclude_seen=False),
        ),
        (model.recommend(user, exclude=[other(item)]), model.recommend(user, exclude=[item])),
        (model.recommend(history={other(item): 2.0}), model.recommend(history={item: 2.0})),
        (model.similar(other(item)), model.similar(item)),
    ]
    for found, expected in pairs:
        pd.testing.assert_frame_equal(found, expected)
        assert found.attrs == expected.attrs == {}
    many = model.recommend_many([other(user), USERS[4]], 3)
    assert many["user_id"].unique().tolist() == [other(user), USERS[4]]  # as they were asked for
    assert not many.attrs
    assert model.explain(other(user), other(item)).shares == model.explain(user, item).shares
    assert len(messages(told)) == 8
    assert messages(told)[0].startswith("users: ids are taken for the same text in another Unicode")


def test_known_ids_and_strangers_are_without_a_word(model: Recommender, told: list[Any]) -> None:
    model.recommend(USERS[0], only=ITEMS)
    assert model.recommend("n\u00f6body").attrs["fallback"] == "popular"
    with pytest.raises(UnknownItemError):
        model.similar("n\u00f6thing")
    assert not messages(told)


def test_embeddings_in_the_other_form(told: list[Any]) -> None:
    items, plays = tables()
    dataset = MusicDataset(items, None, plays)
    model = Recommender(QUICK).fit(dataset, embeddings=vectors([other(item) for item in ITEMS]))
    assert model.info["now"]["with_embedding"] == 16
    report = model.onboard_many(
        dataset.take_items([ITEMS[15]]), embeddings=vectors([other(item) for item in ITEMS])
    )
    assert report["status"].tolist() == ["heard"]
    assert len(messages(told)) == 2


def test_changes_meet_the_known_spelling(tmp_path: Path, told: list[Any]) -> None:
    items, plays = tables()
    model = Recommender(QUICK).fit(MusicDataset(items, None, plays), embeddings=vectors(ITEMS))
    model.save(tmp_path / "model")
    before = model.info["now"]
    more = pd.DataFrame({"user_id": [other(USERS[0])], "item_id": [other(ITEMS[1])], "weight": 2.0})
    report = model.update(more)
    assert (report.new_users, report.warmed) == (0, 0)
    assert model.info["now"] == before
    model.onboard(item_id=other(ITEMS[15]), embedding=np.ones(4), genre="Rock")  # nobody has it
    assert model.info["now"] == before
    assert model.recommend(USERS[0], only=[ITEMS[15]])["genre"].tolist() == ["rock"]
    new = pd.DataFrame({"user_id": ["n\u00e9w", "ne\u0301w"], "item_id": ITEMS[:2], "weight": 1.0})
    assert model.update(new).new_users == 1
    assert model.update(new.assign(weight=2.0)).new_users == 0
    model.remove(other(ITEMS[15]))
    assert model.info["now"]["items"] == 15
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.recommend("ne\u0301w").attrs == {}
    assert any("'Rock' is kept as 'rock'" in one for one in messages(told))
    pd.testing.assert_frame_equal(loaded.recommend(USERS[0]), model.recommend(USERS[0]))


def test_a_filter_takes_any_spelling(model: Recommender) -> None:
    plain = model.recommend(USERS[0], where={"genre": "rock"})
    for spelling in ("Rock", " ROCK ", "\uff52\uff4f\uff43\uff4b"):
        pd.testing.assert_frame_equal(model.recommend(USERS[0], where={"genre": spelling}), plain)
