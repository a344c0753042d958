"""The fit: from a data set to everything a recommender knows."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import DataError
from datasets.music import MusicDataset
from recsys.audio import DatasetEmbeddings, embed_dataset, train_encoder
from recsys.config import RecommenderConfig
from recsys.content.features import MetadataVocabulary, align_embeddings, artist_codes
from recsys.data import PLAY_BOUNDS, ItemContent, TrainingData, Vectors
from recsys.fusion import fuse_items, fuse_users, make_blocks, user_scales
from recsys.model.artifact import library_versions
from recsys.model.state import FittedState
from recsys.sources.base import Source
from recsys.sources.registry import make_source
from recsys.training.blending import choose_blend
from recsys.training.validation import hold_out, leaves_open, settle

if TYPE_CHECKING:
    from embedding import SongEncoder

logger = logging.getLogger("coldtune")


@dataclass
class StageTimer:
    """Seconds of each stage of the fit, in order; says which one runs where progress is shown."""

    progress: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body under this name."""
        started = time.perf_counter()
        if self.progress:
            from rich.console import Console

            with Console(stderr=True).status(f"{name} ..."):
                yield
        else:
            yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


def learn(
    dataset: MusicDataset,
    config: RecommenderConfig,
    *,
    embeddings: pd.DataFrame | None,
    encoder: "SongEncoder | None",
    progress: bool,
) -> tuple[FittedState, DatasetEmbeddings]:
    """Fit everything; also return what was heard of the recordings.

    embeddings: own ones in place of the network's (index item_id, one column a dimension).
    encoder: a trained network to use in place of training one.
    Raises DataError where there is nothing to learn from.
    """
    timer = StageTimer(progress)
    played = dataset.interactions[dataset.interactions[WEIGHT] > 0]
    if played.empty:
        raise DataError("interactions: nobody has played anything, so there is nothing to learn")

    heard = DatasetEmbeddings.empty()
    if embeddings is None and len(dataset.audio):
        # These two show their own progress bars.
        audio_timer = StageTimer(progress=False, seconds=timer.seconds)
        if encoder is None:
            with audio_timer.stage("hyper-images and network"):
                encoder = train_encoder(
                    dataset, config.network, workers=config.n_threads, progress=progress
                )
        with audio_timer.stage("embeddings"):
            heard = embed_dataset(dataset, encoder, workers=config.n_threads, progress=progress)
        for failure in heard.failures:
            logger.warning("recording left out: %s", failure)
        embeddings = heard.embeddings
    if embeddings is None:
        embeddings = pd.DataFrame()

    with timer.stage("interactions"):
        data, user_ids, vocabulary = _training_data(dataset, played, embeddings, config)
    needs_split = (
        len(config.sources) > 1 and None in (config.fusion.warm, config.fusion.cold)
    ) or leaves_open(config)
    split = hold_out(data, config) if needs_split else None
    settled = config
    if leaves_open(config):
        with timer.stage("settings"):
            settled = settle(split, config)
    with timer.stage("blend weights"):
        blend = choose_blend(split, settled)
    vectors: dict[str, Vectors] = {}
    sources: dict[str, Source] = {}
    for name in config.sources:
        with timer.stage(f"source {name}"):
            sources[name] = make_source(name, settled)
            vectors[name] = sources[name].fit(data)
    with timer.stage("fusion"):
        is_cold = data.listeners == 0
        item_parts = {name: pair.items for name, pair in vectors.items()}
        blocks = make_blocks(item_parts, is_cold, blend.warm, blend.cold)
        user_parts = {name: pair.users for name, pair in vectors.items()}
        user_vectors = fuse_users(blocks, user_parts)
        item_vectors = fuse_items(blocks, item_parts, is_cold)

    info: dict[str, Any] = {
        "dataset": {**dataset.summary(), "digest": dataset.digest()},
        "items": {
            "warm": int((~is_cold).sum()),
            "cold": int(is_cold.sum()),
            "with_embedding": int(data.content.has_embedding.sum()),
        },
        "blend": vars(blend),
        "settings": {"als.regularization": settled.als.regularization}
        if "als" in config.sources
        else {},
        "ridge_strengths": {
            name: float(array["strength"])
            for name, array in ((name, source.arrays()) for name, source in sources.items())
            if "strength" in array and np.isfinite(float(array["strength"]))
        },
        "shrinkage": {
            name: float(arrays["shrinkage"])
            for name, arrays in ((name, source.arrays()) for name, source in sources.items())
            if "shrinkage" in arrays
        },
        "encoder": None if encoder is None else _encoder_info(encoder),
        "recordings_left_out": list(heard.failures),
        "seconds": timer.seconds,
        "libraries": library_versions(),
    }
    state = FittedState(
        config=config,
        items=dataset.items,
        user_ids=user_ids,
        plays=data.plays,
        user_vectors=user_vectors,
        user_scales=user_scales(blocks, user_parts),
        item_vectors=item_vectors,
        embeddings=data.content.embeddings,
        has_embedding=data.content.has_embedding,
        blocks=blocks,
        sources=sources,
        vocabulary=vocabulary,
        encoder=encoder,
        info=info,
    )
    return state, heard


def _training_data(
    dataset: MusicDataset,
    played: pd.DataFrame,
    embeddings: pd.DataFrame,
    config: RecommenderConfig,
) -> tuple[TrainingData, pd.Index, MetadataVocabulary]:
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    user_rows, user_ids = pd.factorize(played[USER_ID])
    item_rows = item_ids.get_indexer(pd.Index(played[ITEM_ID], dtype=object))
    plays = sp.csr_matrix(
        (played[WEIGHT].to_numpy(np.float64), (user_rows, item_rows)),
        shape=(len(user_ids), len(item_ids)),
    )
    plays.sum_duplicates()
    plays.data = np.clip(plays.data, *PLAY_BOUNDS).astype(np.float32)
    vectors, known = align_embeddings(embeddings, item_ids)
    warm = np.bincount(plays.indices, minlength=len(item_ids)) > 0
    vocabulary = MetadataVocabulary.learn(dataset.items, warm)
    data = TrainingData(
        plays=plays,
        content=ItemContent(vectors, known, vocabulary.encode(dataset.items)),
        artists=artist_codes(dataset.items),
        seed=config.seed,
        threads=config.n_threads,
    )
    return data, pd.Index(user_ids, dtype=object), vocabulary


def _encoder_info(encoder: "SongEncoder") -> dict[str, Any]:
    return {
        "digest": encoder.digest(),
        "architecture": encoder.config.architecture,
        "tags": list(encoder.config.tags),
        "classes": encoder.classes_.tolist(),
        "history": encoder.history_,
    }
