"""Metrics beside accuracy: how new, how popular, how varied and how fair the lists are.

None of them has a best value: a random list is new and varied, and wrong. Each list metric gives
one value a user, NaN where it is not defined (always so for an empty list); each catalogue metric
one value an item, whose mean is the figure. Only the items that are in a list count, so that a
list of 3 out of 10 is as new as its 3.

What is known of the candidate items beside who likes them: listeners, artist, genre, sound.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.columns import GENRE, ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.tables.checks import empty_audio, empty_interactions
from evaluation.metrics.hits import HitMatrix
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
    dataset = MusicDataset.from_checked(table, empty_audio(), empty_interactions(), None)
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


ALPHA: Final = 0.01
"""Share of the user's own distribution mixed into the list's before they are compared."""

_CELLS = 4_000_000
"""Cells of a dense intermediate result held at once."""


def novelty(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Mean self-information of the first k places in bits, [n_users].

    -log2 of the share of training users who played the item (Zhou et al., PNAS 2010; Castells et
    al., Recommender Systems Handbook 2015). An item that nobody played would be infinitely new; it
    counts as if one user had.
    """
    listeners = np.maximum(facts.listeners, 1)
    return _mean(_listed(hits, k), -np.log2(listeners / max(facts.n_users_training, 1)))


def popularity_lift(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """How much more popular the list is than what the user played, [n_users].

    Mean share of training users who played the list's items, divided by that mean over the user's
    own training items, less 1: 0 where both are alike, 1 where the list is twice as popular, -1
    where nobody played any of it (Abdollahpouri et al., RMSE workshop at RecSys 2019, there of the
    means over a group of users). NaN for a user without training items.
    """
    return _mean(_listed(hits, k), facts.popularity) / facts.history_popularity - 1.0


def artist_diversity(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Share of the pairs of the list that are by different artists, [n_users].

    Intra-list diversity (Ziegler et al., WWW 2005) with a distance of 0 or 1. An item without
    artist is by an artist of its own. NaN for a list of one.
    """
    items = _listed(hits, k)
    artists = np.append(facts.artists, -1)[items]
    # After the end of a list every place is an artist of its own.
    artists = np.where(items >= 0, artists, -1 - np.arange(items.shape[1]))
    artists.sort(axis=1)
    place = np.broadcast_to(np.arange(items.shape[1]), items.shape)
    first = np.ones(items.shape, bool)
    first[:, 1:] = artists[:, 1:] != artists[:, :-1]
    # An item's place in the run of its artist is the number of pairs it makes with those before.
    same = (place - np.maximum.accumulate(np.where(first, place, 0), axis=1)).sum(axis=1)
    pairs = _pairs(_length(items))
    return 1.0 - same / np.where(pairs > 0, pairs, np.nan)


def embedding_diversity(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Mean cosine distance between the pairs of the list, 0 to 2, [n_users].

    Intra-list diversity (Ziegler et al., WWW 2005). Items without an embedding are left out; NaN
    where fewer than two are left. Raises :class:`~datasets.errors.InvalidArgumentError` if there
    are no embeddings.
    """
    if facts.embeddings is None:
        raise InvalidArgumentError("embedding_diversity needs facts with embeddings")
    lists = _lists(_listed(hits, k), len(facts.listeners))
    # The sum over pairs of a list follows from the length of the sum of its unit vectors.
    norms = np.einsum("id,id->i", facts.embeddings, facts.embeddings, dtype=np.float64)
    total = lists @ norms
    known = lists @ (norms > 0)
    square = np.empty(len(known))
    step = max(1, _CELLS // max(facts.embeddings.shape[1], 1))
    for start in range(0, len(known), step):
        added = lists[start : start + step] @ facts.embeddings
        square[start : start + step] = np.einsum("ud,ud->u", added, added)
    pairs = _pairs(known)
    cosine = (square - total) / 2 / np.where(pairs > 0, pairs, np.nan)
    return np.clip(1.0 - cosine, 0.0, 2.0)


def serendipity(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Hits that popularity would not have placed there, by how far it is from it, [n_users].

    Mean over the places of relevance · max(0, p_user - p_any), with p_user = (n + 1 - rank) / n of
    the place and p_any = (n + 1 - rank by popularity) / n of the item among all n candidates
    (RecTools' definition, after Ge et al., RecSys 2010). A hit on an item in the middle of the
    catalogue adds about one half, one on the charts next to nothing. Unlike RecTools, items with
    equally many listeners share their mean rank (there it is the number of distinct counts above
    theirs, which puts nearly everything at the top), cold ones too (there p_any is 0), and the sum
    is divided by the length of the list and not by k.
    """
    items = _listed(hits, k)
    n_items = len(facts.listeners)
    place = np.arange(1, items.shape[1] + 1)
    surprise = np.maximum(np.append(facts.popularity_rank, 0.0)[items] - place, 0.0) / n_items
    length = _length(items)
    gain = (surprise * hits.matrix[:, :k]).sum(axis=1)
    return gain / np.where(length > 0, length, np.nan)


def miscalibration(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """How far the genres of the list are from those the user plays, in nats, [n_users].

    Kullback-Leibler divergence Σ p(g) ln(p(g) / q̃(g)) with p the genres of the user's training
    items and q̃ = (1 - α) q + α p, q those of the list, α = 0.01 (Steck, RecSys 2018). 0 where both
    are alike, at most ln(1 / α) = 4.6. Items of unknown genre are left out; NaN where none of the
    list or none of the history is known.
    """
    items = _listed(hits, k)
    wanted = facts.history_genres
    got = row_shares(_lists(items, len(facts.listeners)) @ facts.one_hot_genres)
    values = np.full(len(items), np.nan)
    step = max(1, _CELLS // max(len(facts.genre_names), 1))
    for start in range(0, len(items), step):
        p = wanted[start : start + step].toarray()
        q = got[start : start + step].toarray()
        smooth = (1 - ALPHA) * q + ALPHA * p
        ratio = np.divide(p, smooth, out=np.ones_like(p), where=p > 0)
        defined = p.any(axis=1) & q.any(axis=1)
        divergence = (p * np.log(ratio)).sum(axis=1)
        values[start : start + step] = np.where(defined, divergence, np.nan)
    return values


def coverage(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """1 for an item that is in anybody's list, else 0, [n_items]; the mean is the coverage."""
    return np.minimum(_exposure(hits, k, facts), 1.0)


def gini(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """How unequally the places go to the items, [n_items], as parts of the Gini coefficient.

    (2 rank - n - 1) · share of an item, with rank 1 for the item that is in the fewest lists; the
    mean is the coefficient Σ (2 rank - n - 1) x / (n Σ x): 0 where all items are in equally many
    lists, (n - 1) / n where all places go to one. Items never recommended count, as items that
    nobody could find. NaN where nothing is recommended.
    """
    exposure = _exposure(hits, k, facts)
    n = len(exposure)
    total = exposure.sum()
    share = exposure / (total if total > 0 else np.nan)
    rank: Float64Array = np.asarray(pd.Series(exposure).rank(), np.float64)
    parts: Float64Array = (2 * rank - n - 1) * share
    return parts


LIST_METRICS: Final[dict[str, Callable[[HitMatrix, int, ItemFacts], Float64Array]]] = {
    "novelty": novelty,
    "popularity_lift": popularity_lift,
    "artist_diversity": artist_diversity,
    "embedding_diversity": embedding_diversity,
    "serendipity": serendipity,
    "miscalibration": miscalibration,
}
"""Metrics with one value a user; ``embedding_diversity`` needs facts with embeddings."""

CATALOGUE_METRICS: Final[dict[str, Callable[[HitMatrix, int, ItemFacts], Float64Array]]] = {
    "coverage": coverage,
    "gini": gini,
}
"""Metrics with one value an item, whose mean is the figure."""


def list_metrics(
    hits: HitMatrix, ks: Iterable[int], facts: ItemFacts
) -> dict[tuple[str, int], Float64Array]:
    """All list metrics at every k, {(name, k): [n_users]}, without what there is no data for."""
    return {
        (name, k): metric(hits, k, facts)
        for k in ks
        for name, metric in LIST_METRICS.items()
        if not (name == "embedding_diversity" and facts.embeddings is None)
    }


def _listed(hits: HitMatrix, k: int) -> IntArray:
    if not 1 <= k <= hits.items.shape[1]:
        raise InvalidArgumentError(f"k must be 1 to {hits.items.shape[1]}, not {k}")
    return hits.items[:, :k]


def _length(items: IntArray) -> IntArray:
    return np.asarray((items >= 0).sum(axis=1))


def _pairs(length: NDArray[np.generic]) -> Float64Array:
    count = length.astype(np.float64)
    return count * (count - 1) / 2


def _mean(items: IntArray, of_item: Float64Array) -> Float64Array:
    """Mean of ``of_item`` over each list, NaN for an empty one."""
    length = _length(items)
    total = np.append(of_item, 0.0)[items].sum(axis=1)  # -1, after the end, takes the 0
    return np.asarray(total / np.where(length > 0, length, np.nan))


def _lists(items: IntArray, n_items: int) -> sp.csr_matrix:
    """The lists as CSR float64 [n_users, n_items] of ones."""
    listed = items >= 0
    ends = np.append(0, np.cumsum(listed.sum(axis=1)))
    columns = items[listed]
    return sp.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(items), n_items))


def _exposure(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Number of lists every item is in, [n_items]."""
    items = _listed(hits, k)
    counts = np.bincount(items[items >= 0], minlength=len(facts.listeners))
    return counts.astype(np.float64)
