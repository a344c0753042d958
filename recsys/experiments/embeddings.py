"""Item embeddings for evaluations: one encoder for each training side, trained once and cached."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, StrArray
from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import AudioError, DataError
from datasets.music import MusicDataset
from datasets.system.files import atomic_write, cache_folder
from datasets.tables.frames import embedding_frame
from embedding.network.config import EncoderConfig
from evaluation.splitting.split import Split
from recsys.audio.embeddings import embed_dataset
from recsys.audio.training import TooFewLabelsError, summarise_sound, train_encoder
from recsys.config import RecommenderConfig
from recsys.data import TasteVectors
from recsys.training.fine_tuning import fine_tune_on_catalogue
from recsys.training.taste import taste_vectors

if TYPE_CHECKING:
    from embedding import SoundStatistics
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.encoders.protocol import Encoder
    from evaluation.genre.cross_validation import GenreResult

logger = logging.getLogger("coldtune")

_LARGEST_MAP = 5000
"""Items on the map of an evaluation; of more, a random sample is drawn."""


class FoldEmbeddings(Protocol):
    """Embeddings of recordings by an encoder that was trained on one training side."""

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        """Return the embeddings of the items of ``dataset`` with a recording, held out or not.

        Returns:
            Index item_id, one column a dimension.
        """

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        """Return the true labels of the same items, in place of embeddings.

        Returns:
            The same index, one column a label of the training side: 1 for the item's own, else 0.
        """


EmbedFold = Callable[[MusicDataset], FoldEmbeddings | None]
"""Trains an encoder on the recordings of a training side; None where it has none."""


@dataclass(frozen=True)
class GivenEmbeddings:
    """Embeddings computed beforehand, in place of an encoder's.

    They must come from an encoder that was not trained on the items held out. Called with a
    training side, it gives itself with the labels of that side.

    Examples:
        >>> given = GivenEmbeddings(embeddings)
        >>> given.embeddings(dataset.take_items(["s0", "s1"])).shape
        (2, 4)
        >>> given(dataset).labels(dataset.take_items(["s0", "s1"])).values.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    frame: pd.DataFrame
    """Index item_id, one column a dimension."""

    classes: tuple[str, ...] = ()
    """Genres of the training side's items that have an embedding."""

    def __post_init__(self) -> None:
        """Take the ids from the index or the column item_id; DataError without any."""
        object.__setattr__(self, "frame", embedding_frame(self.frame))

    def __call__(self, training: MusicDataset) -> "GivenEmbeddings":
        """Return the embeddings with the labels of a training side."""
        return replace(self, classes=tuple(sorted(set(self._genres(training)) - {""})))

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        """Return the embeddings of the items of ``dataset``."""
        return self.frame[self.frame.index.isin(dataset.items[ITEM_ID])]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        """Return the true genres of the items of ``dataset`` that have an embedding.

        Raises:
            DataError: no genre is known of the training side.
        """
        if not self.classes:
            raise DataError("no item with an embedding has a genre")
        own = self._genres(dataset)
        return pd.DataFrame(_indicators(own.to_numpy(), self.classes), index=own.index)

    def _genres(self, dataset: MusicDataset) -> "pd.Series[str]":
        genres = dataset.items.set_index(ITEM_ID)[GENRE].astype(str)
        return genres[genres.index.isin(self.frame.index)]


@dataclass(frozen=True)
class NetworkEmbeddings:
    """Embeddings by a network trained on the recordings of one training side.

    Without labels to train it on they are statistics of sound.
    """

    encoder: "Encoder"
    """The trained network, or what stands in its place."""
    config: RecommenderConfig
    """Its ``n_threads`` is the number of processes that decode."""
    progress: bool
    """Show progress bars."""
    _cache: dict[str, pd.DataFrame] = field(default_factory=dict)

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        """Embed the recordings of ``dataset``; the same recordings once."""
        key = _recordings_digest(dataset)
        if key not in self._cache:
            self._cache[key] = embed_dataset(
                dataset, self.encoder, workers=self.config.n_threads, progress=self.progress
            ).embeddings
        return self._cache[key]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        """Return the true labels, averaged over the recordings of an item; none if unknown."""
        if not self.encoder.heads_:
            return pd.DataFrame()
        tag, classes = next(iter(self.encoder.heads_.items()))
        if tag not in dataset.items.columns:  # a tag that the encoder brought along
            return pd.DataFrame()
        own = dataset.recording_labels(tag).to_numpy()
        matches = pd.DataFrame(_indicators(own, classes.tolist()))
        return matches.groupby(dataset.audio[ITEM_ID].to_numpy(), sort=False).mean()


class FoldEncoders:
    """Trains one network for each training side, however many models ask for it.

    Args:
        config: settings of the network, and the number of threads.
        progress: show progress bars.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> embed_fold = FoldEncoders(RecommenderConfig())
        >>> embed_fold(dataset) is None  # there is no audio to train on
        True
    """

    def __init__(self, config: RecommenderConfig, *, progress: bool = False) -> None:
        self._config = config
        self._progress = progress
        self._tastes: dict[str, TasteVectors | None] = {}
        self._trained: dict[str, NetworkEmbeddings] = {}

    def __call__(self, training: MusicDataset) -> NetworkEmbeddings | None:
        """Return the network trained on ``training``; None without recordings to train on."""
        if not len(training.audio):
            return None
        side = training.digest()
        if side not in self._tastes:
            self._tastes[side] = taste_vectors(training, self._config)
        taste = self._tastes[side]
        # Where the network learns from no plays, it is the same whatever was played.
        key = _recordings_digest(training) if taste is None else side
        if key not in self._trained:
            self._trained[key] = self._train(training, taste)
        return self._trained[key]

    def _train(self, training: MusicDataset, taste: TasteVectors | None) -> NetworkEmbeddings:
        try:
            encoder = train_encoder(
                training,
                self._config.network,
                taste=taste,
                calibrated=False,  # only embeddings are used
                workers=self._config.n_threads,
                progress=self._progress,
            )
        except TooFewLabelsError as error:
            logger.warning(
                "no network was trained on a training side: %s; songs are compared by statistics "
                "of their sound",
                error,
            )
            return NetworkEmbeddings(self._statistics(training), self._config, self._progress)
        return NetworkEmbeddings(encoder, self._config, self._progress)

    def _statistics(self, training: MusicDataset) -> "SoundStatistics":
        return summarise_sound(
            training,
            self._config.network,
            workers=self._config.n_threads,
            progress=self._progress,
        )


class FoldHeads:
    """Trains heads on top of a given encoder for each training side, on that side alone.

    Args:
        encoder: says the encoder below and the settings of the heads.
        config: settings of the recommender: the seed and the number of threads.
        progress: show progress bars.

    Examples:
        >>> from embedding import FineTunedEncoder
        >>> from recsys import RecommenderConfig
        >>> embed_fold = FoldHeads(FineTunedEncoder(encoder), RecommenderConfig())
        >>> embed_fold(dataset) is None  # there is no audio to train on
        True
    """

    def __init__(
        self, encoder: "FineTunedEncoder", config: RecommenderConfig, *, progress: bool = False
    ) -> None:
        self._encoder = encoder
        self._config = config
        self._progress = progress
        self._trained: dict[str, NetworkEmbeddings | None] = {}

    def __call__(self, training: MusicDataset) -> NetworkEmbeddings | None:
        """Return the heads trained on ``training``; None without recordings to train on."""
        if not len(training.audio):
            return None
        key = training.digest()
        if key not in self._trained:
            self._trained[key] = self._train(training)
        return self._trained[key]

    def note(self, dataset: MusicDataset, noun: str) -> str:
        """Say in a report what was trained.

        Args:
            dataset: the whole data set.
            noun: what its items are called.

        Raises:
            AudioError: it has no recordings.
        """
        if dataset.audio.empty:
            raise AudioError("the data set has no recordings to train heads on")
        below = self._encoder.backbone.summary().get("method", "a given network")
        return (
            f"Recordings were embedded by heads on {below}, {self._encoder.config.backbone}; in "
            f"each split they were trained without the {noun} held out. Figures of new {noun} are "
            f"too good if the encoder below was trained on these {noun}."
        )

    def digest(self) -> str:
        """Return the hex SHA-256 of the encoder below and the settings of the heads."""
        identity = f"{self._encoder.backbone.digest()}|{self._encoder.config.digest()}"
        return hashlib.sha256(identity.encode()).hexdigest()

    def _train(self, training: MusicDataset) -> NetworkEmbeddings:
        encoder: Encoder
        learns_taste = self._encoder.config.taste_weight > 0
        try:
            encoder = fine_tune_on_catalogue(
                self._encoder,
                training,
                self._config,
                taste=taste_vectors(training, self._config) if learns_taste else None,
                progress=self._progress,
            )
        except TooFewLabelsError as error:
            logger.warning("the encoder is used as it is on a training side: %s", error)
            encoder = self._encoder.backbone
        return NetworkEmbeddings(encoder, self._config, self._progress)


def _indicators(own: StrArray, classes: Sequence[str]) -> dict[str, Float32Array]:
    """A column for each class: 1 for who has it, and the same share of all for who has none.

    So nobody's vector is zero, which models refuse.
    """
    has_none = ~np.isin(own, list(classes)) / np.float32(len(classes))
    return {label: (own == label).astype(np.float32) + has_none for label in classes}


def _recordings_digest(dataset: MusicDataset) -> str:
    """Digest of all but the interactions."""
    return dataset.take_interactions(np.empty(0, np.intp)).digest()


def cached_embeddings(
    dataset: MusicDataset,
    splits: Sequence[Split],
    encoders: EmbedFold,
    network: "EncoderConfig | FoldHeads",
    folder: Path,
) -> pd.DataFrame | None:
    """Embed all recordings with the encoder of one training side, and cache the result.

    It is the side of the first split that holds out items, so that those are new to the encoder,
    or else that of the first split. The file is for this data, side and ``network``: training
    again need not give the same to the last bit, and a resumed evaluation needs the same.

    Args:
        dataset: the whole data set.
        splits: its splits.
        encoders: trains the encoder of a training side.
        network: settings that the encoder is trained with, or heads on a given one.
        folder: where the result is kept.

    Returns:
        Float32, index item_id, one column a dimension; None without recordings.
    """
    training = _embedding_split(splits).training(dataset)
    identity = "|".join([dataset.digest(), training.digest(), network.digest()])
    path = folder / f"embeddings-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    encoder = encoders(training)
    if encoder is None:
        return None
    found = encoder.embeddings(dataset)
    found = found.set_axis([str(name) for name in found.columns], axis=1).rename_axis(ITEM_ID)
    found.attrs = {}  # which are not for files
    with atomic_write(path) as temporary:
        found.to_parquet(temporary)
    return found


def embedding_map(
    dataset: MusicDataset, splits: Sequence[Split], embeddings: pd.DataFrame, seed: int
) -> pd.DataFrame | None:
    """Project embeddings to their first two principal components.

    Args:
        dataset: the data set with the items' texts.
        splits: its splits.
        embeddings: those of ``cached_embeddings``.
        seed: draws the sample of items where there are more than 5,000.

    Returns:
        item_id, title, artist, genre, x, y, and ``cold``: whether the item was held out from the
        encoder's training side. None for too few items.

    Examples:
        >>> embedding_map(dataset, [split], embeddings, seed=0).shape
        (30, 7)
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
    held_out = set(_embedding_split(splits).cold_items)
    frame = texts.loc[known.index].rename_axis(ITEM_ID).reset_index()
    return frame.assign(x=points[:, 0], y=points[:, 1], cold=frame[ITEM_ID].isin(held_out))


def _embedding_split(splits: Sequence[Split]) -> Split:
    """The first split that holds out items, or else the first."""
    return next((split for split in splits if split.cold_items), splits[0])


def genre_accuracy(
    dataset: MusicDataset, config: RecommenderConfig, folds: int, progress: bool
) -> "GenreResult | None":
    """Cross-validate the network's genre accuracy on artists it was not trained on.

    Args:
        dataset: recordings, their genres and artists.
        config: settings of the network.
        folds: number of artist-disjoint folds.
        progress: show progress bars.

    Returns:
        The result; None without recordings.

    Raises:
        EvaluationError: too few labels or artists.
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
