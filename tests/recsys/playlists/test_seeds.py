"""Playlists that start from recordings: heard where they are no items, items where they are."""

import io
import shutil
from pathlib import Path

import mutagen
import numpy as np
import pytest

from datasets.errors import AudioError, InvalidArgumentError
from recsys import Recommender
from recsys.playlists import write_m3u
from tests.helpers.eight_songs import EARS, eight_songs
from tests.helpers.recommenders import QUICK
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Fitted on eight recordings and six listeners, with one song onboarded since."""
    root = tmp_path_factory.mktemp("songs")
    dataset = eight_songs(root, ("rock", "jazz"), titles=True, suffix=".flac")
    model = Recommender(QUICK.replace(encoder=EARS)).fit(dataset)
    model.save(root / "model")
    model.onboard(write_song(root / "late.flac", 9), item_id="late", title="Late")
    return Recommender.load(root / "model")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A recording that the model does not have, with tags."""
    path = write_song(tmp_path / "fresh.flac", 30)
    file = mutagen.File(path)
    file["title"], file["artist"] = "Fresh", "Newcomer"
    file.save()
    return path


@pytest.mark.parametrize("by", ["sound", "fused", "taste"])
def test_a_recording_that_is_no_item(model, fresh, by):
    frame = model.playlist(fresh, 5, by=by)
    first = frame.iloc[0]
    assert (first["item_id"], first["title"], first["artist"]) == ("", "Fresh", "Newcomer")
    assert first["path"] == str(fresh)
    assert first["cold"]
    assert first["score"] == pytest.approx(1)
    assert len(frame) == 5
    assert frame.dtypes["cold"].kind == "b"
    assert model.playlist(str(fresh), 5, by=by)["item_id"].tolist() == frame["item_id"].tolist()
    upload = model.playlist([io.BytesIO(fresh.read_bytes())], 5, by=by)
    assert (upload["item_id"] != "").all()
    assert upload.attrs["notes"] == ["a recording that is no file cannot be in the playlist"]


def test_it_is_compared_as_it_would_be_once_onboarded(model, fresh):
    before = model.playlist(fresh, 6, by="fused").iloc[1:]
    root = model._folder.parent
    copy = Recommender.load(Path(shutil.copytree(model._folder, root / "copy")))
    copy.onboard(fresh, item_id="fresh", title="Fresh", artist="Newcomer")
    after = copy.playlist("fresh", 6, by="fused").iloc[1:]
    assert after["item_id"].tolist() == before["item_id"].tolist()
    assert after["score"].tolist() == pytest.approx(before["score"].tolist(), abs=1e-4)


def test_a_recording_that_the_model_has_is_its_item(model, tmp_path):
    root = model._folder.parent
    copy = Path(shutil.copy(root / "song-3.flac", tmp_path / "other name.flac"))
    assert model.playlist(copy, 3)["item_id"].iloc[0] == "song-3"
    with pytest.raises(InvalidArgumentError, match="'song-3' is given twice"):
        model.playlist(["song-3", copy], 3)


def test_a_path_from_a_recording_to_an_item_as_a_file_for_players(model, fresh):
    frame = model.playlist([fresh, "late"], 6, path=True, playable=True, by="sound")
    root = model._folder.parent
    assert frame["path"].iloc[0] == str(fresh)
    assert frame["path"].iloc[-1] == str(root / "late.flac")
    assert frame.attrs["notes"] == []
    assert write_m3u(frame, root / "way.m3u8", replace=True).songs == 6
    lines = (root / "way.m3u8").read_text().splitlines()
    assert lines[1].endswith("Newcomer - Fresh")
    assert all((root / line).is_file() for line in lines[2::2])
    assert sum(line.startswith("song-") for line in lines[2::2]) == 4  # relative to their folder


def test_recordings_that_cannot_be_used(model, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    for given in (tmp_path / "text.wav", tmp_path / "none.wav", tmp_path):
        with pytest.raises(AudioError, match=given.name):
            model.playlist(given, 5)
    write_song(tmp_path / "a.flac", 31)
    with pytest.raises(InvalidArgumentError, match="given twice"):
        model.playlist([tmp_path / "a.flac", tmp_path / "a.flac"], 5)


def test_a_name_that_is_no_text(model, fresh):
    odd = fresh.rename(fresh.with_name("caf\udce9.flac"))
    for given in (odd, str(odd)):
        frame = model.playlist(given, 3, by="sound")
        assert frame["path"].iloc[0].endswith("caf\\xe9.flac")
    assert write_m3u(frame, fresh.parent / "odd.m3u8").songs == 3
    assert "file:///" in (fresh.parent / "odd.m3u8").read_text(encoding="utf-8")


def test_no_two_recordings_of_one_sound(model):
    ids = model.playlist("song-0", 9, by="sound")["item_id"].tolist()
    assert sorted(ids) == sorted([*(f"song-{n}" for n in range(8)), "late"])
    assert np.isfinite(model.playlist("song-0", 9)["score"]).all()
