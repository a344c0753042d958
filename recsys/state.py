"""What a fitted recommender knows, and how it is written to and read from a model folder."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import ArtifactError
from recsys.artifact import load_array, save_array
from recsys.config import RecommenderConfig
from recsys.fusion import Block
from recsys.item_content import MetadataVocabulary
from recsys.sources.base import Floats, Source
from recsys.sources.registry import make_source

if TYPE_CHECKING:
    from embedding import SongEncoder


@dataclass(frozen=True)
class FittedState:
    """Everything learned by a fit; nothing in it changes afterwards.

    items: item_id, title, artist, album, genre, tags; one row an item, in the order of all arrays.
    user_ids: in the order of ``user_vectors``.
    plays: CSR float32 [n_users, n_items], summed weights.
    user_vectors, item_vectors: the fused vectors, float32 [n, D].
    embeddings: float32 [n_items, e], zero rows where ``has_embedding`` [n_items] is False.
    info: facts about the fit for people to read: data set, weights, times, recordings left out.
    """

    config: RecommenderConfig
    items: pd.DataFrame
    user_ids: pd.Index
    plays: sp.csr_matrix
    user_vectors: Floats
    item_vectors: Floats
    embeddings: Floats
    has_embedding: NDArray[np.bool_]
    blocks: tuple[Block, ...]
    sources: dict[str, Source]
    vocabulary: MetadataVocabulary
    encoder: "SongEncoder | None"
    info: dict[str, Any]

    @cached_property
    def listeners(self) -> NDArray[np.intp]:
        """How many users played each item in training, int [n_items]."""
        return np.bincount(self.plays.indices, minlength=len(self.items))

    @cached_property
    def item_ids(self) -> pd.Index:
        """Ids in the order of the rows."""
        return pd.Index(self.items[ITEM_ID], dtype=object)

    @cached_property
    def by_popularity(self) -> NDArray[np.intp]:
        """Rows of the warm items, most listeners first; more plays first among equals."""
        plays = np.asarray(self.plays.sum(axis=0)).ravel()
        order = np.lexsort((-plays, -self.listeners))
        warm: NDArray[np.intp] = order[self.listeners[order] > 0]
        return warm

    def write(self, folder: Path) -> None:
        """Write everything but the index and the song database into an empty folder."""
        self.items.to_parquet(folder / "items.parquet", index=False)
        pd.DataFrame({USER_ID: self.user_ids}).to_parquet(folder / "users.parquet", index=False)
        for name in ("user_vectors", "item_vectors", "embeddings", "has_embedding"):
            save_array(folder, name, getattr(self, name))
        for part in ("data", "indices", "indptr"):
            save_array(folder, f"plays_{part}", getattr(self.plays, part))
        for block in self.blocks:
            save_array(folder, f"block_{block.name}_mean", block.mean)
            save_array(folder, f"block_{block.name}_covariance", block.covariance)
        for name, source in self.sources.items():
            for key, array in source.arrays().items():
                save_array(folder, f"source_{name}_{key}", np.asarray(array))
        blocks = [
            {
                "name": block.name, "start": block.columns.start, "stop": block.columns.stop,
                "n_items": block.n_items, "warm": block.warm, "cold": block.cold,
                "arrays": sorted(self.sources[block.name].arrays()),
            }
            for block in self.blocks
        ]  # fmt: skip
        structure = {
            "blocks": blocks,
            "vocabulary": self.vocabulary.values,
            "encoder": self.encoder is not None,
        }
        (folder / "structure.json").write_text(
            json.dumps(structure, ensure_ascii=False), encoding="utf-8"
        )
        if self.encoder is not None:
            self.encoder.save(folder / "encoder")

    @classmethod
    def read(cls, folder: Path, config: RecommenderConfig, info: dict[str, Any]) -> "FittedState":
        """The inverse of :meth:`write`; arrays stay on the disk until they are used.

        Raises ArtifactError where the files do not fit together.
        """
        try:
            return cls._read(folder, config, info)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise ArtifactError(f"{folder}: the model cannot be read: {error}") from error

    @classmethod
    def _read(cls, folder: Path, config: RecommenderConfig, info: dict[str, Any]) -> "FittedState":
        structure = json.loads((folder / "structure.json").read_text(encoding="utf-8"))
        items = pd.read_parquet(folder / "items.parquet").astype(object)
        users = pd.read_parquet(folder / "users.parquet")
        blocks, sources = [], {}
        for stored in structure["blocks"]:
            name = stored["name"]
            blocks.append(
                Block(
                    name,
                    slice(stored["start"], stored["stop"]),
                    load_array(folder, f"block_{name}_mean"),
                    load_array(folder, f"block_{name}_covariance"),
                    stored["n_items"],
                    stored["warm"],
                    stored["cold"],
                )
            )
            arrays = {key: load_array(folder, f"source_{name}_{key}") for key in stored["arrays"]}
            sources[name] = make_source(name, config).restore(arrays)
        plays = sp.csr_matrix(
            tuple(load_array(folder, f"plays_{part}") for part in ("data", "indices", "indptr")),
            shape=(len(users), len(items)),
        )
        encoder = None
        if structure["encoder"]:
            from embedding import SongEncoder

            encoder = SongEncoder.load(folder / "encoder")
        return cls(
            config=config,
            items=items,
            user_ids=pd.Index(users[USER_ID], dtype=object),
            plays=plays,
            user_vectors=load_array(folder, "user_vectors"),
            item_vectors=load_array(folder, "item_vectors"),
            embeddings=load_array(folder, "embeddings"),
            has_embedding=load_array(folder, "has_embedding"),
            blocks=tuple(blocks),
            sources=sources,
            vocabulary=MetadataVocabulary([tuple(pair) for pair in structure["vocabulary"]]),
            encoder=encoder,
            info=info,
        )
