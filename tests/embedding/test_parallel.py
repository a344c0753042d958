"""Jobs in other processes: crashes, and a process that is reused."""

import os
import signal

import pytest

from embedding.parallel import Crashed, PersistentWorker, in_processes

pytestmark = pytest.mark.slow


def test_a_crash_costs_its_own_job_alone() -> None:
    def work(number: int) -> int:
        if number in (3, 17):
            os.kill(os.getpid(), signal.SIGSEGV)
        return number * number

    results = dict(in_processes(work, range(20), 2))
    crashed = {number for number, result in results.items() if isinstance(result, Crashed)}
    assert crashed == {3, 17}
    assert all(results[n] == n * n for n in range(20) if n not in crashed)


def test_a_process_is_reused_until_it_is_closed_or_killed() -> None:
    worker = PersistentWorker()
    first = worker.run(_pid, 0)
    assert isinstance(first, int)
    assert worker.run(_pid, 0) == first != os.getpid()
    os.kill(first, signal.SIGKILL)
    second = worker.run(_pid, 0)
    assert second not in (first, os.getpid())
    assert not isinstance(second, Crashed)
    third = worker.run(_pid, 0)
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(third)), 0)
    with pytest.raises(ValueError, match="own error"):
        worker.run(_raise, 0)
    worker.close()
    short_lived = PersistentWorker()
    fourth = int(str(short_lived.run(_pid, 0)))
    del short_lived
    with pytest.raises(ProcessLookupError):
        os.kill(fourth, 0)


def _pid(_job: int) -> int:
    return os.getpid()


def _raise(_job: int) -> None:
    raise ValueError("own error")
