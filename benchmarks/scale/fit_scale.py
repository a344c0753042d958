"""Time and peak memory of fitting a large service: 100k users, 100k items, 10M interactions.

    python -m benchmarks.scale.fit_scale --threads 2
    python -m benchmarks.scale.fit_scale --users 200000 --items 1000000 --plays 20000000 --threads 2
    python -m benchmarks.scale.fit_scale --folder ../shared/data/real-mini --threads 1
    python -m benchmarks.scale.fit_scale --folder ../shared/data/real-mini --busy 1

Listening is made by rule: items' popularity and users' activity follow Zipf's law, and two thirds
of a user's plays are of one of 200 tastes, the user's own. Every item has an embedding: that of its
taste, and noise. `--folder` takes real listening instead, without recordings. All settings are the
defaults, so weights and penalties are chosen on the data; `--given` gives them, so that nothing is
fitted twice. `--busy` runs so many processes beside it that only compute. implicit's ALS alone on
the same matrix stands beside our fit. Each is a process of its own. After the fit the model is
saved and loaded in a new process, which makes lists and takes a new song in.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import SpawnContext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from evaluation.comparison.run import peak_memory_mb
from recsys import Recommender
from recsys.config import SOURCES, RecommenderConfig

TASTES = 200
WEIGHTS = {"als": 0.5, "fm": 0.25, "ease": 0.25, "content": 0.2, "popularity": -0.2}
DIMENSION = 64
"""Length of the embeddings."""


def listening(n_users: int, n_items: int, n_plays: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (user, item) pairs, at most ``n_plays`` of them."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, TASTES, n_items)
    by_taste = np.argsort(taste, kind="stable")
    start = np.searchsorted(taste[by_taste], np.arange(TASTES + 1))
    popularity = 1 / (10 + np.arange(n_items)) ** 0.8
    popular = np.cumsum(popularity / popularity.sum())
    activity = 1 / (20 + rng.permutation(n_users)) ** 0.5
    own = rng.integers(0, TASTES, n_users)
    drawn = int(1.25 * n_plays)
    users = np.searchsorted(np.cumsum(activity / activity.sum()), rng.random(drawn))
    users = np.minimum(users, n_users - 1)
    items = np.minimum(np.searchsorted(popular, rng.random(drawn)), n_items - 1)
    within = rng.random(drawn) < 2 / 3
    size = np.diff(start)[own[users]]
    place = (size * rng.random(drawn) ** 3).astype(np.int64)  # the first of a taste are popular
    items = np.where(within & (size > 0), by_taste[start[own[users]] + place], items)
    keys = np.unique(users.astype(np.int64) * n_items + items)
    keys = rng.permutation(keys)[:n_plays]
    return np.divmod(keys, n_items)


def implicit_alone(arguments: argparse.Namespace) -> dict[str, float]:
    """implicit's ALS on a matrix made straight from the pairs."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    users, items = _pairs(arguments)
    config = _config(arguments).als
    started, processor = time.perf_counter(), time.process_time()
    plays = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=40.0,
            alpha=config.alpha,
            iterations=15,
            random_state=0,
            num_threads=arguments.threads or 0,
        )
        model.fit(plays, show_progress=False)
    return {
        "ALS alone": time.perf_counter() - started,
        "ALS alone, processor seconds": time.process_time() - processor,
    }


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    """Our whole fit, stage by stage."""
    embeddings = None
    if arguments.folder is not None:
        dataset = _real(arguments.folder)
    else:
        users, items = _pairs(arguments)
        frame = pd.DataFrame(
            {
                "user_id": pd.Series(users).map(lambda n: f"u{n}"),
                "item_id": pd.Series(items).map(lambda n: f"i{n}"),
                "weight": 1.0,
            }
        )
        ids = [f"i{n}" for n in range(arguments.items)]
        texts = dict.fromkeys(("title", "artist", "album", "genre"), "")
        dataset = MusicDataset(items=pd.DataFrame({"item_id": ids} | texts), interactions=frame)
        embeddings = pd.DataFrame(
            embeddings_of(arguments.items, arguments.seed), index=pd.Index(ids, dtype=object)
        )
    started, processor = time.perf_counter(), time.process_time()
    recommender = Recommender(_config(arguments)).fit(
        dataset, embeddings=embeddings, progress=arguments.progress
    )
    total = time.perf_counter() - started
    stages = dict(recommender.info["seconds"])
    for name, facts in recommender.info["sources"].items():
        print(f"          source {name}: {facts}", flush=True)
    print(f"          blend: {recommender.info['blend']}", flush=True)
    found = {
        **stages,
        "everything else, index and song database": total - sum(stages.values()),
        "the whole fit": total,
        "the whole fit, processor seconds": time.process_time() - processor,
    }
    started = time.perf_counter()
    recommender.save(arguments.model)
    return {**found, "save": time.perf_counter() - started}


def served(arguments: argparse.Namespace) -> dict[str, float]:
    """Load the saved model, make lists and take in a song."""
    found = {}

    def timed(what: str, action: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = action()
        found[what] = time.perf_counter() - started
        return result

    model = timed("load", lambda: Recommender.load(arguments.model))
    users = [f"u{n}" for n in range(3)]
    if arguments.folder is not None:
        users = _real(arguments.folder).interactions["user_id"].unique()[:3].tolist()
    timed("first list", lambda: model.recommend(users[0]))
    timed("second list", lambda: model.recommend(users[1]))
    if arguments.folder is None:
        song = embeddings_of(1, arguments.seed)[0]
        timed("onboard a song", lambda: model.onboard(item_id="new", embedding=song))
        timed("a list of it", lambda: model.recommend(users[2], new="only", k=1))
    return found


def embeddings_of(n_items: int, seed: int) -> np.ndarray:
    """Embeddings float32 [n_items, DIMENSION]: of the item's taste, and noise of the same size."""
    taste = np.random.default_rng(seed).integers(0, TASTES, n_items)  # as `listening` draws it
    random = np.random.default_rng(seed + 1)
    centres = random.standard_normal((TASTES, DIMENSION), np.float32)
    return centres[taste] + random.standard_normal((n_items, DIMENSION), np.float32)


def _real(folder: Path) -> MusicDataset:
    """Real listening, without recordings."""
    found = load_folder(folder)
    return MusicDataset.from_checked(found.items, empty_audio(), found.interactions, None)


def _pairs(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of distinct plays, as numbers."""
    if arguments.folder is not None:
        plays = _real(arguments.folder).interactions
        return pd.factorize(plays["user_id"])[0], pd.factorize(plays["item_id"])[0]
    return listening(arguments.users, arguments.items, arguments.plays, arguments.seed)


def _config(arguments: argparse.Namespace) -> RecommenderConfig:
    sources = tuple(arguments.sources.split(","))
    given = {name: WEIGHTS[name] for name in sources}
    base = RecommenderConfig(threads=arguments.threads, tracking=False, sources=sources)
    if not arguments.given:
        return base
    return base.replace(
        als={"regularization": 40.0}, fusion={"warm": given, "cold": {**given, "popularity": 0.0}}
    )


def _report(name: str, arguments: argparse.Namespace) -> None:
    seconds = {"implicit": implicit_alone, "ours": ours, "served": served}[name](arguments)
    for stage, value in seconds.items():
        print(f"{name:9} {stage:42} {value:8.1f} s", flush=True)
    print(f"{name:9} {'peak memory':42} {peak_memory_mb():8,.0f} MiB", flush=True)


def _compute() -> None:
    """Keep a core busy."""
    values = np.random.default_rng(0).random(10_000)
    while True:
        values = np.sqrt(values + 1)


def main() -> None:
    """Print the stages of both."""
    parser = argument_parser(__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--plays", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="a data set with real listening")
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--sources", default=",".join(SOURCES))
    parser.add_argument("--given", action="store_true", help="give weights and penalties")
    parser.add_argument("--progress", action="store_true", help="show progress")
    parser.add_argument("--model", type=Path, default=None, help="keep the model here")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        if arguments.model is None:
            arguments.model = Path(stack.enter_context(TemporaryDirectory())) / "model"
        _run_each(context, arguments)


def _run_each(context: SpawnContext, arguments: argparse.Namespace) -> None:
    """Run the parts, each in a process of its own."""
    beside = [context.Process(target=_compute, daemon=True) for _ in range(arguments.busy)]
    for process in beside:
        process.start()
    for name in ("implicit", "ours", "served"):
        process = context.Process(target=_report, args=(name, arguments))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name} ended with {process.exitcode}")


if __name__ == "__main__":
    main()
