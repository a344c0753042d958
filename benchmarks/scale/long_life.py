"""Latency, memory and files of one process over a long life: the first thousand calls and the last.

    python -m benchmarks.scale.long_life
    ... --fraction 0.02    # a short run
    ... --tags 4000        # a catalogue with thousands of tag columns

A small model is saved to a folder and opened: 200 items, 120 users, ALS and content. Then come,
without a `rebuild`, 50,000 recommendations, 20,000 onboardings, 30,000 updates of the same hundred
items by the same users, and more recommendations. Each change is on the disk before it returns.
Times are of the processor and of the clock, in milliseconds; a busy machine changes the latter.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from benchmarks.scale.open_model import EMBEDDING, GENRES
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig

ITEMS, USERS, PLAYED = 200, 120, 180
UPDATED = 100
"""Items and users that are updated again and again."""


class Life(NamedTuple):
    """Calls of one kind, one after the other."""

    name: str
    calls: int
    call: Callable[[int], object]


def main() -> None:
    """Run all calls and print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--fraction", type=float, default=1.0, help="of all calls")
    parser.add_argument("--tags", type=int, default=0, help="tag columns of the items")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        fitted(chosen.tags).save(folder)
        recommender = Recommender.load(folder)
        columns = ("calls", "processor ms: median", "95 %", "clock ms: median", "MiB", "folder MiB")
        print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
        for life in lives(recommender, chosen):
            report(life, folder, max(int(1000 * chosen.fraction), 10))
        added = len(recommender._fitted().items) - ITEMS
        print(f"rows beside those of the fit: {added:,}")


def fitted(n_tags: int) -> Recommender:
    """A fit on next to nothing, with any number of tags."""
    rng = np.random.default_rng(0)
    names = [f"{n}" for n in range(ITEMS)]
    items = pd.DataFrame({"item_id": names, "title": "t", "artist": "a", "album": "b"})
    items["genre"] = [GENRES[n % len(GENRES)] for n in range(ITEMS)]
    tags = np.where(rng.random((ITEMS, n_tags)) < 0.01, "yes", "")
    table = pd.DataFrame(tags, columns=[f"tag-{n}" for n in range(n_tags)], dtype=object)
    plays = [
        (f"user-{u}", names[i], 1.0) for u in range(USERS) for i in rng.choice(PLAYED, 9, False)
    ]
    embeddings = rng.standard_normal((ITEMS, EMBEDDING)).astype(np.float32)
    config = RecommenderConfig(
        threads=1, tracking=False, sources=("als", "content"), als={"factors": 32},
        fusion={"warm": {"als": 0.7, "content": 0.3}, "cold": {"als": 0.5, "content": 0.5}},
    )  # fmt: skip
    dataset = MusicDataset(
        items=pd.concat([items, table], axis=1),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
    )
    return Recommender(config).fit(dataset, embeddings=pd.DataFrame(embeddings, index=names))


def lives(recommender: Recommender, chosen: argparse.Namespace) -> list[Life]:
    """All calls, in order."""
    vectors = np.random.default_rng(1).standard_normal((1000, EMBEDDING)).astype(np.float32)

    def recommend(number: int) -> object:
        return recommender.recommend(f"user-{number % USERS}", k=10)

    def onboard(number: int) -> object:
        return recommender.onboard(
            item_id=f"new-{number}",
            title=f"New song {number}",
            artist=f"Artist {number % 500}",
            genre=GENRES[number % len(GENRES)],
            embedding=vectors[number % 1000],
        )

    def update(number: int) -> object:
        row = (f"user-{number % UPDATED}", f"{number * 7 % UPDATED}", 1.0)
        return recommender.update(pd.DataFrame([row], columns=["user_id", "item_id", "weight"]))

    def cycle(number: int) -> object:
        recommender.onboard(item_id=f"gone-{number}", embedding=vectors[number % 1000])
        return recommender.remove(f"gone-{number}")

    counts = {
        "recommendations": (50_000, recommend),
        "onboardings": (20_000, onboard),
        "updates": (30_000, update),
        "onboarded and removed": (5_000, cycle),
        "recommendations after all": (5_000, recommend),
    }
    return [
        Life(name, max(int(calls * chosen.fraction), 20), call)
        for name, (calls, call) in counts.items()
    ]


def report(life: Life, folder: Path, window: int) -> None:
    """Make all calls of a kind and print a row of the table."""
    window = min(window, life.calls // 2)
    clock, processor = np.empty(life.calls), np.empty(life.calls)
    first_memory = 0.0
    for number in range(life.calls):
        started, worked = time.perf_counter(), time.process_time()
        life.call(number)
        clock[number] = time.perf_counter() - started
        processor[number] = time.process_time() - worked
        if number == window:
            first_memory = memory()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    first, last = slice(0, window), slice(-window, None)

    def both(times: np.ndarray, share: float) -> str:
        return " → ".join(f"{1000 * np.quantile(times[part], share):.2f}" for part in (first, last))

    print(
        f"| {life.calls:,} {life.name} | {both(processor, 0.5)} | {both(processor, 0.95)} "
        f"| {both(clock, 0.5)} | {first_memory:.0f} → {memory():.0f} | {size / 2**20:.1f} |",
        flush=True,
    )


def memory() -> float:
    """MiB that this process has in memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 2**10


if __name__ == "__main__":
    main()
