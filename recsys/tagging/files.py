"""Fields of ID3, Vorbis and MP4 tags read and written, without any change of the sound.

Everything that is not asked to be changed stays as it is: the version of ID3 tags and frames that
nobody knows, an ID3v1 tag at the end, the order of Vorbis comments. A changed file is made beside
the old one, compared with it, and put into its place at once.
"""

import base64
import os
import re
import shutil
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from datasets.errors import AudioError
from datasets.system.files import reason_of, sync_directory, sync_file
from datasets.system.temporary import room_for, temporary_file
from datasets.tags import read_file_tags
from embedding.decoding.sound_digest import sound_digest
from recsys.tagging.fields import TagField

Entry = dict[str, Any]
"""A frame, comment or atom as values that JSON can hold, exactly."""

_ENCODING = re.compile(r"encoding=<Encoding\.\w+: \d>, ")
_TAIL = 1024
"""Bytes at the end of an mp3 file that an ID3v1 tag may be in, and more."""


class AudioTags(ABC):
    """The tags of one audio file, of which fields can be read, changed in memory, and saved.

    Examples:
        >>> tags, genre = open_tags(recording), TagField("GENRE")
        >>> tags.put({genre: tags.made(genre, ["jazz", "blues"])})
        >>> tags.texts(genre)
        ['jazz', 'blues']
    """

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file
        self.bare = file.tags is None
        """Whether the file has no tags at all, not even empty ones."""
        if self.bare:
            file.add_tags()

    @abstractmethod
    def entries(self, field: TagField) -> list[Entry]:
        """Return what is in a field, exactly."""

    @abstractmethod
    def texts(self, field: TagField) -> list[str]:
        """Return what is in a field as people read it, without blank texts."""

    @abstractmethod
    def made(self, field: TagField, values: Sequence[str]) -> list[Entry]:
        """Return what a field with these values has in it.

        Raises:
            AudioError: a value would be read as another one.
        """

    @abstractmethod
    def put(self, changes: Mapping[TagField, Sequence[Entry]]) -> None:
        """Give fields other contents, in memory."""

    @abstractmethod
    def others(self, fields: Sequence[TagField]) -> list[str]:
        """Describe everything but some fields, to compare files by."""

    @abstractmethod
    def save_into(self, path: Path, *, bare: bool) -> None:
        """Write the tags into a copy of the file.

        Args:
            path: the copy.
            bare: remove the tags as a whole if nothing is left in them.
        """


class _Id3Tags(AudioTags):
    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(path, file)
        self._version = 4 if self.bare or file.tags.version[1] == 4 else 3

    def entries(self, field: TagField) -> list[Entry]:
        found = []
        for frame in self._frames(field):
            entry = {
                "frame": frame.FrameID,
                "encoding": int(frame.encoding),
                "text": list(map(str, frame.text)),
            }
            found.append(entry | ({"desc": frame.desc} if frame.FrameID == "TXXX" else {}))
        return sorted(found, key=str)

    def texts(self, field: TagField) -> list[str]:
        found = []
        for frame in self._frames(field):
            values = frame.genres if frame.FrameID == "TCON" else frame.text
            found += [text for value in values for text in str(value).split("; ")]
        return [text.strip() for text in found if text.strip()]

    def made(self, field: TagField, values: Sequence[str]) -> list[Entry]:
        from mutagen.id3 import TCON

        genre: Any = TCON
        frame, _, desc = field.id3.partition(":")
        for value in values:
            if frame == "TCON" and (read := genre(encoding=3, text=[value]).genres) != [value]:
                raise AudioError(
                    f"the genre {value!r} would be read as {'; '.join(read) or 'none'} in ID3 tags"
                )
        # Several values, and UTF-8, are of version 4; version 3 has a list in one text.
        new = self._version == 4
        text = list(values) if new else ["; ".join(values)]
        entry = {"frame": frame, "encoding": 3 if new else 1, "text": text}
        return [entry | ({"desc": desc} if desc else {})]

    def put(self, changes: Mapping[TagField, Sequence[Entry]]) -> None:
        from mutagen import id3

        for field in changes:
            for frame in self._frames(field):
                del self._file.tags[frame.HashKey]
        for entry in (one for entries in changes.values() for one in entries):
            facts = dict(entry)
            kind = getattr(id3, facts.pop("frame"))
            self._file.tags.add(kind(**facts))

    def others(self, fields: Sequence[TagField]) -> list[str]:
        own = {frame.HashKey for field in fields for frame in self._frames(field)}
        known = [repr(frame) for key, frame in self._file.tags.items() if key not in own]
        unknown = [repr(data) for data in getattr(self._file.tags, "unknown_frames", ())]
        return sorted(_ENCODING.sub("", text) for text in (*known, *unknown))

    def save_into(self, path: Path, *, bare: bool) -> None:
        from mutagen.mp3 import MP3

        tags = self._file.tags
        if isinstance(self._file, MP3):
            size = path.stat().st_size - _length_of_id3(path)
            with path.open("rb") as stream:
                stream.seek(-min(size, _TAIL), 2)
                tail = stream.read()
            if bare and not tags:
                tags.delete(path, delete_v1=False)
            else:
                tags.save(path, v2_version=self._version, v23_sep=None)
            # An ID3v1 tag stays as somebody wrote it.
            with path.open("rb+") as stream:
                stream.truncate(_length_of_id3(path) + size)
                stream.seek(-len(tail), 2)
                stream.write(tail)
        elif bare and not tags:
            tags.delete(path)
        else:
            tags.save(path, v2_version=self._version, v23_sep=None)

    def _frames(self, field: TagField) -> list[Any]:
        """The frames of a field; a text frame with its name is read as one."""
        frame = field.id3.partition(":")[0]
        found = [] if frame == "TXXX" else self._file.tags.getall(frame)
        free = self._file.tags.getall("TXXX")
        return [*found, *(one for one in free if one.desc.casefold() == field.name.casefold())]


def _length_of_id3(path: Path) -> int:
    """Bytes of the ID3v2 tag at the beginning of a file."""
    from mutagen.id3 import ID3, ID3NoHeaderError

    read: Any = ID3
    try:
        return int(read(path, translate=False, load_v1=False).size)
    except ID3NoHeaderError:
        return 0


class _VorbisTags(AudioTags):
    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(path, file)
        if any("\ufffd" in text for pair in list.__iter__(file.tags) for text in pair):
            raise AudioError("its tags are damaged: not all of them are valid text (UTF-8)")

    def entries(self, field: TagField) -> list[Entry]:
        return [
            {"at": place, "key": key, "text": text}
            for place, (key, text) in enumerate(list.__iter__(self._file.tags))
            if key.casefold() == field.name.casefold()
        ]

    def texts(self, field: TagField) -> list[str]:
        return [one["text"].strip() for one in self.entries(field) if one["text"].strip()]

    def made(self, field: TagField, values: Sequence[str]) -> list[Entry]:
        return [{"key": field.name, "text": value} for value in values]

    def put(self, changes: Mapping[TagField, Sequence[Entry]]) -> None:
        names = {field.name.casefold() for field in changes}
        kept = [one for one in list.__iter__(self._file.tags) if one[0].casefold() not in names]
        entries = [one for of_field in changes.values() for one in of_field]
        # Where they were, once those that were before them are there again.
        for one in sorted(entries, key=lambda entry: entry.get("at", len(kept) + len(entries))):
            kept.insert(one.get("at", len(kept)), (one["key"], one["text"]))
        list.__setitem__(self._file.tags, slice(None), kept)

    def others(self, fields: Sequence[TagField]) -> list[str]:
        names = {field.name.casefold() for field in fields}
        found = [one for one in list.__iter__(self._file.tags) if one[0].casefold() not in names]
        pictures = [repr(one.write()) for one in getattr(self._file, "pictures", ())]
        return [*map(repr, found), *pictures]

    def save_into(self, path: Path, *, bare: bool) -> None:
        from mutagen.flac import FLAC

        if bare and not len(self._file.tags) and isinstance(self._file, FLAC):
            self._file.delete(path)
        else:
            self._file.save(path)


class _Mp4Tags(AudioTags):
    def entries(self, field: TagField) -> list[Entry]:
        found: list[Entry] = []
        value: Any
        for key in self._keys(field):
            for value in self._file.tags[key]:
                if isinstance(value, str):
                    found.append({"key": key, "text": value})
                else:  # bytes that say what they are
                    data = base64.b64encode(value).decode()
                    facts = {"dataformat": int(value.dataformat), "version": value.version}
                    found.append({"key": key, "data": data, **facts})
        return found

    def texts(self, field: TagField) -> list[str]:
        values = [value for key in self._keys(field) for value in self._file.tags[key]]
        found = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
        return [text.strip() for text in found if text.strip()]

    def made(self, field: TagField, values: Sequence[str]) -> list[Entry]:
        if not field.mp4.startswith("----"):
            return [{"key": field.mp4, "text": value} for value in values]
        facts = {"dataformat": 1, "version": 0}
        encoded = [base64.b64encode(value.encode()).decode() for value in values]
        return [{"key": field.mp4, "data": data, **facts} for data in encoded]

    def put(self, changes: Mapping[TagField, Sequence[Entry]]) -> None:
        from mutagen import mp4

        free_form: Any = mp4.MP4FreeForm
        kind: Any = mp4.AtomDataType
        tags = self._file.tags
        for field, entries in changes.items():
            for key in self._keys(field):
                del tags[key]
            for one in entries:
                value = one.get("text")
                if value is None:
                    data = base64.b64decode(one["data"])
                    value = free_form(data, kind(one["dataformat"]), one["version"])
                tags[one["key"]] = [*tags.get(one["key"], []), value]

    def others(self, fields: Sequence[TagField]) -> list[str]:
        own = {key for field in fields for key in self._keys(field)}
        found = [f"{key} {_exactly(value)}" for key, value in self._file.tags.items()
                 if key not in own]  # fmt: skip
        failed = getattr(self._file.tags, "_failed_atoms", {})
        return sorted([*found, *(f"{key} {data}" for key, data in failed.items())])

    def save_into(self, path: Path, *, bare: bool) -> None:
        self._file.save(path)

    def _keys(self, field: TagField) -> list[str]:
        wanted = {field.mp4.casefold(), f"----:com.apple.itunes:{field.name}".casefold()}
        return [key for key in self._file.tags if key.casefold() in wanted]


def _exactly(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return repr([
        (bytes(one), getattr(one, "dataformat", getattr(one, "imageformat", 0)))
        if isinstance(one, bytes) else one
        for one in parts
    ])  # fmt: skip


def same_entries(left: Sequence[Entry], right: Sequence[Entry]) -> bool:
    """Return whether contents of a field are the same, wherever they are among the others.

    Examples:
        >>> same_entries([{"at": 3, "key": "GENRE", "text": "a"}], [{"key": "GENRE", "text": "a"}])
        True
    """

    def plain(entries: Sequence[Entry]) -> list[Entry]:
        return [{key: one[key] for key in one if key != "at"} for one in entries]

    return plain(left) == plain(right)


def open_tags(path: Path) -> AudioTags:
    """Open the tags of an mp3, wav, aiff, flac, ogg, opus or m4a file.

    Raises:
        AudioError: the file cannot be read, is of another kind, or its tags are damaged; the
            message is the reason, without the name of the file.

    Examples:
        >>> tags = open_tags(recording)
        >>> tags.bare, tags.texts(TagField("GENRE"))
        (True, [])
    """
    from mutagen import File, aiff, flac, mp3, mp4, oggflac, oggopus, oggspeex, oggvorbis, wave

    vorbis = [flac.FLAC, oggflac.OggFLAC, oggopus.OggOpus, oggspeex.OggSpeex, oggvorbis.OggVorbis]
    id3 = [mp3.MP3, wave.WAVE, aiff.AIFF]
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise AudioError("is not a regular file")
        if not path.stat().st_size:
            raise AudioError("is empty (0 bytes)")
        found = File(path, options=[*vorbis, *id3, mp4.MP4])
        if found is None:
            raise AudioError(
                "its tags cannot be written: it is no mp3, wav, aiff, flac, ogg, opus or m4a file"
            )
        if type(found) in id3:
            return _Id3Tags(path, type(found)(path, translate=False, load_v1=False))
        return (_VorbisTags if type(found) in vorbis else _Mp4Tags)(path, found)
    except AudioError:
        raise
    except OSError as error:
        raise AudioError(f"cannot be read: {reason_of(error)}") from None
    except Exception as error:  # mutagen's own, and what malformed tags make of it
        text = " ".join(str(error).split()) or type(error).__name__
        raise AudioError(f"its tags cannot be read: {text}") from None


def elsewhere(tags: AudioTags, field: TagField) -> list[str]:
    """Return what other kinds of tags of a file say, as an ID3v1 genre, or a list INFO of a wav."""
    texts = read_file_tags(tags.path).texts
    text = texts.get({"GENRE": "genre", "MOOD": "mood"}.get(field.name, ""), "")
    return [text] if text else []


def why_not(path: Path) -> str:
    """Return why a file may not be changed; "" if it may be.

    Examples:
        >>> (folder / "link.mp3").symlink_to("song.mp3")
        >>> why_not(folder / "link.mp3")
        'is a link: the file that it leads to is tagged where it is'
    """
    try:
        facts = path.lstat()
    except (OSError, ValueError) as error:
        return f"cannot be read: {reason_of(error)}"
    if stat.S_ISLNK(facts.st_mode):
        return "is a link: the file that it leads to is tagged where it is"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a regular file"
    if facts.st_nlink > 1:
        return f"is one of {facts.st_nlink} names of one file (hard links), which it would leave"
    if not facts.st_mode & 0o222 or not os.access(path, os.W_OK):
        return "is read-only"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return "is in a folder that is read-only"
    return ""


def change_file(
    tags: AudioTags,
    changes: Mapping[TagField, Sequence[Entry]],
    sound: str,
    *,
    announce: Callable[[], None],
    bare: bool = False,
    modified: int | None = None,
) -> None:
    """Write changed fields into a file, or leave it exactly as it is.

    The new file is made beside the old one and takes its place at once. Its permissions, owner and
    extended attributes are those of the old one.

    Args:
        tags: the tags as opened, with the changes put into them already.
        changes: what the changed fields have in them then.
        sound: digest of the sound, which stays.
        announce: called when the new file is complete, before it takes the place of the old one.
        bare: remove the tags as a whole if nothing is left in them.
        modified: time of modification, ns; by default the present, by which players, and programs
            that make backups, see that the file has changed.

    Raises:
        AudioError: it cannot be done; the message is the reason, without the name of the file.
        DiskFullError: there is no room.
    """
    path = tags.path
    if problem := why_not(path):
        raise AudioError(problem)
    try:
        before = path.stat()
        original, fields = open_tags(path), list(changes)
        with room_for(path.parent, path.name, before.st_size), temporary_file(path) as temporary:
            shutil.copyfile(path, temporary)
            if sound_digest(temporary) != sound:
                raise AudioError("is another recording now than the one that was heard")
            try:
                tags.save_into(temporary, bare=bare)
                written = open_tags(temporary)
            except AudioError:
                raise
            except Exception as error:
                if isinstance(error, OSError):
                    raise
                text = " ".join(str(error).split()) or type(error).__name__
                raise AudioError(f"its tags cannot be written: {text}") from None
            if sound_digest(temporary) != sound:
                raise AudioError("it is left alone: its sound would not have stayed the same")
            kept = written.others(fields) == original.others(fields)
            if not kept or not all(
                same_entries(written.entries(field), changes[field]) for field in fields
            ):
                raise AudioError("it is left alone: its other tags would not have stayed the same")
            sync_file(temporary)
            _take_facts(path, before, temporary, modified)
            announce()
            if _stamp(path.lstat()) != _stamp(before):
                raise AudioError("was changed by another program meanwhile")
            temporary.replace(path)
            sync_directory(path.parent)
    except AudioError:
        raise
    except OSError as error:
        from datasets.errors import DiskFullError

        if isinstance(error, DiskFullError):
            raise
        raise AudioError(f"cannot be written: {reason_of(error)}") from None


def _take_facts(path: Path, before: os.stat_result, temporary: Path, modified: int | None) -> None:
    """Give a file the owner, permissions and attributes of another one."""
    made = temporary.stat()
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.chown(temporary, before.st_uid, before.st_gid)
        except PermissionError:
            if made.st_uid != before.st_uid:
                raise AudioError("belongs to another user of this machine") from None
            with suppress(OSError):
                os.chown(temporary, -1, before.st_gid)
    shutil.copystat(path, temporary)
    changed = time.time_ns() if modified is None else modified
    os.utime(temporary, ns=(before.st_atime_ns, changed))


def _stamp(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_mode
