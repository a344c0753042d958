"""What a service loses when all of it is killed, its disk is full or its clock jumps: nothing.

    python -m benchmarks.service.faults [--rounds 100] [--only kills|disk|clock] [--seed 0]

A small model is served by two workers, while one client sends plays, another one songs by their
embeddings and a third one listens as a scrobbler does. What the service acknowledged is looked for
afterwards, in a model that is opened anew.

- kills: after 0 to 2 seconds, drawn at random, all processes are killed at once; the next round
  starts with what they left.
- disk: the model lies on a file system of its own (a tmpfs, which takes root) with 300 kB left.
  Clients write until it is full: the service says 507 and goes on to answer lists. Then there is
  space again, and writing works without a restart.
- clock: the processes' clock (by libfaketime; Debian: `apt install faketime`) goes a day ahead, two
  back and to 1972, while clients write and another process takes in a play: all workers see it
  within seconds as before. libfaketime lets every `time.sleep` fail with EINVAL, at whatever
  offset, so a write that has to wait for its turn is refused with 503 in this trial.
"""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from benchmarks.service.process import Service, serving
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig
from recsys.service.listens.unmatched import UnmatchedListens, listens_file
from recsys.service.requests.keys import KeyFile

WORKERS = 2


def main() -> None:
    """Run the asked faults; end with 1 if something acknowledged is lost."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", choices=("kills", "disk", "clock"))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_model(place / "model")
        key = KeyFile(place / "keys.json").add("ann", "write")
        run = Trial(place, key)
        if asked.only in (None, "kills"):
            kills(run, asked.rounds, random.Random(asked.seed))
        if asked.only in (None, "disk"):
            full_disk(run)
        if asked.only in (None, "clock"):
            clock(run)


def make_model(folder: Path) -> None:
    """Fit and save a small model of 60 users and 40 items with embeddings."""
    draw = np.random.default_rng(0)
    ids = [f"s{n}" for n in range(40)]
    items = pd.DataFrame({"item_id": ids, "title": ids, "album": "", "genre": ""})
    items["artist"] = [f"a{n // 4}" for n in range(40)]
    plays = [(f"u{u}", ids[i], 1.0) for u in range(60) for i in draw.choice(35, 8, False)]
    dataset = MusicDataset(
        items=items,
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
    )
    embeddings = pd.DataFrame(draw.standard_normal((40, 4)), index=ids)
    config = RecommenderConfig(threads=1, tracking=False, sources=("als", "content"))
    Recommender(config).fit(dataset, embeddings=embeddings).save(folder)


class Trial:
    """Clients that write to a service, and what it acknowledged to them."""

    def __init__(self, place: Path, key: str) -> None:
        self.place, self.key = place, key
        self.model = place / "model"
        self.users: set[str] = set()
        self.songs: set[str] = set()
        self.listens = 0
        self.refused: dict[str, int] = {}
        self._number = itertools.count()

    def serve(self, **options: Any) -> Any:
        """Serve the model as it is."""
        return serving(
            self.model, "--workers", str(WORKERS), "--no-page", "--keys",
            str(self.place / "keys.json"), log=self.place / "log", key=self.key, **options,
        )  # fmt: skip

    def write(self, service: Service, until: threading.Event) -> list[threading.Thread]:
        """Start the three clients; each ends at its first broken connection, or when told."""
        threads = [
            threading.Thread(target=self._repeat, args=(action, service, until))
            for action in (self._play, self._song, self._listen)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _repeat(
        self,
        action: Callable[[Service, int], tuple[int, Any]],
        service: Service,
        until: threading.Event,
    ) -> None:
        while not until.is_set():
            try:
                status, said = action(service, next(self._number))
            except (OSError, HTTPException, ValueError):  # killed in the middle of it
                return
            if status >= 300:
                why = f"{status} {said.get('detail') or said.get('error')}"
                self.refused[why] = self.refused.get(why, 0) + 1

    def _play(self, service: Service, number: int) -> tuple[int, Any]:
        user = f"user-{number}"
        plays = [{"user_id": user, "item_id": f"s{number % 40}"}]
        status, said = service.request("POST", "/v1/plays", {"batch_id": user, "plays": plays})
        if status == 202:
            self.users.add(user)
        return status, said

    def _song(self, service: Service, number: int) -> tuple[int, Any]:
        song = {
            "item_id": f"song-{number}",
            "title": "x" * 2000,
            "embedding": [1, 0, number % 7, 1],
        }
        status, said = service.request("POST", "/v1/items", song)
        if status == 201:
            self.songs.add(f"song-{number}")
        return status, said

    def _listen(self, service: Service, number: int) -> tuple[int, Any]:
        # Half of them are of songs that nobody knows, which are kept and listed.
        track = {"artist_name": "a0", "track_name": f"{'s' if number % 2 else 'new-'}{number % 4}"}
        listen = {"listened_at": 1_700_000_000 + number, "track_metadata": track}
        body = {"listen_type": "single", "payload": [listen]}
        status, said = service.request("POST", "/1/submit-listens", body)
        self.listens += status == 200
        return status, said

    def full(self) -> int:
        """How often the service said that the disk is full."""
        return sum(count for why, count in self.refused.items() if why.startswith("507"))

    def check(self) -> None:
        """Look for all that was acknowledged in the model as it is on the disk."""
        opened = Recommender.load(self.model)
        lost = [user for user in self.users if opened.recommend(user, 1).attrs.get("fallback")]
        rows = opened.live.items.rows_or_none(sorted(self.songs))
        missing = int((np.asarray(rows) < 0).sum())
        listened = _listens(self.model, opened)
        print(
            f"acknowledged: plays of {len(self.users)} users, {len(self.songs)} songs, "
            f"{self.listens} listens; lost: {len(lost)}, {missing}, "
            f"{max(0, self.listens - listened)}; refused: {self.refused or 'none'}",
            flush=True,
        )
        if lost or missing or listened < self.listens:
            sys.exit("something that was acknowledged is lost")


def _listens(model: Path, opened: Recommender) -> int:
    """Listens of ann that are there: plays, and what waits for its song."""
    plays = round(sum(opened.live.users._plays.by_user.get("ann", {}).values()))
    return plays + len(UnmatchedListens(listens_file(model)))


def kills(run: Trial, rounds: int, draw: random.Random) -> None:
    """Kill all processes, again and again."""
    for number in range(rounds):
        with run.serve() as service:
            service.wait(1)
            done = threading.Event()
            threads = run.write(service, done)
            time.sleep(draw.uniform(0, 2))
            for pid in service.processes():
                os.kill(pid, signal.SIGKILL)
            done.set()
            for thread in threads:
                thread.join()
        if number % 10 == 9 or number == rounds - 1:
            print(f"killed {number + 1} times; ", end="")
            run.check()


def full_disk(run: Trial) -> None:
    """Write until the disk is full, then make space."""
    size = sum(file.stat().st_size for file in run.model.rglob("*") if file.is_file())
    disk = run.place / "disk"
    disk.mkdir()
    option = f"size={size // 1024 + 3072}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        print("full disk: not tried, as no file system can be mounted here")
        return
    try:
        shutil.copytree(run.model, disk / "model")
        run.model = disk / "model"
        with run.serve() as service:
            service.wait(WORKERS)
            free = shutil.disk_usage(disk).free
            (disk / "filler").write_bytes(bytes(max(0, free - 300_000)))
            done = threading.Event()
            threads = run.write(service, done)
            until = time.monotonic() + 120
            while run.full() < 30 and time.monotonic() < until:
                time.sleep(0.1)
            done.set()
            for thread in threads:
                thread.join()
            print(f"full disk: {run.full()} times 507; ", end="")
            status, answer = service.request("GET", "/v1/users/u1/recommendations")
            assert status == 200, answer
            assert answer["items"], answer
            run.check()
            (disk / "filler").unlink()
            for action in (run._play, run._song, run._listen):
                status, _ = action(service, next(run._number))
                assert status < 300, f"{action.__name__}: {status} although there is space"
            print("with space again: ", end="")
            run.check()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    run.model = run.place / "model"
    run.users.clear()
    run.songs.clear()
    run.listens = 0


def clock(run: Trial) -> None:
    """Let the clock of the service jump while clients write."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        print("clock: not tried, as libfaketime is not installed")
        return
    stamp = run.place / "clock"
    stamp.write_text("+0")
    environment = os.environ | {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    run.refused.clear()
    with run.serve(environment=environment) as service:
        service.wait(WORKERS)
        done = threading.Event()
        threads = run.write(service, done)
        for number, jump in enumerate(("+1d", "-2d", "-20000d", "+0")):
            stamp.write_text(jump)
            time.sleep(1)
            user = f"clock-{number}"
            plays = pd.DataFrame({"user_id": [user], "item_id": ["s1"], "weight": [1.0]})
            began = time.monotonic()
            Recommender.load(run.model).update(plays)
            run.users.add(user)
            while not _all_know(service, user):
                assert time.monotonic() - began < 60, f"{jump}: {user} is not seen by all workers"
            print(f"clock {jump}: seen by all workers in {time.monotonic() - began:.1f} s")
        done.set()
        for thread in threads:
            thread.join()
    run.check()


def _all_know(service: Service, user: str) -> bool:
    answers = [service.request("GET", f"/v1/users/{user}/recommendations")[1] for _ in range(20)]
    return all(one.get("fallback", "") is None for one in answers)


if __name__ == "__main__":
    main()
