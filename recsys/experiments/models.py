"""The models that an evaluation puts side by side, and the controls beside them.

All of them see the same network: it is trained once for every training side, and never hears a
recording that is held out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import pandas as pd

from datasets.columns import ITEM_ID
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.model import ModelFactory
from evaluation.models.baselines import Popularity, Random
from evaluation.models.controls import (
    GENRE_FOR_AUDIO,
    MODEL_CONTROLS,
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    STANDALONE_CONTROLS,
    SameForEverybody,
    control_name,
    parse_control_name,
    shuffled,
)
from evaluation.models.external import PEERS
from recsys.config import RecommenderConfig, SourceName
from recsys.experiments.embeddings import Ears, Hearing, network_ears
from recsys.recommender import Recommender

OURS: Mapping[str, str] = {
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
"""This library's models, the ones that are compared unless others are named."""

MODELS: Mapping[str, str] = {
    **OURS,
    **{name: (peer.__doc__ or "").partition("\n")[0].rstrip(".") for name, peer in PEERS.items()},
}
"""Every model that can be named, and what it is; those of other libraries are tuned on plays held
out of the training side."""

_SOURCES: Mapping[str, tuple[SourceName, ...]] = {
    "als": ("als",),
    "lightfm": ("fm",),
    "ease": ("ease",),
    "content": ("content",),
    "als+audio": ("als",),
    "lightfm+audio": ("fm",),
}
ALIASES: Mapping[str, str] = {"popular": "popularity"}
"""Other words for the same."""

_WITHOUT_AUDIO = ("als", "lightfm", "ease")
_WITHOUT_ONBOARDING = ("als", "ease")
HEARING = ("hybrid", "lightfm+audio", "als+audio", "content")
"""Models that hear; the first of them that is named has its audio taken away in the controls."""


Embed = Callable[[Hearing, MusicDataset], pd.DataFrame]


class _Entrant:
    """A recommender of certain sources, with the embeddings that it is to be given.

    embed: how it gets them from what was heard; None hides the audio from it. texts: whether it is
    told the artist, album, genre and tags of items that it onboards. kept: where it puts itself
    once it is fitted, in the place of the one before, by the digest of what it learned from.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        ears: Ears,
        embed: Embed | None,
        *,
        texts: bool,
        kept: "dict[str, _Entrant] | None" = None,
    ) -> None:
        self.config = config
        self._recommender = Recommender(config)
        self._ears = ears
        self._embed = embed
        self._texts = texts
        self._kept = kept
        self._hearing: Hearing | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        if self._embed is not None:
            self._hearing = self._ears(dataset)
        self._recommender.fit(dataset, embeddings=self._embeddings(dataset))
        if self._kept is not None:
            self._kept.clear()
            self._kept[dataset.digest()] = self
        return self

    def update(self, interactions: pd.DataFrame) -> Self:
        self._recommender.update(interactions)
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
    """An entrant that can also take in items nobody has played, the same ones once."""

    _onboarded = ""

    def onboard_many(self, dataset: MusicDataset) -> Self:
        digest = dataset.digest()
        if digest == self._onboarded:
            return self
        self._onboarded = digest
        embeddings = self._embeddings(dataset)
        if not self._texts:
            dataset = _without_texts(dataset)
        self._recommender.onboard_many(dataset, embeddings=embeddings)
        return self


class _Again:
    """An entrant that was fitted already, for a control that needs the same one.

    Fitting the hybrid takes longest of all, and this control is the hybrid but for the last step.
    """

    def __init__(self, make: Callable[[], _Entrant], kept: dict[str, _Entrant]) -> None:
        self._entrant = make()
        self._kept = kept
        self.config = self._entrant.config

    def fit(self, dataset: MusicDataset) -> Self:
        self._entrant = self._kept.get(dataset.digest()) or self._entrant.fit(dataset)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entrant, name)


def model_names(names: Iterable[str]) -> list[str]:
    """The names as :data:`MODELS` has them.

    Raises InvalidArgumentError for one that it does not have, for one that is given twice, and
    where there is none.
    """
    given = list(names)
    for name in given:
        if ALIASES.get(name, name) not in MODELS:
            raise InvalidArgumentError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    found = [ALIASES.get(name, name) for name in given]
    if not found:
        raise InvalidArgumentError("no model is named")
    if len(set(found)) < len(found):
        raise InvalidArgumentError(f"a model is named twice: {', '.join(given)}")
    return found


def lineup(
    names: Iterable[str],
    config: RecommenderConfig,
    *,
    ears: Ears | None = None,
    controls: bool = True,
    texts: bool = False,
    progress: bool = False,
) -> dict[str, ModelFactory]:
    """Factories of the named models, and of the controls of the first of them that hears.

    ears: who hears the recordings; by default a network trained on each training side. texts:
    whether new items come with their artist, album, genre and tags, or as a recording alone.
    Raises InvalidArgumentError for a name that is not in :data:`MODELS`, or for one named twice.
    """
    names = model_names(names)
    listen = ears or network_ears(config, progress=progress)
    subject = next((name for name in HEARING if name in names), None) if controls else None
    kept: dict[str, _Entrant] = {}
    makers = {
        name: _maker(name, config, listen, texts, kept if name == subject else None)
        for name in names
    }
    if subject is not None:
        own = _settings(subject, config)
        for kind, embed in ((SHUFFLED_AUDIO, _shuffled(config.seed)), (GENRE_FOR_AUDIO, _labels)):
            makers[control_name(subject, kind)] = _entrant(_Onboarder, own, listen, embed, texts)
        same = _entrant(_Onboarder, own, listen, _heard, texts)
        makers[control_name(subject, SAME_FOR_EVERYBODY)] = lambda: SameForEverybody(
            lambda: _Again(same, kept), config.seed
        )
    return makers


def meanings(makers: Iterable[str]) -> dict[str, str]:
    """The controls among these models, and what may be so where they are not beaten."""
    found = {}
    for name in makers:
        if (subject := parse_control_name(name)) is not None:
            found[name] = MODEL_CONTROLS[subject[1]]
        elif name in STANDALONE_CONTROLS:
            found[name] = STANDALONE_CONTROLS[name]
    return found


def _maker(
    name: str,
    config: RecommenderConfig,
    ears: Ears,
    texts: bool,
    kept: dict[str, _Entrant] | None,
) -> ModelFactory:
    if name == "popularity":
        return lambda: Popularity(config.seed)
    if name == "random":
        return lambda: Random(config.seed)
    if name in PEERS:
        return lambda: PEERS[name](config.seed, config.n_threads)
    kind = _Entrant if name in _WITHOUT_ONBOARDING else _Onboarder
    embed = None if name in _WITHOUT_AUDIO else _heard
    return _entrant(kind, _settings(name, config), ears, embed, texts, kept)


def _settings(name: str, config: RecommenderConfig) -> RecommenderConfig:
    if name == "hybrid":
        return config
    # A single source has nothing to weigh, whatever the hybrid's weights are.
    fusion = config.fusion.replace(warm=None, cold=None)
    return config.replace(sources=_SOURCES[name], fusion=fusion)


def _entrant(
    kind: type[_Entrant],
    config: RecommenderConfig,
    ears: Ears,
    embed: Embed | None,
    texts: bool,
    kept: dict[str, _Entrant] | None = None,
) -> Callable[[], _Entrant]:
    def make() -> _Entrant:
        return kind(config, ears, embed, texts=texts, kept=kept)

    return make


def _heard(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
    return hearing.embeddings(dataset)


def _labels(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
    return hearing.labels(dataset)


def _shuffled(seed: int) -> Embed:
    def deal(hearing: Hearing, dataset: MusicDataset) -> pd.DataFrame:
        return shuffled(hearing.embeddings(dataset), seed)

    return deal


def _without_texts(dataset: MusicDataset) -> MusicDataset:
    """The same items and recordings, of which nothing is told but the id."""
    items = dataset.items.assign(**dict.fromkeys(dataset.items.columns.drop(ITEM_ID), ""))
    return MusicDataset.from_checked(items, dataset.audio, dataset.interactions, dataset.root)
