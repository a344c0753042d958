"""coldtune demo: what it does in two minutes, in a newcomer's order, and in full."""

from pathlib import Path

import pytest

import datasets.demo.make
import recsys.commands.demo
from datasets.demo.make import make_demo
from recsys import Recommender, RecommenderConfig
from recsys.commands.demo import NEW_SONG, demonstrate, plan
from recsys.experiments.models import OURS


@pytest.fixture
def small(monkeypatch):
    """The demonstration with fewer songs and listeners, and with a network of two epochs."""

    def make(folder: Path, **named: object):
        return make_demo(folder, n_songs=27, n_artists=9, n_listeners=80, progress=False, **named)

    monkeypatch.setattr(datasets.demo.make, "make_demo", make)
    monkeypatch.setattr(recsys.commands.demo, "_NETWORK_EPOCHS", 2)
    return RecommenderConfig(threads=1, tracking=False, als={"factors": 8}, fm={"components": 8})


@pytest.mark.slow
def test_from_nothing_to_a_verdict(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demonstrate(Path("my demo"), small)
    out = capsys.readouterr().out
    order = [
        "1. A catalogue of songs composed by rule, and listeners who are SIMULATED",
        "3. Recommendations",
        "4. Is it any good?",
        "5. A new song, which nobody has played",
        "its audience, the listeners who will like it best:",
        "where it is one of them:",
        "6. The verdict",
        "The listeners of this data set are simulated",
        "coldtune demo --out 'my demo' --full",
        "coldtune serve 'my demo/model'",
    ]
    places = [out.index(text) for text in order]
    assert places == sorted(places)
    assert any(f"\n{word}: " in out for word in ("SHIP", "NOT YET", "CANNOT TELL"))
    assert Path("my demo/report/report.html").is_file()
    recommender = Recommender.load("my demo/model")
    assert len(recommender.audience(NEW_SONG, k=3)) == 3
    assert recommender.config.fm.epochs == 20


def test_in_full_everything_is_measured():
    given = RecommenderConfig(fm={"epochs": 5})
    config, measured = plan(given, "coldtune demo", full=True)
    tags = ("genre", "emotion", "instrument")
    assert config == given.replace(encoder=given.encoder.replace(tags=tags))
    assert measured.models == tuple(OURS)
    assert measured.genre_folds == 3
    assert len(measured.controls) == 3
    config, measured = plan(given, "coldtune demo", full=False)
    assert (config.fm.epochs, config.encoder.epochs) == (20, 12)
    assert measured.models == ("hybrid", "content", "popularity", "random")
    assert measured.splits == ("mixed",)
    assert measured.controls == ("shuffled audio",)
    assert "coldtune demo --full" in measured.notes[1]
