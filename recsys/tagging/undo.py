"""Give files back what was in their tags before coldtune wrote into them, by the journal."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from datasets.columns import PATH
from datasets.errors import AudioError, DataError
from datasets.progress import progress_bar
from datasets.tables.recordings import find_recordings
from datasets.texts.file_names import name_as_text
from embedding.decoding.sound_digest import sound_digest
from recsys.tagging.fields import TagField
from recsys.tagging.files import Entry, change_file, open_tags, same_entries
from recsys.tagging.journal import JournalWriter, WrittenTags, open_journal

RESTORED, AS_BEFORE, LEFT, FAILED_UNDO = "restored", "as before", "left", "failed"


def undo_tags(journal: Path, folder: Path | None = None, *, progress: bool = False) -> pd.DataFrame:
    """Give files back what was in the fields that coldtune wrote, where nobody changed it since.

    Whatever ended an earlier run or an earlier undoing, the result is the same: each field is
    compared with what the journal says was written there and was there before. A file that was
    renamed within the folder is known by its sound.

    Args:
        journal: the journal of `tag_folder`.
        folder: the folder of the recordings, if it was moved since.
        progress: show a progress bar.

    Returns:
        A row for each field that was written: path, field, old and new (lists of texts, before and
        after the undoing), status and reason. The status is "restored"; "as before": it had what
        was there before already; "left": somebody has changed it, or the file is gone; "failed":
        the file cannot be written.

    Raises:
        DataError: the journal or the folder cannot be used.

    Examples:
        >>> undo_tags(folder / "none.jsonl")
        Traceback (most recent call last):
        datasets.errors.DataError: ...: there is no such journal
    """
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    rows: list[tuple[str, str, list[str], list[str], str, str]] = []
    if not journal.exists():
        raise DataError(f"{journal}: there is no such journal")
    with open_journal(journal, None) as writer:
        root = writer.content.folder if folder is None else folder.resolve()
        if not root.is_dir():
            raise DataError(f"{root} is gone: name the folder of the recordings if it was moved")
        files: dict[tuple[str, str], list[WrittenTags]] = {}
        for step in writer.content.written:
            if step.after.keys() - step.undone:
                # By the last time that something was written into it.
                steps = files.pop((step.path, step.sound), [])
                files[step.path, step.sound] = [*steps, step]
        undoing = _Undoing(root, writer)
        with progress_bar("undoing", len(files), shown=progress) as advance:
            for steps in reversed(list(files.values())):
                rows += undoing.rows(steps)
                advance(1)
    columns = [PATH, "field", "old", "new", "status", "reason"]
    report = pd.DataFrame(rows, columns=columns)
    report = report.sort_values([PATH], kind="stable", ignore_index=True)
    report.attrs["journal"] = str(journal)
    return report


class _Undoing:
    """One undoing in a folder."""

    def __init__(self, folder: Path, writer: JournalWriter) -> None:
        self._folder = folder
        self._writer = writer

    @cached_property
    def _by_sound(self) -> dict[str, str]:
        """Paths in the folder by the digest of the sound."""
        found: dict[str, str] = {}
        for path in find_recordings(self._folder):
            try:
                found.setdefault(sound_digest(self._folder / path), path)
            except (OSError, ValueError):
                continue
        return found

    def rows(
        self, steps: Sequence[WrittenTags]
    ) -> Iterator[tuple[str, str, list[str], list[str], str, str]]:
        """Undo what was written into one file, the last first; yield a row for each field."""
        last = steps[-1]
        names = list(dict.fromkeys(name for one in steps for name in one.after))
        names = [n for n in names if any(n in one.after and n not in one.undone for one in steps)]
        path, problem = self._find(last)
        shown = name_as_text(path)
        if problem:
            for name in names:
                yield shown, name, [], [], LEFT, problem
            return
        fields = [TagField(name) for name in names]
        try:
            tags = open_tags(self._folder / path)
            old = {field: tags.texts(field) for field in fields}
            changes: dict[TagField, list[Entry]] = {}
            as_before, bare, modified = set(), False, None
            broken: set[TagField] = set()
            for step in reversed(steps):
                given: dict[TagField, list[Entry]] = {}
                for field in fields:
                    name = field.name
                    if name not in step.after or name in step.undone or field in broken:
                        continue
                    entries = tags.entries(field)
                    if same_entries(entries, step.after[name]):
                        given[field] = step.before[name]
                    elif field in changes:
                        broken.add(field)  # somebody else wrote in between: that is given back
                    elif same_entries(entries, step.before[name]):
                        as_before.add(field)
                if given:
                    tags.put(given)
                    changes |= given
                    bare, modified = step.bare, step.modified
            whole = all(field in changes or field in as_before for field in fields)
            if changes:
                change_file(
                    tags,
                    {field: tags.entries(field) for field in changes},
                    last.sound,
                    announce=lambda: None,
                    bare=bare,
                    modified=modified if whole else None,
                )
        except AudioError as error:
            for name in names:
                yield shown, name, [], [], FAILED_UNDO, str(error)
            return
        done = [field for field in fields if field in changes or field in as_before]
        if done:
            self._writer.add_undone(last, [field.name for field in done])
        for field in fields:
            if field in changes:
                yield shown, field.name, old[field], tags.texts(field), RESTORED, ""
            elif field in as_before:
                yield shown, field.name, old[field], old[field], AS_BEFORE, ""
            else:
                reason = "was changed by somebody since"
                yield shown, field.name, old[field], old[field], LEFT, reason

    def _find(self, step: WrittenTags) -> tuple[str, str]:
        """Return where a recording is now, and why it is left alone, "" if it is not."""
        path = self._folder / step.path
        try:
            if path.is_file() and sound_digest(path) == step.sound:
                return step.path, ""
            there = path.is_file()
        except (OSError, ValueError):
            return step.path, "cannot be read"
        if (found := self._by_sound.get(step.sound)) is not None:
            return found, ""
        return step.path, "is another recording now" if there else "is gone"
