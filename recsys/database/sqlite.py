"""SQLite connections for SQLAlchemy whose transactions see one state of the database."""

import os
import sqlite3
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, MetaData, Pool, create_engine, event

from datasets.system.locks import patience
from recsys.database.connections import usable_in_children

WRITES = "coldtune_writes"
"""Execution option of an engine: transactions lock the database for writing when they begin."""


def connect_sqlite(path: Path, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
    """Open a database file; `rw` never creates one, `rwc` does."""
    # As a URI: it takes the mode, and any file name.
    name = urllib.parse.quote(os.fsencode(path.absolute()))
    return sqlite3.connect(
        f"file:{name}?mode={mode}", uri=True, timeout=patience(), check_same_thread=False
    )


def sqlite_engine(connect: Callable[[], sqlite3.Connection], pool: type[Pool]) -> Engine:
    """Create an engine whose transactions see one state of the database from beginning to end.

    Python's driver would begin a transaction only before its first change, so that earlier queries
    could see changes of other writers in between. With the execution option ``WRITES`` a
    transaction takes the write lock before it reads.

    Args:
        connect: opens a connection.
        pool: connection pool, `StaticPool` for a database in memory.
    """
    engine = usable_in_children(create_engine("sqlite://", creator=connect, poolclass=pool))

    @event.listens_for(engine, "connect")
    def leave_transactions_alone(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def table_names(connection: Connection) -> set[str]:
    """Return the names of the tables and indices that there are: one short query."""
    return set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())


def create_missing(connection: Connection, metadata: MetaData) -> None:
    """Create the tables that do not exist yet."""
    if not table_names(connection).issuperset(metadata.tables):
        metadata.create_all(connection)
