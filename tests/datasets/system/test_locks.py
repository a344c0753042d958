"""Locks: waited for with a limit, by name of the holder, in one order, whoever forks or ends."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from datasets.errors import BusyError, ColdtuneError, DataError, InvalidArgumentError
from datasets.system import locks
from datasets.system.locks import Order, ThreadLock, file_lockers, locked, patience

SHORT = 0.05


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[threading.Thread]:
    """A thread beside the block, which must have ended soon after it."""
    thread = threading.Thread(target=work, name="the other")
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def held_by_another_thread(enter: Callable[[], object]) -> Iterator[None]:
    """Something held by a thread named "the other" within the block."""
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with enter():  # type: ignore[attr-defined]
            inside.set()
            assert done.wait(60)

    with meanwhile(hold):
        assert inside.wait(60)
        try:
            yield
        finally:
            done.set()


def refusal(error: type[Exception], lock: AbstractContextManager[object]) -> str:
    """What is said where a lock is refused."""
    with pytest.raises(error) as found, lock:
        pass
    return str(found.value)


@contextmanager
def held_by_another_process(path: Path, doing: str = "rebuilding the model") -> Iterator[int]:
    """A lock file held by another process within the block."""
    code = (
        "import sys; from pathlib import Path; from datasets.system.locks import locked\n"
        f"with locked(Path({str(path)!r}), {doing!r}): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_lock_is_refused_or_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    busy = DataError("in use")
    entered = threading.Event()

    def wait() -> None:
        with locked(path):
            entered.set()

    waiting = threading.Thread(target=wait)
    with locked(path, "reading"):
        message = refusal(DataError, locked(path, busy=busy))
        assert re.match(r"in use: thread 'MainThread' .* reading since", message)
        waiting.start()
        assert not entered.wait(0.05)
        path.unlink()  # who waited takes a new file
    waiting.join(60)
    assert entered.is_set()
    assert path.exists()
    with locked(path, busy=busy):
        pass


# ---------------------------------------------------------------------- a limit, and a name


def test_waiting_for_a_thread_ends_and_names_it() -> None:
    lock = ThreadLock("the table", Order.PART)
    with held_by_another_thread(lambda: lock.held("adding rows")):
        message = refusal(BusyError, lock.held("reading", seconds=SHORT))
    assert "\n" not in message
    assert message.startswith(
        f"the table: thread 'the other' of this process ({os.getpid()}) has been adding rows since "
    )
    assert message.endswith(" s for it")
    assert issubclass(BusyError, ColdtuneError)
    with lock.held("reading", seconds=SHORT):
        assert lock.holder is not None
    assert lock.holder is None


def test_waiting_for_a_process_ends_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another_process(path) as pid:
        message = refusal(BusyError, locked(path, name="model", seconds=SHORT))
        assert message.startswith(f"model: process {pid} has been rebuilding the model since ")
        message = refusal(DataError, locked(path, busy=DataError("in use")))
        assert message.startswith(f"in use: process {pid} has been rebuilding the model since ")
    with locked(path, seconds=SHORT):  # it was killed
        pass
    assert path.read_bytes() == b""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell")
def test_who_writes_no_name_is_named_by_the_system(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text('{"process": 1, "thread": "old", "doing": "saving", "since": 1.0, "host": ""}')
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        known = file_lockers(path.stat().st_ino)
        message = refusal(BusyError, locked(path, seconds=SHORT))
        process.kill()
    if known:  # what a killed holder wrote is not believed
        assert f"process {process.pid} holds it; waited" in message


def test_every_holder_is_waited_for_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many turns of others are no reason to give up, one without an end is."""
    lock, turns = ThreadLock("the table", Order.PART), iter(range(5))
    with lock.held("a turn"):
        first = lock.holder
    assert first is not None

    class Busy:
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            """Somebody else's, as long as there are turns left."""
            number = next(turns, None) if timeout >= 0 else 0
            lock.holder = first._replace(doing=f"turn {number}")
            return number is None

        def release(self) -> None:
            pass

    monkeypatch.setattr(lock, "_lock", Busy())
    with lock.held("reading", seconds=0):
        assert next(turns, None) is None

    path, hours = tmp_path / "lock", iter(range(0, 10_000, 1000))
    monkeypatch.setattr(locks.time, "monotonic", lambda: next(hours))
    monkeypatch.setattr(locks.time, "sleep", lambda _: path.write_text(f"{next(turns, 0)}"))
    turns = iter(range(1, 4))
    with held_by_another_process(path):
        message = refusal(BusyError, locked(path, seconds=500))
    assert message.endswith("waited 6000 s for it")


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", "2.5")
    assert (patience(), patience(longer=True)) == (2.5, 25)
    monkeypatch.setenv("COLDTUNE_LOCK_SECONDS", text)
    with pytest.raises(InvalidArgumentError, match="COLDTUNE_LOCK_SECONDS: must be a number"):
        patience()


# ---------------------------------------------------------------------- one order


def test_locks_out_of_order_are_an_error_at_once(tmp_path: Path) -> None:
    model, part = ThreadLock("a model", Order.MODEL), ThreadLock("a part", Order.PART)
    with model.held("changing"), locked(tmp_path / "lock"), part.held("reading"):
        pass
    with part.held("reading"):
        message = refusal(RuntimeError, model.held("changing"))
        assert "a model (MODEL) is asked for by MainThread, which holds a part (PART)" in message
        assert "out of order" in refusal(RuntimeError, locked(tmp_path / "lock"))
    with model.held("changing"), part.held("reading"):
        pass
    with locked(tmp_path / "lock"):
        assert "a model (MODEL)" in refusal(RuntimeError, model.held("changing"))


def test_one_thread_takes_no_lock_twice(tmp_path: Path) -> None:
    lock, path = ThreadLock("a table", Order.PART), tmp_path / "lock"
    with lock.held("reading"):
        assert "out of order" in refusal(RuntimeError, lock.held("reading again"))
    with locked(path, order=Order.JOB):
        message = refusal(RuntimeError, locked(path, order=Order.FOLDER))
    assert message == f"{path}: this thread holds it already"


def test_a_lock_is_let_go_whatever_happens(tmp_path: Path) -> None:
    lock = ThreadLock("a table", Order.PART)
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), lock.held("reading"):
            raise error
        with pytest.raises(error), locked(tmp_path / "lock"):
            raise error
    with lock.held("reading", seconds=SHORT):
        pass
    with locked(tmp_path / "lock", seconds=SHORT):
        pass

    def generator() -> Iterator[int]:
        with lock.held("reading"):
            yield 1

    rows = generator()
    next(rows)
    with meanwhile(rows.close):  # type: ignore[attr-defined]
        pass
    with lock.held("reading", seconds=SHORT):
        pass


# ---------------------------------------------------------------------- forks


def in_a_fork(work: Callable[[], bool]) -> int:
    """The exit code of a forked child: 0 where `work` was true there."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_does_not_inherit_what_other_threads_hold(tmp_path: Path) -> None:
    lock = ThreadLock("a table", Order.PART)

    def free() -> bool:
        with lock.held("reading", seconds=SHORT):
            return True

    def taken() -> bool:
        with pytest.raises(BusyError), locked(tmp_path / "lock", seconds=SHORT):
            pass
        return True

    with held_by_another_thread(lambda: lock.held("adding")):
        assert in_a_fork(free) == 0
    with held_by_another_thread(lambda: locked(tmp_path / "lock")):
        assert in_a_fork(taken) == 0
    assert in_a_fork(free) == 0


def test_a_child_neither_keeps_nor_lets_go_what_its_parent_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    ready, wait = os.pipe(), os.pipe()

    def child() -> None:
        os.write(ready[1], b"x")
        os.read(wait[0], 1)

    for mine in (True, False):  # held by the thread that forks, or by another one
        holding = locked(path)
        if mine:
            holding.__enter__()
            pid = os.fork()
            if pid == 0:
                holding.__exit__(None, None, None)  # as at the end of the block
                child()
                os._exit(0)
            os.read(ready[0], 1)
            with pytest.raises(DataError), locked(path, busy=DataError("in use")):
                pass
            holding.__exit__(None, None, None)
        else:
            with held_by_another_thread(lambda: locked(path)):
                pid = os.fork()
                if pid == 0:
                    child()
                    os._exit(0)
                os.read(ready[0], 1)
        with locked(path, seconds=SHORT):  # though the child is still there
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for handle in (*ready, *wait):
        os.close(handle)
