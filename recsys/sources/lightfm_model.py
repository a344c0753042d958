"""LightFM's own training, and what it does not notice: vectors that have grown out of bounds."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float64Array, IntArray
from datasets.errors import ColdtuneError
from recsys.config import FMConfig
from recsys.sources.base import TrainingData, Vectors

if TYPE_CHECKING:
    from lightfm import LightFM

_MOST_EPOCHS, _LEAST_EPOCHS, _STEPS = 100, 10, 30_000_000

_LARGEST_NORM = 1e3
"""LightFM catches only NaN and infinity; a vector longer than this has diverged as surely."""


def new_model(config: FMConfig, seed: int) -> "LightFM":
    """An untrained LightFM model with these settings."""
    from lightfm import LightFM

    return LightFM(
        no_components=config.components,
        loss=config.loss,
        learning_rate=config.learning_rate,
        item_alpha=config.item_penalty,
        user_alpha=config.user_penalty,
        random_state=seed,
    )


def positives(data: TrainingData, items: IntArray) -> sp.coo_matrix:
    """Who has played which of the items, as ones: COO float32 [n_users, len(items)]."""
    played = data.plays[:, items].tocoo()
    ones = np.ones(played.nnz, np.float32)
    return sp.coo_matrix((ones, (played.row, played.col)), shape=played.shape)


def epochs_of(config: FMConfig, n_plays: int) -> int:
    """Passes over ``n_plays`` interactions: as configured, or by their number."""
    if config.epochs is not None:
        return config.epochs
    return min(_MOST_EPOCHS, max(_LEAST_EPOCHS, _STEPS // max(n_plays, 1)))


def train(
    model: "LightFM",
    played: sp.coo_matrix,
    features: sp.csr_matrix,
    *,
    epochs: int,
    threads: int,
) -> Vectors:
    """Train for some epochs, from where the model stands; the vectors of users and items then.

    played: COO [n_users, n_items]; features: CSR float32 [n_items, n_features].
    Raises ColdtuneError where training diverges.
    """
    try:
        model.fit_partial(played, item_features=features, epochs=epochs, num_threads=threads)
    except ValueError as error:
        raise ColdtuneError(f"the factorization machine could not be trained: {error}") from None
    vectors = vectors_of(model, features)
    longest = float(np.linalg.norm(vectors.items[:, :-1].astype(np.float64), axis=1).max())
    if not longest <= _LARGEST_NORM:  # nor NaN, of infinite features that cancel
        raise ColdtuneError(
            f"the factorization machine diverged (item vectors of length {longest:.3g}): "
            f"lower fm.learning_rate, now {model.learning_rate}"
        )
    return vectors


def vectors_of(model: "LightFM", features: sp.csr_matrix) -> Vectors:
    """A model's scores as inner products: users [p, 1], items [q, bias], float32.

    A user's own bias moves all their items alike and is dropped.
    """
    users = np.ones((len(model.user_embeddings), model.no_components + 1), np.float32)
    users[:, :-1] = model.user_embeddings
    items = np.empty((features.shape[0], model.no_components + 1), np.float32)
    items[:, :-1] = features @ model.item_embeddings
    items[:, -1] = features @ model.item_biases
    return Vectors(users, items)


def feature_vectors(model: "LightFM") -> Float64Array:
    """What each item feature adds to an item's vector [q, bias]: [n_features, components + 1]."""
    return np.hstack([model.item_embeddings, model.item_biases[:, None]]).astype(np.float64)
