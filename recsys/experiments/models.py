"""The models that an evaluation compares, by name, and the controls beside them.

All of them share one encoder for each training side, which is never trained on held-out
recordings.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from datasets.arguments import check_names
from datasets.columns import ITEM_ID
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.texts.suggestions import did_you_mean
from embedding.encoders.learned_plays import LearnedPlays
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
from recsys.audio.embeddings import learned_plays_of
from recsys.config import RecommenderConfig, SourceName
from recsys.experiments.embeddings import EmbedFold, FoldEmbeddings, FoldEncoders
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
"""This library's models and what they are; they are compared unless others are named."""

MODELS: Mapping[str, str] = {
    **OURS,
    **{name: (peer.__doc__ or "").partition("\n")[0].rstrip(".") for name, peer in PEERS.items()},
}
"""Every model that can be named, and what it is; those of other libraries are tuned on plays held
out of the training side."""

ALIASES: Mapping[str, str] = {"popular": "popularity"}
"""Other names of the same models."""

AUDIO_MODELS = ("hybrid", "lightfm+audio", "als+audio", "content")
"""Models that use embeddings; the controls are of the first of them that is compared."""

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

_Embed = Callable[[FoldEmbeddings, MusicDataset], pd.DataFrame]
"""Takes the embeddings of a data set's items, or what stands in for them in a control."""


def model_names(names: Iterable[str]) -> list[str]:
    """Resolve aliases and check the names of models.

    Raises:
        InvalidArgumentError: a name that is not in ``MODELS``, a model named twice, or no name.

    Examples:
        >>> model_names(["popular", "hybrid"])
        ['popularity', 'hybrid']
    """
    given = check_names("models", names)
    for name in given:
        if ALIASES.get(name, name) not in MODELS:
            hint = did_you_mean(name, MODELS)
            raise InvalidArgumentError(f"no model {name!r}{hint}; there are: {', '.join(MODELS)}")
    found = [ALIASES.get(name, name) for name in given]
    if not found:
        raise InvalidArgumentError("no model is named")
    if len(set(found)) < len(found):
        raise InvalidArgumentError(f"a model is named twice: {', '.join(given)}")
    return found


def model_factories(
    names: Iterable[str],
    config: RecommenderConfig,
    *,
    encoders: EmbedFold | None = None,
    controls: bool | Collection[str] = True,
    texts: bool = False,
    progress: bool = False,
) -> dict[str, ModelFactory]:
    """Make factories of the named models, and of the controls of the first that uses audio.

    Args:
        names: names of ``MODELS``.
        config: settings of this library's models.
        encoders: gives the embeddings of each training side; by default a network is trained on
            its recordings.
        controls: the controls to add, of ``evaluation.models.controls.MODEL_CONTROLS``: with
            shuffled embeddings, with genres in place of embeddings, and with the same list for
            everybody; True for all of them.
        texts: whether models get artist, album, genre and tags of new items, or the recording
            alone.
        progress: show progress bars.

    Returns:
        {name: factory}, the controls last.

    Raises:
        InvalidArgumentError: a name that is not known, or one named twice.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> list(model_factories(["content", "popularity"], RecommenderConfig(), controls=False))
        ['content', 'popularity']
    """
    names = model_names(names)
    embed_fold = encoders or FoldEncoders(config, progress=progress)
    subject = next((name for name in AUDIO_MODELS if name in names), None) if controls else None
    shared: dict[str, _Fitted] = {}

    def factory(
        name: str,
        embed: _Embed | None,
        share: "dict[str, _Fitted] | None" = None,
        *,
        reuse: bool = False,
    ) -> ModelFactory:
        return lambda: EvaluatedRecommender(
            _settings(name, config),
            embed_fold,
            embed,
            onboards=name not in _WITHOUT_ONBOARDING,
            texts=texts,
            shared=share,
            reuse=reuse,
        )

    factories: dict[str, ModelFactory] = {}
    for name in names:
        if name == "popularity":
            factories[name] = lambda: Popularity(config.seed)
        elif name == "random":
            factories[name] = lambda: Random(config.seed)
        elif name in PEERS:
            factories[name] = lambda name=name: PEERS[name](config.seed, config.n_threads)  # type: ignore[misc]
        else:
            embed = None if name in _WITHOUT_AUDIO else _own_embeddings
            factories[name] = factory(name, embed, shared if name == subject else None)
    if subject is not None:
        wanted = MODEL_CONTROLS if controls is True else set(controls or ())
        for kind, stand_in in (
            (SHUFFLED_AUDIO, _shuffled_embeddings(config.seed)),
            (GENRE_FOR_AUDIO, _genre_labels),
        ):
            if kind in wanted:
                factories[control_name(subject, kind)] = factory(subject, stand_in)
        # Fitting the hybrid takes longest of all, and this control differs in the last step alone.
        if SAME_FOR_EVERYBODY in wanted:
            same = factory(subject, _own_embeddings, shared, reuse=True)
            factories[control_name(subject, SAME_FOR_EVERYBODY)] = lambda: SameForEverybody(
                same, config.seed
            )
    return factories


def control_meanings(names: Iterable[str]) -> dict[str, str]:
    """Find the controls among models, and what may be true if they are not beaten.

    Args:
        names: names of models, such as the keys of ``model_factories``.

    Returns:
        {name of a control: its meaning}.

    Examples:
        >>> list(control_meanings(["hybrid", "hybrid, shuffled audio", "random"]))
        ['hybrid, shuffled audio', 'random']
    """
    found = {}
    for name in names:
        if (subject := parse_control_name(name)) is not None:
            found[name] = MODEL_CONTROLS[subject[1]]
        elif name in STANDALONE_CONTROLS:
            found[name] = STANDALONE_CONTROLS[name]
    return found


@dataclass
class _Fitted:
    """A fitted recommender, the embeddings of its training side, and what it onboarded last."""

    recommender: Recommender
    embeddings: FoldEmbeddings | None
    onboarded: str = ""


class EvaluatedRecommender:
    """A Recommender with the settings, embeddings and abilities of one model of an evaluation.

    Args:
        config: its settings.
        encoders: gives the embeddings of each training side.
        embed: takes the embeddings of items from those of the training side; None hides the audio.
        onboards: whether it can recommend items that nobody has played.
        texts: whether it gets artist, album, genre and tags of items that it onboards.
        shared: where fitted recommenders are put by the digest of their training side, to be used
            by another model with the same settings; only the last one is kept.
        reuse: take the fitted recommender from ``shared`` where it is there.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        encoders: EmbedFold,
        embed: _Embed | None,
        *,
        onboards: bool,
        texts: bool,
        shared: dict[str, _Fitted] | None = None,
        reuse: bool = False,
    ) -> None:
        self.config = config
        self._encoders = encoders
        self._embed = embed
        self._texts = texts
        self._shared = shared
        self._reuse = reuse
        self._fitted = _Fitted(Recommender(config), None)
        if onboards:
            # `compare` looks for the method: a model that cannot onboard must have none.
            self.onboard_many = self._onboard_many
            # Likewise: only a model that can show new items is asked at budgets for them.
            self.recommend_many = self._recommend_at_budget  # type: ignore[method-assign]

    def fit(self, dataset: MusicDataset) -> Self:
        """Fit on a training side, or take the recommender that another model fitted on it."""
        if self._reuse and self._shared is not None:
            known = self._shared.get(dataset.digest())
            if known is not None:
                self._fitted = known
                return self
        fitted = self._fitted
        if self._embed is not None:
            fitted.embeddings = self._encoders(dataset)
        fitted.recommender.fit(dataset, embeddings=self._embeddings(dataset))
        if self._shared is not None and not self._reuse:
            self._shared.clear()
            self._shared[dataset.digest()] = fitted
        return self

    @property
    def source_facts(self) -> dict[str, dict[str, Any]]:
        """What each source costs and brings, for reports; see `Recommender.info`."""
        return dict(self._fitted.recommender.info.get("sources", {}))

    def update(self, interactions: pd.DataFrame) -> Self:
        """Take in interactions of users who came after the fit."""
        self._fitted.recommender.update(interactions)
        return self

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Recommend ``k`` items to each user, see ``evaluation.model.Model``."""
        return self._fitted.recommender.recommend_many(
            user_ids, k, exclude_seen=exclude_seen, only=only
        )

    def _recommend_at_budget(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
        discovery: float | None = None,
    ) -> pd.DataFrame:
        return self._fitted.recommender.recommend_many(
            user_ids, k, exclude_seen=exclude_seen, only=only, discovery=discovery
        )

    def _onboard_many(self, dataset: MusicDataset) -> Self:
        """Take in new items; the same ones once."""
        digest = dataset.digest()
        if digest == self._fitted.onboarded:
            return self
        self._fitted.onboarded = digest
        embeddings = self._embeddings(dataset)
        refuse_leak(learned_plays_of(embeddings), dataset.items[ITEM_ID])
        if not self._texts:
            dataset = _without_texts(dataset)
        self._fitted.recommender.onboard_many(dataset, embeddings=embeddings)
        return self

    def _embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        if self._embed is None or self._fitted.embeddings is None:
            return pd.DataFrame()
        return self._embed(self._fitted.embeddings, dataset)


def refuse_leak(learned: LearnedPlays, held_out: Iterable[str]) -> None:
    """Raise EvaluationError where an encoder has learned from the plays of items held out.

    Args:
        learned: the items whose plays it has learned from.
        held_out: ids of the items.

    Examples:
        >>> from embedding.encoders import LearnedPlays
        >>> refuse_leak(LearnedPlays(["s1"]), ["s2"])
        >>> refuse_leak(LearnedPlays(["s1"]), ["s1", "s2"])
        Traceback (most recent call last):
        datasets.errors.EvaluationError: the encoder has learned from the plays of 1 of 2 items ...
    """
    ids = pd.Index(list(held_out), dtype=object)
    leaked = learned.contains(ids)
    if leaked.any():
        raise EvaluationError(
            f"the encoder has learned from the plays of {leaked.sum():,} of {len(ids):,} items "
            f"held out, such as {ids[leaked][0]!r}, so that they would look too well "
            "recommended; train it on each training side, or give one that has not "
            "learned from plays"
        )


def _settings(name: str, config: RecommenderConfig) -> RecommenderConfig:
    if name == "hybrid":
        return config
    # A single source has nothing to weigh, whatever the hybrid's weights are.
    fusion = config.fusion.replace(warm=None, cold=None)
    return config.replace(sources=_SOURCES[name], fusion=fusion)


def _own_embeddings(fold: FoldEmbeddings, dataset: MusicDataset) -> pd.DataFrame:
    return fold.embeddings(dataset)


def _genre_labels(fold: FoldEmbeddings, dataset: MusicDataset) -> pd.DataFrame:
    return fold.labels(dataset)


def _shuffled_embeddings(seed: int) -> _Embed:
    return lambda fold, dataset: shuffled(fold.embeddings(dataset), seed)


def _without_texts(dataset: MusicDataset) -> MusicDataset:
    """The same items and recordings with empty texts."""
    items = dataset.items.assign(**dict.fromkeys(dataset.items.columns.drop(ITEM_ID), ""))
    return MusicDataset.from_checked(items, dataset.audio, dataset.interactions, dataset.root)
