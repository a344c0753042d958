"""Run jobs in other processes, so that a native crash (in a decoder) affects only one job."""

from __future__ import annotations

import os
import shutil
import signal
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from datasets.system.locks import Order, ThreadLock
from datasets.system.processes import end_with_parent

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from multiprocessing.process import BaseProcess

Job = TypeVar("Job")

Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Each process uses one thread, so that processes do not compete for the cores."""

_TRIES = 3
"""Attempts with the shared process before a job gets a process of its own."""


class Crashed:
    """Result of a job whose process crashed."""


class PersistentWorker:
    """Process that is reused for many jobs, because starting one takes longer than most jobs.

    It is started by the first job, and again by the first job after a crash. It ends with
    `close`, when this object is deleted, or when this process ends. Threads may share it;
    their jobs run one after the other.
    """

    def __init__(self) -> None:
        self._turn = ThreadLock("the shared process", Order.PART)
        self._executor: Executor | None = None
        self._owner = 0  # id of the process that started it; a fork must start its own
        self._end: Callable[[], object] | None = None

    def run(self, function: Callable[[Job], Result], job: Job) -> Result | Crashed:
        """Return ``function(job)``, or `Crashed` if the process crashed on the job.

        All jobs waiting when the process dies may be the cause, so each is tried again alone.
        """
        for _ in range(_TRIES):
            executor = self._running()
            try:
                return executor.submit(function, job).result()
            except BrokenProcessPool:
                self._drop(executor)
                break
            except RuntimeError:
                # Another thread, whose job had crashed, closed the process before this job began.
                if not self._dropped(executor):
                    raise
        for _, result in _until_a_crash(function, deque([job]), 1):
            return result
        return Crashed()

    def close(self) -> None:
        """End the process; a later job starts a new one."""
        with self._turn.held("ending it"):
            end = self._forget()
        end()

    def _running(self) -> Executor:
        with self._turn.held("starting it"):
            if self._executor is None or self._owner != os.getpid():
                self._executor, self._owner = _executor(1), os.getpid()
                self._end = weakref.finalize(self, _shut, self._executor, self._owner)
            return self._executor

    def _dropped(self, executor: Executor) -> bool:
        with self._turn.held("looking at it"):
            return self._executor is not executor

    def _drop(self, executor: Executor) -> None:
        with self._turn.held("ending it"):
            end = self._forget() if self._executor is executor else _nothing
        end()

    def _forget(self) -> Callable[[], object]:
        """Forget the process; return what ends it, to be called when the lock is let go."""
        end, self._executor, self._end = self._end, None, None
        return end or _nothing


def _nothing() -> None:
    pass


def _shut(executor: Executor, owner: int) -> None:
    if owner == os.getpid():
        executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def in_processes(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Generator[tuple[Job, Result | Crashed], None, None]:
    """Apply `function` to each job in several processes, and yield results as they are ready.

    If a process crashes (a segmentation fault in a decoder), the few running jobs are tried again,
    each in a process of its own; the result of a job that crashes again is `Crashed`.

    The processes do not import the main script, so it needs no ``if __name__ == "__main__"``.

    Args:
        function: importable function of one job.
        jobs: picklable arguments.
        workers: number of processes.

    Yields:
        (job, result) in order of completion.
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
    """Run jobs from `waiting` until it is empty or a process crashes."""
    executor = _executor(workers)
    running: dict[Future[Result], Job] = {}
    broken = False
    try:
        while running or (waiting and not broken):
            # Few jobs at a time, because all of them are tried again if a process crashes.
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
        # Also when interrupted: do not wait for running jobs.
        executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def _executor(workers: int) -> Executor:
    from loky import ProcessPoolExecutor, process_executor

    # loky ends a process by the program pgrep, which small containers lack; it then waits for ever.
    if os.name == "posix" and shutil.which("pgrep") is None:
        process_executor.kill_process_tree = _kill

    executor: Executor = ProcessPoolExecutor(
        workers, env=ONE_THREAD, initializer=end_with_parent, initargs=(os.getpid(),)
    )
    return executor


def _kill(process: BaseProcess, use_psutil: bool = True) -> None:
    """End a process, and wait for it; programs that it has started end with it.

    Args:
        process: the process.
        use_psutil: as loky gives it; of no meaning here.
    """
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    process.join()


def available_cores() -> int:
    """Return the number of CPU cores available by affinity and by the quota of the container."""
    from loky import cpu_count

    return int(cpu_count())
