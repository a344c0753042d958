"""The model that is served: loaded in the background, kept up to date, replaced."""

import gc
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from starlette.testclient import TestClient

from embedding import SongEncoder
from recsys import Recommender
from recsys.service.app import create_app
from recsys.service.serving import ServedModel
from recsys.service.settings import ServiceSettings
from tests.helpers.kills import PATIENCE_SECONDS
from tests.recsys.service.conftest import problem


@pytest.fixture
def folder(example_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(example_model, tmp_path / "model")
    return tmp_path / "model"


def test_it_is_not_ready_while_the_model_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    load = Recommender.load

    def slowly(place: Path) -> Recommender:
        assert go.wait(PATIENCE_SECONDS)
        return load(place)

    monkeypatch.setattr("recsys.service.serving.Recommender.load", slowly)
    app = create_app(folder, ServiceSettings())
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/health/live").status_code == 200
        waiting = client.get("/health/ready")
        assert (waiting.status_code, waiting.json()["ready"]) == (503, False)
        for answer in (
            client.get("/v1/users/u1/recommendations"),
            client.post("/v1/plays", json={"plays": [{"user_id": "a", "item_id": "s1"}]}),
            client.delete("/v1/items/s1"),
            client.get("/v1/items/s1/audio"),
        ):
            assert problem(answer, 503)["title"] == "Not ready"
            assert answer.headers["retry-after"] == "1"
        assert "coldtune_ready 0.0" in client.get("/metrics").text
        go.set()
        assert app.state.context.served.wait(PATIENCE_SECONDS)
        assert client.get("/health/ready").json()["ready"] is True
        assert client.get("/v1/users/u1/recommendations").status_code == 200


def test_a_model_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    app = create_app(tmp_path / "none")
    with TestClient(app, base_url="http://localhost") as client:
        assert not app.state.context.served.wait(PATIENCE_SECONDS)
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "the model cannot be read")
        assert str(tmp_path) not in client.get("/v1/model").text


def test_what_another_process_does_is_seen(folder: Path) -> None:
    looked = threading.Event()
    served = ServedModel(folder, refresh_seconds=0.05)
    served.start(looked.set)
    try:
        assert served.wait(PATIENCE_SECONDS)
        before = served.generation()
        other = Recommender.load(folder)
        other.update(pd.DataFrame({"user_id": ["ann"], "item_id": ["s1"], "weight": [1.0]}))
        for _ in range(2):  # a look that began before may end after
            looked.clear()
            assert looked.wait(PATIENCE_SECONDS)
        assert served.live.counts()["users"] == 61
        assert served.generation() != before
        assert served.generation() == ServedModel(other).generation()
        other.rebuild()
        held = served.live  # of a request under way
        for _ in range(2):
            looked.clear()
            assert looked.wait(PATIENCE_SECONDS)
        assert served.live is not held
        assert held.counts() == served.live.counts()
    finally:
        served.stop()


def test_a_change_goes_to_the_model_that_took_the_place(folder: Path) -> None:
    served = ServedModel(Recommender.load(folder))
    Recommender.load(folder).rebuild()
    plays = pd.DataFrame({"user_id": ["ann"], "item_id": ["s1"], "weight": [1.0]})
    assert served.change(lambda one: one.update(plays)).new_users == 1
    assert Recommender.load(folder).live.counts()["users"] == 61


def test_a_service_that_is_forgotten_ends(folder: Path) -> None:
    served = ServedModel(folder, refresh_seconds=0.01)
    served.start()
    thread = served._thread
    assert thread is not None
    assert served.wait(PATIENCE_SECONDS)
    del served
    gc.collect()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_the_network_is_built_before_a_recording_comes(hearing_model: Path, tmp_path: Path) -> None:
    def is_built(model: Recommender) -> bool:
        encoder = model.live.state.encoder
        assert isinstance(encoder, SongEncoder)
        return isinstance(encoder._network, torch.nn.Module)

    folder = tmp_path / "model"
    shutil.copytree(hearing_model, folder)
    assert not is_built(Recommender.load(folder))
    served = ServedModel(folder)
    served.look()
    assert is_built(served.recommender)
    Recommender.load(folder).save(folder)
    served.recommender.refresh()
    assert not is_built(served.recommender)
    served.look()
    assert is_built(served.recommender)
