"""Work on many files in other processes, where a native crash costs one file and not the run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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


class Crashed:
    """In place of a result: the process died over this job."""


def in_processes(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[tuple[Job, Result | Crashed]]:
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
