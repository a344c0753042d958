"""The table of a song database that knows files by their sound.

From the digest of a file's content to the digest of its sound, which stays the same when tags are
written into the file. The table is created when first needed, so that databases of versions
without it can be opened and written.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from sqlalchemy import Column, Connection, MetaData, String, Table, select

from datasets.errors import ArtifactError
from recsys.database.read_write import batched
from recsys.database.song import Song
from recsys.database.sqlite import create_missing, table_names

metadata = MetaData()

sounds = Table(
    "sounds",
    metadata,
    Column("digest", String, primary_key=True),  # SHA-256 of a file's content
    Column("sound", String, nullable=False),  # of its audio without tags
    Column("checksum", String, nullable=False),
    sqlite_with_rowid=False,
)


def write_sounds(connection: Connection, digests: Mapping[str, str]) -> None:
    """Add digests of sounds by digest of the file's content; those that are there stay."""
    create_missing(connection, metadata)
    for page in batched(digests.items()):
        query = select(sounds.c.digest).where(sounds.c.digest.in_([digest for digest, _ in page]))
        known = set(connection.execute(query).scalars())
        rows = [
            {"digest": digest, "sound": sound, "checksum": _checksum(digest, sound)}
            for digest, sound in page
            if digest not in known
        ]
        if rows:
            connection.execute(sounds.insert(), rows)


def read_sounds(connection: Connection) -> dict[str, str]:
    """Return all digests of sounds by digest of the file's content.

    Raises:
        ArtifactError: the checksum of a row does not match.
    """
    if sounds.name not in table_names(connection):
        return {}
    found: dict[str, str] = {}
    for row in connection.execute(select(sounds)):
        if _checksum(row.digest, row.sound) != row.checksum:
            raise ArtifactError(
                f"the song database is damaged: row {row.digest!r} in {sounds.name}"
            )
        found[row.digest] = row.sound
    return found


def sounds_of(songs: Iterable[Song]) -> dict[str, str]:
    """Return what is known of the sounds of songs' recordings, as `write_sounds` takes it."""
    return {one.digest: one.sound for song in songs for one in song.recordings if one.sound}


def _checksum(digest: str, sound: str) -> str:
    return hashlib.sha256(json.dumps([digest, sound]).encode()).hexdigest()
