"""Computations of requests in threads: so many at once, so many waiting, for so long."""

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from recsys.service.problems import Problem

T = TypeVar("T")


class Lane:
    """Threads for one kind of work, with a limit for how many wait and for how long.

    What waits is refused rather than kept when there is too much of it, so that the service
    answers in time what it answers at all.

    Args:
        name: what is done, for problems: "questions".
        threads: how many are done at once.
        queue: how many wait at most.
        seconds: after which one is given up; a thread that computes goes on and its result is
            dropped.

    Examples:
        >>> import asyncio
        >>> lane = Lane("questions", threads=1, queue=1, seconds=10)
        >>> asyncio.run(lane.run(lambda: 6 * 7))
        42
        >>> lane.pending
        0
    """

    def __init__(self, name: str, *, threads: int, queue: int, seconds: float) -> None:
        self.name = name
        self._most = threads + queue
        self._seconds = seconds
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"coldtune-{name}")
        self._futures: set[Future[Any]] = set()
        # With the application that has it, so that its threads end.
        weakref.finalize(self, self._executor.shutdown, wait=False).atexit = False

    @property
    def pending(self) -> int:
        """How many are computed or wait."""
        return len(self._futures)

    def check_room(self) -> None:
        """Raise a problem if no more can wait."""
        if self.pending >= self._most:
            raise Problem(
                503,
                "overloaded",
                f"too many {self.name} are waiting here; try again",
                headers={"Retry-After": "1"},
            )

    async def run(self, function: Callable[[], T]) -> T:
        """Return what a function computes in one of the threads.

        Raises:
            Problem: too many wait, or it took too long.
        """
        self.check_room()
        future = self._executor.submit(function)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise  # its own
            raise Problem(
                503,
                "too-slow",
                f"it was not done within {self._seconds:g} s; try again",
                headers={"Retry-After": "1"},
            ) from None

    def close(self) -> None:
        """Take no more work; what is computed is finished, what waits is not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)
