"""A service under load: requests a second, percentiles of their times, errors, memory.

    apt-get install nghttp2-client
    python -m benchmarks.service.load MODEL [--workers 1] [--rate 100] [--seconds 60] [--writes]

Serves a copy of a saved model on this machine (loopback) and lets h2load (of nghttp2, HTTP/1.1, one
thread) ask for lists of users drawn at random, evenly at a rate over `--connections` (0: as fast as
these can, each asking again as soon as it is answered). All connections ask for the same users in
the same order, each behind the one before it. With --writes also 5 plays a second and, if the model
knows sound, a song by its embedding every 2 seconds, each in a request of its own. The times are
those that a client measures, of whole answers, on the same cores as the service; h2load takes .16
ms of the processor for each.

Memory is the proportional set size of all processes of the service, in which what they share counts
once: before, every minute (to read it holds up a process), and after.
20 users play for the first time, while the writes go on if there are any: how long until
every worker knows them.
"""

import json
import random
import shutil
import subprocess
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.common import argument_parser
from benchmarks.service.process import Service, serving
from recsys import Recommender

_ASKED = 500
"""Users and items that are asked for at most."""

_ADDRESSES = 20_000
"""Addresses that each connection asks for in turn."""

_FIRST = 500
"""Lists that are asked for before anything is measured."""


def main() -> None:
    """Serve, ask, and print."""
    parser = argument_parser(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="lists a second; 0: no limit")
    parser.add_argument("--connections", type=int, default=10, help="that ask for lists")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--lists", type=int, help="so many lists, however long it takes")
    parser.add_argument("--writes", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(asked.model, place / "model")
        users, items, embeddings = _ids(place / "model")
        options = ("--workers", str(asked.workers), "--no-page")
        with serving(place / "model", *options, log=place / "log") as service:
            service.wait(asked.workers)
            addresses = place / "addresses"
            _write_addresses(addresses, service.address, users)
            count = asked.lists or round((asked.rate or 1000) * asked.seconds)
            _ask(addresses, place / "first", _FIRST, asked.connections, 0)
            writers = _Writers(service, users, items, embeddings) if asked.writes else None
            memory = _Memory(service)
            began = time.monotonic()
            _ask(addresses, place / "lists", count, asked.connections, asked.rate)
            seconds = time.monotonic() - began
            memory.stop()
            seen = [_seconds_until_seen(service, number, items[0]) for number in range(20)]
            if writers is not None:
                writers.stop()
        _print("lists", *_times(place / "lists"), seconds)
        if writers is not None:
            for kind, times in writers.times.items():
                if times:
                    _print(kind, times, writers.errors[kind], writers.seconds)
        print(f"\nmemory, MiB: {', '.join(f'{one:.0f}' for one in memory.found)}")
        print(
            f"a user is known to all workers after {np.median(seen):.2f} s (median of 20), "
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


def _write_addresses(file: Path, address: str, users: list[str]) -> None:
    draw = random.Random(0)
    with file.open("w") as out:
        for _ in range(_ADDRESSES):
            user = quote(draw.choice(users), safe="")
            out.write(f"{address}/v1/users/{user}/recommendations?k=10\n")


def _ask(addresses: Path, log: Path, count: int, connections: int, rate: float) -> None:
    """Ask for lists; write the time of each to a file."""
    pace: list[str] = []
    if rate:  # each connection is a user behind the one before it, and asks at a time of its own
        pace = ["--rps", f"{rate / connections:g}", "-r", "1"]
        pace += ["--rate-period", f"{round(1000 * (connections + 1) / rate)}ms"]
    subprocess.run(
        ["h2load", "--h1", "-t", "1", "-c", str(connections), "-n", str(count),
         "-i", str(addresses), "--log-file", str(log), *pace],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _times(log: Path) -> tuple[list[float], int]:
    """Milliseconds of all requests, and how many were no lists."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return [float(row[2]) / 1000 for row in rows], sum(row[1] != "200" for row in rows)


class _Writers:
    """Two clients that send plays and songs, each on a connection of its own."""

    def __init__(
        self, service: Service, users: list[str], items: list[str], embeddings: list[list[float]]
    ) -> None:
        self.times: dict[str, list[float]] = {"plays": [], "songs": []}
        self.errors = {"plays": 0, "songs": 0}
        self.seconds = 0.0
        self._host = service.address.removeprefix("http://")
        self._draw = random.Random(1)
        self._known = users, items, embeddings
        self._done = threading.Event()
        self._began = time.monotonic()
        kinds = [("plays", "/v1/plays", 0.2), ("songs", "/v1/items", 2.0)]
        self._threads = [
            threading.Thread(target=self._write, args=arguments)
            for arguments in kinds[: 2 if embeddings else 1]
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for what was begun."""
        self._done.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    def _write(self, kind: str, address: str, interval: float) -> None:
        connection = HTTPConnection(self._host, timeout=60)
        number, due = 0, time.monotonic()
        while not self._done.wait(max(0.0, due - time.monotonic())):
            number, due = number + 1, due + interval
            body = json.dumps(self._body(kind, number))
            began = time.monotonic()
            connection.request("POST", address, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self.times[kind].append(1000 * (time.monotonic() - began))
            self.errors[kind] += answer.status >= 300
        connection.close()

    def _body(self, kind: str, number: int) -> dict[str, Any]:
        users, items, embeddings = self._known
        if kind == "plays":
            play = {"user_id": self._draw.choice(users), "item_id": self._draw.choice(items)}
            return {"batch_id": f"load-{number}", "plays": [play]}
        embedding = self._draw.choice(embeddings)
        return {"item_id": f"load-{number}", "title": "Load", "embedding": embedding}


class _Memory:
    """MiB of a service from time to time."""

    def __init__(self, service: Service) -> None:
        self.found = [service.memory()]
        self._service = service
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """End with a last look."""
        self._done.set()
        self._thread.join()
        self.found.append(self._service.memory())

    def _look(self) -> None:
        while not self._done.wait(60.0):
            self.found.append(self._service.memory())


def _seconds_until_seen(service: Service, number: int, item: str) -> float:
    """Let somebody new play; return the seconds from the answer until all workers know the user."""
    plays = [{"user_id": f"seen-{number}", "item_id": item}]
    status, said = service.request("POST", "/v1/plays", {"plays": plays})
    assert status == 202, said
    began = time.monotonic()
    found, last = 0, began
    while found < 30:
        address = f"/v1/users/seen-{number}/recommendations?k=1"
        if service.request("GET", address)[1]["fallback"] is None:
            found += 1
        else:
            found, last = 0, time.monotonic()
    return last - began


def _print(kind: str, times: list[float], errors: int, seconds: float) -> None:
    if kind == "lists":
        print("| request | a second | p50 ms | p95 ms | p99 ms | slowest ms | errors |")
        print("|---|---|---|---|---|---|---|")
    found = " | ".join(f"{one:.1f}" for one in np.quantile(times, [0.5, 0.95, 0.99, 1]))
    print(f"| {kind} | {len(times) / seconds:.1f} | {found} | {errors} |")


if __name__ == "__main__":
    main()
