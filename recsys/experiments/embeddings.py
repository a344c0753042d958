"""What models in an evaluation hear: networks trained on a training side, once each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID
from datasets.music import MusicDataset
from recsys.audio import hear, train_encoder
from recsys.config import RecommenderConfig

if TYPE_CHECKING:
    from embedding import SongEncoder


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
            self._heard[key] = hear(
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
