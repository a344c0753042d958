"""Services of the small models of the tests, and clients that ask them without a network."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.app import create_app
from recsys.service.page.media import PageCache
from recsys.service.settings import ServiceSettings

Client = Callable[..., TestClient]


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem that an answer is; it has the id of its request."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["type"].startswith("urn:coldtune:problem:")
    return document


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """``client_of(model, port=1, ...)``: a client of a service with these settings.

    Its first page does not start the process that draws: it would be ready when the test is over.
    """
    monkeypatch.setattr(PageCache, "warm_up", lambda *_: None)
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


@pytest.fixture(scope="session")
def songs(hearing_model: Path) -> Path:
    """The folder of the recordings of the model that hears; a test adds to it, and changes none."""
    return hearing_model.parent


@pytest.fixture(scope="session")
def hearing_client(
    hearing_model: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A client of one service, for all tests, of a model that hears recordings."""
    place = tmp_path_factory.mktemp("service")
    shutil.copytree(hearing_model, place / "model")
    settings = ServiceSettings(
        audio_folders=(songs,), uploads=place / "uploads", max_upload=4 << 20, max_sound_seconds=60
    )
    app = create_app(place / "model", settings)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        assert app.state.context.served.wait(120)
        yield client
