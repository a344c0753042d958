"""From recordings and listening to recommendations, on sounds made on the spot and on real ones."""

import json
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import AudioError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from datasets.system.files import cache_folder, file_digest
from evaluation.models.controls import MODEL_CONTROLS, control_name
from recsys import Recommender
from recsys.audio import train_encoder
from recsys.database.queries import SongFilter, list_songs, predicted_tags
from recsys.database.read_write import read_songs
from recsys.experiments.models import OURS, model_factories
from tests.helpers.recommenders import CONFIG

pytestmark = pytest.mark.slow

RATE = 11025
PITCHES = {"bell": (500, 700), "buzz": (150, 250), "hiss": (300, 400)}
TIMBRES = tuple(PITCHES)

TINY = {
    "architecture": "IC(2,5,8)LPC(1,3,8)LPF(24)F(12)O",
    "epochs": 40,
    "batch_size": 8,
    "learning_rate": 0.05,
    "threads": 1,
    "snippet": {"seconds": 1.0},
    "hyperimage": {"height": 32, "width": 32},
}
SMALL = CONFIG.replace(als={"factors": 8}, fm={"components": 8, "epochs": 10}, encoder=TINY)


def sound(timbre, seed):
    """Two seconds of one of three timbres, at a pitch and with a beat of its own."""
    rng = np.random.default_rng(seed)
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * rng.uniform(*PITCHES[timbre]) * time
    if timbre == "bell":
        wave = np.sin(phase) + 0.3 * np.sin(2.76 * phase)
    elif timbre == "buzz":
        wave = np.sign(np.sin(phase)) * 0.7
    else:
        wave = rng.standard_normal(len(time)) * 0.5
    beat = np.exp(-4 * np.mod(time * rng.uniform(1.5, 3), 1))
    noise = 0.002 * rng.standard_normal(len(time))
    return (0.5 * wave * beat + noise).astype(np.float32).clip(-1, 1)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Thirty songs in three timbres, each a genre; half their listeners like one timbre.

    Song 0 has two recordings, song 3 none, one of song 6 is broken; songs 27 to 29 were never
    played.
    """
    root = tmp_path_factory.mktemp("songs")
    (root / "audio").mkdir()
    genres = [TIMBRES[n % 3] for n in range(30)]
    recordings = []
    for n in range(30):
        for take in range(2 if n == 0 else 0 if n == 3 else 1):
            path = f"audio/song {n}-{take}.wav"
            soundfile.write(root / path, sound(genres[n], 100 * n + take), RATE)
            recordings.append((f"song-{n}", path))
    (root / "audio" / "broken.mp3").write_bytes(b"")
    recordings.append(("song-6", "audio/broken.mp3"))
    rng = np.random.default_rng(0)
    plays = [
        (f"user-{user}", f"song-{n}", float(rng.integers(1, 9)))
        for user in range(60)
        for n in range(27)
        if rng.random() < (0.6 if n % 3 == user % 3 else 0.08)
    ]
    items = pd.DataFrame(
        {
            "item_id": [f"song-{n}" for n in range(30)],
            "title": [f"Song {n}" for n in range(30)],
            "artist": [f"Artist {n // 3 % 5}-{n % 3}" for n in range(30)],
            "album": "",
            "genre": genres,
        }
    )
    return MusicDataset(
        items=items,
        audio=pd.DataFrame(recordings, columns=["item_id", "path"]),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
        root=root,
    )


@pytest.fixture(scope="module")
def fitted_songs(songs):
    return Recommender(SMALL).fit(songs)


@pytest.fixture(scope="module")
def network(songs):
    return train_encoder(songs, SMALL.encoder, workers=1, progress=False)


@pytest.fixture(scope="module")
def saved(songs, network, tmp_path_factory):
    """A saved recommender on a given network."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    Recommender(SMALL).fit(songs, encoder=network).save(folder)
    return folder


@pytest.fixture
def model(saved, tmp_path):
    """A recommender of its own for a test that onboards."""
    return Recommender.load(shutil.copytree(saved, tmp_path / "saved model"))


USERS = [f"user-{n}" for n in range(60)]


def test_sounds_are_told_apart(fitted_songs):
    info = fitted_songs.info
    assert info["encoder"]["classes"] == sorted(TIMBRES)
    assert len(info["encoder"]["history"]) >= 1
    assert info["items"] == {"warm": 27, "cold": 3, "with_embedding": 29}
    found = fitted_songs.similar("song-7", k=6, by="sound")
    assert (found["genre"] == TIMBRES[7 % 3]).mean() >= 0.8


def test_a_broken_recording_is_reported_and_left_out(fitted_songs):
    (reason,) = fitted_songs.info["recordings_left_out"]
    assert "broken.mp3" in reason
    assert len(fitted_songs.similar("song-6", by="sound")) == 10  # by its other recording
    with pytest.raises(InvalidArgumentError, match="item 'song-3' has no recording"):
        fitted_songs.similar("song-3", by="sound")


def test_songs_nobody_played_go_to_whom_they_suit(fitted_songs):
    lists = fitted_songs.recommend_many(USERS, k=1, only=["song-27", "song-28", "song-29"])
    liked = [int(user.split("-")[1]) % 3 for user in lists["user_id"]]
    heard = [int(item.split("-")[1]) % 3 for item in lists["item_id"]]
    assert np.mean(np.array(liked) == heard) >= 0.9


def test_a_trained_network_can_be_given(songs, fitted_songs, model):
    one, two = (m.recommend_many(USERS, k=30) for m in (fitted_songs, model))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert model.info["encoder"]["digest"] == fitted_songs.info["encoder"]["digest"]


def test_a_list_needs_neither_pytorch_nor_the_front_end(saved):
    code = (
        "import sys; from recsys import Recommender\n"
        f"model = Recommender.load({str(saved)!r})\n"
        "assert model.info['encoder']['classes'] and len(model.recommend('user-1', 3)) == 3\n"
        "assert not {'torch', 'embedding.hyperimage.image'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_recording_is_recommended_at_once(model, tmp_path):
    soundfile.write(tmp_path / "new.flac", sound("buzz", 9999), RATE)
    told = model.onboard(tmp_path / "new.flac", item_id="new", title="Hum")
    assert told.item_id == "new"
    assert told.predicted == "buzz"
    assert 1 / 3 < told.probability <= 1
    lists = model.recommend_many(USERS, k=1, only=["new", "song-27", "song-29"])
    takers = [int(u.split("-")[1]) % 3 for u in lists.loc[lists["item_id"] == "new", "user_id"]]
    assert takers.count(1) >= 18
    assert len(takers) - takers.count(1) <= 6
    assert (model.similar("new", k=6, by="sound")["genre"] == "buzz").mean() >= 0.8


def test_a_recording_is_found_again_by_its_sound(songs, model):
    model.onboard(songs.root / "audio" / "song 13-0.wav", item_id="copy")
    found = model.similar("copy", k=3, by="sound")
    assert found["item_id"][0] == "song-13"
    assert found["score"][0] == pytest.approx(1, abs=1e-4)


def test_an_upload_is_onboarded_as_its_file_would_be(songs, model):
    path = songs.root / "audio" / "song 13-0.wav"
    with path.open("rb") as upload:
        told = [
            model.onboard(path, item_id="file"),
            model.onboard(path.read_bytes(), item_id="bytes"),
            model.onboard(upload, item_id="upload"),
        ]
    assert len({(one.predicted, one.probability) for one in told}) == 1
    found = model.similar("file", k=3, by="sound").set_index("item_id")
    assert found.loc[["bytes", "upload"], "score"].tolist() == pytest.approx([1, 1], abs=1e-5)
    with pytest.raises(AudioError, match="recording of 8 bytes: cannot be decoded"):
        model.onboard(b"la la la", item_id="new")
    with pytest.raises(InvalidArgumentError, match="a recording is a path, bytes or"):
        model.onboard(7, item_id="new")
    assert model.info["onboarded"] == 3


def test_a_recording_that_cannot_be_used_adds_nothing(songs, model, tmp_path):
    for path in (songs.root / "audio" / "broken.mp3", tmp_path / "missing.wav", tmp_path):
        with pytest.raises(AudioError, match=path.name):
            model.onboard(path, item_id="new")
    assert model.info["onboarded"] == 0


def test_recordings_of_a_data_set_are_onboarded(songs, model):
    items = pd.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "title": ["A", "B", "C"],
            "artist": "",
            "album": "",
            "genre": ["", "", "hiss"],
        }
    )
    audio = pd.DataFrame(
        [("a", "audio/song 13-0.wav"), ("b", "audio/broken.mp3")], columns=["item_id", "path"]
    )
    report = model.onboard_many(MusicDataset(items=items, audio=audio, root=songs.root))
    assert report["status"].tolist() == ["heard", "metadata only", "metadata only"]
    (reason,) = report.attrs["recordings_left_out"]
    assert "broken.mp3" in reason
    assert model.similar("a", k=1, by="sound")["item_id"].tolist() == ["song-13"]
    assert len(model.recommend("user-0", k=50, exclude_seen=False)) == 33


def test_recordings_of_one_genre_train_no_network_and_stop_no_fit(songs):
    one = songs.take_items([f"song-{n}" for n in range(0, 27, 3)])
    model = Recommender(SMALL).fit(one)
    assert "at least two values of 'genre'" in str(model.info["network"])
    assert model.info["encoder"]["method"] == "statistics of sound"
    assert len(model.recommend("user-0", k=5, exclude_seen=False)) == 5


def test_saved_and_loaded_it_hears_as_before(model, songs, tmp_path):
    model.onboard(songs.root / "audio" / "song 13-0.wav", item_id="copy")
    model.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    before, after = (m.recommend_many(USERS, k=31) for m in (model, again))
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    told = again.onboard(songs.root / "audio" / "song 14-0.wav", item_id="more")
    assert told.predicted == "hiss"
    assert again.similar("more", k=1, by="sound")["item_id"].tolist() == ["song-14"]


# ------------------------------------------------------------------ the line-up


def share_of_right_timbre(lists):
    numbers = lists[["user_id", "item_id"]].map(lambda name: int(name.split("-")[1]) % 3)
    return (numbers["user_id"] == numbers["item_id"]).mean()


def test_every_model_of_the_lineup_competes(songs):
    cold = ["song-24", "song-25", "song-26"]
    training, held_out = songs.drop_items(cold), songs.take_items(cold)
    makers = model_factories(OURS, SMALL)
    controls = [control_name("hybrid", kind) for kind in MODEL_CONTROLS]
    assert sorted(makers) == sorted([*OURS, *controls])
    right = {}
    for name, make in makers.items():
        entrant = make().fit(training)
        if hasattr(entrant, "onboard_many"):
            entrant.onboard_many(held_out.take_interactions([]))
            right[name] = share_of_right_timbre(entrant.recommend_many(USERS, 1, only=cold))
        lists = entrant.recommend_many(USERS, 5)
        assert lists.groupby("user_id").size().tolist() == [5] * 60
    for name in ("hybrid", "content", "als+audio", "lightfm+audio", "hybrid, genre for audio"):
        assert right[name] >= 0.8, name
    assert right["hybrid"] > right["hybrid, shuffled audio"]
    assert "als" not in right  # alone, it can say nothing of a new item


@pytest.mark.parametrize("texts", [False, True])
def test_the_lineup_without_recordings_knows_new_items_by_their_texts_if_at_all(songs, texts):
    deaf = MusicDataset(items=songs.items, interactions=songs.interactions)
    cold = ["song-24", "song-25", "song-26"]
    for name, make in model_factories(["hybrid", "als", "lightfm"], SMALL, texts=texts).items():
        entrant = make().fit(deaf.drop_items(cold))
        if name != "als":
            entrant.onboard_many(deaf.take_items(cold).take_interactions([]))
        if name not in ("als", "hybrid, same for everybody"):
            right = share_of_right_timbre(entrant.recommend_many(USERS, 1, only=cold))
            assert right >= 0.8 if texts else right < 0.5, name
        assert len(entrant.recommend_many(USERS, 5)) == 300


def test_an_unknown_model_is_refused():
    with pytest.raises(InvalidArgumentError, match="no model 'oracle'; there are: hybrid, als"):
        model_factories(["hybrid", "oracle"], SMALL)


# ------------------------------------------------------------------ real recordings


def test_real_recordings(real_mini, tmp_path):
    dataset = load_folder(real_mini)
    config = CONFIG.replace(
        als={"factors": 16, "iterations": 2, "regularization": 20.0},
        fm={"components": 16, "epochs": 2},
        fusion={"validation_users": 100},
        encoder={"epochs": 2, "threads": 1, "hyperimage": {"height": 32, "width": 32}},
    )
    model = Recommender(config).fit(dataset)
    assert model.info["items"]["with_embedding"] == 61
    assert model.info["recordings_left_out"] == []
    for user in dataset.interactions["user_id"].unique()[[0, 700, 1800]]:
        found = model.recommend(user, k=10)
        assert len(found) == 10
        assert found.filter(like="share_").sum(axis=1).to_numpy() == pytest.approx(np.ones(10))
        assert not set(found["item_id"]) & set(
            dataset.interactions.loc[dataset.interactions["user_id"] == user, "item_id"]
        )
    # John Lee Hooker: ten recordings, one embedding.
    found = model.similar("lastfm:583", k=10, by="sound")
    assert len(found) == 10
    assert found["score"].is_monotonic_decreasing
    assert len(model.similar("lastfm:583", k=10, by="taste")) == 10

    # A recording that no item shares: a copy of it sounds like nothing more than like itself.
    original = dataset.audio[~dataset.audio["item_id"].duplicated(keep=False)].iloc[0]
    copy = tmp_path / f"copy{(real_mini / original['path']).suffix}"
    shutil.copyfile(real_mini / original["path"], copy)
    told = model.onboard(copy, item_id="copy", title="Copy")
    assert told.predicted in model.info["encoder"]["classes"]
    again = model.similar("copy", k=3, by="sound")
    assert again["item_id"][0] == original["item_id"]
    assert again["score"][0] == pytest.approx(1, abs=1e-3)
    assert model.recommend("2", k=20000, exclude_seen=False)["item_id"].eq("copy").sum() == 1


def database(recommender):
    """All songs of the song database, by item id."""
    with recommender._model.catalog.transaction() as connection:
        return {song.item_id: song for song in read_songs(connection)}


def test_the_song_database_says_where_recordings_and_hyper_images_are(songs, model):
    known = database(model)
    paths = {name: [one.path for one in song.recordings] for name, song in known.items()}
    assert paths["song-0"] == ["audio/song 0-0.wav", "audio/song 0-1.wav"]
    assert paths["song-3"] == []
    assert paths["song-6"] == ["audio/song 6-0.wav"]  # the broken one has no hyper-image
    (recording,) = known["song-1"].recordings
    assert recording.digest == file_digest(songs.root / recording.path)
    kind, digest = recording.image_key.split("/")
    with sqlite3.connect(cache_folder() / "hyperimages" / kind / "index.sqlite") as index:
        assert index.execute(
            "SELECT count FROM recordings WHERE digest = ?", (digest,)
        ).fetchall() == [(1,)]


def test_predicted_tags_stand_apart_from_given_ones(songs):
    items = songs.items.assign(mood=["calm", "wild"] * 15)
    items.loc[1, "genre"] = ""
    dataset = MusicDataset(items, songs.audio, songs.interactions, songs.root)
    both = Recommender(SMALL.replace(encoder={**TINY, "tags": ("genre", "mood")})).fit(dataset)
    known = database(both)
    song = known["song-1"]
    assert (song.genre, song.tags) == ("", {"mood": "wild"})
    assert song.scores is not None
    assert {tag: set(values) for tag, values in song.scores.items()} == {
        "genre": set(TIMBRES),
        "mood": {"calm", "wild"},
    }
    for values in song.scores.values():
        assert sum(values.values()) == pytest.approx(1, abs=1e-5)
    assert known["song-3"].scores is None
    told = both.onboard(songs.root / "audio" / "song 1-0.wav", item_id="new")
    heard = database(both)["new"]
    assert heard.tags == {}
    assert heard.scores is not None
    assert told.predicted == max(heard.scores["genre"], key=heard.scores["genre"].get)
    assert heard.recordings[0].digest == song.recordings[0].digest
    with both._model.catalog.transaction() as connection:
        row = list_songs(connection, SongFilter(search="new")).iloc[0]
        assert predicted_tags(connection) == ["genre", "mood"]
    assert row["predicted_genre"] == told.predicted
    assert row["probability_genre"] == pytest.approx(told.probability)


def test_a_recording_has_the_audience_that_it_gets_when_it_is_onboarded(model, tmp_path, call):
    path = tmp_path / "fresh.wav"
    soundfile.write(path, sound("buzz", 997), RATE)
    songs_before, revision = len(model.search("song", 100)), model._model.revision
    found = model.audience(path, 60, genre="buzz")
    for other in (str(path), path.read_bytes(), path.open("rb")):
        pd.testing.assert_frame_equal(found, model.audience(other, 60, genre="buzz"))
    pd.testing.assert_frame_equal(found, model.audience(recording=path, k=60, genre="buzz"))
    assert (songs_before, revision) == (len(model.search("song", 100)), model._model.revision)
    liked = [int(user.split("-")[1]) % 3 for user in found["user_id"][:15]]
    assert np.mean(np.array(liked) == TIMBRES.index("buzz")) >= 0.8
    said = call("audience", model._folder, path, "-k", 60, "--genre", "buzz", "--json")
    assert said.code == 0
    users = json.loads(said.out)["users"]
    assert [row["user_id"] for row in users] == found["user_id"].tolist()
    model.onboard(path, item_id="fresh", genre="buzz")
    pd.testing.assert_frame_equal(found, model.audience("fresh", 60))
    (tmp_path / "fresh").write_bytes(b"no sound")
    assert len(model.audience("fresh", 60)) == 60  # an item comes before a file of its name
    with pytest.raises(AudioError, match=r"gone\.wav"):
        model.audience(tmp_path / "gone.wav")
    with pytest.raises(AudioError):
        model.audience(b"no sound")
    with pytest.raises(AudioError):
        model.audience(tmp_path)
