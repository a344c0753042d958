"""Services of the small models of the tests, and clients that ask them without a network."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.app import create_app
from recsys.service.settings import ServiceSettings

Client = Callable[..., TestClient]


@pytest.fixture
def client_of(request: pytest.FixtureRequest) -> Iterator[Client]:
    """``client_of(model, port=1, ...)``: a client of a service with these settings."""
    opened = []

    def make(model: Recommender | Path, **settings: Any) -> TestClient:
        app = create_app(model, ServiceSettings(**settings))
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.app.state.context.close()  # type: ignore[attr-defined]
        client.close()


@pytest.fixture
def model(example_recommender: Recommender) -> Recommender:
    """A model of 30 songs and 60 users, of given embeddings; a test may change it."""
    return example_recommender


@pytest.fixture
def client(client_of: Client, model: Recommender) -> TestClient:
    return client_of(model)


@pytest.fixture
def hearing(hearing_model: Path, tmp_path: Path) -> Path:
    """A copy of a model that hears recordings; its songs lie in `tmp_path / "songs"`."""
    shutil.copytree(hearing_model, tmp_path / "songs" / "model")
    for song in hearing_model.parent.glob("*.wav"):
        shutil.copy(song, tmp_path / "songs")
    return tmp_path / "songs" / "model"
