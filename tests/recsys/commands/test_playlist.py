"""``coldtune playlist``, as somebody types it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from recsys import Recommender
from recsys.database.catalog import Catalog
from recsys.database.song import SongRecording
from recsys.model.live import LiveModel
from tests.helpers.recommenders import QUICK


@pytest.fixture(scope="module")
def saved(tastes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 90 songs with a recording of each in the folder ``music`` beside it."""
    root = tmp_path_factory.mktemp("playlists")
    fitted = Recommender(QUICK).fit(*tastes)
    songs = [
        replace(song, recordings=(SongRecording(f"{song.item_id}.wav", f"digest of {song.item_id}",
                                                "", "", ""),))
        for song in fitted._model.catalog.songs()
    ]  # fmt: skip
    (root / "music").mkdir()
    for song in songs:
        soundfile.write(root / "music" / f"{song.item_id}.wav", [0.0] * 3000, 1000)
    catalog = Catalog.in_memory()
    catalog.fill(songs)
    state = replace(
        fitted._model.state,
        info=fitted._model.state.info | {"dataset": {"folder": str(root / "music")}},
    )
    model = Recommender(QUICK)
    model._model = LiveModel(state, catalog)
    model.save(root / "model")
    return root / "model"


def test_a_file_for_players(call, saved, tmp_path):
    out = saved.parent / "list.m3u8"
    said = call("playlist", saved, "--like", "song 7", "--length", 5, "--out", out)
    assert (said.code, said.out) == (0, f"5 songs written to {out}\n")
    assert said.err == "'song 7' is taken for 'item-7' (Artist 3 - Song 7)\n"
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["#EXTM3U", "#EXTINF:3,Artist 3 - Song 7", "music/item-7.wav"]
    assert len(lines) == 11
    again = call("playlist", saved, "--like", "item-7", "--out", out)
    assert again.code == 1
    assert again.err == f"error: {out}: is there already; --replace writes over it\n"
    told = call("playlist", saved, "--like", "item-7", "--out", out, "--replace", "--json")
    assert json.loads(told.out)["file"] == str(out)
    assert len(json.loads(told.out)["items"]) == 20
    out.unlink()


def test_a_table_and_json(call, saved):
    said = call("playlist", saved, "--like", "item-7", "--length", 3)
    header, first, *_ = said.out.splitlines()
    assert header.split("\t") == [
        "rank", "item_id", "score", "distance", "title", "artist", "genre", "cold", "path",
    ]  # fmt: skip
    assert first.split("\t")[:4] == ["1", "item-7", "1.000", ""]
    told = json.loads(call("playlist", saved, "--like", "item-7", "--length", 3, "--json").out)
    assert [row["rank"] for row in told["items"]] == [1, 2, 3]
    assert told["items"][0]["distance"] is None
    assert told["notes"] == []


def test_several_songs_and_a_path_between_them(call, saved):
    options = ("--length", 8, "--by", "fused", "--json")
    by_option = call("playlist", saved, "--like", "item-0", "--like", "item-4", *options)
    behind = call("playlist", saved, "--like", "item-0", "item-4", *options)
    assert by_option == behind
    said = call("playlist", saved, "item-0", "item-4", "--path", "--per-artist", 1, *options)
    ids = [row["item_id"] for row in json.loads(said.out)["items"]]
    assert (ids[0], ids[-1], len(set(ids))) == ("item-0", "item-4", 8)
    options = ("--no-seeds", "--exclude", "song 2", "--where", "genre=pop", *options)
    said = call("playlist", saved, "item-2", *options)
    rows = json.loads(said.out)["items"]
    assert {row["genre"] for row in rows} == {"pop"}
    assert "item-2" not in [row["item_id"] for row in rows]


def test_recordings_that_are_gone(call, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    model, music = saved, saved.parent / "music"
    moved = music.rename(saved.parent / "moved")
    try:
        out = tmp_path / "new" / "x.m3u8"
        said = call("playlist", model, "--like", "item-7", "--out", out)
        assert said.code == 1
        assert said.err.startswith(f"error: {out}: no song to write: 'item-7' is left out")
        assert "89 songs were passed over" in said.err
        assert said.err.count("\n") == 1
        assert not out.parent.exists()
    finally:
        moved.rename(music)
    kept = tmp_path / "item-8.wav"
    (music / "item-8.wav").rename(kept)
    try:
        said = call(
            "playlist", model, "--like", "item-7", "--length", 90, "--out", tmp_path / "y.m3u8"
        )
        assert said.code == 0
        assert said.out.startswith("89 songs written to ")
        assert "1 song was passed over that would have fitted but has no recording" in said.err
    finally:
        kept.rename(music / "item-8.wav")


def test_what_is_wrong_is_said_in_a_line(call, saved, tmp_path):
    for words, code, text in [
        (["--like", "nix"], 1, "no item 'nix' in the catalogue"),
        (["--like", "song7"], 1, "no item 'song7' in the catalogue"),
        (["--like", "song7.mp3"], 1, "no file 'song7.mp3', and no item 'song7.mp3'"),
        (["--like", "x" * 5000], 1, "no item 'xxx"),
        ([], 2, "Missing option '--like'"),
        (["--like", "item-1", "--by", "smell"], 1, "--by must be sound, taste or fused"),
        (["--like", "item-1", "--out", "x.m3u"], 1, "x.m3u: must end in .m3u8"),
        (["--like", "item-1", "--replace"], 1, "--replace is for the file of --out"),
        (["--like", "item-1", "--length", "0"], 1, "length must be a whole number of at least 1"),
        (["--like", "item-1", "--path"], 1, "a path needs two seeds"),
        (["--like", "item-1", "--music", "nowhere"], 1, "nowhere: is no folder"),
        (["--like", "item-1", "item-1"], 1, "item 'item-1' is given twice"),
    ]:
        said = call("playlist", saved, *words)
        assert said.code == code, said
        assert text in said.err
        assert said.err.count("\n") == 1
