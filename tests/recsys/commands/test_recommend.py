"""The commands that make lists: songs by title, and what may have been meant."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from recsys import Recommender
from tests.helpers.recommenders import QUICK


@pytest.fixture(scope="module")
def saved(tastes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists") / "model"
    Recommender(QUICK).fit(*tastes).save(folder)
    return folder


def test_the_version_is_that_of_the_package(call):
    said = call("--version")
    assert (said.code, said.out) == (0, f"coldtune {version('coldtune')}\n")


def test_songs_may_be_named_by_title_and_artist(call, saved):
    by_id = call("similar", saved, "item-7", "-k", 3)
    for name in ("song 7", "Artist 3 - Song 7"):
        said = call("similar", saved, name, "-k", 3)
        assert (said.code, said.out) == (0, by_id.out)
        assert said.err == f"{name!r} is taken for 'item-7' (Artist 3 - Song 7)\n"
    assert by_id.err == ""
    said = call("recommend", saved, "--history", "song 7", "--only", "Song 8", "--json")
    assert json.loads(said.out)["items"][0]["item_id"] == "item-8"
    assert call("explain", saved, "user-1", "song 7").code == 0
    said = call("similar", saved, "song7 ")
    assert (said.code, said.err) == (
        1,
        "error: no item 'song7 ' in the catalogue\n",
    )


def test_a_title_that_several_songs_have_is_asked_about(call, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    model = Recommender.load(tmp_path / "model")
    for number in range(7):
        model.onboard(item_id=f"twin-{number}", title="Twin\x1b", embedding=np.ones(8))
    said = call("similar", tmp_path / "model", "twin\x1b")
    assert said.code == 1
    assert said.err.startswith(r"error: several items are called 'twin\x1b': 'twin-0' (Twin\x1b), ")
    assert said.err.endswith("'twin-4' (Twin\\x1b), …; give the id of one\n")


def test_what_may_be_meant_is_said(call, saved):
    assert call("similer").err == "error: No such command 'similer'. Did you mean 'similar'?\n"
    said = call("recommend", saved, "user-1", "--where", "genre=roc")
    assert said.out.endswith("no item has genre 'roc'; did you mean 'rock'?\n")
    assert "did you mean 'rock'?" in call("songs", saved, "--genre", "roc").err
    assert "did you mean 'user-12'?" in call("explain", saved, "USER-12", "item-1").err
