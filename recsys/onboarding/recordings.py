"""Build catalogue songs from recordings or embeddings, for fits, onboard and onboard_many."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array
from datasets.columns import ITEM_ID, ITEM_TEXT
from datasets.errors import AudioError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.tables.frames import FrameLike
from recsys.audio.embeddings import DatasetEmbeddings, embed_dataset
from recsys.audio.recordings import recordings_by_item
from recsys.content.familiarity import careful_scores
from recsys.content.features import align_embeddings
from recsys.database.heard import best_genre
from recsys.database.song import Scores, Song, SongRecording
from recsys.model.items import checked_embedding, with_familiarity
from recsys.model.live import LiveModel
from recsys.model.state import FittedState

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource


class OnboardingResult(NamedTuple):
    """What `Recommender.onboard` returns.

    Examples:
        >>> result = recommender.onboard(item_id="new-3", embedding=np.ones(4), genre="jazz")
        >>> result.item_id, result.predicted, round(result.familiarity, 3)
        ('new-3', None, 0.0)
    """

    item_id: str
    predicted: str | None
    """Most probable genre (`recsys.database.heard`), or value of the encoder's first tag where it
    tells no genres; None without a recording."""
    probability: float | None
    """Its probability."""
    familiarity: float | None = None
    """How much the song sounds like what the model has learned from, 0 to 1
    (`recsys.content.familiarity`); None where that is not known."""

    @staticmethod
    def from_song(song: Song) -> "OnboardingResult":
        """Summarise a song that was onboarded."""
        return OnboardingResult(song.item_id, *best_genre(song.scores), song.familiarity)


def build_song(
    model: LiveModel,
    recording: "AudioSource | None",
    embedding: ArrayLike | None,
    texts: Song,
) -> Song:
    """Complete a song with its embedding, for `Recommender.onboard`.

    Args:
        model: the model that will get the song.
        recording: path, bytes or file object of its recording; or
        embedding: its embedding, [e].
        texts: the song's id and texts.

    Raises:
        AudioError: the recording cannot be used.
        InvalidArgumentError: the embedding does not fit the model, or not exactly one of recording
            and embedding is given.
    """
    if (recording is None) == (embedding is None):
        raise InvalidArgumentError("give a recording or an embedding, one of them")
    if recording is None:
        vector = checked_embedding(model.state, embedding, texts.item_id)
        return with_familiarity(model.state, [replace(texts, embedding=vector)])[0]
    embedded, described = model.audio.embed(recording)
    if problem := model.state.embedding_range.problem(embedded.embedding):
        raise AudioError(f"{described.path}: its embedding cannot be used: {problem}")
    told = model.state.familiarity_of(embedded.embedding, embedded.statistics)
    return replace(
        texts,
        embedding=embedded.embedding,
        scores=careful_scores(embedded.scores, told),
        recordings=(described,),
        familiarity=told,
    )


def build_songs(
    model: LiveModel,
    dataset: MusicDataset,
    embeddings: FrameLike | None,
    *,
    progress: bool,
) -> tuple[list[Song], DatasetEmbeddings]:
    """Build a song for each item of a data set, for `Recommender.onboard_many`.

    Args:
        model: the model that will get the songs.
        dataset: items and their recordings; interactions are ignored.
        embeddings: index item_id; None computes them from the recordings, if the model has a
            network.
        progress: show progress bars.

    Returns:
        The songs, and what was computed from the recordings.

    Raises:
        DataError: unusable embeddings.
        InvalidArgumentError: embeddings that do not fit the model.
    """
    state, audio = model.state, DatasetEmbeddings.empty()
    if embeddings is None and state.encoder is not None and len(dataset.audio):
        audio = embed_dataset(
            dataset, state.encoder, workers=state.config.n_threads, progress=progress
        )
        audio = _without_wild(audio, state)
        embeddings = audio.embeddings
    if embeddings is None:
        embeddings = pd.DataFrame()
    recordings = _recordings(state, dataset, audio)
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    vectors, known = align_embeddings(embeddings, item_ids, ignore_others=True)
    scores = _scores_by_item(audio.scores)
    statistics = dict(zip(audio.statistics.index, audio.statistics.to_numpy(), strict=True))
    songs = []
    for number, row in enumerate(dataset.items.to_dict("records")):
        item_id = row[ITEM_ID]
        vector = checked_embedding(state, vectors[number], item_id) if known[number] else None
        song = _build_song(row, vector, scores.get(item_id), recordings.get(item_id, ()))
        if vector is not None:
            told = state.familiarity_of(vector, statistics.get(item_id))
            song = replace(song, familiarity=told, scores=careful_scores(song.scores, told))
        songs.append(song)
    return songs, audio


def _without_wild(audio: DatasetEmbeddings, state: FittedState) -> DatasetEmbeddings:
    """Leave out the embeddings of recordings that the model cannot take, with the reason."""
    problems = {
        str(item_id): problem
        for item_id, embedding in zip(
            audio.embeddings.index, audio.embeddings.to_numpy(np.float32), strict=True
        )
        if (problem := state.embedding_range.problem(embedding))
    }
    reasons = [f"item {item!r}: its embedding: {problem}" for item, problem in problems.items()]
    return replace(
        audio,
        embeddings=audio.embeddings[~audio.embeddings.index.isin(list(problems))],
        failures=(*audio.failures, *reasons),
    )


def fitted_songs(
    state: FittedState, dataset: MusicDataset, audio: DatasetEmbeddings
) -> Iterator[Song]:
    """Build a song for each item of a fit.

    Args:
        state: the fitted state.
        dataset: the data set it was fitted on.
        audio: what was computed from the data set's recordings.
    """
    scores = _scores_by_item(audio.scores)
    recordings = _recordings(state, dataset, audio)
    familiarity = state.item_familiarity
    for number, row in enumerate(state.items.to_dict("records")):
        embedding = state.embeddings[number] if state.has_embedding[number] else None
        item_id = row[ITEM_ID]
        song = _build_song(row, embedding, scores.get(item_id), recordings.get(item_id, ()))
        told = np.nan if familiarity is None else float(familiarity[number])
        yield song if told != told else replace(song, familiarity=told)


def onboarding_report(songs: Sequence[Song], audio: DatasetEmbeddings) -> pd.DataFrame:
    """Build the report of `Recommender.onboard_many`.

    Returns:
        item_id, status ("heard" or "metadata only") and familiarity, NaN where it is not known;
        failures of recordings in `attrs["recordings_left_out"]`.
    """
    status = ["metadata only" if song.embedding is None else "heard" for song in songs]
    report = pd.DataFrame({ITEM_ID: [song.item_id for song in songs], "status": status})
    report["familiarity"] = np.array([song.familiarity for song in songs], np.float64)
    report.attrs["recordings_left_out"] = list(audio.failures)
    return report


def _recordings(
    state: FittedState, dataset: MusicDataset, audio: DatasetEmbeddings
) -> dict[str, tuple[SongRecording, ...]]:
    if state.encoder is None:
        return {}
    return recordings_by_item(dataset, audio.used, state.encoder.front_end)


def _build_song(
    row: Mapping[Hashable, Any],
    embedding: Float32Array | None,
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


def _scores_by_item(scores: pd.DataFrame) -> dict[str, Scores]:
    columns: list[Any] = scores.columns.to_list()  # (tag, value)
    found: dict[str, Scores] = {}
    for item, row in zip(scores.index, scores.to_numpy(float).tolist(), strict=True):
        own = found.setdefault(str(item), {})
        for (tag, value), probability in zip(columns, row, strict=True):
            own.setdefault(tag, {})[value] = probability
    return found
