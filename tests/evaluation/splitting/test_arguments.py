"""Arguments that no split can be made with: one error of our own, whichever split it is."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from evaluation.splitting.warm import user_folds, warm_folds, warm_split

SEEDED = (
    warm_split, warm_folds, user_folds, leave_last_split, cold_split, cold_folds, semi_cold_split,
    cold_user_split,
)  # fmt: skip
WITH_FRACTION = (
    warm_split, user_folds, time_split, time_windows, cold_split, semi_cold_split, cold_user_split,
)  # fmt: skip
NUMBERS = (
    (warm_folds, "folds"), (user_folds, "folds"), (cold_folds, "folds"), (time_windows, "windows"),
    (leave_last_split, "n"), (semi_cold_split, "keep"), (semi_cold_split, "at_least"),
    (cold_user_split, "given"),
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> MusicDataset:
    items = [f"i{n}" for n in range(6)]
    plays = pd.DataFrame(
        [(f"u{u}", item, 1.0) for u in range(8) for item in items[u % 3 :]],
        columns=["user_id", "item_id", "weight"],
    ).sample(frac=1, random_state=0)
    hours = pd.to_timedelta(range(len(plays)), "h")
    plays["timestamp"] = pd.Timestamp("2020-01-01", tz="UTC") + hours
    texts = dict.fromkeys(("title", "artist", "album", "genre"), "")
    return MusicDataset(pd.DataFrame({"item_id": items}).assign(**texts), None, plays)


def arguments(make: Callable[..., Any], dataset: MusicDataset) -> dict[str, Any]:
    whole = make in (cold_split, cold_folds, semi_cold_split)
    return {"among": set(dataset.items["item_id"])} if whole else {}


def test_all_of_them_work(dataset: MusicDataset) -> None:
    for make in {*SEEDED, *WITH_FRACTION, *(make for make, _ in NUMBERS)}:
        options = {"folds": 2} if make in (warm_folds, user_folds, cold_folds) else {}
        options |= {"windows": 2} if make is time_windows else {}
        assert make(dataset, **arguments(make, dataset), **options)


@pytest.mark.parametrize("make", SEEDED)
@pytest.mark.parametrize("seed", [-1, 0.5, "x", None, True])
def test_seeds(dataset: MusicDataset, make: Callable[..., Any], seed: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="seed must be a whole number of at least 0"):
        make(dataset, seed=seed, **arguments(make, dataset))


@pytest.mark.parametrize("make", WITH_FRACTION)
@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan"), "x", [0.5]])
def test_fractions(dataset: MusicDataset, make: Callable[..., Any], fraction: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="fraction must lie between 0 and 1, not "):
        make(dataset, fraction=fraction, **arguments(make, dataset))


@pytest.mark.parametrize(("make", "name"), NUMBERS)
@pytest.mark.parametrize("number", [-1, 1.5, "x"])
def test_numbers(dataset: MusicDataset, make: Callable[..., Any], name: str, number: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} must be a whole number of at least "):
        make(dataset, **{name: number}, **arguments(make, dataset))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_is_checked(make_dataset, fraction):
    dataset = make_dataset([("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b")])
    for split in (warm_split, cold_split):
        with pytest.raises(InvalidArgumentError, match="fraction"):
            split(dataset, fraction)
