"""A file server in place of the publishers of data sets."""

from collections.abc import Iterator

import pytest

from tests.helpers.file_server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("datasets.public.download.PAUSE", 0.0)
    with serving() as server:
        yield server
