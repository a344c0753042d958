"""The audio side of a fit: recordings to one embedding and one score vector an item."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID
from datasets.files import cache_folder
from datasets.music import MusicDataset
from embedding.config import EncoderConfig

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.extraction import Extraction


@dataclass(frozen=True)
class Heard:
    """What was heard of a data set's recordings.

    embeddings: float32, index item_id, one column a dimension; items with a usable recording.
    scores: the same index, one column a tag value: the network's probabilities.
    failures: one line for each recording that could not be used.
    """

    embeddings: pd.DataFrame
    scores: pd.DataFrame
    failures: tuple[str, ...]


def train_encoder(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "SongEncoder":
    """A network trained on the data set's labelled recordings.

    Hyper-images and the state of the training are kept in the cache folder, so that what was
    interrupted goes on where it was. Raises InvalidArgumentError where fewer than two values of
    the tag are known.
    """
    from embedding import SongEncoder

    extraction = _extract(dataset, config, workers=workers, progress=progress)
    labels = dataset.recording_labels(config.tag).to_numpy()
    artists = dataset.recording_artists().to_numpy()
    return SongEncoder(config).fit(
        extraction.images,
        labels[extraction.recording],
        groups=artists[extraction.recording],
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def hear(dataset: MusicDataset, encoder: "SongEncoder", *, workers: int, progress: bool) -> Heard:
    """Embeddings and scores of the items: means over the snippets of a recording, then over the
    recordings of an item."""
    from embedding.encoder import mean_by_recording

    extraction = _extract(dataset, encoder.config, workers=workers, progress=progress)
    n = len(dataset.audio)

    def by_item(values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> pd.DataFrame:
        frame = pd.DataFrame(mean_by_recording(values, extraction.recording, n))
        return frame.groupby(dataset.audio[ITEM_ID].to_numpy(), sort=False).mean().dropna()

    scores = by_item(encoder.predict_proba(extraction.images))
    scores.columns = pd.Index(encoder.classes_)
    return Heard(
        by_item(encoder.embed(extraction.images)),
        scores,
        tuple(failure.message for failure in extraction.failures),
    )


def _extract(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "Extraction":
    from embedding.extraction import extract

    return extract(
        dataset.recording_paths(),
        config.snippet,
        config.hyperimage,
        workers=workers,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )
