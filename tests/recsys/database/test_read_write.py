"""Transactions: what a database reports becomes an error of the library."""

import sqlite3

import pytest
from sqlalchemy.pool import StaticPool

from datasets.errors import ArtifactError, DiskFullError
from recsys.database.read_write import transaction
from recsys.database.sqlite import sqlite_engine


def test_a_full_disk_is_named_as_such() -> None:
    engine = sqlite_engine(lambda: sqlite3.connect(":memory:"), StaticPool)
    with transaction(engine, "songs.sqlite") as connection:
        connection.exec_driver_sql("CREATE TABLE t (content BLOB)")
        connection.exec_driver_sql("PRAGMA max_page_count = 10")  # as if the disk ended there
    with (
        pytest.raises(DiskFullError, match=r"^songs\.sqlite: database or disk is full$"),
        transaction(engine, "songs.sqlite") as connection,
    ):
        connection.exec_driver_sql("INSERT INTO t VALUES ('first'), (zeroblob(100000))")
    with transaction(engine, "songs.sqlite") as connection:  # all of it or nothing
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    with (
        pytest.raises(ArtifactError, match=r"^songs\.sqlite: no such table: u$"),
        transaction(engine, "songs.sqlite") as connection,
    ):
        connection.exec_driver_sql("INSERT INTO u VALUES (1)")
