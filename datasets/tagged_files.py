"""Read a folder of recordings as a data set by their tags.

Every recording becomes an item. Its id is its path in the folder without the suffix, as when
recordings are onboarded from a folder; files that differ only in the suffix keep it. A file without
a title gets its name. There are no interactions: such a data set can train a network, give items to
onboard, or make a model that knows sound; no user preferences can be learned from it.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from datasets import columns as c
from datasets.errors import DataError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from datasets.tables.recordings import (
    NOTABLE,
    PassedOver,
    RecordingChecker,
    count_passed_over,
    list_recordings,
)
from datasets.tables.values import format_value, is_unicode
from datasets.tags import TAG_COLUMNS, read_file_tags
from datasets.texts.file_names import name_as_text
from datasets.texts.unicode_forms import composed

logger = logging.getLogger("coldtune")


def tagged_folder(folder: Path, *, progress: bool = False) -> MusicDataset:
    """Read the recordings in a folder and its subfolders as a data set, without decoding them.

    Items are ordered by path and have title, artist, album, genre (the first, if a file has
    several; the tag `genres` then has all, joined by "; ") and, if any file has them, the tags
    year, bpm, mood and recording_mbid (its MusicBrainz id). Hidden files are ignored and links
    to folders are not followed. Files that cannot be used (damaged, a link out of the
    folder, an invalid name) are skipped with a warning.

    Args:
        folder: the folder.
        progress: show a progress bar.

    Raises:
        DataError: if no recording is left.

    Examples:
        >>> tagged_folder(recording.parent).items["title"].tolist()
        ['song']
    """
    paths, passed_over = list_recordings(folder)
    found, left_out = [], []
    finder = RecordingChecker(folder)
    with progress_bar("reading tags", len(paths), shown=progress) as advance:
        for path in paths:
            values, problem = _read(folder, path, finder)
            if problem:
                left_out.append((path, problem))
            else:
                found.append((path, values))
            advance(1)
    _warn(folder, left_out, passed_over)
    if not found:
        raise DataError(f"{folder} holds no recordings that can be used")
    ids = item_ids([path for path, _ in found])
    # Tags that no file has get no column.
    tags = [t for t in TAG_COLUMNS if any(values.get(t) for _, values in found)]
    items = {name: [values.get(name, "") for _, values in found] for name in (*c.ITEM_TEXT, *tags)}
    return MusicDataset(
        pd.DataFrame({c.ITEM_ID: ids} | items, dtype=object),
        pd.DataFrame({c.ITEM_ID: ids, c.PATH: [path for path, _ in found]}, dtype=object),
        root=folder,
    )


def _warn(
    folder: Path, left_out: Sequence[tuple[str, str]], passed_over: Sequence[PassedOver]
) -> None:
    for path, problem in left_out[:10]:
        logger.warning("%s: left out: %s: %s", folder, format_value(path), problem)
    if len(left_out) > 10:
        logger.warning("%s: left out: %d more recordings", folder, len(left_out) - 10)
    passed_over = [one for one in passed_over if one.kind in NOTABLE]
    if passed_over:
        logger.warning("%s: passed over: %s", folder, count_passed_over(passed_over))


def item_ids(paths: Sequence[str]) -> list[str]:
    """Return an item id for each file of a folder: its path as text, without the suffix.

    Where two files would have the same id, or one a blank id, they keep the suffix.

    Args:
        paths: paths in the folder, each of them once.

    Examples:
        >>> item_ids(["blue.mp3", "red.flac", "red.mp3"])
        ['blue', 'red.flac', 'red.mp3']
    """
    texts = [name_as_text(path) for path in paths]
    bare = [text[: len(text) - len(Path(text).suffix)] for text in texts]
    often = Counter([*map(composed, bare), *map(composed, texts)])
    return [
        short if often[composed(short)] == 1 and short.strip() else text
        for short, text in zip(bare, texts, strict=True)
    ]


def _read(folder: Path, path: str, finder: RecordingChecker) -> tuple[dict[str, str], str]:
    """Return (text by column, "") of a recording, or ({}, reason) if it is skipped."""
    if not is_unicode(path):
        return {}, "its name is not valid text (UTF-8); rename it"
    if (problem := finder.problem(path)) is not None:
        return {}, problem
    tags = read_file_tags(folder / path)
    if tags.unread:
        logger.warning(
            "%s: the tags of %s cannot be read: %s", folder, format_value(path), tags.unread
        )
    if tags.problem:
        return {}, tags.problem
    return {**tags.texts, c.TITLE: tags.texts.get(c.TITLE) or Path(path).stem}, ""
