"""Small data sets and models whose evaluation is known beforehand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset


def listeners_of_three_tastes(n_users: int, n_items: int) -> MusicDataset:
    """Users and items named 0, 1, …, of taste n modulo 3, who sometimes play something else."""
    rng = np.random.default_rng(0)
    taste = np.arange(n_users)[:, None] % 3 == np.arange(n_items)[None] % 3
    user, item = np.nonzero(rng.random((n_users, n_items)) < np.where(taste, 0.6, 0.08))
    plays = pd.DataFrame({"user_id": user, "item_id": item, "weight": 1.0}).astype(
        {"user_id": str, "item_id": str}
    )
    items = pd.DataFrame({"item_id": [str(n) for n in range(n_items)]})
    for name in ("title", "artist", "album", "genre"):
        items[name] = ""
    return MusicDataset(items=items, interactions=plays)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., MusicDataset]:
    """``make_dataset([("u1", "a", 3.0), …], artists={"a": "X"}, audio={"a": "a.wav"})``."""

    def make(
        plays: Sequence[tuple[str, str] | tuple[str, str, float]],
        artists: dict[str, str] | None = None,
        audio: Sequence[tuple[str, str]] | None = None,
        items: Sequence[str] = (),
    ) -> MusicDataset:
        rows = [(*play, 1.0)[:3] for play in plays]
        names = sorted({*items, *(row[1] for row in rows)})
        recordings = [(name, f"{name}.wav") for name in names] if audio is None else list(audio)
        for _, path in recordings:
            (tmp_path / path).touch()
        return MusicDataset(
            pd.DataFrame(
                {
                    "item_id": names,
                    "title": names,
                    "artist": [(artists or {}).get(name, f"artist of {name}") for name in names],
                    "album": "",
                    "genre": "",
                }
            ),
            pd.DataFrame(recordings, columns=["item_id", "path"]),
            pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]),
            tmp_path,
        )

    return make


class Oracle:
    """Knows every user's items beforehand, and ranks them first."""

    def __init__(self, complete: MusicDataset) -> None:
        self.liked = complete.interactions.groupby("user_id")["item_id"].agg(set).to_dict()

    def fit(self, dataset: MusicDataset) -> None:
        self.items = list(dataset.items["item_id"])
        self.seen = dataset.interactions.groupby("user_id")["item_id"].agg(set).to_dict()

    def onboard_many(self, dataset: MusicDataset) -> None:
        self.items += list(dataset.items["item_id"])

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        rows = []
        for user in user_ids:
            allowed = [
                item
                for item in (self.items if only is None else only)
                if not (exclude_seen and item in self.seen.get(user, ()))
            ]
            allowed.sort(key=lambda item: item not in self.liked.get(user, ()))
            rows += [
                (user, place + 1, item, float(item in self.liked.get(user, ())))
                for place, item in enumerate(allowed[:k])
            ]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


@pytest.fixture
def oracle() -> type[Oracle]:
    return Oracle


class GivenEncoders:
    """Encoders that return given embeddings, and remember the sides they were trained on.

    The labels are the same for all items.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.sides: list[MusicDataset] = []

    def __call__(self, training: MusicDataset) -> "GivenEncoders":
        self.sides.append(training)
        return self

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        return self.table.loc[dataset.items["item_id"]]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        return pd.DataFrame({"rock": 1.0}, index=dataset.items["item_id"].to_list())
