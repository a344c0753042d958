"""Metrics beside accuracy: how new, how popular, how varied and how fair the lists are.

None of them has a best value: a random list is new and varied, and wrong. Each list metric gives
one value a user, NaN where it is not defined (always so for an empty list); each catalogue metric
one value an item, whose mean is the figure. Only the items that are in a list count, so that a
list of 3 out of 10 is as new as its 3.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.arrays import Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from evaluation.metrics.hits import Hits
from evaluation.metrics.item_facts import ItemFacts, row_shares

ALPHA: Final = 0.01
"""Share of the user's own distribution mixed into the list's before they are compared."""

_CELLS = 4_000_000
"""Cells of a dense intermediate result held at once."""


def novelty(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
    """Mean self-information of the first k places in bits, [n_users].

    -log2 of the share of training users who played the item (Zhou et al., PNAS 2010; Castells et
    al., Recommender Systems Handbook 2015). An item that nobody played would be infinitely new; it
    counts as if one user had.
    """
    listeners = np.maximum(facts.listeners, 1)
    return _mean(_listed(hits, k), -np.log2(listeners / max(facts.n_users_training, 1)))


def popularity_lift(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
    """How much more popular the list is than what the user played, [n_users].

    Mean share of training users who played the list's items, divided by that mean over the user's
    own training items, less 1: 0 where both are alike, 1 where the list is twice as popular, -1
    where nobody played any of it (Abdollahpouri et al., RMSE workshop at RecSys 2019, there of the
    means over a group of users). NaN for a user without training items.
    """
    return _mean(_listed(hits, k), facts.popularity) / facts.history_popularity - 1.0


def artist_diversity(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
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


def embedding_diversity(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
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


def serendipity(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
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


def miscalibration(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
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


def coverage(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
    """1 for an item that is in anybody's list, else 0, [n_items]; the mean is the coverage."""
    return np.minimum(_exposure(hits, k, facts), 1.0)


def gini(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
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


LIST_METRICS: Final[dict[str, Callable[[Hits, int, ItemFacts], Float64Array]]] = {
    "novelty": novelty,
    "popularity_lift": popularity_lift,
    "artist_diversity": artist_diversity,
    "embedding_diversity": embedding_diversity,
    "serendipity": serendipity,
    "miscalibration": miscalibration,
}
"""Metrics with one value a user; ``embedding_diversity`` needs facts with embeddings."""

CATALOGUE_METRICS: Final[dict[str, Callable[[Hits, int, ItemFacts], Float64Array]]] = {
    "coverage": coverage,
    "gini": gini,
}
"""Metrics with one value an item, whose mean is the figure."""


def list_metrics(
    hits: Hits, ks: Iterable[int], facts: ItemFacts
) -> dict[tuple[str, int], Float64Array]:
    """All list metrics at every k, {(name, k): [n_users]}, without what there is no data for."""
    return {
        (name, k): metric(hits, k, facts)
        for k in ks
        for name, metric in LIST_METRICS.items()
        if not (name == "embedding_diversity" and facts.embeddings is None)
    }


def _listed(hits: Hits, k: int) -> IntArray:
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


def _exposure(hits: Hits, k: int, facts: ItemFacts) -> Float64Array:
    """Number of lists every item is in, [n_items]."""
    items = _listed(hits, k)
    counts = np.bincount(items[items >= 0], minlength=len(facts.listeners))
    return counts.astype(np.float64)
