"""How long an audience takes among a million users, in a model like a real one.

    coldtune train FOLDER --out MODEL
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.speed.audience MODEL
    ... --users 100000 -k 100 --noise

A user is a mixture of two users of the model, on average eight tenths of one, and a deviation of
half that length, drawn with their covariance; the plays are those of the one. So users' vectors
keep the slowly falling spectrum of real ones; with --noise they are white noise, the worst case:
then nobody can be ruled out, and every vector is read. Time of the processor is what a call takes
where nothing else runs. Asked for are new songs (embeddings like
those of the model) and items that somebody has played; the first call of each kind stands apart.
Every answer is checked against all scores, computed one after another.
"""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from evaluation.comparison.run import peak_memory_mb
from recsys import Recommender
from recsys.model.live import LiveModel
from recsys.model.state import FittedState

ASKED = 20


def main() -> None:
    """Print the milliseconds of first and later calls."""
    parser = argument_parser(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--noise", action="store_true", help="vectors without any structure")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    recommender = Recommender.load(arguments.model)
    small = recommender._fitted()
    state = many(small.state, arguments.users, rng, noise=arguments.noise)
    recommender._model = LiveModel(state, small.catalog)
    print(
        f"{len(state.user_ids):,} users, {state.plays.nnz:,} plays, vectors of "
        f"{state.user_vectors.shape[1]} numbers, {state.user_vectors.nbytes / 2**20:,.0f} MiB; "
        f"peak memory {peak_memory_mb():,.0f} MiB"
    )
    known = np.flatnonzero(state.user_counts > 0)
    items = state.items["item_id"].iloc[rng.permutation(known)[:ASKED]].tolist()
    heard = np.flatnonzero(state.has_embedding)
    pairs = rng.choice(heard, (ASKED, 2))
    songs = np.asarray(state.embeddings)[pairs].mean(axis=1)
    kinds = (
        ("new songs", [{"embedding": song} for song in songs]),
        ("known items", [{"item_id": item} for item in items]),
    )
    for what, asked in kinds:
        times, of_processor = [], []
        for question in asked:
            started, busy = time.perf_counter(), time.process_time()
            found = recommender.audience(k=arguments.k, **question)
            times.append(1e3 * (time.perf_counter() - started))
            of_processor.append(1e3 * (time.process_time() - busy))
            check(recommender, question, found)
        first, *later = times
        print(
            f"{what}: first call {first:,.0f} ms; then median {statistics.median(later):.1f} ms "
            f"({min(later):.1f} to {max(later):.1f}), of the processor "
            f"{statistics.median(of_processor[1:]):.1f}; peak memory {peak_memory_mb():,.0f} MiB",
            flush=True,
        )
    products = []
    for row in range(5):
        busy = time.process_time()
        np.asarray(state.user_vectors) @ state.item_vectors[row]
        products.append(1e3 * (time.process_time() - busy))
    print(f"one product with all vectors: {statistics.median(products):.1f} ms of the processor")


def many(state: FittedState, n: int, rng: np.random.Generator, *, noise: bool) -> FittedState:
    """The state with so many users."""
    real = np.asarray(state.user_vectors)
    width = real.shape[1]
    root = np.linalg.cholesky(np.cov(real.T) + 1e-9 * np.eye(width)).astype(np.float32)
    vectors = np.empty((n, width), np.float32)
    one, other = rng.integers(len(real), size=(2, n))
    for start in range(0, n, 20_000):
        part = slice(start, start + 20_000)
        own = rng.standard_normal((len(one[part]), width), np.float32)
        if not noise:
            share = rng.beta(8, 2, size=(len(own), 1)).astype(np.float32)
            mixed = share * real[one[part]] + (1 - share) * real[other[part]]
            own = own @ root.T
            own /= np.linalg.norm(own, axis=1, keepdims=True)
            own = mixed + 0.5 * np.linalg.norm(mixed, axis=1, keepdims=True) * own
        vectors[part] = own
    return dataclasses.replace(
        state,
        user_ids=pd.Index([f"user:{number:08d}" for number in range(n)], dtype=object),
        plays=state.plays[one],
        user_vectors=vectors,
        user_scales=np.ones((n, len(state.blocks)), np.float32),
    )


def check(recommender: Recommender, question: dict, found: pd.DataFrame) -> None:
    """Compare an audience with all scores; raise AssertionError where it differs."""
    model = recommender._fitted()
    vector, seen = _vector(recommender, question)
    scores = np.asarray(model.state.user_vectors) @ vector
    scores[seen] = -np.inf
    best = -np.sort(-scores)[: len(found)]
    np.testing.assert_allclose(found["score"].to_numpy(), best, atol=1e-4)


def _vector(recommender: Recommender, question: dict) -> tuple[np.ndarray, np.ndarray]:
    from recsys.database.song import Song

    model = recommender._fitted()
    if "item_id" in question:
        rows = np.array([model.items.row(question["item_id"])])
        return model.index.vectors(rows)[0], model.users.who_played(rows)
    song = Song("new", embedding=np.asarray(question["embedding"], np.float32))
    return model.vectors_of_new([song])[0], np.empty(0, np.intp)


if __name__ == "__main__":
    main()
