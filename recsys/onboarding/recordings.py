"""Items on their way into a model: what is heard of them, and what is said of them afterwards.

From tables to songs: rows of the song database for items of a fit and for onboarded ones.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pandas as pd
from numpy.typing import ArrayLike

from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from recsys.audio import DatasetEmbeddings, embed_dataset, recordings_by_item
from recsys.content.features import align_embeddings
from recsys.database.song import Scores, Song, SongRecording
from recsys.model.items import checked_embedding
from recsys.model.live import LiveModel
from recsys.model.state import FittedState

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource


def fitted_songs(
    state: FittedState, dataset: MusicDataset, heard: DatasetEmbeddings
) -> Iterator[Song]:
    """A song for each item of a fit, with what was heard of the data set's recordings."""
    probabilities = _by_item(heard.scores)
    recordings = _recordings(state, dataset, heard)
    for number, row in enumerate(state.items.to_dict("records")):
        embedding = state.embeddings[number] if state.has_embedding[number] else None
        item_id = row[ITEM_ID]
        yield _song(row, embedding, probabilities.get(item_id), recordings.get(item_id, ()))


def new_songs(
    library: LiveModel, dataset: MusicDataset, embeddings: pd.DataFrame, heard: DatasetEmbeddings
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
        embedding = (
            checked_embedding(library.state, vectors[number], item_id) if known[number] else None
        )
        songs.append(_song(row, embedding, probabilities.get(item_id), recordings.get(item_id, ())))
    return songs


def _recordings(
    state: FittedState, dataset: MusicDataset, heard: DatasetEmbeddings
) -> dict[str, tuple[SongRecording, ...]]:
    if state.encoder is None:
        return {}
    return recordings_by_item(dataset, heard.used, state.encoder.config)


def _song(
    row: Mapping[Hashable, Any],
    embedding: Any,
    scores: Scores | None,
    recordings: tuple[SongRecording, ...],
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


class OnboardingResult(NamedTuple):
    """A newly onboarded item and, where it was heard, the network's best guess of its first tag."""

    item_id: str
    predicted: str | None
    probability: float | None

    @classmethod
    def from_song(cls, song: Song) -> Self:
        """What is said of a song that has just been added."""
        if song.scores is None:
            return cls(song.item_id, None, None)
        first = next(iter(song.scores.values()))
        best = max(first, key=first.__getitem__)
        return cls(song.item_id, best, first[best])


def build_song(
    library: LiveModel,
    recording: "AudioSource | None",
    embedding: ArrayLike | None,
    *,
    item_id: str,
    title: str,
    artist: str,
    album: str,
    genre: str,
    tags: dict[str, str],
) -> Song:
    """A song from a recording or an embedding: see ``Recommender.onboard``.

    Raises AudioError for a recording that cannot be used, and InvalidArgumentError for an
    embedding that does not fit, or unless one of the two is given.
    """
    if (recording is None) == (embedding is None):
        raise InvalidArgumentError("give a recording or an embedding, one of them")
    scores: Scores | None = None
    recordings: tuple[SongRecording, ...] = ()
    if recording is not None:
        vector, scores, recordings = library.audio.embed(recording)
    else:
        vector = checked_embedding(library.state, embedding, item_id)
    return Song(
        item_id=item_id, title=title, artist=artist, album=album, genre=genre, tags=tags,
        embedding=vector, scores=scores, recordings=recordings,
    )  # fmt: skip


def build_songs(
    library: LiveModel,
    dataset: MusicDataset,
    embeddings: pd.DataFrame | None,
    *,
    progress: bool,
) -> tuple[list[Song], DatasetEmbeddings]:
    """A song for each item of a data set, and what was heard: see ``Recommender.onboard_many``."""
    state, heard = library.state, DatasetEmbeddings.empty()
    if embeddings is None and state.encoder is not None and len(dataset.audio):
        heard = embed_dataset(
            dataset, state.encoder, workers=state.config.n_threads, progress=progress
        )
        embeddings = heard.embeddings
    if embeddings is None:
        embeddings = pd.DataFrame()
    return new_songs(library, dataset, embeddings, heard), heard


def onboarding_report(songs: Sequence[Song], heard: DatasetEmbeddings) -> pd.DataFrame:
    """item_id and status of songs that were added; recordings left out are in its ``attrs``."""
    status = ["metadata only" if song.embedding is None else "heard" for song in songs]
    report = pd.DataFrame({ITEM_ID: [song.item_id for song in songs], "status": status})
    report.attrs["recordings_left_out"] = list(heard.failures)
    return report
