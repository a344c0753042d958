"""Who asks a service in a test under load: readers at a rate, one who plays, one who adds songs.

A file for Locust; `benchmarks.service.load` starts it.
"""

import itertools
import json
import os
import random
from pathlib import Path
from urllib.parse import quote

import gevent
from locust import constant_throughput, task
from locust.contrib.fasthttp import FastHttpUser

RATE = float(os.environ["COLDTUNE_LOAD_RATE"])
READERS = int(os.environ["COLDTUNE_LOAD_READERS"])
WRITES = os.environ["COLDTUNE_LOAD_WRITES"] == "1"
USERS, ITEMS, EMBEDDINGS = json.loads(Path(os.environ["COLDTUNE_LOAD_IDS"]).read_text())
"""Ids of users and items that are asked for, and embeddings of songs that come."""

_number = itertools.count()


class Reader(FastHttpUser):
    """Asks for lists of users, drawn at random; all readers together keep the rate."""

    fixed_count = READERS
    wait_time = constant_throughput(RATE / READERS)

    def on_start(self) -> None:
        """Begin at a time of one's own, so that readers do not ask all at once."""
        gevent.sleep(random.uniform(0, READERS / RATE))

    @task
    def ask(self) -> None:
        """Ask for one list."""
        user = quote(random.choice(USERS), safe="")
        self.client.get(f"/v1/users/{user}/recommendations?k=10", name="list")


class Player(FastHttpUser):
    """Sends five plays a second, each in a request of its own."""

    fixed_count = 1 if WRITES else 0
    wait_time = constant_throughput(5)
    abstract = not WRITES

    @task
    def play(self) -> None:
        """Send one play."""
        plays = [{"user_id": random.choice(USERS), "item_id": random.choice(ITEMS)}]
        batch = f"load-{os.getpid()}-{next(_number)}"
        self.client.post("/v1/plays", json={"batch_id": batch, "plays": plays}, name="play")


class Singer(FastHttpUser):
    """Adds a song every two seconds."""

    fixed_count = 1 if WRITES else 0
    wait_time = constant_throughput(0.5)
    abstract = not WRITES

    @task
    def add(self) -> None:
        """Add one song by its embedding."""
        song = {
            "item_id": f"load-{os.getpid()}-{next(_number)}",
            "title": "Load",
            "embedding": random.choice(EMBEDDINGS),
        }
        self.client.post("/v1/items", json=song, name="song")
        gevent.sleep(0)
