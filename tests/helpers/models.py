"""What the tests of the recommender share: the small data as sources see it, and models of it."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from datasets.music import MusicDataset
from recsys import Recommender
from recsys.data import TrainingData
from tests.helpers.decoding import decoding_here
from tests.helpers.eight_songs import EARS, eight_songs
from tests.helpers.recommenders import CONFIG, QUICK, own, training_data

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

    @cache
    def unchanged() -> Recommender:
        return Recommender(QUICK).fit(dataset, embeddings=embeddings)

    def fit(**changes: object) -> Recommender:
        if not changes:
            return own(unchanged())  # of one fit
        return Recommender(QUICK.replace(**changes)).fit(dataset, embeddings=embeddings)

    return fit


@pytest.fixture(scope="session")
def hearing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of eight recordings and six listeners, on the disk; the songs are beside it.

    The last two songs have no listeners. A test copies what it changes.
    """
    root = tmp_path_factory.mktemp("songs")
    dataset = eight_songs(root, ("rock", "jazz"))
    with decoding_here():
        Recommender(QUICK.replace(encoder=EARS)).fit(dataset).save(root / "model")
    return root / "model"
