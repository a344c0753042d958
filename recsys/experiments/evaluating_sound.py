"""What an evaluation says of the network itself: its embeddings, their map, genres by ear."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE
from datasets.files import atomic_write, cache_folder
from datasets.music import MusicDataset
from embedding.network.config import EncoderConfig
from evaluation.splitting.split import Split
from recsys.config import RecommenderConfig
from recsys.experiments.embeddings import Ears

if TYPE_CHECKING:
    from evaluation.genre.cross_validation import GenreResult

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
