"""Errors as problems: which status, and what of the machine is left out."""

import errno
from pathlib import Path

import pytest

from datasets.errors import (
    ArtifactError,
    AudioError,
    BusyError,
    DataError,
    DiskFullError,
    EncoderUnavailableError,
    InvalidArgumentError,
)
from recsys.service.problems import Scrubber, problem_of

SCRUBBER = Scrubber([Path("/srv/model")])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidArgumentError("k must be positive"), 422),
        (DataError("interactions, row 3, column 'weight': is negative"), 422),
        (AudioError("song.mp3: is silent"), 422),
        (BusyError("/srv/model: process 7 has been rebuilding"), 503),
        (ArtifactError("/srv/model/manifest.json: is damaged"), 503),
        (DiskFullError("/srv/model: is full"), 507),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/upload"), 507),
        (EncoderUnavailableError("/srv/onnx: is not there"), 501),
        (OSError(errno.EIO, "Input/output error", "/srv/model/x"), 500),
        (RuntimeError("/srv/model"), 500),
        (MemoryError(), 500),
    ],
)
def test_the_status_of_an_error(error: Exception, status: int) -> None:
    problem = problem_of(error, SCRUBBER)
    assert problem.status_code == status
    assert "/srv" not in problem.detail
    assert "/tmp" not in problem.detail


def test_rows_become_fields() -> None:
    error = DataError("interactions, row 3, column 'weight': is negative")
    assert problem_of(error, SCRUBBER).members["field"] == "plays.2.weight"


def test_folders_are_cut_out() -> None:
    for message, said in (
        ("/srv/model/g-1/a.npy: is short", "g-1/a.npy: is short"),
        ("cannot read '/srv/model'", "cannot read ''"),
        ("/srv/models/a", "/srv/models/a"),  # another folder, which only begins alike
    ):
        assert SCRUBBER.scrub(message) == said
