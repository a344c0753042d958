"""Record what coldtune answers, and compare two records: a refactoring must change nothing.

    python tests/check_behaviour.py record BEFORE demo/catalogue FOLDER ...
    python tests/check_behaviour.py compare BEFORE AFTER

`record` runs the checkout it is called in. For each data set (a folder as in docs/data-format.md)
it fits a recommender on one thread and writes, to the bit, the lists of all users, similar items,
explanations, lists for a history, and the same after onboarding, an update and a rebuild; then the
figures of an evaluation of the demo catalogue and the help of every command. `compare` exits with 1
and names what differs. Takes minutes.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COMMANDS = (
    "demo",
    "train",
    "recommend",
    "similar",
    "audience",
    "recommend-all",
    "explain",
    "onboard",
    "update",
    "remove",
    "rebuild",
    "tune",
    "evaluate",
    "info",
    "map",
    "songs",
    "record",
    "picture",
    "genre-cv",
    "compose",
    "architecture",
    "fine-tune",
    "data",
    "data list",
    "data get",
)
VOLATILE = (
    "seconds",
    "peak_mb",
    "versions",
    "command",
    "created",
    "python",
    "platform",
    "libraries",
    "digest",
)
"""Parts of keys in a report whose values are times or the surroundings, not results."""
SOME = 40


def main() -> None:
    """Read the arguments, record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record_parser = commands.add_parser("record")
    record_parser.add_argument("out", type=Path)
    record_parser.add_argument("folders", type=Path, nargs="+")
    record_parser.add_argument("--no-evaluation", action="store_true")
    compare_parser = commands.add_parser("compare")
    compare_parser.add_argument("before", type=Path)
    compare_parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        os.environ["COLDTUNE_TRACKING"] = "0"
        record(arguments.out, arguments.folders, evaluation=not arguments.no_evaluation)
    else:
        sys.exit(compare(arguments.before, arguments.after))


def record(out: Path, folders: list[Path], *, evaluation: bool) -> None:
    """Write everything that must stay the same into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    record_help(out / "help.json")
    for folder in folders:
        record_lists(folder, out / folder.resolve().name)
        if evaluation and "real" not in folder.resolve().name:
            record_report(folder, out / folder.resolve().name)


def record_help(path: Path) -> None:
    """The help of every command."""
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    texts = {}
    for command in ("", *COMMANDS):
        words = [sys.executable, "-m", "recsys.cli", *command.split(), "--help"]
        run = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        texts[command] = run.stdout + run.stderr
    path.write_text(json.dumps(texts, indent=1))


def record_lists(folder: Path, out: Path) -> None:
    """Lists, similar items and explanations of a model fitted on a data set."""
    from datasets.folder import load_folder
    from recsys import Recommender, RecommenderConfig

    out.mkdir(parents=True, exist_ok=True)
    dataset = load_folder(folder)
    model = Recommender(RecommenderConfig(seed=0, threads=1)).fit(dataset)
    model.save(out / "model")
    write(out / "lists", model.recommend_many(list(dict.fromkeys(dataset.interactions["user_id"]))))
    answers(model, dataset, out, "fitted")
    model = Recommender.load(out / "model")
    answers(model, dataset, out, "loaded")
    if len(dataset.audio):
        path = folder / dataset.audio["path"].iloc[0]
        added = model.onboard(path, item_id="new-item", title="New", artist="Somebody new")
        answer = [added.item_id, added.predicted, added.probability]
        (out / "onboarded.json").write_text(json.dumps(answer))
        write(out / "similar-new", model.similar("new-item", k=50))
    users = sorted(set(dataset.interactions["user_id"]))[:5]
    items = dataset.items["item_id"].tolist()[:30]
    plays = [
        (user, item, 3.0) for n, user in enumerate([*users, "new-user"]) for item in items[n::5]
    ]
    report = model.update(pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]))
    (out / "update.json").write_text(json.dumps(list(report)))
    answers(model, dataset, out, "updated")
    write(out / "new-user", model.recommend("new-user", k=20))
    model.remove(items[0])
    model.rebuild()
    answers(model, dataset, out, "rebuilt")


def answers(model: Any, dataset: Any, out: Path, name: str) -> None:
    """What a model answers to some users, items and histories."""
    users = sorted(set(dataset.interactions["user_id"]))
    users = users[:: max(len(users) // SOME, 1)]
    items = dataset.items["item_id"].tolist()
    items = items[1 :: max(len(items) // SOME, 1)]
    parts = []
    for user in users:
        parts.append(model.recommend(user, k=10).assign(asked=user))
        parts.append(model.recommend(user, k=10, per_artist=1, diversity=0.3).assign(asked=user))
        parts.append(model.recommend(user, k=10, popularity_correction=0.2).assign(asked=user))
    write(out / f"{name}-recommend", pd.concat(parts, ignore_index=True))
    parts = [model.recommend(history=items[n : n + 3], k=10) for n in range(len(items) - 3)]
    write(out / f"{name}-history", pd.concat(parts, ignore_index=True))
    parts = []
    for item in items:
        for space in ("fused", "taste", "sound"):
            try:
                parts.append(model.similar(item, k=10, by=space).assign(asked=item, space=space))
            except Exception as error:
                parts.append(pd.DataFrame({"asked": [item], "error": [str(error)]}))
    write(out / f"{name}-similar", pd.concat(parts, ignore_index=True))
    texts = []
    for user in users[:10]:
        top = model.recommend(user, k=2)["item_id"].tolist()
        texts += [repr(model.explain(user, item)) for item in top]
    (out / f"{name}-explain.json").write_text(json.dumps(texts, indent=1))


def write(path: Path, frame: pd.DataFrame) -> None:
    """A table whose floating-point numbers are written to the bit."""
    exact = frame.copy()
    for column in exact.columns:
        if exact[column].dtype.kind == "f":
            exact[column] = [float(value).hex() for value in exact[column]]
    exact.to_csv(path.with_suffix(".csv"), index=False)


def record_report(folder: Path, out: Path) -> None:
    """The report of an evaluation of the data set, as JSON."""
    words = ["evaluate", str(folder), "--out", str(out / "report"), "--threads", "1", "--seed", "0"]
    command = [sys.executable, "-m", "recsys.cli", *words, "--folds", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compare(before: Path, after: Path) -> int:
    """Print what differs between two records; the exit status."""
    differing = 0
    names = {
        path.relative_to(folder)
        for folder in (before, after)
        for path in folder.rglob("*")
        if path.suffix in (".csv", ".json") and not {"model", ".unfinished"} & set(path.parts)
    }
    for name in sorted(names):
        one, other = before / name, after / name
        if not (one.is_file() and other.is_file()):
            problem = "is in one record only"
        elif name.suffix == ".json":
            first, second = (stable(json.loads(path.read_text())) for path in (one, other))
            problem = difference(first, second)
        else:
            problem = "" if one.read_bytes() == other.read_bytes() else rows_differing(one, other)
        if problem:
            differing += 1
            print(f"{name}: {problem}")
    print(f"{len(names)} parts compared, {differing} differ")
    return int(differing > 0 or not names)


def rows_differing(one: Path, other: Path) -> str:
    """How many lines of two tables differ."""
    first, second = one.read_text().splitlines(), other.read_text().splitlines()
    if len(first) != len(second):
        return f"{len(first)} lines, {len(second)} lines"
    n = int(np.sum([a != b for a, b in zip(first, second, strict=True)]))
    return f"{n} of {len(first)} lines differ"


def stable(value: Any) -> Any:
    """A JSON value without times and surroundings."""
    if isinstance(value, dict):
        return {
            key: stable(one)
            for key, one in value.items()
            if not any(part in key for part in VOLATILE)
        }
    return [stable(one) for one in value] if isinstance(value, list) else value


def difference(first: Any, second: Any, place: str = "") -> str:
    """Where two JSON values first differ; empty if they are equal."""
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return f"{place}: keys {sorted(first.keys() ^ second.keys())} on one side only"
        pairs = [(f"{place}.{key}", first[key], second[key]) for key in first]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [(f"{place}[{n}]", *both) for n, both in enumerate(zip(first, second, strict=True))]
    else:
        return "" if first == second or first != first else f"{place}: {first!r} | {second!r}"[:500]
    return next((found for found in (difference(a, b, p) for p, a, b in pairs) if found), "")


if __name__ == "__main__":
    main()
