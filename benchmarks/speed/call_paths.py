"""How far a call walks: modules entered, functions, calls, changes of module, deepest frames.

    python -m benchmarks.speed.call_paths [--route recommend]

A small model of random data, with one song onboarded since, answers each call once, so that imports
and caches are done, and a second time under `sys.setprofile`. A change of module is a call into
another module of ours than that of the call before; the deepest frames are the most frames of ours
on the stack at once. ``--route`` prints the modules that one call enters, in order. Run in another
checkout, it prints the table of that one.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from datasets.music import MusicDataset
from evaluation import Popularity, compare, warm_split
from recsys import Recommender, RecommenderConfig

PACKAGES = ("datasets", "embedding", "evaluation", "recsys")
USERS, ITEMS, DIMENSION = 200, 60, 8


class Trace(NamedTuple):
    """What happened during one call."""

    route: list[str]
    """The module of every call into our code, in order."""
    functions: set[CodeType]
    deepest: int

    def row(self) -> list[int]:
        """Modules entered, functions, calls, changes of module, deepest frames of ours."""
        changes = len(list(groupby(self.route))) - 1
        return [len(set(self.route)), len(self.functions), len(self.route), changes, self.deepest]


def main() -> None:
    """Print a Markdown table with a row for each call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--route", help="print the modules that this call enters, in order")
    arguments = parser.parse_args()
    header = [
        "call",
        "modules of ours",
        "functions",
        "calls",
        "changes of module",
        "deepest frames",
    ]
    if not arguments.route:
        print("|", " | ".join(header), "|")
        print("|---" * len(header) + "|")
    for name, call in calls():
        if arguments.route and not name.startswith(arguments.route):
            continue
        call(0)
        found = trace(lambda call=call: call(1))
        if arguments.route:
            print(f"{name}: {' > '.join(module for module, _ in groupby(found.route))}")
        else:
            print("|", " | ".join([f"`{name}`", *(f"{n:,}" for n in found.row())]), "|", flush=True)


def calls() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Each call that is measured; it is given 0 the first time and 1 the second."""
    dataset, embeddings = random_data()
    config = RecommenderConfig(
        threads=1,
        tracking=False,
        als={"factors": 8, "iterations": 3, "regularization": 1.0},
        ease={"rank": 8},
        fm={"components": 8, "epochs": 3},
        content_map={"strengths": (0.1, 1.0), "folds": 2},
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        Recommender(config).fit(dataset, embeddings=embeddings).save(place)
        model = Recommender.load(place)
        vector = np.arange(DIMENSION, dtype=np.float32)
        model.onboard(item_id="new", title="New", embedding=vector)
        yield "recommend(user)", lambda n: model.recommend(f"u{n}")
        yield "recommend(history=...)", lambda n: model.recommend(history=[f"s{n}", f"s{n + 2}"])
        yield "recommend_many(2 users)", lambda n: model.recommend_many([f"u{n}", f"u{n + 2}"])
        yield "similar(item)", lambda n: model.similar(f"s{n}")
        yield "explain(user, item)", lambda n: model.explain(f"u{n}", f"s{n}")
        yield (
            "onboard(embedding=...)",
            lambda n: model.onboard(item_id=f"new-{n}", title="New", embedding=vector + n),
        )
        yield (
            "update(1 play)",
            lambda n: model.update(
                pd.DataFrame({"user_id": [f"u{n}"], "item_id": [f"s{n}"], "weight": [1.0]})
            ),
        )
        yield "Recommender.load", lambda n: Recommender.load(place)
    yield (
        "fit(dataset, embeddings)",
        lambda n: Recommender(config).fit(dataset, embeddings=embeddings),
    )
    split = warm_split(dataset, seed=0)
    yield (
        "compare({popularity}, warm)",
        lambda n: compare({"popularity": Popularity}, dataset, [split]),
    )


def random_data() -> tuple[MusicDataset, pd.DataFrame]:
    """Users who play at random, songs of two genres, and random embeddings."""
    rng = np.random.default_rng(0)
    names = [f"s{n}" for n in range(ITEMS)]
    items = pd.DataFrame(
        {
            "item_id": names,
            "title": names,
            "artist": [f"artist {n // 2}" for n in range(ITEMS)],
            "album": "",
            "genre": ["rock", "jazz"] * (ITEMS // 2),
        }
    )
    plays = [
        (f"u{user}", names[item], 1.0)
        for user in range(USERS)
        for item in rng.choice(ITEMS - 4, 12, replace=False)  # nobody plays the last ones
    ]
    interactions = pd.DataFrame(plays, columns=["user_id", "item_id", "weight"])
    embeddings = pd.DataFrame(rng.standard_normal((ITEMS, DIMENSION)), index=names)
    return MusicDataset(items=items, interactions=interactions), embeddings.astype(np.float32)


def trace(call: Callable[[], Any]) -> Trace:
    """Run a call and write down every call into our code."""
    route: list[str] = []
    functions: set[CodeType] = set()
    deepest = depth = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal deepest, depth
        if event not in ("call", "return"):
            return
        name = str(frame.f_globals.get("__name__", ""))
        ours = name.partition(".")[0] in PACKAGES and not frame.f_code.co_filename.startswith("<")
        if not ours:
            return
        if event == "return":
            depth -= 1
            return
        depth += 1
        deepest = max(deepest, depth)
        route.append(name)
        functions.add(frame.f_code)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return Trace(route, functions, deepest)


if __name__ == "__main__":
    main()
