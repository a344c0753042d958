"""Songs published to a file or a server: what is there is what the model has, all or nothing."""

import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from datasets.errors import ArtifactError, BusyError, InvalidArgumentError
from recsys.database.catalog import Catalog
from recsys.database.published import PublishReport, SongDatabase
from recsys.database.queries import SongFilter, count_songs, list_scores, list_songs
from recsys.database.song import Song, SongRecording
from tests.helpers import postgres
from tests.helpers.programs import missing_reason

HEARD = Song(
    "b", "Blue Émile", "Ana", "First", "jazz", {"mood": "dark"}, np.array([1, -2], np.float32),
    {"genre": {"jazz": 0.75, "rock": 0.25}, "mood": {"dark": 0.5}},
    recordings=(SongRecording("b.mp3", "digest", "snippet", "image", "key"),),
)  # fmt: skip
SONGS = [
    Song("a", "100% _sure_", "Bo", "", "rock"),
    HEARD,
    Song("c", "Red", "Ana", "First", "jazz", scores={"genre": {"jazz": 0.4, "rock": 0.6}}),
]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    folder = postgres.programs()
    if folder is None:
        pytest.skip(missing_reason("initdb (PostgreSQL)"))
    with postgres.server(folder) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where there is an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'songs.sqlite'}"
        return
    url = request.getfixturevalue("server")
    yield url
    execute(url, "DROP TABLE IF EXISTS scores, recordings, genres, revision, songs, other")


def execute(url: str, statement: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def catalog_of(*songs: Song) -> Catalog:
    catalog = Catalog.in_memory()
    catalog.fill(songs)
    return catalog


def plain(song: Song) -> dict:
    return {**vars(song), "embedding": None if song.embedding is None else song.embedding.tolist()}


@pytest.mark.slow
def test_what_is_published_comes_back(url: str) -> None:
    catalog = catalog_of(*SONGS)
    database = SongDatabase.open(url, create=True)
    assert database.revision() is None
    assert database.publish(catalog) == PublishReport(added=3)
    assert [plain(song) for song in database.songs()] == [plain(song) for song in SONGS]
    assert database.revision() == catalog.revision()
    database.verify()
    again = SongDatabase.open(url)
    assert again.songs()[1].embedding is not None
    assert again.songs()[1].embedding.dtype == np.float32
    for opened in (database, again):
        opened.close()


@pytest.mark.slow
def test_only_what_differs_is_written(url: str) -> None:
    database = SongDatabase.open(url, create=True)
    catalog = catalog_of(*SONGS)
    database.publish(catalog)
    assert database.publish(catalog) == PublishReport(unchanged=3)
    catalog.put([Song("c", "Now heard", scores={"genre": {"rock": 1.0}}), Song("d")])
    assert database.publish(catalog) == PublishReport(added=1, changed=1, unchanged=2)
    assert [song.title for song in database.songs()] == [
        "100% _sure_",
        "Blue Émile",
        "Now heard",
        "",
    ]
    database.verify()
    database.close()


def test_another_model_takes_the_place_of_the_first(url: str) -> None:
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*SONGS))
    other = catalog_of(Song("a", "Else", scores={"genre": {"polka": 1.0}}), Song("z"))
    database.publish(other)
    assert [song.item_id for song in database.songs()] == ["a", "z"]
    assert database.revision() == other.revision()
    with database.transaction() as connection:
        assert list_scores(connection, SongFilter())["genre"].tolist() == ["polka"]
    # The same genres, other songs: those that are gone are removed.
    assert database.publish(catalog_of(Song("a", "E", scores={"genre": {"polka": 0.5}}))) == (
        PublishReport(changed=1, removed=1)
    )
    database.verify()
    database.close()


def test_a_publication_that_fails_changes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*SONGS))
    revision = database.revision()
    from recsys.database.read_write import SongWriter

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SongWriter, "remove", fails)
    with pytest.raises(KeyboardInterrupt):
        database.publish(catalog_of(Song("new", scores={"genre": {"polka": 1.0}})))
    assert [song.item_id for song in database.songs()] == ["a", "b", "c"]
    assert database.revision() == revision
    database.verify()
    database.close()


def test_readers_see_the_old_songs_until_the_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = SongDatabase.open(url, create=True), SongDatabase.open(url, create=True)
    writer.publish(catalog_of(*SONGS))
    seen = []
    publish = SongDatabase._publish

    def look_meanwhile(*arguments: object) -> None:
        publish(*arguments)  # type: ignore[arg-type]
        seen.append([song.item_id for song in reader.songs()])

    monkeypatch.setattr(SongDatabase, "_publish", look_meanwhile)
    with reader.transaction() as early:
        assert count_songs(early, SongFilter()) == 3
        writer.publish(catalog_of(Song("only")))
        assert count_songs(early, SongFilter()) == 3  # one transaction sees one state
    assert seen == [["a", "b", "c"]]
    assert [song.item_id for song in reader.songs()] == ["only"]
    for database in (writer, reader):
        database.close()


def test_several_publish_at_once_into_an_empty_database(url: str) -> None:
    catalogs = [catalog_of(*(Song(f"{n}-{k}") for k in range(20))) for n in range(3)]
    errors = []

    def publish(catalog: Catalog) -> None:
        try:
            database = SongDatabase.open(url, create=True)
            database.publish(catalog)
            database.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(catalog,)) for catalog in catalogs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    database = SongDatabase.open(url)
    database.verify()
    revision = database.revision()
    (winner,) = [n for n, catalog in enumerate(catalogs) if catalog.revision() == revision]
    assert {song.item_id.split("-")[0] for song in database.songs()} == {str(winner)}
    database.close()


def test_waiting_for_another_publication_ends_and_names_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, other = (SongDatabase.open(url, create=True) for _ in range(2))
    database.publish(catalog_of(*SONGS))
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "0.1")
    late = SongDatabase.open(url)
    with other._writing():
        with pytest.raises(BusyError) as error:
            late.publish(catalog_of(SONGS[0]))
        assert len(database.songs()) == 3  # readers go on
    message = str(error.value)
    assert "\n" not in message
    if url.startswith("postgresql"):
        assert re.search(
            rf"session \d+ \(coldtune, process {os.getpid()}\) has been holding", message
        )
    else:
        assert re.search(r"holds? it; waited 0 s for it$", message)
    late.publish(catalog_of(SONGS[0]))
    assert [song.item_id for song in database.songs()] == ["a"]
    for one in (database, other, late):
        one.close()


def test_lists_and_scores_are_the_same_everywhere(url: str) -> None:
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*SONGS))
    with database.transaction() as connection:
        frame = list_songs(connection, SongFilter())
        assert frame.columns.tolist() == [
            "title", "artist", "album", "genre", "item_id",
            "predicted_genre", "probability_genre", "predicted_mood", "probability_mood",
            "familiarity",
        ]  # fmt: skip
        assert frame["predicted_genre"].tolist() == [None, "jazz", "rock"]
        assert frame["probability_genre"].tolist()[1:] == [0.75, 0.6]
        assert frame["genre"].tolist() == ["rock", "jazz", "jazz"]  # as it came, not as predicted
        scores = list_scores(connection, SongFilter(genre="jazz"), 1)
        assert scores.values.tolist() == [
            ["b", 1, "genre", "jazz", 0.75],
            ["b", 2, "genre", "rock", 0.25],
            ["b", 3, "mood", "dark", 0.5],
        ]

        def found(search: str) -> list[str]:
            return list_songs(connection, SongFilter(search=search))["item_id"].tolist()

        assert found("éMILE") == found("E\N{COMBINING ACUTE ACCENT}mile") == ["b"]
        assert found("%") == found("_s") == found("_sure_") == ["a"]
        assert found("ana") == ["b", "c"]
        assert found("ana\nfirst") == ["b", "c"]
        assert found("\\") == []
        assert list_songs(connection, SongFilter(), 1, after="a")["item_id"].tolist() == ["b"]
        assert list_songs(connection, SongFilter(genre="rock", search="ana")).empty
    database.close()


@pytest.mark.slow
def test_a_database_of_an_earlier_version_is_read_and_gets_the_column(url: str) -> None:
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*SONGS))
    database.close()
    execute(url, "ALTER TABLE songs DROP COLUMN familiarity")
    execute(url, "UPDATE revision SET format = 2")
    database = SongDatabase.open(url)
    with database.transaction() as connection:
        assert list_songs(connection, SongFilter())["familiarity"].isna().tolist() == [True] * 3
    assert [plain(song) for song in database.songs()] == [plain(song) for song in SONGS]
    database.publish(catalog_of(*SONGS, Song("d", familiarity=0.25)))
    with database.transaction() as connection:
        told = list_songs(connection, SongFilter())["familiarity"].tolist()
    assert told[3] == 0.25
    assert np.isnan(told[:3]).all()
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE songs SET title = 'other' WHERE item_id = 'b'",
        "UPDATE recordings SET path = 'other'",
        "DELETE FROM recordings",
        "UPDATE scores SET score = 0.5 WHERE item_id = 'b' AND genre_id = 1",
        "DELETE FROM scores WHERE item_id = 'b' AND genre_id = 2",
        "UPDATE genres SET name = 'other' WHERE genre_id = 2",
    ],
)
def test_a_row_that_others_changed_is_noticed(url: str, statement: str) -> None:
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*SONGS))
    execute(url, statement)
    with pytest.raises(ArtifactError, match=r"item 'b'|of item 'c'"):
        database.verify()
    database.close()


def test_tables_of_somebody_else_are_left_alone(url: str) -> None:
    execute(url, "CREATE TABLE songs (title VARCHAR)")
    execute(url, "INSERT INTO songs VALUES ('theirs')")
    for create in (True, False):
        with pytest.raises(ArtifactError, match=r"table '.*' is not that of a song database"):
            SongDatabase.open(url, create=create)
    execute(url, "ALTER TABLE songs RENAME TO other")
    with pytest.raises(ArtifactError, match="there is no song database here"):
        SongDatabase.open(url)
    SongDatabase.open(url, create=True).close()  # beside other tables there is room


def test_long_and_nasty_texts(url: str) -> None:
    long = "x" * 9_000
    nasty = ["'; DROP TABLE songs; --", "new\nline", "\N{ROCKET}", "%s :path ?", "e\u0301", " "]
    songs = [
        Song(f"{n:02}", text, text, text, text, {text: text}, None, {"genre": {text: 0.5}})
        for n, text in enumerate([long, *nasty])
    ]
    database = SongDatabase.open(url, create=True)
    database.publish(catalog_of(*songs))
    assert [plain(song) for song in database.songs()] == [plain(song) for song in songs]
    with database.transaction() as connection:
        for text in nasty:
            assert count_songs(connection, SongFilter(genre=text)) == 1
    database.close()


def test_postgresql_refuses_a_nul_by_name(server: str, tmp_path: Path) -> None:
    database = SongDatabase.open(server, create=True)
    with pytest.raises(InvalidArgumentError, match=r"title of item 'n': PostgreSQL takes no text"):
        database.publish(catalog_of(Song("n", title="a\0b")))
    assert database.songs() == []
    database.close()
    execute(server, "DROP TABLE scores, recordings, genres, revision, songs")


def test_an_sqlite_file_has_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "songs.sqlite"
    SongDatabase.open(f"sqlite:///{path}", create=True).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not the address of a database"),
        ("postgres:/anna:secret@host/base", "is not the address of a database"),
        ("mysql://host/base", "not at 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_of_something_else(url: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        SongDatabase.open(url, create=True)


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no song database here"):
        SongDatabase.open(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert list(tmp_path.iterdir()) == []


def test_a_model_s_own_files_are_no_place_to_publish_to(tmp_path: Path) -> None:
    (tmp_path / "g-1").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InvalidArgumentError, match="is inside a model"):
        SongDatabase.open(f"sqlite:///{tmp_path / 'g-1' / 'catalog.sqlite'}", create=True)


def test_a_server_that_does_not_answer_is_one_line_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://me:secret@/base?host={tmp_path}"
    with pytest.raises(ArtifactError, match=r"postgresql://me:\*\*\*@/base") as error:
        SongDatabase.open(url)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'coldtune\[postgres\]'"):
        SongDatabase.open("postgresql://host/base")
