"""From tables to songs: rows of the song database for items of a fit and for onboarded ones."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.music import MusicDataset
from recsys.catalog import Song
from recsys.item_content import align_embeddings
from recsys.library import Library
from recsys.state import FittedState


def fitted_songs(state: FittedState, scores: pd.DataFrame) -> Iterator[Song]:
    """A song for each item of a fit. scores: index item_id, the network's probabilities."""
    probabilities = _by_item(scores)
    for number, row in enumerate(state.items.to_dict("records")):
        embedding = state.embeddings[number] if state.has_embedding[number] else None
        yield _song(row, embedding, probabilities.get(row[ITEM_ID]))


def new_songs(
    library: Library, dataset: MusicDataset, embeddings: pd.DataFrame, scores: pd.DataFrame
) -> list[Song]:
    """A song for each item of a data set, with its embedding and scores where it has them.

    Raises DataError for embeddings that are none, and InvalidArgumentError for one that does not
    fit the model.
    """
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    vectors, known = align_embeddings(embeddings, item_ids, ignore_others=True)
    probabilities = _by_item(scores)
    songs = []
    for number, row in enumerate(dataset.items.to_dict("records")):
        item_id = row[ITEM_ID]
        embedding = library.check_embedding(vectors[number], item_id) if known[number] else None
        songs.append(_song(row, embedding, probabilities.get(item_id)))
    return songs


def _song(row: Mapping[Hashable, Any], embedding: Any, scores: dict[str, float] | None) -> Song:
    return Song(
        **{name: row[name] for name in (ITEM_ID, *ITEM_TEXT)},
        tags={
            str(name): value
            for name, value in row.items()
            if name not in (ITEM_ID, *ITEM_TEXT) and value != ""
        },
        embedding=embedding,
        scores=scores,
    )


def _by_item(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    names = [str(name) for name in scores.columns]
    values = scores.to_numpy(float).tolist()
    return {
        str(item): dict(zip(names, row, strict=True))
        for item, row in zip(scores.index, values, strict=True)
    }
