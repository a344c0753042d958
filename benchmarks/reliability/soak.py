"""Threads and processes that read and write one saved model at the same time, for minutes.

    python -m benchmarks.reliability.soak [--minutes 10] [--processes 4] [--threads 12] [--seed 0]

Each process opens the model, and each of its threads (all threads are divided among the processes)
draws what it does next: recommend to one user or many, from a history, similar items, explain,
refresh (readers); onboard, update, remove (writers); and one process rebuilds now and then. Each
thread notes what was acknowledged: items onboarded, items removed, users with plays.

At the end: no thread hung (LIMIT seconds for one action) or saw an error that the library does not
document for such a meeting, every list had known items without duplicates and finite scores, and a
model that is opened anew has every acknowledged item and user, and none that was removed. The table
shows how many actions of each kind were done and their latency.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.errors import ColdtuneError, UnknownItemError

LIMIT = 120.0
"""Seconds that one action may take before it counts as hung."""

READS = ("recommend", "many", "history", "similar", "explain", "refresh")
WRITES = ("onboard", "update", "remove")

MEETINGS = ("load it again", "was replaced", "no longer", "being written", "refresh")
"""Words of the errors that say that another process has replaced the model meanwhile."""


class Notes:
    """What the threads of a process did, and what was acknowledged."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.added: set[str] = set()
        self.removed: set[str] = set()
        self.users: set[str] = set()
        self.refused: dict[str, int] = defaultdict(int)
        self.faults: list[str] = []
        self.lock = threading.Lock()


def make_model(folder: Path, seed: int) -> None:
    """Fit and save a small model of 300 users and 200 items."""
    from datasets.music import MusicDataset
    from recsys import Recommender, RecommenderConfig

    rng = np.random.default_rng(seed)
    ids = [f"i{n}" for n in range(200)]
    items = pd.DataFrame(
        {"item_id": ids, "title": ids, "artist": [f"a{n // 3}" for n in range(200)]}
    )
    items["album"], items["genre"] = "", ["rock", "jazz"] * 100
    rows = [(f"u{u}", ids[i], 1.0) for u in range(300) for i in rng.choice(180, 12, replace=False)]
    plays = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    embeddings = pd.DataFrame(rng.normal(size=(200, 8)), index=ids)
    weights = {"als": 0.5, "content": 0.3, "popularity": 0.2}
    config = RecommenderConfig(
        threads=1, tracking=False, sources=tuple(weights), als={"factors": 8, "iterations": 3},
        fusion={"warm": weights, "cold": weights},
    )  # fmt: skip
    Recommender(config).fit(MusicDataset(items, None, plays), embeddings).save(folder)


def work(number: int, threads: int, folder: Path, until: float, seed: int, say: Connection) -> None:
    """A process: its threads act until the time is over; then it sends its notes."""
    from recsys import Recommender

    model, notes = Recommender.load(folder), Notes()
    running = [
        threading.Thread(
            target=act,
            args=(
                model,
                notes,
                f"{number}-{place}",
                until,
                [seed, number, place],
                number == 0 == place,
            ),
            daemon=True,
        )
        for place in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(max(until - time.time(), 0) + LIMIT)
        if thread.is_alive():
            notes.faults.append(f"{thread.name} hangs")
    say.send(
        {
            **vars(notes),
            "lock": None,
            "seconds": dict(notes.seconds),
            "refused": dict(notes.refused),
        }
    )


def act(model: Any, notes: Notes, name: str, until: float, seed: list[int], rebuilds: bool) -> None:
    """A thread: one action after another."""
    rng = np.random.default_rng(seed)
    mine: list[str] = []
    next_rebuild = time.time() + 20
    count = 0
    while time.time() < until:
        count += 1
        kind = str(rng.choice(READS)) if rng.random() < 0.6 else str(rng.choice(WRITES))
        if rebuilds and time.time() > next_rebuild:
            kind, next_rebuild = "rebuild", time.time() + 20
        started = time.perf_counter()
        try:
            _do(model, notes, kind, f"{name}-{count}", mine, rng)
        except ColdtuneError as error:
            message = str(error)
            with notes.lock:
                if any(words in message for words in MEETINGS):
                    notes.refused[kind] += 1
                else:
                    notes.faults.append(f"{kind}: {message}")
            model.refresh()
        except Exception as error:
            with notes.lock:
                notes.faults.append(f"{kind}: {type(error).__name__}: {error}")
            return
        with notes.lock:
            notes.seconds[kind].append(time.perf_counter() - started)


def _do(
    model: Any, notes: Notes, kind: str, name: str, mine: list[str], rng: np.random.Generator
) -> None:
    user, item = f"u{rng.integers(300)}", f"i{rng.integers(180)}"
    match kind:
        case "recommend":
            _check(model.recommend(user, 10), notes)
        case "many":
            _check(model.recommend_many([f"u{n}" for n in rng.permutation(300)[:20]], 5), notes)
        case "history":
            _check(model.recommend(history=[item, "i181"], k=5, diversity=0.2), notes)
        case "similar":
            _check(model.similar(item, 5), notes)
        case "explain":
            model.explain(user, item)
        case "refresh":
            model.refresh()
        case "rebuild":
            model.rebuild()
        case "onboard":
            model.onboard(item_id=name, embedding=rng.normal(size=8), title=name)
            mine.append(name)
            with notes.lock:
                notes.added.add(name)
        case "update":
            rows = [(f"new-{name}", item, 1.0), (user, f"i{rng.integers(200)}", 2.0)]
            model.update(pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]))
            with notes.lock:
                notes.users.add(f"new-{name}")
        case "remove" if mine:
            gone = mine.pop(int(rng.integers(len(mine))))
            try:
                model.remove(gone)
            except UnknownItemError as error:
                raise AssertionError(f"an acknowledged item is gone: {error}") from None
            with notes.lock:
                notes.removed.add(gone)


def _check(frame: pd.DataFrame, notes: Notes) -> None:
    keys = [name for name in ("user_id", "item_id") if name in frame]
    numbers = frame.select_dtypes("number")
    if frame.duplicated(keys).any() or not np.isfinite(numbers["score"].to_numpy(float)).all():
        with notes.lock:
            notes.faults.append("a list with an item twice or a score that is not finite")


def run(
    minutes: float, processes: int, threads: int, seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Let processes and threads act on one model.

    Returns:
        The notes of each process, and what is wrong at the end.
    """
    from recsys import Recommender

    folder = Path(tempfile.mkdtemp(prefix="coldtune-soak-"))
    try:
        make_model(folder / "model", seed)
        until = time.time() + 60 * minutes
        context = multiprocessing.get_context("spawn")
        alive = []
        for number in range(processes):
            share = threads // processes + (number < threads % processes)
            hear, say = context.Pipe(duplex=False)
            arguments = (number, share, folder / "model", until, seed, say)
            process = context.Process(target=work, args=arguments)
            process.start()
            say.close()
            alive.append((process, hear))
        notes, wrong = [], []
        for number, (process, hear) in enumerate(alive):
            try:
                if not hear.poll(60 * minutes + 2 * LIMIT):
                    raise EOFError
                notes.append(hear.recv())
            except EOFError:
                wrong.append(f"process {number} hung or died (exit code {process.exitcode})")
            process.join(10)
            process.kill()
        wrong += [fault for note in notes for fault in note["faults"]]
        if not wrong:
            wrong = _compare(Recommender.load(folder / "model"), notes)
        return notes, wrong
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(model: Any, notes: list[dict[str, Any]]) -> list[str]:
    """What was acknowledged and is not in the model."""
    added = set().union(*(note["added"] for note in notes))
    removed = set().union(*(note["removed"] for note in notes))
    users = set().union(*(note["users"] for note in notes))
    wrong = []
    for item in sorted(added):
        try:
            model.similar(item, 1)
            there = True
        except UnknownItemError:
            there = False
        if there != (item not in removed):
            wrong.append(f"item {item}: {'there' if there else 'lost'} at the end")
    for start in range(0, len(users), 500):
        asked = sorted(users)[start : start + 500]
        lists = model.recommend_many(asked, 1)
        wrong += [f"user {user}: lost at the end" for user in lists.attrs.get("fallback_users", ())]
    return wrong


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=12, help="of all processes together")
    parser.add_argument("--seed", type=int, default=0)
    arguments: argparse.Namespace = parser.parse_args()
    notes, wrong = run(arguments.minutes, arguments.processes, arguments.threads, arguments.seed)
    print(f"{'':12}{'done':>10}{'refused':>10}{'median ms':>12}{'p99 ms':>10}{'longest ms':>12}")
    for kind in (*READS, *WRITES, "rebuild"):
        seconds = [one for note in notes for one in note["seconds"].get(kind, ())]
        refused = sum(note["refused"].get(kind, 0) for note in notes)
        if seconds:
            middle, high = 1000 * np.quantile(seconds, (0.5, 0.99))
            longest = 1000 * max(seconds)
            cells = f"{middle:12.1f}{high:10.1f}{longest:12.1f}"
            print(f"{kind:12}{len(seconds):10,}{refused:10,}{cells}")
    total = sum(len(one) for note in notes for one in note["seconds"].values())
    print(f"{total:,} actions, {len(wrong):,} faults")
    for line in wrong[:50]:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
