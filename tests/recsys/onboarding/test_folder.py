"""Folders of new recordings: added, skipped, gone on with; a crash costs its own file alone."""

import json
import os
import shutil
import signal
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import AudioError, DataError, InvalidArgumentError
from embedding.hyperimage import extraction
from recsys import Recommender
from recsys.database.catalog import Catalog
from recsys.onboarding import folder as folder_onboarding
from recsys.onboarding.folder_entries import folder_entries
from tests.helpers.commands import Call
from tests.helpers.decoding import decoding_here
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saved(hearing_model: Path) -> Path:
    """A model of eight recordings and six listeners, on the disk."""
    return hearing_model


@pytest.fixture
def place(saved: Path, tmp_path: Path) -> Path:
    """A copy of the model, for one test."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five recordings, one of them further down, and files that are none."""
    folder = tmp_path / "new"
    for number in range(4):
        write_song(folder / f"{number}.wav", 10 + number)
    write_song(folder / "deep" / "er" / "4.FLAC", 14)
    (folder / "notes.txt").write_text("not a recording")
    (folder / "._0.wav").write_bytes(b"what some systems leave behind")
    return folder


def statuses(report: pd.DataFrame) -> dict[str, str]:
    return dict(zip(report["item_id"], report["status"], strict=True))


# ------------------------------------------------------------------ a folder


def test_every_recording_becomes_an_item(place: Path, folder: Path) -> None:
    model = Recommender.load(place)
    report = model.onboard_folder(folder)
    assert report.columns.tolist() == ["item_id", "path", "status", "reason", "familiarity"]
    assert report["path"].tolist() == ["0.wav", "1.wav", "2.wav", "3.wav", "deep/er/4.FLAC"]
    assert statuses(report) == dict.fromkeys(["0", "1", "2", "3", "deep/er/4"], "added")
    assert model.recommend("user-1", only=["deep/er/4"])["cold"].tolist() == [True]
    assert Recommender.load(place).info["onboarded"] == 5


def test_a_folder_gives_what_its_files_give_one_by_one(place: Path, folder: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(folder)
    for number in range(4):
        model.onboard(folder / f"{number}.wav", item_id=f"twin-{number}")
    library = model._fitted()
    for number in range(4):
        (one, two), known = library.items.embeddings(
            library.items.rows([str(number), f"twin-{number}"])
        )
        assert known.all()
        np.testing.assert_allclose(one, two, atol=1e-5)
    songs = {song.item_id: song for song in library.catalog.onboarded()}
    one, two = songs["2"], songs["twin-2"]
    assert one.recordings == two.recordings
    assert one.recordings[0].path == str(folder / "2.wav")
    assert one.scores is not None
    assert one.scores["genre"] == pytest.approx(two.scores["genre"], abs=1e-5)


def test_what_is_there_unchanged_is_not_decoded_again(place: Path, folder: Path) -> None:
    Recommender.load(place).onboard_folder(folder)
    write_song(folder / "1.wav", 30)
    write_song(folder / "5.wav", 31)
    model = Recommender.load(place)
    report = statuses(model.onboard_folder(folder))
    assert report.pop("1") == report.pop("5") == "added"
    assert set(report.values()) == {"unchanged"}
    assert model.info["onboarded"] == 6
    titles = pd.DataFrame({"path": ["2.wav", "3.wav"], "title": ["Two", ""]})
    assert statuses(model.onboard_folder(folder, titles))["2"] == "updated"
    assert model.similar("0", k=20, by="sound").set_index("item_id").loc["2", "title"] == "Two"
    again = statuses(model.onboard_folder(folder, titles))
    assert set(again.values()) == {"unchanged"}


def test_a_run_that_is_cut_short_goes_on(
    place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_onboarding, "FILES_AT_ONCE", 2)
    model = Recommender.load(place)
    add, added = model._add_songs, []

    def until_the_second(songs, heard_by):
        if added:
            raise KeyboardInterrupt
        added.extend(song.item_id for song in songs)
        add(songs, heard_by)

    monkeypatch.setattr(model, "_add_songs", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        model.onboard_folder(folder)
    assert len(added) == 2
    report = statuses(Recommender.load(place).onboard_folder(folder))
    assert {name for name, status in report.items() if status == "unchanged"} == set(added)
    assert sum(status == "added" for status in report.values()) == 3


def test_pure_silence_is_no_item(place: Path, tmp_path: Path) -> None:
    model = Recommender.load(place)
    soundfile.write(tmp_path / "silent.wav", np.zeros(11025), 11025)
    for recording in (tmp_path / "silent.wav", (tmp_path / "silent.wav").read_bytes()):
        with pytest.raises(AudioError, match=r"is silent$"):
            model.onboard(recording, item_id="silence")
    assert Recommender.load(place).info["onboarded"] == model.info["onboarded"] == 0


def test_bad_files_are_reported_and_the_others_used(place: Path, folder: Path) -> None:
    (folder / "text.mp3").write_text("no sound")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "silent.wav", np.zeros(11025), 11025)
    write_song(folder / "song-0.wav", 40)  # an item with listeners, and another recording
    model = Recommender.load(place)
    report = model.onboard_folder(folder).set_index("path")
    bad = report[report["status"] == "failed"]["reason"].to_dict()
    assert set(bad) == {"text.mp3", "empty.wav", "silent.wav", "song-0.wav"}
    assert bad["silent.wav"] == "is silent"
    assert bad["empty.wav"] == "is empty (0 bytes)"
    assert "listeners already" in bad["song-0.wav"]
    assert (report["status"] == "added").sum() == 5
    assert model.info["onboarded"] == 5


def test_a_model_without_ears(folder: Path, fit_quickly) -> None:
    with pytest.raises(InvalidArgumentError, match="onboard with embedding="):
        fit_quickly().onboard_folder(folder)


# ------------------------------------------------------------------ metadata


def test_texts_and_ids_come_from_the_table(place: Path, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "items.csv"
    table.write_text(
        "path,item_id,title,genre,mood\n4.FLAC,four,Vier,jazz,calm\n0.wav,,Null,,\n"
        "gone.wav,gone,Weg,,\n"
    )
    model = Recommender.load(place)
    report = model.onboard_folder(folder, table).set_index("item_id")
    assert report.loc["four", "path"] == "deep/er/4.FLAC"
    assert report.loc["gone", "status"] == "failed"
    assert report.loc["gone", "reason"] == f"{table}, line 4: 'gone.wav' is not in the folder"
    assert (report["status"] == "added").sum() == 5
    songs = {song.item_id: song for song in model._fitted().catalog.onboarded()}
    assert (songs["four"].title, songs["four"].genre) == ("Vier", "jazz")
    assert songs["four"].tags == {"mood": "calm"}
    assert songs["0"].title == "Null"
    assert songs["1"].title == "1"  # has no tags


def test_a_table_may_be_parquet(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "items.parquet"
    pd.DataFrame({"file": ["1.wav"], "item_id": [17], "artist": ["X"]}).to_parquet(table)
    (entry,) = (entry for entry in folder_entries(folder, table).entries if entry.path == "1.wav")
    assert (entry.item_id, entry.texts) == ("17", {"artist": "X"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id\na\n", "one column named 'path' or 'file' or 'filename' is expected, not 0"),
        ("path,file\na,b\n", "is expected, not 2"),
        ("path,title\n,x\n", "line 2, column 'path': is blank"),
        ("path\n0.wav\n1.wav\n0.wav\n", "line 4, column 'path': '0.wav' is there already, in line"),
        ("path\n0.wav\nsame.wav\n", "line 3, column 'path': 'same.wav' could be 'a/same.wav' or"),
        ("path,item_id\n0.wav,x\n1.wav,x\n", "line 3, column 'item_id': 'x' is there already"),
        ("path,item_id\n0.wav,1\n", "'0.wav' and '1.wav' would both be item '1'"),
        ("path,title\n0.wav\n", "line 2: 1 values, but the header names 2 columns"),
    ],
)
def test_what_is_wrong_with_a_table_is_named_by_its_row(
    folder: Path, tmp_path: Path, text: str, message: str
) -> None:
    for place in ("a", "b"):
        (folder / place).mkdir()
        shutil.copy(folder / "0.wav", folder / place / "same.wav")
    table = tmp_path / "items.csv"
    table.write_text(text)
    with pytest.raises(DataError) as raised:
        folder_entries(folder, table)
    assert message in str(raised.value)
    assert str(table if "would both" not in message else folder) in str(raised.value)


def test_what_is_no_folder_of_recordings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist"):
        folder_entries(tmp_path / "none", None)
    with pytest.raises(DataError, match="holds no recordings"):
        folder_entries(tmp_path, None)
    for suffix in (".wav", ".mp3"):
        (tmp_path / f"a{suffix}").touch()
    assert [entry.item_id for entry in folder_entries(tmp_path, None).entries] == ["a.mp3", "a.wav"]


# ------------------------------------------------------------------ a library that changes


def tagged(path: Path, **tags: str) -> Path:
    """Write tags into a FLAC file."""
    file = mutagen.File(path)
    file.update({name.upper(): text for name, text in tags.items()})
    file.save()
    return path


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Path]:
    """Three tagged recordings, decoded in this process: what is known of files is tested."""
    for number, name in enumerate("abc"):
        path = write_song(tmp_path / "library" / f"{name}.flac", 50 + number)
        tagged(path, title=f"Song {name}", artist="Ann", genre="dub", date="1999")
    with decoding_here():
        yield tmp_path / "library"


def onboarded(model: Recommender) -> dict[str, Any]:
    return {song.item_id: song for song in model._fitted().catalog.onboarded()}


def test_tags_are_read(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library, pd.DataFrame({"path": ["b.flac"], "artist": "Bob", "album": ""}))
    songs = onboarded(model)
    assert (songs["a"].title, songs["a"].artist, songs["a"].genre) == ("Song a", "Ann", "dub")
    assert songs["a"].tags == {"year": "1999"}
    assert (songs["b"].title, songs["b"].artist) == ("Song b", "Bob")  # the table comes first
    assert set(statuses(model.onboard_folder(library)).values()) == {"unchanged"}
    assert onboarded(model)["b"].artist == "Bob"


def test_renamed_moved_and_retagged_files_stay_what_they_are(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library)
    before = onboarded(model)
    tagged(library / "a.flac", replaygain_track_gain="-6.0 dB")
    (library / "b.flac").rename(library / "other name.flac")
    tagged(library / "other name.flac", title="Another title")
    (library / "new").mkdir()
    (library / "c.flac").rename(library / "new" / "c.flac")
    report = model.onboard_folder(library)
    assert statuses(report) == {"a": "unchanged", "c": "updated", "b": "updated"}
    songs = onboarded(Recommender.load(place))
    assert songs["b"].title == "Another title"
    assert songs["b"].recordings[0].path == str(library / "other name.flac")
    np.testing.assert_array_equal(songs["b"].embedding, before["b"].embedding)
    library.rename(library.parent / "moved")
    report = model.onboard_folder(library.parent / "moved")
    assert set(statuses(report)) == {"a", "b", "c"}
    assert set(report["status"]) == {"updated"}
    assert set(statuses(model.onboard_folder(library.parent / "moved")).values()) == {"unchanged"}


def test_played_songs_are_followed_too(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library)
    model.update(pd.DataFrame({"user_id": ["u"], "item_id": ["a"], "weight": [3.0]}))
    tagged(library / "a.flac", rating="5")
    assert statuses(model.onboard_folder(library))["a"] == "unchanged"
    before = model.recommend("user-1", k=20).set_index("item_id")["score"]
    tagged(library / "a.flac", title="Played")
    (library / "a.flac").rename(library / "played.flac")
    assert statuses(model.onboard_folder(library))["a"] == "updated"
    for now in (model, Recommender.load(place)):
        after = now.recommend("user-1", k=20).set_index("item_id")
        assert after.loc["a", "title"] == "Played"
        np.testing.assert_allclose(after["score"].loc[before.index], before, atol=1e-5)
    model.rebuild()  # now it is of the fit, whose texts stay
    tagged(library / "played.flac", title="Later")
    report = model.onboard_folder(library).set_index("item_id")
    assert report.loc["a", "status"] == "unchanged"
    assert report.loc["a", "reason"] == "has other texts now, which a new fit will read"


def test_a_fit_of_before_sounds_were_known(
    saved: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalog, "sounds", lambda self: {})
    folder = tmp_path / "library"
    folder.mkdir()
    played = (saved.parent / "song-1.wav").read_bytes()
    (folder / "song-1.wav").write_bytes(played + b"LIST\4\0\0\0INFO")
    write_song(folder / "song-2.wav", 61)
    report = Recommender.load(place).onboard_folder(folder)
    assert statuses(report) == {"song-1": "unchanged", "song-2": "failed"}
    assert "listeners already" in report["reason"].iloc[1]


def test_two_files_swap_their_names(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library)
    before = onboarded(model)
    (library / "a.flac").rename(library / "x")
    (library / "b.flac").rename(library / "a.flac")
    (library / "x").rename(library / "b.flac")
    assert statuses(model.onboard_folder(library)) == {
        "a": "updated",
        "b": "updated",
        "c": "unchanged",
    }
    for name in "ab":
        np.testing.assert_array_equal(onboarded(model)[name].embedding, before[name].embedding)


def test_what_is_gone_can_be_taken_out(call: Call, place: Path, library: Path) -> None:
    assert call("onboard", place, library)[0] == 0
    kept = (library / "a.flac").read_bytes()
    (library / "a.flac").unlink()
    code, out, err = call("onboard", place, library)
    assert (code, out) == (0, f"{library}: 0 added, 2 unchanged, 0 failed, 1 missing\n")
    assert "none does not exist" in call("onboard", place, library.parent / "none")[2]
    assert "1 song of an earlier run is gone: a.flac" in err
    assert "--remove-missing takes them out" in err
    code, out, _ = call("onboard", place, library, "--remove-missing")
    assert (code, out) == (0, f"{library}: 0 added, 2 unchanged, 0 failed, 1 removed\n")
    assert set(onboarded(Recommender.load(place))) == {"b", "c"}
    assert "missing" not in call("onboard", place, library)[1]
    (library / "a.flac").write_bytes(kept)
    assert "1 added, 2 unchanged" in call("onboard", place, library)[1]


def test_nothing_is_taken_out_of_a_folder_that_is_not_there(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library)
    library.rename(library.parent / "unplugged")
    with pytest.raises(DataError, match="does not exist"):
        model.onboard_folder(library, remove_missing=True)
    library.mkdir()
    with pytest.raises(DataError, match="holds no recordings"):
        model.onboard_folder(library, remove_missing=True)
    write_song(library / "z.wav", 60)  # another disk
    report = model.onboard_folder(library, remove_missing=True)
    assert set(report["status"]) == {"added", "missing"}
    assert report["reason"].str.contains("so that none is taken out").sum() == 3
    assert set(onboarded(model)) == {"a", "b", "c", "z"}


def test_one_recording_under_two_names(call: Call, place: Path, library: Path) -> None:
    shutil.copy(library / "a.flac", library / "copy.flac")
    tagged(library / "copy.flac", title="A copy")
    other = shutil.copytree(place, place.parent / "other")
    code, out, err = call("onboard", place, library)
    assert (code, out) == (0, f"{library}: 4 added, 0 unchanged, 0 failed\n")
    assert "1 song sounds like another recording: copy.flac" in err
    code, out, err = call("onboard", other, library, "--duplicates", "skip")
    assert (code, out) == (0, f"{library}: 3 added, 0 unchanged, 0 failed, 1 duplicate\n")
    assert set(onboarded(Recommender.load(other))) == {"a", "b", "c"}


def test_names_that_are_no_text(call: Call, place: Path, library: Path) -> None:
    (library / "a.flac").rename(os.fsdecode(os.fsencode(library) + b"/caf\xe9.flac"))
    (library / "b.flac").rename(library / " .flac")
    (library / "c.flac").rename(library / "new\nline.flac")
    code, out, _ = call("onboard", place, library, "--json")
    assert code == 0
    assert {row["item_id"] for row in json.loads(out)} == {r"caf\xe9", " .flac", "new\nline"}
    code, out, _ = call("onboard", place, library)
    assert (code, out) == (0, f"{library}: 0 added, 3 unchanged, 0 failed\n")


def test_a_song_comes_beside_one_of_the_same_name(place: Path, library: Path) -> None:
    model = Recommender.load(place)
    model.onboard_folder(library)
    write_song(library / "a.wav", 70)
    write_song(library.parent / "second" / "a.flac", 71)
    assert statuses(model.onboard_folder(library)) == {
        "a": "unchanged", "a.wav": "added", "b": "unchanged", "c": "unchanged",
    }  # fmt: skip
    assert statuses(model.onboard_folder(library.parent / "second")) == {"a.flac": "added"}
    assert set(onboarded(model)) == {"a", "b", "c", "a.wav", "a.flac"}


def test_names_of_a_table_in_another_unicode_form(place: Path, library: Path) -> None:
    (library / "a.flac").rename(library / unicodedata.normalize("NFD", "Beyoncé.flac"))
    table = pd.DataFrame({"path": [unicodedata.normalize("NFC", "Beyoncé.flac")], "title": "Halo"})
    model = Recommender.load(place)
    report = model.onboard_folder(library, table)
    assert set(report["status"]) == {"added"}
    assert "Halo" in [song.title for song in onboarded(model).values()]


# ------------------------------------------------------------------ crashes and threads


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that dies over files named bad."""
    original = extraction.decode_recording

    def decode_recording(job):
        if job.file.path.stem == "bad":
            os.kill(os.getpid(), signal.SIGSEGV)
        return original(job)

    monkeypatch.setattr(extraction, "decode_recording", decode_recording)


@pytest.mark.usefixtures("crashing")
def test_a_crash_costs_its_file_alone(place: Path, folder: Path) -> None:
    bad = write_song(folder / "bad.wav", 20)
    model = Recommender.load(place)
    with pytest.raises(AudioError, match=r"bad\.wav: the decoder crashed on it"):
        model.onboard(bad, item_id="bad")
    assert model.onboard(folder / "0.wav", item_id="good").item_id == "good"
    report = model.onboard_folder(folder, threads=2).set_index("item_id")
    assert report.loc["bad", ["status", "reason"]].tolist() == [
        "failed",
        "the decoder crashed on it",
    ]
    assert report.loc["good", "status"] == "updated"  # from now on with a title
    assert (report["status"] == "added").sum() == 4


def test_threads_may_onboard_at_the_same_time(place: Path, folder: Path) -> None:
    model = Recommender.load(place)
    failures: list[BaseException] = []

    def onboard(numbers: list[int]) -> None:
        try:
            for number in numbers:
                model.onboard(folder / f"{number % 4}.wav", item_id=f"late-{number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=onboard, args=(range(n, 20, 2),)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert model.info["onboarded"] == 20
    library = model._fitted()
    ids = [f"late-{number}" for number in range(20)]
    assert library.items.ids(library.items.rows(ids)).tolist() == ids
    vectors, _ = library.items.embeddings(library.items.rows(ids))
    for number in range(4, 20):
        np.testing.assert_allclose(vectors[number], vectors[number % 4], atol=1e-5)
    assert Recommender.load(place).info["onboarded"] == 20


# ------------------------------------------------------------------ the command


def test_the_command(call: Call, place: Path, folder: Path) -> None:
    (folder / "text.mp3").write_text("no sound")
    code, out, err = call("onboard", place, folder)
    assert code == 0
    assert out == f"{folder}: 5 added, 0 unchanged, 1 failed\n"
    assert "text.mp3: cannot be decoded" in err
    assert "passed over: 1 .txt files, 1 hidden files (--verbose names them)" in err
    assert "notes.txt: passed over: is no audio" in call("onboard", place, folder, "--verbose")[2]
    code, out, _ = call("onboard", place, folder, "--json", "--threads", "1")
    assert code == 0
    rows = json.loads(out)
    assert [row["status"] for row in rows[:6]] == ["unchanged"] * 5 + ["failed"]
    assert {row["path"]: row["reason"] for row in rows[6:]} == {
        "._0.wav": "is hidden",
        "notes.txt": "is no audio file by its suffix",
    }
    only = folder.parent / "only"
    only.mkdir()
    (folder / "text.mp3").rename(only / "text.mp3")
    assert call("onboard", place, only)[0] == 1
    assert "--title is for one recording" in call("onboard", place, folder, "--title", "x")[2]
    assert (
        "--threads is for a folder"
        in call("onboard", place, "x.wav", "--item-id", "x", "--threads", 1)[2]
    )
