"""Repair of what should never have become part of a model: wild embeddings and vectors.

Versions of this library before embeddings were judged took in any finite one, and a file can be
written by hand. One such item may lead every list, and the vectors of those who played it may not
be numbers any more. What is wild is taken as unknown, with a warning that names the item: everybody
else's lists are as they were, and the item can be removed, onboarded again, or merged by `rebuild`.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.errors import ArtifactError
from recsys.content.embedding_range import lengths_of
from recsys.data import PLAY_BOUNDS, ItemContent
from recsys.database.changes import Changes, Play
from recsys.database.song import Song
from recsys.fusion import fuse_users, unfuse_items, user_scales
from recsys.model.state import EMBEDDING_LENGTHS, FittedState
from recsys.sources.fold_in import fold_in_user

logger = logging.getLogger("coldtune")

CHECKED_SIZE = 2**26
"""Bytes. Larger models of this version are not read whole when they are opened: their files are
those that a fit or `rebuild` has written and checked."""

_TOO_LONG = 1e6
"""A fused vector so many times longer than the median was computed from something wild."""

_ROWS = 65_536
"""Rows read at once."""


def usable_songs(state: FittedState, songs: Iterable[Song], reported: set[str]) -> list[Song]:
    """Return songs without the embeddings that the model cannot take, each of which is logged.

    Args:
        state: what the fit has learned.
        songs: songs from the song database.
        reported: ids of items that are not logged again; new ones are added.
    """
    usable = []
    for song in songs:
        problem = None if song.embedding is None else stored_problem(state, song.embedding)
        if problem is not None:
            if song.item_id not in reported:
                logger.warning(
                    "item %r: its stored embedding cannot be used and counts as unknown: %s; "
                    "remove the item, or onboard it again",
                    song.item_id,
                    problem,
                )
            reported.add(song.item_id)
            song = replace(song, embedding=None, familiarity=None)
        usable.append(song)
    return usable


def stored_problem(state: FittedState, embedding: Float32Array) -> str | None:
    """Say why a stored embedding cannot be used; None if it can."""
    width = state.embeddings.shape[1]
    if embedding.shape != (width,):
        return f"it has shape {embedding.shape}, the model's have ({width},)"
    return state.embedding_range.problem(embedding)


def usable_plays(changes: Changes) -> list[Play]:
    """Return plays since the fit, and what replaced ones have changed.

    Those whose weight is no positive number are left out and logged.
    """
    plays = changes.plays
    usable = [play for play in plays if 0 < play.weight < np.inf]
    if len(usable) < len(plays):
        wild = next(play for play in plays if not 0 < play.weight < np.inf)
        logger.warning(
            "%d stored plays have a weight that is no positive number and do not count, the first "
            "of user %r and item %r",
            len(plays) - len(usable),
            wild.user_id,
            wild.item_id,
        )
    return usable + [play for play in changes.corrections if np.isfinite(play.weight)]


def repaired(state: FittedState, folder: Path) -> FittedState:
    """Return a fitted state without wild embeddings and vectors; the same one if it has none.

    Items with a wild embedding or vector become items of their metadata alone, nobody's plays are
    lost, and the users who played them are folded in again.

    Args:
        state: a state that was read from files.
        folder: where they are, for messages.

    Raises:
        ArtifactError: what all vectors are computed with is not made of finite numbers.
    """
    tables = (state.item_vectors, state.user_vectors, state.embeddings)
    if EMBEDDING_LENGTHS in state.info and sum(table.nbytes for table in tables) > CHECKED_SIZE:
        return state
    for block in state.blocks:  # means and covariances are checked where they are read
        learned = state.sources[block.name].arrays().values()
        # A single value may be infinite: the penalty of a map without one.
        numbers = [np.asarray(one, np.float64) for one in learned]
        if not all(np.isfinite(one).all() if one.ndim else not np.isnan(one) for one in numbers):
            raise ArtifactError(
                f"{folder}: what source {block.name} has learned is not finite; train again"
            )
    items = np.flatnonzero(_wild_embeddings(state) | _wild_rows(state.item_vectors))
    wild_plays = not bool(np.isfinite(state.plays.data).all() and (state.plays.data > 0).all())
    wild_users = _wild_rows(state.user_vectors) | ~np.isfinite(state.user_scales).all(axis=1)
    if not len(items) and not wild_users.any() and not wild_plays:
        return state
    plays = state.plays
    if wild_plays:
        logger.warning("plays of the fit have weights that are no positive numbers; they count 1")
        fine = np.isfinite(plays.data) & (plays.data > 0)
        data = np.where(fine, np.clip(plays.data, *PLAY_BOUNDS), 1).astype(np.float32)
        plays = sp.csr_matrix((data, plays.indices, plays.indptr), shape=plays.shape)
    for item_id in state.items["item_id"].iloc[items].tolist():
        logger.warning(
            "item %r: its embedding or vector cannot be used and counts as unknown; remove the "
            "item, onboard it again, or train again",
            item_id,
        )
    state = _with_items_by_metadata(replace(state, plays=plays), items)
    player = np.repeat(np.arange(plays.shape[0]), np.diff(plays.indptr))
    wild_users[player[np.isin(plays.indices, items)]] = True
    return _folded_in_again(state, np.flatnonzero(wild_users))


def _wild_embeddings(state: FittedState) -> BoolArray:
    """Which items have an embedding that the model would not take now, bool [n_items]."""
    wild = np.zeros(len(state.has_embedding), bool)
    rows = np.flatnonzero(state.has_embedding)
    if not state.embeddings.shape[1] or not len(rows):
        return wild
    learned = state.embedding_range
    with np.errstate(all="ignore"):
        embeddings = np.asarray(state.embeddings)[rows]
        # Zeros and constants of a fit were taken knowingly, and do no harm.
        lengths = lengths_of(embeddings)
        too_long = (lengths > learned.least) & learned.is_outside(embeddings)
        wild[rows] = ~np.isfinite(lengths) | too_long
    return wild


def _wild_rows(vectors: Float32Array) -> BoolArray:
    """Which fused vectors are not finite, or too long to be of a fit, bool [n]."""
    with np.errstate(all="ignore"):
        lengths = lengths_of(vectors)
    known = lengths[np.isfinite(lengths) & (lengths > 0)]
    most = _TOO_LONG * float(np.median(known)) if len(known) else np.inf
    return np.asarray(~np.isfinite(lengths) | (lengths > most))


def _with_items_by_metadata(state: FittedState, rows: IntArray) -> FittedState:
    """The state in which these items have no embedding, and the vectors of their texts."""
    if not len(rows):
        return state
    embeddings, known = np.array(state.embeddings), np.array(state.has_embedding)
    vectors = np.array(state.item_vectors)
    embeddings[rows], known[rows] = 0, False
    content = ItemContent(
        embeddings[rows], known[rows], state.vocabulary.encode(state.items.iloc[rows])
    )
    vectors[rows] = state.fuse_content(content)
    return replace(state, embeddings=embeddings, has_embedding=known, item_vectors=vectors)


def _folded_in_again(state: FittedState, users: IntArray) -> FittedState:
    """Compute the vectors of these users from the items that they played."""
    vectors, scales = np.array(state.user_vectors), np.array(state.user_scales)
    for user in users.tolist():
        own = slice(*state.plays.indptr[user : user + 2])
        rows = state.plays.indices[own]
        is_cold = state.user_counts[rows] == 0
        items = unfuse_items(state.blocks, np.asarray(state.item_vectors[rows]), is_cold)
        folded = fold_in_user(
            state.sources, items, np.asarray(state.plays.data[own]), state.item_grams
        )
        vectors[user] = fuse_users(state.blocks, folded)[0]
        scales[user] = user_scales(state.blocks, folded)[0]
    return replace(state, user_vectors=vectors, user_scales=scales)
