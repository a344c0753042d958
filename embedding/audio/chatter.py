"""Keeping a decoder's own remarks off the terminal.

libmpg123, which libsndfile decodes mp3 with, writes remarks straight to the process's error stream
(harmless ones at nearly every seek), where they would run through progress bars and logs.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

ERROR_STREAM = 2

REMARKS = (
    b"[src/libmpg123/",
    b"Note: ",
    b"Warning: Xing ",
    b"Warning: Big change ",
    b"Warning: Encountered more data ",
)
"""How the lines begin that are dropped; whatever else was written is passed on."""

_lock = threading.Lock()
_users = 0
_kept: IO[bytes]
_original: int


@contextmanager
def silenced_decoders() -> Iterator[None]:
    """Hold the error stream back inside the block, and pass on all but decoders' remarks after it.

    Threads may be inside at the same time; the last one out passes on.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _kept, _original
    with _lock:
        if _users == 0:
            try:
                _original = os.dup(ERROR_STREAM)
            except OSError:
                # There is no error stream (a daemon), so there is nothing to protect.
                return
            _kept = tempfile.TemporaryFile()  # noqa: SIM115  (closed in _leave)
            os.dup2(_kept.fileno(), ERROR_STREAM)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        if _users == 0:
            return
        _users -= 1
        if _users:
            return
        os.dup2(_original, ERROR_STREAM)
        os.close(_original)
        with _kept:
            _kept.seek(0)
            lines = _kept.read().splitlines(keepends=True)
        rest = b"".join(line for line in lines if line.strip() and not line.startswith(REMARKS))
        if rest:
            os.write(ERROR_STREAM, rest)
