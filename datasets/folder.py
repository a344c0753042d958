"""A data set as a folder of three tables, CSV or Parquet; docs/data-format.md describes it."""

import os
from pathlib import Path

from datasets import columns as c
from datasets.checks import AUDIO_COLUMNS, INTERACTION_COLUMNS, ITEM_COLUMNS, Origin
from datasets.errors import DataError
from datasets.music import MusicDataset, checked_tables, no_audio
from datasets.reading import RawTable, read_table

_FORMATS = ("csv", "parquet")


def load_folder(path: str | os.PathLike[str]) -> MusicDataset:
    """The data set in a folder: ``items``, ``interactions`` and, if there is one, ``audio``.

    Each is a ``.csv`` or a ``.parquet`` file. Recordings are looked for, never decoded.
    Raises :class:`~datasets.errors.DataError` naming the file, the line (CSV, from 1, counting
    the header) or row (Parquet, from 1) and the column of what is wrong.
    """
    folder = Path(path)
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}")
    items = _read(folder, "items", ITEM_COLUMNS)
    interactions = _read(folder, "interactions", (*INTERACTION_COLUMNS, c.TIMESTAMP))
    if _find(folder, "audio") is None:
        audio = RawTable(no_audio(), Origin("audio"))
    else:
        audio = _read(folder, "audio", AUDIO_COLUMNS)
    tables = checked_tables(
        items.frame,
        audio.frame,
        interactions.frame,
        folder,
        (items.origin, audio.origin, interactions.origin),
    )
    return MusicDataset.from_checked(*tables, folder)


def _read(folder: Path, name: str, expected: tuple[str, ...]) -> RawTable:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name}.csv and no {name}.parquet")
    return read_table(path, expected)


def _find(folder: Path, name: str) -> Path | None:
    found = [path for kind in _FORMATS if (path := folder / f"{name}.{kind}").exists()]
    if len(found) > 1:
        raise DataError(f"{folder} has both {name}.csv and {name}.parquet; keep one of them")
    return found[0] if found else None
