"""Recordings of songs that are at hand: found where they were, or where they are said to be."""

import pytest

from datasets.system.files import file_digest
from recsys.database.song import Song, SongRecording
from recsys.songmap.layout import song_map


@pytest.mark.slow
def test_files_that_exist(fit_quickly, tmp_path, monkeypatch):
    (tmp_path / "music").mkdir()
    two, odd = tmp_path / "music" / "two.mp3", tmp_path / "caf\udce9.mp3"
    two.write_bytes(b"two")
    odd.write_bytes(b"odd")
    model = fit_quickly()._model

    def song(item_id: str, *paths: str) -> Song:
        made = [SongRecording(path, file_digest(two), "s", "h", "k") for path in paths]
        return Song(item_id, recordings=tuple(made))

    model.catalog.put(
        [
            song("cold-80", "gone.mp3", "music/two.mp3"),
            song("cold-81", str(tmp_path / "caf\\xe9.mp3")),
            song("cold-82", "gone.mp3"),
            song("cold-83", "bad\0name.mp3"),
        ]
    )
    monkeypatch.chdir("/")
    # A name that is no UTF-8 is stored as text.
    assert song_map(model).recordings == {"cold-81": odd}
    found = {"cold-80": two, "cold-81": odd}
    assert song_map(model, folder=tmp_path).recordings == found
    monkeypatch.chdir(tmp_path)
    assert song_map(model).recordings == found
    monkeypatch.chdir("/")
    model.state.info["dataset"]["folder"] = str(tmp_path)
    assert song_map(model).recordings == found
