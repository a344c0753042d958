"""The pretrained encoder, for tests that need it: fetched by pip, once a run of the tests."""

import os
from pathlib import Path

import pytest

from datasets.errors import DataError
from embedding.encoders.musicnn.weights import get_musicnn
from tests.helpers.programs import no_wheel_reason


@pytest.fixture(scope="session")
def musicnn_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `COLDTUNE_CACHE` in which MusiCNN is; skips where it cannot be had."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # all processes of a run share it
        root = root.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDTUNE_CACHE", str(root / "musicnn-cache"))
        patch.setenv("PIP_RETRIES", os.environ.get("PIP_RETRIES", "1"))
        try:
            get_musicnn()
        except DataError as error:
            pytest.skip(no_wheel_reason(str(error)))
    return root / "musicnn-cache"


@pytest.fixture
def musicnn_fetched(musicnn_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Within the test MusiCNN is in the cache; skips where it cannot be had."""
    monkeypatch.setenv("COLDTUNE_CACHE", str(musicnn_cache))
    return musicnn_cache
