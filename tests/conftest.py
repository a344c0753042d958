"""What all tests share: writing in temporary folders only, and small data with a known answer."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _same_surroundings_everywhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    # A shell's background job ignores Ctrl-C, and so would all processes that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["COLDTUNE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["COLDTUNE_TRACKING"] = "0"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(autouse=True)
def _signals_end_processes() -> Iterator[None]:
    """Take the command line's handlers away from tests that come after one that calls it.

    A forked child would have them as well, and one that waits for a lock is not ended by them: a
    handler in Python runs when the lock is there.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def real_mini() -> Path:
    """Folder of real recordings and listening; skips where it is not there."""
    folder = SHARED / "real-mini"
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def gtzan_logmel() -> Path:
    """Folder of real log-mel images; skips where it is not there."""
    folder = SHARED / "gtzan-logmel"
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def tastes() -> tuple[MusicDataset, pd.DataFrame]:
    """Listening with a known answer, and embeddings that give it away.

    120 users and 90 items in three tastes; a user plays items of their taste nine times out of
    ten. Items 0..79 are played, 80..89 ("cold-…") are not. An item's embedding (8-d) is its
    taste's direction and a little noise, so a cold item's taste can be heard.
    """
    rng = np.random.default_rng(7)
    taste = np.arange(90) % 3
    names = [f"item-{n}" if n < 80 else f"cold-{n}" for n in range(90)]
    rows = []
    for user in range(120):
        liked = np.flatnonzero((taste == user % 3) & (np.arange(90) < 80))
        other = np.flatnonzero((taste != user % 3) & (np.arange(90) < 80))
        played = [*rng.choice(liked, 12, replace=False), *rng.choice(other, 2, replace=False)]
        rows += [(f"user-{user}", names[item], float(rng.integers(1, 20))) for item in played]
    items = pd.DataFrame(
        {
            "item_id": names,
            "title": [f"Song {n}" for n in range(90)],
            "artist": [f"Artist {n // 2}" for n in range(90)],
            "album": "",
            "genre": [("rock", "jazz", "pop")[t] for t in taste],
        }
    )
    interactions = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    directions = np.eye(8)[taste] + 0.15 * rng.standard_normal((90, 8))
    embeddings = pd.DataFrame(directions.astype(np.float32), index=names)
    return MusicDataset(items=items, interactions=interactions), embeddings
