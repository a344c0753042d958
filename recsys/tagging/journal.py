"""The journal of tagging: what was written into which file, and what was there before.

Lines of JSON. A line is on the disk before the file that it tells of is changed; so whatever was
written can be taken back, and a value that was written by coldtune is known again as such. What was
heard is kept too, so that an interrupted run goes on without hearing the same recordings again.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from datasets.errors import BusyError, DataError
from datasets.system.files import open_regular, reason_of, sync_directory
from datasets.system.locks import Order, locked
from datasets.texts.file_names import name_as_text, name_from_text
from recsys.database.heard import NamedValues
from recsys.tagging.files import Entry, same_entries

_KIND, _FORMAT = "coldtune tags", 1


class HeardKey(NamedTuple):
    """What the values that are named of a recording depend on."""

    sound: str
    model: str
    """Id of the fit."""
    least: float
    unfamiliar: bool


class HeardBefore(NamedTuple):
    """What was heard in an earlier run."""

    familiarity: float | None
    named: list[NamedValues]


@dataclass
class WrittenTags:
    """What was written into a file at once."""

    path: str
    """In the folder, as the functions of `os` take it."""
    sound: str
    """Digest of its sound."""
    before: dict[str, list[Entry]]
    """What was in each field that was changed, by its name."""
    after: dict[str, list[Entry]]
    """What was written there."""
    bare: bool
    """Whether the file had no tags at all."""
    modified: int
    """Its time of modification then, ns."""
    undone: set[str] = field(default_factory=set)
    """Fields that were given back what was in them."""


@dataclass
class JournalContent:
    """What is in a journal."""

    folder: Path
    """The folder of the recordings, absolute."""
    written: list[WrittenTags] = field(default_factory=list)
    heard: dict[HeardKey, HeardBefore] = field(default_factory=dict)
    length: int = 0
    """Bytes of complete lines; what follows is part of a line that was never finished."""

    def is_ours(self, sound: str, name: str, entries: Sequence[Entry]) -> bool:
        """Return whether coldtune wrote what a field of a file of this sound has in it."""
        return any(
            one.sound == sound
            and name in one.after
            and name not in one.undone
            and same_entries(one.after[name], entries)
            for one in self.written
        )


def default_journal(folder: Path) -> Path:
    """Return where the journal of a folder is: beside it, and called after it.

    Examples:
        >>> default_journal(Path("/music/jazz")).as_posix()
        '/music/jazz.coldtune-tags.jsonl'
    """
    return folder.with_name(f"{folder.name or 'root'}.coldtune-tags.jsonl")


def read_journal(path: Path) -> JournalContent | None:
    """Read a journal; None if there is none, or nothing in it.

    A last line that was never finished, as of a run that was killed, is left out: the file that it
    would have told of was not changed.

    Raises:
        DataError: it is something else, or damaged; the line is named.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}") from None
    length = data.rfind(b"\n") + 1
    lines = data[:length].splitlines()
    if not lines:
        start = json.dumps({"journal": _KIND})[:-1].encode()
        if not start.startswith(data[: len(start)]):
            raise DataError(f"{path}: is no journal of tags")
        return None
    try:
        head = json.loads(lines[0])
        if head["journal"] != _KIND:
            raise ValueError
        if head["format"] != _FORMAT:
            raise DataError(f"{path}: was written by a newer version of coldtune")
        content = JournalContent(Path(name_from_text(head["folder"])), length=length)
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(f"{path}: is no journal of tags") from None
    by_file: dict[tuple[str, str], list[WrittenTags]] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            _take_in(content, by_file, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise DataError(f"{path}, line {number}: is damaged") from None
    return content


def _take_in(
    content: JournalContent,
    by_file: dict[tuple[str, str], list[WrittenTags]],
    line: dict[str, Any],
) -> None:
    if line["event"] == "heard":
        key = HeardKey(line["sound"], line["model"], line["least"], line["unfamiliar"])
        named = [NamedValues(*one) for one in line["named"]]
        content.heard[key] = HeardBefore(line["familiarity"], named)
        return
    path = name_from_text(line["path"])
    steps = by_file.setdefault((path, line["sound"]), [])
    if line["event"] == "undone":
        for step in steps:
            step.undone |= step.after.keys() & set(line["fields"])
        return
    if line["event"] != "written" or line["before"].keys() != line["after"].keys():
        raise ValueError
    step = WrittenTags(
        path, line["sound"], line["before"], line["after"], line["bare"], line["modified"]
    )
    steps.append(step)
    content.written.append(step)


class JournalWriter:
    """A journal that lines are added to; to be used in a `with` block."""

    def __init__(self, path: Path, content: JournalContent, *, new: bool) -> None:
        self.path = path
        self.content = content
        try:
            self._stream = path.open("ab" if new else "rb+", buffering=0)
            self._stream.truncate(content.length)
            self._stream.seek(content.length)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {reason_of(error)}") from None
        if new:
            folder = name_as_text(str(content.folder))
            self._add({"journal": _KIND, "format": _FORMAT, "folder": folder})
            sync_directory(path.absolute().parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def add_written(self, step: WrittenTags) -> None:
        """Add what is about to be written into a file; it is on the disk when this returns."""
        self._add({
            "event": "written", "path": name_as_text(step.path), "sound": step.sound,
            "before": step.before, "after": step.after, "bare": step.bare,
            "modified": step.modified,
        })  # fmt: skip
        self.content.written.append(step)

    def add_undone(self, step: WrittenTags, fields: Sequence[str]) -> None:
        """Add that fields of a file were given back what was in them."""
        self._add({
            "event": "undone", "path": name_as_text(step.path), "sound": step.sound,
            "fields": list(fields),
        })  # fmt: skip

    def add_heard(self, key: HeardKey, heard: HeardBefore) -> None:
        """Add what was heard of a recording; losing it costs nothing but time."""
        if self.content.heard.get(key) != heard:
            self.content.heard[key] = heard
            named = [list(one) for one in heard.named]
            facts = {"familiarity": heard.familiarity, "named": named}
            self._add({"event": "heard", **key._asdict(), **facts}, sync=False)

    def _add(self, line: dict[str, Any], *, sync: bool = True) -> None:
        data = json.dumps(line).encode() + b"\n"
        try:
            while data:
                data = data[self._stream.write(data) :]
            if sync:
                os.fsync(self._stream.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {reason_of(error)}") from None


@contextmanager
def open_journal(path: Path, folder: Path | None) -> Iterator[JournalWriter]:
    """Open a journal to add to it, against other processes; it is created if need be.

    Args:
        path: the file.
        folder: the folder of the recordings, absolute; None for an existing journal.

    Raises:
        DataError: it is something else, of another folder, or cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    busy = BusyError(f"{path}: another process is writing tags by this journal")
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; the journal is a file")
        if not path.absolute().parent.is_dir():
            raise DataError(f"{path}: there is no folder to write it in")
        with locked(lock, "tagging", name=str(path), order=Order.JOB, busy=busy):
            try:
                content = read_journal(path)
                if content is None and folder is None:
                    raise DataError(f"{path}: there is no such journal")
                check_folder(path, content, folder)
                new = content is None
                if content is None:
                    assert folder is not None
                    content = JournalContent(folder)
                with JournalWriter(path, content, new=new) as writer:
                    yield writer
            finally:
                lock.unlink(missing_ok=True)
    except PermissionError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) != lock:
            raise
        raise DataError(
            f"{path}: cannot be written: {reason_of(error)}; --journal names another file"
        ) from None


def check_folder(path: Path, content: JournalContent | None, folder: Path | None) -> None:
    """Check that a journal is that of a folder, or of one that was moved.

    Raises:
        DataError: it is that of another folder.
    """
    if content is None or folder is None or content.folder == folder:
        return
    if content.folder.is_dir():
        raise DataError(f"{path}: is the journal of {content.folder}; --journal names another file")
