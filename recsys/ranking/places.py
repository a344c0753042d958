"""Lists with places for new songs: how many, which ones, and where they stand.

The best new songs are chosen first (`recsys.ranking.new_songs`), then the best known ones for the
rest. Both keep their order, and the one with the higher score stands first; but of any first places
of a list at least the share that new songs have in the whole, rounded down, is theirs: the last of
three new songs in a list of ten may stand last, the first one not below the fourth place.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datasets.arrays import Float32Array, IntArray
from recsys.index.base import Hits
from recsys.model.live import LiveModel
from recsys.ranking.new_songs import NewSongs
from recsys.ranking.options import ListOptions
from recsys.ranking.reranking import Search, search_and_rerank

_Scores = Callable[[IntArray, IntArray], Float32Array]
"""From queries and item rows, as many of both, to scores."""


def fill_places(
    model: LiveModel,
    known: Search,
    new: Search,
    scores: _Scores,
    n_queries: int,
    options: ListOptions,
    counts: IntArray | None = None,
) -> Hits:
    """Make lists with places for new songs.

    Where there are too few new songs, known ones take their places, and new songs those of known
    ones; but lists of new songs alone and lists without any stay what they are.

    Args:
        model: tells what items have in common.
        known: finds the best known songs for queries 0 to ``n_queries - 1``.
        new: finds the best new songs.
        scores: the scores that new songs have in the list.
        n_queries: number of lists.
        options: length and order of the lists, and places for new songs.
        counts: the number of places in each list, [n_queries], where `new` leaves it open; then the
            scores alone decide where new songs stand.

    Returns:
        At most k items per query, in the order of the list, by query.
    """
    # New songs are equally popular, and what they are valued by is no score.
    of_new = replace(options, new=None, popularity_correction=0.0)
    of_known = replace(options, new=None)
    places = np.full(n_queries, options.new_places) if counts is None else counts
    n_places = int(places.max(initial=0))
    chosen = Hits.empty()
    if n_places:
        chosen = search_and_rerank(model, new, n_queries, replace(of_new, k=n_places))
        keep = _nth(chosen.query) < places[chosen.query]
        chosen = Hits(chosen.query[keep], chosen.item[keep], chosen.score[keep])
    if options.new == "only":
        return _by_score(model, chosen._replace(score=scores(chosen.query, chosen.item)), options)
    rest = search_and_rerank(model, known, n_queries, of_known, chosen)
    length = np.bincount(chosen.query, minlength=n_queries)
    length += np.bincount(rest.query, minlength=n_queries)
    short = np.flatnonzero(length < options.k)
    if (n_places or options.new is None) and len(short):
        taken = _by_query([chosen, rest])
        keep = np.isin(taken.query, short)
        taken = Hits(np.searchsorted(short, taken.query[keep]), taken.item[keep], taken.score[keep])

        def more_of(queries: IntArray, size: int) -> Hits:
            return new(short[queries], size)

        more = search_and_rerank(model, more_of, len(short), of_new, taken)
        chosen = _by_query([chosen, more._replace(query=short[more.query])])
    chosen = _by_score(model, chosen._replace(score=scores(chosen.query, chosen.item)), options)
    return merged(chosen, rest, latest=counts is None)


def merged(new: Hits, known: Hits, *, latest: bool = True) -> Hits:
    """Merge the new and the known songs of each list; see the module's docstring.

    latest: whether new songs have a latest place.

    Examples:
        >>> new = Hits(np.array([0, 0]), np.array([8, 9]), np.float32([7, 1]))
        >>> known = Hits(np.array([0] * 4), np.array([1, 2, 3, 4]), np.float32([9, 6, 5, 4]))
        >>> merged(new, known).item.tolist()
        [1, 8, 2, 3, 4, 9]
    """
    both = Hits.concatenate([new, known])
    if not len(both.query):
        return both
    is_new = np.arange(len(both.query)) < len(new.query)
    n_queries = int(both.query.max()) + 1
    n_new = np.bincount(new.query, minlength=n_queries)
    n_known = np.bincount(known.query, minlength=n_queries)
    nth = np.concatenate([_nth(new.query), _nth(known.query)])
    # By the lowest score so far, so that both keep their order; a known song first among equals.
    level = np.concatenate([_lowest_so_far(part) for part in (new, known)])
    order = np.lexsort((nth, is_new, -level, both.query))
    place = np.empty(len(order), np.intp)
    place[order] = _nth(both.query[order])
    of_new = place[is_new]
    if latest:  # for the j-th of n new songs among l it is the j·l/n-th, rounded up
        length = (n_new + n_known)[new.query]
        of_new = np.minimum(of_new, -(-(nth[is_new] + 1) * length // n_new[new.query]) - 1)
    # Known songs fill the other places in order.
    start = np.cumsum(n_new + n_known) - (n_new + n_known)
    is_free = np.ones(len(order), bool)
    is_free[start[new.query] + of_new] = False
    at = np.empty(len(order), np.intp)
    at[start[new.query] + of_new] = np.arange(len(new.query))
    at[np.flatnonzero(is_free)] = len(new.query) + np.arange(len(known.query))
    return Hits(both.query[at], both.item[at], both.score[at])


def _by_score(model: LiveModel, hits: Hits, options: ListOptions) -> Hits:
    """Order new songs by the scores that the list shows, unless `diversity` orders them.

    Which ones they are is the exposure rule's choice, and not by these scores alone. A song of
    which nothing is known stays last.
    """
    if options.diversity:
        return hits
    new = NewSongs.of(model)
    untold = np.isin(hits.item, new.rows[new.deviation == 0])
    order = np.lexsort((-hits.score, untold, hits.query))
    return Hits(hits.query[order], hits.item[order], hits.score[order])


def _by_query(parts: list[Hits]) -> Hits:
    hits = Hits.concatenate(parts)
    order = np.argsort(hits.query, kind="stable")
    return Hits(hits.query[order], hits.item[order], hits.score[order])


def _nth(queries: IntArray) -> IntArray:
    """The place of each hit among those of its query, from 0; queries ascend."""
    return np.asarray(np.arange(len(queries)) - np.searchsorted(queries, queries))


def _lowest_so_far(hits: Hits) -> Float32Array:
    """The lowest score among each hit and those before it in its list."""
    level = hits.score.copy()
    bounds = np.flatnonzero(np.diff(hits.query, prepend=-1, append=-1))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        np.minimum.accumulate(hits.score[start:stop], out=level[start:stop])
    return level
