"""Plays since the fit: checking them, and new vectors for the items that they touch.

The model is the fit plus the sum of all plays since, whatever the order and the batches they came
in. So nothing here is learned step by step: a touched item's vector is computed from the fit and
all its users.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd

from datasets import columns as c
from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import DataError, InvalidArgumentError
from datasets.tables.checks import Origin, check_interactions
from datasets.tables.frames import FrameLike
from datasets.tables.ids import checked_id
from recsys.content.shrinkage import has_content
from recsys.data import PLAY_BOUNDS, ItemContent, warn_of_wild_plays
from recsys.database.catalog import Catalog
from recsys.database.changes import Play
from recsys.database.requests import (
    PlaysRequest,
    UpdateMode,
    digest_of_plays,
    event_digest,
    event_key,
)
from recsys.database.song import Song
from recsys.fusion import fuse_items
from recsys.model.first_plays import FirstPlays
from recsys.model.items import ItemTable, reachable_content
from recsys.model.state import FittedState
from recsys.model.tables import rows_of_ids
from recsys.model.users import PlaysSinceFit, UserTable
from recsys.sources.fold_in import fold_in_user

_MOST_KEPT = 10_000
"""Users whose vectors are kept from one update to the next."""

_ByName = Mapping[str, Float32Array]
"""A vector [d] of each source."""

_LONGEST_ID = 500
"""Characters of the id of a batch."""


class _UpdateCounts(NamedTuple):
    """The numbers of an `UpdateReport`."""

    plays: int
    """Plays that were added; those of weight 0 are not counted."""
    users: int
    """Users who have a new vector."""
    new_users: int
    """Of them, those who had played nothing before."""
    items: int
    """Items that were played."""
    warmed: int
    """Of them, those that nobody had played before."""


class UpdateReport(_UpdateCounts):
    """What an update has changed: plays, users, new_users, items and warmed.

    Examples:
        >>> plays = pd.DataFrame({"user_id": ["ann"], "item_id": ["new-1"], "weight": [1.0]})
        >>> recommender.update(plays, batch_id="monday").new_users
        1
        >>> again = recommender.update(plays, batch_id="monday")
        >>> again.plays, again.repeated
        (0, 1)
    """

    repeated: int = 0
    """Plays that were known, by their batch or their event, and changed nothing."""

    def with_repeated(self, plays: int) -> "UpdateReport":
        """Return the report with this number of plays that were known."""
        report = UpdateReport(*self)
        report.repeated = plays
        return report


def checked_plays(interactions: FrameLike) -> list[Play]:
    """Read plays from a table of interactions as a data set has it; those of weight 0 are dropped.

    Raises:
        DataError: names the row and the column of what is wrong.
    """
    return checked_request(interactions)[0]


def checked_request(
    interactions: FrameLike, batch_id: object = None, mode: UpdateMode = "add"
) -> tuple[list[Play], PlaysRequest]:
    """Read plays as `checked_plays` does, and how they came.

    Args:
        interactions: user_id, item_id, weight and, optionally, timestamp and event_id.
        batch_id: the id of the batch; None for none.
        mode: "add" or "replace".

    Returns:
        The plays, and how they came.

    Raises:
        DataError: names the row and the column of what is wrong.
        InvalidArgumentError: an unusable batch id, or another mode.
    """
    if mode not in get_args(UpdateMode):
        raise InvalidArgumentError(f"mode must be 'add' or 'replace', not {mode!r}")
    if batch_id is not None:
        batch_id = checked_id("batch_id", batch_id)
        if len(batch_id) > _LONGEST_ID:
            raise InvalidArgumentError(
                f"batch_id has {len(batch_id):,} characters; at most {_LONGEST_ID} are kept"
            )
    table = check_interactions(interactions, Origin("interactions"), None, with_events=True)
    if mode == "replace":
        _check_replaced(table)
    times: Sequence[int | None] = [None] * len(table)
    if c.TIMESTAMP in table:
        times = table[c.TIMESTAMP].to_numpy().astype("datetime64[ns]").astype(np.int64).tolist()
    found = table[table[c.WEIGHT] > 0]
    warn_of_wild_plays(*(found[name].to_numpy() for name in (c.USER_ID, c.ITEM_ID, c.WEIGHT)))
    columns = (table[name].tolist() for name in (c.USER_ID, c.ITEM_ID, c.WEIGHT))
    ids = table[c.EVENT_ID].tolist() if c.EVENT_ID in table else [""] * len(table)
    played = [
        (Play(user, item, float(weight), time), event)
        for user, item, weight, time, event in zip(*columns, times, ids, strict=True)
        if weight > 0
    ]
    plays = [play for play, _ in played]
    events = [event for _, event in played] if any(ids) else []
    digest = "" if batch_id is None else digest_of_plays(plays, events, mode)
    return plays, PlaysRequest(batch_id, digest, events, mode)


def _check_replaced(table: pd.DataFrame) -> None:
    pairs = table[[c.USER_ID, c.ITEM_ID]]
    for wrong, problem in (
        (table[c.WEIGHT] == 0, "a weight of 0 cannot take the place of a play"),
        (pairs.duplicated(), "is given twice, and only one can take the place of a play"),
    ):
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            user, item = pairs.iloc[row]
            raise DataError(f"interactions: row {row + 1}: user {user!r}, item {item!r}: {problem}")


def is_known_batch(catalog: Catalog, request: PlaysRequest) -> bool:
    """Return whether the batch of a request was taken in before.

    Raises:
        InvalidArgumentError: it was, with other plays.
    """
    if request.batch_id is None:
        return False
    known = catalog.known_batch(request.batch_id)
    if known is not None and known != request.digest:
        raise InvalidArgumentError(
            f"batch {request.batch_id!r} was taken in before with other plays; nothing was changed"
        )
    return known is not None


def new_plays(
    catalog: Catalog, plays: Sequence[Play], request: PlaysRequest
) -> tuple[list[Play], dict[bytes, bytes]]:
    """Leave out the plays whose events were taken in before, or stand in the request twice.

    Returns:
        The others, and the digests of their events by key.

    Raises:
        InvalidArgumentError: an event is known with another play; names it.
    """
    if not any(request.events):
        return list(plays), {}
    keys = [event_key(event) if event else None for event in request.events]
    known = catalog.known_events(dict.fromkeys(key for key in keys if key is not None))
    kept: list[Play] = []
    events: dict[bytes, bytes] = {}
    for play, key, event in zip(plays, keys, request.events, strict=True):
        if key is not None:
            digest = event_digest(play, request.mode)
            before = known.get(key) or events.get(key)
            if before is not None and before != digest:
                raise InvalidArgumentError(
                    f"event {event!r} was taken in before with another play; nothing was changed"
                )
            if before is not None:
                continue
            events[key] = digest
        kept.append(play)
    return kept, events


def corrections_of(
    state: FittedState, items: ItemTable, since: PlaysSinceFit, plays: Sequence[Play]
) -> list[Play]:
    """Return by what plays since the fit change where these take the place of what was.

    Args:
        state: what the fit has learned.
        items: the items as they are now.
        since: all plays since the fit.
        plays: one for each pair of a user and an item.

    Raises:
        DataError: several for one pair.
    """
    users = rows_of_ids(state.user_ids, [play.user_id for play in plays])
    rows = items.fitted_rows([play.item_id for play in plays])
    pairs = [(play.user_id, play.item_id) for play in plays]
    if len(set(pairs)) < len(pairs):  # in two Unicode forms; others are found by their rows
        user_id, item_id = Counter(pairs).most_common(1)[0][0]
        raise DataError(
            f"interactions: user {user_id!r}, item {item_id!r}: is given twice, and only one can "
            "take the place of a play"
        )
    changed = []
    for play, user, row in zip(plays, users.tolist(), rows, strict=True):
        before = since.by_user.get(play.user_id, {}).get(play.item_id, 0.0)
        if user >= 0 and row is not None and row >= 0:
            own = slice(*state.plays.indptr[user : user + 2])
            found = np.flatnonzero(state.plays.indices[own] == row)
            before += float(state.plays.data[own][found].sum())
        changed.append(play._replace(weight=play.weight - before))
    return changed


def known_plays(plays: Sequence[Play], items: ItemTable, users: UserTable) -> list[Play]:
    """Return plays with the ids that a model has in another Unicode form, with a warning."""
    if all(play.user_id.isascii() and play.item_id.isascii() for play in plays):
        return list(plays)
    item_ids = items.known_ids(play.item_id for play in plays)
    user_ids = users.known_ids(play.user_id for play in plays)
    return [
        play._replace(user_id=user, item_id=item)
        for play, user, item in zip(plays, user_ids, item_ids, strict=True)
    ]


class RecomputedItems(NamedTuple):
    """Items with new vectors."""

    songs: list[Song]
    vectors: Float32Array
    """Fused vectors [n, D]."""
    user_counts: list[int]
    """How many users have played each item."""


class IncrementalUpdater:
    """Computes item vectors from the fit and the plays since; caches what the fit decides alone."""

    def __init__(self, state: FittedState) -> None:
        self._state = state
        self._first_plays = FirstPlays(state)
        self._folded_in: dict[str, tuple[Mapping[str, float], dict[str, Float32Array]]] = {}
        """Plays and vectors of users whom the fit does not know, the oldest first."""
        self._learned: dict[int, tuple[_ByName | None, _ByName]] = {}
        """By row of the fit, what an item's content predicted and its vectors from the users of the
        fit alone, the oldest first."""

    def recompute(
        self, items: ItemTable, users: UserTable, plays: PlaysSinceFit, item_ids: Iterable[str]
    ) -> RecomputedItems:
        """Compute the vectors of items from everybody who has played them.

        Args:
            items: the items as they are now.
            users: tells which users the fit knows.
            plays: all plays since the fit.
            item_ids: items with plays since the fit, at least one.
        """
        touched = sorted(item_ids)
        newcomers = sorted(
            users.not_in_fit(set().union(*(plays.by_item[item_id] for item_id in touched)))
        )
        # A user's own vectors change with the user's own plays alone.
        kept = {user: self._kept(user, plays) for user in newcomers}
        folded = {user: vectors for user, vectors in kept.items() if vectors is not None}
        unknown = [user for user in newcomers if user not in folded]
        needed = sorted(set(touched).union(*(plays.by_user[user] for user in unknown)))
        position = {item_id: number for number, item_id in enumerate(needed)}
        songs, fitted = items.songs(needed), items.fitted_rows(needed)
        content = reachable_content(self._state, songs)
        predicted, baseline = self.baseline_vectors(content, fitted)
        is_known = has_content(content)
        for user in unknown:
            history = sorted(plays.by_user[user])
            places = [position[item_id] for item_id in history]
            weights = np.array([plays.by_user[user][item_id] for item_id in history])
            folded[user] = fold_in_user(
                self._state.sources,
                {name: vectors[places] for name, vectors in baseline.items()},
                np.clip(weights, *PLAY_BOUNDS).astype(np.float32),
                self._state.item_grams,
            )
            self._folded_in[user] = plays.by_user[user], folded[user]
        while len(self._folded_in) > _MOST_KEPT:
            del self._folded_in[next(iter(self._folded_in))]
        computed = []
        for item_id in touched:
            place = position[item_id]
            computed.append(
                self.item_vector(
                    {name: vectors[place] for name, vectors in predicted.items()}
                    if is_known[place]
                    else None,
                    {name: vectors[place] for name, vectors in baseline.items()},
                    fitted[place],
                    plays.by_item[item_id],
                    folded,
                )
            )
        return RecomputedItems(
            [songs[position[item_id]] for item_id in touched],
            np.stack([vector for vector, _ in computed]),
            [count for _, count in computed],
        )

    def _kept(self, user: str, plays: PlaysSinceFit) -> dict[str, Float32Array] | None:
        """The vectors of a user whom the fit does not know, if these were the user's plays."""
        before, vectors = self._folded_in.get(user, (None, None))
        return vectors if before is plays.by_user[user] else None

    def baseline_vectors(
        self, content: ItemContent, fitted: Sequence[int | None]
    ) -> tuple[dict[str, Float32Array], dict[str, Float32Array]]:
        """Compute each source's vectors [n, d] of items before any play since the fit.

        Args:
            content: content of the items.
            fitted: the row of the fit of each item, None for one that was onboarded since.

        Returns:
            What the items' content predicts, and what the fit made of them; for items that were
            onboarded since both are the same.
        """
        state = self._state
        predicted = state.predict_vectors(content)
        known = np.flatnonzero([row is not None for row in fitted])
        rows = np.array([row for row in fitted if row is not None], np.intp)
        baseline = {name: vectors.copy() for name, vectors in predicted.items()}
        fused = np.asarray(state.item_vectors[rows])
        for block in state.blocks:
            baseline[block.name][known] = block.unfuse_items(fused, state.user_counts[rows] == 0)
        return predicted, baseline

    def item_vector(
        self,
        predicted: Mapping[str, Float32Array] | None,
        baseline: Mapping[str, Float32Array],
        fitted: int | None,
        plays: Mapping[str, float],
        newcomers: Mapping[str, Mapping[str, Float32Array]],
    ) -> tuple[Float32Array, int]:
        """Compute the fused vector [D] of an item, and how many users have played it.

        The vector of the fit is moved by as much as the new plays move a vector that is computed
        from the item's users alone: without new plays nothing changes. What was new at the fit
        becomes known step by step (`recsys.model.first_plays`).

        Args:
            predicted: [d] of each source from content; None for an item without content.
            baseline: [d] of each source, as `baseline_vectors` gives them.
            fitted: the item's row of the fit, None for one that was onboarded since.
            plays: plays since the fit, by user.
            newcomers: vectors [1, d] of each source of the users whom the fit does not know.
        """
        state = self._state
        before, weights = self._training_plays(fitted)
        users = list(plays)
        found = rows_of_ids(state.user_ids, users)
        total = dict(zip(before.tolist(), weights.tolist(), strict=True))
        others = []
        for user, row in zip(users, found.tolist(), strict=True):
            if row >= 0:
                total[row] = total.get(row, 0.0) + plays[user]
            else:
                others.append(user)
        rows = np.fromiter(total, np.intp, len(total))
        order = np.argsort(rows)  # so that sums do not depend on the order of the plays
        others.sort()
        after = np.array(
            [*(total[row] for row in rows[order].tolist()), *(plays[user] for user in others)]
        )
        after = np.clip(after, *PLAY_BOUNDS).astype(np.float32)
        was_new = self._first_plays.concern(fitted)

        def own_vector(
            name: str, users: Float32Array, weights: Float32Array, gram: Float64Array
        ) -> Float32Array:
            """A source's vector of the item from these users alone."""
            n = len(users)
            if not was_new or predicted is None:
                expected = None if predicted is None else predicted[name]
                return state.sources[name].item_from_plays(expected, users, weights, gram)
            expected = self._first_plays.expected(predicted, n)[name]
            vector = state.sources[name].item_from_plays(expected, users, weights, gram)
            return self._first_plays.on_the_way(name, vector, n)

        learned = self._learned_in_fit(fitted, predicted)
        if fitted is not None and len(before) and learned is None:
            learned = {
                block.name: own_vector(
                    block.name,
                    state.source_vectors(before, number),
                    weights,
                    state.user_grams[block.name],
                )
                for number, block in enumerate(state.blocks)
            }
            self._learned[fitted] = predicted, learned
            while len(self._learned) > _MOST_KEPT:
                del self._learned[next(iter(self._learned))]
        vectors = {}
        for number, block in enumerate(state.blocks):
            name, gram = block.name, state.user_grams[block.name]
            new = [newcomers[user][name] for user in others]
            user_vectors = np.vstack([state.source_vectors(rows[order], number), *new])
            vector = own_vector(name, user_vectors, after, gram)
            if learned is not None:
                vector = vector - learned[name] + baseline[name]
            vectors[name] = np.asarray(vector, np.float32)[None]
        warm = np.zeros(1, bool)
        return fuse_items(state.blocks, vectors, warm)[0], len(after)

    def _learned_in_fit(self, fitted: int | None, predicted: _ByName | None) -> _ByName | None:
        """An item's vectors from the users of the fit, if its content predicted the same then."""
        if fitted is None or fitted not in self._learned:
            return None
        before, learned = self._learned[fitted]
        if before is None or predicted is None:
            return learned if before is predicted else None
        is_same = all(np.array_equal(vector, before[name]) for name, vector in predicted.items())
        return learned if is_same else None

    def _training_plays(self, item: int | None) -> tuple[IntArray, Float32Array]:
        """Rows of the users who played an item of the fit in training, and their plays."""
        if item is None:
            return np.empty(0, np.intp), np.empty(0, np.float32)
        weights, users, starts = self._state.plays_by_item
        own = slice(*starts[item : item + 2])
        return np.asarray(users[own], np.intp), np.asarray(weights[own], np.float32)
