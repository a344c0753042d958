"""Encoders trained, or trained further, on the recordings of a data set."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, StrArray
from datasets.columns import ITEM_ID
from datasets.errors import AudioError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.system.files import cache_folder
from embedding.network.config import EncoderConfig
from embedding.network.targets import known_values
from recsys.data import TasteVectors

if TYPE_CHECKING:
    from embedding import SongEncoder, SoundStatistics
    from embedding.hyperimage.extraction import Extraction


class TooFewLabelsError(InvalidArgumentError):
    """No tag has two values among the usable recordings, so that there is nothing to tell apart.

    A fit goes on without a network, with statistics of sound in its place.

    Examples:
        >>> train_encoder(dataset, encoder.config, workers=1, progress=False)
        Traceback (most recent call last):
        recsys.audio.training.TooFewLabelsError: a network needs recordings of at least two...
    """

    def __init__(self, message: str, failures: Sequence[str]) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        """One line for each recording that could not be used."""


def train_encoder(
    dataset: MusicDataset,
    config: EncoderConfig,
    *,
    taste: TasteVectors | None = None,
    calibrated: bool = True,
    workers: int,
    progress: bool,
) -> "SongEncoder":
    """Train a network on the labelled recordings of a data set.

    Hyper-images and the training state are cached, so that an interrupted training continues. Of
    several tags, those with fewer than two values among the usable recordings are left out.

    Args:
        dataset: data set with recordings and labels.
        config: configuration of the network.
        taste: collaborative vectors to learn beside the tags.
        calibrated: learn the temperatures of its probabilities (`SongEncoder.fit`), which costs a
            small catalogue another training. Embeddings need none.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        The trained encoder; its configuration has the tags that it was trained on.

    Raises:
        AudioError: none of the recordings can be used.
        TooFewLabelsError: fewer than two values of every tag are known.

    Examples:
        >>> audio = pd.DataFrame({"item_id": ["s0", "s1"], "path": [str(recording)] * 2})
        >>> songs = MusicDataset(dataset.items, audio, dataset.interactions)
        >>> trained = train_encoder(songs, encoder.config, workers=1, progress=False)
        >>> trained.classes_.tolist()
        ['jazz', 'rock']
    """
    from embedding import SongEncoder

    extraction = _usable(dataset, config, workers=workers, progress=progress)
    images, labels, artists = _training_data(dataset, config, extraction)
    several = config.loss == "binary_cross_entropy"
    values = {tag: known_values(labels[tag], several=several) for tag in config.tags}
    tags = tuple(tag for tag in config.tags if len(values[tag]) > 1)
    if not tags:
        raise TooFewLabelsError(
            _too_few(values, len(np.unique(extraction.recording))),
            [failure.message for failure in extraction.failures],
        )
    if tags != config.tags:
        config = config.replace(tags=tags)
        labels = {tag: labels[tag] for tag in tags}
    return SongEncoder(config).fit(
        images,
        labels,
        groups=artists,
        recording=extraction.recording,
        taste=None if taste is None else taste.of(_image_items(dataset, extraction)),
        learned_plays=None if taste is None else taste.learned_plays(),
        calibrated=calibrated,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def summarise_sound(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "SoundStatistics":
    """Make an encoder of a data set's recordings that needs no labels.

    Args:
        dataset: data set with recordings.
        config: says what hyper-images are made of the recordings.
        workers: processes that decode recordings.
        progress: show progress bars.

    Raises:
        AudioError: none of the recordings can be used.

    Examples:
        >>> audio = pd.DataFrame({"item_id": ["s0", "s1"], "path": [str(recording)] * 2})
        >>> songs = MusicDataset(dataset.items, audio, dataset.interactions)
        >>> summarise_sound(songs, encoder.config, workers=1, progress=False).summary()["method"]
        'statistics of sound'
    """
    from embedding import SoundStatistics

    extraction = _usable(dataset, config, workers=workers, progress=progress)
    return SoundStatistics(config).fit(extraction.images)


def fine_tune_encoder(
    encoder: "SongEncoder",
    dataset: MusicDataset,
    *,
    epochs: int,
    learning_rate: float | None,
    keep: float,
    workers: int,
    progress: bool,
) -> "SongEncoder":
    """Train a network further on the labelled recordings of a data set.

    Args:
        encoder: the trained network, which is changed.
        dataset: data set with recordings and labels.
        epochs: passes over the recordings.
        learning_rate: step size; None for a tenth of the first training's.
        keep: weight of the penalty for changing earlier predictions.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        The encoder.

    Raises:
        AudioError: none of the recordings can be used.
        InvalidArgumentError: what `SongEncoder.fine_tune` raises.

    Examples:
        >>> audio = pd.DataFrame({"item_id": ["s0", "s1"], "path": [str(recording)] * 2})
        >>> songs = MusicDataset(dataset.items, audio, dataset.interactions)
        >>> settings = {"learning_rate": None, "keep": 1.0, "workers": 1, "progress": False}
        >>> tuned = fine_tune_encoder(encoder, songs, epochs=1, **settings)
        >>> len(tuned.history_)  # two epochs of the first training
        3
    """
    extraction = _usable(dataset, encoder.config, workers=workers, progress=progress)
    images, labels, artists = _training_data(dataset, encoder.config, extraction)
    return encoder.fine_tune(
        images,
        labels,
        groups=artists,
        recording=extraction.recording,
        epochs=epochs,
        learning_rate=learning_rate,
        keep=keep,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def _training_data(
    dataset: MusicDataset, config: EncoderConfig, extraction: "Extraction"
) -> tuple[Float32Array, dict[str, StrArray], StrArray]:
    """Return hyper-images, the values of each tag, and the artists of the images."""
    recording = extraction.recording
    labels = {tag: dataset.recording_labels(tag).to_numpy()[recording] for tag in config.tags}
    return extraction.images, labels, dataset.recording_artists().to_numpy()[recording]


def _image_items(dataset: MusicDataset, extraction: "Extraction") -> pd.Index:
    """Return the item of each hyper-image."""
    return pd.Index(dataset.audio[ITEM_ID].to_numpy()[extraction.recording], dtype=object)


def _usable(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "Extraction":
    """Extract the hyper-images of a data set's recordings; raise AudioError if there are none."""
    from embedding.hyperimage.extraction import extract_inputs
    from embedding.hyperimage.front_end import HyperImageFrontEnd

    front_end = HyperImageFrontEnd(snippet=config.snippet, hyperimage=config.hyperimage)
    extraction = extract_inputs(
        dataset.recording_paths(),
        front_end,
        workers=workers,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )
    if not len(extraction.images) and extraction.failures:
        raise AudioError(extraction.none_usable())
    return extraction


def _too_few(values: Mapping[str, Collection[str]], n_usable: int) -> str:
    """Say why no network can be trained on recordings with these values of their tags."""
    tag, found = next(iter(values.items()))
    only = f"of {tag} {min(found)!r}" if found else f"without any {tag}"
    others = f" (nor has any other of the tags {', '.join(values)} two values)"
    one = "the only usable one is" if n_usable == 1 else f"the {n_usable:,} usable ones are all"
    return f"a network needs recordings of at least two values of {tag!r}, and {one} {only}" + (
        others if len(values) > 1 else ""
    )
