"""Songs unlike all that a model learned from: told, stored, and recommended carefully."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.music import MusicDataset
from recsys import Recommender
from recsys.database.queries import SongFilter, export_songs, list_songs
from recsys.model.state import predict_vectors
from tests.helpers.commands import Call
from tests.helpers.recommenders import QUICK, own

pytestmark = pytest.mark.usefixtures("decoded_here")

JAZZ = np.eye(8, dtype=np.float32)[1]
STRANGE = np.float32([0, 0, 0, 0, 2, -2, 2, -2])


@pytest.fixture(scope="module")
def quick(tastes) -> Recommender:
    dataset, embeddings = tastes
    return Recommender(QUICK).fit(dataset, embeddings=embeddings)


@pytest.fixture
def model(quick: Recommender, tmp_path: Path) -> Recommender:
    """A model with a folder of its own, of the one fit."""
    recommender = own(quick)
    recommender.save(tmp_path / "model")
    return recommender


def test_it_is_told_stored_listed_and_exported(model: Recommender, tmp_path: Path) -> None:
    usual = model.onboard(item_id="usual", embedding=JAZZ)
    strange = model.onboard(item_id="strange", embedding=STRANGE)
    assert strange.familiarity < 0.01 < 0.2 < usual.familiarity <= 1
    assert model.predict(embedding=STRANGE).familiarity == strange.familiarity
    assert model.explain("user-1", "strange").familiarity == strange.familiarity
    assert "recommended more carefully" in str(model.explain("user-1", "strange"))
    assert "recommended more carefully" not in str(model.explain("user-1", "usual"))

    again = Recommender.load(tmp_path / "model")
    with again._fitted().catalog.transaction() as connection:
        listed = list_songs(connection, SongFilter()).set_index("item_id")["familiarity"]
        export_songs(connection, tmp_path / "songs.parquet")
        export_songs(connection, tmp_path / "songs.csv")
    assert listed["strange"] == strange.familiarity
    assert 0.4 < listed.drop(["strange", "usual"]).mean() < 0.6  # told without their artists' songs
    for found in (pd.read_parquet(tmp_path / "songs.parquet"), pd.read_csv(tmp_path / "songs.csv")):
        assert found.set_index("item_id")["familiarity"]["strange"] == pytest.approx(
            strange.familiarity
        )
    with sqlite3.connect(next((tmp_path / "model").glob("g-*/catalog.sqlite"))) as connection:
        query = "SELECT item_id FROM songs WHERE familiarity < 0.01"
        assert ("strange",) in connection.execute(query).fetchall()
    again.rebuild()
    assert again.explain("user-1", "strange").familiarity == pytest.approx(strange.familiarity)


def test_its_vectors_are_nearly_those_of_a_song_that_nobody_heard(model: Recommender) -> None:
    model.onboard(item_id="strange", embedding=STRANGE, genre="jazz")
    model.onboard(item_id="usual", embedding=JAZZ, genre="jazz")
    table = pd.DataFrame(
        [("told", "", "", "", "jazz")], columns=["item_id", "title", "artist", "album", "genre"]
    )
    model.onboard_many(MusicDataset(items=table))
    live = model._fitted()
    strange, usual, told = live.index.vectors(live.items.rows(["strange", "usual", "told"]))
    assert np.abs(strange - told).max() < 0.05 * np.abs(usual - told).max()


def test_trust_lies_between_what_is_heard_and_what_is_told(model: Recommender) -> None:
    state = model._fitted().state
    from recsys.model.items import song_content

    songs = model._fitted().items.songs(["cold-80"])
    content = song_content(state, songs)
    from dataclasses import replace

    def fused(trust: float) -> np.ndarray:
        return state.fuse_content(replace(content, trust=np.float32([trust])))

    half = (fused(1.0) + fused(0.0)) / 2
    assert fused(0.5) == pytest.approx(half, abs=1e-5)
    plain = predict_vectors(state.sources, state.blocks, replace(content, trust=None))
    whole = predict_vectors(state.sources, state.blocks, replace(content, trust=np.float32([1])))
    assert all((plain[name] == whole[name]).all() for name in plain)


def test_it_stays_strange_when_somebody_plays_it(model: Recommender, tmp_path: Path) -> None:
    told = model.onboard(item_id="strange", embedding=STRANGE)
    plays = pd.DataFrame({"user_id": ["user-1"], "item_id": ["strange"], "weight": [3.0]})
    model.update(plays)
    assert model.explain("user-2", "strange").familiarity == told.familiarity
    loaded = Recommender.load(tmp_path / "model")
    user = loaded.recommend("user-2", k=200).set_index("item_id")["score"]
    now = model.recommend("user-2", k=200).set_index("item_id")["score"]
    assert user["strange"] == pytest.approx(now["strange"])


@pytest.mark.parametrize("what", ["one artist", "two songs", "all the same"])
def test_where_it_cannot_be_known_that_is_said_once(tastes, caplog, what: str) -> None:
    dataset, embeddings = tastes
    items = dataset.items
    if what == "one artist":
        items = items.assign(artist="Ana")
    elif what == "two songs":
        embeddings = embeddings.iloc[:2]
    else:
        embeddings = pd.DataFrame(np.ones((90, 8), np.float32), index=embeddings.index)
    data = MusicDataset(items=items, interactions=dataset.interactions)
    model = Recommender(QUICK).fit(data, embeddings=embeddings)
    assert sum("how familiar" in one.getMessage() for one in caplog.records) == 1
    assert "3 artists" in model.info["familiarity"]["unknown"]
    vector = np.float32([1, 1, 1, 1, 1, 1, 1, 1.2])
    assert model.onboard(item_id="new", embedding=vector).familiarity is None
    assert model.explain("user-1", "new").familiarity is None


def test_a_library_that_nobody_has_played_knows_what_is_strange(tastes) -> None:
    dataset, embeddings = tastes
    model = Recommender(QUICK).fit(MusicDataset(items=dataset.items), embeddings=embeddings)
    assert model.onboard(item_id="strange", embedding=STRANGE).familiarity < 0.01
    assert len(model.recommend("anybody", k=5)) == 5


def test_recordings_are_compared_by_the_statistics_of_their_pictures(
    hearing_model: Path, call: Call, tmp_path: Path
) -> None:
    """Songs of the model are tones and chords; a file of noise is none of them."""
    model = Recommender.load(hearing_model)
    assert model.info["familiarity"]["by"] == "sound"
    rng = np.random.default_rng(0)
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, 0.2 * rng.standard_normal(5 * 22050), 22050)
    found = model.predict(noise)
    assert found.familiarity < 0.05
    assert found.caution
    assert found.probability == pytest.approx(0.5, abs=0.01)  # of two genres
    said = call("predict", hearing_model, noise)
    assert said.code == 0
    assert "recommended more carefully" in said.out
    (row,) = json.loads(call("predict", hearing_model, noise, "--json").out)
    assert row["familiarity"] == pytest.approx(found.familiarity)
    assert set(row) == {"recording", "predicted", "probability", "familiarity", "scores"}
    said = call("predict", hearing_model, noise, tmp_path / "none.wav")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "none.wav" in said.err
    assert "familiarity" in said.out
