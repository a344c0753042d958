"""How long a saved model takes to open, in fresh processes, and where its bytes are.

    python -m benchmarks.scale.open_model --items 1000000 --cores 2
    ... --items 100000 --folder /tmp/opened    # built once, then kept

The model is synthetic: items with texts, 32-d embeddings and rows in the song database, a tenth as
many users, 50 plays a user, fused vectors of ALS and content. Its files are in the page cache when
opening is timed, and its index is exact unless --index says otherwise. Below the line is what the
same files took by the steps of format 1: one thread of SHA-256, texts as objects, a hash table of
all ids.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.common import argument_parser, timed
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.song import Song
from recsys.model import artifact
from recsys.model.artifact import digest_files
from recsys.model.live import LiveModel
from recsys.model.state import FittedState
from recsys.model.tables import read_string_table

RUNS = 5
PLAYS = 50
EMBEDDING = 32
GENRES = ("blues", "country", "disco", "jazz", "metal", "pop", "reggae", "rock")


def main() -> None:
    """Build where nothing is built, then print all timings."""
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--cores", type=int, default=2, help="that opening may use")
    parser.add_argument("--index", default="exact", help="RetrievalConfig.method")
    parser.add_argument("--folder", type=Path, help="where the model is kept for the next time")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, chosen.cores)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)) / f"{chosen.items}-{chosen.index}"
        if not (folder / artifact.MANIFEST).is_file():
            build(folder, chosen.items, chosen.index)
        report(folder, chosen.cores)


def build(folder: Path, n_items: int, index: str) -> None:
    """Save a model whose arrays are drawn, around the sources of a small fit."""
    started = time.perf_counter()
    state = synthetic(small_fit(index), n_items)
    catalog = Catalog.in_memory()
    catalog.fill(songs(state))
    recommender = Recommender(state.config)
    recommender._model = LiveModel(state, catalog)
    recommender.save(folder)
    print(f"built in {time.perf_counter() - started:.0f} s", flush=True)


def small_fit(index: str) -> FittedState:
    """A fit on next to nothing: sources, blocks and vocabulary for any number of items."""
    rng = np.random.default_rng(0)
    names = [f"{n}" for n in range(200)]
    items = pd.DataFrame({"item_id": names, "title": "t", "artist": "a", "album": "b"})
    items["genre"] = [GENRES[n % len(GENRES)] for n in range(200)]
    plays = [(f"user-{u}", names[i], 1.0) for u in range(120) for i in rng.choice(180, 9, False)]
    embeddings = rng.standard_normal((200, EMBEDDING)).astype(np.float32)
    config = RecommenderConfig(
        threads=1, tracking=False, sources=("als", "content"), als={"factors": 96},
        retrieval={"method": index},
        fusion={"warm": {"als": 0.7, "content": 0.3}, "cold": {"als": 0.5, "content": 0.5}},
    )  # fmt: skip
    dataset = MusicDataset(
        items=items,
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
    )
    fitted = Recommender(config).fit(dataset, embeddings=pd.DataFrame(embeddings, index=names))
    return fitted._fitted().state


def synthetic(state: FittedState, n_items: int) -> FittedState:
    """The state with drawn items, users, plays and vectors."""
    rng = np.random.default_rng(1)
    n_users, width = max(n_items // 10, 1), state.item_vectors.shape[1]
    items = pd.DataFrame(
        {
            "item_id": [f"track:{n:012x}" for n in rng.permutation(n_items)],
            "title": [f"A song of the title number {n}" for n in range(n_items)],
            "artist": [f"Artist number {n // 10}" for n in range(n_items)],
            "album": [f"Album number {n // 12}" for n in range(n_items)],
            "genre": [GENRES[n % len(GENRES)] for n in range(n_items)],
        },
        dtype=object,
    )
    liked = np.minimum(rng.pareto(0.8, n_users * PLAYS) * n_items / 1000, n_items - 1)
    rows = np.repeat(np.arange(n_users), PLAYS)
    return dataclasses.replace(
        state,
        items=items,
        user_ids=pd.Index([f"user:{n:08d}" for n in range(n_users)], dtype=object),
        plays=sp.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, liked.astype(np.int32))),
            shape=(n_users, n_items),
        ),
        user_vectors=rng.standard_normal((n_users, width), np.float32),
        user_scales=np.ones((n_users, len(state.blocks)), np.float32),
        item_vectors=rng.standard_normal((n_items, width), np.float32),
        embeddings=rng.standard_normal((n_items, EMBEDDING), np.float32),
        has_embedding=np.ones(n_items, bool),
        item_familiarity=rng.random(n_items, np.float32),
    )


def songs(state: FittedState) -> Iterator[Song]:
    """The items as songs of the fit."""
    for row, embedding in zip(state.items.itertuples(index=False), state.embeddings, strict=True):
        yield Song(*row, embedding=embedding)


def report(folder: Path, cores: int) -> None:
    """Open in fresh processes; print medians, the files, and the steps of format 1."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale.open_model",
        "--measure",
        str(folder),
        "--cores",
        str(cores),
    ]
    runs = []
    for _ in range(RUNS + 1):  # the first one brings the files into the page cache
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    for name in runs[0]:
        values = [run[name] for run in runs[1:]]
        print(f"{name}: {statistics.median(values):.3f}  ({min(values):.3f} to {max(values):.3f})")
    manifest = artifact.read_manifest(folder)
    generation = folder / manifest["generation"]
    sizes = {name: entry["bytes"] / 2**20 for name, entry in manifest["files"].items()}
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if size >= 0.1:
            print(f"  {size:8.1f} MiB  {name}")
    print(f"  {sum(sizes.values()):8.1f} MiB  in {len(sizes)} files")
    print("----")
    format_1(generation, list(sizes))


def format_1(generation: Path, names: list[str]) -> None:
    """The steps of format 1 on the same files, in one process."""
    paths = [generation / name for name in names]
    timed("hash every file, one thread", lambda: [digest_files([p], version=1) for p in paths])
    with tempfile.TemporaryDirectory() as folder:
        tables = {}
        for name in ("items", "users"):
            path = Path(folder) / f"{name}.parquet"
            read_string_table(generation / f"{name}.arrow").astype(object).to_parquet(path)
            read = timed(f"read {name}.parquet", lambda: pd.read_parquet(path).astype(object))  # noqa: B023
            tables[name] = pd.Index(read.iloc[:, 0], dtype=object)
        for name, ids in tables.items():
            timed(f"first lookup of {name}", lambda: ids.get_indexer(["nobody"]))  # noqa: B023


def measure(folder: Path, cores: int) -> None:
    """Open, recommend, and print what it took as JSON: in a process of its own."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    started = time.perf_counter()
    recommender = Recommender.load(folder)
    opened = time.perf_counter()
    memory = peak_memory()
    recommender.recommend("user:00000007", k=10)
    first = time.perf_counter()
    recommender.recommend("user:00000008", k=10)
    second = time.perf_counter()
    found = {
        "seconds to open": opened - started,
        "seconds of the first recommend": first - opened,
        "seconds of the second recommend": second - first,
        "MiB of memory at most, mapped pages included, opened": memory,
        "the same after recommending": peak_memory(),
    }
    print(json.dumps(found))


def peak_memory() -> float:
    """MiB that this process has had in memory at most; a parent's do not count, as in ru_maxrss."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


if __name__ == "__main__":
    main()
