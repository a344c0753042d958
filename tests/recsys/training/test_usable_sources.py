"""Sources that need plays stay out until there are enough."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse as sp

from datasets.errors import DataError
from recsys import RecommenderConfig
from recsys.config import SourceName
from recsys.training.usable_sources import SourceChoice, choose_sources

ALL = RecommenderConfig().sources
PLAYS = {
    "nobody": [],
    "one user": [[1, 2, 0]],
    "one each": [[1, 0, 0], [2, 0, 0], [0, 0, 2]],
    "two users": [[1, 2, 0], [0, 1, 1]],
}
"""Plays of three items, a row a user."""


def chosen(case: str, sources: Sequence[SourceName] = ALL, *, heard: bool = True) -> SourceChoice:
    plays = sp.csr_matrix(np.array(PLAYS[case], np.float32).reshape(-1, 3))
    return choose_sources(plays, sources, heard=heard)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nobody", "nobody has played anything yet"),
        ("one user", "1 user has played two items or more, and 2 are needed"),
        ("one each", "no users have played two items or more, and 2 are needed"),
    ],
)
def test_few_plays_leave_sound_alone(case: str, said: str) -> None:
    choice = chosen(case, ALL)
    assert choice.used == ("content",)
    assert choice.sentence == f"als, fm, ease and popularity stay out: {said}"
    settings = RecommenderConfig(fusion={"warm": dict.fromkeys(ALL, 0.5)})
    used = choice.configured(settings)
    assert (used.sources, used.fusion.warm) == (("content",), {"content": 0.5})
    assert chosen(case, ("als", "content")).sentence == f"als stays out: {said}"


def test_two_users_bring_all_sources_in() -> None:
    choice = chosen("two users", ALL)
    assert (choice.used, choice.left_out, choice.sentence) == (ALL, (), "")
    config = RecommenderConfig()
    assert choice.configured(config) is config


@pytest.mark.parametrize("case", ["one user", "one each"])
def test_without_sound_the_sources_learn_from_what_there_is(case: str) -> None:
    assert chosen(case, heard=False).used == ALL
    assert chosen(case, ("als", "fm")).used == ("als", "fm")


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="nobody has played anything, and no item has a recording"):
        chosen("nobody", heard=False)
    with pytest.raises(DataError, match="none of the sources als, fm goes without plays"):
        chosen("nobody", ("als", "fm"))
