"""Last.fm-1K: lines of plays as published, with those that trip other readers."""

import re
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.public.base import fetch
from datasets.public.loaders.lastfm_1k import ARCHIVE, LASTFM_1K, PLAYS_FILE
from tests.helpers.archives import tar
from tests.helpers.thorough import times

ARTIST = "f1b1cf71-bd35-4e99-8624-24a6e15f133a"
TRACK = "db16d0b3-b8ce-4aa8-a11a-e4d53cc7f8a6"
LINES = [
    f"user_000001\t2009-05-04T23:08:57Z\t{ARTIST}\tDeep Dish\t\tFuck Me Im Famous (Ibiza)-2007",
    f"user_000001\t2009-05-04T13:54:10Z\t{ARTIST}\t坂本龍一\t{TRACK}\tComposition 0919 (Live_2009)",
    # A quote that is never closed, and one that opens a value.
    f'user_000001\t2009-05-03T13:52:04Z\t{ARTIST}\tThe "Five\t\t"Intro',
    # The same track again, earlier; other blanks and no id of the artist.
    "user_000001\t2008-01-01T00:00:00Z\t\t Deep  Dish\t\tFuck Me Im Famous (Ibiza)-2007 ",
    f"user_000002\t2009-05-04T23:08:58Z\t\t坂本龍一\t{TRACK}\tComposition 0919",
    f"user_000002\t2013-09-28T12:00:00Z\t\t坂本龍一\t{TRACK}\tComposition 0919",
    "user_000002\t2009-05-04T23:08:58Z\t\tA tab\tinside\t\tname",
    "user_000002\tyesterday\t\tArtist\t\tTrack",
    "user_000002\t2009-05-04T23:08:58\t\tArtist\t\tTrack",
    f"user_000002\t2009-05-04T23:08:58Z\t{ARTIST}\tArtist\t\t",
    f"\t2009-05-04T23:08:58Z\t{ARTIST}\tArtist\t\tTrack",
    "user_000002\t2009-05-04T23:08:58Z\t\tA tab\tinside\t\tname",
    "",
]


@pytest.mark.parametrize(("packed", "end"), [(True, "\n"), (False, "\r\n")])
def test_converted(tmp_path: Path, packed: bool, end: str) -> None:
    source = tmp_path / "published"
    source.mkdir()
    content = ("" if packed else "\ufeff").encode() + end.join(LINES).encode()
    if packed:
        tar(source / ARCHIVE, {f"lastfm-dataset-1K/{PLAYS_FILE}": content})
    else:
        (source / PLAYS_FILE).write_bytes(content)
    music = fetch(LASTFM_1K, tmp_path / "out", source=source, progress=False)
    famous, five = "Deep Dish - Fuck Me Im Famous (Ibiza)-2007", 'The "Five - "Intro'
    assert music.items[["item_id", "title", "artist"]].values.tolist() == [
        [famous, "Fuck Me Im Famous (Ibiza)-2007", "Deep Dish"],
        [TRACK, "Composition 0919 (Live_2009)", "坂本龍一"],
        [five, '"Intro', 'The "Five'],
    ]
    assert music.interactions.values.tolist() == [
        ["user_000001", famous, 2.0, pd.Timestamp("2008-01-01")],
        ["user_000001", TRACK, 1.0, pd.Timestamp("2009-05-04 13:54:10")],
        ["user_000001", five, 1.0, pd.Timestamp("2009-05-03 13:52:04")],
        ["user_000002", TRACK, 2.0, pd.Timestamp("2009-05-04 23:08:58")],
    ]
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        f'{PLAYS_FILE},"2 lines: 7 values, not 6; the first is line 7"',
        f"{PLAYS_FILE},2 lines: the time is not of this form; the first is line 8",
        f"{PLAYS_FILE},1 lines: neither id nor name of a track; the first is line 10",
        f"{PLAYS_FILE},1 lines: no user; the first is line 11",
    ]


def test_another_format(tmp_path: Path) -> None:
    (tmp_path / PLAYS_FILE).write_text("user,time,artist\nu,2009,a\n")
    problem = "no line can be used: 2 lines: 1 values, not 6; the first is line 1"
    with pytest.raises(DataError, match=problem):
        fetch(LASTFM_1K, tmp_path / "out", source=tmp_path, progress=False)
    (tmp_path / PLAYS_FILE).write_bytes(b"user_000001\t2009-05-04T23:08:57Z\t\tBj\xf6rk\t\tHunter")
    with pytest.raises(DataError, match=r"line 1: byte 0xf6 is not utf-8"):
        fetch(LASTFM_1K, tmp_path / "out", source=tmp_path, progress=False)


NAME = st.text(st.sampled_from("aß \t\r\0\x85\u2028\"'-,"), max_size=4)
LINE = st.tuples(
    st.sampled_from(["user_000001", "user_000002", "", '"']),
    st.sampled_from(["2009-05-04T23:08:57Z", "2009-05-04T23:08:58Z", "2009-02-30T00:00:00Z", ""]),
    st.sampled_from([ARTIST, ""]),
    NAME,
    st.sampled_from([TRACK, "", ""]),
    NAME,
).map("\t".join)


@pytest.mark.slow
@settings(max_examples=times(20, 60))
@given(st.lists(LINE, max_size=12))
def test_every_line_is_a_play_or_is_reported(lines: list[str]) -> None:
    whole = ["user_000009\t2009-05-04T23:08:57Z\t\tA\t\tB", *lines]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        (source / PLAYS_FILE).write_bytes("\n".join(whole).encode())
        music = fetch(LASTFM_1K, source / "out", source=source, progress=False)
        report = source / "out" / "left-out.csv"
        reasons = report.read_text() if report.exists() else ""
    counted = sum(int(count) for count in re.findall(r"(\d+) lines: ", reasons))
    assert music.interactions["weight"].sum() + counted == len(whole)
    pairs = music.interactions[["user_id", "item_id"]]
    assert not pairs.duplicated().any()
    assert set(pairs["item_id"]) == set(music.items["item_id"])
