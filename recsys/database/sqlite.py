"""SQLite by SQLAlchemy, with transactions that begin where SQLAlchemy begins them."""

import os
import sqlite3
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Pool, create_engine, event

_PATIENCE = 60
"""Seconds to wait for another process that is using the database."""

WRITES = "coldtune_writes"
"""Execution option of an engine for transactions that read before they write."""


def connect_sqlite(path: Path, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
    """Open a file; ``rw`` never makes an empty database where there is none."""
    # As a URI: for the mode, and for any name that a file can have.
    name = urllib.parse.quote(os.fsencode(path.absolute()))
    return sqlite3.connect(
        f"file:{name}?mode={mode}", uri=True, timeout=_PATIENCE, check_same_thread=False
    )


def sqlite_engine(connect: Callable[[], sqlite3.Connection], pool: type[Pool]) -> Engine:
    """An engine whose transactions see one state of the database from beginning to end.

    Python's driver would begin one only before a change, and let queries before it see another
    writer's changes in between. With the execution option :data:`WRITES` a transaction waits its
    turn to write before it reads.
    """
    engine = create_engine("sqlite://", creator=connect, poolclass=pool)

    @event.listens_for(engine, "connect")
    def leave_transactions_alone(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
