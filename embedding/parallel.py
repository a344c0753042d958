"""Work on many files in other processes, where a native crash costs one file and not the run.

How many processor cores there are to work with.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Job = TypeVar("Job")

Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Every process is one thread: more of them would fight over the cores."""

WATCH_SECONDS = 1.0
"""Time between two looks at whether the parent still lives."""

_TRIES = 3
"""Times that a job is given to a kept process before it gets one of its own."""


class Crashed:
    """In place of a result: the process died over this job."""


class PersistentWorker:
    """A process that stays for the next job: starting one takes longer than most jobs.

    It is started by the first job, again by the first after a crash, and ends with
    :meth:`close`, with this object or with this process, whichever comes first. Threads may share
    it; their jobs wait for each other.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._executor: Executor | None = None
        self._owner = 0  # the process that started it; a fork of that has no part in it
        self._end: Callable[[], object] | None = None

    def run(self, function: Callable[[Job], Result], job: Job) -> Result | Crashed:
        """``function(job)``; :class:`Crashed` where the process died over it.

        Whoever waits when the process dies is a suspect; each is tried again alone.
        """
        for _ in range(_TRIES):
            executor = self._running()
            try:
                return executor.submit(function, job).result()
            except BrokenProcessPool:
                self._drop(executor)
                break
            except RuntimeError:
                # It was closed, by another thread whose job had crashed, before this one began.
                if not self._dropped(executor):
                    raise
        for _, result in _until_a_crash(function, deque([job]), 1):
            return result
        return Crashed()

    def close(self) -> None:
        """End the process; a later job starts another."""
        with self._turn:
            self._forget()

    def _running(self) -> Executor:
        with self._turn:
            if self._executor is None or self._owner != os.getpid():
                self._executor, self._owner = _executor(1), os.getpid()
                self._end = weakref.finalize(self, _shut, self._executor, self._owner)
            return self._executor

    def _dropped(self, executor: Executor) -> bool:
        with self._turn:
            return self._executor is not executor

    def _drop(self, executor: Executor) -> None:
        with self._turn:
            if self._executor is executor:
                self._forget()

    def _forget(self) -> None:
        if self._end is not None:
            self._end()
        self._executor = self._end = None


def _shut(executor: Executor, owner: int) -> None:
    if owner == os.getpid():
        executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def in_processes(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Generator[tuple[Job, Result | Crashed], None, None]:
    """Apply ``function`` to each job in ``workers`` processes; results come as they are ready.

    If a process dies (a segmentation fault in a decoder), the few jobs that were under way are
    tried again, each in a process of its own; the one that dies again is ``Crashed``.

    The processes do not import the main script, so it needs no ``if __name__ == "__main__"``.
    """
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        for job, result in _until_a_crash(function, waiting, workers):
            if isinstance(result, Crashed):
                suspects.append(job)
            else:
                yield job, result
        for job in suspects:
            yield from _until_a_crash(function, deque([job]), 1)


def _until_a_crash(
    function: Callable[[Job], Result], waiting: deque[Job], workers: int
) -> Iterator[tuple[Job, Result | Crashed]]:
    """Take jobs from ``waiting`` until it is empty or a process dies."""
    executor = _executor(workers)
    running: dict[Future[Result], Job] = {}
    broken = False
    try:
        while running or (waiting and not broken):
            # Few jobs under way at a time: they are the suspects if a process dies.
            while waiting and not broken and len(running) < 2 * workers:
                job = waiting.popleft()
                try:
                    running[executor.submit(function, job)] = job
                except BrokenProcessPool:
                    waiting.appendleft(job)
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool:
                    broken = True
                    yield job, Crashed()
    finally:
        # Also when interrupted: nothing that runs is worth waiting for.
        executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def _executor(workers: int) -> Executor:
    from loky import ProcessPoolExecutor

    executor: Executor = ProcessPoolExecutor(
        workers, env=ONE_THREAD, initializer=_end_with, initargs=(os.getpid(),)
    )
    return executor


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, even if that was killed without a farewell."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    # Ctrl-C reaches every process of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def available_cores() -> int:
    """Processor cores this process may use: its affinity, and the quota of its container."""
    from loky import cpu_count

    return int(cpu_count())
