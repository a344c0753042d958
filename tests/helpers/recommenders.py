"""What the tests of the recommender are made of: configurations, contents, training data."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from datasets.arrays import IntArray
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.content.features import MetadataVocabulary, align_embeddings, artist_codes
from recsys.data import ItemContent, TrainingData
from recsys.database.catalog import Catalog
from recsys.model.live import LiveModel

CONFIG = RecommenderConfig(
    threads=1,
    tracking=False,
    sources=("als", "fm", "content"),
    fm={"components": 64, "epochs": 30, "learning_rate": 0.05},
    fusion={"drop_sources": False},
)
"""One thread: LightFM then learns the same every time. Three sources, whatever they add, and few
epochs: quick."""

QUICK = CONFIG.replace(
    als={"factors": 16},
    fm={"components": 16, "epochs": 15},
    fusion={
        "warm": {"als": 0.4, "fm": 0.4, "content": 0.2},
        "cold": {"als": 0.3, "fm": 0.3, "content": 0.4},
    },
)
"""Small, and with weights that need no search."""

COLD = [f"cold-{n}" for n in range(80, 90)]
"""The items of the `tastes` data that nobody has played."""

IDS = [f"item-{n}" for n in range(80)] + COLD
"""All items of the `tastes` data."""

ALL_USERS = [f"user-{n}" for n in range(120)]
"""All users of the `tastes` data."""

COLUMNS = ["rank", "item_id", "score", "title", "artist", "genre", "cold", "new"]
SHARES = ["share_als", "share_fm", "share_content"]
"""Columns of a list for one user, in order."""


def item_content(
    embeddings: ArrayLike | None = None,
    has_embedding: Sequence[bool] | None = None,
    metadata: ArrayLike | None = None,
) -> ItemContent:
    """Content of items from tables with a row each; what is left out has no columns."""
    given = [np.asarray(table) for table in (embeddings, metadata) if table is not None]
    n = len(given[0])
    vectors = np.zeros((n, 0)) if embeddings is None else np.asarray(embeddings)
    if has_embedding is None:
        has_embedding = [embeddings is not None] * n
    table = np.zeros((n, 0)) if metadata is None else np.asarray(metadata)
    return ItemContent(
        vectors.astype(np.float32),
        np.array(has_embedding, bool),
        sp.csr_matrix(table.astype(np.float32)),
    )


def training_data(
    dataset: MusicDataset, embeddings: pd.DataFrame, *, seed: int = 0
) -> TrainingData:
    """The training data of a data set, built from its public parts."""
    ids = pd.Index(dataset.items["item_id"], dtype=object)
    table = dataset.interactions
    user, users = pd.factorize(table["user_id"])
    plays = sp.csr_matrix(
        (table["weight"].to_numpy(np.float32), (user, ids.get_indexer(table["item_id"]))),
        shape=(len(users), len(ids)),
    )
    warm = np.bincount(plays.indices, minlength=len(ids)) > 0
    vocabulary = MetadataVocabulary.learn(dataset.items, warm)
    content = ItemContent(*align_embeddings(embeddings, ids), vocabulary.encode(dataset.items))
    return TrainingData(plays, content, artist_codes(dataset.items), seed=seed, threads=1)


def taste_of(ids: Sequence[str]) -> IntArray:
    """The taste, 0 to 2, of items and users of the `tastes` data: their number modulo three."""
    return np.array([int(name.split("-")[1]) % 3 for name in ids], np.intp)


def dataset_of(rows, items, **texts):
    """A data set of (user, item, weight) rows and item ids."""
    table = pd.DataFrame(
        {"item_id": items, "title": "", "artist": "", "album": "", "genre": ""} | texts
    )
    plays = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    return MusicDataset(items=table, interactions=plays)


def own(base: Recommender) -> Recommender:
    """A recommender with a song database of its own, of the one fit."""
    catalog = Catalog.in_memory()
    catalog.fill(base._model.catalog.songs())
    model = Recommender(base.config)
    model._model = LiveModel(base._model.state, catalog)
    return model
