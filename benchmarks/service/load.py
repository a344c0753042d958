"""A service under load: requests a second, percentiles of their times, errors, memory.

    python -m venv locust && locust/bin/pip install locust==2.47.0
    python -m benchmarks.service.load MODEL --locust locust/bin/python [--workers 1] [--rate 100]
        [--seconds 60] [--writes]

Serves a copy of a saved model on this machine (loopback) and lets Locust ask for lists of users
drawn at random, at a rate (0: as fast as `--readers` can); with --writes also 5 plays a second and
a song by its embedding every 2 seconds. The times are those that a client measures, of whole
answers, on the same cores as the service. Memory is the proportional set size of all processes of
the service, in which what they share counts once, before and after. At the end 20 songs are added:
how long until every worker knows them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import argument_parser
from benchmarks.service.process import Service, serving
from recsys import Recommender

_ASKED = 500
"""Users and items that are asked for at most."""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="lists a second; 0: no limit")
    parser.add_argument("--readers", type=int, default=8, help="connections that ask for lists")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--locust", default=sys.executable, help="a Python that has Locust")
    parser.add_argument("--writes", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(asked.model, place / "model")
        ids = _ids(place / "model")
        environment = os.environ | {
            "COLDTUNE_LOAD_RATE": str(asked.rate or 1e6),
            "COLDTUNE_LOAD_READERS": str(asked.readers),
            "LOCUST_USERS": str(asked.readers + 2 * asked.writes),
            "COLDTUNE_LOAD_WRITES": str(int(asked.writes)),
            "COLDTUNE_LOAD_IDS": str(place / "ids.json"),
        }
        (place / "ids.json").write_text(json.dumps(ids))
        options = ("--workers", str(asked.workers), "--no-page")
        with serving(place / "model", *options, log=place / "log") as service:
            service.wait(asked.workers)
            before = service.memory()
            _attack(asked.locust, service.address, place, environment, asked.seconds)
            after = service.memory()
            seen = [_seconds_until_seen(service, number, ids[2][0]) for number in range(20)]
        _print(place, before, after)
        print(
            f"a song is known to all workers after {np.median(seen):.2f} s (median of 20), "
            f"{max(seen):.2f} s at most"
        )


def _ids(folder: Path) -> tuple[list[str], list[str], list[list[float]]]:
    """Ids of users and items, and embeddings near known ones."""
    live = Recommender.load(folder).live
    rng = np.random.default_rng(0)
    users = list(live.state.user_ids[:_ASKED])
    rows = rng.choice(len(live.state.embeddings), min(_ASKED, len(live.state.embeddings)))
    items = [str(one) for one in live.items.ids(np.unique(rows))]
    heard = np.flatnonzero(live.state.has_embedding)[:50]
    known = np.asarray(live.state.embeddings[heard], dtype=float)
    return [str(one) for one in users], items, known.tolist()


def _attack(
    python: str, address: str, place: Path, environment: dict[str, str], seconds: int
) -> None:
    users = Path(__file__).with_name("users.py")
    subprocess.run(
        [python, "-m", "locust", "-f", str(users), "--headless", "-H", address, "-t",
         f"{seconds}s", "-r", "100", "--csv", str(place / "load"), "--only-summary",
         "--loglevel", "ERROR"],
        env=environment | {"PERCENTILES_TO_REPORT": "0.5,0.95,0.99"}, check=False,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _seconds_until_seen(service: Service, number: int, embedding: list[float]) -> float:
    """Add a song; return the seconds from its answer until no worker is asked in vain for it."""
    item = f"seen-{number}"
    song = {"item_id": item, "title": "Seen", "embedding": embedding}
    status, said = service.request("POST", "/v1/items", song)
    assert status == 201, said
    began = time.monotonic()
    found, last = 0, began
    while found < 30:
        if service.request("GET", f"/v1/items/{item}")[0] == 200:
            found += 1
        else:
            found, last = 0, time.monotonic()
    return last - began


def _print(place: Path, before: float, after: float) -> None:
    import csv

    print("| request | a second | p50 ms | p95 ms | p99 ms | slowest ms | errors |")
    print("|---|---|---|---|---|---|---|")
    with (place / "load_stats.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["Name"] == "Aggregated":
                continue
            times = [f"{float(row[one]):.0f}" for one in ("50%", "95%", "99%", "Max Response Time")]
            rate = float(row["Requests/s"])
            print(f"| {row['Name']} | {rate:.1f} | {' | '.join(times)} | {row['Failure Count']} |")
    print(f"\nmemory: {before:.0f} MiB before, {after:.0f} MiB after")


if __name__ == "__main__":
    main()
