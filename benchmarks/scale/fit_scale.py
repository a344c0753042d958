"""Time and peak memory of fitting a large service: 100k users, 100k items, 10M interactions.

    python -m benchmarks.scale.fit_scale --threads 2
    python -m benchmarks.scale.fit_scale --users 20000 --items 20000 --plays 1000000

Listening is made by rule: items' popularity and users' activity follow Zipf's law, and two thirds
of a user's plays are of one of 200 tastes, the user's own. implicit's ALS alone on the same matrix
stands beside our ALS; fusion and the index stand apart. Weights and penalties are given, so that
nothing is fitted twice; `--choose` leaves them to the data. Each of the two is a process of its
own.
"""

import argparse
import multiprocessing
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.common import argument_parser
from datasets.music import MusicDataset
from evaluation.comparison.run import peak_memory_mb
from recsys import Recommender
from recsys.config import RecommenderConfig

TASTES = 200
WEIGHTS = {"als": 0.5, "fm": 0.25, "ease": 0.25, "content": 0.2, "popularity": -0.2}


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
    started = time.perf_counter()
    plays = sp.csr_matrix(
        (np.ones(len(users), np.float32), (users, items)), (arguments.users, arguments.items)
    )
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            random_state=0,
            num_threads=arguments.threads,
        )
        model.fit(plays, show_progress=False)
    return {"implicit ALS alone": time.perf_counter() - started}


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    """Our whole fit, stage by stage."""
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
    started = time.perf_counter()
    recommender = Recommender(_config(arguments)).fit(dataset)
    total = time.perf_counter() - started
    stages = dict(recommender.info["seconds"])
    return {**stages, "everything else, index and song database": total - sum(stages.values())}


def _pairs(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    return listening(arguments.users, arguments.items, arguments.plays, arguments.seed)


def _config(arguments: argparse.Namespace) -> RecommenderConfig:
    sources = tuple(arguments.sources.split(","))
    given = {name: WEIGHTS[name] for name in sources}
    changes = {} if arguments.choose else {"fusion": {"warm": given, "cold": given}}
    return RecommenderConfig(threads=arguments.threads, tracking=False, sources=sources).replace(
        als={} if arguments.choose else {"regularization": 40.0}, **changes
    )


def _report(name: str, arguments: argparse.Namespace) -> None:
    seconds = {"implicit": implicit_alone, "ours": ours}[name](arguments)
    for stage, value in seconds.items():
        print(f"{name:9} {stage:42} {value:8.1f} s", flush=True)
    print(f"{name:9} {'peak memory':42} {peak_memory_mb():8,.0f} MiB", flush=True)


def main() -> None:
    """Print the stages of both."""
    parser = argument_parser(__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--plays", type=int, default=10_000_000)
    parser.add_argument("--sources", default="als,fm,ease,popularity")
    parser.add_argument("--choose", action="store_true", help="choose weights and penalties")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for name in ("implicit", "ours"):
        process = context.Process(target=_report, args=(name, arguments))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name} ended with {process.exitcode}")


if __name__ == "__main__":
    main()
