"""Rebuild a live model: what happened since the fit becomes part of the fitted state."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, IntArray
from recsys.data import PLAY_BOUNDS
from recsys.database.catalog import Catalog
from recsys.fusion import user_scales
from recsys.model.first_plays import young_rows
from recsys.model.live import LiveModel
from recsys.model.state import EMBEDDING_LENGTHS, YOUNG, FittedState


def rebuilt(model: LiveModel) -> LiveModel:
    """Return a model whose fitted state holds all items, users and plays that this one has now.

    Its lists are the same; its index holds all items, and it opens without changes to take in. What
    the sources have learned and how they are blended stays.
    """
    catalog = Catalog.in_memory()
    rows = model.items.active
    heard = set(model.items.ids(rows[model.items.has_embedding(rows)]).tolist())
    songs = (
        # An embedding that could not be used is left behind.
        replace(song, onboarded=None, embedding=song.embedding if song.item_id in heard else None)
        for song in model.catalog.songs()
    )
    catalog.fill(songs, model.catalog.sounds())
    catalog.take_requests_of(model.catalog)
    return LiveModel(_merged(model), catalog)


def _merged(model: LiveModel) -> FittedState:
    state, items = model.state, model.items
    rows = items.active
    columns = {name: items.texts(name, rows) for name in items.columns}
    table = pd.DataFrame({name: pd.Series(text, dtype=object) for name, text in columns.items()})
    embeddings, has_embedding = items.embeddings(rows)
    users = np.asarray(model.users.ids, object)
    plays = _plays(model, rows, len(users))
    user_counts = np.bincount(plays.indices, minlength=len(rows))
    info: dict[str, Any] = {
        **state.info,
        "items": {
            "warm": int((user_counts > 0).sum()),
            "cold": int((user_counts == 0).sum()),
            "with_embedding": int(has_embedding.sum()),
        },
        EMBEDDING_LENGTHS: state.embedding_range.to_json(),
        YOUNG: young_rows(state, items.fitted_rows(items.ids(rows).tolist()), user_counts.tolist()),
        "rebuilt": int(state.info.get("rebuilt", 0)) + 1,
    }
    return replace(
        state,
        items=table,
        item_lookup=None,
        user_ids=pd.Index(users, dtype=object),
        plays=plays,
        user_vectors=model.users.vectors(np.arange(len(users))),
        user_scales=_scales(model, len(users)),
        item_vectors=model.index.vectors(rows),
        embeddings=embeddings,
        has_embedding=has_embedding,
        info=info,
        item_familiarity=items.familiarity(rows).astype(np.float32),
    )


def _plays(model: LiveModel, rows: IntArray, n_users: int) -> sp.csr_matrix:
    """Summed plays, CSR float32 [n_users, len(rows)]."""
    place = np.full(len(model.items), -1)
    place[rows] = np.arange(len(rows))
    old = model.state.plays.tocoo()
    active = model.users.active
    untouched = ~np.isin(old.row, list(active))
    found = model.items.current_rows[old.col]
    kept = untouched & (found >= 0)
    users, items, weights = [old.row[kept]], [place[found[kept]]], [old.data[kept]]
    for user in active:
        own, plays = model.users.history(user)
        users.append(np.full(len(own), user))
        items.append(place[own])
        weights.append(plays)
    entries = (np.concatenate(users), np.concatenate(items))
    total = np.concatenate(weights).astype(np.float64)
    plays = sp.csr_matrix((total, entries), shape=(n_users, len(rows)))
    plays.data = np.clip(plays.data, *PLAY_BOUNDS).astype(np.float32)
    return plays


def _scales(model: LiveModel, n_users: int) -> Float32Array:
    """What fusion divides each user's blocks by, float32 [n_users, n_blocks]."""
    state = model.state
    scales = np.zeros((n_users, len(state.blocks)), np.float32)
    scales[: len(state.user_scales)] = state.user_scales
    for user in model.users.active:
        vectors = model.users.fold_in_sources(*model.users.history(user))
        scales[user] = user_scales(state.blocks, vectors)[0]
    return scales
