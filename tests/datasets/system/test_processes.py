"""Programs and workers end with the process that started them, however it ends."""

import os
import sys

import pytest

from datasets.system.processes import running_program
from tests.helpers.kills import all_end, children_of, kill, start_script

SLEEPER = ["/bin/sh", "-c", "sleep 600 & echo $! $$; wait"]
"""A program that starts another; its first line has the ids of both."""


def said(process) -> list[int]:
    return [int(word) for word in process.stdout.readline().split()]


class TestPrograms:
    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_output_messages_and_exit_code_are_the_programs(self, code: int) -> None:
        command = ["/bin/sh", "-c", f"echo out; echo err >&2; exit {code}"]
        with running_program(command, cpu_seconds=10) as process:
            assert process.stdout.read() == b"out\n"
            assert process.stderr.read() == b"err\n"
            assert process.wait() == code

    def test_a_program_that_was_killed_has_no_exit_code_of_success(self) -> None:
        with running_program(["/bin/sh", "-c", "kill -9 $$"], cpu_seconds=10) as process:
            assert process.wait() == 128 + 9

    def test_its_input_is_empty(self) -> None:
        with running_program(["/bin/cat"], cpu_seconds=10) as process:
            assert process.stdout.read() == b""

    def test_it_and_what_it_started_end_with_the_block(self) -> None:
        with running_program(SLEEPER, cpu_seconds=10) as process:
            pids = said(process)
        assert len(pids) == 2
        assert all_end(pids)

    def test_and_with_an_error_in_the_block(self) -> None:
        pids = []

        def fail() -> None:
            with running_program(SLEEPER, cpu_seconds=10) as process:
                pids.extend(said(process))
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert all_end(pids)

    def test_it_may_use_so_much_processor_time(self) -> None:
        command = [sys.executable, "-S", "-c", "while True: pass"]
        with running_program(command, cpu_seconds=1) as process:
            assert process.wait() > 128

    def test_nothing_waits_for_its_parent_when_all_is_done(self) -> None:
        with running_program(["/bin/true"], cpu_seconds=10) as process:
            process.wait()
            assert children_of(process.pid) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class TestParents:
    def test_a_program_ends_with_a_parent_that_is_killed(self) -> None:
        script = (
            "import sys; from datasets.system.processes import running_program\n"
            "with running_program(sys.argv[1:], cpu_seconds=10) as process:\n"
            "    print(process.stdout.readline().decode(), flush=True)\n"
            "    process.stdout.read()"
        )
        parent = start_script(script, *SLEEPER)
        pids = said(parent)
        below = children_of(parent.pid)
        assert set(pids) <= set(below)
        kill(parent)
        assert all_end(below)

    def test_although_a_fork_of_the_parent_lives_on(self) -> None:
        script = (
            "import os, sys, signal; from datasets.system.processes import running_program\n"
            "with running_program(sys.argv[1:], cpu_seconds=10) as process:\n"
            "    line = process.stdout.readline().decode().strip()\n"
            "    child = os.fork()\n"
            "    if child:\n"
            "        print(line, child, flush=True)\n"
            "    signal.pause()"
        )
        parent = start_script(script, *SLEEPER)
        *pids, fork = said(parent)
        kill(parent)
        try:
            assert all_end(pids)
            os.kill(fork, 0)
        finally:
            os.kill(fork, 9)
