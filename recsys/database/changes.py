"""What happened to a model since its fit, in tables beside its songs: plays and removals.

Each row is whole by itself and carries a checksum, as a song's does. The tables are made by the
first change, so that a database of a version that did not know them can be opened and written.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    MetaData,
    String,
    Table,
    func,
    inspect,
    select,
)

from datasets.errors import ArtifactError
from recsys.database.read_write import batched
from recsys.database.song import Song

metadata = MetaData()

plays = Table(
    "plays",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # order of arrival
    Column("user_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("weight", Double, nullable=False),
    Column("timestamp", BigInteger),  # nanoseconds since 1970, UTC
    Column("checksum", String, nullable=False),
    Index("ix_plays_item", "item_id"),
)

removals = Table(
    "removals",
    metadata,
    Column("item_id", String, primary_key=True),
    Column("checksum", String, nullable=False),
)


class Play(NamedTuple):
    """Somebody played an item; timestamp: nanoseconds since 1970, UTC, where it is known."""

    user_id: str
    item_id: str
    weight: float
    timestamp: int | None = None


@dataclass(frozen=True)
class Changes:
    """Everything since the fit, as of one moment."""

    songs: list[Song]
    """Onboarded ones, in order of arrival."""
    plays: list[Play]
    """Of items that are there, in order of arrival."""
    removed: list[str]
    """Items that were removed and did not come again."""
    revision: tuple[str, int]
    """Which fit they are of, and how many transactions there were since."""


def create_change_tables(connection: Connection) -> None:
    """Make the tables where they are not there yet."""
    metadata.create_all(connection)


def write_plays(connection: Connection, new: Iterable[Play]) -> None:
    """Add plays behind those that are there."""
    last = connection.execute(select(func.max(plays.c.number))).scalar() or 0
    for page in batched(enumerate(new, start=last + 1)):
        rows = [{"number": number, **play._asdict()} for number, play in page]
        connection.execute(plays.insert(), [{**row, "checksum": _checksum(row)} for row in rows])


def write_removal(connection: Connection, item_id: str) -> None:
    """Note that an item is gone, and forget its plays: it would come again as a new one."""
    connection.execute(plays.delete().where(plays.c.item_id == item_id))
    connection.execute(removals.delete().where(removals.c.item_id == item_id))
    row = {"item_id": item_id}
    connection.execute(removals.insert(), {**row, "checksum": _checksum(row)})


def forget_removals(connection: Connection, item_ids: Iterable[str]) -> None:
    """Items that were removed are there again."""
    if has_change_tables(connection):
        for page in batched(item_ids):
            connection.execute(removals.delete().where(removals.c.item_id.in_(page)))


def read_changes(connection: Connection) -> tuple[list[Play], list[str]]:
    """Plays in order of arrival, and removed items.

    Raises ArtifactError for a row that is not as it was written.
    """
    if not has_change_tables(connection):
        return [], []
    played = [
        Play(row["user_id"], row["item_id"], row["weight"], row["timestamp"])
        for row in _rows(connection, plays, plays.c.number)
    ]
    return played, [row["item_id"] for row in _rows(connection, removals, removals.c.item_id)]


def has_change_tables(connection: Connection) -> bool:
    """Whether something was ever written into these tables."""
    return bool(inspect(connection).has_table(plays.name))


def _rows(connection: Connection, table: Table, order: Column[Any]) -> Iterator[dict[str, Any]]:
    for found in connection.execute(select(table).order_by(order)):
        row = found._asdict()
        stored = row.pop("checksum")
        if _checksum(row) != stored:
            raise ArtifactError(
                f"the song database is damaged: row of item {row['item_id']!r} in {table.name}"
            )
        yield row


def _checksum(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(list(row.values())).encode()).hexdigest()
