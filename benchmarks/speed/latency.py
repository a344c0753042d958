"""One list at a time: what a whole call takes, beside implicit, LightFM and RecTools. One thread.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python -m benchmarks.speed.latency ../shared/data/real-mini --model MODEL
    python -m venv rectools && rectools/bin/pip install RecTools==0.19.0 &&
    ... --rectools rectools/bin/python --items 17664 1000000 --folder DIR

At 17,664 items: a saved model of the data set (`coldtune train`), or one that is fitted here with
given weights; the vectors of the others have 64 factors. A larger catalogue is made of the model's
own item vectors as in `benchmarks.scale.retrieval`, and its users of the model's users in the same
way; each user has played 50 of the items that popularity draws. Such a model is built once and kept
in --folder. With --new, so many of its items are new songs, which nobody has played: their vectors
keep the 64 directions in which items vary most, as predicted ones take fewer, and lists weigh them
against known ones by a typical calibration. implicit's `recommend` is given the user's row of
plays; LightFM's is `predict` for all items, the plays set to minus infinity, and `argpartition`;
RecTools' is its `recommend` for a data set of one user, with the same factors by its wrapper of
implicit, in an environment of its own.

All are asked in turn, one list of ten at a time, fifty of each kind before those of the next, so
that what else the machine does falls on all alike; beside the time that passed stands that of the
processor, which other programs lengthen less. A history is twenty of the items that one user
has played, or of the 2,000 most popular ones, drawn at random.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from benchmarks.scale.retrieval import catalogue
from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from recsys import Recommender, RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.song import Song
from recsys.model.live import LiveModel
from recsys.model.state import NEW_SONGS, FittedState
from recsys.new_songs import TYPICAL

K, PLAYS, FACTORS = 10, 50, 64
ROUND = 50
"""Calls of one kind in a row."""
WEIGHTS = {"als": 0.3, "ease": 0.3, "content": 0.1, "popularity": -0.2}


def main() -> None:
    """Print a table for each size of catalogue."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder_of_plays", type=Path)
    parser.add_argument("--model", type=Path, help="saved, of the same plays")
    parser.add_argument("--items", type=int, nargs="+", default=[17_664])
    parser.add_argument("--new", type=int, default=0, help="how many items of large ones are new")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where large models are kept")
    parser.add_argument("--rectools", type=Path, help="a Python that has RecTools")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, threadpool_limits(1):
        place = asked.folder or Path(temporary)
        small = fitted(asked.folder_of_plays, place) if asked.model is None else asked.model
        for size in asked.items:
            model = Recommender.load(small)
            if size > len(model.live.state.items):
                folder = place / f"latency-{size}-{asked.new}"
                if not (folder / "manifest.json").is_file():
                    started = time.perf_counter()
                    build(model, size, asked.new, folder)
                    print(f"{size:,} items built in {time.perf_counter() - started:.0f} s")
                model = Recommender.load(folder)
            report(model, asked.calls, asked.rectools)


def fitted(plays: Path, place: Path) -> Path:
    """A model of a data set without its recordings, saved; weights are given."""
    folder = place / "latency-model"
    if not (folder / "manifest.json").is_file():
        dataset = load_folder(plays)
        dataset = MusicDataset.from_checked(
            dataset.items, empty_audio(), dataset.interactions, None
        )
        config = RecommenderConfig(threads=1, tracking=False, sources=tuple(WEIGHTS)).replace(
            fusion={"warm": WEIGHTS, "cold": WEIGHTS}, als={"regularization": 20.0}
        )
        Recommender(config).fit(dataset).save(folder)
    return folder


def build(model: Recommender, size: int, new: int, folder: Path) -> None:
    """Save a model of a larger catalogue, made of another one's vectors."""
    state, rng = model.live.state, np.random.default_rng(0)
    recommender = Recommender(state.config)
    large = enlarged(state, size, new, rng)
    catalog = Catalog.in_memory()
    catalog.fill(Song(item_id=str(one)) for one in large.items["item_id"])
    recommender._model = LiveModel(large, catalog)
    recommender.save(folder)


def enlarged(state: FittedState, size: int, new: int, rng: np.random.Generator) -> FittedState:
    """The state with so many items, of which some are new, and a tenth as many users."""
    warm = np.flatnonzero(state.user_counts)
    items = catalogue(np.asarray(state.item_vectors[warm]), size, rng)
    n_known, n_users = size - new, size // 10
    if new:
        leading = np.linalg.eigh(items[:20_000].T @ items[:20_000])[1][:, -64:]
        items[n_known:] = items[n_known:] @ leading @ leading.T
    users = catalogue(np.asarray(state.user_vectors), n_users, rng)
    popularity = 1 / (10 + np.arange(n_known)) ** 0.8
    drawn = np.searchsorted(np.cumsum(popularity / popularity.sum()), rng.random(n_users * PLAYS))
    longest = np.argsort(-np.einsum("ij,ij->i", items[:n_known], items[:n_known]))
    rows = longest[np.minimum(drawn, n_known - 1)].astype(np.int32)
    plays = sp.csr_matrix(
        (np.ones(len(rows), np.float32), (np.repeat(np.arange(n_users), PLAYS), rows)),
        (n_users, size),
    )
    # Everybody has played something, and somebody every known item.
    listener = rng.integers(n_users, size=n_known)
    one_each = sp.csr_matrix(
        (np.ones(n_known, np.float32), (listener, np.arange(n_known))), (n_users, size)
    )
    plays = sp.csr_matrix(plays + one_each)
    plays.data[:] = 1
    table = {name: np.full(size, "", object) for name in state.items.columns}
    table["item_id"] = np.array([f"item:{n:08d}" for n in range(size)], object)
    table["title"] = np.array([f"A song of the title number {n}" for n in range(size)], object)
    table["artist"] = np.array([f"Artist number {n // 10}" for n in range(size)], object)
    return replace(
        state,
        items=pd.DataFrame(table),
        user_ids=pd.Index([f"user:{n:07d}" for n in range(n_users)], dtype=object),
        plays=plays,
        user_vectors=users,
        user_scales=np.ones((n_users, len(state.blocks)), np.float32),
        item_vectors=items,
        embeddings=np.zeros((size, state.embeddings.shape[1]), np.float32),
        has_embedding=np.zeros(size, bool),
        item_lookup=None,
        item_familiarity=None,
        info={**state.info, NEW_SONGS: TYPICAL.to_json()} if new else state.info,
    )


def report(model: Recommender, calls: int, rectools: Path | None) -> None:
    """Ask all in turn, and print the table."""
    state = model.live.state
    plays, n_items = sp.csr_matrix(state.plays), len(state.items)
    rng = np.random.default_rng(1)
    users = rng.integers(len(state.user_ids), size=calls)
    ids = [str(state.user_ids[int(row)]) for row in users]
    popular = state.by_popularity[:2000]
    several = [rng.choice(popular, 20, replace=False) for _ in range(calls)]
    own = [rng.permutation(plays[row].indices)[:20] for row in users]
    histories = [[model.live.items.ids(rows).tolist() for rows in kind] for kind in (own, several)]
    asked: dict[str, Callable[[int], object]] = {
        "`recommend`": lambda n: model.recommend(ids[n], k=K),
        "`recommend_ids`": lambda n: model.recommend_ids(ids[n], k=K),
        "`recommend`, history of 20 of a user": lambda n: model.recommend(
            history=histories[0][n], k=K
        ),
        "`recommend_ids`, the same": lambda n: model.recommend_ids(history=histories[0][n], k=K),
        "`recommend_ids`, history of 20 at random": lambda n: model.recommend_ids(
            history=histories[1][n], k=K
        ),
        "implicit ALS `recommend`": implicit_alone(plays, users),
        "LightFM `predict` and `argpartition`": lightfm_alone(plays, users),
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    processor: dict[str, list[float]] = {name: [] for name in asked}
    for first in range(0, calls, ROUND):
        for name, ask in asked.items():
            for call in range(-3 if first == 0 else first, min(first + ROUND, calls)):
                started, used = time.perf_counter(), time.process_time()
                ask(call)
                if call >= 0:
                    processor[name].append(1e3 * (time.process_time() - used))
                    times[name].append(1e3 * (time.perf_counter() - started))
    if rectools is not None:
        times["RecTools `recommend`, implicit ALS"] = rectools_alone(rectools, plays, users)
    width = state.item_vectors.shape[1]
    print(f"\n{n_items:,} items, {len(state.user_ids):,} users, {width} dimensions", end="; ")
    print(
        f"index {model.info['index']}\n\n| one list of {K} | median ms | p99 ms | longest ms",
        end="",
    )
    print(" | processor: median | p99 |\n|---|---|---|---|---|---|")
    for name, found in times.items():
        median, slow = np.quantile(found, [0.5, 0.99])
        used, most = np.quantile(processor.get(name, [np.nan]), [0.5, 0.99])
        print(f"| {name} | {median:.2f} | {slow:.2f} | {max(found):.1f}", end="")
        print(f" | {used:.2f} | {most:.2f} |", flush=True)


def implicit_alone(plays: sp.csr_matrix, users: np.ndarray) -> Callable[[int], object]:
    """implicit's `recommend` for one user."""
    from implicit.cpu.als import AlternatingLeastSquares

    user_factors, item_factors = factors(plays)
    model = AlternatingLeastSquares(factors=FACTORS, num_threads=1)
    model.user_factors, model.item_factors = user_factors, item_factors

    def ask(number: int) -> object:
        row = int(users[number])
        return model.recommend(row, plays[row], N=K, filter_already_liked_items=True)

    return ask


def lightfm_alone(plays: sp.csr_matrix, users: np.ndarray) -> Callable[[int], object]:
    """LightFM's scores of all items, and the best ones that the user has not played."""
    from lightfm import LightFM

    model = LightFM(no_components=FACTORS)
    model.fit_partial(sp.coo_matrix(([1.0], ([0], [0])), plays.shape), epochs=1)
    model.user_embeddings, model.item_embeddings = factors(plays)
    everything = np.arange(plays.shape[1], dtype=np.int32)

    def ask(number: int) -> object:
        row = int(users[number])
        scores = model.predict(row, everything, num_threads=1)
        scores[plays.indices[plays.indptr[row] : plays.indptr[row + 1]]] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]

    return ask


def factors(plays: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Factors of users and items; their values do not change how long a search takes."""
    rng = np.random.default_rng(2)
    return tuple(rng.standard_normal((n, FACTORS), np.float32) for n in plays.shape)


def rectools_alone(python: Path, plays: sp.csr_matrix, users: np.ndarray) -> list[float]:
    """Milliseconds of RecTools' `recommend` for one user each, in its own environment."""
    with tempfile.TemporaryDirectory() as name:
        sp.save_npz(Path(name) / "plays.npz", plays, compressed=False)
        np.save(Path(name) / "users.npy", users[:200])
        script = Path(__file__).with_name("rectools_latency.py")
        command = [str(python), str(script), name, str(K), str(FACTORS)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=dict(os.environ)
        )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
