"""Rebuilding: what happened since the fit becomes part of a fit, without learning anything anew."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys.data import PLAY_BOUNDS
from recsys.database.catalog import Catalog
from recsys.fusion import user_scales
from recsys.model.live import Library
from recsys.model.state import FittedState


def rebuilt(library: Library) -> Library:
    """A library whose fit has the items, users, plays and vectors that this one has by now.

    Its lists are the same; its index holds all items, and it opens without any change to take in.
    What the sources learned, and how they are blended, stays.
    """
    catalog = Catalog.in_memory()
    catalog.fill(replace(song, onboarded=None) for song in library.catalog.songs())
    return Library(_merged(library), catalog)


def _merged(library: Library) -> FittedState:
    state = library.state
    rows = np.setdiff1d(np.arange(len(library.searcher)), library.retired)
    columns = {name: library.texts(name, rows) for name in library.columns}
    items = pd.DataFrame({name: pd.Series(text, dtype=object) for name, text in columns.items()})
    embeddings, has_embedding = library.embeddings(rows)
    users = np.asarray(library.user_ids, object)
    plays = _plays(library, rows, len(users))
    listeners = np.bincount(plays.indices, minlength=len(rows))
    info: dict[str, Any] = {
        **state.info,
        "items": {
            "warm": int((listeners > 0).sum()),
            "cold": int((listeners == 0).sum()),
            "with_embedding": int(has_embedding.sum()),
        },
        "rebuilt": int(state.info.get("rebuilt", 0)) + 1,
    }
    return replace(
        state,
        items=items,
        item_lookup=None,
        user_ids=pd.Index(users, dtype=object),
        plays=plays,
        user_vectors=library.user_vectors(np.arange(len(users))),
        user_scales=_scales(library, len(users)),
        item_vectors=library.searcher.vectors(rows),
        embeddings=embeddings,
        has_embedding=has_embedding,
        info=info,
    )


def _plays(library: Library, rows: Any, n_users: int) -> sp.csr_matrix:
    """Summed plays, CSR float32 [n_users, len(rows)]."""
    place = np.full(len(library.searcher), -1)
    place[rows] = np.arange(len(rows))
    old = library.state.plays.tocoo()
    untouched = ~np.isin(old.row, list(library.touched_users))
    found = library.current[old.col]
    kept = untouched & (found >= 0)
    users, items, weights = [old.row[kept]], [place[found[kept]]], [old.data[kept]]
    for user in library.touched_users:
        own, plays = library.history(user)
        users.append(np.full(len(own), user))
        items.append(place[own])
        weights.append(plays)
    entries = (np.concatenate(users), np.concatenate(items))
    total = np.concatenate(weights).astype(np.float64)
    plays = sp.csr_matrix((total, entries), shape=(n_users, len(rows)))
    plays.data = np.clip(plays.data, *PLAY_BOUNDS).astype(np.float32)
    return plays


def _scales(library: Library, n_users: int) -> Any:
    state = library.state
    scales = np.zeros((n_users, len(state.blocks)), np.float32)
    scales[: len(state.user_scales)] = state.user_scales
    for user in library.touched_users:
        vectors = library.fold_in_sources(*library.history(user))
        own = {name: vector[None] for name, vector in vectors.items()}
        scales[user] = user_scales(state.blocks, own)[0]
    return scales
