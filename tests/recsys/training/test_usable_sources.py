"""Sources that need plays stay out until there are enough."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from recsys import RecommenderConfig
from recsys.data import TrainingData
from recsys.training.usable_sources import choose_sources
from tests.helpers.recommenders import dataset_of, training_data

ALL = RecommenderConfig().sources
PLAYS = {
    "nobody": [],
    "one user": [("ann", "a", 1.0), ("ann", "b", 2.0)],
    "one each": [("ann", "a", 1.0), ("bob", "a", 2.0), ("cy", "c", 2.0)],
    "two users": [("ann", "a", 1.0), ("ann", "b", 2.0), ("bob", "b", 1.0), ("bob", "c", 1.0)],
}


def data_of(case: str, *, heard: bool = True) -> TrainingData:
    names = ["a", "b", "c"]
    vectors = pd.DataFrame(np.eye(3), index=names) if heard else pd.DataFrame()
    return training_data(dataset_of(PLAYS[case], names), vectors)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nobody", "nobody has played anything yet"),
        ("one user", "1 user has played two items or more, and they need 2"),
        ("one each", "0 users have played two items or more, and they need 2"),
    ],
)
def test_few_plays_leave_sound_alone(case: str, said: str) -> None:
    choice = choose_sources(data_of(case), ALL)
    assert choice.used == ("content",)
    assert choice.sentence == f"als, fm, ease and popularity stay out: {said}"
    settings = RecommenderConfig(fusion={"warm": dict.fromkeys(ALL, 0.5)})
    used = choice.configured(settings)
    assert (used.sources, used.fusion.warm) == (("content",), {"content": 0.5})
    assert choose_sources(data_of(case), ("als", "content")).sentence == f"als stays out: {said}"


def test_two_users_bring_all_sources_in() -> None:
    choice = choose_sources(data_of("two users"), ALL)
    assert (choice.used, choice.left_out, choice.sentence) == (ALL, (), "")
    config = RecommenderConfig()
    assert choice.configured(config) is config


@pytest.mark.parametrize("case", ["one user", "one each"])
def test_without_sound_the_sources_learn_from_what_there_is(case: str) -> None:
    assert choose_sources(data_of(case, heard=False), ALL).used == ALL
    assert choose_sources(data_of(case), ("als", "fm")).used == ("als", "fm")


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="nobody has played anything, and no item has a recording"):
        choose_sources(data_of("nobody", heard=False), ALL)
    with pytest.raises(DataError, match="none of the sources als, fm goes without plays"):
        choose_sources(data_of("nobody"), ("als", "fm"))
