"""Small data sets without files for the tests of splits, and what is common to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from datasets.music import MusicDataset
from evaluation.splitting.split import Split

DAY = np.datetime64("2020-01-01", "D")

DRAWN_PLAYS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.0, 1.0, 5.0])),
    min_size=1,
    max_size=80,
)
"""(user, item, weight) as hypothesis draws them, for `drawn_dataset`."""


def bare(
    plays: Sequence[tuple[Any, ...]],
    artists: dict[str, str] | None = None,
    items: Sequence[str] = (),
) -> MusicDataset:
    """Plays (user, item), (user, item, weight) or (user, item, weight, day since 2020)."""
    frame = pd.DataFrame(
        [(*play, 1.0)[:3] for play in plays], columns=["user_id", "item_id", "weight"]
    )
    if any(len(play) > 3 for play in plays):
        frame["timestamp"] = [DAY + np.timedelta64(int(play[3]), "D") for play in plays]
    names = sorted({*items, *frame["item_id"]})
    catalogue = pd.DataFrame({"item_id": names, "title": "", "album": "", "genre": ""})
    catalogue["artist"] = [(artists or {}).get(name, "") for name in names]
    return MusicDataset(items=catalogue, interactions=frame)


def pairs_of(dataset: MusicDataset, rows: Any) -> set[tuple[str, str]]:
    chosen = dataset.interactions.iloc[rows]
    return set(zip(chosen["user_id"], chosen["item_id"], strict=True))


def sides(split: Split) -> tuple[list[int], list[int]]:
    return split.train_rows.tolist(), split.test_rows.tolist()


def drawn_dataset(plays: Sequence[tuple[int, int, float]]) -> MusicDataset:
    """A data set of ten items by four artists, without files, so that hypothesis makes hundreds."""
    names = [f"i{n}" for n in range(10)]
    items = pd.DataFrame({"item_id": names, "title": "", "album": "", "genre": ""})
    items["artist"] = [f"a{n // 3}" for n in range(10)]
    frame = pd.DataFrame(
        [(f"u{u}", f"i{i}", w) for u, i, w in plays], columns=["user_id", "item_id", "weight"]
    )
    return MusicDataset(items=items, interactions=frame)


def random_plays(n_users: int = 20, n_items: int = 12, each: int = 6) -> list[tuple[str, str]]:
    """``each`` random items of every user."""
    random = np.random.default_rng(0)
    return [
        (f"u{user:02}", f"i{item}")
        for user in range(n_users)
        for item in random.permutation(n_items)[:each]
    ]


def users_of(dataset: MusicDataset, rows: Any) -> set[str]:
    return set(dataset.interactions["user_id"].iloc[rows])
