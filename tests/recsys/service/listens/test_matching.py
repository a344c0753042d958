"""Which item a track is: by MusicBrainz id, by path, by names; and not at all where unsure."""

from pathlib import Path

import numpy as np
import pytest

from recsys import Recommender
from recsys.database.song import Song, SongRecording
from recsys.service.listens.matching import Track, find_items, path_forms

MBID = "f4a31f0a-51dd-4fa7-986d-3095c40c5ed9"
OTHER = "0a3b1c2d-51dd-4fa7-986d-3095c40c5ed9"


def add(model: Recommender, item_id: str, title: str, artist: str = "Ana", **more: str) -> None:
    album = more.pop("album", "")
    model.onboard(item_id=item_id, embedding=np.ones(4), title=title, artist=artist, album=album,
                  tags=more)  # fmt: skip


def one(model: Recommender, track: Track, *folders: Path) -> str | None:
    return find_items(model.live, [track], folders)[0]


def test_by_artist_and_title(model: Recommender) -> None:
    tracks = [Track(f"artist  {n % 10}", f"SONG {n}") for n in range(30)]
    texts = model.live.items.describe(np.arange(30))
    expected = [
        item if artist.casefold() == f"artist {n % 10}" else None
        for n, (item, artist) in enumerate(zip(texts["item_id"], texts["artist"], strict=True))
    ]
    assert find_items(model.live, tracks) == expected
    assert any(expected)
    assert find_items(model.live, []) == []
    assert one(model, Track("Nobody", "Song 2")) is None
    assert one(model, Track("", "Song 2")) is None


@pytest.mark.parametrize("column", ["recording_mbid", "MusicBrainz Track Id", "mbid"])
def test_by_musicbrainz_id(model: Recommender, column: str) -> None:
    add(model, "x", "Blue", **{column: MBID.upper()})
    assert one(model, Track("Someone", "Else", mbids=(OTHER, MBID))) == "x"
    assert one(model, Track("Someone", "Else", mbids=(OTHER,))) is None
    # The id is surer than the names.
    assert one(model, Track("Artist 2", "Song 2", mbids=(MBID,))) == "x"


def test_an_item_may_be_called_by_its_musicbrainz_id(model: Recommender) -> None:
    add(model, MBID, "Blue")
    assert one(model, Track("Someone", "Else", mbids=(MBID,))) == MBID


def test_names_that_nearly_agree(model: Recommender) -> None:
    add(model, "x", "Blue (feat. Bo)")
    assert one(model, Track("ANA ft. Bo", "Blue")) == "x"
    assert one(model, Track("Ana", "Blue")) == "x"
    assert one(model, Track("Ana", "Blue (feat. Cy)")) is None
    add(model, "y", "Blue (feat. Cy)")
    assert one(model, Track("Ana", "Blue")) is None  # which of them?
    assert one(model, Track("Ana feat. Cy", "Blue")) == "y"
    add(model, "z", "Blue")
    assert one(model, Track("Ana", "Blue")) == "z"


def test_of_two_items_of_one_name(model: Recommender) -> None:
    add(model, "x", "Blue", album="First")
    add(model, "y", "Blue", album="Second")
    assert one(model, Track("Ana", "Blue")) == "x"
    assert one(model, Track("Ana", "Blue", "second")) == "y"
    model.remove("x")
    assert one(model, Track("Ana", "Blue", "First")) == "y"
    model.remove("y")
    assert one(model, Track("Ana", "Blue")) is None


def test_songs_that_came_since(model: Recommender) -> None:
    before = len(model.live.items)
    assert one(model, Track("Ana", "Blue")) is None
    add(model, "x", "Blue")
    assert find_items(model.live, [Track("Ana", "Blue"), Track("Artist 2", "Song 2")],
                      since=before) == ["x", None]  # fmt: skip


def test_paths_of_songs_that_came_since(model: Recommender) -> None:
    before = len(model.live.items)
    with_recording(model, "x", "Ana/First/01.flac")
    track = Track("Ana", "Blue", path="/mnt/Ana/First/01.flac")
    assert find_items(model.live, [track], since=before) == ["x"]
    after = len(model.live.items)
    assert find_items(model.live, [track], since=after) == [None]


def with_recording(model: Recommender, item_id: str, path: str, title: str = "Blue") -> None:
    recording = SongRecording(path, item_id, "a", "b", image_key="")
    song = Song(item_id, title=title, artist="Ana", embedding=np.ones(4, np.float32),
                recordings=(recording,))  # fmt: skip
    model._model = model.live.with_songs([song])


def test_by_path(model: Recommender) -> None:
    with_recording(model, "x", "Ana/First/01.flac")
    with_recording(model, "y", "/music/über.mp3", title="Green")
    with_recording(model, "z", "02.flac", title="Red")
    for path in ("Ana/First/01.flac", "/mnt/a/Ana/First/01.flac", "C:\\m\\Ana\\First\\01.flac",
                 "file:///srv/Ana/First/01.flac", "First/../Ana/First/01.flac"):  # fmt: skip
        expected = None if ".." in path else "x"
        assert one(model, Track("Anna", "Blue", path=path)) == expected, path
    # The end of a path may be that of another song.
    assert one(model, Track("Anna", "Yellow", path="/mnt/Ana/First/01.flac")) is None
    assert one(model, Track("?", "?", path="/music/u\u0308ber.mp3")) == "y"
    assert one(model, Track("?", "?", path="über.mp3"), Path("/music")) == "y"
    assert one(model, Track("?", "?", path="/srv/02.flac")) is None
    assert one(model, Track("?", "?", path="/srv/02.flac"), Path("/srv")) == "z"
    # No title, or one made of the file's name, contradicts nothing.
    with_recording(model, "p", "Bo/Last/03 Grey.ogg", title="03 Grey")
    with_recording(model, "q", "Bo/Last/04.ogg", title="")
    assert one(model, Track("Bo", "Grey", path="/mnt/Bo/Last/03 Grey.ogg")) == "p"
    assert one(model, Track("Bo", "Pink", path="/mnt/Bo/Last/04.ogg")) == "q"
    # A path is surer than the names.
    assert one(model, Track("Artist 2", "Song 2", path="/music/über.mp3")) == "y"


@pytest.mark.parametrize("path", ["", "/", "a" * 5000, "a\0b", "..", "http://x/y.mp3",
                                  "/".join("a" * 100), "file://[bad"])  # fmt: skip
def test_what_is_no_path(path: str) -> None:
    assert path_forms(path) == []
