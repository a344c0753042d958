"""Small data sets without files for the tests of splits, and what is common to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from datasets.music import MusicDataset
from evaluation.splitting.split import Split

DAY = np.datetime64("2020-01-01", "D")


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
