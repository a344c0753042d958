"""Search in large catalogues: recall, time of one query, time to build, size, memory. One thread.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python -m benchmarks.scale.retrieval ../shared/data/real-mini
    ... --items 1000000 --methods screened pruned

The vectors are those of implicit ALS (128 factors, regularization 20, alpha 10) on real listening.
A larger catalogue is made of the real items' factors: an item is on average eight tenths of one
real item and two of another (a song by an artist who is like others), plus a deviation of its own
of half that length, drawn with the real factors' covariance. So the slowly falling spectrum, the
lengths that follow popularity, and how far a user's best items stand out (printed as `contrast`,
the tenth best score's distance from the mean in deviations, beside that of the real items) stay
near those of real factors; white noise has none of them. Queries are the model's users: one half
is given to the index to be tuned on, the other half is measured.

Exact search is the same call of the library on the same thread. Peak memory is this process's, the
vectors included.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from recsys.config import RetrievalConfig
from recsys.index.base import Index
from recsys.index.build import build_index, index_files, open_index
from recsys.index.exact import ExactIndex

FACTORS = 128
K = 10
QUERIES = 500
NONE = np.empty(0, np.intp)


def main() -> None:
    """Print a line for each size of catalogue and method."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--methods", nargs="+", default=["screened", "pruned", "annoy"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    users, real = learn(arguments.folder, arguments.seed)
    users = users[rng.permutation(len(users))]
    tuning, measured = users[len(users) // 2 :], users[: len(users) // 2][:QUERIES]
    print(f"{len(real)} real items, contrast {contrast(measured, real):.1f}")
    print(
        "     items  method  recall@10  median ms  p99 ms  exact ms  times  build s     MB  peak MB"
    )
    for size in arguments.items:
        items = catalogue(real, size, rng)
        exact = ExactIndex(items)
        best, times = ask(exact, measured)
        baseline = float(np.median(times))
        for method in arguments.methods:
            with tempfile.TemporaryDirectory() as folder:
                config = RetrievalConfig(method=method)
                start = time.perf_counter()
                sidecar = build_index(items, tuning, Path(folder), config, arguments.seed)
                build = time.perf_counter() - start
                start = time.perf_counter()
                index, info = open_index(items, sidecar, threads=1)
                opening = time.perf_counter() - start
                found, times = ask(index, measured)
                recall = np.mean([np.isin(b, f).mean() for b, f in zip(best, found, strict=True)])
                megabytes = sum(path.stat().st_size for path in index_files(sidecar)) / 1e6
            median, slowest = np.quantile(times, [0.5, 0.99])
            print(
                f"{size:10d} {method:>7}  {recall:9.4f}  {median:9.2f}  {slowest:6.2f}"
                f"  {baseline:8.2f}  {baseline / median:5.1f}  {build:7.1f}  {megabytes:5.0f}"
                f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:7.0f}"
                f"  opened in {1e3 * opening:.0f} ms, {info}",
                flush=True,
            )
        print(f"{size:10d} items: contrast {contrast(measured, items[:200_000]):.1f}", flush=True)


def learn(folder: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the users and of the items that somebody plays."""
    from implicit.cpu.als import AlternatingLeastSquares

    table = load_folder(folder).interactions
    users, user_ids = table["user_id"].factorize()
    items, item_ids = table["item_id"].factorize()
    plays = sp.csr_matrix(
        (np.ones(len(users), np.float32), (users, items)), shape=(len(user_ids), len(item_ids))
    )
    model = AlternatingLeastSquares(
        factors=FACTORS,
        regularization=20.0,
        alpha=10.0,
        iterations=15,
        random_state=seed,
        num_threads=1,
    )
    model.fit(plays, show_progress=False)
    return np.array(model.user_factors), np.array(model.item_factors)


def catalogue(real: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """So many items with the structure of the real ones, float32 [size, D]."""
    root = np.linalg.cholesky(np.cov(real.T) + 1e-9 * np.eye(real.shape[1])).astype(np.float32)
    items = np.empty((size, real.shape[1]), np.float32)
    for start in range(0, size, 50_000):
        n = min(50_000, size - start)
        one, other = rng.integers(len(real), size=(2, n))
        share = rng.beta(8, 2, size=(n, 1)).astype(np.float32)
        mixed = share * real[one] + (1 - share) * real[other]
        own = rng.standard_normal(mixed.shape).astype(np.float32) @ root.T
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        length = np.linalg.norm(mixed, axis=1, keepdims=True)
        items[start : start + n] = mixed + 0.5 * length * own
    return items


def contrast(queries: np.ndarray, items: np.ndarray) -> float:
    """How far a query's tenth best score stands above the mean, in deviations; the median."""
    scores = queries[:100] @ items.T
    tenth = -np.partition(-scores, K - 1, axis=1)[:, K - 1]
    return float(np.median((tenth - scores.mean(axis=1)) / scores.std(axis=1)))


def ask(index: Index, queries: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """What is found for each query, asked one by one, and the milliseconds that it took."""
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        hits = index.search(query[None], K, None, NONE)
        times.append(1e3 * (time.perf_counter() - start))
        found.append(hits.item)
    return found, np.array(times)


if __name__ == "__main__":
    main()
