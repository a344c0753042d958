"""Training data of the sources: play counts, item content, and the vectors sources return."""

import hashlib
import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from embedding.encoders.learned_plays import LearnedPlays

logger = logging.getLogger("coldtune")

PLAY_BOUNDS = (1e-30, 1e30)
"""Bounds of a play weight: beyond them, float32 would round it to zero or overflow in a sum."""


MANY_PLAYS = 3_000_000
"""With more (user, item) pairs a fit saves time and memory: the L2 penalty of ALS is not tuned, the
final ALS goes on from the factors of validation, of which there is one set, EASE computes in single
precision, and LightFM, an epoch of which takes some 5 µs a pair, takes no part where other sources
learn from plays."""


def has_many_plays(plays: sp.csr_matrix) -> bool:
    """Return whether a play matrix has more than `MANY_PLAYS` (user, item) pairs."""
    return bool(plays.nnz > MANY_PLAYS)


def warn_of_wild_plays(users: StrArray, items: StrArray, weights: Float64Array) -> None:
    """Log weights of plays beyond `PLAY_BOUNDS`, which count as the nearest bound.

    Args:
        users: user of each play.
        items: item of each play.
        weights: weight of each play, positive.
    """
    least, most = PLAY_BOUNDS
    wild = np.flatnonzero((weights < least) | (weights > most))
    if len(wild):
        first = int(wild[0])
        logger.warning(
            "weight %g of user %r and item %r%s: weights below %g count as that, those above %g "
            "as that",
            weights[first],
            users[first],
            items[first],
            f", and {len(wild) - 1} more" if len(wild) > 1 else "",
            least,
            most,
        )


def play_matrix(played: pd.DataFrame, item_ids: pd.Index) -> tuple[sp.csr_matrix, pd.Index]:
    """Sum up plays by user and item.

    Args:
        played: user_id, item_id and a positive weight; items are all known.
        item_ids: the items, in column order.

    Returns:
        Summed weights, clipped to `PLAY_BOUNDS`, CSR float32 [n_users, n_items]; and the user ids
        in row order.

    Examples:
        >>> played = pd.DataFrame({"user_id": ["u", "v", "u"], "item_id": ["a", "b", "a"],
        ...                        "weight": [1.0, 2.0, 3.0]})
        >>> plays, users = play_matrix(played, pd.Index(["a", "b"]))
        >>> plays.toarray().tolist(), list(users)
        ([[4.0, 0.0], [0.0, 2.0]], ['u', 'v'])
    """
    user_rows, user_ids = pd.factorize(played[USER_ID])
    item_rows = item_ids.get_indexer(pd.Index(played[ITEM_ID], dtype=object))
    plays = sp.csr_matrix(
        (played[WEIGHT].to_numpy(np.float64), (user_rows, item_rows)),
        shape=(len(user_ids), len(item_ids)),
    )
    plays.sum_duplicates()
    plays.data = np.clip(plays.data, *PLAY_BOUNDS).astype(np.float32)
    return plays, pd.Index(user_ids, dtype=object)


@dataclass(frozen=True, repr=False)
class ItemContent:
    """What is known about items apart from who plays them: embeddings and metadata."""

    embeddings: Float32Array
    """Audio embeddings, float32 [n_items, e]; zero rows for items without one."""

    has_embedding: BoolArray
    """Which items have an embedding, bool [n_items]."""

    metadata: sp.csr_matrix
    """Metadata values (artist, genre, ...) as one-hot columns, CSR [n_items, m]."""

    trust: Float32Array | None = None
    """How much of what each embedding predicts is believed, 0 to 1, float32 [n_items]; None for all
    of it. See `recsys.content.familiarity`."""

    def __repr__(self) -> str:
        return f"<ItemContent: {len(self):,} items>"

    def __len__(self) -> int:
        return len(self.has_embedding)

    def take(self, rows: IntArray) -> "ItemContent":
        """Return the content of some items, in the order of `rows`."""
        return ItemContent(
            self.embeddings[rows],
            self.has_embedding[rows],
            self.metadata[rows].tocsr(),
            None if self.trust is None else self.trust[rows],
        )

    def without_embeddings(self) -> "ItemContent":
        """Return the same items as if nobody had heard them."""
        return ItemContent(
            np.zeros_like(self.embeddings), np.zeros_like(self.has_embedding), self.metadata
        )


@dataclass(frozen=True, repr=False)
class TrainingData:
    """What the sources learn from."""

    plays: sp.csr_matrix
    """Summed play weights, CSR float32 [n_users, n_items]."""

    content: ItemContent
    """Content of the n_items items."""

    artists: IntArray
    """Artist code of each item, int [n_items]; items of one artist share a code."""

    seed: int
    """Seed of all random choices."""

    threads: int
    """Threads for training."""

    seen_by_encoder: BoolArray | None = None
    """Items whose plays the encoder of the embeddings has learned from, bool [n_items]: they cannot
    stand for new items in a validation split. None for no item."""

    recorded: BoolArray | None = None
    """Items with a recording, whether it could be embedded or not, bool [n_items], where the
    encoder has learned from plays: a validation split is drawn among them, as it was before that.
    None for those with an embedding."""

    counts_all: bool = False
    """Whether means and deviations are taken over all items and not the warm ones alone: where
    hardly anybody has played anything, the mean of what was played is one user's taste."""

    def __repr__(self) -> str:
        return "<TrainingData: {:,} users, {:,} items>".format(*self.plays.shape)

    @property
    def user_counts(self) -> IntArray:
        """Number of users who have played each item, int [n_items]; 0 for cold items."""
        return np.bincount(self.plays.indices, minlength=self.plays.shape[1])

    @property
    def is_counted(self) -> BoolArray:
        """Items that means and deviations are taken over, bool [n_items]: the warm ones, or all."""
        if self.counts_all:
            return np.ones(self.plays.shape[1], bool)
        return self.user_counts > 0


@dataclass(frozen=True)
class Vectors:
    """A source's vectors of all users and items; a score is their inner product.

    A zero vector means that the source knows nothing about that user or item.
    """

    users: Float32Array
    """float32 [n_users, d]."""

    items: Float32Array
    """float32 [n_items, d]."""


@dataclass(frozen=True, repr=False)
class TasteVectors:
    """Collaborative vectors of songs whose plays a network may learn from.

    Examples:
        >>> taste = TasteVectors(pd.Index(["a", "b"]), np.float32([[1, 0], [0, 1]]))
        >>> taste.of(pd.Index(["b", "c"])).tolist()
        [[0.0, 1.0], [nan, nan]]
    """

    item_ids: pd.Index
    """The songs."""

    vectors: Float32Array
    """Their principal components, rows of length 1, float32 [n, r]."""

    def __repr__(self) -> str:
        return "<TasteVectors: {:,} songs in {} dimensions>".format(*self.vectors.shape)

    def __len__(self) -> int:
        return len(self.item_ids)

    def of(self, item_ids: pd.Index) -> Float32Array:
        """Return the vectors of these songs, float32 [m, r]; rows of NaN where there is none."""
        rows = self.item_ids.get_indexer(item_ids)
        found = self.vectors[rows]
        found[rows < 0] = np.nan
        return found

    def digest(self) -> str:
        """Return the hex SHA-256 of songs and vectors."""
        ids = "\n".join(str(item) for item in self.item_ids)
        content = ids.encode(errors="surrogatepass") + self.vectors.tobytes()
        return hashlib.sha256(content).hexdigest()

    def learned_plays(self) -> LearnedPlays:
        """Return what an encoder that is trained on them has learned the plays of."""
        return LearnedPlays(self.item_ids)


class CSRArrays(NamedTuple):
    """The arrays of a CSR matrix, without SciPy's checks, which take longer than one fold-in.

    Examples:
        >>> plays = CSRArrays(np.float32([1, 5, 2]), np.array([0, 3, 1]), np.array([0, 2, 3]))
        >>> [rows.tolist() for rows in plays.columns()]
        [[0, 3], [1]]
    """

    data: Float32Array
    """Values, row by row."""

    indices: IntArray
    """Column of each value."""

    indptr: IntArray
    """Where each row starts, and where the last one ends."""

    @classmethod
    def from_matrix(cls, matrix: sp.csr_matrix) -> "CSRArrays":
        """Take the arrays of a SciPy matrix."""
        return cls(matrix.data, matrix.indices, matrix.indptr)

    def columns(self) -> list[IntArray]:
        """Return the columns of each row."""
        bounds = self.indptr.tolist()
        return [self.indices[start:stop] for start, stop in pairwise(bounds)]
