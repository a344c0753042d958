"""Recordings of songs that are at hand: found where they were, or where they are said to be."""

import pytest

from recsys.database.song import Song, SongRecording
from recsys.songmap.layout import song_map
from recsys.songmap.recordings import recordings_at_hand


def _song(item_id: str, *paths: str) -> Song:
    made = [SongRecording(path, "d", "s", "h", "k") for path in paths]
    return Song(item_id, recordings=tuple(made))


@pytest.fixture
def model(fit_quickly, tmp_path):
    recommender = fit_quickly()
    model = recommender._model
    model.catalog.put(
        [
            _song("cold-80", "gone.mp3", "music/two.mp3"),
            _song("cold-81", str(tmp_path / "caf\\xe9.mp3")),
            _song("cold-82", "gone.mp3"),
            _song("cold-83", "bad\0name.mp3"),
        ]
    )
    return model


@pytest.mark.slow
def test_files_that_exist(model, tmp_path, monkeypatch):
    ids = [f"cold-{n}" for n in range(80, 85)]
    assert recordings_at_hand(model, ids) == {}
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "two.mp3").write_bytes(b"")
    assert recordings_at_hand(model, ids, tmp_path) == {"cold-80": tmp_path / "music/two.mp3"}
    assert song_map(model, folder=tmp_path).recordings == {"cold-80": tmp_path / "music/two.mp3"}
    monkeypatch.chdir(tmp_path)
    assert recordings_at_hand(model, ids)["cold-80"] == tmp_path / "music/two.mp3"
    monkeypatch.chdir("/")
    model.state.info["dataset"]["folder"] = str(tmp_path)
    assert recordings_at_hand(model, ids)["cold-80"] == tmp_path / "music/two.mp3"
    # A name that is no UTF-8 is stored as text.
    file = tmp_path / "caf\udce9.mp3"
    file.write_bytes(b"")
    assert recordings_at_hand(model, ids)["cold-81"] == file
