"""How many threads BLAS computes with: one, for what is too short to be worth a second one.

A product of a matrix with one vector, as a single list is made of, takes a tenth of a millisecond.
OpenBLAS gives half of it to a second thread as soon as it has ten thousand numbers, and waits for
that: a little is won on a machine that does nothing else, and on a busy one the list takes seven
times as long, as the second thread must get a core first.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cached_property
from types import TracebackType

_NAMES = [
    (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
    for prefix in ("", "scipy_")
    for suffix in ("", "64_")
]
"""What OpenBLAS calls its functions in NumPy's and SciPy's wheels, and elsewhere."""


class OneThread:
    """Lets the OpenBLAS of NumPy and of SciPy compute with one thread while somebody is inside.

    The number is one of the process: it is as it was when the last thread has left. It is set
    directly, as threadpoolctl lets one thread of a process set it and no other one.

    Examples:
        >>> with one_blas_thread:
        ...     (np.ones((200, 200)) @ np.ones(200)).sum().item()
        40000.0
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restoring: list[tuple[Callable[[int], object], int]] = []
        """How to set the number of each library that had more than one thread, and to what."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    @cached_property
    def _libraries(self) -> list[tuple[Callable[[], int], Callable[[int], object]]]:
        """How to read and to set the number of threads of each library."""
        import scipy.linalg  # noqa: F401  brings a library of its own
        from threadpoolctl import threadpool_info

        found = []
        for library in threadpool_info():
            if library["internal_api"] == "openblas":
                functions = ctypes.CDLL(library["filepath"])
                found += [
                    (getattr(functions, read), getattr(functions, write))
                    for read, write in _NAMES
                    if hasattr(functions, write)
                ][:1]
        return found

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                counts = [(write, read()) for read, write in self._libraries]
                self._restoring = [(write, count) for write, count in counts if count > 1]
                for write, _ in self._restoring:
                    write(1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._restore()

    def _restore(self) -> None:
        for write, count in self._restoring:
            write(count)
        self._restoring = []

    def _start_anew(self) -> None:
        """In a child: the other threads of its parent are not there to leave."""
        self._lock, self._inside = threading.Lock(), 0
        self._restore()


one_blas_thread = OneThread()
"""That of this process."""
