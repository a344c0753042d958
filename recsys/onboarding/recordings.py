"""Items on their way into a model: what is heard of them, and what is said of them afterwards."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import pandas as pd
from numpy.typing import ArrayLike

from datasets.columns import ITEM_ID
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from recsys.audio import Heard, hear
from recsys.database.song import Recording, Scores, Song
from recsys.model.live import Library
from recsys.onboarding.songs import new_songs

if TYPE_CHECKING:
    from embedding.audio.source import Source


class Onboarded(NamedTuple):
    """A newly onboarded item and, where it was heard, the network's best guess of its first tag."""

    item_id: str
    predicted: str | None
    probability: float | None

    @classmethod
    def of(cls, song: Song) -> Self:
        """What is said of a song that has just been added."""
        if song.scores is None:
            return cls(song.item_id, None, None)
        first = next(iter(song.scores.values()))
        best = max(first, key=first.__getitem__)
        return cls(song.item_id, best, first[best])


def song_of(
    library: Library,
    recording: "Source | None",
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
    recordings: tuple[Recording, ...] = ()
    if recording is not None:
        vector, scores, recordings = library.hear(recording)
    else:
        vector = library.check_embedding(embedding, item_id)
    return Song(
        item_id=item_id, title=title, artist=artist, album=album, genre=genre, tags=tags,
        embedding=vector, scores=scores, recordings=recordings,
    )  # fmt: skip


def hear_dataset(
    library: Library,
    dataset: MusicDataset,
    embeddings: pd.DataFrame | None,
    *,
    progress: bool,
) -> tuple[list[Song], Heard]:
    """A song for each item of a data set, and what was heard: see ``Recommender.onboard_many``."""
    state, heard = library.state, Heard.nothing()
    if embeddings is None and state.encoder is not None and len(dataset.audio):
        heard = hear(dataset, state.encoder, workers=state.config.n_threads, progress=progress)
        embeddings = heard.embeddings
    if embeddings is None:
        embeddings = pd.DataFrame()
    return new_songs(library, dataset, embeddings, heard), heard


def report_on(songs: Sequence[Song], heard: Heard) -> pd.DataFrame:
    """item_id and status of songs that were added; recordings left out are in its ``attrs``."""
    status = ["metadata only" if song.embedding is None else "heard" for song in songs]
    report = pd.DataFrame({ITEM_ID: [song.item_id for song in songs], "status": status})
    report.attrs["recordings_left_out"] = list(heard.failures)
    return report
