"""Lists for people to read: what ranking found, with titles and reasons."""

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ARTIST, COLD, GENRE, ITEM_ID, RANK, SCORE, SHARE_PREFIX, TITLE
from datasets.errors import InvalidArgumentError
from recsys.fusion import shares
from recsys.model.live import Library
from recsys.ranking.arguments import History, check_k, plays_of
from recsys.ranking.filters import Filters
from recsys.ranking.ranking import fold_in_user, popular, rank
from recsys.ranking.similarity import Space, similar_rows


def list_for(
    library: Library, user_id: str | None, history: History | None, filters: Filters
) -> pd.DataFrame:
    """The list of a user, or of somebody with a history: see ``Recommender.recommend``.

    Raises UnknownItemError for an item of the history that is not in the catalogue, and
    InvalidArgumentError unless a user id or a history is given, and not both.
    """
    if user_id is not None and history is not None:
        raise InvalidArgumentError("give a user id or a history, not both")
    if user_id is None and history is None:
        raise InvalidArgumentError("give a user id or a history")
    blocks = library.state.blocks
    vector, seen = None, np.empty(0, np.intp)
    if history is not None:
        plays = plays_of(history)
        seen = library.rows(plays)
        vector = fold_in_user(library, seen, np.array(list(plays.values()), np.float32))
    elif (row := library.user_row(str(user_id))) is not None:
        vector, seen = library.user_vectors(np.array([row]))[0], library.seen(row)
    if vector is not None and not vector.any():
        vector = None
    if vector is None:
        hits = popular(library, filters, [seen])
        parts = np.full((len(hits.item), len(blocks)), np.nan)
    else:
        hits = rank(library, vector[None], filters, [seen])
        parts = shares(blocks, vector, library.searcher.vectors(hits.item))
    frame = _described(library, hits.item, hits.score)
    for column, block in enumerate(blocks):
        frame[SHARE_PREFIX + block.name] = parts[:, column]
    if vector is None:
        frame.attrs["fallback"] = "popular"
    return frame


def similar_to(library: Library, item_id: str, k: int, by: Space) -> pd.DataFrame:
    """The items most like one: see ``Recommender.similar``."""
    check_k(k)
    return _described(library, *similar_rows(library, library.row(item_id), k, by))


def _described(library: Library, rows: IntArray, scores: Float32Array) -> pd.DataFrame:
    described = library.describe(rows)
    return pd.DataFrame(
        {
            RANK: np.arange(1, len(rows) + 1),
            ITEM_ID: described[ITEM_ID].to_numpy(),
            SCORE: scores,
            TITLE: described[TITLE].to_numpy(),
            ARTIST: described[ARTIST].to_numpy(),
            GENRE: described[GENRE].to_numpy(),
            COLD: library.is_cold(rows),
        }
    )
