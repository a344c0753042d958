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


@pytest.mark.parametrize("command", ["similar", "audience"])
def test_a_text_too_long_to_be_a_path_is_no_item(call, saved, command):
    for text in ("x" * 300, "x" * 5000, "ü" * 200 + ".wav"):
        said = call(command, saved, text)
        assert said.code == 1
        assert said.err.startswith("error: no ")
        assert said.err.count("\n") == 1


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


def test_the_audience_of_an_item(call, saved):
    found = Recommender.load(saved).audience("cold-82", 3)
    said = call("audience", saved, "Song 82", "-k", 3)
    assert (said.code, said.err) == (0, "'Song 82' is taken for 'cold-82' (Artist 41 - Song 82)\n")
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert rows[0] == found.columns.tolist()
    assert [row[1] for row in rows[1:]] == found["user_id"].tolist()
    said = call("audience", saved, "cold-82", "-k", 3, "--json")
    printed = json.loads(said.out)
    assert printed["empty"] is None
    assert [row["user_id"] for row in printed["users"]] == found["user_id"].tolist()
    assert [row["like"] for row in printed["users"]] == found["like"].tolist()
    first, second = found["user_id"][:2]
    said = call("audience", saved, "cold-82", "--user", first, "--user", second, "--exclude", first)
    assert [line.split("\t")[1] for line in said.out.splitlines()[1:]] == [second]


def test_an_audience_of_nobody_says_why(call, saved):
    said = call("audience", saved, "cold-82", "--user", "user-1", "--exclude", "user-1")
    assert (said.code, said.out) == (
        0,
        "No user is left to hear it: none of the users to choose from is left\n",
    )
    said = call("audience", saved, "cold-82", "--where", "genre=roc", "--json")
    assert json.loads(said.out) == {
        "empty": "no item has genre 'roc'; did you mean 'rock'?",
        "users": [],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ITEM-7"], "no item 'ITEM-7' in the catalogue; did you mean 'item-7' "),
        (["no.wav"], "no file 'no.wav', and no item 'no.wav' in the catalogue\n"),
        (["item-7", "-k", "0"], "k must be a whole number of at least 1, not 0\n"),
        (["item-7", "--user", "USER-7"], "no user 'USER-7' in the training data; did you mean "),
        (["item-7", "--where", "gnere=rock"], "items have no column 'gnere'; did you mean 'genre'"),
        (["item-7", "--genre", "rock"], "genre is for a song that is no item: 'item-7' (Artist 3"),
        ([__file__], "this model was fitted without recordings of its own"),
    ],
)
def test_what_is_wrong_with_an_audience_is_one_line(call, saved, arguments, message):
    said = call("audience", saved, *arguments)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


def test_places_for_new_songs(call, saved, tmp_path):
    model = Recommender.load(saved)
    for given, new in (
        ("only", "only"),
        ("2", 2),
        ("0.5", 0.5),
        ("1", 1),
        ("1.0", 1.0),
        ("ONLY ", "only"),
    ):
        said = json.loads(call("recommend", saved, "user-1", "-k", 4, "--new", given, "--json").out)
        expected = model.recommend("user-1", 4, new=new)
        assert [one["item_id"] for one in said["items"]] == expected["item_id"].tolist()
        assert [one["new"] for one in said["items"]] == expected["new"].tolist()
    many = call("recommend", saved, "user-1", "-k", 30, "--new", 20)
    assert many.code == 0
    assert many.out.startswith(
        "10 new songs are left for 20 places; known songs take the other places.\n"
    )
    note = json.loads(call("recommend", saved, "user-1", "-k", 30, "--new", 20, "--json").out)
    assert note["new_places"].startswith("10 new songs are left")
    paid = call("recommend", saved, "user-1", "--discovery", 0.2)
    assert paid.out.startswith("What new songs cost was not measured when this model was fitted")
    assert call("recommend", saved, "nobody", "--new", 3).out.count("\tyes\tyes\t") == 3
    assert call("recommend", saved, "user-1", "--new", "only", "--only", "item-1").out == (
        "No new item is left to recommend.\n"
    )
    out = tmp_path / "lists.parquet"
    said = call("recommend-all", saved, "--out", out, "-k", 20, "--new", 15, "--discovery", 0.1)
    assert said.code == 0
    assert (
        "too few songs are left: 120 lists have not as many new ones as were asked for" in said.out
    )
    assert "1,200 rows are songs that nobody has played" in said.out


@pytest.mark.parametrize("given", ["all", "-1", "1.5", "nan", "", "2e3", "True", "1,5", "inf"])
def test_what_is_no_number_of_places(call, saved, given):
    for command in (["recommend", saved, "user-1"], ["recommend-all", saved, "--out", "x.parquet"]):
        said = call(*command, f"--new={given}")
        assert said.code == 1
        assert said.err.startswith("error: --new must be only, a whole number of places such as 2")
        assert said.err.count("\n") == 1
    said = call("recommend", saved, "user-1", "--discovery", 1.5)
    assert (said.code, said.err) == (1, "error: discovery must be a number from 0 to 1, not 1.5\n")
