"""Recordings decoded in the process of the tests: to start another one takes a second or two."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from embedding.hyperimage import extraction
from embedding.parallel import PersistentWorker


@contextmanager
def decoding_here() -> Iterator[None]:
    """Decode in this process, as many recordings at a time as a process of its own would."""

    def decoded(function: Any, jobs: Sequence[Any], _workers: int) -> Iterator[tuple[Any, Any]]:
        for group in extraction._groups(jobs, 1):
            yield from zip(group, extraction._one_by_one(function, group), strict=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "in_processes_ahead", decoded)
        patch.setattr(PersistentWorker, "run", lambda _self, function, job: function(job))
        yield


@pytest.fixture(scope="module")
def decoded_here() -> Iterator[None]:
    """``pytestmark = pytest.mark.usefixtures("decoded_here")`` where processes do not matter."""
    with decoding_here():
        yield
