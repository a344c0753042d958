"""Controls: one ranking for everybody, and what a control's name says of it."""

from collections.abc import Callable
from typing import ClassVar

import pandas as pd
import pytest

from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.models.baselines import Popularity, Random
from evaluation.models.controls import (
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    SameForEverybody,
    control_name,
    parse_control_name,
)

Make = Callable[..., MusicDataset]


class Fixed:
    """Scores that are written down: 1 to 4 for u1, 40 to 10 for u2."""

    scores: ClassVar = {
        "u1": {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0},
        "u2": {"a": 40.0, "b": 30.0, "c": 20.0, "d": 10.0},
    }

    def fit(self, dataset: MusicDataset) -> None:
        self.items = set(dataset.items["item_id"])

    def onboard_many(self, dataset: MusicDataset) -> None:
        self.items |= set(dataset.items["item_id"])

    def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None) -> pd.DataFrame:
        assert not exclude_seen
        rows = []
        for user in user_ids:
            own = sorted(self.scores[user].items(), key=lambda pair: -pair[1])
            own = [pair for pair in own if pair[0] in self.items][:k]
            rows += [(user, rank, *pair) for rank, pair in enumerate(own, 1)]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


@pytest.fixture
def dataset(make_dataset: Make) -> MusicDataset:
    return make_dataset([("u1", "a"), ("u2", "b")], items=["c", "d", "e"])


def listed(frame: pd.DataFrame, user: str) -> list[tuple[str, float]]:
    own = frame[frame["user_id"] == user]
    return list(zip(own["item_id"], own["score"], strict=True))


def test_the_mean_score_for_everybody_less_what_each_has(dataset: MusicDataset) -> None:
    model = SameForEverybody(Fixed).fit(dataset.drop_items(["d"]))
    frame = model.recommend_many(["u1", "u2", "new"], 3)
    # Means: a 20.5, b 16, c 11.5. Nobody's list has e.
    assert listed(frame, "new") == [("a", 20.5), ("b", 16.0), ("c", 11.5)]
    assert listed(frame, "u1") == [("b", 16.0), ("c", 11.5)]
    assert listed(frame, "u2") == [("a", 20.5), ("c", 11.5)]
    model.onboard_many(dataset.take_items(["d"]).take_interactions([]))
    assert listed(model.recommend_many(["new"], 9, only=["d", "c", "e"]), "new") == [
        ("c", 11.5),
        ("d", 7.0),
    ]


def test_a_model_that_cannot_take_new_items_leaves_them_out(dataset: MusicDataset) -> None:
    class Warm(Fixed):
        onboard_many = None

    model = SameForEverybody(Warm).fit(dataset.drop_items(["d"]))
    model.onboard_many(dataset.take_items(["d"]))
    assert "d" not in set(model.recommend_many(["new"], 9)["item_id"])


def test_a_model_that_knows_what_it_was_not_given_is_found_out(dataset: MusicDataset) -> None:
    class Leaking(Fixed):
        def fit(self, dataset: MusicDataset) -> None:
            self.items = {"a", "b", "c", "d"}

    with pytest.raises(EvaluationError, match="leak: recommends the item 'd'"):
        SameForEverybody(Leaking).fit(dataset.drop_items(["d"])).recommend_many(["u1"], 2)


def test_what_was_played_since_is_not_recommended(dataset: MusicDataset) -> None:
    plays = pd.DataFrame(
        {"user_id": ["new", "u1", "u1"], "item_id": ["a", "b", "c"], "weight": [1.0, 1.0, 0.0]}
    )
    for model in (Popularity(), Random(), SameForEverybody(Fixed)):
        model.fit(dataset)
        model.update(plays)
        found = model.recommend_many(["new", "u1", "u2"], 9)
        for user, gone in (("new", {"a"}), ("u1", {"a", "b"}), ("u2", {"b"})):
            assert {item for item, _ in listed(found, user)} >= {"a", "b", "c", "d"} - gone
            assert not {item for item, _ in listed(found, user)} & gone


def test_names_say_whose_control_it_is() -> None:
    assert control_name("hybrid", SHUFFLED_AUDIO) == "hybrid, shuffled audio"
    assert parse_control_name("hybrid, shuffled audio") == ("hybrid", SHUFFLED_AUDIO)
    assert parse_control_name("a, b, same for everybody") == ("a, b", SAME_FOR_EVERYBODY)
    assert parse_control_name("popularity oracle") is None
    assert parse_control_name("hybrid, something else") is None
