"""A service of the small model on a loopback port, for clients that speak over a network."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn

from recsys import Recommender
from recsys.service.app import create_app
from recsys.service.requests.keys import KeyFile
from recsys.service.settings import ServiceSettings


class Served(NamedTuple):
    """A service that listens."""

    port: int
    read: str
    """A key of the role read; its name is u1, as a user of the model."""
    write: str
    """A key of the role write; its name is ann."""
    model: Recommender

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, *arguments: object, **options: object) -> None:
        await super().startup(*arguments, **options)  # type: ignore[arg-type]
        self.listens.set()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str, str]:
    """A file of keys, one of the role read and one of the role write."""
    file = KeyFile(tmp_path / "keys.json")
    return file.path, file.add("u1", "read"), file.add("ann", "write")


@pytest.fixture
def served(model: Recommender, keys: tuple[Path, str, str]) -> Iterator[Served]:
    path, read, write = keys
    app = create_app(model, ServiceSettings(keys=path))
    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.listens.wait(60)
    (socket,) = server.servers[0].sockets
    yield Served(socket.getsockname()[1], read, write, model)
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()
