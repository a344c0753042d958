"""Jobs in other processes: crashes, and a process that is reused."""

import os
import signal
import sys
from pathlib import Path

import pytest

from embedding.parallel import Crashed, PersistentWorker, in_processes
from tests.helpers.kills import all_end, children_of, kill, start_script
from tests.helpers.recordings import install_ffmpeg, m4a_header

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


STARTING = """
from embedding.parallel import in_processes
for _ in in_processes(abs, range(10**5), 2):
    pass
"""

IDLE = """
import signal
from embedding.parallel import PersistentWorker
worker = PersistentWorker()
worker.run(abs, -1)
print("ready", flush=True)
signal.pause()
"""

DECODING = """
import sys
from embedding.audio import SnippetConfig
from embedding.hyperimage import HyperImageConfig, extract
sources = [open(sys.argv[2], "rb").read()] * 20 if sys.argv[1] == "upload" else sys.argv[2:] * 20
extract(sources, SnippetConfig(), HyperImageConfig(), workers=int(sys.argv[1] != "here"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class TestParentIsKilled:
    def test_while_workers_start(self) -> None:
        parent = start_script(STARTING)
        while not (below := children_of(parent.pid)):
            assert parent.poll() is None
        kill(parent)
        assert all_end(below)

    def test_while_a_worker_waits_for_a_job(self) -> None:
        parent = start_script(IDLE)
        assert parent.stdout.readline() == "ready\n"
        below = children_of(parent.pid)
        assert below
        kill(parent)
        assert all_end(below)

    @pytest.mark.parametrize("where", ["here", "worker", "upload"])
    def test_while_ffmpeg_decodes(self, tmp_path: Path, monkeypatch, where: str) -> None:
        begun, temporary = tmp_path / "begun", tmp_path / "temporary"
        os.mkfifo(begun)
        temporary.mkdir()
        # ffmpeg as a script that starts another program, as some systems have it.
        install_ffmpeg(tmp_path, monkeypatch, f'echo $$ > "{begun}"; sleep 600')
        (tmp_path / "song.m4a").write_bytes(m4a_header(22050, 9))
        parent = start_script(DECODING, where, tmp_path / "song.m4a", TMPDIR=str(temporary))
        with begun.open() as stream:  # waits until ffmpeg has begun
            ffmpeg = int(stream.readline())
        below = children_of(parent.pid)
        assert ffmpeg in below
        kill(parent)
        assert all_end(below)
        assert list(temporary.glob("coldtune-*")) == []


def test_processes_end_where_there_is_no_program_to_list_them(monkeypatch, capfd) -> None:
    monkeypatch.setenv("PATH", "")
    found = dict(in_processes(_process_id, [1, 2], 2))
    assert set(found) == {1, 2}
    for number in found.values():
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert capfd.readouterr().err == ""


def _process_id(_: int) -> int:
    return os.getpid()
