"""Requests to take in plays: what tells a repeated one, and the tables of those known.

A service that did not see the answer sends a batch again; a queue delivers an event twice. A batch
with an id, and a play with the id of its event, is therefore taken in once: its id is stored in the
transaction that stores the plays, so that no end of a process comes between them. The newest ids
are kept, `KEPT_BATCHES` and `KEPT_EVENTS` of them; an older one that comes again counts again.

The tables are created by the first request that needs them, so that databases of versions without
them can be opened and written.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
    select,
)

from datasets.errors import ArtifactError
from recsys.database.changes import CORRECTIONS, Play
from recsys.database.read_write import batched
from recsys.database.sqlite import create_missing, table_names

UpdateMode = Literal["add", "replace"]
"""Whether plays are added to what a user has played of an item, or take its place."""

KEPT_BATCHES = 100_000
"""Ids of batches that are kept: the newest."""

KEPT_EVENTS = 1_000_000
"""Ids of events that are kept: the newest. Each takes about 100 bytes on the disk."""

metadata = MetaData()

_batches = Table(
    "batches",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # order of arrival
    Column("batch_id", String, nullable=False),
    Column("digest", String, nullable=False),  # of its plays
    Column("checksum", String, nullable=False),
    Index("ix_batches_id", "batch_id", unique=True),
)

_events = Table(
    "events",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # order of arrival
    Column("key", LargeBinary, nullable=False),  # digest of its id
    Column("digest", LargeBinary, nullable=False),  # of its play
    Column("checksum", LargeBinary, nullable=False),
    Index("ix_events_key", "key", unique=True),
)

CORRECTIONS.to_metadata(metadata)


@dataclass(frozen=True)
class PlaysRequest:
    """How plays came: under which ids, and whether they are added or replace what was.

    Examples:
        >>> PlaysRequest().is_plain, PlaysRequest(batch_id="2026-11-28").is_plain
        (True, False)
    """

    batch_id: str | None = None
    """The id of the batch; None where it has none."""
    digest: str = ""
    """Digest of the plays, from `digest_of_plays`."""
    events: Sequence[str] = ()
    """The id of each play's event, "" where it has none; empty if none has one."""
    mode: UpdateMode = "add"
    """Whether plays are added, or replace what a user has played of an item."""

    @property
    def is_plain(self) -> bool:
        """Whether plays are added and nothing is to be known by an id."""
        return self.batch_id is None and not any(self.events) and self.mode == "add"


def digest_of_plays(plays: Sequence[Play], events: Sequence[str], mode: UpdateMode) -> str:
    """Compute a digest of plays, whatever their order.

    Args:
        plays: the plays.
        events: the id of each one's event; empty if they have none.
        mode: what is done with them.
    """
    ids = events or [""] * len(plays)
    rows = sorted(json.dumps([*play, event]) for play, event in zip(plays, ids, strict=True))
    return hashlib.sha256("\n".join([mode, *rows]).encode()).hexdigest()


def event_key(event_id: str) -> bytes:
    """Return the key by which an event is known, 16 bytes."""
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest()


def event_digest(play: Play, mode: UpdateMode) -> bytes:
    """Return a digest of what an event says, 16 bytes."""
    return hashlib.blake2b(json.dumps([mode, *play]).encode(), digest_size=16).digest()


def create_request_tables(connection: Connection) -> None:
    """Create the tables if they do not exist."""
    create_missing(connection, metadata)


def has_request_tables(connection: Connection) -> bool:
    """Return whether the tables exist."""
    return _batches.name in table_names(connection)


def known_batch(connection: Connection, batch_id: str) -> str | None:
    """Return the digest of the plays of a batch that is known; None for another.

    Raises:
        ArtifactError: the checksum of its row does not match.
    """
    if not has_request_tables(connection):
        return None
    query = select(_batches).where(_batches.c.batch_id == batch_id)
    for row in _checked(connection, query, _batches):
        return str(row["digest"])
    return None


def known_events(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the digests of those events that are known, by key.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    found: dict[bytes, bytes] = {}
    if has_request_tables(connection):
        for page in batched(keys):
            query = select(_events).where(_events.c.key.in_(page))
            for row in _checked(connection, query, _events):
                found[row["key"]] = row["digest"]
    return found


def write_batch(connection: Connection, batch_id: str, digest: str) -> None:
    """Store the id of a batch; the oldest ones beyond those that are kept are forgotten."""
    _append(connection, _batches, [{"batch_id": batch_id, "digest": digest}], KEPT_BATCHES)


def write_events(connection: Connection, events: Mapping[bytes, bytes]) -> None:
    """Store events by key, with their digests; the oldest beyond those kept are forgotten."""
    rows = ({"key": key, "digest": digest} for key, digest in events.items())
    _append(connection, _events, rows, KEPT_EVENTS)


def request_pages(connection: Connection, name: str, after: int) -> list[dict[str, Any]]:
    """Read a page of the rows of a table of ids, those behind a number.

    Args:
        connection: a transaction.
        name: "batches" or "events".
        after: number of the last row that was read.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    if not has_request_tables(connection):
        return []
    table = metadata.tables[name]
    query = select(table).where(table.c.number > after).order_by(table.c.number).limit(_PAGE)
    return list(_checked(connection, query, table))


def write_request_rows(
    connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Store rows that `request_pages` read in another database, as they are."""
    table = metadata.tables[name]
    for page in batched(rows):
        connection.execute(table.insert(), [{**row, "checksum": _checksum(row)} for row in page])


def check_requests(connection: Connection) -> None:
    """Check every row.

    Raises:
        ArtifactError: a checksum does not match.
    """
    if has_request_tables(connection):
        for table in (_batches, _events):
            for _ in _checked(connection, select(table), table):
                pass


_PAGE = 5_000
"""Rows read at once."""


def _append(
    connection: Connection, table: Table, rows: Iterable[dict[str, Any]], kept: int
) -> None:
    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
    for page in batched(enumerate(rows, start=last + 1)):
        numbered = [{"number": number, **row} for number, row in page]
        last = numbered[-1]["number"]
        connection.execute(
            table.insert(), [{**row, "checksum": _checksum(row)} for row in numbered]
        )
    connection.execute(table.delete().where(table.c.number <= last - kept))


def _checked(connection: Connection, query: Any, table: Table) -> Iterator[dict[str, Any]]:
    for found in connection.execute(query):
        row = found._asdict()
        if row.pop("checksum") != _checksum(row):
            raise ArtifactError(
                f"the song database is damaged: row {row['number']} in {table.name}"
            )
        yield row


def _checksum(row: Mapping[str, Any]) -> str | bytes:
    if "key" in row:  # there may be a million of them
        content = b"%d" % row["number"] + row["key"] + row["digest"]
        return hashlib.blake2b(content, digest_size=8).digest()
    values = [row[name] for name in ("number", "batch_id", "digest")]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
