"""New items before they are in a catalogue: whether they can be, and what sources see of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array
from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import InvalidArgumentError
from datasets.tables.values import is_unicode
from recsys.database.song import Song
from recsys.model.state import FittedState
from recsys.sources.base import ItemContent

NO_SOUND = "this model knows no sound: it was fitted without recordings or embeddings"


def checked_embedding(
    state: FittedState, embedding: ArrayLike | None, item_id: str
) -> Float32Array:
    """An embedding as float32 [e]. Raises InvalidArgumentError where it does not fit."""
    try:
        with np.errstate(over="ignore"):
            vector = np.asarray(embedding, np.float32)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"embedding of item {item_id!r}: is not numeric") from None
    width = state.embeddings.shape[1]
    if not width:
        raise InvalidArgumentError(NO_SOUND)
    if vector.shape != (width,):
        raise InvalidArgumentError(
            f"embedding of item {item_id!r}: has shape {vector.shape}, the model's have ({width},)"
        )
    if not np.isfinite(vector).all():
        raise InvalidArgumentError(
            f"embedding of item {item_id!r}: has a value that is not a finite number"
        )
    return vector


def check_texts(songs: Sequence[Song]) -> None:
    """Raises InvalidArgumentError for an id or a text that no item can have, or an id twice."""
    seen: set[str] = set()
    for song in songs:
        if not isinstance(song.item_id, str) or not song.item_id.strip():
            raise InvalidArgumentError(f"item_id must be a text, not {song.item_id!r}")
        if song.item_id in seen:
            raise InvalidArgumentError(f"item {song.item_id!r} is given twice")
        seen.add(song.item_id)
        columns = {name: getattr(song, name) for name in (ITEM_ID, *ITEM_TEXT)}
        for name, value in (*columns.items(), *song.tags.items()):
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgumentError(
                    f"{name} of item {song.item_id!r} must be a text, not {value!r}"
                )
            if not is_unicode(name + value) or "\0" in name + value:
                raise InvalidArgumentError(
                    f"{name!r} of item {song.item_id!r}: {value!r} is not valid Unicode text "
                    "or holds a NUL character"
                )
        if taken := sorted(columns.keys() & song.tags.keys()):
            raise InvalidArgumentError(
                f"tags of item {song.item_id!r}: {taken[0]!r} is an argument of its own"
            )


def content_of(state: FittedState, songs: Sequence[Song]) -> ItemContent:
    """What the sources of a fit see of songs."""
    embeddings = np.zeros((len(songs), state.embeddings.shape[1]), np.float32)
    known = np.array([song.embedding is not None for song in songs], bool)
    for row, song in enumerate(songs):
        if song.embedding is not None:
            embeddings[row] = song.embedding
    texts = [{**{name: getattr(song, name) for name in ITEM_TEXT}, **song.tags} for song in songs]
    frame = pd.DataFrame(texts).fillna("")
    return ItemContent(embeddings, known, state.vocabulary.encode(frame))
