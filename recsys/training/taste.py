"""Taste as a training target of the network: collaborative vectors of the songs that were played.

Van den Oord, Dieleman and Schrauwen, "Deep content-based music recommendation" (NIPS 2013): a
network that is trained to predict from a recording what factors matrix factorization found for the
song learns of its sound what its listeners care about, where labels such as the genre only tell
shelves apart.

Songs that the recommender's validation split will hold out, to see how well new songs are
recommended, have no part in it: neither is the network trained on their vectors, nor do their plays
shape those of others.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array
from datasets.columns import ITEM_ID, WEIGHT
from datasets.music import MusicDataset
from recsys.config import RecommenderConfig
from recsys.content.features import artist_codes
from recsys.data import ItemContent, TasteVectors, TrainingData, play_matrix
from recsys.sources.als import ALSSource
from recsys.training.validation import draw_held_out

DIMENSION = 16
"""Principal components of the collaborative vectors that are predicted."""

FEWEST_LISTENERS = 5
"""Songs with fewer listeners have vectors that are mostly chance, and are no targets."""


class TasteChoice(NamedTuple):
    """Whether an encoder is to learn taste, and why."""

    vectors: TasteVectors | None
    """The targets; None where it is not."""

    reason: str
    """What decided it, as the end of a sentence."""


def taste_vectors(
    dataset: MusicDataset, config: RecommenderConfig, *, recorded: Collection[str] | None = None
) -> TasteVectors | None:
    """Factorize the plays of a data set into targets for its songs with a recording.

    Args:
        dataset: plays and recordings.
        config: seed, validation split, and the settings of ALS and of taste.
        recorded: ids of the items with a recording; None: those of the data set.

    Returns:
        The targets; None where too few songs with a recording were played, or tags alone are asked
        for.
    """
    return choose_taste(dataset, config, recorded=recorded).vectors


def choose_taste(
    dataset: MusicDataset, config: RecommenderConfig, *, recorded: Collection[str] | None = None
) -> TasteChoice:
    """As `taste_vectors`, and say why there are targets or none.

    Args:
        dataset: as in `taste_vectors`.
        config: as in `taste_vectors`.
        recorded: as in `taste_vectors`.
    """
    if not config.encoder.taste_weight:
        return TasteChoice(None, "its weight, encoder.taste_weight, is 0")
    played = dataset.interactions[dataset.interactions[WEIGHT] > 0]
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    plays, _ = play_matrix(played, item_ids)
    heard = item_ids.isin(dataset.audio[ITEM_ID] if recorded is None else list(recorded))
    artists = artist_codes(dataset.items)
    drawn = draw_held_out(plays, artists, heard, config)
    if drawn is None:
        reason = f"{plays.nnz:,} plays are too few to hold some out for validation"
        return TasteChoice(None, reason)
    entries = plays.tocoo()
    learned = sp.csr_matrix(
        (entries.data[drawn.learned], (entries.row[drawn.learned], entries.col[drawn.learned])),
        shape=plays.shape,
    )
    # Artists are held out as a whole: songs of one artist have much the same listeners.
    is_held_out = np.isin(artists, artists[drawn.cold_items])
    listeners = np.bincount(learned.indices, minlength=learned.shape[1])
    rows = np.flatnonzero(heard & ~is_held_out & (listeners >= FEWEST_LISTENERS))
    enough = config.encoder.taste_songs
    count = f"{len(rows):,} songs with a recording have {FEWEST_LISTENERS} listeners or more"
    if np.any(is_held_out & heard):
        count += ", beside those held out for validation"
    if len(rows) < enough:
        return TasteChoice(None, f"{count}, and {enough:,} are needed")
    content = ItemContent(
        np.zeros((len(item_ids), 0), np.float32),
        np.zeros(len(item_ids), bool),
        sp.csr_matrix((len(item_ids), 0), dtype=np.float32),
    )
    data = TrainingData(learned, content, artists, config.seed, config.n_threads)
    factors = ALSSource(config.als, config.content_map).factors(data).items[rows]
    vectors = TasteVectors(item_ids[rows], _directions(factors.astype(np.float64)))
    return TasteChoice(vectors, f"{count}, and {enough:,} are enough")


def _directions(factors: Float64Array) -> Float32Array:
    """Principal components of factors' directions from their mean, rows of length 1.

    Lengths are how much is known of a song and how popular it is, which is not heard.
    """
    away = _unit(factors - factors.mean(axis=0))
    away -= away.mean(axis=0)
    left, values, _ = np.linalg.svd(away, full_matrices=False)
    return _unit(left[:, :DIMENSION] * values[:DIMENSION]).astype(np.float32)


def _unit(rows: Float64Array) -> Float64Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12))
