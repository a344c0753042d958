"""``coldtune songs`` and ``coldtune map``, as somebody types them."""

import json
import sqlite3

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError
from recsys import Recommender
from recsys.cli import main
from recsys.database.song import Song

HEARD = {"genre": {"jazz": 0.7, "rock": 0.3}}


@pytest.fixture(scope="module")
def model(tastes, tmp_path_factory):
    """A saved model of 90 items, of which one was onboarded as heard, with a tag of its own."""
    from tests.helpers.recommenders import QUICK

    dataset, embeddings = tastes
    recommender = Recommender(QUICK).fit(dataset, embeddings=embeddings)
    folder = tmp_path_factory.mktemp("songs") / "model"
    recommender.save(folder)
    song = Song("cold-80", "Émile", "Ana", "", "pop", {"mood": "dark"}, np.eye(8)[2], HEARD)
    recommender._add_songs([song], recommender._fitted())
    return folder


@pytest.fixture
def coldtune(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["coldtune", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        return exit_.value.code or 0, said.out, said.err

    return run


@pytest.mark.slow
def test_a_list(model, coldtune):
    code, out, _ = coldtune("songs", model, "--limit", 3)
    assert code == 0
    header, first, *_, last = out.splitlines()
    assert header.split() == [
        "title", "artist", "album", "genre", "item_id", "predicted_genre", "probability_genre",
        "familiarity",
    ]  # fmt: skip
    assert first.split()[:6] == ["Émile", "Ana", "pop", "cold-80", "jazz", "0.700"]
    assert 0 <= float(first.split()[6]) <= 1
    assert last == "3 of 90 songs"


@pytest.mark.slow
def test_choices_and_json(model, coldtune):
    code, out, _ = coldtune("songs", model, "--search", "éMIL", "--json")
    assert code == 0
    answer = json.loads(out)
    assert 0 <= answer["rows"][0].pop("familiarity") <= 1
    assert answer == {
        "songs": 1,
        "rows": [
            {
                "title": "Émile", "artist": "Ana", "album": "", "genre": "pop",
                "item_id": "cold-80", "predicted_genre": "jazz", "probability_genre": 0.7,
            }
        ],
    }  # fmt: skip
    answer = json.loads(coldtune("songs", model, "--genre", "rock", "--json")[1])
    assert answer["songs"] == 30
    assert len(answer["rows"]) == 20
    nothing = "no song with 'zzz' in title, artist, album or id\n"
    assert coldtune("songs", model, "--search", "zzz")[1] == nothing


def test_scores(model, coldtune):
    rows = json.loads(coldtune("songs", model, "--scores", "--genre", "pop", "--json")[1])["rows"]
    assert rows == [
        {"item_id": "cold-80", "genre_id": 1, "tag": "genre", "genre": "jazz", "score": 0.7},
        {"item_id": "cold-80", "genre_id": 2, "tag": "genre", "genre": "rock", "score": 0.3},
    ]
    out = coldtune("songs", model, "--scores", "--search", "Song 1")[1]
    assert out == "no song that was heard, with 'Song 1' in title, artist, album or id\n"
    out = coldtune("songs", model, "--scores", "--limit", 1)[1]
    assert out.endswith("1 of 1 songs that were heard\n")


def test_export(model, coldtune):
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        code, out, _ = coldtune("songs", model, "--export", f"songs.{kind}")
        assert (code, out) == (0, f"90 rows of 90 songs written to songs.{kind}\n")
        frame = read(f"songs.{kind}").set_index("item_id")
        assert len(frame) == 90
        new = frame.loc["cold-80"]
        assert (new["title"], new["predicted_genre"], new["onboarded"]) == ("Émile", "jazz", 1)
        assert json.loads(new["tags"]) == {"mood": "dark"}
        assert pd.isna(frame.loc["item-0", "predicted_genre"])
        assert pd.isna(frame.loc["item-0", "onboarded"])
    assert new["embedding"].tolist() == np.eye(8)[2].tolist()
    assert new["embedding"].dtype == np.float32
    assert coldtune("songs", model, "--scores", "--export", "scores.parquet")[0] == 0
    assert pd.read_parquet("scores.parquet")["score"].tolist() == [0.7, 0.3]
    code, out, _ = coldtune("songs", model, "--search", "zzz", "--export", "none.csv")
    assert code == 0
    assert pd.read_csv("none.csv").empty


@pytest.mark.slow
def test_export_page_by_page(model, coldtune, monkeypatch):
    monkeypatch.setattr("recsys.database.queries._PAGE", 7)
    for arguments in ([], ["--genre", "rock"], ["--search", "song 1"], ["--scores"]):
        coldtune("songs", model, *arguments, "--export", "paged.parquet")
        with monkeypatch.context() as patch:
            patch.setattr("recsys.database.queries._PAGE", 5000)
            coldtune("songs", model, *arguments, "--export", "whole.parquet")
        paged, whole = pd.read_parquet("paged.parquet"), pd.read_parquet("whole.parquet")
        assert len(whole) > 0
        pd.testing.assert_frame_equal(paged, whole)


@pytest.mark.slow
def test_publish_and_list_from_there(model, coldtune, tmp_path):
    url = f"sqlite:///{tmp_path / 'songs.sqlite'}"
    code, out, _ = coldtune("songs", model, "--publish", url)
    assert code == 0
    assert out == "songs published: 90 added, 0 changed, 0 removed, 0 unchanged\n"
    again = json.loads(coldtune("songs", model, "--publish", url, "--json")[1])
    assert again == {"added": 0, "changed": 0, "removed": 0, "unchanged": 90}
    for arguments in (["--limit", 5], ["--scores", "--genre", "pop"], ["--search", "song 2"]):
        here, there = (coldtune("songs", place, *arguments)[1] for place in (model, url))
        assert here == there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--genre", "polka"], "no song is of genre 'polka'; there are: jazz, pop, rock"),
        (["--search", "x" * 1001], "search: has 1,001 characters"),
        (["--export", "songs.xlsx"], "songs.xlsx: must end in .csv or .parquet"),
        (["--limit", "5", "--export", "a.csv"], "--limit is for lists"),
        (["--publish", "sqlite:///a", "--genre", "jazz"], "--publish brings all songs"),
        (["--publish", "oracle://host/base"], "not at 'oracle'"),
        (["--limit", "0"], "greater than or equal to 1"),
    ],
)
def test_what_cannot_be(model, coldtune, tmp_path, arguments, message):
    code, out, error = coldtune("songs", model, *arguments)
    assert code in (1, 2)
    assert message in error
    assert error.count("\n") == 1
    assert not out
    assert list(tmp_path.iterdir()) == []


def test_no_model_and_no_database(coldtune, tmp_path):
    assert "there is no model here" in coldtune("songs", tmp_path / "none")[2]
    assert "there is no song database here" in coldtune("songs", f"sqlite:///{tmp_path}/none")[2]


def test_a_database_of_an_older_version_is_refused(model, tmp_path):
    from recsys.database.catalog import Catalog

    with sqlite3.connect(tmp_path / "old.sqlite") as old:
        old.execute("CREATE TABLE songs (item_id TEXT)")
        old.execute("CREATE TABLE revision (number INTEGER)")
    with pytest.raises(ArtifactError, match="of an older version of coldtune; train again"):
        Catalog.open(tmp_path / "old.sqlite")


@pytest.mark.slow
def test_map(model, coldtune, tmp_path):
    code, out, _ = coldtune("map", model, "--out", "map.html", "--png", "map.png", "--by", "artist")
    assert code == 0
    assert out.startswith("Map of 90 songs by sound, coloured by artist: three principal")
    assert out.endswith("written to map.html and map.png\n")
    assert {path.name for path in tmp_path.iterdir()} == {"map.html", "map.png"}
    for arguments, message in (
        (["--out", "map.txt"], "map.txt: must end in .html"),
        (["--out", "a.html", "--png", "a.jpg"], "a.jpg: must end in .png"),
        (["--out", "a.html", "--by", "tempo"], "no column 'tempo'"),
    ):
        code, _, error = coldtune("map", model, *arguments)
        assert code == 1
        assert message in error
