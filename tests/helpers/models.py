"""What the tests of the recommender share: the small data as sources see it, and models of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from datasets.music import MusicDataset
from recsys import Recommender
from recsys.data import TrainingData
from tests.helpers.recommenders import CONFIG, QUICK, training_data
from tests.helpers.recordings import write_song

Tastes = tuple[MusicDataset, pd.DataFrame]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small matrices only wait for each other's threads, and long where the cores are busy."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def tastes_data(tastes: Tastes) -> TrainingData:
    return training_data(*tastes)


@pytest.fixture(scope="session")
def fitted(tastes: Tastes) -> Recommender:
    """Fitted on the small data with default settings; not to be changed by a test."""
    dataset, embeddings = tastes
    return Recommender(CONFIG).fit(dataset, embeddings=embeddings)


@pytest.fixture(scope="session")
def fit_quickly(tastes: Tastes) -> Callable[..., Recommender]:
    """A function that gives a test a recommender of its own, with other settings if it likes."""
    dataset, embeddings = tastes

    def fit(**changes: object) -> Recommender:
        return Recommender(QUICK.replace(**changes)).fit(dataset, embeddings=embeddings)

    return fit


EARS = {
    "architecture": "IC(2,5,8)PF(16)O",
    "epochs": 2,
    "batch_size": 8,
    "snippet": {"seconds": 1.0},
    "hyperimage": {"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
}
"""A network that is trained in a moment."""


@pytest.fixture(scope="session")
def hearing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of eight recordings and six listeners, on the disk; the songs are beside it.

    The last two songs have no listeners. A test copies what it changes.
    """
    root = tmp_path_factory.mktemp("songs")
    ids = [f"song-{n}" for n in range(8)]
    for number, name in enumerate(ids):
        write_song(root / f"{name}.wav", number)
    genres = [("rock", "jazz")[n % 2] for n in range(8)]
    plays = [(f"user-{u}", ids[n], 1.0) for u in range(6) for n in range(6) if (n + u) % 2]
    dataset = MusicDataset(
        items=pd.DataFrame(
            {"item_id": ids, "title": "", "artist": ids, "album": "", "genre": genres}
        ),
        audio=pd.DataFrame({"item_id": ids, "path": [f"{name}.wav" for name in ids]}),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
        root=root,
    )
    model = Recommender(QUICK.replace(encoder=EARS)).fit(dataset)
    model.save(root / "model")
    return root / "model"
