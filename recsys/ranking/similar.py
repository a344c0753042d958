"""The songs most similar to one: an item, or a recording or an embedding that is none."""

from typing import TYPE_CHECKING

import pandas as pd
from numpy.typing import ArrayLike

from datasets.arguments import check_whole
from datasets.errors import InvalidArgumentError
from recsys.model.live import LiveModel
from recsys.ranking.similarity import (
    Space,
    nearest_rows,
    similar_rows,
    unit_by_sources,
    unit_vectors,
    what_lacks,
)
from recsys.ranking.subject import find_subject

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource
    from recsys.ranking.subject import ItemOrRecording


def similar_items(
    model: LiveModel,
    item: "ItemOrRecording | None",
    k: int,
    by: Space,
    *,
    recording: "AudioSource | None" = None,
    embedding: ArrayLike | None = None,
) -> pd.DataFrame:
    """List the items most similar to a song; see `Recommender.similar`.

    Args:
        model: the model.
        item: an item's id, or a recording.
        k: length of the list.
        by: what songs are compared by.
        recording: a recording in place of `item`.
        embedding: the embedding of a song that is no item, in place of both.

    Returns:
        The table that `Recommender.similar` describes.

    Raises:
        UnknownItemError: neither an item of the catalogue nor a file.
        AudioError: a recording that cannot be used.
        InvalidArgumentError: k below 1, another space, not exactly one song, or one that has
            nothing to compare.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> similar_items(model, "s1", 2, "sound")["genre"].tolist()
        ['jazz', 'jazz']
    """
    check_whole("k", k)
    unit_vectors(model, by)  # raises for another space, before anything is heard
    subject = find_subject(model, item, recording, embedding, {})
    if subject.row is not None:
        if len(model.items.active) == 1:
            return model.items.ranked(*nearest_rows(model, subject.sound, 1, "sound"))[:0]
        rows, scores = similar_rows(model, subject.row, k, by)
    else:
        vector = subject.sound
        if by != "sound":
            vector = unit_by_sources(model, by, subject.vector[None])[0]
        if not vector.any():
            raise InvalidArgumentError(f"this song {what_lacks(by)}")
        rows, scores = nearest_rows(model, vector, k, by)
    return model.items.ranked(rows, scores)
