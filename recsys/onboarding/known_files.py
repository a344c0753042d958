"""Which item of a model a file is the recording of: by its path, its content and its sound.

A file that was renamed, moved or retagged is followed by its sound, so that it stays the same item;
a file whose path is that of an item and whose sound is another replaces the item's recording.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from datasets.texts.file_names import name_as_text, name_from_text
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.onboarding.folder_entries import FolderEntry

SAME, OTHER_SOUND, PERHAPS, NEW = "same", "other sound", "perhaps the same", "new"
"""Relations of a file and its item: the item has this recording; it has another one at this path or
under this id; it had a recording at this path in the data set of the fit, whose sound is not known;
there is no such item."""


class StoredFile(NamedTuple):
    """A recording of an item, as the song database describes it."""

    item_id: str
    path: str
    """Absolute, or relative to the data set of the fit; as text."""
    digest: str
    sound: str
    """"" where it is not known."""


@dataclass(frozen=True)
class FoundFile:
    """A file in the folder."""

    entry: FolderEntry
    path: str
    """Absolute, as text."""
    digest: str
    """Of its content; "" if it cannot be read."""
    sound: str
    """Of its audio without tags; "" if it cannot be read."""

    def is_recording(self, stored: StoredFile) -> bool:
        """Return whether the stored recording has the same content or sound."""
        return bool(self.digest) and (
            stored.digest == self.digest or (bool(stored.sound) and stored.sound == self.sound)
        )


class Assignment(NamedTuple):
    """The item of a file."""

    item_id: str
    relation: str
    stored: StoredFile | None = None
    """The recording of the item that the file is, or that it replaces."""
    otherwise: str = ""
    """The id of a new item, should one that is perhaps the same turn out to be another."""
    twin: str = ""
    """Another file or item with the same sound; empty if there is none."""


class KnownFiles:
    """The recordings of all items of a model."""

    def __init__(self, catalog: Catalog) -> None:
        sounds = catalog.sounds()
        recordings = schema.recordings
        self.by_item: dict[str, list[StoredFile]] = defaultdict(list)
        self._by_path: dict[str, list[StoredFile]] = defaultdict(list)
        self._by_content: dict[str, list[StoredFile]] = defaultdict(list)
        self._sounds = sounds
        with catalog.transaction() as connection:
            self.item_ids = set(connection.execute(select(schema.songs.c.item_id)).scalars())
            query = select(recordings.c.item_id, recordings.c.path, recordings.c.digest)
            for item_id, path, digest in connection.execute(query):
                self._add(StoredFile(item_id, path, digest, sounds.get(digest, "")))

    def _add(self, one: StoredFile) -> None:
        self.by_item[one.item_id].append(one)
        self._by_path[one.path].append(one)
        for content in {one.digest, one.sound} - {""}:
            self._by_content[content].append(one)

    def sound_of(self, digest: str) -> str:
        """Return the digest of the sound of a content that the model has; "" for others."""
        return self._sounds.get(digest, "")

    def place_in(
        self, folder: Path, files: Iterable[FoundFile], data_set: Path | None = None
    ) -> dict[str, dict[str, str]]:
        """Read the paths of the fit, which are relative to its data set, as paths in a folder.

        The folder is that of the data set, or has it in it or around it, if the model says so, or
        if most recordings of the fit are where their paths say; what is not there is gone or was
        renamed. Of another folder it is only known that the recordings that are in it are there.

        Args:
            folder: the folder, absolute.
            files: all files of it.
            data_set: where the data set of the fit was; None if that is not known.

        Returns:
            By item, the absolute paths that are known now, by the digest of the content.
        """
        everything = [one for stored in self.by_item.values() for one in stored]
        near = data_set is not None and (
            data_set.is_relative_to(folder) or folder.is_relative_to(data_set)
        )
        root = data_set if near and data_set is not None else folder
        places = {
            one: name_as_text(os.path.normpath(root / name_from_text(one.path)))
            for one in everything
            if not os.path.isabs(one.path)  # noqa: PTH117
        }
        by_path, by_content = {}, defaultdict(list)
        for file in files:
            by_path[file.path] = file
            for content in {file.digest, file.sound} - {""}:
                by_content[content].append(file.path)
        there = {
            one
            for one, path in places.items()
            if (own := by_path.get(path)) is not None and own.is_recording(one)
        }
        if not near and 2 * len(there) <= len(places):
            for one in list(places):
                found = by_content[one.digest] or by_content[one.sound]
                if one not in there and found:
                    places[one] = found[0]
                elif one not in there:
                    del places[one]
        for mapping in (self.by_item, self._by_path, self._by_content):
            mapping.clear()
        paths: dict[str, dict[str, str]] = defaultdict(dict)
        for one in everything:
            if one in places:
                paths[one.item_id][one.digest] = places[one]
            self._add(one._replace(path=places.get(one, one.path)))
        return paths

    def assign(self, folder: Path, files: Sequence[FoundFile]) -> dict[str, Assignment]:
        """Find the item of each file.

        Args:
            folder: the folder of the files, absolute.
            files: all files of it, those with the same sound in the order in which the first of
                them is to be the known one.

        Returns:
            The item by the path of the entry.
        """
        found: dict[str, Assignment] = {}
        claimed: set[str] = set()

        def claim(
            file: FoundFile, item_id: str, relation: str, stored: StoredFile | None = None
        ) -> None:
            found[file.entry.path] = Assignment(item_id, relation, stored)
            claimed.add(item_id)

        for file in files:
            if file.entry.named:
                item_id = file.entry.item_id
                own = self.by_item.get(item_id, [])
                stored = next((one for one in own if file.is_recording(one)), None)
                relation = SAME if stored else OTHER_SOUND if own else NEW
                claim(file, item_id, relation, stored or (own[0] if own else None))
        there = {file.path: file for file in files}
        for file in self._open(files, found):  # those that are where they were
            for one in self._preferred(file, self._by_path.get(file.path, [])):
                if one.item_id not in claimed and file.is_recording(one):
                    claim(file, one.item_id, SAME, one)
                    break
        for file in self._open(files, found):  # those that were elsewhere
            contents = [
                *self._by_content.get(file.digest, []),
                *self._by_content.get(file.sound, []),
            ]
            for one in self._preferred(file, contents):
                if one.item_id not in claimed and (
                    _has_left(one, there)
                    or (one.path not in there and _is_same_file(one.path, file.path))
                ):
                    claim(file, one.item_id, SAME, one)
                    break
        for file in self._open(files, found):  # those that are other recordings than before
            for one in self._preferred(file, self._by_path.get(file.path, [])):
                if one.item_id not in claimed:
                    claim(file, one.item_id, OTHER_SOUND, one)
                    break
        for file in self._open(files, found):
            item_id = self._free_id(folder, file, claimed, there)
            for one in self._preferred(file, self._by_path.get(file.entry.shown, [])):
                if one.item_id not in claimed and not one.sound:
                    claim(file, one.item_id, PERHAPS, one)
                    claimed.add(item_id)
                    found[file.entry.path] = found[file.entry.path]._replace(otherwise=item_id)
                    break
            if file.entry.path in found:
                continue
            own = self.by_item.get(item_id, [])
            claim(file, item_id, OTHER_SOUND if own else NEW, own[0] if own else None)
        return self._with_twins(files, found)

    @staticmethod
    def _open(files: Iterable[FoundFile], found: Mapping[str, Assignment]) -> list[FoundFile]:
        return [file for file in files if file.entry.path not in found]

    @staticmethod
    def _preferred(file: FoundFile, stored: Iterable[StoredFile]) -> list[StoredFile]:
        """The recordings of the item that the file's path names first, then by item id."""
        return sorted(stored, key=lambda one: (one.item_id != file.entry.item_id, one.item_id))

    def _free_id(
        self, folder: Path, file: FoundFile, claimed: set[str], there: Mapping[str, FoundFile]
    ) -> str:
        """The first id made of the file's path that no other recording has.

        A recording of another folder keeps its id even if that folder is not there: a disk may be
        missing only now.
        """
        entry, inside = file.entry, f"{name_as_text(str(folder))}/"
        for item_id in (entry.item_id, entry.shown, f"{folder.name}/{entry.shown}"):
            if item_id not in claimed and all(
                not os.path.isabs(one.path)  # noqa: PTH117
                or (one.path.startswith(inside) and _has_left(one, there))
                for one in self.by_item.get(item_id, [])
            ):
                return item_id
        return file.path

    def _with_twins(
        self, files: Sequence[FoundFile], found: dict[str, Assignment]
    ) -> dict[str, Assignment]:
        """Note for each file the first other one, or item outside the folder, of the same sound."""
        claimed = {assignment.item_id for assignment in found.values()}
        first: dict[str, FoundFile] = {}
        known_first = sorted(files, key=lambda file: found[file.entry.path].relation != SAME)
        for file in known_first:
            if not file.digest:
                continue
            own = found[file.entry.path]
            other = first.setdefault(file.sound or file.digest, file)
            if other is not file:
                found[file.entry.path] = own._replace(twin=other.entry.shown)
                continue
            others = [
                one.item_id
                for content in (file.digest, file.sound)
                for one in self._by_content.get(content, [])
                if one.item_id != own.item_id
            ]
            for item_id in others:
                if item_id not in claimed:
                    found[file.entry.path] = own._replace(twin=f"item {item_id}")
                    break
        return found

    def missing(
        self, folder: Path, claimed: set[str], unreadable: Sequence[str]
    ) -> tuple[list[StoredFile], int]:
        """List what an earlier run found in the folder and this one did not, nor anywhere else.

        Args:
            folder: the folder, absolute.
            claimed: items of the files that are there.
            unreadable: paths in the folder that could not be looked into.

        Returns:
            One recording of each item whose recordings are all gone, and how many items of the
            folder are still there.
        """
        inside = f"{name_as_text(str(folder))}/"
        hidden = tuple(f"{inside}{path}/" for path in unreadable)
        gone, kept = [], 0
        for item_id, stored in self.by_item.items():
            if not any(one.path.startswith(inside) for one in stored):
                continue
            if item_id in claimed:
                kept += 1
            elif not any(one.path.startswith(hidden) or _is_there(one.path) for one in stored):
                gone.append(next(one for one in stored if one.path.startswith(inside)))
        return sorted(gone, key=lambda one: one.path), kept


def _has_left(stored: StoredFile, there: Mapping[str, FoundFile]) -> bool:
    """Return whether a recording is no longer in the place where it was."""
    now = there.get(stored.path)
    if now is not None:
        return not now.is_recording(stored)
    return not _is_there(stored.path)


def _is_same_file(stored: str, found: str) -> bool:
    """Return whether two paths lead to one file, as where the folder is reached by a link."""
    try:
        return Path(name_from_text(stored)).samefile(name_from_text(found))
    except OSError:
        return False


def _is_there(path: str) -> bool:
    """Return whether there is such a file; of a relative path it cannot be known where it was."""
    # As bytes of the file system, that need not be text.
    return os.path.isabs(path) and os.path.lexists(name_from_text(path))  # noqa: PTH117
