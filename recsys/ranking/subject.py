"""The song that is asked about: an item, or a recording or an embedding that is none.

A song that is no item is heard and mapped as `onboard` would, and added nowhere.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.tables.ids import checked_id
from datasets.tables.recordings import SUFFIXES
from datasets.tables.values import format_value, is_unicode
from recsys.database.song import Song
from recsys.model.items import check_texts
from recsys.model.live import LiveModel
from recsys.onboarding.recordings import build_song
from recsys.ranking.similarity import unit_by_sound, unit_vectors_of

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource

    ItemOrRecording: TypeAlias = str | AudioSource
    """An item by its id, or a recording that is none: a path, its content, or a file object."""

_NOT_ONBOARDED = "(not onboarded)"
"""Stands for the id of a song that is no item, in messages."""


@dataclass(frozen=True)
class Subject:
    """The song that is asked about: an item, or a song that is none."""

    vector: Float32Array
    """Fused vector, [D]."""
    row: int | None
    """The item's row; None for a song that is no item."""
    sound: Float32Array
    """Unit vector of the embedding, [e]; zero where there is none."""


def find_subject(
    model: LiveModel,
    item: "ItemOrRecording | None",
    recording: "AudioSource | None",
    embedding: ArrayLike | None,
    texts: Mapping[str, Any],
) -> Subject:
    """Look up an item by its id, or hear a song that is none.

    Args:
        model: the model.
        item: an item's id, or a recording; a text that is no id is the path of a file that exists.
        recording: a recording in place of `item`.
        embedding: the embedding of a song that is no item, in place of both.
        texts: title, artist, album, genre and tags of a song that is no item.

    Raises:
        UnknownItemError: neither an item nor a file.
        AudioError: a recording that cannot be used.
        InvalidArgumentError: not exactly one song, or an embedding or texts that cannot be.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> find_subject(model, "s2", None, None, {}).row
        2
        >>> find_subject(model, None, None, np.ones(4), {}).row is None
        True
    """
    if (item is None) + (recording is None) + (embedding is None) != 2:
        raise InvalidArgumentError("give an item, a recording or an embedding, one of them")
    if item is not None and is_recording(item):
        recording = item
    elif item is not None:
        row = row_or_file(model, item, "item_id")
        if row is not None:
            return _item(model, row, texts)
        recording = str(item)
    named = Song(_NOT_ONBOARDED, **texts)
    check_texts([named])
    (song,) = model.items.with_known_spellings([build_song(model, recording, embedding, named)])
    assert song.embedding is not None
    sound = unit_by_sound(model.state, song.embedding[None])[0]
    return Subject(model.vectors_of_new([song])[0], None, sound)


def _item(model: LiveModel, row: int, texts: Mapping[str, Any]) -> Subject:
    if given := [name for name, text in texts.items() if text]:
        raise InvalidArgumentError(
            f"{given[0]} is for a song that is no item: {model.items.labels([row])[0]} has texts"
        )
    at = np.array([row])
    return Subject(model.index.vectors(at)[0], row, unit_vectors_of(model, "sound", at)[0])


def is_recording(item: object) -> bool:
    """Return whether something can only be a recording: a path object, content, or a file object.

    Examples:
        >>> is_recording(Path("song.wav")), is_recording(b"RIFF"), is_recording("s1")
        (True, True, False)
    """
    return isinstance(item, os.PathLike | bytes | bytearray | memoryview) or hasattr(item, "read")


def row_or_file(model: LiveModel, item: object, name: str) -> int | None:
    """Return the row of an item; None for the path of a file that exists and is no item's id.

    Args:
        model: the model.
        item: an id, or else a path.
        name: the argument's name, for messages.

    Raises:
        UnknownItemError: neither an item nor a file.
        InvalidArgumentError: nothing that an id can be.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> row_or_file(load_model(folder / "model"), "s2", "item_id")
        2
    """
    if isinstance(item, str) and not is_unicode(item) and _exists(item):
        return None  # a file name of other bytes, which no id has
    item_id = checked_id(name, item)
    try:
        return model.items.row(item_id)
    except UnknownItemError as error:
        if not isinstance(item, str):
            raise
        if _exists(item):
            return None
        if os.sep in item or Path(item).suffix.lower() in SUFFIXES:
            raise UnknownItemError(f"no file {format_value(item)}, and {error}") from None
        raise


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long a name, or one with a NUL
        return False
