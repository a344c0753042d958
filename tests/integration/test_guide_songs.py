"""The code and the commands of docs/songs.md run as they stand, in order."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from recsys import Recommender
from recsys.cli import main
from recsys.database.song import Song
from tests.helpers.recommenders import QUICK

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "songs.md"


@pytest.fixture
def model(tastes, tmp_path, monkeypatch):
    """A folder "model" in the working directory, with one song that was heard."""
    dataset, embeddings = tastes
    recommender = Recommender(QUICK).fit(dataset, embeddings=embeddings)
    monkeypatch.chdir(tmp_path)
    recommender.save("model")
    scores = {"genre": {"jazz": 0.8, "rock": 0.2}}
    song = Song("new", "Song", genre="jazz", embedding=np.eye(8)[1], scores=scores)
    recommender._add_songs([song], recommender._fitted())


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)


@pytest.mark.slow
def test_the_code(model):
    names: dict[str, object] = {}
    assert len(blocks("python")) == 4
    for block in blocks("python"):
        exec(compile(block, GUIDE.name, "exec"), names)
    assert len(names["jazz"]) == 10
    assert names["scores"]["genre"].tolist() == ["jazz", "rock"]
    assert Path("map.html").is_file()
    assert names["found"].precision.mean() > names["found"].chance.mean()


@pytest.mark.slow
def test_the_commands(model, monkeypatch, capsys):
    lines = [line.partition("#")[0] for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if "postgresql:" not in line]
    assert len(commands) == 9
    for words in commands:
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as exit_:
            main()
        assert not exit_.value.code, (words, capsys.readouterr().err)
    assert {"songs.parquet", "songs.sqlite", "map.html", "map.png", "taste.html"} <= {
        path.name for path in Path().iterdir()
    }
