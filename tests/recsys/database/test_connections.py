"""Song databases in forked children."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from datasets.errors import ArtifactError
from datasets.system import forking
from recsys.database import Catalog, Song, SongDatabase
from recsys.database.read_write import transaction
from tests.helpers.forks import in_child


def test_a_child_opens_connections_of_its_own(tmp_path: Path) -> None:
    filled = Catalog.in_memory()
    filled.fill([Song("s1"), Song("s2")])
    filled.copy_to(tmp_path / "catalog.sqlite")
    catalog = Catalog.open(tmp_path / "catalog.sqlite")
    inherited = catalog._engine.pool

    def child() -> None:
        assert catalog._engine.pool is not inherited
        catalog.put([Song("of-the-child")])

    assert in_child(child) == 0
    assert [song.item_id for song in catalog.onboarded()] == ["of-the-child"]
    assert catalog._engine.pool is inherited


def test_a_child_has_a_copy_of_a_database_in_memory() -> None:
    catalog = Catalog.in_memory()
    catalog.fill([Song("s1")])

    def child() -> None:
        catalog.put([Song("of-the-child")])
        assert [song.item_id for song in catalog.songs()] == ["of-the-child", "s1"]

    assert in_child(child) == 0
    assert [song.item_id for song in catalog.songs()] == ["s1"]


def test_a_published_database_is_opened_anew_too(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    catalog.fill([Song("s1")])
    database = SongDatabase.open(f"sqlite:///{tmp_path}/songs.sqlite", create=True)
    database.publish(catalog)
    inherited = database._engine.pool

    def child() -> None:
        assert database._engine.pool is not inherited
        assert [song.item_id for song in database.songs()] == ["s1"]

    assert in_child(child) == 0


def test_a_database_that_was_in_use_when_the_process_forked_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "_SECONDS", 0.05)
    used, free = Catalog.in_memory(), Catalog.in_memory()
    used.fill([Song("s1")])
    free.fill([Song("s1")])
    entered, leave = threading.Event(), threading.Event()

    def read() -> None:
        with used.transaction():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=read)
    thread.start()
    entered.wait()

    def child() -> None:
        assert _count(free) == 1
        with pytest.raises(ArtifactError, match=r"in use when this process was forked.*spawn"):
            _count(used)

    assert in_child(child) == 0
    leave.set()
    thread.join()
    assert _count(used) == 1


def _count(catalog: Catalog) -> int:
    with transaction(catalog._engine, "the database") as connection:
        return connection.execute(text("SELECT COUNT(*) FROM songs")).scalar_one()
