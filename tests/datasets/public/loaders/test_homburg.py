"""Homburg: nine zips of mp3 files named Artist-Title, as published."""

import zipfile
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.public.base import fetch
from datasets.public.loaders.homburg import HOMBURG, SONGS

NAMES = {
    # Names of the published list.
    "alternative": ["50_Minutes-The_Great_Wall", "Sugarplum_Fairies-_2_Kraft_Paperbag"],
    "blues": ["BB_CHUNG_KING_AND_THE_BUDDAHEADS-rise_above_it"],
    "rock": ["no_hyphen"],
}


def publish(folder: Path) -> Path:
    folder.mkdir()
    for genre in SONGS:
        with zipfile.ZipFile(folder / f"{genre}.zip", "w") as archive:
            for name in NAMES.get(genre, [f"An_Artist-A_{genre}_song"]):
                archive.writestr(f"{name}.mp3", f"sound of {name}")
            archive.writestr("readme.txt", "not a song")
    return folder


def test_converted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    music = fetch(HOMBURG, tmp_path / "out", source=publish(tmp_path / "published"), progress=False)
    assert len(music.items) == len(music.audio) == 10
    assert music.interactions.empty
    rows = music.items.set_index("item_id")
    assert rows.loc["alternative/50_Minutes-The_Great_Wall"].tolist() == [
        "The Great Wall", "50 Minutes", "", "alternative",
    ]  # fmt: skip
    fairies = rows.loc["alternative/Sugarplum_Fairies-_2_Kraft_Paperbag"]
    assert (fairies["title"], fairies["artist"]) == ("2 Kraft Paperbag", "Sugarplum Fairies")
    assert rows.loc["rock/no_hyphen", ["title", "artist"]].tolist() == ["no hyphen", ""]
    assert music.recording_labels().tolist() == rows["genre"].tolist()
    first = music.recording_paths()[0]
    assert first.read_text() == "sound of 50_Minutes-The_Great_Wall"
    # A part of the published songs is said to be a part.
    assert "homburg: 2 songs of alternative, not 145" in caplog.text


def test_unpacked_folders_give_the_same(tmp_path: Path) -> None:
    source = publish(tmp_path / "published")
    zipped = fetch(HOMBURG, tmp_path / "one", source=source, progress=False)
    for genre in SONGS:
        with zipfile.ZipFile(source / f"{genre}.zip") as archive:
            archive.extractall(source / genre)
        (source / f"{genre}.zip").unlink()
    assert fetch(HOMBURG, tmp_path / "two", source=source, progress=False).digest() == (
        zipped.digest()
    )


def test_errors(tmp_path: Path) -> None:
    source = publish(tmp_path / "published")
    (source / "jazz.zip").write_bytes((source / "jazz.zip").read_bytes()[:50])
    with pytest.raises(DataError, match=r"jazz\.zip is damaged"):
        fetch(HOMBURG, tmp_path / "out", source=source, progress=False)
    (source / "jazz.zip").unlink()
    with pytest.raises(DataError, match=r"published has no jazz\.zip and no jazz"):
        fetch(HOMBURG, tmp_path / "out", source=source, progress=False)
    assert not (tmp_path / "out").exists()


def test_the_published_counts_add_up() -> None:
    assert (sum(SONGS.values()), len(SONGS)) == (1886, 9)
