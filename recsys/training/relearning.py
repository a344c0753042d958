"""Rebuild a model; sources that the fit left out for want of plays come in once there are enough.

A model of a library without plays knows its sound alone. Its first plays are taken in by updates,
and a rebuild that finds enough of them learns what a fit on them would: all sources, their
settings and the blend. Embeddings and their encoder stay as they are.
"""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.music import MusicDataset
from datasets.tables.checks import empty_audio
from embedding.encoders.learned_plays import LearnedPlays
from recsys.audio.embeddings import LEARNED_PLAYS
from recsys.model.live import LiveModel
from recsys.model.rebuild import rebuilt
from recsys.model.state import SOURCES_LEFT_OUT, FittedState
from recsys.training.fit import fit_state
from recsys.training.usable_sources import choose_sources

logger = logging.getLogger("coldtune")

_KEPT = ("network", "recordings_left_out", "rebuilt", "familiarity")
"""Facts about a fit that are true of what is learned anew from its embeddings."""


def relearned(model: LiveModel) -> LiveModel:
    """Return what `rebuilt` returns; with sources learned that had too few plays, if they suffice.

    Where none had, nothing is learned, and lists stay the same.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> relearned(load_model(folder / "model")).state.info["rebuilt"]
        1
    """
    merged = rebuilt(model)
    state = merged.state
    heard = bool(state.has_embedding.any())
    if not state.info.get(SOURCES_LEFT_OUT) or not (heard and state.plays.nnz):
        return merged
    choice = choose_sources(state.plays, state.config.sources, heard=heard)
    if choice.left_out:
        info = {**state.info, SOURCES_LEFT_OUT: choice.sentence}
        return LiveModel(replace(state, info=info), merged.catalog)
    return LiveModel(_learned(state), merged.catalog)


def _learned(state: FittedState) -> FittedState:
    """Fit all sources on the plays and embeddings of a state."""
    plays = state.plays.tocoo()
    item_ids = state.items[ITEM_ID].to_numpy(dtype=object)
    interactions = pd.DataFrame(
        {
            USER_ID: pd.Series(np.asarray(state.user_ids, object)[plays.row], dtype=object),
            ITEM_ID: pd.Series(item_ids[plays.col], dtype=object),
            WEIGHT: plays.data.astype(np.float64),
        }
    )
    embeddings = pd.DataFrame(
        state.embeddings[state.has_embedding], index=pd.Index(item_ids[state.has_embedding])
    )
    embeddings.attrs[LEARNED_PLAYS] = LearnedPlays.of(state.encoder)
    found, _ = fit_state(
        MusicDataset.from_checked(state.items, empty_audio(), interactions, None),
        state.config,
        embeddings=embeddings,
        encoder=state.encoder,
        progress=False,
    )
    logger.info("sources learned: %s", ", ".join(block.name for block in found.blocks))
    kept = {name: state.info[name] for name in _KEPT if name in state.info}
    # Where its recordings are is known of the first fit alone.
    dataset = {**state.info.get("dataset", {}), **found.info["dataset"]}
    # How familiar a recording sounds is known by what the first fit has heard.
    info = {**found.info, **kept, "dataset": dataset}
    return replace(
        found,
        info=info,
        familiarity=state.familiarity,
        item_familiarity=state.item_familiarity,
    )
