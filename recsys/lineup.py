"""The models that an evaluation puts side by side, and the controls beside them.

All of them see the same network: it is trained once for every training side, and never hears a
recording that is held out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.baselines import Popularity, Random
from evaluation.model import Model, ModelFactory
from recsys.audio_side import hear, train_encoder
from recsys.config import RecommenderConfig, SourceName
from recsys.recommender import Recommender

if TYPE_CHECKING:
    from embedding import SongEncoder

MODELS: Mapping[str, str] = {
    "hybrid": "all sources fused",
    "als": "implicit ALS on plays alone",
    "lightfm": "LightFM on plays and metadata, without audio",
    "ease": "EASE in low rank on plays alone",
    "content": "nearest neighbours by sound: mean embedding of what a user played",
    "als+audio": "ALS, cold items mapped from their embedding",
    "lightfm+audio": "LightFM with embedding features in closed form",
    "popularity": "the items with the most listeners",
    "random": "a random order for every user",
}
"""Every model that can be named, and what it is."""

CONTROLS: Mapping[str, str] = {
    "hybrid, shuffled audio": "the audio adds nothing: recordings dealt out at random do as well",
    "hybrid, genre for audio": "the audio says no more than the genre label",
}
"""Models that are there to expose a figure: what follows if the hybrid does not beat them."""

_SOURCES: Mapping[str, tuple[SourceName, ...]] = {
    "als": ("als",),
    "lightfm": ("fm",),
    "ease": ("ease",),
    "content": ("content",),
    "als+audio": ("als",),
    "lightfm+audio": ("fm",),
}
_WITHOUT_AUDIO = ("als", "lightfm", "ease")
_WITHOUT_ONBOARDING = ("als", "ease")


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


Embed = Callable[[Hearing, MusicDataset], pd.DataFrame]


class _Entrant:
    """A recommender of certain sources, with the embeddings that it is to be given.

    embed: how it gets them from what was heard; None hides the audio from it. texts: whether it is
    told the artist, album, genre and tags of items that it onboards.
    """

    def __init__(
        self, config: RecommenderConfig, ears: Ears, embed: Embed | None, *, texts: bool
    ) -> None:
        self.config = config
        self._recommender = Recommender(config)
        self._ears = ears
        self._embed = embed
        self._texts = texts
        self._hearing: Hearing | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        if self._embed is not None:
            self._hearing = self._ears(dataset)
        self._recommender.fit(dataset, embeddings=self._embeddings(dataset))
        return self

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        return self._recommender.recommend_many(user_ids, k, exclude_seen=exclude_seen, only=only)

    def _embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        if self._embed is None or self._hearing is None:
            return pd.DataFrame()
        return self._embed(self._hearing, dataset)


class _Onboarder(_Entrant):
    """An entrant that can also take in items nobody has played."""

    def onboard_many(self, dataset: MusicDataset) -> Self:
        embeddings = self._embeddings(dataset)
        if not self._texts:
            dataset = _without_texts(dataset)
        self._recommender.onboard_many(dataset, embeddings=embeddings)
        return self


def lineup(
    names: Iterable[str],
    config: RecommenderConfig,
    *,
    ears: Ears | None = None,
    controls: bool = True,
    texts: bool = False,
    progress: bool = False,
) -> dict[str, ModelFactory]:
    """Factories of the named models, and of the controls where the hybrid is among them.

    ears: who hears the recordings; by default a network trained on each training side. texts:
    whether new items come with their artist, album, genre and tags, or as a recording alone.
    Raises InvalidArgumentError for a name that is not in :data:`MODELS`.
    """
    listen = ears or network_ears(config, progress=progress)
    makers = {name: _maker(name, config, listen, texts) for name in names}
    if controls and "hybrid" in makers:
        for name, embed in zip(CONTROLS, (_shuffled(config.seed), _labels), strict=True):
            makers[name] = _entrant(_Onboarder, config, listen, embed, texts)
    return makers


def _maker(name: str, config: RecommenderConfig, ears: Ears, texts: bool) -> ModelFactory:
    if name == "popularity":
        return lambda: Popularity(config.seed)
    if name == "random":
        return lambda: Random(config.seed)
    if name not in MODELS:
        raise InvalidArgumentError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    own = config
    if name != "hybrid":
        # A single source has nothing to weigh, whatever the hybrid's weights are.
        fusion = config.fusion.replace(warm=None, cold=None)
        own = config.replace(sources=_SOURCES[name], fusion=fusion)
    kind = _Entrant if name in _WITHOUT_ONBOARDING else _Onboarder
    embed = None if name in _WITHOUT_AUDIO else _heard
    return _entrant(kind, own, ears, embed, texts)


def _entrant(
    kind: type[_Entrant],
    config: RecommenderConfig,
    ears: Ears,
    embed: Embed | None,
    texts: bool,
) -> ModelFactory:
    def make() -> Model:
        return kind(config, ears, embed, texts=texts)

    return make


def _heard(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
    return hearing.embeddings(dataset)


def _labels(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
    return hearing.labels(dataset)


def _shuffled(seed: int) -> Embed:
    def deal(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
        embeddings = hearing.embeddings(dataset)
        order = np.random.default_rng(seed).permutation(len(embeddings))
        return embeddings.iloc[order].set_axis(embeddings.index)

    return deal


def _without_texts(dataset: MusicDataset) -> MusicDataset:
    """The same items and recordings, of which nothing is told but the id."""
    items = dataset.items.assign(**dict.fromkeys(dataset.items.columns.drop(ITEM_ID), ""))
    return MusicDataset.from_checked(items, dataset.audio, dataset.interactions, dataset.root)


def _recordings_digest(dataset: MusicDataset) -> str:
    """Digest of all but the plays, which a network does not see."""
    return dataset.take_interactions(np.empty(0, np.intp)).digest()
