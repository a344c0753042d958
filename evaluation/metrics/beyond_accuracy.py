"""Metrics beside accuracy: novelty, popularity, diversity, serendipity, calibration and coverage.

None of them has a best value: a random list is new and varied, and wrong. A list metric gives one
value per user, NaN where it is not defined (always for an empty list); a catalogue metric gives one
value per item, whose mean is the figure. Only places that have an item count: a list of 3 items is
judged by its 3 items, whatever k is. ``ItemFacts`` holds what the metrics need to know of the
users and items, computed from the training side by ``item_facts``.

The examples below take these ``hits`` and ``facts``: three items, played by 4, 2 and 1 of 4 users,
two rock songs by artist 0 and a jazz song by artist 1; one user, who played the first item, got a
list of the other two, and only the second was relevant.

    Examples:
        >>> hits = HitMatrix(np.array([[False, True]]), n_relevant=np.array([1]),
        ...                  n_listed=np.array([2]), items=np.array([[1, 2]]))
        >>> facts = ItemFacts(
        ...     listeners=np.array([4, 2, 1]), n_users_training=4, artists=np.array([0, 0, 1]),
        ...     genres=np.array([0, 0, 1]), genre_names=pd.Index(["rock", "jazz"]),
        ...     history=sp.csr_matrix([[1.0, 0.0, 0.0]]), embeddings=np.eye(3, dtype=np.float32),
        ... )
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
from datasets.columns import GENRE, ITEM_ID, USER_ID
from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.tables.checks import empty_audio, empty_interactions
from datasets.tables.frames import embedding_frame
from evaluation.metrics.hits import HitMatrix
from evaluation.splitting.interactions import played_pairs
from evaluation.splitting.split import artist_groups

_ALPHA: Final = 0.01
"""Share of the user's own genre distribution mixed into the list's, for ``miscalibration``."""

_CELLS = 4_000_000
"""Cells of a dense intermediate result held at once."""


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """What is known of the items and users of an encoder, from the training side.

    Playing an item means an interaction with a weight above 0.

    Examples:
        >>> items, users = pd.Index(dataset.items["item_id"]), pd.Index(["u0", "u1"])
        >>> facts = item_facts(items, dataset, users)
        >>> facts.popularity[:3].round(2)  # share of the 60 users who play s0, s1, s2
        array([0.27, 0.25, 0.28])
        >>> facts.genre_names.tolist()
        ['rock', 'jazz']
    """

    listeners: IntArray
    """[n_items]: number of training users who played the item; 0 for a cold item."""
    n_users_training: int
    """Number of training users who played anything."""
    artists: IntArray
    """[n_items]: a number per artist; an item without artist has a number of its own."""
    genres: IntArray
    """[n_items]: position in ``genre_names``, -1 where unknown."""
    genre_names: "pd.Index[str]"
    """Genres in their first spelling, distinct without regard to case and outer spaces."""
    history: sp.csr_matrix
    """CSR float64 [n_users, n_items]: 1 where the user played the item in training."""
    embeddings: Float32Array | None = None
    """[n_items, d]: unit vectors, zero for an item without embedding; None: no embeddings."""

    @cached_property
    def popularity(self) -> Float64Array:
        """Share of the training users who played each item, [n_items]."""
        return self.listeners / max(self.n_users_training, 1)

    @cached_property
    def popularity_rank(self) -> Float64Array:
        """Popularity rank of each item, [n_items], from 1; ties share their mean rank."""
        ranks: Float64Array = np.asarray(pd.Series(-self.listeners).rank(), np.float64)
        return ranks

    @cached_property
    def history_popularity(self) -> Float64Array:
        """Mean popularity of what each user played, [n_users]; NaN for a user without plays."""
        return row_means(self.history, self.popularity)

    @cached_property
    def one_hot_genres(self) -> sp.csr_matrix:
        """One-hot genre of each item, CSR float64 [n_items, n_genres]; an empty row if unknown."""
        known = np.flatnonzero(self.genres >= 0)
        shape = (len(self.genres), len(self.genre_names))
        return sp.csr_matrix((np.ones(len(known)), (known, self.genres[known])), shape=shape)

    @cached_property
    def history_genres(self) -> sp.csr_matrix:
        """Share of each genre in what each user played, CSR float64 [n_users, n_genres].

        Items of unknown genre are left out; a row is empty if no genre is known.
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
    """Compute the facts of items and users from the training side.

    Args:
        items: item ids, in the order of an encoder's columns.
        training: the training side.
        users: user ids, in the order of an encoder's rows.
        texts: where artist and genre of items outside ``training`` (cold items) are looked up.
        embeddings: index item_id, one numeric column per dimension; for some or all of the items.
        played: user_id and item_id of the interactions of ``training`` with a weight above 0, if
            already computed.

    Raises:
        EvaluationError: an item has two embeddings, or one that is not finite.

    Examples:
        >>> facts = item_facts(pd.Index(["s0", "new-1"]), dataset, pd.Index(["u0"]))
        >>> facts.listeners.tolist()  # new-1 has not been played
        [16, 0]
    """
    if played is None:
        played = played_pairs(training.interactions)
    user, user_names = pd.factorize(played[USER_ID])
    code, item_names = pd.factorize(played[ITEM_ID])
    item = items.get_indexer(pd.Index(item_names, dtype=object))[code]
    # Keep each pair once, by user.
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
    """Average ``values`` [n_columns] over each row of a sparse matrix, weighted by its entries.

    Returns:
        [n_rows]; NaN for an empty row.

    Examples:
        >>> row_means(sp.csr_matrix([[1.0, 3.0], [0.0, 0.0]]), np.array([2.0, 4.0]))
        array([3.5, nan])
    """
    total = matrix @ values
    weight = np.asarray(matrix.sum(axis=1)).ravel()
    return np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)


def row_shares(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each row of a sparse matrix by its sum; an empty row stays empty.

    Examples:
        >>> row_shares(sp.csr_matrix([[1.0, 3.0], [0.0, 0.0]])).toarray().tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    shares = sp.csr_matrix(counts)
    per_row = np.diff(shares.indptr)
    total = np.asarray(shares.sum(axis=1)).ravel()
    shares.data = shares.data / np.repeat(total, per_row)
    return shares


def _artists(table: pd.DataFrame, rows: IntArray) -> IntArray:
    dataset = MusicDataset.from_checked(table, empty_audio(), empty_interactions(), None)
    codes = pd.factorize(artist_groups(dataset))[0].astype(np.int64)
    # An item that is in no table is an artist of its own as well.
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
    embeddings = embedding_frame(embeddings)
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


def novelty(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute the mean self-information of the list's items, in bits.

    Self-information is -log2 of the share of training users who played the item (Zhou et al., PNAS
    2010; Castells et al., Recommender Systems Handbook 2015). An item without users would have an
    infinite one; it counts as if it had one user.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], 0 or more; NaN for an empty list.

    Examples:
        The list has an item of 2 of 4 users (1 bit) and one of 1 of 4 (2 bits):

        >>> novelty(hits, 2, facts)
        array([1.5])
    """
    listeners = np.maximum(facts.listeners, 1)
    return _mean(_listed(hits, k), -np.log2(listeners / max(facts.n_users_training, 1)))


def popularity_lift(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute how much more popular the list's items are than those that the user played.

    The mean share of training users who played the list's items, divided by that mean over the
    user's own training items, minus 1: 0 if both are alike, 1 if the list is twice as popular, -1
    if none of it was ever played (Abdollahpouri et al., RMSE workshop at RecSys 2019, who divide
    means over a group of users).

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], -1 or more; NaN for an empty list or a user without training items.

    Examples:
        The list's items were played by 2/4 and 1/4 of the users, the user's own item by all:

        >>> popularity_lift(hits, 2, facts)  # 0.375 / 1 - 1
        array([-0.625])
    """
    return _mean(_listed(hits, k), facts.popularity) / facts.history_popularity - 1.0


def artist_diversity(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute the share of the list's pairs of items that are by different artists.

    Intra-list diversity (Ziegler et al., WWW 2005) with a distance of 0 or 1. An item without
    artist is an artist of its own.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], 0 to 1; NaN for lists of fewer than two items.

    Examples:
        The only pair is by artists 0 and 1:

        >>> artist_diversity(hits, 2, facts)
        array([1.])
    """
    items = _listed(hits, k)
    artists = np.append(facts.artists, -1)[items]
    # Each place after the end of a list gets an artist of its own.
    artists = np.where(items >= 0, artists, -1 - np.arange(items.shape[1]))
    artists.sort(axis=1)
    place = np.broadcast_to(np.arange(items.shape[1]), items.shape)
    first = np.ones(items.shape, bool)
    first[:, 1:] = artists[:, 1:] != artists[:, :-1]
    # An item's position in the run of its artist is its number of pairs with the items before it.
    same = (place - np.maximum.accumulate(np.where(first, place, 0), axis=1)).sum(axis=1)
    pairs = _pairs(_length(items))
    return 1.0 - same / np.where(pairs > 0, pairs, np.nan)


def embedding_diversity(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute the mean cosine distance (1 - cosine) between the list's pairs of items.

    Intra-list diversity (Ziegler et al., WWW 2005). Items without an embedding are left out.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], 0 to 2; NaN where fewer than two items have an embedding.

    Raises:
        InvalidArgumentError: ``facts`` has no embeddings.

    Examples:
        The embeddings are orthogonal:

        >>> embedding_diversity(hits, 2, facts)
        array([1.])
    """
    if facts.embeddings is None:
        raise InvalidArgumentError("embedding_diversity needs facts with embeddings")
    lists = _lists(_listed(hits, k), len(facts.listeners))
    # The sum of a list's pairwise cosines follows from the length of the sum of its unit vectors.
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
    """Compute how unexpected the list's hits are, compared with a ranking by popularity.

    The mean over the places of relevance * max(0, p_user - p_any), with p_user = (n + 1 - rank) / n
    of the place and p_any = (n + 1 - rank by popularity) / n of the item, among all n candidates
    (RecTools' definition, after Ge et al., RecSys 2010). A hit on an item of middling popularity
    adds about one half, one on the most popular items next to nothing.

    Unlike in RecTools, items with equally many users share their mean rank (there it is the number
    of distinct counts above theirs, which puts nearly everything at the top), cold items too (there
    p_any is 0), and the sum is divided by the length of the list, not by k.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], 0 to 1; NaN for an empty list.

    Examples:
        The hit at rank 2 is on the third most popular of 3 items: (2/3 - 1/3) over 2 places:

        >>> serendipity(hits, 2, facts).round(3)
        array([0.167])
    """
    items = _listed(hits, k)
    n_items = len(facts.listeners)
    place = np.arange(1, items.shape[1] + 1)
    surprise = np.maximum(np.append(facts.popularity_rank, 0.0)[items] - place, 0.0) / n_items
    length = _length(items)
    gain = (surprise * hits.matrix[:, :k]).sum(axis=1)
    return gain / np.where(length > 0, length, np.nan)


def miscalibration(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute the divergence of the list's genres from those that the user plays, in nats.

    The Kullback-Leibler divergence Σ p(g) ln(p(g) / q̃(g)), with p the genre distribution of the
    user's training items, q that of the list, and q̃ = (1 - α) q + α p, α = 0.01 (Steck, RecSys
    2018). Items of unknown genre are left out.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_users], 0 (alike) to ln(1 / α) = 4.6; NaN where no genre of the list or of the user's
        training items is known.

    Examples:
        The user plays rock only; the list is half rock, half jazz, so q̃(rock) = 0.505:

        >>> miscalibration(hits, 2, facts).round(3)  # ln(1 / 0.505)
        array([0.683])
    """
    items = _listed(hits, k)
    wanted = facts.history_genres
    got = row_shares(_lists(items, len(facts.listeners)) @ facts.one_hot_genres)
    values = np.full(len(items), np.nan)
    step = max(1, _CELLS // max(len(facts.genre_names), 1))
    for start in range(0, len(items), step):
        p = wanted[start : start + step].toarray()
        q = got[start : start + step].toarray()
        smooth = (1 - _ALPHA) * q + _ALPHA * p
        ratio = np.divide(p, smooth, out=np.ones_like(p), where=p > 0)
        defined = p.any(axis=1) & q.any(axis=1)
        divergence = (p * np.log(ratio)).sum(axis=1)
        values[start : start + step] = np.where(defined, divergence, np.nan)
    return values


def coverage(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Mark the items that are in at least one list; the mean is the catalogue coverage.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_items], 0 or 1.

    Examples:
        Of three items the only list has two:

        >>> coverage(hits, 2, facts).tolist()
        [0.0, 1.0, 1.0]
    """
    return np.minimum(_exposure(hits, k, facts), 1.0)


def gini(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Compute each item's part of the Gini coefficient of how often items are recommended.

    The part is (2 rank - n - 1) * share, with rank 1 for the item in the fewest lists and share the
    item's share of all places. The mean over the items is the coefficient
    Σ (2 rank - n - 1) x / (n Σ x): 0 if all items are in equally many lists, (n - 1) / n if all
    places go to one item. Items that are never recommended count too.

    Args:
        hits: lists of at least ``k`` places.
        k: number of places that count.
        facts: facts of the same users and items.

    Returns:
        [n_items]; NaN if nothing is recommended at all.

    Examples:
        Of three items two are recommended once, and one never:

        >>> float(gini(hits, 2, facts).mean().round(3))
        0.333
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
"""Metrics with one value per user; ``embedding_diversity`` needs facts with embeddings."""

CATALOGUE_METRICS: Final[dict[str, Callable[[HitMatrix, int, ItemFacts], Float64Array]]] = {
    "coverage": coverage,
    "gini": gini,
}
"""Metrics with one value per item, whose mean is the figure."""


def list_metrics(
    hits: HitMatrix, ks: Iterable[int], facts: ItemFacts
) -> dict[tuple[str, int], Float64Array]:
    """Compute all ``LIST_METRICS`` at every k.

    Args:
        hits: lists of at least ``max(ks)`` places.
        ks: numbers of places that count.
        facts: facts of the same users and items.

    Returns:
        {(name, k): [n_users]}; without "embedding_diversity" if ``facts`` has no embeddings.

    Examples:
        >>> metrics = list_metrics(hits, [1, 2], facts)
        >>> metrics["novelty", 1], metrics["novelty", 2]
        (array([1.]), array([1.5]))
    """
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
    """Average ``of_item`` [n_items] over each list; NaN for an empty one."""
    length = _length(items)
    total = np.append(of_item, 0.0)[items].sum(axis=1)  # -1 (no item) selects the 0
    return np.asarray(total / np.where(length > 0, length, np.nan))


def _lists(items: IntArray, n_items: int) -> sp.csr_matrix:
    """Return the lists as CSR float64 [n_users, n_items], 1 for a listed item."""
    listed = items >= 0
    ends = np.append(0, np.cumsum(listed.sum(axis=1)))
    columns = items[listed]
    return sp.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(items), n_items))


def _exposure(hits: HitMatrix, k: int, facts: ItemFacts) -> Float64Array:
    """Count the lists that each item is in, [n_items]."""
    items = _listed(hits, k)
    counts = np.bincount(items[items >= 0], minlength=len(facts.listeners))
    return counts.astype(np.float64)
