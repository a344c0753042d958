"""HetRec 2011 Last.fm-2K: its tables as published, quotes, line ends and latin-1 included."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.folder import load_folder
from datasets.public.base import fetch
from datasets.public.loaders import hetrec_lastfm as hetrec
from datasets.public.loaders.hetrec_lastfm import ARCHIVE, HETREC_LASTFM

REAL = Path(__file__).resolve().parents[5] / "shared" / "data" / "real-mini"
TABLES = {
    "artists.dat": (
        "id\tname\turl\tpictureURL\r\n"
        "51\tDuran Duran\thttp://www.last.fm/music/Duran+Duran\thttp://u/155668.jpg\r\n"
        '1686\t"Weird Al" Yankovic\thttp://www.last.fm/music/%22Weird\thttp://u/1.jpg\r\n'
        "5\tRoyce da 5'9\"\thttp://www.last.fm/music/Royce\thttp://u/2.jpg\r\n"
        # The address of the picture is blank, the tab before it is there.
        "119\tbilly gomberg + offthesky\thttp://www.last.fm/music/billy%2Bgomberg\t\r\n"
    ),
    "tags.dat": (
        "tagID\ttagValue\r\n1\trock\r\n2\t80s\r\n3\tNew  Wave\r\n4\tmágico\r\n5\tseen live\r\n"
    ),
    "user_artists.dat": (
        "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t1686\t11690\r\n3\t51\t1\r\n3\t99\t7\r\n"
        "4\t5\tmany\r\n"
    ),
    "user_taggedartists.dat": (
        "userID\tartistID\ttagID\tday\tmonth\tyear\r\n"
        "2\t51\t2\t1\t4\t2009\r\n3\t51\t2\t1\t4\t2009\r\n4\t51\t3\t1\t5\t2009\r\n"
        "2\t51\t1\t1\t4\t2009\r\n2\t1686\t4\t1\t4\t2009\r\n2\t1686\t1\t1\t4\t1956\r\n"
        "2\t5\t5\t1\t4\t2009\r\n2\t51\t777\t1\t4\t2009\r\n"
    ),
}


def publish(folder: Path, *, packed: bool = True, **changed: str) -> Path:
    folder.mkdir()
    tables = TABLES | {f"{name}.dat": text for name, text in changed.items()}
    encoded = {
        name: text.encode("latin-1" if name == "tags.dat" else "utf-8")
        for name, text in tables.items()
    }
    if packed:
        with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
            for name, content in encoded.items():
                archive.writestr(name, content)
    else:
        for name, content in encoded.items():
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(hetrec, "COMMON", 2)
    source = publish(tmp_path / "published", packed=packed)
    music = fetch(HETREC_LASTFM, tmp_path / "out", source=source, progress=False)
    rows = music.items.set_index("item_id")
    assert rows.index.tolist() == ["lastfm:51", "lastfm:1686", "lastfm:5", "lastfm:119"]
    assert rows["title"].tolist() == [
        "Duran Duran", '"Weird Al" Yankovic', "Royce da 5'9\"", "billy gomberg + offthesky",
    ]  # fmt: skip
    assert rows["artist"].tolist() == rows["title"].tolist()
    # 80s is most frequent but no genre; new wave is one artist's only; mágico and rock are one
    # user's each, of which the alphabet and two artists choose.
    assert rows["tags"].tolist() == ["80s; new wave; rock", "mágico; rock", "seen live", ""]
    assert rows["genre"].tolist() == ["rock", "rock", "", ""]
    assert music.interactions.values.tolist() == [
        ["u2", "lastfm:51", 13883.0], ["u2", "lastfm:1686", 11690.0], ["u3", "lastfm:51", 1.0],
    ]  # fmt: skip
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        "user_artists.dat,1 lines: the artist is not listed; the first is line 5",
        "user_artists.dat,1 lines: the weight is no number of plays; the first is line 6",
    ]


@pytest.mark.parametrize(
    ("table", "text", "problem"),
    [
        ("artists", "id\tname\n", "artists.dat, line 1: the header id, name, url, pictureURL is"),
        ("tags", "tagID\ttagValue\n1\trock\t\n", "tags.dat, line 2: 3 values, but the header"),
        ("user_artists", "userID\tartistID\tweight\n", "user_artists.dat: no line can be used"),
    ],
)
def test_another_format(tmp_path: Path, table: str, text: str, problem: str) -> None:
    source = publish(tmp_path / "published", **{table: text})
    with pytest.raises(DataError, match=problem):
        fetch(HETREC_LASTFM, tmp_path / "out", source=source, progress=False)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_the_real_set_comes_back(tmp_path: Path) -> None:
    """The interactions of real-mini, which are HetRec's, written as published and converted."""
    real = load_folder(REAL)
    artists = real.items[real.items["item_id"].str.startswith("lastfm:")]
    numbers = artists["item_id"].str.removeprefix("lastfm:")
    listed = [
        f"{number}\t{name}\thttp://www.last.fm/music/\thttp://u/.jpg\r\n"
        for number, name in zip(numbers, artists["title"], strict=True)
    ]
    plays = real.interactions
    played = [
        f"{user[1:]}\t{item.removeprefix('lastfm:')}\t{int(weight)}\r\n"
        for user, item, weight in plays[["user_id", "item_id", "weight"]].itertuples(index=False)
    ]
    source = publish(
        tmp_path / "published",
        artists="id\tname\turl\tpictureURL\r\n" + "".join(listed),
        user_artists="userID\tartistID\tweight\r\n" + "".join(played),
    )
    music = fetch(HETREC_LASTFM, tmp_path / "out", source=source, progress=False)
    pd.testing.assert_frame_equal(music.interactions, plays)
    assert music.items["item_id"].tolist() == artists["item_id"].tolist()
    assert music.items["title"].tolist() == artists["title"].tolist()
    assert music.summary()["n_users"] == 1892
    assert not (tmp_path / "out" / "left-out.csv").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_plays_are_taken_without_names_and_tags(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, packed: bool
) -> None:
    source = publish(tmp_path / "published", packed=False)
    for name in ("artists.dat", "tags.dat", "user_taggedartists.dat"):
        (source / name).unlink()
    if packed:
        with zipfile.ZipFile(source / ARCHIVE, "w") as archive:
            archive.write(source / "user_artists.dat", "user_artists.dat")
        (source / "user_artists.dat").unlink()
    out = tmp_path / "out"
    music = fetch(HETREC_LASTFM, out, source=source, progress=False)
    assert music.interactions["weight"].tolist() == [13883.0, 11690.0, 1.0, 7.0]
    assert set(music.items["title"]) == set(music.items["genre"]) == {""}
    said = [one.message for one in caplog.records if "has no" in one.message]
    assert [one.rpartition("has no ")[2].rpartition(" and no ")[2] for one in said] == [
        "artists.dat: artists have no names",
        "tags.dat: artists have no genres and tags",
        "user_taggedartists.dat: artists have no genres and tags",
    ]
    assert len(json.loads((out / "about.json").read_text())["missing"]) == 3
    # The rest has come: with a source the set is made again, without one it is there.
    (source / "artists.dat").write_text(TABLES["artists.dat"])
    assert set(fetch(HETREC_LASTFM, out, progress=False).items["title"]) == {""}
    music = fetch(HETREC_LASTFM, out, source=source, progress=False)
    assert "Duran Duran" in set(music.items["title"])


def test_plays_are_needed(tmp_path: Path) -> None:
    source = publish(tmp_path / "published", packed=False)
    (source / "user_artists.dat").unlink()
    with pytest.raises(DataError, match=r"has no hetrec2011-lastfm-2k\.zip and no user_artists"):
        fetch(HETREC_LASTFM, tmp_path / "out", source=source, progress=False)
