"""From tables to songs: rows of the song database for items of a fit and for onboarded ones."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.music import MusicDataset
from recsys.audio import Heard, recordings_of
from recsys.content.features import align_embeddings
from recsys.database.song import Recording, Scores, Song
from recsys.model.live import Library
from recsys.model.state import FittedState


def fitted_songs(state: FittedState, dataset: MusicDataset, heard: Heard) -> Iterator[Song]:
    """A song for each item of a fit, with what was heard of the data set's recordings."""
    probabilities = _by_item(heard.scores)
    recordings = _recordings(state, dataset, heard)
    for number, row in enumerate(state.items.to_dict("records")):
        embedding = state.embeddings[number] if state.has_embedding[number] else None
        item_id = row[ITEM_ID]
        yield _song(row, embedding, probabilities.get(item_id), recordings.get(item_id, ()))


def new_songs(
    library: Library, dataset: MusicDataset, embeddings: pd.DataFrame, heard: Heard
) -> list[Song]:
    """A song for each item of a data set, with its embedding and what was heard where it has them.

    Raises DataError for embeddings that are none, and InvalidArgumentError for one that does not
    fit the model.
    """
    recordings = _recordings(library.state, dataset, heard)
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    vectors, known = align_embeddings(embeddings, item_ids, ignore_others=True)
    probabilities = _by_item(heard.scores)
    songs = []
    for number, row in enumerate(dataset.items.to_dict("records")):
        item_id = row[ITEM_ID]
        embedding = library.check_embedding(vectors[number], item_id) if known[number] else None
        songs.append(_song(row, embedding, probabilities.get(item_id), recordings.get(item_id, ())))
    return songs


def _recordings(
    state: FittedState, dataset: MusicDataset, heard: Heard
) -> dict[str, tuple[Recording, ...]]:
    if state.encoder is None:
        return {}
    return recordings_of(dataset, heard.used, state.encoder.config)


def _song(
    row: Mapping[Hashable, Any],
    embedding: Any,
    scores: Scores | None,
    recordings: tuple[Recording, ...],
) -> Song:
    return Song(
        **{name: row[name] for name in (ITEM_ID, *ITEM_TEXT)},
        tags={
            str(name): value
            for name, value in row.items()
            if name not in (ITEM_ID, *ITEM_TEXT) and value != ""
        },
        embedding=embedding,
        scores=scores,
        recordings=recordings,
    )


def _by_item(scores: pd.DataFrame) -> dict[str, Scores]:
    names: list[Any] = scores.columns.to_list()  # pairs of a tag and its value
    found: dict[str, Scores] = {}
    for item, row in zip(scores.index, scores.to_numpy(float).tolist(), strict=True):
        own = found.setdefault(str(item), {})
        for (tag, name), value in zip(names, row, strict=True):
            own.setdefault(tag, {})[name] = value
    return found
