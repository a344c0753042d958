"""Folders of recordings with tags, written by soundfile and mutagen, as data sets."""

import os
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import ID3, TALB, TBPM, TCON, TDRC, TIT2, TMOO, TPE1, TPE2

from datasets.errors import DataError
from datasets.folder import load_folder, save_folder
from datasets.tagged_files import item_ids, tagged_folder
from recsys import Recommender, RecommenderConfig

RATE = 8000


def write(path: Path, frequency: float = 440.0, seconds: float = 0.05) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(RATE * seconds)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency * times), RATE)
    return path


def vorbis(path: Path, **tags: str | list[str]) -> Path:
    file: Any = mutagen.File(write(path))  # type: ignore[attr-defined]
    for name, value in tags.items():
        file[name] = value
    file.save()
    return path


def id3(path: Path, *frames: Any) -> Path:
    write(path)
    if path.suffix == ".wav":
        file: Any = mutagen.File(path)  # type: ignore[attr-defined]
        file.add_tags()
        for frame in frames:
            file.tags.add(frame)
        file.save()
    else:
        tags = ID3()
        for frame in frames:
            tags.add(frame)
        tags.save(path)
    return path


def row(folder: Path) -> dict[str, str]:
    """The one item of a folder."""
    (found,) = tagged_folder(folder).items.to_dict("records")
    return {str(name): value for name, value in found.items()}


@pytest.mark.parametrize("suffix", [".mp3", ".wav"])
def test_id3(tmp_path: Path, suffix: str) -> None:
    id3(
        tmp_path / "Miles Davis" / f"01 So What{suffix}",
        TIT2(encoding=3, text="So What"),
        TPE1(encoding=3, text=["Miles Davis", "Bill Evans"]),
        TALB(encoding=1, text="Kind of Blue — “mono”"),
        TCON(encoding=3, text="(8)(5)Modal"),
        TDRC(encoding=3, text="1959-08-17"),
        TBPM(encoding=3, text="136"),
        TMOO(encoding=3, text="calm"),
    )
    assert row(tmp_path) == {
        "item_id": "Miles Davis/01 So What", "title": "So What",
        "artist": "Miles Davis; Bill Evans", "album": "Kind of Blue — “mono”", "genre": "Jazz",
        "genres": "Jazz; Funk; Modal", "year": "1959", "bpm": "136", "mood": "calm",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_vorbis(tmp_path: Path, suffix: str) -> None:
    vorbis(
        tmp_path / f"a{suffix}",
        TITLE="Ágætis byrjun",
        ARTIST="Sigur Rós",
        GENRE=["Post-Rock", "Ambient", "Post-Rock"],
        DATE="1999",
    )
    found = row(tmp_path)
    assert (found["title"], found["artist"], found["album"]) == ("Ágætis byrjun", "Sigur Rós", "")
    assert (found["genre"], found["genres"]) == ("Post-Rock", "Post-Rock; Ambient")
    assert found["year"] == "1999"
    assert "bpm" not in found  # no file says


def test_mp4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing here writes an MP4 file; its tags are what mutagen makes of one.
    from mutagen.mp4 import MP4Tags

    tags: Any = MP4Tags()
    tags["©nam"], tags["©ART"], tags["©alb"] = ["Song"], ["\0 "], ["Album"]
    tags["aART"], tags["©gen"], tags["©day"] = ["Band"], ["(17)"], ["2004-05-01T07:00:00Z"]
    tags["tmpo"], tags["----:com.apple.iTunes:MOOD"] = [0], [b"caf\xc3\xa9"]
    monkeypatch.setattr(mutagen, "File", lambda path: type("MP4", (), {"tags": tags})())
    (tmp_path / "song.m4a").touch()
    assert row(tmp_path) == {
        "item_id": "song", "title": "Song", "artist": "Band", "album": "Album", "genre": "Rock",
        "year": "2004", "mood": "café",
    }  # fmt: skip


def test_without_tags_the_name_is_the_title(tmp_path: Path) -> None:
    write(tmp_path / "b" / "Blue Train.v2.wav")
    write(tmp_path / "b" / "Blue Train.flac")
    write(tmp_path / "tone.au")  # a format without tags
    id3(tmp_path / "c.mp3", TIT2(encoding=3, text="  "), TPE2(encoding=3, text="Various"))
    items = tagged_folder(tmp_path).items
    assert items["item_id"].tolist() == ["b/Blue Train", "b/Blue Train.v2", "c", "tone"]
    assert items["title"].tolist() == ["Blue Train", "Blue Train.v2", "c", "tone"]
    assert items["artist"].tolist() == ["", "", "Various", ""]
    assert items.columns.tolist() == ["item_id", "title", "artist", "album", "genre"]


def test_same_name_two_formats(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.wav", "x.wav/c.ogg"):
        write(tmp_path / name)
    music = tagged_folder(tmp_path)
    assert music.items["item_id"].tolist() == ["a.flac", "a.wav", "b", "x.wav/c"]
    assert music.audio["path"].tolist() == ["a.flac", "a.wav", "b.wav", "x.wav/c.ogg"]


def test_what_cannot_be_used_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "good.flac")
    write(tmp_path / ".hidden" / "x.wav")
    write(tmp_path / "._resource.wav")
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "junk.flac").write_bytes(b"this is no sound at all" * 50)
    (tmp_path / "cut.ogg").write_bytes(write(tmp_path / "t.ogg").read_bytes()[:40])
    (tmp_path / "t.ogg").unlink()
    (tmp_path / "notes.txt").write_text("not a recording")
    outside = write(tmp_path.parent / f"{tmp_path.name}-outside" / "far.wav")
    (tmp_path / "far.wav").symlink_to(outside)
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "again").symlink_to(tmp_path)  # a loop of folders
    with Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")).open("wb") as stream:
        stream.write((tmp_path / "good.flac").read_bytes())
    music = tagged_folder(tmp_path)
    assert music.items["item_id"].tolist() == ["good"]
    left_out = caplog.text
    for name in ("empty.mp3", "junk.flac", "cut.ogg", "far.wav", "gone.wav", "loop.wav"):
        assert left_out.count(f"left out: '{name}'") == 1, name
    assert r"caf\udce9.wav': its name is not valid text" in left_out
    assert "leaves the data set's folder" in left_out
    assert "passed over: 1 links to folders" in left_out
    assert len(caplog.records) == 8
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_tags_that_cannot_be_read_cost_the_tags_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(path: Path) -> Any:
        raise ValueError("a tag of no length")

    monkeypatch.setattr(mutagen, "File", odd)
    write(tmp_path / "a.flac")
    assert row(tmp_path)["title"] == "a"
    assert "the tags of 'a.flac' cannot be read: a tag of no length" in caplog.text


def test_nothing_to_use(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(DataError, match="holds no recordings that can be used"):
        tagged_folder(tmp_path)
    with pytest.raises(DataError, match="holds no recordings that can be used"):
        load_folder(tmp_path)


def test_load_folder_reads_tags_where_there_is_no_table(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    for number in (10, 2, 1):
        vorbis(folder / "Ann" / f"{number}.flac", TITLE=f"Song {number}", ARTIST="Ann", GENRE="Dub")
    music = load_folder(folder)
    assert music.items["title"].tolist() == ["Song 1", "Song 10", "Song 2"]
    assert music.recording_labels().tolist() == ["Dub"] * 3
    assert music.recording_artists().tolist() == ["Ann"] * 3
    assert music.interactions.empty
    assert music.digest() == tagged_folder(folder).digest()
    # Written out it is a data set of tables, and those count from then on.
    saved = load_folder(save_folder(music, folder))
    assert saved.digest() == music.digest()
    (folder / "items.csv").unlink()
    with pytest.raises(DataError, match=r"has no items\.csv and no items\.parquet"):
        load_folder(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no items\.csv and no items\.parquet"):
        load_folder(tmp_path / "empty")


def test_it_teaches_what_the_songs_sound_like(tmp_path: Path) -> None:
    for number in range(4):
        vorbis(tmp_path / f"{number}.flac", GENRE=["dub", "ska"][number % 2])
    network = {"architecture": "IC(5,5,4)PF(8)O", "epochs": 1, "threads": 1}
    config = RecommenderConfig(threads=1, encoder=network)
    model = Recommender(config).fit(load_folder(tmp_path))
    assert (model.info["now"]["with_embedding"], model.info["now"]["users"]) == (4, 0)
    assert "nobody has played anything yet" in model.info["sources_left_out"]


names = st.lists(st.sampled_from(["a", "b", ".wav", ".mp3"]), min_size=1, max_size=3).map("".join)


@pytest.mark.slow
@given(st.sets(st.tuples(names, st.sampled_from([".mp3", ".wav", ".ogg"])), max_size=12))
def test_ids_are_unique(parts: set[tuple[str, str]]) -> None:
    paths = sorted(name + suffix for name, suffix in parts)
    ids = item_ids(paths)
    assert len(set(ids)) == len(ids)
    assert all(path.startswith(item_id) for item_id, path in zip(ids, paths, strict=True))
