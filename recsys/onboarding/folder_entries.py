"""List the recordings of a folder with their texts from a metadata table."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from datasets.columns import ITEM_ID, ITEM_TEXT, PATH
from datasets.errors import DataError
from datasets.tables.checks import ITEM_COLUMNS, Origin, check_items
from datasets.tables.frames import FrameLike, as_frame
from datasets.tables.read_write import read_table
from datasets.tables.recordings import ROOT, PassedOver, count_passed_over, list_recordings
from datasets.tables.values import BadValueError, as_text, format_value
from datasets.tagged_files import item_ids
from datasets.texts.file_names import name_as_text
from datasets.texts.unicode_forms import composed

FILE_COLUMNS = (PATH, "file", "filename")
"""Possible names of the column with a file's relative path or name; a table has one of them."""


@dataclass(frozen=True)
class FolderEntry:
    """A recording of a folder with its item id and texts."""

    path: str
    """Relative to the folder, with `/`, as the functions of `os` take it."""
    item_id: str
    texts: dict[str, str]
    """Title, artist, album, genre and tags, as far as the table has columns for them."""
    problem: str = ""
    """Why there is no recording: a row of the table without a file. Empty otherwise."""
    named: bool = False
    """Whether the table gives the item id; it comes from the path otherwise."""

    @property
    def shown(self) -> str:
        """The path as valid text, for tables and messages."""
        return name_as_text(self.path)


class FolderEntries(NamedTuple):
    """What `folder_entries` found."""

    entries: list[FolderEntry]
    """Files by path, then rows of the table without a file."""
    passed_over: list[PassedOver]
    """What else is in the folder."""


def folder_entries(folder: Path, metadata: Path | FrameLike | None) -> FolderEntries:
    """List the recordings of a folder and its subfolders, and rows of the table without a file.

    A recording without an item id in the table gets one by its path; see
    `datasets.tagged_files.item_ids`.

    Args:
        folder: the folder.
        metadata: CSV or Parquet file, or a table, with one of FILE_COLUMNS and any of item_id,
            title, artist, album, genre and tags; None for none.

    Raises:
        DataError: no folder, no recordings, an unusable table (its row is named), or an item id in
            the table that is also that of another recording.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    files, passed_over = list_recordings(folder)
    if not files:
        raise DataError(f"{folder} {_no_recordings(passed_over)}")
    default_ids = dict(zip(files, item_ids(files), strict=True))
    described = {} if metadata is None else _read_metadata(folder, default_ids, metadata)
    own = {path: FolderEntry(path, item_id, {}) for path, item_id in default_ids.items()}
    found = list({**own, **described}.values())  # files first, then rows without one
    taken: dict[str, str] = {}
    for entry in found:
        if (other := taken.setdefault(entry.item_id, entry.path)) != entry.path:
            raise DataError(
                f"{folder}: {format_value(other)} and {format_value(entry.path)} would both be "
                f"item {format_value(entry.item_id)}; give them item ids in a table"
            )
    return FolderEntries(found, passed_over)


def _no_recordings(passed_over: Sequence[PassedOver]) -> str:
    for one in passed_over:
        if one.kind == ROOT:
            return one.reason
    there = f"; passed over: {count_passed_over(passed_over)}" if passed_over else ""
    return f"holds no recordings (files ending in .mp3, .wav, .flac, ...){there}"


def _read_metadata(
    folder: Path, default_ids: Mapping[str, str], metadata: Path | FrameLike
) -> dict[str, FolderEntry]:
    """Return entries by path."""
    expected = (*FILE_COLUMNS, *ITEM_COLUMNS)
    if not isinstance(metadata, Path):
        raw, origin = as_frame(metadata, "metadata", expected), Origin("metadata")
    else:
        table = read_table(metadata, expected)
        raw, origin = as_frame(table.frame, table.origin.name, expected), table.origin
    raw = raw.rename(columns=lambda name: name.strip() if isinstance(name, str) else name)
    columns = [name for name in FILE_COLUMNS if name in raw.columns]
    if len(columns) != 1:
        wanted = " or ".join(map(repr, FILE_COLUMNS))
        raise DataError(f"{origin.name}: one column named {wanted} is expected, not {len(columns)}")
    if raw.empty:
        return {}
    column = columns[0]
    names = _texts(raw, column, origin, required=True)
    paths, problems = _find_files(folder, list(default_ids), names, column, origin)
    raw = raw.drop(columns=column)
    given = [str(name) for name in raw.columns if name != ITEM_ID]
    if ITEM_ID in raw.columns:
        ids = _texts(raw, ITEM_ID, origin, required=False)
    else:
        ids = [""] * len(raw)
    filled = [
        item_id or default_ids.get(path) or name_as_text(path)
        for item_id, path in zip(ids, paths, strict=True)
    ]
    raw = raw.assign(**{ITEM_ID: pd.Series(filled, index=raw.index, dtype=object)})
    missing = {name: "" for name in ITEM_TEXT if name not in raw.columns}
    items = check_items(raw.assign(**missing).reset_index(drop=True), origin)
    rows = items.to_dict("records")
    return {
        path: FolderEntry(
            path, row[ITEM_ID], {name: row[name] for name in given}, problem, named=bool(item_id)
        )
        for path, row, problem, item_id in zip(paths, rows, problems, ids, strict=True)
    }


def _find_files(
    folder: Path, files: Sequence[str], names: Sequence[str], column: str, origin: Origin
) -> tuple[list[str], list[str]]:
    """Return for each name in the table its relative path, and the problem if there is no file.

    Names are compared whatever the Unicode form of their accents; bytes that are not UTF-8 are
    written as `name_as_text` does.

    Raises:
        DataError: several files have the name, or a file has two rows.
    """
    exact = {name_as_text(path): path for path in files}
    by_path, by_name = defaultdict(list), defaultdict(list)
    for text, path in exact.items():
        by_path[composed(text)].append(path)
        by_name[composed(text.rpartition("/")[2])].append(path)
    first: dict[str, int] = {}
    paths, problems = [], []
    for row, name in enumerate(names):
        wanted = _within(folder, name)
        candidates = [exact[wanted]] if wanted in exact else by_path.get(composed(wanted), [])
        candidates = candidates or by_name.get(composed(wanted), [])
        if not candidates and "\\" in name:  # a table made on Windows
            wanted = _within(folder, name.replace("\\", "/"))
            candidates = by_path.get(composed(wanted), []) or by_name.get(composed(wanted), [])
        if len(candidates) > 1:
            one, other = map(format_value, candidates[:2])
            text = f"{format_value(name)} could be {one} or {other}"
            raise origin.error(row, column, f"{text}; give the path from the folder on")
        path, problem = (candidates[0], "") if candidates else (wanted, "")
        if not candidates:
            problem = (
                f"{origin.name}, {origin.place(row)}: {format_value(name)} is not in the folder"
            )
        if path in first:
            text = f"{format_value(name)} is there already, in {origin.place(first[path])}"
            raise origin.error(row, column, text)
        first[path] = row
        paths.append(path)
        problems.append(problem)
    return paths, problems


def _within(folder: Path, name: str) -> str:
    """Return a path of the table relative to the folder, if it is inside."""
    path = Path(os.path.normpath(name))
    if path.is_absolute() and path.is_relative_to(folder.absolute()):
        path = path.relative_to(folder.absolute())
    return path.as_posix()


def _texts(raw: pd.DataFrame, column: str, origin: Origin, *, required: bool) -> list[str]:
    found = raw[column]
    if isinstance(found, pd.DataFrame):
        raise DataError(f"{origin.name}: two columns are named {column!r}")
    try:
        return list(as_text(found, required=required, identifier=column == ITEM_ID))
    except BadValueError as error:
        raise origin.error(error.row, column, error.problem, error.count) from None
