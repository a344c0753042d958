"""Lists for everybody: users/s beside implicit's own `recommend`, and memory as users grow.

    python -m benchmarks.speed.batches --threads 1

Both search the same random vectors exactly, leave out the same 30 plays of each user and return the
10 best. Ours is `Recommender.recommend_batches`, which ends with frames of ids; implicit's is one
call of `recommend`, which ends with arrays of rows, and one call for every batch of as many users.
The rounds alternate between the three, and medians are printed. Memory is the peak of what Python
and NumPy allocate while all users' batches are read and thrown away, for 10 and 100 thousand users
of a small catalogue, beside all lists in one frame.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.model.live import LiveModel
from recsys.ranking.batches import BATCH

K = 10
PLAYS = 30
SMALL = (5_000, 32)
"""Items and dimensions where memory is measured."""


def main() -> None:
    """Print both tables."""
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=20_000, help="of the 20,000 items")
    parser.add_argument("--users-large", type=int, default=4_000, help="of the 100,000 items")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print("| users x items x dimensions | ours, users/s | implicit, one call | implicit, batches |")
    print("|---|---|---|---|")
    with threadpool_limits(chosen.threads):
        for users, items in ((chosen.users, 20_000), (chosen.users_large, 100_000)):
            recommender = random_recommender(users, items, 128, chosen.threads, chosen.seed)
            speeds = measure(recommender, chosen.threads, chosen.repeats)
            cells = " | ".join(f"{speed:,.0f}" for speed in speeds)
            print(f"| {users:,} x {items:,} x 128 | {cells} |", flush=True)
        print("\n| users | peak of batches, MB | peak of one frame, MB |\n|---|---|---|")
        for users in (10_000, 100_000):
            recommender = random_recommender(users, *SMALL, chosen.threads, chosen.seed)
            streamed = peak(partial(stream, recommender))
            ids = list(recommender._fitted().state.user_ids)
            whole = peak(partial(recommender.recommend_many, ids, K))
            print(f"| {users:,} | {streamed:.1f} | {whole:.1f} |", flush=True)


def random_recommender(
    users: int, items: int, dimensions: int, threads: int, seed: int
) -> Recommender:
    """A recommender with normal vectors and uniform plays, of a model fitted on next to nothing."""
    rows = [(f"u{n}", f"i{(n + m) % 6}", 1.0) for n in range(6) for m in range(3)]
    names = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(6)],
            "title": "",
            "artist": "",
            "album": "",
            "genre": "",
        }
    )
    plays = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    config = RecommenderConfig(
        sources=("als",), als={"factors": dimensions}, threads=threads, tracking=False,
        fusion={"warm": {"als": 1.0}, "cold": {"als": 1.0}}, retrieval={"method": "exact"},
    )  # fmt: skip
    recommender = Recommender(config).fit(MusicDataset(items=names, interactions=plays))
    state = recommender._fitted().state
    rng = np.random.default_rng(seed)
    played = sp.csr_matrix(
        (
            np.ones(users * PLAYS, np.float32),
            np.sort(rng.integers(0, items, (users, PLAYS), np.int32), axis=1).ravel(),
            np.arange(0, users * PLAYS + 1, PLAYS, np.int32),
        ),
        shape=(users, items),
    )
    block = replace(
        state.blocks[0],
        columns=slice(0, dimensions),
        mean=np.zeros(dimensions, np.float32),
        covariance=np.eye(dimensions),
        n_items=items,
    )
    table = {name: np.full(items, "", object) for name in state.items.columns}
    table["item_id"] = np.array([f"item-{n}" for n in range(items)], object)
    large = replace(
        state,
        items=pd.DataFrame(table),
        user_ids=pd.Index([f"user-{n}" for n in range(users)], dtype=object),
        plays=played,
        user_vectors=rng.standard_normal((users, dimensions), np.float32),
        user_scales=np.ones((users, 1), np.float32),
        item_vectors=rng.standard_normal((items, dimensions), np.float32),
        embeddings=np.zeros((items, 0), np.float32),
        has_embedding=np.zeros(items, bool),
        blocks=(block,),
        item_lookup=None,
    )
    recommender._model = LiveModel(large, Catalog.in_memory())
    return recommender


def measure(recommender: Recommender, threads: int, repeats: int) -> list[float]:
    """Median users/s of ours, of one call of implicit's, and of calls for a batch each."""
    from implicit.cpu.als import AlternatingLeastSquares

    state = recommender._fitted().state
    users = len(state.user_vectors)
    model = AlternatingLeastSquares(factors=state.user_vectors.shape[1], num_threads=threads)
    model.user_factors, model.item_factors = state.user_vectors, state.item_vectors

    def theirs(size: int) -> None:
        for start in range(0, users, size):
            rows = np.arange(start, min(start + size, users))
            model.recommend(rows, state.plays[rows], N=K, filter_already_liked_items=True)

    ours = next(recommender.recommend_batches(k=K, batch_size=BATCH))
    ids, _ = model.recommend(np.arange(3), state.plays[:3], N=K)
    assert ours["item_id"].tolist()[: 3 * K] == [f"item-{row}" for row in ids.ravel()]
    tries: list[Callable[[], object]] = [
        partial(stream, recommender),
        partial(theirs, users),
        partial(theirs, BATCH),
    ]
    seconds: list[list[float]] = [[] for _ in tries]
    for _ in range(repeats):
        for one, found in zip(tries, seconds, strict=True):
            start = time.perf_counter()
            one()
            found.append(time.perf_counter() - start)
    return [users / statistics.median(found) for found in seconds]


def stream(recommender: Recommender) -> None:
    """Make all lists, and keep none."""
    for _ in recommender.recommend_batches(k=K):
        pass


def peak(action: Callable[[], object]) -> float:
    """Megabytes allocated at most while it runs."""
    tracemalloc.start()
    action()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


if __name__ == "__main__":
    main()
