"""The song database: what goes in comes out, all of it or nothing."""

import os
import sqlite3
import string
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.song import Song, SongRecording
from tests.helpers.thorough import times

Tastes = tuple[MusicDataset, pd.DataFrame]

NASTY = [
    "",
    " ",
    "it's",
    '"quoted"',
    "'; DROP TABLE songs; --",
    "new\nline\r\nand\ttab",
    "emoji \N{ROCKET}\N{ZERO WIDTH JOINER}\N{FIRE}",
    "음악 音楽 موسيقى",
    "e\N{COMBINING ACUTE ACCENT} is not \N{LATIN SMALL LETTER E WITH ACUTE}",
    "x" * 1_000,
    "NULL",
    "None",
    "0012",
    "1e5",
    "a\0b",
    "\x01\x1b[31m",
    "\N{BYTE ORDER MARK}start",
    "-rf",
    "%s {0} :path ?",
]


@pytest.fixture(params=["memory", "file"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog of either kind."""
    empty = Catalog.in_memory()
    if request.param == "file":
        empty.copy_to(tmp_path / "catalog.sqlite")
        empty = Catalog.open(tmp_path / "catalog.sqlite")
    yield empty
    empty.close()


def saved(folder: Path) -> Catalog:
    Catalog.in_memory().copy_to(folder / "catalog.sqlite")
    return Catalog.open(folder / "catalog.sqlite")


def same(song: Song, other: Song) -> bool:
    one, two = dict(vars(song)), dict(vars(other))
    a, b = one.pop("embedding"), two.pop("embedding")
    if a is None or b is None:
        return one == two and a is b
    return one == two and a.dtype == b.dtype == np.float32 and a.tobytes() == b.tobytes()


def test_nasty_text_comes_back_as_it_was(catalog: Catalog) -> None:
    songs = [
        Song(
            item_id=f"{value}|{number}", title=value, artist=value, album=value, genre=value,
            tags={value: value, "other": value[::-1]}, scores={value: {value: 0.25, "rest": 0.75}},
            recordings=(
                SongRecording(value, "d", "s", "h", "k"), SongRecording("2", "", "", "", "")
            ),
        )
        for number, value in enumerate(NASTY)
    ]  # fmt: skip
    catalog.put(songs)
    found = catalog.onboarded()
    for number, (song, back) in enumerate(zip(songs, found, strict=True)):
        assert same(Song(**{**vars(song), "onboarded": number + 1}), back)
    catalog.verify()


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.slow
@settings(max_examples=times(20, 60))
@given(
    item_id=any_text,
    words=st.tuples(any_text, any_text, any_text, any_text),
    tags=st.dictionaries(any_text, any_text, max_size=3),
    scores=st.none()
    | st.dictionaries(any_text, st.dictionaries(any_text, st.floats(0, 1), max_size=3), max_size=2),
    embedding=st.none() | st.lists(st.floats(width=32, allow_nan=False), max_size=6),
)
def test_any_song_comes_back_as_it_was(item_id, words, tags, scores, embedding) -> None:
    title, artist, album, genre = words
    vector = None if embedding is None else np.array(embedding, np.float32)
    song = Song(item_id, title, artist, album, genre, tags, vector, scores, 1)
    catalog = Catalog.in_memory()
    catalog.put([song])
    (found,) = catalog.onboarded()
    assert same(found, song)
    catalog.close()


def test_embeddings_are_bit_exact(catalog: Catalog) -> None:
    special = [0.0, -0.0, 1e-45, -1e-38, 3.4028235e38, np.pi, 1 / 3, np.nextafter(1, 2)]
    rng = np.random.default_rng(0)
    vectors = [np.array(special, np.float32), *rng.standard_normal((3, 192)).astype(np.float32)]
    # A view with gaps and the other byte order are stored like any other.
    vectors += [np.arange(20, dtype=np.float32)[::3], np.arange(5, dtype=">f4")]
    catalog.put([Song(f"{n}", embedding=vector) for n, vector in enumerate(vectors)])
    for vector, song in zip(vectors, catalog.onboarded(), strict=True):
        assert song.embedding is not None
        assert song.embedding.tobytes() == vector.astype("<f4").tobytes()
        assert song.embedding.dtype == np.float32


def test_songs_come_back_in_the_order_of_their_arrival(catalog: Catalog) -> None:
    catalog.fill([Song("old-1"), Song("old-2")])
    assert catalog.onboarded() == []
    catalog.put([Song("c"), Song("a")])
    catalog.put([Song("b")])
    catalog.put([Song("c", title="again")])
    found = [(song.item_id, song.title, song.onboarded) for song in catalog.onboarded()]
    assert found == [("a", "", 2), ("b", "", 3), ("c", "again", 4)]


def test_a_song_of_the_fit_that_arrives_again_is_replaced(catalog: Catalog) -> None:
    catalog.fill([Song("old", title="without sound")])
    catalog.put([Song("old", title="with sound", embedding=np.ones(2, np.float32))])
    (song,) = catalog.onboarded()
    assert song.title == "with sound"
    catalog.verify()


def test_several_are_put_together_or_not_at_all(catalog: Catalog) -> None:
    catalog.put([Song("first")])
    revision = catalog.revision()

    def broken() -> Iterator[Song]:
        yield Song("second")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        catalog.put(broken())
    with pytest.raises(InvalidArgumentError):
        catalog.put([Song("second"), Song("bad \ud800")])
    with pytest.raises(ArtifactError):
        catalog.put([Song("second"), Song("third", title=None)])  # type: ignore[arg-type]
    assert [song.item_id for song in catalog.onboarded()] == ["first"]
    assert catalog.revision() == revision
    catalog.put([Song("second"), Song("third")])
    assert [song.item_id for song in catalog.onboarded()] == ["first", "second", "third"]


def test_the_revision_counts_and_the_fit_stays(catalog: Catalog, tmp_path: Path) -> None:
    fit, number = catalog.revision()
    assert number == 0
    catalog.put([Song("a"), Song("b")])
    catalog.put([Song("c")])
    assert catalog.revision() == (fit, 2)
    catalog.copy_to(tmp_path / "copy.sqlite")
    assert Catalog.open(tmp_path / "copy.sqlite").revision() == (fit, 2)
    assert Catalog.in_memory().revision()[0] != fit


@pytest.mark.parametrize(
    "song",
    [
        Song("id \ud800"),
        Song("a", title="\udfff"),
        Song("a", artist="x\ud83d"),
        Song("a", album="\ud800"),
        Song("a", genre="\udc80"),
    ],
)
def test_half_a_character_is_refused_by_name(catalog: Catalog, song: Song) -> None:
    with pytest.raises(InvalidArgumentError, match="is not valid Unicode text") as error:
        catalog.put([song])
    str(error.value).encode()  # the message itself can be printed
    assert catalog.onboarded() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"item_id": "x\ud800"}, "item_id must be valid text: .* is not valid Unicode"),
        ({"item_id": "x\0y"}, "holds a NUL character"),
        ({"title": "\ud800"}, "'title' of item 'new'"),
        ({"tags": {"mood": "\ud800"}}, "'mood' of item 'new'"),
        ({"tags": {"\ud800": "dark"}}, "of item 'new'"),
        ({"tags": {"year": 1999}}, "year of item 'new' must be a text, not 1999"),
        ({"tags": {1: "x"}}, "1 of item 'new' must be a text"),
        ({"tags": {"genre": "jazz"}}, "'genre' is an argument of its own"),
        ({"title": None}, "title of item 'new' must be a text, not None"),
        ({"item_id": ""}, "item_id is blank"),
        ({"item_id": 1.5}, "item_id must be a text or a whole number, not 1.5"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_no_trace(
    unchanged: Recommender, arguments: dict, message: str
) -> None:
    before = unchanged.recommend("user-1", k=100)
    with pytest.raises(InvalidArgumentError, match=message) as error:
        unchanged.onboard(**{"embedding": np.ones(8), "item_id": "new", **arguments})
    assert "\n" not in str(error.value)
    assert unchanged.info["onboarded"] == 0
    pd.testing.assert_frame_equal(unchanged.recommend("user-1", k=100), before)


@pytest.fixture(scope="module")
def unchanged(tastes: Tastes) -> Recommender:
    dataset, embeddings = tastes
    return Recommender(RecommenderConfig(threads=1)).fit(dataset, embeddings=embeddings)


@pytest.mark.slow
def test_ids_and_titles_of_any_kind_can_be_onboarded_and_found(
    unchanged: Recommender, tmp_path: Path
) -> None:
    unchanged.save(tmp_path / "model")
    recommender = Recommender.load(tmp_path / "model")
    names = [value for value in NASTY if value.strip() and "\0" not in value]
    for name in names:
        recommender.onboard(embedding=np.eye(8)[1], item_id=name, title=name, tags={name: name})
    reloaded = Recommender.load(tmp_path / "model")
    for opened in (recommender, reloaded):
        found = opened.recommend("user-1", k=len(names), only=names)
        assert set(found["item_id"]) == set(names)
        assert (found["title"] == found["item_id"]).all()
        for name in names:
            assert opened.similar(name, k=3)["rank"].tolist() == [1, 2, 3]


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.sqlite: the song database is missing"):
        Catalog.open(tmp_path / "none.sqlite")
    catalog = saved(tmp_path)
    catalog.close()
    (tmp_path / "catalog.sqlite").unlink()
    with pytest.raises(ArtifactError, match="was replaced since it was opened"):
        catalog.revision()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 99]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"catalog\.sqlite: ") as error:
        Catalog.open(path).revision()
    assert "\n" not in str(error.value)


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE songs SET title = 'other' WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET embedding = zeroblob(8) WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET embedding = NULL WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET embedding = 'text' WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET title = x'00ff' WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET onboarded = 7 WHERE item_id = 'b'", "row of item 'b'"),
        ("UPDATE songs SET score_vector = '{}' WHERE item_id = 'a'", "row of item 'a'"),
        ("DROP INDEX ix_songs_genre", "its tables are not those"),
        ("CREATE TABLE other (x)", "its tables are not those"),
    ],
)
def test_a_row_or_table_changed_behind_our_back_is_noticed(
    tmp_path: Path, statement: str, message: str
) -> None:
    catalog = saved(tmp_path)
    catalog.put([Song("a"), Song("b", title="t", embedding=np.ones(2, np.float32))])
    catalog.verify()
    change(tmp_path / "catalog.sqlite", statement)
    with pytest.raises(ArtifactError, match=message):
        catalog.verify()


def test_a_changed_row_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    catalog = saved(tmp_path)
    catalog.put([Song("a")])
    change(tmp_path / "catalog.sqlite", 'UPDATE songs SET tags = \'{"mood": "sad"}\'')
    with pytest.raises(ArtifactError, match="row of item 'a'"):
        catalog.onboarded()


def test_a_copy_is_compact_and_the_same(tmp_path: Path) -> None:
    catalog = saved(tmp_path)
    catalog.put([Song("a", title="x" * 100_000)])
    catalog.put([Song("a", title="short", embedding=np.ones(3, np.float32))])
    catalog.copy_to(tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").stat().st_size < (tmp_path / "catalog.sqlite").stat().st_size
    copy = Catalog.open(tmp_path / "copy.sqlite")
    assert all(same(*pair) for pair in zip(copy.onboarded(), catalog.onboarded(), strict=True))
    copy.verify()


@pytest.mark.slow
def test_reading_leaves_the_file_as_it_is_and_alone(tmp_path: Path) -> None:
    catalog = saved(tmp_path)
    catalog.put([Song("a")])
    before = (tmp_path / "catalog.sqlite").read_bytes()
    for _ in range(2):
        again = Catalog.open(tmp_path / "catalog.sqlite")
        again.verify()
        assert [song.item_id for song in again.onboarded()] == ["a"]
        again.close()
    assert (tmp_path / "catalog.sqlite").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.sqlite"]


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    catalog = saved(tmp_path)
    with catalog.transaction() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 3  # EXTRA
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"


def test_two_openings_write_by_turns(tmp_path: Path) -> None:
    first, second = saved(tmp_path), Catalog.open(tmp_path / "catalog.sqlite")
    first.put([Song("a")])
    second.put([Song("b")])
    first.put([Song("c")])
    for catalog in (first, second):
        assert [song.item_id for song in catalog.onboarded()] == ["a", "b", "c"]


def test_threads_may_share_a_catalog(catalog: Catalog) -> None:
    errors = []

    def put(letter: str) -> None:
        try:
            for number in range(5):
                catalog.put([Song(f"{letter}{number}")])
        except ArtifactError as error:
            errors.append(error)

    threads = [threading.Thread(target=put, args=(letter,)) for letter in string.ascii_letters[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    numbers = [song.onboarded for song in catalog.onboarded()]
    assert numbers == list(range(1, 21))


def test_a_forked_process_may_go_on_with_an_open_catalog(tmp_path: Path) -> None:
    catalog = saved(tmp_path)
    catalog.put([Song("parent")])
    child = os.fork()
    if child == 0:
        try:
            catalog.put([Song("child")])
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    catalog.put([Song("parent again")])
    assert [s.item_id for s in catalog.onboarded()] == ["parent", "child", "parent again"]
    catalog.verify()


def test_recordings_have_other_paths(tmp_path: Path) -> None:
    recordings = tuple(SongRecording(f"{name}.mp3", name, "s", "h", name) for name in "ab")
    catalog = Catalog.in_memory()
    catalog.fill([Song("one", recordings=recordings), Song("two", recordings=recordings[:1])])
    fit, number = catalog.revision()
    catalog.relocate({"one": {"b": "/music/x.mp3", "c": "y.mp3"}, "none": {"a": "z.mp3"}})
    paths = {song.item_id: [one.path for one in song.recordings] for song in catalog.songs()}
    assert paths == {"one": ["a.mp3", "/music/x.mp3"], "two": ["a.mp3"]}
    assert catalog.revision() == (fit, number + 1)
    assert catalog.onboarded() == []
    catalog.verify()
