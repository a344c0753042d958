"""What models in an evaluation hear: networks trained on a training side, once each.

What an evaluation says of the network itself: its embeddings, their map, genres by ear.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE
from datasets.files import atomic_write, cache_folder
from datasets.music import MusicDataset
from embedding.network.config import EncoderConfig
from evaluation.splitting.split import Split
from recsys.audio import embed_dataset, train_encoder
from recsys.config import RecommenderConfig

if TYPE_CHECKING:
    from embedding import SongEncoder
    from evaluation.genre.cross_validation import GenreResult


class Hearing(Protocol):
    """What a network trained on one training side says of recordings, held-out ones included."""

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        """Index item_id, one column a dimension; the items of ``dataset`` with a recording."""

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        """The same index, one column a label of the training side: the true label as 1, else 0."""


Ears = Callable[[MusicDataset], Hearing | None]
"""Trains on the recordings of a training side; None where it has none."""


@dataclass(frozen=True)
class NetworkHearing:
    """Hearing by a network trained on the training side's recordings."""

    encoder: "SongEncoder"
    config: RecommenderConfig
    progress: bool
    _heard: dict[str, pd.DataFrame] = field(default_factory=dict)

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        key = _recordings_digest(dataset)
        if key not in self._heard:
            self._heard[key] = embed_dataset(
                dataset, self.encoder, workers=self.config.n_threads, progress=self.progress
            ).embeddings
        return self._heard[key]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        own = dataset.recording_labels(self.encoder.config.tags[0]).to_numpy()
        known = self.encoder.classes_.tolist()
        matches = pd.DataFrame({label: (own == label).astype(np.float32) for label in known})
        return matches.groupby(dataset.audio[ITEM_ID].to_numpy(), sort=False).mean()


def network_ears(config: RecommenderConfig, *, progress: bool = False) -> Ears:
    """Trains one network for each training side, however many models ask."""
    trained: dict[str, NetworkHearing] = {}

    def listen(dataset: MusicDataset) -> NetworkHearing | None:
        if not len(dataset.audio):
            return None
        key = _recordings_digest(dataset)
        if key not in trained:
            encoder = train_encoder(
                dataset, config.network, workers=config.n_threads, progress=progress
            )
            trained[key] = NetworkHearing(encoder, config, progress)
        return trained[key]

    return listen


def _recordings_digest(dataset: MusicDataset) -> str:
    """Digest of all but the plays, which a network does not see."""
    return dataset.take_interactions(np.empty(0, np.intp)).digest()


_LARGEST_MAP = 5000
"""Items on the map; of more, a random sample is drawn."""


def embeddings_of(
    dataset: MusicDataset, splits: Sequence[Split], ears: Ears, network: EncoderConfig, keep: Path
) -> pd.DataFrame | None:
    """All recordings as the network of one training side hears them: index item_id, float32.

    It is the first side that holds out items, so that those are new to it, or else the first. In
    the folder ``keep`` they are kept for this data, side and ``network``: to train again need not
    give the same to the last bit, and an evaluation that goes on needs the same. None where there
    is nothing to hear.
    """
    training = _side(splits).training(dataset)
    what = "|".join([dataset.digest(), training.digest(), network.digest()])
    kept = keep / f"embeddings-{hashlib.sha256(what.encode()).hexdigest()[:16]}.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    hearing = ears(training)
    if hearing is None:
        return None
    found = hearing.embeddings(dataset)
    found = found.set_axis([str(name) for name in found.columns], axis=1).rename_axis(ITEM_ID)
    with atomic_write(kept) as temporary:
        found.to_parquet(temporary)
    return found


def song_map(
    dataset: MusicDataset, splits: Sequence[Split], embeddings: pd.DataFrame, seed: int
) -> pd.DataFrame | None:
    """Where the items lie by sound, in the two directions of most variance; None for too few.

    Returns item_id, title, artist, genre, x, y, and ``cold``: whether the network, and all models
    of that split, had to do without the item.
    """
    from embedding.projection import FEWEST, project

    texts = dataset.items.set_index(ITEM_ID)[[TITLE, ARTIST, GENRE]]
    known = embeddings[embeddings.index.isin(texts.index)]
    if len(known) < FEWEST or known.shape[1] < 1:
        return None
    if len(known) > _LARGEST_MAP:
        rows = np.random.default_rng(seed).choice(len(known), _LARGEST_MAP, replace=False)
        known = known.iloc[np.sort(rows)]
    points = project(known.to_numpy(), "pca", dimensions=2, seed=seed).points
    held_out = set(_side(splits).cold_items)
    frame = texts.loc[known.index].rename_axis(ITEM_ID).reset_index()
    return frame.assign(x=points[:, 0], y=points[:, 1], cold=frame[ITEM_ID].isin(held_out))


def genre_accuracy(
    dataset: MusicDataset, config: RecommenderConfig, folds: int, progress: bool
) -> "GenreResult | None":
    """Genre accuracy on unseen artists; None where there are no recordings.

    Raises EvaluationError where there are too few labels or artists for it.
    """
    from embedding import SongEncoder
    from embedding.hyperimage.extraction import extract
    from evaluation.genre.cross_validation import genre_cross_validation

    labels = dataset.recording_labels(config.encoder.tags[0]).to_numpy()
    artists = dataset.recording_artists().to_numpy()
    if not len(labels):
        return None
    extraction = extract(
        dataset.recording_paths(),
        config.encoder.snippet,
        config.encoder.hyperimage,
        workers=config.n_threads,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )
    return genre_cross_validation(
        extraction.images,
        labels,
        artists,
        lambda: SongEncoder(config.network),
        folds=folds,
        seed=config.seed,
        image_recording=extraction.recording,
        progress=progress,
    )


def _side(splits: Sequence[Split]) -> Split:
    return next((split for split in splits if split.cold_items), splits[0])
