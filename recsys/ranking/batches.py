"""Lists for many users, a batch at a time: memory does not grow with the number of users."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import StrArray
from datasets.columns import NEW, RANK
from datasets.tables.ids import checked_ids, each_id
from recsys.model.live import LiveModel
from recsys.model.tables import Ids
from recsys.ranking.options import History, ListOptions, history_plays
from recsys.ranking.ranking import (
    FALLBACK_USERS,
    find_candidates,
    notes_on_new_songs,
    recommend_for_users,
)

BATCH = 4096
"""Users ranked at once unless another number is asked for."""


def recommend_many(
    model: LiveModel,
    user_ids: Iterable[str],
    options: ListOptions,
    batch_size: int,
    histories: Mapping[str, History] | None = None,
) -> pd.DataFrame:
    """Recommend items to many users, as one table; see `Recommender.recommend_many`."""
    candidates = find_candidates(model, options)
    ids = np.array(checked_ids("user_ids", user_ids), object)
    plays = {user: history_plays(history) for user, history in (histories or {}).items()}
    parts = []
    for start in range(0, max(len(ids), 1), batch_size):  # one empty batch without any user
        users = ids[start : start + batch_size]
        parts.append(recommend_for_users(model, users, candidates, options, plays))
    whole = pd.concat(parts, ignore_index=True)
    fallback = [user for part in parts for user in part.attrs.get(FALLBACK_USERS, ())]
    places = whole[RANK].to_numpy(), whole[NEW].to_numpy()
    notes = notes_on_new_songs(model, options, *places, len(ids))
    whole.attrs = {FALLBACK_USERS: fallback} if fallback else {}
    whole.attrs.update(notes)
    return whole


def recommend_batches(
    model: LiveModel, user_ids: Iterable[str] | None, options: ListOptions, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Recommend items to many users, one table per batch; see `Recommender.recommend_batches`."""
    candidates = find_candidates(model, options)
    batches = user_batches(model, user_ids, batch_size)
    return (recommend_for_users(model, users, candidates, options) for users in batches)


def user_batches(
    model: LiveModel, user_ids: Iterable[str] | None, batch_size: int
) -> Iterator[StrArray]:
    """Split user ids into batches.

    Args:
        model: its users are taken where `user_ids` is None.
        user_ids: read only as far as the batches are, so that it may be a generator.
        batch_size: users per batch.

    Raises:
        InvalidArgumentError: at once for a batch size below 1 or something else than ids, such as
            a text or a table; for what is no id when its batch is made.
    """
    check_whole("batch_size", batch_size)
    if user_ids is None:
        return _slices(model.users.ids, batch_size)
    return _read_batches(each_id("user_ids", user_ids), batch_size)


def _slices(ids: Ids, size: int) -> Iterator[StrArray]:
    for start in range(0, len(ids), size):
        yield np.asarray(ids[start : start + size], object)


def _read_batches(ids: Iterator[str], size: int) -> Iterator[StrArray]:
    while batch := list(islice(ids, size)):
        yield np.array(batch, object)
