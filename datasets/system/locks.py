"""Locks between threads and between processes: an order, a time limit, and who holds them.

A lock that is never let go, or two that are taken in opposite orders, make a program wait for ever.
So every lock of this library is one of these: it belongs to a place in one order (`Order`), waiting
for it ends with an error that names who holds it and what they are doing, and taking it out of
order is an error at once, in the first test that does it, and not a rare wait without an end.
"""

import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from datasets.errors import BusyError, InvalidArgumentError

VARIABLE = "COLDTUNE_LOCK_SECONDS"
"""Environment variable: for how many seconds one holder of a lock is waited for."""

_SECONDS = 60.0
_LONGER = 10
"""How many times as long those wait whose work would be lost, such as a save after a fit."""

_SHORTEST, _LONGEST = 0.001, 0.02
"""Seconds between two looks whether another process has let a file go."""


class Order(IntEnum):
    """Places of locks: whoever holds a lock waits only for locks of later places.

    Examples:
        >>> Order.MODEL < Order.FOLDER < Order.DATABASE < Order.PART
        True
    """

    JOB = 0
    """A whole job against another one that writes the same files: a search, a download."""
    MODEL = 1
    """The changes of one `Recommender` in this process."""
    FOLDER = 2
    """The folder of a saved model, against other processes."""
    DATABASE = 3
    """One song database in this process."""
    PART = 4
    """A table, a cache or a network: nothing that locks is called while it is held."""


def patience(*, longer: bool = False) -> float:
    """Return for how many seconds one holder of a lock is waited for.

    Args:
        longer: ten times as long, where giving up would lose work.

    Raises:
        InvalidArgumentError: `COLDTUNE_LOCK_SECONDS` is set and not a positive number.

    Examples:
        >>> patience(longer=True) / patience()
        10.0
    """
    text = os.environ.get(VARIABLE, "").strip()
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= threading.TIMEOUT_MAX / _LONGER:
        raise InvalidArgumentError(f"{VARIABLE}: must be a number of seconds, not {text!r}")
    return seconds * _LONGER if longer else seconds


class Holder(NamedTuple):
    """Who holds a lock, doing what, since when."""

    process: int
    """Process id."""
    thread: str
    """Name of the thread."""
    doing: str
    """What for, as in "saving the model"; "" if that is not known."""
    since: float
    """Seconds since 1970; 0 if that is not known."""
    host: str = ""
    """Name of the machine, where it may be another one."""

    def __str__(self) -> str:
        """Say who it is, as part of an error message."""
        if self.process == os.getpid() and self.host in ("", socket.gethostname()):
            who = f"thread {self.thread!r} of this process ({self.process})"
        else:
            elsewhere = self.host not in ("", socket.gethostname())
            who = f"process {self.process}" + (f" on {self.host}" if elsewhere else "")
        if not self.since:
            return f"{who} holds it"
        began = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        lasted = max(0.0, time.time() - self.since)
        return f"{who} has been {self.doing or 'holding it'} since {began}, for {lasted:.0f} s"


class _OfThread(threading.local):
    """The places of the locks that this thread holds."""

    def __init__(self) -> None:
        self.held: list[tuple[Order, str]] = []


_own = _OfThread()
_thread_locks: "weakref.WeakSet[ThreadLock]" = weakref.WeakSet()
_file_locks: dict[int, int] = {}
"""Descriptors of the lock files that this process holds, with the threads that hold them."""


def _check_order(order: Order, name: str) -> None:
    for held, other in _own.held:
        if order <= held:
            raise RuntimeError(
                f"locks out of order: {name} ({order.name}) is asked for by "
                f"{threading.current_thread().name}, which holds {other} ({held.name})"
            )


@contextmanager
def _noted(order: Order, name: str) -> Iterator[None]:
    """Note within the block that this thread holds a lock."""
    held, entry = _own.held, (order, name)
    held.append(entry)
    try:
        yield
    finally:
        # A generator may be closed by another thread than the one that entered it.
        held.remove(entry)


class ThreadLock:
    """A lock between the threads of a process.

    It cannot be taken twice by one thread. A child made by a fork does not inherit that other
    threads of its parent hold it: those threads are not there.

    Args:
        name: what it protects, for error messages.
        order: its place among all locks.

    Examples:
        >>> lock = ThreadLock("the table", Order.PART)
        >>> with lock.held("adding rows"):
        ...     print(lock.holder.doing)
        adding rows
        >>> lock.holder is None
        True
    """

    def __init__(self, name: str, order: Order) -> None:
        self.name = name
        self.order = order
        self.holder: Holder | None = None
        """Who holds it now."""
        self._thread: int | None = None
        self._lock = threading.Lock()
        _thread_locks.add(self)

    @contextmanager
    def held(self, doing: str, *, seconds: float | None = None) -> Iterator[None]:
        """Hold the lock inside the block.

        Args:
            doing: what for, as in "adding rows".
            seconds: for how long one holder is waited for; `patience()` by default.

        Raises:
            BusyError: another thread held it for longer.
            RuntimeError: this thread holds a lock of the same or of a later place.
        """
        _check_order(self.order, self.name)
        # Released as the object that was acquired: a fork may put another in its place.
        lock = self._acquire(doing, seconds)
        try:
            with _noted(self.order, self.name):
                yield
        finally:
            self.holder = self._thread = None
            lock.release()

    def _acquire(self, doing: str, seconds: float | None) -> threading.Lock:
        lock = self._lock
        if not lock.acquire(blocking=False):
            limit = patience() if seconds is None else seconds
            started, holder = time.monotonic(), self.holder
            until = started + limit
            while not lock.acquire(timeout=max(0.0, until - time.monotonic())):
                if self.holder is holder and holder is not None:
                    waited = time.monotonic() - started
                    raise BusyError(f"{self.name}: {holder}; waited {waited:.0f} s for it")
                # Somebody else's turn has come since: each has the whole limit.
                holder, until = self.holder, time.monotonic() + limit
        thread = threading.current_thread()
        self._thread = thread.ident
        self.holder = Holder(os.getpid(), thread.name, doing, time.time())
        return lock

    def _forget_other_threads(self) -> None:
        if self._thread != threading.get_ident():
            self.holder = self._thread = None
            self._lock = threading.Lock()


@contextmanager
def locked(
    path: Path,
    doing: str = "",
    *,
    name: str | None = None,
    order: Order = Order.FOLDER,
    busy: Exception | None = None,
    seconds: float | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock on a file inside the block, against threads and processes.

    The file and its folder are created if missing. The file stays, unless the block removes it; it
    says who holds it. The lock goes with the process that took it, however that ends.

    Args:
        path: the lock file.
        doing: what for, as in "saving the model".
        name: what is locked, for error messages; the path if not given.
        order: its place among all locks.
        busy: error to raise at once if another process or thread holds the lock; the holder is
            added to its message. None waits.
        seconds: for how long one holder is waited for; `patience()` by default.

    Raises:
        BusyError: another process or thread held it for longer.
        OSError: the file cannot be created.
        RuntimeError: it would be waited for, and this thread holds a lock of the same or of a later
            place.

    Examples:
        >>> with locked(folder / "lock", busy=RuntimeError("in use")):
        ...     print("alone")
        alone
    """
    name = str(path) if name is None else name
    if busy is None:  # a lock that is not waited for blocks nobody
        _check_order(order, name)
    limit = patience() if seconds is None else seconds
    handle = _lock_file(path, name, busy, limit)
    owner = os.getpid()
    try:
        with suppress(OSError):  # a full disk: then nobody is named
            _write_holder(handle, doing)
        with _noted(order, name):
            yield
    finally:
        _file_locks.pop(handle, None)
        if os.getpid() == owner:  # a forked child must not let go what its parent holds
            import fcntl

            with suppress(OSError):
                os.ftruncate(handle, 0)
            # Not by closing alone: a forked child may have the descriptor, too.
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _lock_file(path: Path, name: str, busy: Exception | None, limit: float) -> int:
    """Lock the file; return its descriptor."""
    import fcntl  # not on Windows, where the rest of this module works

    started = time.monotonic()
    until, pause, before = started + limit, _SHORTEST, b""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pass
                now = time.monotonic()
                if busy is not None:
                    raise type(busy)(f"{busy}: {_file_holder(handle)}")
                if _is_own(handle):
                    raise RuntimeError(f"{name}: this thread holds it already")
                if (content := _content(handle)) != before:
                    # Somebody else's turn has come since: each has the whole limit.
                    before, until = content, now + limit
                elif now >= until:
                    raise BusyError(
                        f"{name}: {_file_holder(handle)}; waited {now - started:.0f} s for it"
                    )
                time.sleep(min(pause, max(until - now, 0)))
                pause = min(2 * pause, _LONGEST)
            if _is_open(path, handle):
                _file_locks[handle] = threading.get_ident()
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the previous holder has just removed the file


def _is_open(path: Path, descriptor: int) -> bool:
    """Return whether `path` is still the file that the descriptor has open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_own(handle: int) -> bool:
    """Return whether this thread holds the lock on the file, by another descriptor."""
    own, file = threading.get_ident(), os.fstat(handle)
    return any(
        thread == own and os.path.samestat(os.fstat(other), file)
        for other, thread in list(_file_locks.items())
    )


def _write_holder(handle: int, doing: str) -> None:
    thread = threading.current_thread().name
    holder = Holder(os.getpid(), thread, doing, time.time(), socket.gethostname())
    if os.fstat(handle).st_size:  # of one who was killed
        os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(holder._asdict()).encode(), 0)


def _content(handle: int) -> bytes:
    try:
        return os.pread(handle, 4096, 0)
    except OSError:
        return b""


def _file_holder(handle: int) -> str:
    """Say who holds a lock file: by what they wrote into it, or by what the system knows."""
    try:
        holder = Holder(**json.loads(_content(handle)))
        text = str(holder)
    except (ValueError, TypeError, OverflowError, OSError):
        return say_lockers(file_lockers(os.fstat(handle).st_ino))
    if holder.host not in ("", socket.gethostname()):
        return text
    # What a process that was killed wrote stays there.
    known = file_lockers(os.fstat(handle).st_ino)
    if holder.process in known or (not known and _is_alive(holder.process)):
        return text
    return say_lockers(known)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def say_lockers(processes: list[int]) -> str:
    """Say which processes hold a lock, as part of an error message.

    Examples:
        >>> say_lockers([12])
        'process 12 holds it'
    """
    if not processes:
        return "another process holds it"
    if len(processes) == 1:
        return f"process {processes[0]} holds it"
    return f"processes {', '.join(map(str, processes))} hold it"


def file_lockers(inode: int) -> list[int]:
    """Return the ids of the processes that hold locks on a file, as far as the system tells.

    Args:
        inode: number of the file.
    """
    found = set()
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not on Linux
        return []
    for line in lines:
        fields = line.split()  # "3: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"; "->" is waiting
        if len(fields) == 8 and fields[1] != "->" and fields[5].endswith(f":{inode}"):
            with suppress(ValueError):
                found.add(int(fields[4]))
    return sorted(one for one in found if one > 0)


def _after_fork() -> None:
    """In a child that a fork made: forget what other threads held, which are not there."""
    for lock in list(_thread_locks):
        lock._forget_other_threads()
    own = threading.get_ident()
    for handle, thread in list(_file_locks.items()):
        if thread != own:
            # Only closed: the lock is the parent's, and goes when the parent ends.
            del _file_locks[handle]
            with suppress(OSError):
                os.close(handle)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
