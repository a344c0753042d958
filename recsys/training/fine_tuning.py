"""Heads for tags and taste, trained on the catalogue at hand on top of a given encoder."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID
from datasets.errors import AudioError
from datasets.music import MusicDataset
from datasets.system.files import cache_folder
from embedding.network.targets import known_values
from recsys.audio.training import TooFewLabelsError
from recsys.config import RecommenderConfig
from recsys.data import TasteVectors

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder

logger = logging.getLogger("coldtune")


def fine_tune_on_catalogue(
    encoder: "FineTunedEncoder",
    dataset: MusicDataset,
    config: RecommenderConfig,
    *,
    taste: TasteVectors | None = None,
    calibrated: bool = False,
    progress: bool = False,
) -> "FineTunedEncoder":
    """Train heads, and a thawed encoder below them, on the recordings of a data set.

    Vectors of a frozen encoder are computed once for each recording, and kept in the cache.

    Args:
        encoder: says the encoder below and the settings; its own heads, if any, are not used and
            do not change. Without tags in its settings, those of ``config.encoder`` are learned
            that have two values among the usable recordings.
        dataset: data set with recordings.
        config: settings of the recommender: its seed is added to the heads' own.
        taste: collaborative vectors of songs to learn beside the tags. They must not come from
            plays that are held out.
        calibrated: learn temperatures of the probabilities, by another training without some of
            the artists; embeddings are the same.
        progress: show progress bars.

    Returns:
        A trained encoder.

    Raises:
        AudioError: none of the recordings can be used.
        TooFewLabelsError: no tag has two values, and no taste is known.
        EncoderUnavailableError, EncoderError: the encoder below cannot work.

    Examples:
        >>> from embedding import CallableEncoder, FineTunedEncoder, HeadConfig
        >>> from recsys import RecommenderConfig
        >>> below = CallableEncoder(lambda x: x[:, :3], sample_rate=8000, window=1.0)
        >>> tuned = FineTunedEncoder(below, HeadConfig(epochs=2))
        >>> fine_tune_on_catalogue(tuned, dataset, RecommenderConfig())  # it has no recordings
        Traceback (most recent call last):
        datasets.errors.AudioError: the data set has no recordings to train heads on
    """
    from embedding.encoders.input_vectors import embed_each_input
    from embedding.hyperimage.extraction import extract_inputs, none_usable

    if dataset.audio.empty:
        raise AudioError("the data set has no recordings to train heads on")
    settings = encoder.config
    paths, workers = dataset.recording_paths(), config.n_threads
    cache = cache_folder() / "hyperimages"
    if encoder.is_thawed:
        extraction = extract_inputs(
            paths,
            encoder.front_end,
            workers=workers,
            cache=cache,
            progress=progress,
        )
        values, recording, failures = (
            extraction.images,
            extraction.recording,
            extraction.failures,
        )
    else:
        found = embed_each_input(
            paths, encoder.backbone, workers=workers, cache=cache, progress=progress
        )
        values, recording, failures = found.vectors, found.recording, found.failures
    reasons = [failure.message for failure in failures]
    if not len(values):
        raise AudioError(none_usable(reasons))
    several = settings.loss == "binary_cross_entropy"
    labels = {
        tag: dataset.recording_labels(tag).to_numpy()[recording]
        for tag in settings.tags or config.encoder.tags
    }
    labels = {
        tag: of_tag
        for tag, of_tag in labels.items()
        if len(known_values(of_tag, several=several)) > 1
    }
    items = pd.Index(dataset.audio[ITEM_ID].to_numpy()[recording], dtype=object)
    directions = None if taste is None else taste.of(items)
    if directions is not None and np.isnan(directions).all():
        directions = None
    if not labels and directions is None:
        tags = ", ".join(settings.tags or config.encoder.tags)
        raise TooFewLabelsError(
            f"heads need recordings of at least two values of a tag ({tags}), or plays of them; "
            f"the {len(np.unique(recording)):,} usable ones have neither",
            reasons,
        )
    tuned = encoder.untrained(
        tags=tuple(labels),
        seed=(config.seed + settings.seed) % 2**62,
        threads=settings.threads or config.threads or 0,
    )
    artists = dataset.recording_artists().to_numpy()[recording]
    fit = tuned.fit if encoder.is_thawed else tuned.fit_vectors
    return fit(
        values,
        labels or None,
        directions,
        groups=artists,
        recording=recording,
        calibrated=calibrated,
        learned_plays=None if taste is None else taste.learned_plays(),
        progress=progress,
    )
