"""All ranking metrics of many users' lists: time beside RecTools and ranx, figures compared first.

    python -m benchmarks.speed.metrics
    ... --python-rectools ENV/bin/python --python-ranx ENV/bin/python

Each library runs in an environment of its own; without the two options, environments are made by
`python -m venv` and pip in --folder (a temporary one by default) and kept there. Every library
reads the same Parquet files into the frames that its version of pandas makes of them, which is not
timed; from there to the metrics everything is: encoding of ids, checks, conversion. One thread, a
process for each library and k, a warm-up first (ranx compiles in it, on the lists of 1,000 users),
then the median of `--repetitions`, or of as many as a minute allows.

The lists are made up: `--users` users, `--items` items drawn by a popularity that falls like a
charts' (1 / (place + 50) ** 0.9), 30 training and 1 to 10 test items each; every test item is put
into the list with a chance of 1/4. So nobody has more than k test items, and the definitions of
MAP agree, which otherwise they do not (RecTools and ranx divide by all relevant items, we by what
a list of k can hold). RecTools' nDCG is asked to divide by the achievable; its lists are not
checked for items that come twice or are in training, nor are ranx's.

Beside accuracy, RecTools has no lift, but the mean popularity of lists (ARP), which ours follows
from; no calibration and no Gini. Its diversity is by pairs in a frame and does not fit into memory
for lists of 100. Its serendipity ranks items by their distinct numbers of listeners, so that of
20,000 items the last may have rank 300; ours by how many are more popular. Both are shown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {"rectools": ["rectools", "pyarrow<24"], "ranx": ["ranx", "pyarrow"]}
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")
RANKING = ("precision", "recall", "hit", "ndcg", "map", "mrr")
BESIDE = ("coverage", "novelty", "mean popularity", "artist diversity")
PATIENCE = 60.0
"""Seconds after which a step is not repeated again."""
Times = dict[str, float]
Values = dict[str, Any]
Frames = dict[str, pd.DataFrame]
Timed = Callable[..., Any]
IN_FULL_UP_TO = 10
"""Longest lists for which RecTools is asked for its diversity, and for values by user."""


def main() -> None:
    """Make the lists, run each library, compare the figures and print the times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beside", nargs="*", choices=("rectools", "ranx"), default=list(PACKAGES))
    parser.add_argument("--python-rectools", type=Path)
    parser.add_argument("--python-ranx", type=Path)
    parser.add_argument("--folder", type=Path, help="where environments are made and kept")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        given = {"rectools": arguments.python_rectools, "ranx": arguments.python_ranx}
        pythons = {"coldtune": Path(sys.executable)}
        pythons |= {name: given[name] or environment(folder, name) for name in arguments.beside}
        make_lists(Path(temporary), arguments)
        for k in arguments.k:
            print(f"\n{arguments.users:,} users, {arguments.items:,} items, k = {k}")
            ours = ask(pythons["coldtune"], "coldtune", k, Path(temporary), arguments)
            print_times("coldtune", ours[0], ours[0])
            for name in arguments.beside:
                times, values = ask(pythons[name], name, k, Path(temporary), arguments)
                compare(name, ours[1], values)
                print_times(name, times, ours[0])


def environment(folder: Path, name: str) -> Path:
    """The Python of an environment with a library, made if it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    return python


def ask(
    python: Path, name: str, k: int, data: Path, arguments: argparse.Namespace
) -> tuple[Times, Values]:
    """Seconds of each step, and values by user, of a library in a process of its own."""
    given = {"k": k, "repetitions": arguments.repetitions, "folder": data, "worker": name}
    options = [text for option, value in given.items() for text in (f"--{option}", str(value))]
    one = {f"{library}_NUM_THREADS": "1" for library in THREADS}
    subprocess.run(
        [python, "-W", "ignore", __file__, *options],
        check=True,
        env={**os.environ, **one, "PYTHONPATH": str(REPOSITORY) if name == "coldtune" else ""},
    )
    return json.loads((data / "times.json").read_text()), dict(np.load(data / "values.npz"))


def work(arguments: argparse.Namespace) -> None:
    """Measure one library in this process; times and values go to files in the folder."""
    import pyarrow

    pyarrow.set_cpu_count(1)
    (k,), folder = arguments.k, arguments.folder
    frames = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    frames["lists"] = frames[f"lists{k}"]
    times: Times = {}
    values: Values = {}

    def timed(step: str, call: Callable[[], Any], warm: bool = False) -> Any:
        if not warm:
            call()
        seconds: list[float] = []
        while len(seconds) < arguments.repetitions and sum(seconds) < PATIENCE:
            start = time.perf_counter()
            result = call()
            seconds.append(time.perf_counter() - start)
        times[step] = median(seconds)
        return result

    WORKERS[arguments.worker](frames, k, timed, values)
    if arguments.worker == "ranx":  # not measured once more, as it takes minutes
        times["lists to values"] = times["conversion"] + times["metrics alone"]
    (folder / "times.json").write_text(json.dumps(times))
    np.savez(folder / "values.npz", **values)


def coldtune(frames: Frames, k: int, timed: Timed, values: Values) -> None:
    """Ours: the six metrics, then those beside accuracy."""
    from datasets.music import MusicDataset
    from evaluation.metrics.beyond_accuracy import CATALOGUE_METRICS, LIST_METRICS, item_facts
    from evaluation.metrics.hits import HitEncoder
    from evaluation.metrics.ranking import ranking_metrics

    test, train, lists, items = (frames[name] for name in ("test", "train", "lists", "items"))

    def judge(seen: pd.DataFrame | None = None) -> HitEncoder:
        return HitEncoder(test["user_id"].unique(), items["item_id"], test, seen)

    found = timed("lists to values", lambda: ranking_metrics(judge().hits(lists, k), [k]))
    ready = judge()
    timed("lists to values, judge ready", lambda: ranking_metrics(ready.hits(lists, k), [k]))
    timed(
        "lists to values, checked against training",
        lambda: ranking_metrics(judge(train).hits(lists, k), [k]),
    )
    objects = lists.astype({"user_id": object, "item_id": object})
    timed(
        "lists to values, columns of objects",
        lambda: ranking_metrics(judge().hits(objects, k), [k]),
    )
    order = np.argsort(ready.users)
    values |= {name: value[order] for (name, _), value in found.items()}

    table = items.assign(title="", album="", genre="")
    training = MusicDataset(table, None, train.assign(weight=1.0))

    def all_beside() -> None:
        hits, facts = judge().hits(lists, k), item_facts(ready.items, training, ready.users)
        for name in ("novelty", "popularity_lift", "serendipity"):
            LIST_METRICS[name](hits, k, facts)
        CATALOGUE_METRICS["coverage"](hits, k, facts)

    timed("four beside accuracy, from lists", all_beside)
    facts = timed("facts of items", lambda: item_facts(ready.items, training, ready.users))
    hits = ready.hits(lists, k)
    beside = {
        name: timed(name.replace("_", " "), lambda metric=metric: metric(hits, k, facts))
        for name, metric in {**LIST_METRICS, **CATALOGUE_METRICS}.items()
        if name not in ("embedding_diversity", "miscalibration")
    }
    values |= {name: beside[name][order] for name in ("novelty", "serendipity")}
    values["artist diversity"] = beside["artist_diversity"][order]
    mean = (beside["popularity_lift"] + 1) * facts.history_popularity * facts.n_users_training
    values |= {"mean popularity": mean[order], "coverage": beside["coverage"].mean()}


def rectools(frames: Frames, k: int, timed: Timed, values: Values) -> None:
    """RecTools' means of all six at once, which shares their merge; then those beside accuracy."""
    from rectools import metrics as m
    from rectools.metrics.distances import PairwiseHammingDistanceCalculator

    test, train, lists, items = (frames[name] for name in ("test", "train", "lists", "items"))
    ranking = {
        "precision": m.Precision(k=k),
        "recall": m.Recall(k=k),
        "hit": m.HitRate(k=k),
        "ndcg": m.NDCG(k=k, divide_by_achievable=True),
        "map": m.MAP(k=k),
        "mrr": m.MRR(k=k),
    }
    values |= timed("lists to values", lambda: m.calc_metrics(ranking, lists, test))
    whole = [
        frame.assign(**{c: frame[c].str[2:].astype(int) for c in ("user_id", "item_id")})
        for frame in (lists, test)
    ]
    timed("lists to values, ids whole numbers", lambda: m.calc_metrics(ranking, *whole))

    catalogue = items["item_id"].to_numpy()
    beside = {
        "novelty": m.MeanInvUserFreq(k=k),
        "mean popularity": m.AvgRecPopularity(k=k),
        "serendipity": m.Serendipity(k=k),
        "coverage": m.CatalogCoverage(k=k, normalize=True),
    }
    values |= timed(
        "four beside accuracy, from lists",
        lambda: m.calc_metrics(beside, lists, test, train, catalogue),
    )
    if k <= IN_FULL_UP_TO:
        values |= {
            name: metric.calc_per_user(lists, test).sort_index() for name, metric in ranking.items()
        }
        artist = items.set_index("item_id")[["artist"]].apply(lambda names: names.factorize()[0])
        diversity = m.IntraListDiversity(
            k=k, distance_calculator=PairwiseHammingDistanceCalculator(artist)
        )
        found = timed("artist diversity", lambda: diversity.calc_per_user(lists), warm=True)
        values["artist diversity"] = found.sort_index()


def ranx(frames: Frames, k: int, timed: Timed, values: Values) -> None:
    """ranx: from frames to its own Qrels and Run, and from those to values of all six."""
    from ranx import Qrels, Run, evaluate

    text = {"user_id": object, "item_id": object}  # what it wants of a frame
    test = frames["test"].astype(text).assign(score=1)
    lists = frames["lists"].astype(text)
    columns = {"q_id_col": "user_id", "doc_id_col": "item_id", "score_col": "score"}
    theirs = dict(zip(RANKING, RANKING, strict=True)) | {"hit": "hit_rate"}
    names = [f"{theirs[name]}@{k}" for name in RANKING]

    def convert(users: Any) -> tuple[Any, Any]:
        wanted, given = (
            frame if users is None else frame[frame["user_id"].isin(users)]
            for frame in (test, lists)
        )
        return Qrels.from_df(wanted, **columns), Run.from_df(given, **columns)

    def measure(qrels: Any, run: Any) -> Any:
        return evaluate(qrels, run, names, return_mean=False, threads=1, save_results_in_run=False)

    measure(*convert(test["user_id"].unique()[:1000]))
    qrels, run = timed("conversion", lambda: convert(None), warm=True)
    found = timed("metrics alone", lambda: measure(qrels, run))
    values |= {name: found[f"{theirs[name]}@{k}"] for name in RANKING}


WORKERS = {"coldtune": coldtune, "rectools": rectools, "ranx": ranx}


def compare(library: str, ours: Values, theirs: Values) -> None:
    """Print the means; raise unless they, and every user's value if given, agree to 1e-9."""
    same = [name for name in (*RANKING, *BESIDE) if name in theirs]
    for name in same:
        own = ours[name] if np.ndim(theirs[name]) else np.mean(ours[name])
        np.testing.assert_allclose(own, theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)
    figures = ", ".join(f"{name} {ours[name].mean():.6f}" for name in same)
    by_user = ", ".join(name for name in same if np.ndim(theirs[name])) or "none"
    print(f"{library} agrees to 1e-9: {figures}; for every user: {by_user}")
    if "serendipity" in theirs:
        means = ours["serendipity"].mean(), theirs["serendipity"].mean()
        print(f"serendipity is defined differently: {means[0]:.6f} here, {means[1]:.6f} there")


def print_times(library: str, steps: Times, ours: Times) -> None:
    """A line for each step: seconds, and how many times ours takes for it, or for all."""
    for step, seconds in steps.items():
        ratio = seconds / ours.get(step, ours["lists to values"])
        beside = "" if steps is ours else f"  {ratio:7.1f} times ours"
        print(f"{library:>9}  {step:42} {seconds:8.3f} s{beside}", flush=True)


def make_lists(folder: Path, arguments: argparse.Namespace) -> None:
    """Write train, test, items and lists of every k as Parquet; ids are text."""
    rng = np.random.default_rng(arguments.seed)
    n_users, n_items, longest = arguments.users, arguments.items, max(arguments.k)
    share = np.cumsum(1.0 / (np.arange(n_items) + 50) ** 0.9)
    parts = []
    for start in range(0, n_users, 10_000):
        shape = (min(10_000, n_users - start), 2 * (longest + 40))
        parts.append(
            first_distinct(np.searchsorted(share, rng.random(shape) * share[-1]), longest + 40)
        )
    drawn = np.concatenate(parts)
    train, test, listed = np.split(drawn, [30, 40], axis=1)
    tested = np.arange(10) < rng.integers(1, 11, (n_users, 1))
    place = np.argsort(rng.random((n_users, longest)), axis=1)[:, :10]
    user, number = np.nonzero(tested & (rng.random(tested.shape) < 0.25))
    listed[user, place[user, number]] = test[user, number]

    users = np.char.mod("u-%07d", rng.permutation(n_users)).astype(object)
    items = np.char.mod("i-%07d", rng.permutation(n_items)).astype(object)

    def write(name: str, codes: np.ndarray, kept: Any = slice(None), **columns: Any) -> None:
        owner = np.repeat(users, codes.shape[1])
        frame = pd.DataFrame({"user_id": owner, "item_id": items[codes.ravel()], **columns})
        frame[kept].to_parquet(folder / f"{name}.parquet", index=False)

    write("train", train)
    write("test", test, tested.ravel())
    for k in arguments.k:
        rank = np.tile(np.arange(1, k + 1), n_users)
        write(f"lists{k}", listed[:, :k], rank=rank, score=1.0 / rank)
    artists = [f"artist {n % (n_items // 8)}" for n in range(n_items)]
    pd.DataFrame({"item_id": items, "artist": artists}).to_parquet(folder / "items.parquet")


def first_distinct(drawn: np.ndarray, n: int) -> np.ndarray:
    """The first ``n`` distinct values of every row."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros(drawn.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    if ((~again).sum(axis=1) < n).any():
        raise SystemExit("too few items for so long lists")
    return np.take_along_axis(drawn, np.argsort(again, axis=1, kind="stable")[:, :n], axis=1)


if __name__ == "__main__":
    main()
