"""What judging costs beside the models: seconds and memory of each stage of a comparison.

    python -m benchmarks.speed.comparison
    python -m benchmarks.speed.comparison --users 2000 --items 500 --plays 40000

The plays are made up: users and items drawn by a popularity that falls like a chart's
(1 / (place + 50) ** 0.9), songs of artists, artists of genres. They are split by plays and by
artists, three models are compared with the defaults of `compare`, and a report's worth of tables is
made. The models' lists are drawn by popularity, evenly or among the songs of few artists: they cost
little, and what they cost is a stage of its own, as are the lists' checks. One thread, one process,
held to one core where the system allows it.

`seconds` are by the clock and `processor` those the process was running; a machine with other work
shows in the difference. A stage does not count what stages within it took. `peak MB` is the most
the whole process held during the stage, data and all.
"""

import argparse
import os

# Libraries read these when they are loaded.
os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from benchmarks.common import argument_parser
from datasets.music import MusicDataset
from evaluation.comparison import comparison, trial
from evaluation.comparison import run as running
from evaluation.comparison.comparison import Comparison, compare
from evaluation.comparison.run import peak_memory_mb, reset_peak_memory
from evaluation.comparison.trial import CandidateSet
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.slices import Slices
from evaluation.splitting.cold import cold_split
from evaluation.splitting.warm import warm_split

OVERHEAD_WITHOUT = ("data", "models")


class Stages:
    """Seconds, processor seconds and peak memory by stage; the innermost one counts."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._open: list[str] = []
        self._since = (time.perf_counter(), time.process_time())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens within belongs to ``name``, unless a stage within takes it."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def within(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call`` as a stage."""

        @wraps(call)
        def staged(*given: Any, **named: Any) -> Any:
            with self.stage(name):
                return call(*given, **named)

        return staged

    def _book(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._open:
            entry = self.spent.setdefault(self._open[-1], [0.0, 0.0, 0.0])
            entry[0] += now[0] - self._since[0]
            entry[1] += now[1] - self._since[1]
            entry[2] = max(entry[2], peak_memory_mb() or 0.0)
        reset_peak_memory()
        self._since = now


def watch(stages: Stages) -> None:
    """Have the parts of a comparison say what they take."""
    for where, name, stage in (
        (trial, "item_facts", "facts"),
        (trial, "check_no_leak", "checks"),
        (Drawn, "fit", "models"),
        (Drawn, "onboard_many", "models"),
        (Drawn, "recommend_many", "models"),
        (running, "item_auc", "AUCs"),
        (running, "user_auc", "AUCs"),
        (HitEncoder, "__init__", "judging"),
        (HitEncoder, "hits", "judging"),
        (HitEncoder, "scores", "judging"),
        (CandidateSet, "accuracy", "metrics"),
        (CandidateSet, "beyond_accuracy", "metrics"),
        (CandidateSet, "of_catalogue", "metrics"),
        (Slices, "__init__", "slices"),
        (Slices, "values", "slices"),
        (comparison, "choose_examples", "examples"),
        (comparison, "tabulate", "bootstrap and tables"),
        (comparison, "tabulate_slices", "bootstrap and tables of slices"),
        (comparison.ResultCollector, "add", "folds"),
        (comparison, "Trial", "trial"),
    ):
        setattr(where, name, stages.within(stage, getattr(where, name)))


class Drawn:
    """A model whose lists are drawn: as costly as a lookup."""

    def __init__(self, kind: str, seed: int = 0) -> None:
        self.kind = kind
        self.seed = seed

    def fit(self, dataset: MusicDataset) -> "Drawn":
        """Learn the catalogue and what to draw by."""
        self._items = dataset.items["item_id"].to_numpy()
        codes = pd.Index(self._items, dtype=object).get_indexer(dataset.interactions["item_id"])
        users, self._users = pd.factorize(dataset.interactions["user_id"])
        self._seen = np.unique(users * np.int64(1 << 32) + codes)
        self._plays = np.bincount(codes, minlength=len(self._items)) + 1e-3
        return self

    def onboard_many(self, dataset: MusicDataset) -> "Drawn":
        """Add items without plays."""
        self._items = np.append(self._items, dataset.items["item_id"].to_numpy())
        self._plays = np.append(self._plays, np.full(len(dataset.items), 1e-3))
        return self

    def recommend_many(
        self,
        users: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The first k of what is drawn for each user, without what they have had."""
        random = np.random.default_rng(self.seed)
        allowed = np.arange(len(self._items))
        if only is not None:
            allowed = np.sort(pd.Index(self._items, dtype=object).get_indexer(list(only)))
        if k >= len(allowed):
            item = np.argsort(random.random((len(users), len(allowed)), np.float32), axis=1)
        else:
            item = self._draws(random, len(users), 3 * k, allowed)
        row = np.repeat(np.arange(len(users)), item.shape[1])
        pairs = pd.DataFrame({"row": row, "item": allowed[item.ravel()]})
        fresh = ~pairs.duplicated().to_numpy() if k < len(allowed) else np.ones(len(row), bool)
        if exclude_seen:
            code = pd.Index(self._users, dtype=object).get_indexer(list(users)).astype(np.int64)
            keys = code[row] * (1 << 32) + pairs["item"].to_numpy()
            place = np.minimum(np.searchsorted(self._seen, keys), len(self._seen) - 1)
            fresh &= self._seen[place] != keys
        pairs = pairs[fresh]
        first = np.searchsorted(pairs["row"].to_numpy(), np.arange(len(users)))
        rank = np.arange(len(pairs)) - first[pairs["row"]] + 1
        pairs, rank = pairs[rank <= k], rank[rank <= k]
        return pd.DataFrame(
            {
                "user_id": np.array(users, dtype=object)[pairs["row"]],
                "rank": rank,
                "item_id": self._items[pairs["item"]],
                "score": 1.0 / rank,
            }
        )

    def _draws(
        self, random: np.random.Generator, n_users: int, n: int, allowed: np.ndarray
    ) -> np.ndarray:
        if self.kind == "random":
            return random.integers(0, len(allowed), (n_users, n))
        if self.kind == "popularity":
            share = np.cumsum(self._plays[allowed])
            return np.searchsorted(share, random.random((n_users, n)) * share[-1])
        start = random.integers(0, len(allowed), (n_users, 1))
        return (start + random.integers(0, 4 * n, (n_users, n))) % len(allowed)


def made_up(n_users: int, n_items: int, n_plays: int, seed: int) -> MusicDataset:
    """Songs of artists of genres, and plays of them by a falling popularity."""
    random = np.random.default_rng(seed)
    artist = np.sort(random.integers(0, max(n_items // 8, 3), n_items))
    text = {
        "item_id": [f"item-{n:07d}" for n in range(n_items)],
        "title": [f"Song {n}" for n in range(n_items)],
        "artist": [f"Artist {n}" for n in artist],
        "album": [""] * n_items,
        "genre": [f"Genre {n % 19}" if n % 20 else "" for n in artist],
    }
    share = 1 / (np.arange(n_items) + 50) ** 0.9
    user = random.integers(0, n_users, n_plays)
    place = random.permutation(n_items)
    item = place[random.choice(n_items, n_plays, p=share / share.sum())]
    plays = pd.DataFrame({"user": user, "item": item}).groupby(["user", "item"]).size()
    users = np.array([f"user-{n:07d}" for n in range(n_users)], dtype=object)
    items = pd.DataFrame(text)
    return MusicDataset(
        items,
        interactions=pd.DataFrame(
            {
                "user_id": users[plays.index.get_level_values(0)],
                "item_id": items["item_id"].to_numpy()[plays.index.get_level_values(1)],
                "weight": plays.to_numpy(np.float64),
            }
        ),
    )


def main() -> None:
    """Compare, and print what each stage took."""
    parser = argument_parser(__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--plays", type=int, default=3_000_000)
    parser.add_argument("--n-bootstrap", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pyarrow.set_cpu_count(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    stages = Stages()
    measure(arguments, stages)
    print(f"{'stage':32}{'seconds':>9}{'processor':>11}{'peak MB':>9}")
    for name, (seconds, processor, peak) in stages.spent.items():
        print(f"{name:32}{seconds:9.2f}{processor:11.2f}{peak:9.0f}")
    ours = [spent for name, spent in stages.spent.items() if name not in OVERHEAD_WITHOUT]
    seconds, processor = (sum(spent[n] for spent in ours) for n in (0, 1))
    peak = max(spent[2] for spent in ours)
    print(f"{'all but data and models':32}{seconds:9.2f}{processor:11.2f}{peak:9.0f}")


def measure(arguments: argparse.Namespace, stages: Stages) -> Comparison:
    """The comparison, with its parts in stages."""
    with stages.stage("data"):
        dataset = made_up(arguments.users, arguments.items, arguments.plays, arguments.seed)
    print(f"{len(dataset.interactions):,} pairs of users and items")
    with stages.stage("split"):
        splits = [
            warm_split(dataset, seed=arguments.seed),
            cold_split(dataset, 0.1, seed=arguments.seed, among=list(dataset.items["item_id"])),
        ]
    watch(stages)
    with stages.stage("rest"):
        return compare(
            {kind: partial(Drawn, kind) for kind in ("popularity", "random", "near")},
            dataset,
            splits,
            n_bootstrap=arguments.n_bootstrap,
            seed=arguments.seed,
        )


if __name__ == "__main__":
    main()
