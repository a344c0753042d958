"""List the recordings of a folder with their texts from a metadata table."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from datasets.columns import ITEM_ID, ITEM_TEXT, PATH
from datasets.errors import DataError
from datasets.tables.checks import ITEM_COLUMNS, Origin, check_items
from datasets.tables.frames import FrameLike, as_frame
from datasets.tables.read_write import read_table
from datasets.tables.recordings import find_recordings
from datasets.tables.values import BadValueError, as_text, format_value

FILE_COLUMNS = (PATH, "file", "filename")
"""Possible names of the column with a file's relative path or name; a table has one of them."""


@dataclass(frozen=True)
class FolderEntry:
    """A recording of a folder with its item id and texts."""

    path: str
    """Relative to the folder, with `/`."""
    item_id: str
    texts: dict[str, str]
    """Title, artist, album, genre and tags, as far as the table has columns for them."""
    problem: str = ""
    """Why there is no recording: a row of the table without a file. Empty otherwise."""


def folder_entries(folder: Path, metadata: Path | FrameLike | None) -> list[FolderEntry]:
    """List the recordings of a folder and its subfolders, and rows of the table without a file.

    A recording without an item id in the table gets its relative path without suffix.

    Args:
        folder: the folder.
        metadata: CSV or Parquet file, or a table, with one of FILE_COLUMNS and any of item_id,
            title, artist, album, genre and tags; None for none.

    Returns:
        Entries of files by path, then of rows without a file.

    Raises:
        DataError: no folder, no recordings, an unusable table (its row is named), or one item id
            for two recordings.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    files = find_recordings(folder)
    if not files:
        raise DataError(f"{folder} holds no recordings (files ending in .mp3, .wav, .flac, ...)")
    described = {} if metadata is None else _read_metadata(folder, files, metadata)
    own = {path: FolderEntry(path, _default_id(path), {}) for path in files}
    found = list({**own, **described}.values())  # files first, then rows without one
    taken: dict[str, str] = {}
    for entry in found:
        if (other := taken.setdefault(entry.item_id, entry.path)) != entry.path:
            raise DataError(
                f"{folder}: {format_value(other)} and {format_value(entry.path)} would both be "
                f"item {format_value(entry.item_id)}; give them item ids in a table"
            )
    return found


def _default_id(path: str) -> str:
    return path[: len(path) - len(Path(path).suffix)]


def _read_metadata(
    folder: Path, files: Sequence[str], metadata: Path | FrameLike
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
    paths, problems = _find_files(folder, files, names, column, origin)
    raw = raw.drop(columns=column)
    given = [str(name) for name in raw.columns if name != ITEM_ID]
    if ITEM_ID in raw.columns:
        ids = _texts(raw, ITEM_ID, origin, required=False)
    else:
        ids = [""] * len(raw)
    filled = [item_id or _default_id(path) for item_id, path in zip(ids, paths, strict=True)]
    raw = raw.assign(**{ITEM_ID: pd.Series(filled, index=raw.index, dtype=object)})
    missing = {name: "" for name in ITEM_TEXT if name not in raw.columns}
    items = check_items(raw.assign(**missing).reset_index(drop=True), origin)
    rows = items.to_dict("records")
    return {
        path: FolderEntry(path, row[ITEM_ID], {name: row[name] for name in given}, problem)
        for path, row, problem in zip(paths, rows, problems, strict=True)
    }


def _find_files(
    folder: Path, files: Sequence[str], names: Sequence[str], column: str, origin: Origin
) -> tuple[list[str], list[str]]:
    """Return for each name in the table its relative path, and the problem if there is no file.

    Raises:
        DataError: several files have the name, or a file has two rows.
    """
    known = set(files)
    named = defaultdict(list)
    for path in files:
        named[path.rpartition("/")[2]].append(path)
    first: dict[str, int] = {}
    paths, problems = [], []
    for row, name in enumerate(names):
        path = Path(os.path.normpath(name)).as_posix()
        if Path(path).is_absolute() and Path(path).is_relative_to(folder.absolute()):
            path = Path(path).relative_to(folder.absolute()).as_posix()
        problem = ""
        if path not in known:
            candidates = named.get(path, [])
            if len(candidates) > 1:
                one, other = map(format_value, candidates[:2])
                text = f"{format_value(name)} could be {one} or {other}"
                raise origin.error(row, column, f"{text}; give the path from the folder on")
            if candidates:
                path = candidates[0]
            else:
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


def _texts(raw: pd.DataFrame, column: str, origin: Origin, *, required: bool) -> list[str]:
    found = raw[column]
    if isinstance(found, pd.DataFrame):
        raise DataError(f"{origin.name}: two columns are named {column!r}")
    try:
        return list(as_text(found, required=required, identifier=column == ITEM_ID))
    except BadValueError as error:
        raise origin.error(error.row, column, error.problem, error.count) from None
