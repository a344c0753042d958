"""The songs that a playlist starts from: items of the catalogue, or recordings that are not."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from datasets.arrays import Float32Array
from datasets.columns import ITEM_TEXT
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.system.files import file_digest
from datasets.tables.ids import checked_ids, is_table
from datasets.tables.values import format_value
from datasets.tags import read_file_tags
from datasets.texts.file_names import name_as_text
from recsys.database.song import Song
from recsys.model.live import LiveModel
from recsys.onboarding.recordings import build_song
from recsys.playlists.files import RecordingFiles
from recsys.ranking.similarity import (
    Space,
    unit_by_sound,
    unit_by_sources,
    unit_vectors,
    what_lacks,
)
from recsys.ranking.subject import is_recording, row_or_file

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource

    OneSeed: TypeAlias = str | AudioSource

_NO_ROW = -1
_NO_ITEM = "a recording"


@dataclass(frozen=True)
class Seed:
    """A song that a playlist starts from."""

    vector: Float32Array
    """Unit vector of what songs are compared by, [d]."""
    song: Song
    """Its id ("" for a recording that is no item) and texts."""
    row: int
    """Its row in the catalogue; -1 for a recording that is no item."""
    file: Path | None = None
    """The recording that was given; None for an item."""

    @property
    def is_item(self) -> bool:
        """Whether it is in the catalogue."""
        return self.row != _NO_ROW


def read_seeds(
    model: LiveModel, given: "OneSeed | Iterable[OneSeed]", by: Space, files: RecordingFiles
) -> list[Seed]:
    """Look up the seeds of a playlist; recordings that are no items are heard.

    Args:
        model: the model.
        given: one seed or several: the id of an item, or a recording (path, bytes or file object).
            A text that is no id and the path of a file is a recording; a recording that the model
            has as an item is that item.
        by: what songs are compared by.
        files: the recordings of the items.

    Raises:
        UnknownItemError: a text that is neither an item nor a file.
        AudioError: a recording that cannot be used.
        InvalidArgumentError: no seed, one that is given twice, or one that has nothing to compare.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> files = RecordingFiles(model.catalog)
        >>> [seed.row for seed in read_seeds(model, ["s2", "s1"], "sound", files)]
        [2, 1]
    """
    seeds: list[Seed] = []
    for number, one in enumerate(_several(given), 1):
        seed = _read(model, one, f"seeds: number {number}", by, files)
        name = _name(seed)
        if not seed.vector.any() and len(model.items.active) > 1:
            raise InvalidArgumentError(f"{name} {what_lacks(by)}")
        same = (
            other.row == seed.row if seed.is_item else _is_same_file(other.file, seed.file)
            for other in seeds
        )
        if any(same):
            raise InvalidArgumentError(f"seeds: {name} is given twice")
        seeds.append(seed)
    if not seeds:
        raise InvalidArgumentError("seeds: give at least one song")
    return seeds


def _several(given: Any) -> list[Any]:
    """The seeds one by one; one alone may be given as it is."""
    if isinstance(given, str | int | np.integer) or is_recording(given):
        return [given]
    if isinstance(given, set | frozenset):
        raise InvalidArgumentError("seeds must come in an order, and a set has none; give a list")
    if not isinstance(given, Iterable) or isinstance(given, Mapping) or is_table(given):
        raise InvalidArgumentError(
            f"seeds must be item ids or recordings, not {format_value(given)}"
        )
    if isinstance(given, Sequence | Iterator):
        listed = list(given)
        if any(map(is_recording, listed)):
            return listed
        return checked_ids("seeds", listed)
    return checked_ids("seeds", given)


def _read(model: LiveModel, given: Any, name: str, by: Space, files: RecordingFiles) -> Seed:
    if not is_recording(given):
        row = row_or_file(model, given, name)
        if row is not None:
            return _item(model, row, by)
        given = Path(given)
    path = Path(given).absolute() if isinstance(given, os.PathLike) else None
    if path is not None and path.is_file():
        for item_id in files.items_with(file_digest(path)):
            with suppress(UnknownItemError):  # stored since this model was read
                return _item(model, model.items.row(item_id), by)
    tags = {} if path is None else read_file_tags(path).texts
    title, artist, album, genre = (tags.get(name, "") for name in ITEM_TEXT)
    heard = build_song(model, given, None, Song(_NO_ITEM, title, artist, album, genre))
    (song,) = model.items.with_known_spellings([heard])
    assert song.embedding is not None
    if by == "sound":
        vectors = unit_by_sound(model.state, song.embedding[None])
    else:
        vectors = unit_by_sources(model, by, model.vectors_of_new([song]))
    return Seed(vectors[0], replace(song, item_id=""), _NO_ROW, path)


def _item(model: LiveModel, row: int, by: Space) -> Seed:
    (song,) = model.items.songs(model.items.ids(np.array([row])).tolist())
    return Seed(unit_vectors(model, by)[row], song, row)


def _name(seed: Seed) -> str:
    if seed.is_item:
        return f"item {format_value(seed.song.item_id)}"
    return "a recording" if seed.file is None else name_as_text(str(seed.file))


def _is_same_file(first: Path | None, second: Path | None) -> bool:
    return first is not None and second is not None and first.samefile(second)
