"""Where recordings are: by the path of the fit, by an absolute one, and after a move."""

import os

import pytest

from datasets.errors import InvalidArgumentError
from datasets.system.files import file_digest
from datasets.texts.file_names import name_as_text
from recsys.database.catalog import Catalog
from recsys.database.song import Song, SongRecording
from recsys.playlists.files import RecordingFiles


def recording(path, digest="0" * 64, sound=""):
    return SongRecording(name_as_text(str(path)), digest, "a", "b", "c", sound)


def catalog_of(*fitted, onboarded=()):
    catalog = Catalog.in_memory()
    catalog.fill(fitted)
    if onboarded:
        catalog.put(onboarded)
    return catalog


def test_recordings_of_the_fit_lie_in_its_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.wav").touch()
    songs = Song("a", recordings=(recording("deep/a.wav"),)), Song("b")
    files = RecordingFiles(catalog_of(*songs), fitted=tmp_path)
    assert files.find("a") == tmp_path / "deep" / "a.wav"
    assert files.find("b") is None
    assert RecordingFiles(catalog_of(*songs)).find("a") is None
    assert not RecordingFiles(catalog_of(Song("b"))).has_any


def test_the_first_recording_that_is_there(tmp_path):
    (tmp_path / "b.wav").touch()
    song = Song("a", recordings=(recording(tmp_path / "a.wav"), recording(tmp_path / "b.wav")))
    assert RecordingFiles(catalog_of(song)).find("a") == tmp_path / "b.wav"


def test_a_song_of_another_data_set_is_not_taken_for_one_of_the_fit(tmp_path):
    (tmp_path / "1.wav").write_bytes(b"of the fit")
    other, same = recording("1.wav"), recording("1.wav", file_digest(tmp_path / "1.wav"))
    songs = [Song("other", recordings=(other,)), Song("same", recordings=(same,))]
    files = RecordingFiles(catalog_of(onboarded=songs), fitted=tmp_path)
    assert files.find("other") is None
    assert files.find("same") == tmp_path / "1.wav"


def test_a_library_that_was_moved(tmp_path):
    new = tmp_path / "new"
    for name in ("Ann/One/1.wav", "1.wav", "flat.wav", "other.wav"):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(name.encode())
    songs = [
        Song("deep", recordings=(recording("/old/music/Ann/One/1.wav"),)),
        Song("flat", recordings=(recording("/old/flat.wav", file_digest(new / "flat.wav")),)),
        Song("other", recordings=(recording("/old/other.wav"),)),
        Song("gone", recordings=(recording("/old/Ann/Two/2.wav"),)),
        Song("fit", recordings=(recording("One/1.wav"),)),
    ]
    catalog = catalog_of(*songs)
    assert all(RecordingFiles(catalog).find(song.item_id) is None for song in songs)
    files = RecordingFiles(catalog, moved_to=new)
    assert files.find("deep") == new / "Ann/One/1.wav"
    assert files.find("flat") == new / "flat.wav"
    assert files.find("other") is None  # the same name, another recording
    assert files.find("gone") is None
    assert RecordingFiles(catalog, moved_to=new / "Ann").find("fit") == new / "Ann/One/1.wav"
    with pytest.raises(InvalidArgumentError) as raised:
        RecordingFiles(catalog, moved_to=new / "1.wav")
    assert str(raised.value) == f"{new / '1.wav'}: is no folder of recordings"


def test_names_that_are_no_text(tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9.wav")
    place.touch()
    files = RecordingFiles(catalog_of(Song("a", recordings=(recording(place),))))
    assert files.find("a") == place


def test_what_two_items_have_in_common():
    songs = [
        Song("a", recordings=(recording("a.wav", "one", "hum"),)),
        Song("b", recordings=(recording("b.flac", "two", "hum"), recording("c.wav", "three"))),
        Song("c"),
    ]
    files = RecordingFiles(catalog_of(*songs))
    files.look_up(["a", "b", "c", "no such item"])
    assert files.contents("a") == {"one", "hum"}
    assert files.contents("a") & files.contents("b") == {"hum"}
    assert files.contents("c") == set()
    assert files.items_with("two") == ["b"]
    assert files.items_with("no") == []
