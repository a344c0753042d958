"""Embeddings and predicted tags of the items of a data set, from their recordings."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ITEM_ID
from datasets.music import MusicDataset
from datasets.system.files import cache_folder
from datasets.tables.frames import FrameLike
from embedding.encoders.learned_plays import LearnedPlays

if TYPE_CHECKING:
    from embedding.encoders.protocol import Encoder

FROM_RECORDINGS = "from_recordings"
"""Attribute of tables of embeddings that an encoder made: some of its dimensions may be idle."""

LEARNED_PLAYS = "learned_plays"
"""Attribute of such tables: the items whose plays the encoder has learned from."""


def learned_plays_of(embeddings: FrameLike | None) -> LearnedPlays:
    """Return the items whose plays the encoder of a table of embeddings has learned from.

    Examples:
        >>> len(learned_plays_of(embeddings))  # of a table from elsewhere, nothing is known
        0
    """
    found = getattr(embeddings, "attrs", {}).get(LEARNED_PLAYS)
    return found if isinstance(found, LearnedPlays) else LearnedPlays()


@dataclass(frozen=True, repr=False)
class DatasetEmbeddings:
    """Embeddings and predicted tags of the items of a data set.

    Examples:
        >>> DatasetEmbeddings.empty().embeddings.shape  # of a data set without recordings
        (0, 0)
    """

    embeddings: pd.DataFrame
    """float32, index item_id, one column per dimension; items with a usable recording."""
    scores: pd.DataFrame
    """Predicted probabilities, index item_id, columns (tag, value)."""
    failures: tuple[str, ...]
    """One line for each recording that could not be used."""
    used: IntArray
    """Positions of the usable recordings in the data set's `audio`."""
    statistics: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Statistics of the hyper-images, float32, index item_id; empty where there are none."""

    def __repr__(self) -> str:
        n, dimension = self.embeddings.shape
        return (
            f"<DatasetEmbeddings: {n:,} items with {dimension} dimensions, of {len(self.used):,} "
            f"recordings; {len(self.failures):,} could not be used>"
        )

    @classmethod
    def empty(cls) -> "DatasetEmbeddings":
        """Return the embeddings of a data set without recordings."""
        return cls(pd.DataFrame(), pd.DataFrame(), (), np.empty(0, np.int64))


def embed_dataset(
    dataset: MusicDataset, encoder: "Encoder", *, workers: int, progress: bool
) -> DatasetEmbeddings:
    """Compute embeddings and predicted tags of all items with usable recordings.

    The snippets of a recording make one embedding (`embedding.encoders.songs`); those of an item's
    recordings are averaged.

    Args:
        dataset: data set with recordings.
        encoder: a trained network, or any other encoder.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        Embeddings and predicted tags by item, and which recordings failed.

    Examples:
        >>> audio = pd.DataFrame({"item_id": ["s0", "s1"], "path": [str(recording)] * 2})
        >>> songs = MusicDataset(dataset.items, audio, dataset.interactions)
        >>> embed_dataset(songs, encoder, workers=1, progress=False)
        <DatasetEmbeddings: 2 items with 8 dimensions, of 2 recordings; 0 could not be used>
    """
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.encoders.recordings import embed_by_heads, embed_files
    from embedding.encoders.songs import mean_by_recording

    paths, cache = dataset.recording_paths(), cache_folder() / "hyperimages"
    if isinstance(encoder, FineTunedEncoder) and not encoder.is_thawed:
        # Its heads were trained on the same vectors, which are in the cache.
        found = embed_by_heads(paths, encoder, workers=workers, cache=cache, progress=progress)
    else:
        found = embed_files(paths, encoder, workers=workers, cache=cache, progress=progress)
    item_of_recording = dataset.audio[ITEM_ID].to_numpy()

    def mean_by_item(values: Float32Array) -> pd.DataFrame:
        return pd.DataFrame(values).groupby(item_of_recording, sort=False).mean().dropna()

    scores = {tag: mean_by_item(values) for tag, values in found.probabilities.items()}
    images = found.extraction
    statistics = None if images is None else statistics_of(images.images)
    for tag, frame in scores.items():
        frame.columns = pd.Index(predicted_values(encoder, tag))
    by_item = mean_by_item(found.embeddings)
    by_item.attrs[FROM_RECORDINGS] = True
    by_item.attrs[LEARNED_PLAYS] = LearnedPlays.of(encoder)
    return DatasetEmbeddings(
        by_item,
        pd.concat(scores, axis=1) if scores else pd.DataFrame(),
        tuple(failure.message for failure in found.failures),
        np.flatnonzero(~np.isnan(found.embeddings).any(axis=1)),
        pd.DataFrame()
        if images is None or statistics is None
        else mean_by_item(mean_by_recording(statistics, images.recording, len(item_of_recording))),
    )


def statistics_of(inputs: Float32Array) -> Float32Array | None:
    """Return statistics of what a network hears, float32 [n, s]; None if that is no hyper-images.

    They tell how familiar a sound is (`recsys.content.familiarity`).

    Args:
        inputs: hyper-images, float32 [n, channels, height, width], or inputs of another kind.
    """
    from embedding.hyperimage.statistics import image_statistics

    return image_statistics(inputs) if inputs.ndim == 4 and len(inputs) else None


def predicted_values(encoder: "Encoder", tag: str) -> list[str]:
    """Return the values of a tag in the order of the columns of their probabilities."""
    return [str(value) for value in encoder.heads_[tag]]
