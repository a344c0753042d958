"""The fitted state: everything a fit has learned, and its files in a model folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from datasets.columns import ITEM_ID, ITEM_TEXT, USER_ID
from datasets.errors import ArtifactError
from datasets.linear_algebra import single_precision
from datasets.system.files import UNREADABLE
from recsys.config import RecommenderConfig
from recsys.content.embedding_range import EmbeddingRange
from recsys.content.familiarity import DESCRIPTIONS, Description, Familiarity
from recsys.content.features import MetadataVocabulary
from recsys.content.kernel import standardisation
from recsys.data import CSRArrays, ItemContent
from recsys.fusion import Block, fuse_items, shrink_doubted
from recsys.model.artifact import load_array, save_array
from recsys.model.checks import check_array, check_matrix_parts
from recsys.model.tables import (
    FilledCells,
    HashedIdIndex,
    Ids,
    TextColumn,
    read_string_table,
    sorted_hashes,
    write_string_table,
)
from recsys.new_songs import NewSongCalibration
from recsys.sources.base import Source
from recsys.sources.fold_in import Gram
from recsys.sources.registry import make_source

if TYPE_CHECKING:
    from embedding.encoders.protocol import Encoder

_ID_OF = {"items": ITEM_ID, "users": USER_ID}
"""The tables of a model, and the columns with the ids of their rows."""


_LARGEST = 1e15
"""Of a number in a predicted vector: products of larger ones leave single precision."""

_MOST_USERS, _USERS_AT_ONCE = 100_000, 8192
"""Users whose mean and covariance are taken, and how many are read at once."""

_LARGE = 1_000_000
"""Plays from which on what follows from the arrays of a model is saved with it: then processes that
serve it share it, and the first play that one takes in does not wait for it."""

EMBEDDING_LENGTHS = "embedding_lengths"
"""Name of the lengths of embeddings among the facts about a fit."""

NEW_SONGS = "new_songs"
"""Name, among the facts about a fit, of the calibration of new songs' scores."""

YOUNG = "young"
"""Name, among the facts about a rebuilt model, of the rows of items that were new at the fit and
have few users yet."""

SOURCES_LEFT_OUT = "sources_left_out"
"""Name, among the facts about a fit, of the sentence about sources that plays were too few for."""


@dataclass(frozen=True, repr=False)
class FittedState:
    """Everything learned by a fit. Immutable.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> state = load_model(folder / "model").state
        >>> state.plays.shape == (len(state.user_ids), len(state.items))
        True
        >>> state.user_vectors.shape[1] == state.item_vectors.shape[1]
        True
    """

    config: RecommenderConfig
    """Settings of the fit."""

    items: pd.DataFrame
    """item_id, title, artist, album, genre, tags; one row an item, in the order of all arrays. The
    table of a loaded model stays on the disk: take rows of a column by ``iloc``."""

    user_ids: Ids
    """User ids in the order of `user_vectors`."""

    plays: sp.csr_matrix
    """Summed play weights, CSR float32 [n_users, n_items]."""

    user_vectors: Float32Array
    """Fused user vectors, float32 [n_users, D]."""

    user_scales: Float32Array
    """What fusion divided each user's block by, float32 [n_users, n_blocks]: multiplied by it, a
    block of `user_vectors` is the source's own vector. 0 where the block is zero."""

    item_vectors: Float32Array
    """Fused item vectors, float32 [n_items, D]."""

    embeddings: Float32Array
    """Item embeddings, float32 [n_items, e]; zero rows where there is none."""

    has_embedding: BoolArray
    """Which items have an embedding, bool [n_items]."""

    blocks: tuple[Block, ...]
    """Where each source stands in the fused vectors, and its weights."""

    sources: dict[str, Source]
    """The fitted sources by name."""

    vocabulary: MetadataVocabulary
    """The metadata values that the sources know."""

    encoder: "Encoder | None"
    """What embeds recordings: a network, or statistics of sound; None if the fit had none."""

    info: dict[str, Any]
    """Facts about the fit: data set, weights, times, recordings left out."""

    item_lookup: Ids | None = None
    """The index of the item ids, if there is one already."""

    familiarity: Mapping[Description, Familiarity] = field(default_factory=dict)
    """Tells how familiar recordings sound, by what is known of their sound; empty where that could
    not be learned, and in models of earlier versions."""

    item_familiarity: Float32Array | None = None
    """How familiar each item sounds without its artist's other songs, float32 [n_items], NaN where
    it is not known; None in models of earlier versions."""

    def __repr__(self) -> str:
        sources = ", ".join(block.name for block in self.blocks)
        return f"<FittedState: {len(self.user_ids):,} users, {len(self.items):,} items; {sources}>"

    @cached_property
    def user_counts(self) -> IntArray:
        """How many users have played each item in training, int [n_items]."""
        return np.bincount(self.plays.indices, minlength=len(self.items))

    @cached_property
    def embedding_range(self) -> EmbeddingRange:
        """The lengths of the embeddings of the fit, by which others are judged.

        What is onboarded and merged by `rebuild` does not change them.
        """
        stored = self.info.get(EMBEDDING_LENGTHS)
        if stored is not None:
            return EmbeddingRange.from_json(stored)
        # A model of an earlier version: wild ones may be among them, and do not count.
        return EmbeddingRange.learn(np.asarray(self.embeddings)[self.has_embedding])

    @cached_property
    def young(self) -> frozenset[int]:
        """Rows of items that were new at the fit and have few users yet, after a rebuild."""
        return frozenset(int(row) for row in self.info.get(YOUNG, ()))

    @cached_property
    def calibration(self) -> NewSongCalibration | None:
        """How new songs' scores compare with those of known ones; None where it is not known."""
        stored = self.info.get(NEW_SONGS)
        return None if stored is None else NewSongCalibration.from_json(stored)

    @cached_property
    def user_moments(self) -> tuple[Float64Array, Float64Array]:
        """Mean [D] and covariance [D, D] of the fused vectors of the users of the fit.

        Of more than `_MOST_USERS` users, as many are taken, spread evenly.
        """
        n, width = self.user_vectors.shape
        rows = np.linspace(0, n - 1, min(n, _MOST_USERS)).astype(np.intp)
        total, squares = np.zeros(width), np.zeros((width, width))
        for start in range(0, len(rows), _USERS_AT_ONCE):
            users = np.asarray(self.user_vectors[rows[start : start + _USERS_AT_ONCE]], np.float64)
            total += users.sum(axis=0)
            squares += users.T @ users
        mean = total / max(len(rows), 1)
        return mean, squares / max(len(rows), 1) - np.outer(mean, mean)

    @cached_property
    def item_ids(self) -> Ids:
        """Item ids in the order of the rows."""
        return (
            self.item_lookup
            if self.item_lookup is not None
            else pd.Index(self.items[ITEM_ID], dtype=object)
        )

    @cached_property
    def text_columns(self) -> dict[str, TextColumn]:
        """The columns of `items`, by name."""
        return {str(name): TextColumn(self.items[name]) for name in self.items.columns}

    @cached_property
    def tags(self) -> FilledCells:
        """Which tags each item has."""
        return FilledCells(self.items[list(self.tag_places)])

    @cached_property
    def tag_places(self) -> dict[str, int]:
        """The tags in the order of their columns, and the number of each."""
        names = [name for name in self.items.columns if name not in (ITEM_ID, *ITEM_TEXT)]
        return {str(name): place for place, name in enumerate(names)}

    @cached_property
    def _sound_standardisation(self) -> tuple[Float64Array, Float64Array]:
        """Mean of the embeddings of the fit, and 1 / their deviation, float64 [e]."""
        return standardisation(np.asarray(self.embeddings)[self.has_embedding])

    def standardised(self, embeddings: Float32Array) -> Float32Array:
        """Standardise embeddings [n, e] by those of the fit; what does not vary there is 0."""
        center, inverse_scale = self._sound_standardisation
        # In double precision, or embeddings that are all alike would differ by what rounding left.
        return single_precision((embeddings.astype(np.float64) - center) * inverse_scale)

    @cached_property
    def by_popularity(self) -> IntArray:
        """Rows of the warm items, most users first; among equals, most plays first."""
        plays = np.asarray(self.plays.sum(axis=0)).ravel()
        order = np.lexsort((-plays, -self.user_counts))
        warm: IntArray = order[self.user_counts[order] > 0]
        return warm

    @cached_property
    def plays_by_item(self) -> CSRArrays:
        """Who has played each item in training: `plays`, transposed; rows of users ascend."""
        return CSRArrays.from_matrix(self.plays.T.tocsr())

    @cached_property
    def item_grams(self) -> dict[str, Gram]:
        """VᵀV of the warm items' vectors, [d, d], for each source."""
        return {block.name: Gram(block.gram) for block in self.blocks}

    @cached_property
    def user_grams(self) -> dict[str, Float64Array]:
        """PᵀP of the sources' own vectors of all users of the fit, float64 [d, d] each."""
        grams = {}
        for number, block in enumerate(self.blocks):
            width = block.columns.stop - block.columns.start
            gram = np.zeros((width, width))
            for start in range(0, len(self.user_vectors), _USERS_AT_ONCE):
                own = self.source_vectors(slice(start, start + _USERS_AT_ONCE), number)
                double = own.astype(np.float64)
                gram += double.T @ double
            grams[block.name] = gram
        return grams

    def source_vectors(self, rows: IntArray | slice, number: int) -> Float32Array:
        """Return users' vectors as a source made them, float32 [n, d].

        Args:
            rows: rows of the users.
            number: the place of the source's block among the blocks.
        """
        columns = self.blocks[number].columns
        scales = np.asarray(self.user_scales[rows, number])
        return np.asarray(self.user_vectors[rows, columns]) * scales[:, None]

    def fuse_content(self, content: ItemContent) -> Float32Array:
        """Compute fused vectors [n, D] of items that nobody has played, from their content."""
        vectors = self.predict_vectors(content)
        return fuse_items(self.blocks, vectors, np.ones(len(content), bool))

    def familiarity_of(
        self, embedding: Float32Array, statistics: Float32Array | None = None
    ) -> float | None:
        """Return how familiar a sound is, 0 to 1; None where that is not known.

        Args:
            embedding: float32 [e].
            statistics: those of its hyper-images, if it was heard, float32 [s].
        """
        known = self.familiarity
        if statistics is not None and "sound" in known:
            return float(known["sound"].of(statistics[None])[0])
        return float(known["embedding"].of(embedding[None])[0]) if "embedding" in known else None

    def predict_vectors(self, content: ItemContent) -> dict[str, Float32Array]:
        """Compute each source's vectors [n, d] of items from their content.

        Those of items whose embeddings are not fully believed (`ItemContent.trust`) are shrunk.
        """
        return predict_vectors(self.sources, self.blocks, content)

    def write(self, folder: Path) -> None:
        """Write everything but the index and the song database into an empty folder."""
        users = pd.DataFrame({USER_ID: list(self.user_ids)}, dtype=object)
        for name, table in (("items", self.items), ("users", users)):
            write_string_table(folder / f"{name}.arrow", table)
            hashes, rows = sorted_hashes(table[_ID_OF[name]])
            save_array(folder, f"{name}_hashes", hashes)
            save_array(folder, f"{name}_rows", rows)
        for name in ("user_vectors", "user_scales", "item_vectors", "embeddings", "has_embedding"):
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
        familiar = {
            f"{kind}_{key}": array
            for kind, one in self.familiarity.items()
            for key, array in one.arrays().items()
        }
        if self.item_familiarity is not None:
            familiar["of_items"] = self.item_familiarity
        for key, array in familiar.items():
            save_array(folder, f"familiarity_{key}", np.asarray(array))
        is_large = self.plays.nnz >= _LARGE
        if is_large:
            for name, array in self._derived().items():
                save_array(folder, f"derived_{name}", array)
        structure = {
            "blocks": blocks,
            "derived": is_large,
            "vocabulary": self.vocabulary.values,
            "encoder": self.encoder is not None,
            "familiarity": sorted(familiar),
        }
        (folder / "structure.json").write_text(
            json.dumps(structure, ensure_ascii=False), encoding="utf-8"
        )
        if self.encoder is not None:
            self.encoder.save(folder / "encoder")

    def _derived(self) -> dict[str, NDArray[Any]]:
        """What follows from the other arrays, and takes seconds where plays are many."""
        by_item = self.plays_by_item._asdict()
        mean, covariance = self.user_moments
        return {
            **{f"plays_by_item_{part}": array for part, array in by_item.items()},
            **{f"user_gram_{name}": gram for name, gram in self.user_grams.items()},
            "user_mean": mean,
            "user_covariance": covariance,
        }

    def _read_derived(self, folder: Path) -> None:
        """Take what `_derived` returned from the files, if it is there.

        The values go where the properties keep theirs: `dataclasses.replace` does not copy them.

        Raises:
            ValueError: the arrays do not fit the others.
        """
        if not json.loads((folder / "structure.json").read_text(encoding="utf-8")).get("derived"):
            return
        by_item = CSRArrays(
            *(load_array(folder, f"derived_plays_by_item_{part}") for part in CSRArrays._fields)
        )
        shape = len(self.items), len(self.user_ids)
        check_matrix_parts("plays by item", *by_item, shape)
        if len(by_item.data) != self.plays.nnz:
            raise ValueError("the plays by item are not those by user")
        grams = {
            block.name: load_array(folder, f"derived_user_gram_{block.name}")
            for block in self.blocks
        }
        for block in self.blocks:
            width = block.columns.stop - block.columns.start
            check_array(f"user_gram_{block.name}", grams[block.name], "f", width, width)
        width = self.user_vectors.shape[1]
        mean, covariance = (load_array(folder, f"derived_user_{n}") for n in ("mean", "covariance"))
        check_array("user_mean", mean, "f", width)
        check_array("user_covariance", covariance, "f", width, width)
        vars(self).update(
            plays_by_item=by_item,
            user_counts=np.diff(by_item.indptr).astype(np.intp),
            user_grams=grams,
            user_moments=(mean, covariance),
        )

    @classmethod
    def read(
        cls, folder: Path, config: RecommenderConfig, info: dict[str, Any], version: int
    ) -> "FittedState":
        """Read what `write` wrote; arrays and texts stay on the disk until they are used.

        Args:
            folder: the files.
            config: the settings of the fit.
            info: facts about the fit.
            version: format version of the files.

        Raises:
            ArtifactError: the files do not fit together.
        """
        try:
            state = cls._read(folder, config, info, version)
            _check_state(state)
            state._read_derived(folder)
        except UNREADABLE as error:
            reason = str(error) or type(error).__name__
            raise ArtifactError(f"{folder}: the model cannot be read: {reason}") from error
        return state

    @classmethod
    def _read(
        cls, folder: Path, config: RecommenderConfig, info: dict[str, Any], version: int
    ) -> "FittedState":
        structure = json.loads((folder / "structure.json").read_text(encoding="utf-8"))
        (items, item_ids), (users, user_ids) = (
            _read_table(folder, name, version) for name in ("items", "users")
        )
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
        data, indices, indptr = (
            load_array(folder, f"plays_{part}") for part in ("data", "indices", "indptr")
        )
        shape = len(users), len(items)
        check_matrix_parts("plays", data, indices, indptr, shape)
        plays = sp.csr_matrix((data, indices, indptr), shape=shape)
        encoder = None
        if structure["encoder"]:
            from embedding.encoders.loading import load_encoder

            encoder = load_encoder(folder / "encoder")
        familiar = {
            key: load_array(folder, f"familiarity_{key}")
            for key in structure.get("familiarity", ())
        }
        of_items = familiar.pop("of_items", None)
        if info.get(EMBEDDING_LENGTHS) is not None:
            EmbeddingRange.from_json(info[EMBEDDING_LENGTHS])  # raises for what is none
        if info.get(NEW_SONGS) is not None:
            NewSongCalibration.from_json(info[NEW_SONGS])
        if not all(isinstance(row, int) for row in info.get(YOUNG, ())):
            raise ValueError("the rows of items that were new at the fit are no whole numbers")
        return cls(
            config=config,
            items=items,
            user_ids=user_ids,
            item_lookup=item_ids,
            plays=plays,
            user_vectors=load_array(folder, "user_vectors"),
            # Format 1 did not store them: each source's deviation counts as equal for all users.
            user_scales=(
                np.ones((len(users), len(blocks)), np.float32)
                if version < 2
                else load_array(folder, "user_scales")
            ),
            item_vectors=load_array(folder, "item_vectors"),
            embeddings=load_array(folder, "embeddings"),
            has_embedding=load_array(folder, "has_embedding"),
            blocks=tuple(blocks),
            sources=sources,
            vocabulary=MetadataVocabulary(_pairs_of_texts(structure["vocabulary"])),
            encoder=encoder,
            info=info,
            familiarity=_familiarity_from(familiar),
            item_familiarity=of_items,
        )


def _familiarity_from(arrays: Mapping[str, NDArray[Any]]) -> dict[Description, Familiarity]:
    """What `FittedState.write` has written of familiarity."""
    found: dict[Description, Familiarity] = {}
    for kind in DESCRIPTIONS:
        start = f"{kind}_"
        own = {k.removeprefix(start): array for k, array in arrays.items() if k.startswith(start)}
        if own:
            found[kind] = Familiarity.from_arrays(own)
    return found


def predict_vectors(
    sources: Mapping[str, Source], blocks: Sequence[Block], content: ItemContent
) -> dict[str, Float32Array]:
    """Compute each source's vectors [n, d] of items from content; see `FittedState`."""
    vectors = {name: source.item_vectors(content) for name, source in sources.items()}
    if content.trust is None:
        return vectors
    rows = np.flatnonzero(content.has_embedding & (content.trust < 1))
    if not len(rows):
        return vectors
    bare = content.take(rows).without_embeddings()
    unheard = {name: source.item_vectors(bare) for name, source in sources.items()}
    return shrink_doubted(blocks, vectors, unheard, rows, content.trust[rows])


def _pairs_of_texts(stored: Any) -> list[tuple[str, str]]:
    pairs = [(field, value) for field, value in stored]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise ValueError("the vocabulary has values that are no texts")
    return pairs


def _read_table(folder: Path, name: str, version: int) -> tuple[pd.DataFrame, Ids]:
    """The table of items or of users, and the index of their ids."""
    if version < 2:
        table = pd.read_parquet(folder / f"{name}.parquet").astype(object)
        return table, pd.Index(table[_ID_OF[name]], dtype=object)
    table = read_string_table(folder / f"{name}.arrow")
    hashes, rows = load_array(folder, f"{name}_hashes"), load_array(folder, f"{name}_rows")
    return table, HashedIdIndex(table[_ID_OF[name]], hashes, rows)


def _check_state(state: FittedState) -> None:
    """Check that shapes, types and indices of a state fit together.

    Raises:
        ValueError: names the array that does not.
    """
    n_users, n_items = len(state.user_ids), len(state.items)
    width = sum(block.columns.stop - block.columns.start for block in state.blocks)
    check_array("user_vectors", state.user_vectors, "f4", n_users, width)
    check_array("item_vectors", state.item_vectors, "f4", n_items, width)
    check_array("user_scales", state.user_scales, "f4", n_users, len(state.blocks))
    check_array("embeddings", state.embeddings, "f4", n_items, -1)
    check_array("has_embedding", state.has_embedding, "b", n_items)
    if state.item_familiarity is not None:
        check_array("familiarity of items", state.item_familiarity, "f4", n_items)
    told = state.familiarity.get("embedding")
    if told is not None and len(told.center) != state.embeddings.shape[1]:
        raise ValueError("what familiarity is told by does not fit the embeddings")
    start = 0
    for block in state.blocks:
        if block.columns.start != start or block.columns.stop < start:
            raise ValueError("the blocks of the sources do not follow one another")
        start, size = block.columns.stop, block.columns.stop - start
        check_array(f"block_{block.name}_mean", block.mean, "f", size)
        check_array(f"block_{block.name}_covariance", block.covariance, "f", size, size)
        whole = (block.columns.start, block.columns.stop, block.n_items)
        weights = (block.warm, block.cold)
        if not all(type(one) is int for one in whole) or not all(
            type(one) in (int, float) for one in weights
        ):
            raise ValueError(f"block {block.name!r} has something else in the place of a number")
        numbers = (block.warm, block.cold, block.n_items, block.mean, block.covariance)
        if not all(np.isfinite(number).all() for number in numbers):
            raise ValueError(f"block {block.name!r} is not finite")
        _check_source(state, block.name, size)


def _check_source(state: FittedState, name: str, size: int) -> None:
    """Let a source predict the vectors of an item with and of one without an embedding."""
    content = ItemContent(
        np.zeros((2, state.embeddings.shape[1]), np.float32),
        np.array([True, False]),
        sp.csr_matrix((2, len(state.vocabulary.values)), dtype=np.float32),
    )
    vectors = state.sources[name].item_vectors(content)
    check_array(f"vectors of source {name!r}", vectors, "f", 2, size)
    if not np.isfinite(vectors).all():
        raise ValueError(f"source {name!r} predicts vectors that are not finite")
    if np.abs(vectors).max(initial=0) > _LARGEST:
        raise ValueError(f"source {name!r} predicts vectors whose products are not finite")
