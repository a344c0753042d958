"""Load and save a data set as a folder of CSV or Parquet tables (docs/data-format.md)."""

import filecmp
import logging
import os
import shutil
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from datasets import columns as c
from datasets.errors import DataError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.system.files import atomic_write
from datasets.tables.checks import (
    AUDIO_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    Origin,
    check_tables,
    empty_audio,
    empty_interactions,
)
from datasets.tables.frames import name_key
from datasets.tables.read_write import TABLE_SUFFIXES, RawTable, read_table, write_table
from datasets.tables.recordings import ROOT, list_recordings
from datasets.tables.values import format_value
from datasets.tagged_files import tagged_folder

logger = logging.getLogger("coldtune")

Format = Literal["csv", "parquet"]
FORMATS = get_args(Format)
_TABLES = ("items", "audio", "interactions")


def load_folder(path: str | os.PathLike[str]) -> MusicDataset:
    """Load a data set from a folder.

    The folder holds `items` and optionally `audio` and `interactions`, each as `.csv`, `.tsv` (both
    also compressed: `.gz`, `.bz2`, `.xz`, `.zst`) or `.parquet`. Recordings must exist; they are
    not decoded. Without `interactions`, or with an empty file, nobody has played anything, which a
    warning says. A folder of recordings without any table is read by their tags
    (``tagged_folder``).

    Raises:
        DataError: if a table is missing or wrong; the message names the file, the line (CSV,
            from 1, counting the header) or row (Parquet, from 1) and the column.

    Examples:
        >>> _ = save_folder(dataset, folder / "music")
        >>> load_folder(folder / "music").summary()["n_items"]
        30
    """
    folder = Path(path)
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}")
    if not any(_find(folder, name) for name in _TABLES):
        recordings, passed_over = list_recordings(folder)
        if recordings:
            return tagged_folder(folder)
        for one in passed_over:
            if one.kind == ROOT:
                raise DataError(f"{folder} {one.reason}")
    items = _read(folder, "items", ITEM_COLUMNS)
    interactions = _read_interactions(folder)
    if _find(folder, "audio") is None:
        audio = RawTable(empty_audio(), Origin("audio"))
    else:
        audio = _read(folder, "audio", AUDIO_COLUMNS)
    tables = check_tables(
        items.frame,
        audio.frame,
        interactions.frame,
        folder,
        (items.origin, audio.origin, interactions.origin),
    )
    return MusicDataset.from_checked(*tables, folder)


def save_folder(
    dataset: MusicDataset, path: str | os.PathLike[str], format: Format = "csv"
) -> Path:
    """Save a data set as a folder that `load_folder` reads back unchanged.

    Recordings outside the folder are copied into it, those of a data set without a root into
    `audio/`. The folder may exist (a folder of recordings becomes a data set this way) but must
    not hold a data set. If anything fails, what was written is removed; `items` is written last,
    so that after a power cut no half data set loads.

    Args:
        dataset: what to save.
        path: the folder.
        format: "csv" or "parquet".

    Returns:
        The folder.

    Raises:
        InvalidArgumentError: if the format is unknown.
        DataError: if the folder cannot be written, or holds a data set.

    Examples:
        >>> sorted(path.name for path in save_folder(dataset, folder / "music").iterdir())
        ['audio.csv', 'interactions.csv', 'items.csv']
    """
    folder = Path(path)
    if format not in FORMATS:
        raise InvalidArgumentError(
            f"format {format_value(format)}: {' or '.join(FORMATS)} is expected"
        )
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    for name in _TABLES:
        taken = _find(folder, name)
        if taken is not None:
            raise DataError(f"{taken} exists; save into a folder that holds no data set")
    targets = _recordings_in(folder, dataset)
    audio = dataset.audio.assign(path=pd.Series(targets, dtype=object))
    tables = {"audio": audio, "interactions": dataset.interactions, "items": dataset.items}
    try:
        with ExitStack() as undo:
            folder.mkdir(parents=True, exist_ok=True)
            for source, target in zip(dataset.recording_paths(), targets, strict=True):
                _copy(source, folder / target, undo)
            for name, table in tables.items():
                file = folder / f"{name}.{format}"
                write_table(table, file)
                undo.callback(file.unlink)
            undo.pop_all()
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error}") from None
    return folder


def _recordings_in(folder: Path, dataset: MusicDataset) -> list[str]:
    """Return the path of each recording relative to the folder it is saved in."""
    if dataset.root is not None:
        return [str(path) for path in dataset.audio[c.PATH]]
    home = folder.absolute()
    sources = dict.fromkeys(dataset.recording_paths())
    chosen = {path: str(path.relative_to(home)) for path in sources if path.is_relative_to(home)}
    taken = set(chosen.values())
    for source in sources:
        if source not in chosen:
            names = (f"{source.stem}-{number}{source.suffix}" for number in count(2))
            targets = (f"audio/{name}" for name in chain([source.name], names))
            chosen[source] = next(target for target in targets if target not in taken)
            taken.add(chosen[source])
    return [chosen[source] for source in dataset.recording_paths()]


def _copy(source: Path, target: Path, undo: ExitStack) -> None:
    """Copy a recording unless it is there; register its removal with `undo`."""
    if target.exists():
        if source.samefile(target) or filecmp.cmp(source, target, shallow=False):
            return
        raise DataError(f"{target} exists and is another recording than {source}")
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    undo.callback(target.unlink)


def _read(folder: Path, name: str, expected: tuple[str, ...]) -> RawTable:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name}.csv and no {name}.parquet")
    return read_table(path, expected)


def _read_interactions(folder: Path) -> RawTable:
    """Read the interactions; a missing or empty file is a table without rows, and a warning.

    Empty can be text alone: a file of another format without a byte was not written to its end.
    """
    path = _find(folder, "interactions")
    if path is not None and (path.suffix not in (".csv", ".tsv") or path.stat().st_size):
        return _read(folder, "interactions", (*INTERACTION_COLUMNS, c.TIMESTAMP))
    if path is None:
        for other in sorted(one.name for one in folder.iterdir()):
            if name_key(other.partition(".")[0]) in ("interaction", "interactions"):
                raise DataError(
                    f"{folder} has no interactions.csv and no interactions.parquet, but "
                    f"{format_value(other)}: rename it if it holds the plays"
                )
    missing = f"{folder} has no interactions.csv" if path is None else f"{path} is empty"
    logger.warning("%s: nobody has played anything", missing)
    return RawTable(empty_interactions(), Origin("interactions"))


def _find(folder: Path, name: str) -> Path | None:
    """Return the path of a table, None if there is none."""
    found = [path for suffix in TABLE_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
    if len(found) > 1:
        raise DataError(f"{folder} has both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None
