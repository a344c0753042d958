"""The models that an evaluation puts side by side, and the controls beside them.

All of them see the same network: it is trained once for every training side, and never hears a
recording that is held out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from datasets.columns import GENRE, ITEM_ID
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.baselines import Popularity, Random
from evaluation.model import Model, ModelFactory
from recsys.audio_side import Heard, hear, train_encoder
from recsys.config import RecommenderConfig, SourceName
from recsys.recommender import Recommender

if TYPE_CHECKING:
    from embedding import SongEncoder

MODELS: Mapping[str, str] = {
    "hybrid": "ALS, factorization machine and content fused",
    "als": "implicit ALS on plays alone",
    "lightfm": "LightFM on plays and metadata, without audio",
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
    "hybrid": ("als", "fm", "content"),
    "als": ("als",),
    "lightfm": ("fm",),
    "content": ("content",),
    "als+audio": ("als",),
    "lightfm+audio": ("fm",),
}
_WITHOUT_AUDIO = ("als", "lightfm")
_WITHOUT_ONBOARDING = ("als",)

Embed = Callable[[MusicDataset, "SongEncoder | None"], pd.DataFrame]


@dataclass
class Ears:
    """Networks by the recordings they were trained on, so that models share them."""

    config: RecommenderConfig
    progress: bool = False
    _trained: dict[str, "SongEncoder"] = field(default_factory=dict)
    _heard: dict[tuple[str, str], Heard] = field(default_factory=dict)

    def train(self, dataset: MusicDataset) -> "SongEncoder":
        """The network for these recordings."""
        key = dataset.take_interactions(np.empty(0, np.intp)).digest()
        if key not in self._trained:
            self._trained[key] = train_encoder(
                dataset, self.config.encoder, workers=self.config.n_threads, progress=self.progress
            )
        return self._trained[key]

    def hear(self, dataset: MusicDataset, encoder: "SongEncoder") -> pd.DataFrame:
        """Embeddings of a data set's items, index item_id."""
        key = (dataset.take_interactions(np.empty(0, np.intp)).digest(), encoder.digest())
        if key not in self._heard:
            self._heard[key] = hear(
                dataset, encoder, workers=self.config.n_threads, progress=self.progress
            )
        return self._heard[key].embeddings


class _Entrant:
    """A recommender of certain sources, with the embeddings that it is to be given.

    embed: from a data set and the trained network to embeddings; None hides the audio.
    """

    def __init__(self, config: RecommenderConfig, ears: Ears, embed: Embed | None) -> None:
        self._recommender = Recommender(config)
        self._ears = ears
        self._embed = embed
        self._encoder: SongEncoder | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        embeddings = pd.DataFrame()
        if self._embed is not None and len(dataset.audio):
            self._encoder = self._ears.train(dataset)
            embeddings = self._embed(dataset, self._encoder)
        self._recommender.fit(dataset, embeddings=embeddings)
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


class _Onboarder(_Entrant):
    """An entrant that can also take in items nobody has played."""

    def onboard_many(self, dataset: MusicDataset) -> Self:
        embeddings = pd.DataFrame() if self._embed is None else self._embed(dataset, self._encoder)
        self._recommender.onboard_many(dataset, embeddings=embeddings)
        return self


def lineup(
    names: Iterable[str],
    config: RecommenderConfig,
    *,
    controls: bool = True,
    progress: bool = False,
) -> dict[str, ModelFactory]:
    """Factories of the named models, and of the controls where the hybrid is among them.

    Raises InvalidArgumentError for a name that is not in :data:`MODELS`.
    """
    ears = Ears(config, progress)

    def real(dataset: MusicDataset, encoder: "SongEncoder | None") -> pd.DataFrame:
        assert encoder is not None
        return ears.hear(dataset, encoder)

    def shuffled(dataset: MusicDataset, encoder: "SongEncoder | None") -> pd.DataFrame:
        embeddings = real(dataset, encoder)
        order = np.random.default_rng(config.seed).permutation(len(embeddings))
        return embeddings.iloc[order].set_axis(embeddings.index)

    def genre(dataset: MusicDataset, encoder: "SongEncoder | None") -> pd.DataFrame:
        assert encoder is not None
        return _one_hot(dataset, encoder.classes_.tolist())

    makers: dict[str, ModelFactory] = {}
    for name in names:
        makers[name] = _maker(name, config, ears, real)
    if controls and "hybrid" in makers:
        for name, embed in zip(CONTROLS, (shuffled, genre), strict=True):
            makers[name] = _entrant(_Onboarder, config, ears, embed)
    return makers


def _maker(name: str, config: RecommenderConfig, ears: Ears, real: Embed) -> ModelFactory:
    if name == "popularity":
        return lambda: Popularity(config.seed)
    if name == "random":
        return lambda: Random(config.seed)
    if name not in _SOURCES:
        raise InvalidArgumentError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    own = config.replace(sources=_SOURCES[name])
    kind = _Entrant if name in _WITHOUT_ONBOARDING else _Onboarder
    return _entrant(kind, own, ears, None if name in _WITHOUT_AUDIO else real)


def _entrant(
    kind: type[_Entrant], config: RecommenderConfig, ears: Ears, embed: Embed | None
) -> ModelFactory:
    def make() -> Model:
        return kind(config, ears, embed)

    return make


def _one_hot(dataset: MusicDataset, labels: list[str]) -> pd.DataFrame:
    """The share of each label among an item's recordings, in place of what was heard of them."""
    own = pd.Series(dataset.recording_labels(GENRE).to_numpy(), name=GENRE)
    matches = pd.DataFrame({label: (own == label).astype(np.float32) for label in labels})
    return matches.groupby(dataset.audio[ITEM_ID].to_numpy(), sort=False).mean()
