"""What is known of the candidate items beside who likes them: listeners, artist, genre, sound."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.columns import GENRE, ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from datasets.tables.checks import no_audio, no_interactions
from evaluation.splitting.split import artist_groups


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Facts about a judge's items (its columns) and users (its rows), from the training side.

    Playing an item means an interaction with a weight above 0.
    """

    listeners: IntArray
    """[n_items]: training users who played the item; 0 for a cold one."""
    n_users_training: int
    """Training users who played anything."""
    artists: IntArray
    """[n_items]: equal for items of one artist; an item without artist stands alone."""
    genres: IntArray
    """[n_items]: position in ``genre_names``, -1 where unknown."""
    genre_names: "pd.Index[str]"
    """Genres as they are spelled first; case and outer spaces aside, each is there once."""
    history: sp.csr_matrix
    """CSR float64 [n_users, n_items]: 1 where the user played the item in training."""
    embeddings: Float32Array | None = None
    """[n_items, d]: unit vectors, zero for an item without an embedding; None without any."""

    @cached_property
    def popularity(self) -> Float64Array:
        """[n_items]: share of the training users who played the item."""
        return self.listeners / max(self.n_users_training, 1)

    @cached_property
    def popularity_rank(self) -> Float64Array:
        """[n_items]: 1 for the most played; items with equally many listeners share their mean."""
        ranks: Float64Array = np.asarray(pd.Series(-self.listeners).rank(), np.float64)
        return ranks

    @cached_property
    def history_popularity(self) -> Float64Array:
        """[n_users]: mean popularity of what the user played; NaN without any."""
        return row_means(self.history, self.popularity)

    @cached_property
    def one_hot_genres(self) -> sp.csr_matrix:
        """CSR float64 [n_items, n_genres]: 1 for the genre of the item, if known."""
        known = np.flatnonzero(self.genres >= 0)
        shape = (len(self.genres), len(self.genre_names))
        return sp.csr_matrix((np.ones(len(known)), (known, self.genres[known])), shape=shape)

    @cached_property
    def history_genres(self) -> sp.csr_matrix:
        """CSR float64 [n_users, n_genres]: share of each genre in what the user played.

        Items of unknown genre are left out; a row is empty where none is known.
        """
        return row_shares(self.history @ self.one_hot_genres)


def item_facts(
    items: "pd.Index[str]",
    training: MusicDataset,
    users: "pd.Index[str]",
    *,
    texts: MusicDataset | None = None,
    embeddings: pd.DataFrame | None = None,
    played: pd.DataFrame | None = None,
) -> ItemFacts:
    """The facts of ``items`` for ``users``, both in the order of a judge.

    texts: where artist and genre of items outside ``training`` are looked up, as cold ones are.
    embeddings: index item_id, one numeric column a dimension; for some or all of the items.
    played: user_id and item_id of what ``training`` has with a weight above 0, where that is at
    hand; else it is looked for.
    Raises :class:`~datasets.errors.EvaluationError` for an item with two embeddings or one that is
    not finite.
    """
    if played is None:
        interactions = training.interactions
        played = interactions.loc[interactions[WEIGHT] > 0, [USER_ID, ITEM_ID]]
    user, user_names = pd.factorize(played[USER_ID])
    code, item_names = pd.factorize(played[ITEM_ID])
    item = items.get_indexer(pd.Index(item_names, dtype=object))[code]
    # Each pair once, by user.
    keys = (user.astype(np.int64) * len(items) + item)[item >= 0]
    keys.sort()
    user, item = np.divmod(keys[np.diff(keys, prepend=-1) > 0], max(len(items), 1))
    row = users.get_indexer(pd.Index(user_names, dtype=object))[user]
    own = row >= 0
    history = sp.csr_matrix(
        (np.ones(np.count_nonzero(own)), (row[own], item[own])), shape=(len(users), len(items))
    )

    tables = [training.items] if texts is None else [training.items, texts.items]
    table = pd.concat(tables, ignore_index=True).drop_duplicates(ITEM_ID, ignore_index=True)
    rows = pd.Index(table[ITEM_ID], dtype=object).get_indexer(items)
    genres, genre_names = _genres(table, rows)
    return ItemFacts(
        listeners=np.bincount(item, minlength=len(items)),
        n_users_training=len(user_names),
        artists=_artists(table, rows),
        genres=genres,
        genre_names=genre_names,
        history=history,
        embeddings=None if embeddings is None else _unit_vectors(embeddings, items),
    )


def row_means(matrix: sp.csr_matrix, values: Float64Array) -> Float64Array:
    """Mean of ``values`` over each row's columns, weighted by the entries; NaN for an empty row."""
    total = matrix @ values
    weight = np.asarray(matrix.sum(axis=1)).ravel()
    return np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)


def row_shares(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Each row divided by its sum; an empty row stays empty."""
    shares = sp.csr_matrix(counts)
    per_row = np.diff(shares.indptr)
    total = np.asarray(shares.sum(axis=1)).ravel()
    shares.data = shares.data / np.repeat(total, per_row)
    return shares


def _artists(table: pd.DataFrame, rows: IntArray) -> IntArray:
    dataset = MusicDataset.from_checked(table, no_audio(), no_interactions(), None)
    codes = pd.factorize(artist_groups(dataset))[0].astype(np.int64)
    # An item of which nothing is known stands alone as well.
    alone = len(table) + np.arange(len(rows))
    return np.where(rows >= 0, np.append(codes, 0)[rows], alone)


def _genres(table: pd.DataFrame, rows: IntArray) -> tuple[IntArray, "pd.Index[str]"]:
    genre = np.append(table[GENRE].str.strip().to_numpy(dtype=object), "")
    spelled = pd.Series(genre[rows], dtype=object)
    folded = spelled.str.casefold()
    codes, _ = pd.factorize(folded.where(folded != "", None))
    first = ~folded.duplicated() & (folded != "")
    return codes.astype(np.int64), pd.Index(spelled[first], dtype=object)


def _unit_vectors(embeddings: pd.DataFrame, items: "pd.Index[str]") -> Float32Array:
    if embeddings.index.has_duplicates:
        twice = embeddings.index[embeddings.index.duplicated()][0]
        raise EvaluationError(f"embeddings: item {twice!r} has more than one row")
    rows = items.get_indexer(pd.Index(embeddings.index, dtype=object))
    values = embeddings.to_numpy(np.float64)[rows >= 0]
    rows = rows[rows >= 0]
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        item = items[rows[int(wrong.argmax())]]
        raise EvaluationError(f"embeddings: item {item!r} has a value that is not finite")
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.zeros((len(items), values.shape[1]), np.float32)
    unit[rows] = values / np.where(length > 0, length, 1.0)
    return unit
