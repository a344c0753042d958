"""Playlists of a model: songs like the seeds or between them, no repeats, in a smooth order."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from datasets.errors import InvalidArgumentError, UnknownItemError, UnknownUserError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.database.catalog import Catalog
from recsys.database.song import SongRecording
from recsys.model.live import LiveModel
from recsys.playlists.ordering import same_artist_pairs
from recsys.ranking.similarity import unit_vectors
from tests.helpers.recommenders import own

SPACES = ["sound", "taste", "fused"]
COLUMNS = [
    "rank", "item_id", "score", "distance", "title", "artist", "genre", "cold", "path",
]  # fmt: skip


def artists_of(frame):
    return pd.factorize(frame["artist"])[0]


def with_recordings(base, paths, digests=None, root=None):
    """The recommender with recordings of some items, as a fit on recordings stores them."""
    digests = digests or {}
    songs = [
        replace(
            song,
            recordings=(
                (SongRecording(paths[song.item_id], digests.get(song.item_id, song.item_id),
                               "", "", ""),)
                if song.item_id in paths
                else ()
            ),
        )
        for song in base._model.catalog.songs()
    ]  # fmt: skip
    catalog = Catalog.in_memory()
    catalog.fill(songs)
    state = base._model.state
    state = replace(state, info=state.info | {"dataset": {"folder": root}})
    model = Recommender(base.config)
    model._model = LiveModel(state, catalog)
    return model


@pytest.mark.parametrize("by", SPACES)
def test_songs_like_one(fitted, by):
    frame = fitted.playlist("item-3", 10, by=by)
    assert frame.columns.tolist() == COLUMNS
    assert frame["rank"].tolist() == list(range(1, 11))
    assert frame["item_id"].iloc[0] == "item-3"
    assert frame["item_id"].is_unique
    assert frame.attrs["notes"] == []
    nearest = fitted.similar("item-3", 9, by=by)
    assert set(frame["item_id"][1:]) == set(nearest["item_id"])
    scores = dict(zip(nearest["item_id"], nearest["score"], strict=True))
    assert frame["score"][1:].tolist() == pytest.approx([scores[i] for i in frame["item_id"][1:]])
    assert same_artist_pairs(artists_of(frame)) == 0


@pytest.mark.parametrize("by", SPACES)
def test_the_distance_is_that_to_the_song_before(fitted, by):
    frame = fitted.playlist("item-3", 6, by=by)
    vectors = unit_vectors(fitted._model, by)[fitted._model.items.rows(frame["item_id"])]
    expected = [1 - vectors[n] @ vectors[n - 1] for n in range(1, 6)]
    assert np.isnan(frame["distance"].iloc[0])
    assert frame["distance"].iloc[1:].tolist() == pytest.approx(expected, abs=1e-6)


def test_smoother_than_the_order_of_scores(fitted):
    for number in range(0, 80, 9):
        seed = f"item-{number}"
        frame = fitted.playlist(seed, 12)
        by_score = [seed, *fitted.similar(seed, 11)["item_id"]]
        vectors = unit_vectors(fitted._model, "fused")[fitted._model.items.rows(by_score)]
        plain = [1 - vectors[n] @ vectors[n - 1] for n in range(1, 12)]
        pairs = same_artist_pairs(artists_of(fitted.playlist(seed, 12)))
        assert pairs == 0
        assert frame["distance"].mean() <= np.mean(plain) + 1e-6


def test_the_same_question_has_the_same_answer(fitted):
    first, second = (fitted.playlist(["item-3", "item-7"], 15) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_every_seed_has_its_share(fitted):
    frame = fitted.playlist(["item-0", "item-1", "item-2"], 15)  # rock, jazz, pop
    assert frame["item_id"].iloc[0] == "item-0"
    assert {"item-0", "item-1", "item-2"} <= set(frame["item_id"])
    assert frame["genre"].value_counts().tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    "make", [tuple, iter, pd.Series, pd.Index, np.array, pd.Categorical, pa.array]
)
def test_seeds_in_any_container(fitted, make):
    expected = fitted.playlist(["item-4", "item-1"], 5)
    pd.testing.assert_frame_equal(fitted.playlist(make(["item-4", "item-1"]), 5), expected)


def test_without_the_seeds(fitted):
    frame = fitted.playlist(["item-0", "item-1"], 10, include_seeds=False)
    assert len(frame) == 10
    assert not {"item-0", "item-1"} & set(frame["item_id"])
    assert frame["genre"].iloc[0] == "rock"  # it begins near the first seed
    path = fitted.playlist(["item-0", "item-1"], 6, path=True, include_seeds=False)
    assert len(path) == 6
    assert not {"item-0", "item-1"} & set(path["item_id"])


@pytest.mark.parametrize("by", SPACES)
@pytest.mark.parametrize("length", [2, 3, 12])
def test_a_path_has_both_ends_and_its_length(fitted, by, length):
    frame = fitted.playlist(["item-0", "item-1"], length, path=True, by=by)
    assert len(frame) == length
    assert frame["item_id"].is_unique
    assert (frame["item_id"].iloc[0], frame["item_id"].iloc[-1]) == ("item-0", "item-1")
    assert same_artist_pairs(artists_of(frame)) == (1 if length == 2 else 0)
    if length == 12:
        vectors = unit_vectors(fitted._model, by)
        rows = fitted._model.items.rows(frame["item_id"])
        gone = vectors[rows] @ (vectors[rows[-1]] - vectors[rows[0]])
        assert np.corrcoef(gone, np.arange(12))[0, 1] > 0.8


def test_tastes_that_nothing_joins_are_told(fitted):
    frame = fitted.playlist(["item-0", "item-1"], 8, path=True, by="fused")
    (note,) = frame.attrs["notes"]
    assert note == (
        "no chain of songs that are each other's nearest joins 'item-0' and 'item-1': "
        "the path between them has a jump"
    )
    assert frame["genre"].value_counts().to_dict() == {"rock": 4, "jazz": 4}


def test_a_path_through_several(fitted):
    frame = fitted.playlist(["item-0", "item-1", "item-2"], 15, path=True, per_artist=1)
    ids = frame["item_id"].tolist()
    assert (ids[0], ids[-1], len(set(ids))) == ("item-0", "item-2", 15)
    assert 3 < ids.index("item-1") < 11
    # item-0 and item-1 are by one artist: seeds are in whatever the cap.
    assert frame["artist"].value_counts().tolist()[:2] == [2, 1]


def test_a_cap_on_artists_holds_and_counts_the_seeds(fitted):
    for options in ({}, {"path": True}):
        seeds = ["item-0", "item-7"]
        frame = fitted.playlist(seeds, 30, per_artist=1, by="sound", **options)
        assert frame["artist"].value_counts().max() == 1
        assert len(frame) == 30


def test_filters(fitted):
    frame = fitted.playlist(
        "item-0", 10, where={"genre": ["jazz", "Pop"]}, exclude=["item-1", "item-2"]
    )
    assert set(frame["genre"][1:]) <= {"jazz", "pop"}  # the seed stays what it is
    assert not {"item-1", "item-2"} & set(frame["item_id"])
    only = fitted.playlist("item-0", 10, where={"genre": "jaz"})
    assert only["item_id"].tolist() == ["item-0"]
    assert only.attrs["notes"] == [
        "no item has genre 'jaz'; did you mean 'jazz'?",
        "1 of 10 songs: no more are left, by these options",
    ]
    assert "item-0" not in fitted.playlist("item-0", 4, exclude=["item-0"])["item_id"].tolist()


def test_as_many_as_there_are(fitted):
    frame = fitted.playlist("item-0", 500)
    assert len(frame) == 90
    assert frame["item_id"].is_unique
    assert frame.attrs["notes"] == ["90 of 500 songs: no more are left"]
    path = fitted.playlist(["item-0", "item-1"], 500, path=True)
    assert len(path) == 90
    assert path["item_id"].iloc[-1] == "item-1"
    assert fitted.playlist("item-0", 1)["item_id"].tolist() == ["item-0"]


def test_what_cannot_be_done_is_an_error(fitted):
    for arguments, options, error, said in [
        (["item-0 ", 5], {}, UnknownItemError, "no item 'item-0 ' in the catalogue"),
        (["Song 7", 5], {}, UnknownItemError, "'item-7' (Artist 3 - Song 7)"),
        ([[], 5], {}, InvalidArgumentError, "seeds: give at least one song"),
        ([None, 5], {}, InvalidArgumentError, "seeds must be item ids or recordings, not None"),
        ([{"item-0": 1}, 5], {}, InvalidArgumentError, "seeds must be item ids or recordings"),
        ([{"item-0"}, 5], {}, InvalidArgumentError, "a set has none"),
        ([[1.5], 5], {}, InvalidArgumentError, "seeds: id number 1 must be a text"),
        ([[None], 5], {}, InvalidArgumentError, "seeds: id number 1 is missing"),
        ([pd.DataFrame({"item_id": ["item-0"]}), 5], {}, InvalidArgumentError, "seeds must be"),
        ([["item-0", "item-0"], 5], {}, InvalidArgumentError, "'item-0' is given twice"),
        ([["item-0", "item-0"], 5], {"path": True}, InvalidArgumentError, "given twice"),
        ([["item-0"], 5], {"path": True}, InvalidArgumentError, "a path needs two seeds"),
        ([["item-0", "item-1"], 1], {}, InvalidArgumentError, "length must be at least 2"),
        (["item-0", 0], {}, InvalidArgumentError, "length must be a whole number"),
        (["item-0", 2.5], {}, InvalidArgumentError, "length must be a whole number"),
        (["item-0", 5], {"per_artist": 0}, InvalidArgumentError, "per_artist"),
        (["item-0", 5], {"by": "smell"}, InvalidArgumentError, "by must be"),
        (["item-0", 5], {"path": 1}, InvalidArgumentError, "path"),
        (["item-0", 5], {"exclude": ["nix"]}, UnknownItemError, "nix"),
        (["item-0", 5], {"where": {"mood": "x"}}, InvalidArgumentError, "no column 'mood'"),
        (["item-0", 5], {"user_id": "nobody"}, UnknownUserError, "no user 'nobody'"),
        ([["item-0", "item-1"], 5], {"path": True, "user_id": "user-1"}, InvalidArgumentError,
         "user_id is for songs like"),
        (["item-0", 5], {"playable": True}, InvalidArgumentError, "knows no recordings"),
        (["item-0", 5], {"recordings": "/no/such"}, InvalidArgumentError, "/no/such: is no folder"),
        ([b"no sound", 5], {}, InvalidArgumentError, "fitted without recordings"),
    ]:  # fmt: skip
        with pytest.raises(error) as raised:
            fitted.playlist(*arguments, **options)
        assert said in str(raised.value)


def test_songs_that_have_nothing_to_compare_by(fitted, tastes):
    model = own(fitted)
    items = tastes[0].items.head(1)
    model.onboard_many(
        MusicDataset(items.assign(item_id="silent", title="Silent", artist="", genre=""))
    )
    with pytest.raises(InvalidArgumentError) as raised:
        model.playlist("silent", 5, by="sound")
    assert str(raised.value) == (
        "item 'silent' has no recording or embedding that sets it apart by sound"
    )
    assert "silent" not in model.playlist("item-0", 200, by="sound")["item_id"].tolist()


def test_one_artist_alone(fitted):
    model = own(fitted)
    for number in range(6):
        model.onboard(item_id=f"n-{number}", title=f"N {number}", artist="Ann",
                      embedding=np.eye(8)[0] + 0.001 * number)  # fmt: skip
    seed, where = "n-0", {"artist": "ann"}
    capped = model.playlist(seed, 5, where=where, per_artist=2)
    assert len(capped) == 2
    assert capped.attrs["notes"] == [
        "2 of 5 songs: no more are left, by these options",
        "two songs of one artist stand side by side once",
    ]
    free = model.playlist(seed, 5, where=where)
    assert len(free) == 5
    assert free.attrs["notes"] == ["two songs of one artist stand side by side 4 times"]
    # With others at hand, no more of hers come than can stand apart.
    for length, most in ((3, 2), (6, 3), (7, 4)):
        mixed = model.playlist(seed, length, by="sound")
        assert (mixed["artist"] == "Ann").sum() == most
        assert same_artist_pairs(artists_of(mixed)) == 0
    mixed = model.playlist(["item-0", seed], 7, by="sound")
    assert same_artist_pairs(artists_of(mixed)) == 0


def test_no_song_twice(fitted):
    model = own(fitted)
    like = fitted._model.items.songs(["item-3"])[0]
    model.onboard(item_id="again", title=" song  3", artist="ARTIST 1", embedding=like.embedding)
    assert "again" in model.similar("item-3", 3, by="sound")["item_id"].tolist()
    for options in ({}, {"path": True}):
        seeds = ["item-6", "item-9"] if options else "item-6"
        ids = model.playlist(seeds, 90, by="sound", **options)["item_id"].tolist()
        assert len({"again", "item-3"} & set(ids)) == 1
    assert "again" not in model.playlist("item-3", 20, by="sound")["item_id"].tolist()


def test_one_recording_of_two_items_comes_once(fitted, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    paths = {f"item-{n}": "a.wav" for n in (3, 6, 9)}
    model = with_recordings(
        fitted, paths, {"item-3": "one", "item-6": "one", "item-9": "two"}, str(tmp_path)
    )
    ids = model.playlist("item-0", 40, by="sound")["item_id"].tolist()
    assert len({"item-3", "item-6"} & set(ids)) == 1
    assert "item-9" in ids
    assert "item-6" not in model.playlist("item-3", 40, by="sound")["item_id"].tolist()


def test_paths_and_songs_that_can_be_played(fitted, tmp_path):
    paths = {f"item-{n}": f"{n}.wav" for n in range(12)}
    for number in range(0, 12, 2):
        (tmp_path / f"{number}.wav").write_bytes(b"")
    model = with_recordings(fitted, paths, root=str(tmp_path))
    frame = model.playlist("item-0", 90)
    there = {i: path for i, path in zip(frame["item_id"], frame["path"], strict=True) if path}
    assert there == {f"item-{n}": str(tmp_path / f"{n}.wav") for n in range(0, 12, 2)}
    playable = model.playlist("item-1", 4, playable=True)
    assert (playable["path"] != "").all()
    assert len(playable) == 4
    assert playable.attrs["notes"][0] == "'item-1' is left out: it has no recording that is there"
    assert "have no recording that is there" in playable.attrs["notes"][1]
    path = model.playlist(["item-0", "item-4"], 5, path=True, playable=True)
    assert (path["path"] != "").all()
    assert (path["item_id"].iloc[0], path["item_id"].iloc[-1], len(path)) == ("item-0", "item-4", 5)
    unknown = with_recordings(fitted, paths)  # of a model that does not know its folder
    assert (unknown.playlist("item-0", 12)["path"] == "").all()
    assert len(unknown.playlist("item-0", 12, playable=True)) == 0
    assert (
        len(unknown.playlist("item-0", 12, playable=True, recordings=tmp_path)) == 0
    )  # other content


def test_a_users_taste(fitted):
    plain = fitted.playlist(["item-0", "item-1"], 10, include_seeds=False)
    jazz = fitted.playlist(["item-0", "item-1"], 10, include_seeds=False, user_id="user-1")
    assert (jazz["genre"] == "jazz").sum() > (plain["genre"] == "jazz").sum()


def test_new_songs_are_in_playlists_at_once(fitted):
    model = own(fitted)
    seed = fitted._model.items.songs(["item-3"])[0]
    model.onboard(item_id="fresh", title="Fresh", artist="New", embedding=seed.embedding)
    frame = model.playlist("item-3", 4, by="sound")
    assert frame.set_index("item_id")["cold"]["fresh"]
    assert model.playlist("fresh", 4)["item_id"].iloc[0] == "fresh"
    model.remove("fresh")
    assert "fresh" not in model.playlist("item-3", 91, by="sound")["item_id"].tolist()
