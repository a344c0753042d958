"""Spark against one machine on the same work: wall time, processor seconds, 1 and 2 workers.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python -m benchmarks.scale.spark ../shared/data/real-mini --workers 1 2
    ... --work als lists --size 4

A standalone master and workers of one core each run on this machine, as in the tests. One machine
is one thread of this process. Processor seconds are those of all processes together: driver,
master, workers, executors, and their processes of Python; a job is first run on a little of the
data, so that what every session pays once (classes loaded, models opened) has a line of its own.

- embed: the recordings of the folder, 5 times `size` over, by a network of the patent's shape
- plays: a log of `size` million plays, Zipf items, against pandas
- als: the folder's plays, and `size` times 500,000 synthetic ones, against implicit
- lists: ten items for each of `size` times 10,000 users, 20,000 items, 128 dimensions
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset
from embedding import EncoderConfig, SongEncoder
from embedding.encoders import embed_files
from recsys import Recommender, RecommenderConfig
from recsys.cluster import (
    count_plays,
    embed_on_cluster,
    learn_factors,
    open_cluster,
    recommend_on_cluster,
)
from recsys.config import ALSConfig, ContentMapConfig
from recsys.data import ItemContent, TrainingData, play_matrix
from recsys.sources.als import ALSSource
from tests.helpers.kills import children_of
from tests.helpers.spark_cluster import session_settings, standalone_cluster

WORKS = ("embed", "plays", "als", "lists")


def main() -> None:
    """Print a line for each kind of work and number of workers."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, help="data set with recordings and plays")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        works = [work for kind in arguments.work for work in MAKERS[kind](arguments, place)]
        print(f"{'work':34} {'on':14} {'wall s':>8} {'processor s':>12}")
        for what, alone, _, _ in works:
            line(what, "one machine", *measured(alone))
        for workers in arguments.workers:
            folder = place / f"cluster-{workers}"
            folder.mkdir()
            with standalone_cluster(folder, workers) as cluster:
                settings = session_settings(folder, **{"spark.executor.memory": "900m",
                                                       "spark.driver.extraJavaOptions": "",
                                                       "spark.executor.extraJavaOptions": "",
                                                       "spark.driver.memory": "1g"})  # fmt: skip
                started = time.perf_counter(), processor_seconds()
                spark = open_cluster(cluster.master, settings)
                spark.range(10).count()
                taken = (now - was for now, was in zip(
                    (time.perf_counter(), processor_seconds()), started, strict=True))  # fmt: skip
                line("start", f"{workers} workers", *taken)
                for number, (what, _, first, whole) in enumerate(works):
                    for part, job in (("first, little", first), ("", whole)):
                        out = str(folder / f"out-{number}{part[:5]}")
                        took = measured(partial(job, spark, out))
                        line(f"{what} {part}", f"{workers} workers", *took)
                spark.stop()


def line(what: str, where: str, wall: float, processor: float) -> None:
    """Print one measurement."""
    print(f"{what:34} {where:14} {wall:8.1f} {processor:12.1f}", flush=True)


def processor_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    ticks = 0
    for pid in [os.getpid(), *children_of(os.getpid())]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(job: Callable[[], Any]) -> tuple[float, float]:
    """Run a job; return wall time and processor seconds."""
    wall, processor = time.perf_counter(), processor_seconds()
    job()
    return time.perf_counter() - wall, processor_seconds() - processor


def embed_work(arguments: Any, place: Path) -> list[tuple[str, Any, Any, Any]]:
    """Recordings by a network of the patent's shape, decoded and embedded."""
    dataset = load_folder(arguments.folder)
    paths = [str(path.absolute()) for path in dataset.recording_paths()]
    paths *= max(int(5 * arguments.size), 1)  # the work of a larger catalogue
    images = np.random.default_rng(0).standard_normal((8, 1, 128, 128)).astype(np.float32)
    encoder = SongEncoder(EncoderConfig(epochs=1, threads=1)).fit(images, ["a", "b"] * 4)
    encoder.save(place / "encoder")

    def job(n: int) -> Callable[[Any, str], Any]:
        rows = [(f"{number}", path) for number, path in enumerate(paths[:n])]
        return lambda spark, out: embed_on_cluster(
            spark, spark.createDataFrame(rows, ["item_id", "path"]), place / "encoder", out,
            slice_size=16,
        )  # fmt: skip

    alone = lambda: embed_files(paths, encoder, workers=0)  # noqa: E731
    return [(f"embed {len(paths)} recordings", alone, job(2), job(len(paths)))]


def plays_work(arguments: Any, place: Path) -> list[tuple[str, Any, Any, Any]]:
    """A log of plays to sums by user and item."""
    n = int(arguments.size * 1e6)
    rng = np.random.default_rng(1)
    log = pd.DataFrame(
        {
            "user_id": np.char.add("u", rng.integers(0, max(n // 100, 1), n).astype(str)),
            "item_id": np.char.add("s", (rng.zipf(1.3, n) % 100_000).astype(str)),
            "timestamp": rng.integers(1_700_000_000, 1_702_000_000, n),
        }
    )
    (place / "log").mkdir()
    for number, part in enumerate(np.array_split(np.arange(n), 4)):
        log.iloc[part].to_parquet(place / "log" / f"part-{number}.parquet")
    log.iloc[:1000].to_parquet(place / "little.parquet")
    del log

    def alone() -> None:
        table = pd.read_parquet(place / "log")
        sums = table.groupby(["user_id", "item_id"])["timestamp"].agg(["size", "max", "min"])
        sums.reset_index().to_parquet(place / "sums.parquet")

    def job(name: str) -> Callable[[Any, str], Any]:
        return lambda spark, out: count_plays(spark, str(place / name), out)

    return [(f"plays, {n:,}", alone, job("little.parquet"), job("log"))]


def als_work(arguments: Any, place: Path) -> list[tuple[str, Any, Any, Any]]:
    """64 factors, 15 iterations."""
    real = load_folder(arguments.folder).interactions
    n = int(arguments.size * 5e5)
    rng = np.random.default_rng(2)
    made = pd.DataFrame(
        {
            "user_id": np.char.add("u", rng.integers(0, max(n // 50, 1), n).astype(str)),
            "item_id": np.char.add("s", (rng.zipf(1.3, n) % 20_000).astype(str)),
            "weight": 1.0,
        }
    ).drop_duplicates(["user_id", "item_id"], ignore_index=True)
    works = []
    for name, table in (("real", real[["user_id", "item_id", "weight"]]), ("synthetic", made)):
        table.astype({"user_id": str, "item_id": str}).to_parquet(place / f"{name}.parquet")
        table.iloc[:2000].astype({"user_id": str, "item_id": str}).to_parquet(
            place / f"{name}-little.parquet"
        )

        def alone(table: pd.DataFrame = table) -> None:
            items = pd.Index(table["item_id"].unique(), dtype=object)
            plays, _ = play_matrix(table, items)
            empty = np.zeros((len(items), 0), np.float32)
            content = ItemContent(empty, np.zeros(len(items), bool), plays[:0].T.tocsr())
            data = TrainingData(plays, content, np.arange(len(items)), seed=0, threads=1)
            ALSSource(ALSConfig(factors=64), ContentMapConfig()).factors(data)

        def job(path: Path) -> Callable[[Any, str], Any]:
            return lambda spark, out: learn_factors(spark, str(path), out)

        little, whole = place / f"{name}-little.parquet", place / f"{name}.parquet"
        works.append((f"als, {len(table):,} {name} plays", alone, job(little), job(whole)))
    return works


def lists_work(arguments: Any, place: Path) -> list[tuple[str, Any, Any, Any]]:
    """Ten items for every user of a model of 128 dimensions."""
    users, items = int(10_000 * arguments.size), 20_000
    rng = np.random.default_rng(3)
    n = users * 10
    plays = pd.DataFrame(
        {
            "user_id": np.char.add("u", np.repeat(np.arange(users), 10).astype(str)),
            "item_id": np.char.add("s", (rng.zipf(1.3, n) % items).astype(str)),
            "weight": 1.0,
        }
    ).drop_duplicates(["user_id", "item_id"], ignore_index=True)
    texts = dict.fromkeys(("title", "artist", "album", "genre"), "")
    catalogue = pd.DataFrame({"item_id": [f"s{n}" for n in range(items)]}).assign(**texts)
    config = RecommenderConfig(
        threads=1, tracking=False, sources=("als",),
        als={"factors": 128, "iterations": 3, "regularization": 40.0},
        content_map={"shrinkage": 0},
    )  # fmt: skip
    model = Recommender(config).fit(MusicDataset(items=catalogue, interactions=plays))
    model.save(place / "model")
    few = [(f"u{n}",) for n in range(100)]
    return [
        (
            f"lists, {users:,} users",
            lambda: Recommender.load(place / "model").write_recommendations(
                place / "lists.parquet", k=10
            ),
            lambda spark, out: recommend_on_cluster(
                spark, place / "model", out, spark.createDataFrame(few, ["user_id"])
            ),
            lambda spark, out: recommend_on_cluster(spark, place / "model", out, batch_size=2048),
        )
    ]


MAKERS = {"embed": embed_work, "plays": plays_work, "als": als_work, "lists": lists_work}

if __name__ == "__main__":
    main()
