"""Where the recordings of songs are now, and which songs have one recording in common.

The song database knows the path that each recording had when it was heard: absolute, or, for the
songs of a fit, relative to the folder of the data set. Where a library was moved since, its new
folder is enough to find the files again.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import NamedTuple

from sqlalchemy import select

from datasets.errors import InvalidArgumentError
from datasets.system.files import file_digest
from datasets.tables.values import format_value
from datasets.texts.file_names import name_from_text
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.read_write import batched

_NAMED = 5
"""Songs that a message names."""


def some_of(item_ids: Sequence[str]) -> str:
    """Name the first of some items, and how many more there are.

    Examples:
        >>> some_of(["a", "b"]), some_of([str(n) for n in range(7)])
        ("'a', 'b'", "'0', '1', '2', '3', '4' and 2 more")
    """
    named = ", ".join(map(format_value, item_ids[:_NAMED]))
    more = f" and {len(item_ids) - _NAMED:,} more" if len(item_ids) > _NAMED else ""
    return named + more


class StoredRecording(NamedTuple):
    """A recording of an item, as the song database describes it."""

    path: PurePath
    """Absolute, or relative to the folder of a data set."""
    digest: str
    """Hex SHA-256 of the file's content."""
    is_of_fit: bool
    """Whether its item is one of the fit, whose folder is known."""


class RecordingFiles:
    """Finds the files of items' recordings.

    Args:
        catalog: the song database of the model.
        fitted: the folder that the paths of the fit's recordings start from; None if not known.
        moved_to: the folder where the recordings are now, if they were moved.

    Raises:
        InvalidArgumentError: `moved_to` is no folder.

    Examples:
        >>> from recsys.database import Catalog, Song, SongRecording
        >>> catalog = Catalog.in_memory()
        >>> heard = SongRecording(str(recording), "9f86d0", "a1", "b2", image_key="b2/9f86d0")
        >>> catalog.fill([Song("s1", recordings=(heard,)), Song("s2")])
        >>> files = RecordingFiles(catalog)
        >>> files.find("s1") == recording, files.find("s2")
        (True, None)
    """

    def __init__(
        self, catalog: Catalog, fitted: Path | None = None, moved_to: Path | None = None
    ) -> None:
        if moved_to is not None and not moved_to.is_dir():
            raise InvalidArgumentError(f"{moved_to}: is no folder of recordings")
        self._catalog = catalog
        self._fitted = fitted
        self._moved_to = None if moved_to is None else moved_to.absolute()
        self._sounds: dict[str, str] | None = None
        self._stored: dict[str, list[StoredRecording]] = {}
        self._found: dict[str, Path | None] = {}
        with catalog.transaction() as connection:
            query = select(schema.recordings.c.item_id).limit(1)
            self.has_any = connection.execute(query).first() is not None
            """Whether the model knows any recording at all."""

    def look_up(self, item_ids: Iterable[str]) -> None:
        """Read the recordings of many items in few queries; `find` and others read one by one."""
        missing = [name for name in dict.fromkeys(item_ids) if name not in self._stored]
        self._stored.update((name, []) for name in missing)
        if not self.has_any or not missing:
            return
        songs, recordings = schema.songs, schema.recordings
        found: dict[str, list[StoredRecording]] = defaultdict(list)
        with self._catalog.transaction() as connection:
            for page in batched(missing):
                query = (
                    select(
                        recordings.c.item_id,
                        recordings.c.path,
                        recordings.c.digest,
                        songs.c.onboarded,
                    )
                    .join(songs, songs.c.item_id == recordings.c.item_id)
                    .where(recordings.c.item_id.in_(page))
                    .order_by(recordings.c.item_id, recordings.c.number)
                )
                for item_id, path, digest, onboarded in connection.execute(query):
                    place = PurePath(name_from_text(path))
                    found[item_id].append(StoredRecording(place, digest, onboarded is None))
        self._stored.update(found)

    def stored(self, item_id: str) -> list[StoredRecording]:
        """Return the recordings of an item as the song database has them."""
        self.look_up([item_id])
        return self._stored[item_id]

    def items_with(self, digest: str) -> list[str]:
        """Return the ids of the items that have a recording of this content, ascending."""
        recordings = schema.recordings
        query = select(recordings.c.item_id).where(recordings.c.digest == digest).distinct()
        with self._catalog.transaction() as connection:
            return sorted(connection.execute(query).scalars())

    def contents(self, item_id: str) -> set[str]:
        """Return what an item's recordings are known by: digests of their content and sound.

        Two items with a digest in common have one recording, whatever its tags and its file.
        """
        stored = self.stored(item_id)
        if not stored:
            return set()
        if self._sounds is None:
            self._sounds = self._catalog.sounds()
        digests = {one.digest for one in stored} - {""}
        return digests | {self._sounds[one] for one in digests if one in self._sounds}

    def find(self, item_id: str) -> Path | None:
        """Return where the first recording of an item is that is there; None without one."""
        if item_id not in self._found:
            places = (self._place(one) for one in self.stored(item_id))
            self._found[item_id] = next((place for place in places if place is not None), None)
        return self._found[item_id]

    def _place(self, stored: StoredRecording) -> Path | None:
        path = stored.path
        if self._moved_to is not None:
            # The more of the old path is there as well, the more certainly it is the same file.
            parts = path.parts[1:] if path.is_absolute() else path.parts
            for start in range(len(parts)):
                place = self._moved_to.joinpath(*parts[start:])
                if _is_file(place) and (start < len(parts) - 1 or _has_content(place, stored)):
                    return place
        if path.is_absolute():
            return Path(path) if _is_file(Path(path)) else None
        if self._fitted is not None:
            place = self._fitted / path
            # A song that came with another data set may have a path that is in this one, too.
            if _is_file(place) and (stored.is_of_fit or _has_content(place, stored)):
                return place
        # Single recordings are onboarded by a path from the working directory.
        place = Path.cwd() / path
        return place if _is_file(place) and _has_content(place, stored) else None


def _is_file(path: Path) -> bool:
    # As bytes of the file system, that need not be text.
    return os.path.isfile(path)  # noqa: PTH113


def _has_content(path: Path, stored: StoredRecording) -> bool:
    with suppress(OSError, ValueError):
        return file_digest(path) == stored.digest
    return False
