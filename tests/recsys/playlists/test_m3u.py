"""Playlists as M3U files: what a player reads is what was meant, whatever the names are."""

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pandas as pd
import pytest
import soundfile

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.texts.file_names import name_as_text
from recsys.playlists.m3u import write_m3u

HOSTILE = [
    "a song.wav", " leading.wav", "trailing.wav ", "#comment.wav", "#EXTINF:1,x.wav", "~home.wav",
    "re:mix.wav", "http:x.wav", "two\nlines.wav", "re\rturn.wav", "tab\there.wav", "50% off.wav",
    "Ünïcödé ☃.wav", "e\u0301.wav", "\u2028.wav", "\ufeffbom.wav", "quo\"te'.wav",
    "back\\slash.wav", "a, b - c.wav", "file:.wav", "-dash.wav", "\x1b[2J.wav", "\x85.wav",
]  # fmt: skip


def read_m3u(path):
    """What a player makes of the file: (seconds, shown text, path) of each song."""
    songs, facts = [], None
    text = Path(path).read_bytes().decode("utf-8")
    for line in text.replace("\r\n", "\n").split("\n"):
        line = line.strip()
        if line.startswith("#EXTINF:"):
            seconds, _, shown = line.removeprefix("#EXTINF:").partition(",")
            facts = int(seconds), shown
        elif line and not line.startswith("#"):
            if re.match("[a-z]+://", line):
                assert line.startswith("file:///")
                place = os.fsdecode(unquote_to_bytes(line.removeprefix("file://")))
            else:
                place = line
            songs.append((*facts, Path(path).parent / place))
            facts = None
    assert text.startswith("#EXTM3U\n")
    return songs


def table(paths, titles=None, artist="Ann"):
    titles = titles or [f"Title {n}" for n in range(len(paths))]
    return pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(len(paths))],
            "title": titles,
            "artist": artist,
            "path": [name_as_text(str(path)) if path else "" for path in paths],
        }
    )


def test_seconds_artist_title_and_path(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.0] * 20_000, 8000)
    (tmp_path / "broken.mp3").write_bytes(b"nothing")
    frame = table([tmp_path / "a.wav", tmp_path / "broken.mp3"])
    assert write_m3u(frame, tmp_path / "list.m3u8") == (2, ())
    assert (tmp_path / "list.m3u8").read_text(encoding="utf-8") == (
        "#EXTM3U\n#EXTINF:2,Ann - Title 0\na.wav\n#EXTINF:-1,Ann - Title 1\nbroken.mp3\n"
    )


@pytest.mark.parametrize("inside", [True, False])
def test_names_that_are_hostile(tmp_path, inside):
    music, lists = tmp_path / "mu sic", tmp_path / "lists"
    music.mkdir()
    names = [*HOSTILE, os.fsdecode(b"caf\xe9.wav")]
    for name in names:
        (music / name).touch()
    out = (music if inside else lists) / "list.m3u8"
    write_m3u(table([music / name for name in names]), out)
    found = [place for _, _, place in read_m3u(out)]
    assert [place.name for place in found] == names
    assert all(place.samefile(music / place.name) for place in found)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 2 * len(names)  # no name adds a line, however lines are told apart
    if inside:
        assert "a song.wav" in lines
        assert "./#comment.wav" in lines


def test_titles_that_are_hostile(tmp_path):
    titles = ["one\n#EXTINF:9,two", "\r\nx\x1b[2J\u202etxt", "a\u2028b", "  ", "Ünï – ☃", "a,b"]
    paths = [tmp_path / f"{n}.mp3" for n in range(len(titles))]
    write_m3u(table(paths, titles, artist="Ann\nBo"), tmp_path / "x.m3u8")
    shown = [text for _, text, _ in read_m3u(tmp_path / "x.m3u8")]
    assert shown == [
        "Ann Bo - one #EXTINF:9,two", "Ann Bo - x\\x1b[2J\\u202etxt", "Ann Bo - a b", "Ann Bo - 3",
        "Ann Bo - Ünï – ☃", "Ann Bo - a,b",
    ]  # fmt: skip
    write_m3u(table(paths[:1], [""], artist=""), tmp_path / "y.m3u8")
    assert read_m3u(tmp_path / "y.m3u8")[0][1] == "0"


def test_relative_below_its_folder_and_absolute_elsewhere(tmp_path):
    for folder in ("music/jazz", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "music")
    songs = [tmp_path / "music/jazz/a.mp3", tmp_path / "other/b.mp3"]
    for song in songs:
        song.touch()
    for folder in ("music", "link"):
        write_m3u(table(songs), tmp_path / folder / "x.m3u8", replace=True)
        lines = (tmp_path / folder / "x.m3u8").read_text().split("\n")
        assert lines[2::2][:2] == ["jazz/a.mp3", str(songs[1])]


def test_songs_without_a_file_are_left_out_and_told(tmp_path):
    frame = table([tmp_path / "a.mp3", "", tmp_path / "b.mp3", ""])
    assert write_m3u(frame, tmp_path / "x.m3u8") == (2, ("i1", "i3"))
    assert len(read_m3u(tmp_path / "x.m3u8")) == 2
    for paths, said in [
        ([""] * 8, "8 songs have no recording that is there: 'i0', 'i1', 'i2', 'i3', 'i4' and "
         "3 more"),
        ([""], "1 song has no recording that is there: 'i0'"),
        ([], "no song to write"),
    ]:  # fmt: skip
        with pytest.raises(InvalidArgumentError) as raised:
            write_m3u(table(paths), tmp_path / "none" / "y.m3u8")
        assert str(raised.value) == f"{tmp_path / 'none' / 'y.m3u8'}: {said}"
    assert not (tmp_path / "none").exists()


def test_a_file_is_there_already(tmp_path):
    out, frame = tmp_path / "x.m3u8", table([tmp_path / "a.mp3"])
    out.write_text("mine")
    with pytest.raises(InvalidArgumentError) as raised:
        write_m3u(frame, out)
    assert str(raised.value) == f"{out}: is there already; replace=True writes over it"
    assert out.read_text() == "mine"
    write_m3u(frame, out, replace=True)
    assert len(read_m3u(out)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.m3u8"]


def test_where_no_playlist_can_be(tmp_path):
    frame = table([tmp_path / "a.mp3"])
    for name in ("x.m3u", "x.txt", "x"):
        with pytest.raises(InvalidArgumentError) as raised:
            write_m3u(frame, tmp_path / name)
        assert str(raised.value).endswith(f"{name}: must end in .m3u8, which is M3U in UTF-8")
    (tmp_path / "file").touch()
    (tmp_path / "folder.m3u8").mkdir()
    for place in ("file/x.m3u8", "folder.m3u8"):
        with pytest.raises(ArtifactError) as raised:
            write_m3u(frame, tmp_path / place, replace=True)
        assert str(raised.value).startswith(f"{tmp_path / place}: cannot be written: ")
