"""Tables of what happened to a model since its fit: plays and removed items.

Each row carries a checksum, as those of songs do. The tables are created by the first change, so
that databases of versions without them can be opened and written.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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
    select,
)

from datasets.errors import ArtifactError
from recsys.database.read_write import batched
from recsys.database.song import Song
from recsys.database.sqlite import create_missing, table_names

metadata = MetaData()


def _play_columns() -> "list[Column[Any]]":
    return [
        Column("number", BigInteger, primary_key=True, autoincrement=False),  # order of arrival
        Column("user_id", String, nullable=False),
        Column("item_id", String, nullable=False),
        Column("weight", Double, nullable=False),
        Column("timestamp", BigInteger),  # nanoseconds since 1970, UTC
        Column("checksum", String, nullable=False),
    ]


plays = Table(
    "plays",
    metadata,
    *_play_columns(),
    Index("ix_plays_item", "item_id"),
)

removals = Table(
    "removals",
    metadata,
    Column("item_id", String, primary_key=True),
    Column("checksum", String, nullable=False),
)


CORRECTIONS = Table(
    "corrections",
    MetaData(),
    # By what the play of a user and an item since the fit has to change to be what replaced it:
    # the weight may be negative.
    *_play_columns(),
    Index("ix_corrections_item", "item_id"),
)
"""Differences that replaced plays make. Created with the tables of `requests`."""


class Play(NamedTuple):
    """One interaction since the fit."""

    user_id: str
    item_id: str
    weight: float
    """Play count."""
    timestamp: int | None = None
    """Nanoseconds since 1970, UTC; None where unknown."""


class ChangePosition(NamedTuple):
    """How far the changes since a fit were read or written: what comes later has larger numbers."""

    revision: int
    """Number of transactions since the fit."""
    song: int
    """The last onboarded song."""
    play: int
    """The last play."""
    correction: int
    """The last change by a replaced play."""


@dataclass(frozen=True)
class Changes:
    """Changes to a model since its fit, all or those after a position, read in one transaction."""

    songs: list[Song]
    """Onboarded songs, in order of arrival."""
    plays: list[Play]
    """Plays of items still in the catalogue, in order of arrival."""
    removed: list[str]
    """Ids of removed items that were not onboarded again."""
    revision: tuple[str, int]
    """Id of the fit, and number of transactions since."""
    position: ChangePosition
    corrections: list[Play] = field(default_factory=list)
    """What replaced plays have changed; the weights may be negative."""

    @property
    def all_plays(self) -> list[Play]:
        """Plays that were added and corrections, each in order of arrival."""
        return self.plays + self.corrections


def create_change_tables(connection: Connection) -> None:
    """Create the tables if they do not exist."""
    create_missing(connection, metadata)


def write_plays(
    connection: Connection, new: Iterable[Play], *, as_corrections: bool = False
) -> None:
    """Append plays, or what replaced plays have changed."""
    table = CORRECTIONS if as_corrections else plays
    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
    for page in batched(enumerate(new, start=last + 1)):
        rows = [{"number": number, **play._asdict()} for number, play in page]
        connection.execute(table.insert(), [{**row, "checksum": _checksum(row)} for row in rows])


def write_removal(connection: Connection, item_id: str, *, of_the_fit: bool) -> None:
    """Delete the plays of an item that is removed: onboarded again, it is a new item.

    That it was removed is recorded if the fit has it; of any other item nothing is left.
    """
    connection.execute(plays.delete().where(plays.c.item_id == item_id))
    if _has_corrections(connection):
        connection.execute(CORRECTIONS.delete().where(CORRECTIONS.c.item_id == item_id))
    connection.execute(removals.delete().where(removals.c.item_id == item_id))
    if not of_the_fit:
        return
    row = {"item_id": item_id}
    connection.execute(removals.insert(), {**row, "checksum": _checksum(row)})


def forget_removals(connection: Connection, item_ids: Iterable[str]) -> None:
    """Delete the records of removals of items that are onboarded again."""
    if has_change_tables(connection):
        for page in batched(item_ids):
            connection.execute(removals.delete().where(removals.c.item_id.in_(page)))


def plays_after(connection: Connection, after: int = 0) -> list[Play]:
    """Return the plays after a number, in order of arrival.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    if not has_change_tables(connection):
        return []
    return _plays_of(connection, plays, after)


def read_changes(connection: Connection) -> tuple[list[Play], list[str]]:
    """Return the plays in order of arrival, and the ids of removed items.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    if not has_change_tables(connection):
        return [], []
    played = _plays_of(connection, plays)
    return played, [row["item_id"] for row in _rows(connection, removals, removals.c.item_id)]


def read_corrections(connection: Connection, after: int = 0) -> list[Play]:
    """Return what replaced plays have changed, after a number, in order of arrival.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    if not _has_corrections(connection):
        return []
    return _plays_of(connection, CORRECTIONS, after)


def read_position(connection: Connection, revision: int) -> ChangePosition:
    """Return the position after all that is there.

    Args:
        connection: an open transaction.
        revision: number of transactions since the fit, this one included.
    """
    there = table_names(connection)

    def last(table: str, column: str) -> int:
        if table not in there:
            return 0
        # SQLite takes the small index of onboarded songs only where the condition names it.
        query = f"SELECT MAX({column}) FROM {table} WHERE {column} IS NOT NULL"
        return int(connection.exec_driver_sql(query).scalar() or 0)

    return ChangePosition(
        revision, last("songs", "onboarded"), last("plays", "number"), last("corrections", "number")
    )


def _has_corrections(connection: Connection) -> bool:
    return CORRECTIONS.name in table_names(connection)


def has_change_tables(connection: Connection) -> bool:
    """Return whether the tables exist, which the first change creates."""
    return plays.name in table_names(connection)


def _plays_of(connection: Connection, table: Table, after: int = 0) -> list[Play]:
    return [
        Play(row["user_id"], row["item_id"], row["weight"], row["timestamp"])
        for row in _rows(connection, table, table.c.number, after)
    ]


def _rows(
    connection: Connection, table: Table, order: Column[Any], after: int = 0
) -> Iterator[dict[str, Any]]:
    query = select(table).order_by(order)
    if after:
        query = query.where(order > after)
    for found in connection.execute(query):
        row = found._asdict()
        stored = row.pop("checksum")
        if _checksum(row) != stored:
            raise ArtifactError(
                f"the song database is damaged: row of item {row['item_id']!r} in {table.name}"
            )
        yield row


def _checksum(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(list(row.values())).encode()).hexdigest()


LEAST_MERGED = 1024
"""Rows of plays up to which none are merged."""


def merge_plays(connection: Connection, n_new: int, table: Table = plays) -> bool:
    """Make one row of all plays of a user and an item, once half of the rows are such.

    Whether they are is looked up when the number of rows doubles, so that there are never more than
    four times as many rows as users with items, and an update takes no longer for it on average.
    The sums are those of the single plays in order of arrival, to the bit; of their times the
    latest is kept.

    Args:
        connection: an open transaction.
        n_new: how many rows have just been added.
        table: `plays`, or another table of the same columns.

    Returns:
        Whether they were merged, so that the rows have other numbers now.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
    before = max(last - n_new, 0)
    if (last // LEAST_MERGED).bit_length() == (before // LEAST_MERGED).bit_length():
        return False
    merged: dict[tuple[str, str], Play] = {}
    n_rows = 0
    for row in _rows(connection, table, table.c.number):
        pair, weight, time = (row["user_id"], row["item_id"]), row["weight"], row["timestamp"]
        if pair in merged:
            sum_, latest = merged[pair].weight, merged[pair].timestamp
            times = [one for one in (latest, time) if one is not None]
            merged[pair] = Play(*pair, sum_ + weight, max(times, default=None))
        else:
            merged[pair] = Play(*pair, weight, time)
        n_rows += 1
    if 2 * len(merged) > n_rows:
        return False
    connection.execute(table.delete())
    for page in batched(enumerate(merged.values(), start=1)):
        rows = [{"number": number, **play._asdict()} for number, play in page]
        connection.execute(table.insert(), [{**row, "checksum": _checksum(row)} for row in rows])
    return True
