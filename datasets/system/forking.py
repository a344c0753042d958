"""What a forked child cannot use of its parent: threads of OpenMP, databases, a GPU.

A fork copies the memory of a process and one of its threads, the one that forks: so work gunicorn
with --preload, Celery and multiprocessing with the method "fork". GNU OpenMP, on which implicit,
LightFM, PyTorch and scikit-learn compute, keeps the threads of its last work for the next one, and
a child would wait for them for ever. So before a fork the threads that the forking thread keeps are
ended; parent and child start new ones when they need them. Where they cannot be ended (GNU OpenMP
before GCC 9, or a fork that Python does not announce), the child goes on with one thread.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from threadpoolctl import ThreadpoolController, threadpool_limits

_HARD = 2
"""``omp_pause_hard`` of OpenMP 5.0: give back everything, threads included."""

_SECONDS = 10.0
"""Seconds that a fork waits for other threads to leave what a child could not go on with."""

_announced = False
"""Whether `_before` has ended all threads of OpenMP for the fork that comes next."""

_stranded: int | None = None
"""The thread that may not use threads of OpenMP: the first one of a child, if at all."""

_gpu_lost = False
"""Whether CUDA was in use in the parent of this process when it was forked."""

_gpu_in_use = False
"""Whether CUDA is in use in this process, at the fork that comes next."""


def openmp_threads(wanted: int) -> int:
    """Return how many threads of OpenMP a computation here may use: as wanted, or else 1.

    Examples:
        >>> openmp_threads(8)
        8
    """
    return 1 if threading.get_ident() == _stranded else wanted


def gpu_is_lost() -> bool:
    """Return whether CUDA cannot be used here, because it was in use when this process was forked.

    Examples:
        >>> gpu_is_lost()
        False
    """
    return _gpu_lost


class ForkGate:
    """Lets a fork of this process happen while no other thread is inside, if that is soon.

    While a fork waits, and for as long as it takes, nobody else enters.

    Examples:
        >>> gate = ForkGate()
        >>> with gate.inside():
        ...     print("no other thread forks now")
        no other thread forks now
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: dict[int, int] = {}
        """How often each thread is inside."""
        self._forking: int | None = None
        self.interrupted = False
        """In a child: whether somebody was inside nevertheless when it was forked."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._close, after_in_parent=self._open, after_in_child=self._start_anew
            )

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside within the block; a thread may be so several times."""
        thread = self.enter()
        try:
            yield
        finally:
            self.leave(thread)

    def enter(self) -> int:
        """Go inside, once no fork is under way; return what `leave` needs."""
        thread = threading.get_ident()
        with self._condition:
            while self._forking not in (None, thread) and thread not in self._inside:
                self._condition.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1
        return thread

    def leave(self, thread: int) -> None:
        """Leave; not necessarily in the thread that went inside."""
        with self._condition:
            left = self._inside.get(thread, 0) - 1
            if left > 0:
                self._inside[thread] = left
            else:
                self._inside.pop(thread, None)
            self._condition.notify_all()

    def _close(self) -> None:
        with self._condition:
            thread = threading.get_ident()
            # Two threads that fork at once take turns, each for so long at most.
            self._condition.wait_for(lambda: self._forking is None, _SECONDS)
            self._forking = thread
            self._condition.wait_for(lambda: self._inside.keys() <= {thread}, _SECONDS)

    def _open(self) -> None:
        with self._condition:
            self._forking = None
            self._condition.notify_all()

    def _start_anew(self) -> None:
        thread = threading.get_ident()
        self.interrupted = bool(self._inside)
        # What this thread has gone into it still leaves.
        self._inside = {one: n for one, n in self._inside.items() if one == thread}
        self._condition, self._forking = threading.Condition(), None


def _before() -> None:
    global _announced, _gpu_in_use
    _announced = _gpu_in_use = False
    with suppress(Exception):
        _announced = _end_openmp_threads()
    with suppress(Exception):
        torch = sys.modules.get("torch")
        _gpu_in_use = torch is not None and torch.cuda.is_initialized()


def _end_openmp_threads() -> bool:
    """End the threads that GNU OpenMP keeps for this thread; return whether none is left."""
    ended = True
    for library in ThreadpoolController().lib_controllers:
        # Other libraries of OpenMP, and of BLAS, look after their children themselves.
        if library.user_api == "openmp" and library.prefix == "libgomp":
            # Each copy that a package brings has threads of its own.
            pause = getattr(ctypes.CDLL(library.filepath), "omp_pause_resource_all", None)
            ended = pause is not None and pause(_HARD) == 0 and ended
    return ended


def _in_parent() -> None:
    global _announced
    _announced = False


def _in_child() -> None:
    global _announced, _stranded, _gpu_lost
    _gpu_lost = _gpu_lost or _gpu_in_use
    if _announced:
        _stranded = None
    else:
        _stranded = threading.get_ident()
        with suppress(Exception):
            threadpool_limits(1, user_api="openmp")
    _announced = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
