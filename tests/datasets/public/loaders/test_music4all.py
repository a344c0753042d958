"""Music4All and Onion: tables separated by tabs, packed ones too, as published."""

import bz2
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.public.base import fetch
from datasets.public.loaders.music4all import COUNTS_FILE, FEATURES_FILE, MUSIC4ALL, MUSIC4ALL_ONION
from datasets.public.parquet import read_embeddings

A, B, C = "0009fFIM1eYThaPg", "0010xmHR6UICBOYT", "002Jyd0vN4HyCpqL"
TABLES = {
    "id_information.csv": (
        "id\tartist\tsong\talbum_name\r\n"
        f'{A}\tCheryl\tRain on Me "live"\t3 Words\r\n'
        f"{B}\tOasis\tD'You Know What I Mean?\tBe Here Now\r\n"
        f"{C}\tHollow, Coves\tCoastline\t\r\n"
    ),
    "id_genres.csv": f"id\tgenres\n{A}\tpop\n{B}\trock,britpop,pop rock\n",
    "id_tags.csv": f"id\ttags\n{A}\tpop,british\n",
    "id_lang.csv": f"id\tlang\n{A}\ten\n{B}\ten\n{C}\tINTRUMENTAL\n",
    "id_metadata.csv": (
        "id\tspotify_id\tpopularity\trelease\tdanceability\tenergy\tkey\tmode\tvalence\ttempo"
        "\tduration_ms\n"
        f"{A}\t3eObKIfHKJ1nAPh0wTxFCc\t11.0\t2009\t0.635\t0.746\t6.0\t0.0\t0.548\t110.973\t232947\n"
    ),
    "listening_history.csv": (
        "user\tsong\ttimestamp\n"
        f"user_007XIjOr\t{B}\t2019-02-20 12:28\n"
        f"user_007XIjOr\t{A}\t2019-02-20 12:21\n"
        f"user_007XIjOr\t{B}\t2019-02-20 12:28\n"
        "user_02o8JN4Y\tGONEgoneGONEgone\t2019-01-01 00:00\n"
    ),
}


def publish(folder: Path, clips: tuple[str, ...] = (), **changed: str) -> Path:
    folder.mkdir()
    for name, text in (TABLES | {f"{key}.csv": text for key, text in changed.items()}).items():
        (folder / name).write_bytes(text.encode())
    if clips:
        (folder / "audios").mkdir()
    for song in clips:
        (folder / "audios" / f"{song}.mp3").write_text(song)
    return folder


def test_music4all(tmp_path: Path) -> None:
    source = publish(tmp_path / "sent", clips=(A, B, "other"))
    music = fetch(MUSIC4ALL, tmp_path / "out", source=source, progress=False)
    rows = music.items.set_index("item_id")
    assert rows.index.tolist() == [A, B, C]
    assert rows.loc[A].to_dict() == {
        "title": 'Rain on Me "live"', "artist": "Cheryl", "album": "3 Words", "genre": "pop",
        "genres": "pop", "tags": "pop,british", "lang": "en",
        "spotify_id": "3eObKIfHKJ1nAPh0wTxFCc", "popularity": "11.0", "release": "2009",
        "danceability": "0.635", "energy": "0.746", "key": "6.0", "mode": "0.0",
        "valence": "0.548", "tempo": "110.973", "duration_ms": "232947",
    }  # fmt: skip
    assert rows.loc[B, ["genre", "genres", "release"]].tolist() == [
        "rock", "rock,britpop,pop rock", "",
    ]  # fmt: skip
    assert music.audio["path"].tolist() == [f"audio/{A}.mp3", f"audio/{B}.mp3"]
    plays = music.interactions
    assert plays["item_id"].tolist() == [B, A, B]
    assert plays["weight"].tolist() == [1.0, 1.0, 1.0]
    assert plays["timestamp"][1] == pd.Timestamp("2019-02-20 12:21")
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        f"{C},has no clip",
        "listening_history.csv,1 plays of songs that are not listed",
    ]
    # The clips take no second place on the disk.
    assert (tmp_path / "out" / "audio" / f"{A}.mp3").samefile(source / "audios" / f"{A}.mp3")


def test_only_what_is_needed(tmp_path: Path) -> None:
    source = publish(tmp_path / "sent")
    for name in ("id_tags.csv", "id_lang.csv", "id_metadata.csv"):
        (source / name).unlink()
    music = fetch(MUSIC4ALL, tmp_path / "out", source=source, progress=False)
    assert music.tags == ["genres"]
    assert music.audio.empty
    (source / "listening_history.csv").unlink()
    with pytest.raises(DataError, match=r"has no listening_history\.csv"):
        fetch(MUSIC4ALL, tmp_path / "other", source=source, progress=False)


@pytest.mark.parametrize(
    ("table", "text", "problem"),
    [
        ("id_information", "id\tartist\tsong\n", "information.csv, line 1: no column album_name"),
        (
            "id_information",
            "id\tartist\tsong\talbum_name\na\tb\tc\td\na\tb\tc\td\n",
            "information.csv, line 3: 'a' is there already",
        ),
        ("id_genres", "id\tgenres\na\n", "genres.csv, line 2: 1 values, but the header names 2"),
        (
            "listening_history",
            f"user\tsong\ttimestamp\nu\t{A}\tyesterday\n",
            "history.csv, line 2: 'yesterday' is not a time",
        ),
        ("listening_history", "user\tsong\ttimestamp\nu\tx\xff", None),
    ],
)
def test_errors(tmp_path: Path, table: str, text: str, problem: str | None) -> None:
    source = publish(tmp_path / "sent", **{table: text})
    if problem is None:
        (source / f"{table}.csv").write_bytes(text.encode("latin-1"))
        problem = "line 2: byte 0xff is not utf-8"
    with pytest.raises(DataError, match=problem):
        fetch(MUSIC4ALL, tmp_path / "out", source=source, progress=False)


FEATURES = f"id\t0\t1\t2\n{A}\t0.5\t-1e-3\t2\n{B}\t1\t1\t1\n"
COUNTS = f"user_id\ttrack_id\tcount\n1\t{B}\t12\n1\t{A}\t1\n2\t{A}\t3\n2\tunheard\t5\n"


@pytest.mark.parametrize("packed", [True, False])
def test_onion(tmp_path: Path, packed: bool) -> None:
    source = tmp_path / "onion"
    source.mkdir()
    for name, text in ((FEATURES_FILE, FEATURES), (COUNTS_FILE, COUNTS)):
        if packed:
            # Large files of this kind are of several streams, one after the other.
            half = len(text) // 2
            parts = [text[:half].encode(), text[half:].encode()]
            (source / name).write_bytes(b"".join(map(bz2.compress, parts)))
        else:
            (source / name.removesuffix(".bz2")).write_text(text)
    music = fetch(MUSIC4ALL_ONION, tmp_path / "out", source=source, progress=False)
    assert music.items["title"].tolist() == ["", ""]
    assert music.interactions.values.tolist() == [["1", B, 12.0], ["1", A, 1.0], ["2", A, 3.0]]
    assert "1 counts of songs without" in (tmp_path / "out" / "left-out.csv").read_text()
    embeddings = read_embeddings(tmp_path / "out")
    assert embeddings.index.tolist() == music.items["item_id"].tolist()
    expected = np.array([[0.5, -1e-3, 2], [1, 1, 1]], dtype=np.float32)
    np.testing.assert_array_equal(embeddings.to_numpy(), expected)
    for name in ("id_information.csv", "id_genres.csv"):
        (source / name).write_text(TABLES[name])
    named = fetch(MUSIC4ALL_ONION, tmp_path / "named", source=source, progress=False)
    assert named.items["artist"].tolist() == ["Cheryl", "Oasis"]
    assert named.items["genre"].tolist() == ["pop", "rock"]


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (FEATURES_FILE, "track\t0\n", "line 1: a header that begins with 'id'"),
        (FEATURES_FILE, f"id\t0\n{A}\t1\t2\n", "line 2: 3 values, not 2"),
        (FEATURES_FILE, f"id\t0\n{A}\tloud\n", "line 2: could not convert"),
        (COUNTS_FILE, f"user_id\ttrack_id\tcount\n1\t{A}\t-3\n", "line 2: '-3' is not a number"),
    ],
)
def test_onion_errors(tmp_path: Path, file: str, text: str, problem: str) -> None:
    for name, right in ((FEATURES_FILE, FEATURES), (COUNTS_FILE, COUNTS)):
        content = bz2.compress((text if name == file else right).encode())
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem):
        fetch(MUSIC4ALL_ONION, tmp_path / "out", source=tmp_path, progress=False)


def test_a_packed_file_that_is_cut(tmp_path: Path) -> None:
    (tmp_path / FEATURES_FILE).write_bytes(bz2.compress(FEATURES.encode()))
    (tmp_path / COUNTS_FILE).write_bytes(bz2.compress(COUNTS.encode())[:-20])
    with pytest.raises(DataError, match=rf"{COUNTS_FILE}.* cannot be read"):
        fetch(MUSIC4ALL_ONION, tmp_path / "out", source=tmp_path, progress=False)


def test_no_embeddings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as item embeddings"):
        read_embeddings(tmp_path)
