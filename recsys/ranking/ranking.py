"""Recommendation lists: profile, candidates, search, rerank, describe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from datasets.columns import ITEM_ID, NEW, RANK, SCORE, SHARE_PREFIX, USER_ID
from datasets.errors import InvalidArgumentError
from datasets.system.blas_threads import one_blas_thread
from datasets.tables.ids import checked_id
from recsys.fusion import Block
from recsys.index.base import Hits, Seen
from recsys.model.live import LiveModel
from recsys.model.users import Profiles
from recsys.new_songs import TYPICAL, NewSongCalibration
from recsys.ranking.budget import LENGTH, Path, Paths, Ranked
from recsys.ranking.new_songs import (
    AdjustedNewSearch,
    NewSearch,
    NewSongs,
    at_level,
    prepared_new_songs,
)
from recsys.ranking.options import ListOptions
from recsys.ranking.places import fill_places, merged
from recsys.ranking.reranking import Search, search_and_rerank
from recsys.ranking.similarity import knows_likeness
from recsys.ranking.variety import varied_order

FALLBACK = "fallback"
"""Attribute of the list of somebody about whom nothing is known: what is in it instead."""

FALLBACK_USERS = "fallback_users"
"""Attribute of a table of lists: the users about whom nothing is known; they get popular items."""

UNMATCHED = "unmatched"
"""Attribute of an empty list: which wanted value no item has, and what may have been meant."""

NEW_PLACES = "new_places"
"""Attribute of lists with fewer or more new songs than were asked for: how many, and why."""

UNMEASURED = "discovery"
"""Attribute of lists whose `discovery` rests on no measurement of the model's own: a sentence."""

_SAMPLE, _SAMPLED_SCORES = 256, 4_000_000
"""Users whose lists say what a budget buys, and scores of theirs that are computed at most."""

_SAMPLED = "sampled"
"""Name of what is prepared of those users when a model is saved."""

_NO_ROWS: IntArray = np.empty(0, np.intp)


class Candidates(NamedTuple):
    """The rows of the items that lists may hold, besides what each user has played."""

    only: IntArray | None
    """Rows to choose from; None for all."""
    exclude: IntArray
    """Rows to leave out."""


class RankedIds:
    """The list of one user as arrays, best item first; see `Recommender.recommend_ids`.

    It can be taken apart: ``ids, scores, shares = ...``.

    Examples:
        >>> ids, scores, shares = found = recommender.recommend_ids("u1", k=3)
        >>> ids.tolist() == recommender.recommend("u1", k=3)["item_id"].tolist()
        True
        >>> scores.shape, shares.shape == (3, len(found.sources)), found.attrs
        ((3,), True, {})
    """

    __slots__ = ("attrs", "ids", "new", "scores", "shares", "sources")

    def __init__(
        self,
        ids: StrArray,
        scores: Float32Array,
        shares: Float64Array,
        sources: tuple[str, ...],
        new: BoolArray,
        attrs: dict[str, Any],
    ) -> None:
        self.ids = ids
        """Ids of the items, object [n]."""
        self.scores = scores
        """Their scores, float32 [n]."""
        self.shares = shares
        """How much of each score each source gave, float64 [n, len(sources)]; rows add to 1. NaN
        where nothing is known of the user."""
        self.sources = sources
        """Names of the sources, in the order of the columns of `shares`."""
        self.new = new
        """Which of the items nobody has played, bool [n]."""
        self.attrs = attrs
        """What the table of `Recommender.recommend` says in its ``attrs``."""

    def __iter__(self) -> Iterator[Any]:
        """Give ids, scores and shares."""
        return iter((self.ids, self.scores, self.shares))

    def __repr__(self) -> str:
        return f"<RankedIds: {len(self.ids):,} items; {', '.join(self.sources)}>"


class UserList(NamedTuple):
    """The list of one user by rows of items: what arrays, table and answers are made of.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> found = user_list(load_model(folder / "model"), "u1", None, ListOptions(k=2))
        >>> len(found.rows), found.shares.sum(axis=1).round(6).tolist()
        (2, [1.0, 1.0])
    """

    rows: IntArray
    """Rows of the items, best first."""
    scores: Float32Array
    shares: Float64Array
    """[n, blocks]; NaN where nothing is known of the user."""
    is_new: BoolArray
    attrs: dict[str, Any]
    """What there is to say of the list, by the name of an attribute."""


def recommend_ids_for_user(
    model: LiveModel,
    user_id: str | None,
    plays: Mapping[str, float] | None,
    options: ListOptions,
) -> RankedIds:
    """Recommend items to one user; see `Recommender.recommend_ids` and `recommend_for_user`.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> sorted(recommend_ids_for_user(model, "u1", None, ListOptions(only=["new-1"])).ids)
        ['new-1']
    """
    found = user_list(model, user_id, plays, options)
    sources = tuple(block.name for block in model.state.blocks)
    ids = model.items.ids(found.rows)
    return RankedIds(ids, found.scores, found.shares, sources, found.is_new, found.attrs)


def recommend_for_user(
    model: LiveModel,
    user_id: str | None,
    plays: Mapping[str, float] | None,
    options: ListOptions,
) -> pd.DataFrame:
    """Recommend items to one user, given by id or by plays; see `Recommender.recommend`.

    Args:
        model: the model.
        user_id: a user, known or not; None with plays.
        plays: plays by item id; None with a user id.
        options: length and options of the list.

    Returns:
        The table that `Recommender.recommend` describes.

    Raises:
        UnknownItemError: an item of the options or of the history is not in the catalogue.
        InvalidArgumentError: options that cannot work, or not exactly one of user id and history.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> options = ListOptions(k=2, only=["new-1", "new-2"])
        >>> sorted(recommend_for_user(model, "u1", None, options)["item_id"])
        ['new-1', 'new-2']
    """
    found = user_list(model, user_id, plays, options)
    names = (SHARE_PREFIX + block.name for block in model.state.blocks)
    shares = dict(zip(names, found.shares.T, strict=True))
    frame = model.items.ranked(found.rows, found.scores, {NEW: found.is_new, **shares})
    frame.attrs.update(found.attrs)
    return frame


def user_list(
    model: LiveModel,
    user_id: str | None,
    plays: Mapping[str, float] | None,
    options: ListOptions,
) -> UserList:
    """Make the list of one user; see `recommend_for_user`."""
    with one_blas_thread:
        return _user_list(model, user_id, plays, options)


def _user_list(
    model: LiveModel,
    user_id: str | None,
    plays: Mapping[str, float] | None,
    options: ListOptions,
) -> UserList:
    candidates = find_candidates(model, options)
    profile = find_profile(model, user_id, plays, with_seen=options.exclude_seen)
    key = None if user_id is None else checked_id("user_id", user_id)
    hits = rank(model, profile, candidates, options, [key])  # search, then rerank
    (user,) = profile.vectors
    attrs: dict[str, Any] = {}
    if user.any():
        shares = source_shares(model.state.blocks, user, model.index.vectors(hits.item))
    else:
        shares = np.full((len(hits.item), len(model.state.blocks)), np.nan)
        attrs[FALLBACK] = "popular" if model.items.has_plays else "varied"
    is_new, ranks = model.items.is_cold(hits.item), np.arange(1, len(hits.item) + 1)
    if options.where and not len(ranks) and (unmatched := model.items.unmatched(options.where)):
        attrs[UNMATCHED] = unmatched
    attrs.update(notes_on_new_songs(model, options, ranks, is_new, 1))
    return UserList(hits.item, hits.score, shares, is_new, attrs)


def recommend_for_users(
    model: LiveModel,
    user_ids: StrArray,
    candidates: Candidates,
    options: ListOptions,
    histories: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Recommend items to several users.

    Args:
        model: the model.
        user_ids: the users, object [n].
        candidates: what lists may hold.
        options: length and options of the lists.
        histories: plays by item of users whom the model may not know, by user id.

    Returns:
        user_id, rank, item_id, score and new, users in the order given. Users about whom nothing
        is known get the popular items and are listed in ``attrs["fallback_users"]``.
    """
    profiles = model.users.profiles_with_plays(
        user_ids.tolist(), histories or {}, with_seen=options.exclude_seen
    )
    hits = rank(model, profiles, candidates, options, user_ids.tolist())
    lengths = np.bincount(hits.query, minlength=len(user_ids))
    first = np.cumsum(lengths) - lengths
    frame = pd.DataFrame(
        {
            USER_ID: user_ids[hits.query],
            RANK: np.arange(1, len(hits.query) + 1) - first[hits.query],
            ITEM_ID: model.items.ids(hits.item),
            SCORE: hits.score,
            NEW: model.items.is_cold(hits.item),
        }
    )
    is_known = profiles.vectors.any(axis=1)
    if not is_known.all():
        frame.attrs[FALLBACK_USERS] = user_ids[~is_known].tolist()
    places = frame[RANK].to_numpy(), frame[NEW].to_numpy()
    frame.attrs.update(notes_on_new_songs(model, options, *places, len(user_ids)))
    return frame


def find_candidates(model: LiveModel, options: ListOptions) -> Candidates:
    """Look up which items lists may hold.

    Raises:
        UnknownItemError: an item that is not in the catalogue.
        InvalidArgumentError: options that cannot work with this model.
    """
    if options.diversity and not knows_likeness(model):
        raise InvalidArgumentError(
            "diversity needs embeddings or a source that knows taste, and this model has neither"
        )
    items = model.items
    only = None if options.only is None else items.rows(options.only)
    if options.where:
        matching = items.rows_where(options.where)
        only = matching if only is None else np.intersect1d(only, matching)
    return Candidates(only, np.unique(items.rows(options.exclude)) if options.exclude else _NO_ROWS)


def find_profile(
    model: LiveModel,
    user_id: str | None,
    plays: Mapping[str, float] | None,
    *,
    with_seen: bool,
) -> Profiles:
    """Look up the profile of a user of the model, or fold in somebody with these plays."""
    if user_id is not None and plays is not None:
        raise InvalidArgumentError("give a user id or a history, not both")
    if plays is not None:
        return model.users.profile_of_plays(plays, with_seen=with_seen)
    if user_id is None:
        raise InvalidArgumentError("give a user id or a history")
    return model.users.profiles([checked_id("user_id", user_id)], with_seen=with_seen)


def rank(
    model: LiveModel,
    profiles: Profiles,
    candidates: Candidates,
    options: ListOptions,
    user_ids: Sequence[str | None],
) -> Hits:
    """Find the items of each profile's list: by its vector, or the most popular without one."""
    is_known = np.asarray(profiles.vectors.any(axis=1))
    parts = []
    for known in (True, False):
        queries = np.flatnonzero(is_known if known else ~is_known)
        if not len(queries):
            continue
        own = profiles if len(queries) == len(is_known) else profiles.take(queries)
        if not known:
            options = replace(options, popularity_correction=0.0)  # nothing to take it off from
        ids = [user_ids[query] for query in queries.tolist()]
        if options.new is not None:
            hits = _with_places(model, own, candidates, options, ids, known=known)
        elif (
            known
            and (calibration := _calibration(model, options)) is not None
            and _compares(model, candidates)
        ):
            hits = _within_budget(model, own, candidates, options, calibration)
        else:
            search = _search(model, own, candidates, known=known)
            if options.reranks:
                hits = search_and_rerank(model, search, len(queries), options)
            else:
                hits = search(np.arange(len(queries)), options.k)
            if known:
                hits = hits._replace(score=at_level(model, hits.item, hits.score))
        parts.append(Hits(queries[hits.query], hits.item, hits.score))
    if len(parts) == 1:
        return parts[0]
    hits = Hits.concatenate(parts)
    order = np.argsort(hits.query, kind="stable")
    return Hits(hits.query[order], hits.item[order], hits.score[order])


def _search(model: LiveModel, profiles: Profiles, candidates: Candidates, *, known: bool) -> Search:
    """The search for the items of lists by plain scores."""
    return (VectorSearch if known else PopularitySearch)(model, profiles, candidates)


def _with_places(
    model: LiveModel,
    profiles: Profiles,
    candidates: Candidates,
    options: ListOptions,
    user_ids: Sequence[str | None],
    *,
    known: bool,
) -> Hits:
    """Make lists with places for new songs."""
    of_new, calibration = _new_places(model, candidates), _calibration(model, options)
    if not known or calibration is None:

        def scores(queries: IntArray, items: IntArray) -> Float32Array:
            vectors = model.index.vectors(items)
            return np.asarray(np.einsum("ij,ij->i", profiles.vectors[queries], vectors))

    else:
        path = _path(model, calibration)
        boost = path.boost(path.point(_budget(model, options)))
        scores = AdjustedNewSearch(model, profiles, of_new, calibration, boost).scores
    if known:
        of_known: Search = KnownSearch(model, profiles, candidates)
    else:
        of_known = PopularitySearch(model, profiles, _known_only(model, candidates))
    return fill_places(
        model,
        of_known,
        NewSearch(model, profiles, of_new, user_ids, max(options.new_places, 1)),
        scores,
        len(user_ids),
        options,
    )


def _within_budget(
    model: LiveModel,
    profiles: Profiles,
    candidates: Candidates,
    options: ListOptions,
    calibration: NewSongCalibration,
) -> Hits:
    """Make lists with as many new songs as the budget for them allows; see `ranking.budget`."""
    of_new = _new_places(model, candidates)
    path, n = _path(model, calibration), len(profiles.vectors)
    k = min(options.k, len(model.items))
    t = path.point(_budget(model, options))
    known = KnownSearch(model, profiles, candidates)
    new = AdjustedNewSearch(model, profiles, of_new, calibration, path.boost(t))
    plain = AdjustedNewSearch(model, profiles, of_new, calibration)
    best_known, best_new = known(np.arange(n), k), plain(np.arange(n), k)
    counts = path.counts(Ranked(_table(best_known, n, k), _table(best_new, n, k)), t, k)
    if model.state.calibration is None:
        # Lists of the configured budget are those of plain scores: others go on from there.
        as_configured = _n_new_by_plain_scores(model, profiles, candidates, options)
        more = _budget(model, options) > model.state.config.fusion.discovery
        counts = (np.maximum if more else np.minimum)(counts, as_configured)
    if options.reranks:
        return fill_places(model, known, new, new.scores, n, options, counts)
    boosted = best_new._replace(score=best_new.score + np.float32(path.boost(t)))
    return merged(_first(boosted, counts), _first(best_known, k - counts), latest=False)


def _n_new_by_plain_scores(
    model: LiveModel, profiles: Profiles, candidates: Candidates, options: ListOptions
) -> IntArray:
    """How many new songs are in each list by plain scores, [users]."""
    n, search = len(profiles.vectors), VectorSearch(model, profiles, candidates)
    if options.reranks:
        found = search_and_rerank(model, search, n, options)
    else:
        found = search(np.arange(n), options.k)
    return np.bincount(found.query[model.items.is_cold(found.item)], minlength=n)


def _path(model: LiveModel, calibration: NewSongCalibration) -> Path:
    """What budgets buy with the new songs that there are.

    The known songs of the sample are those of the fit. Of the new ones, those count that came
    first: the path is the same in every process, and is computed anew once there are a tenth more.
    """
    new = NewSongs.of(model)
    kept: Paths = model.items.cached("what budgets buy", Paths)
    key = calibration, new.digest_of_first
    return kept.of(key, lambda: Path(calibration, _sample(model, calibration)))


def _sample(model: LiveModel, calibration: NewSongCalibration) -> Ranked:
    """The best songs of some users of the fit, the new ones from among the first."""
    new, state = NewSongs.of(model), model.state
    places = new.first
    saved = [model.prepared.get(f"{_SAMPLED}_{name}") for name in ("songs", "known", "new")]
    songs, *scores = [np.empty(0) if one is None else np.asarray(one) for one in saved]
    fits = all(
        one.ndim == 2 and one.dtype == float and len(one) == len(scores[0]) for one in scores
    )
    if fits and np.array_equal(songs, new.rows[places]):
        return Ranked(*scores)
    n_users = len(state.user_vectors)
    size = max(min(n_users, _SAMPLE, _SAMPLED_SCORES // max(len(places), 1)), min(n_users, 64))
    rows = np.linspace(0, n_users - 1, size).astype(np.intp)
    rows = rows[np.asarray(state.user_vectors[rows]).any(axis=1)]
    users = Profiles(np.asarray(state.user_vectors[rows]), None)
    kept: Paths = model.items.cached("what budgets buy", Paths)
    known = kept.known(rows, lambda: _known_of_the_fit(model, rows))
    search = AdjustedNewSearch(model, users, places, calibration, typical=new.typical_of(places))
    of_new = search(np.arange(len(rows)), LENGTH)
    return Ranked(known, _table(of_new, len(rows), LENGTH))


def prepared(model: LiveModel) -> LiveModel:
    """Return a model with what the first lists of a process would compute, to be saved with it.

    That takes seconds where items or new songs are many; where they are few, it is nothing.

    Examples:
        >>> prepared(recommender.live).prepared  # of 30 items
        {}
    """
    arrays = prepared_new_songs(model)
    if arrays and len(model.state.user_vectors):
        new, sample = NewSongs.of(model), _sample(model, model.state.calibration or TYPICAL)
        arrays[f"{_SAMPLED}_songs"] = new.rows[new.first]
        arrays |= {f"{_SAMPLED}_known": sample.known, f"{_SAMPLED}_new": sample.new}
    return model.with_prepared(arrays)


def _known_of_the_fit(model: LiveModel, rows: IntArray) -> Float64Array:
    """The scores of the best known items of users of the fit, as the fit knew both."""
    state = model.state
    plays = state.plays[rows]
    hits = model.index_of_the_fit.search(
        np.asarray(state.user_vectors[rows]),
        LENGTH,
        seen=Seen(plays.indices, plays.indptr),
        banned=np.flatnonzero(state.user_counts == 0),
    )
    return _table(hits, len(rows), LENGTH)


def _table(hits: Hits, n_queries: int, size: int) -> Float64Array:
    """The scores of hits, [n_queries, size], -inf where there are fewer."""
    table = np.full((n_queries, size), -np.inf)
    nth = np.arange(len(hits.query)) - np.searchsorted(hits.query, hits.query)
    table[hits.query, nth] = hits.score
    return table


def _first(hits: Hits, counts: IntArray) -> Hits:
    """The first hits of each query, as many as counted."""
    nth = np.arange(len(hits.query)) - np.searchsorted(hits.query, hits.query)
    keep = nth < counts[hits.query]
    return Hits(hits.query[keep], hits.item[keep], hits.score[keep])


def _calibration(model: LiveModel, options: ListOptions) -> NewSongCalibration | None:
    """What list scores are computed by; None where new songs have plain scores."""
    state = model.state
    as_fitted = options.discovery in (None, state.config.fusion.discovery)
    if state.calibration is not None or as_fitted:
        return state.calibration
    return TYPICAL


def _budget(model: LiveModel, options: ListOptions) -> float:
    fitted = model.state.config.fusion.discovery
    return fitted if options.discovery is None else options.discovery


def _new_places(model: LiveModel, candidates: Candidates) -> IntArray:
    """The new items among candidates, as places in `NewSongs.rows`."""
    new = NewSongs.of(model)
    keep = np.ones(len(new), bool)
    if candidates.only is not None:
        keep = np.isin(new.rows, candidates.only)
    if len(candidates.exclude):
        keep[new.places(candidates.exclude)] = False
    return np.flatnonzero(keep)


def _compares(model: LiveModel, candidates: Candidates) -> bool:
    """Whether known and new items are among the candidates, so that one may displace the other.

    Among new items alone plain scores decide: there is nothing that they could cost.
    """
    n_new = len(_new_places(model, candidates))
    if candidates.only is not None:
        return 0 < n_new < len(np.setdiff1d(candidates.only, candidates.exclude))
    n_left = len(model.items) - len(np.union1d(candidates.exclude, model.items.retired))
    return 0 < n_new < n_left


def _known_only(model: LiveModel, candidates: Candidates) -> Candidates:
    """The candidates without the new items."""
    new = NewSongs.of(model).rows
    if candidates.only is not None:
        return candidates._replace(only=np.setdiff1d(candidates.only, new))
    if not len(candidates.exclude):
        return candidates._replace(exclude=new)
    return candidates._replace(exclude=np.union1d(candidates.exclude, new))


def notes_on_new_songs(
    model: LiveModel, options: ListOptions, ranks: IntArray, is_new: BoolArray, n_lists: int
) -> dict[str, str]:
    """Say where lists have not the new songs that were asked for: attributes of their table.

    Args:
        model: tells whether the costs of discovery were measured.
        options: what was asked for.
        ranks: the ranks of all items of the lists, one list after another, from 1.
        is_new: which of them are new songs.
        n_lists: how many lists they are, empty ones included.
    """
    notes: dict[str, str] = {}
    if options.discovery is not None and model.state.calibration is None:
        notes[UNMEASURED] = (
            "what new songs cost was not measured when this model was fitted; a typical "
            "measurement stands in for it"
        )
    if options.new is None:
        return notes
    wanted, counts = options.new_places, count_new(ranks, is_new, n_lists)
    fewer, more = int((counts < wanted).sum()), int((counts > wanted).sum())
    if n_lists == 1 and fewer:
        known = len(ranks) > counts[0]
        rest = "; known songs take the other places" if known else ""
        notes[NEW_PLACES] = f"{_left(counts[0], 'new')} for {wanted} places{rest}"
    elif n_lists == 1 and more:
        notes[NEW_PLACES] = (
            f"{_left(len(ranks) - counts[0], 'known')} for {options.k - wanted} places; new songs "
            "take the other places"
        )
    elif fewer or more:
        said = ((fewer, "fewer", "new"), (more, "more", "known"))
        notes[NEW_PLACES] = "; ".join(
            f"{number:,} of {n_lists:,} lists have {word} than {wanted} new songs, as too few "
            f"{kind} songs are left"
            for number, word, kind in said
            if number
        )
    return notes


def _left(count: int, kind: str) -> str:
    return f"1 {kind} song is left" if count == 1 else f"{count:,} {kind} songs are left"


def count_new(ranks: IntArray, is_new: BoolArray, n_lists: int) -> IntArray:
    """Count the new songs of each list, [n_lists]; those of empty lists stand last."""
    counts = np.zeros(n_lists, np.intp)
    starts = np.flatnonzero(ranks == 1)
    if len(starts):
        counts[: len(starts)] = np.add.reduceat(is_new.astype(np.intp), starts)
    return counts


def source_shares(blocks: Sequence[Block], user: Float32Array, items: Float32Array) -> Float64Array:
    """Split each score among the sources.

    Only positive contributions count: a block that lowers the score has share 0. If no block raises
    it, the shares are equal.

    Args:
        blocks: the blocks of the fused vectors.
        user: a user's fused vector, float32 [D].
        items: items' fused vectors, float32 [n, D].

    Returns:
        float64 [n, n_blocks]; rows sum to 1.
    """
    parts = np.stack(
        [items[:, block.columns] @ user[block.columns] for block in blocks], axis=1
    ).astype(np.float64)
    positive = np.maximum(parts, 0)
    total = positive.sum(axis=1, keepdims=True)
    return np.divide(positive, total, out=np.full_like(positive, 1 / len(blocks)), where=total > 0)


class VectorSearch:
    """Finds the items with the largest inner product with users' vectors."""

    def __init__(self, model: LiveModel, profiles: Profiles, candidates: Candidates) -> None:
        self._index = model.index
        self._profiles = profiles
        self._only = candidates.only
        self._banned = model.items.retired
        if not len(self._banned):
            self._banned = candidates.exclude
        elif len(candidates.exclude):
            self._banned = np.union1d(candidates.exclude, self._banned)

    def __call__(self, queries: IntArray, size: int) -> Hits:
        """Find the best `size` items for some of the profiles, numbered from 0 in the hits."""
        profiles = self._profiles
        if len(queries) < len(profiles.vectors):  # all of them, mostly: then nothing is copied
            profiles = profiles.take(queries)
        return self._index.search(
            profiles.vectors, size, seen=profiles.seen, banned=self._banned, only=self._only
        )


class KnownSearch:
    """Finds the known items with the largest inner product with users' vectors.

    New items are few among the best: a few more are searched for, and only those users for whom
    that was not enough are searched for again without new items, which an index is slow to skip.
    """

    def __init__(self, model: LiveModel, profiles: Profiles, candidates: Candidates) -> None:
        self._model = model
        self._profiles = profiles
        self._candidates = candidates

    def __call__(self, queries: IntArray, size: int) -> Hits:
        """Find the best `size` items for some of the profiles, numbered from 0 in the hits."""
        if self._candidates.only is not None:
            return self._without_new(queries, size)
        wanted = size + size // 2 + 2
        found = VectorSearch(self._model, self._profiles, self._candidates)(queries, wanted)
        whole = np.bincount(found.query, minlength=len(queries)) == wanted
        is_known = ~self._model.items.is_cold(found.item)
        known = Hits(found.query[is_known], found.item[is_known], found.score[is_known])
        nth = np.arange(len(known.query)) - np.searchsorted(known.query, known.query)
        short = whole & (np.bincount(known.query, minlength=len(queries)) < size)
        keep = (nth < size) & ~short[known.query]
        known = Hits(known.query[keep], known.item[keep], known.score[keep])
        if not short.any():
            return known
        again = np.flatnonzero(short)
        more = self._without_new(queries[again], size)
        hits = Hits.concatenate([known, more._replace(query=again[more.query])])
        order = np.argsort(hits.query, kind="stable")
        return Hits(hits.query[order], hits.item[order], hits.score[order])

    def _without_new(self, queries: IntArray, size: int) -> Hits:
        return VectorSearch(self._model, self._profiles, self._of_known)(queries, size)

    @cached_property
    def _of_known(self) -> Candidates:
        return _known_only(self._model, self._candidates)


class PopularitySearch:
    """Finds the items that most users have played, for users about whom nothing is known.

    Items that nobody has played come last, so that lists are not short while items are left; where
    the fit knows no plays at all, so that these may be all items, in a varied order.
    """

    def __init__(self, model: LiveModel, profiles: Profiles, candidates: Candidates) -> None:
        items = model.items
        self._user_counts = items.user_counts
        self._profiles = profiles
        allowed = np.full(len(items), candidates.only is None)
        if candidates.only is not None:
            allowed[candidates.only] = True
        allowed[candidates.exclude] = False
        allowed[items.retired] = False
        played = items.by_popularity
        unplayed: IntArray = np.flatnonzero(allowed & (items.user_counts == 0))
        if not model.state.plays.nnz:
            unplayed = varied_order(model, unplayed)
        self._order = np.concatenate([played[allowed[played]], unplayed])

    def __call__(self, queries: IntArray, size: int) -> Hits:
        """Find the best `size` items for some of the profiles, numbered from 0 in the hits."""
        lists = [_NO_ROWS]
        for query in queries.tolist():
            seen = _NO_ROWS if self._profiles.seen is None else self._profiles.seen[query]
            best = self._order[: size + len(seen)]
            lists.append(best[~np.isin(best, seen)][:size] if len(seen) else best)
        query = np.repeat(np.arange(len(queries)), [len(best) for best in lists[1:]])
        rows = np.concatenate(lists)
        return Hits(query, rows, self._user_counts[rows].astype(np.float32))
