"""Lists for many users, a batch at a time: what is in memory does not grow with their number."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import StrArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.model.tables import Ids
from recsys.ranking.arguments import texts_of
from recsys.ranking.filters import Filters, make_filters
from recsys.ranking.ranking import rank_users

BATCH = 4096
"""Users ranked at once where nobody says otherwise."""

FALLBACK_USERS = "fallback_users"
"""Attribute of a frame: the users in it of whom nothing is known, who got the popular items."""


class Wishes(TypedDict, total=False):
    """What :meth:`recsys.Recommender.recommend` takes beside the user and k, with its defaults."""

    exclude_seen: bool
    exclude: Iterable[str]
    only: Iterable[str] | None
    where: Where | None
    per_artist: int | None
    diversity: float
    popularity_correction: float


_DEFAULTS: Wishes = {
    "exclude_seen": True, "exclude": (), "only": None, "where": None, "per_artist": None,
    "diversity": 0.0, "popularity_correction": 0.0,
}  # fmt: skip


def filters_of(library: LiveModel, k: int, **wishes: Unpack[Wishes]) -> Filters:
    """The wishes, checked; errors as :func:`recsys.ranking.filters.make_filters`."""
    whole: Wishes = {**_DEFAULTS, **wishes}
    return make_filters(library, k, **whole)


def in_batches(
    library: LiveModel, user_ids: Iterable[str] | None, filters: Filters, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Lists as :func:`lists_of`, one frame for every ``batch_size`` users; None: all users.

    ``user_ids`` is read as far as the batches need it, so that it may be a generator.
    Raises InvalidArgumentError, at once, for a batch size below 1 or a text in place of ids.
    """
    return (
        lists_of(library, users, filters) for users in batches_of(library, user_ids, batch_size)
    )


def batches_of(
    library: LiveModel, user_ids: Iterable[str] | None, batch_size: int
) -> Iterator[StrArray]:
    """The ids, ``batch_size`` at a time; errors as :func:`in_batches`."""
    check_whole("batch_size", batch_size)
    if user_ids is None:
        return _slices(library.users.ids, batch_size)
    if isinstance(user_ids, str) or not isinstance(user_ids, Iterable):
        texts_of("user_ids", user_ids)  # says what is wrong
    return _taken(iter(user_ids), batch_size)


def lists_of(library: LiveModel, users: StrArray, filters: Filters) -> pd.DataFrame:
    """user_id, rank, item_id and score of the lists of some users, in their order.

    Users of whom nothing is known are named in ``attrs["fallback_users"]``.
    """
    hits, personal = rank_users(library, library.users.rows(users.tolist()), filters)
    lengths = np.bincount(hits.query, minlength=len(users))
    first = np.cumsum(lengths) - lengths
    frame = pd.DataFrame(
        {
            USER_ID: users[hits.query],
            RANK: np.arange(1, len(hits.query) + 1) - first[hits.query],
            ITEM_ID: library.items.ids(hits.item),
            SCORE: hits.score,
        }
    )
    if not personal.all():
        frame.attrs[FALLBACK_USERS] = users[~personal].tolist()
    return frame


def many_lists(
    library: LiveModel, user_ids: Iterable[str], filters: Filters, batch_size: int
) -> pd.DataFrame:
    """The batches of :func:`in_batches` as one frame."""
    parts = list(in_batches(library, user_ids, filters, batch_size))
    parts = parts or [lists_of(library, np.empty(0, object), filters)]
    whole = pd.concat(parts, ignore_index=True)
    fallback = [user for part in parts for user in part.attrs.get(FALLBACK_USERS, ())]
    whole.attrs = {FALLBACK_USERS: fallback} if fallback else {}
    return whole


def _slices(ids: Ids, size: int) -> Iterator[StrArray]:
    for start in range(0, len(ids), size):
        yield np.asarray(ids[start : start + size], object)


def _taken(ids: Iterator[str], size: int) -> Iterator[StrArray]:
    while batch := list(islice(ids, size)):
        yield np.array(texts_of("user_ids", batch), object)
