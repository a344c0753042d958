"""Processes that are killed, and waiting until others have ended for it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE_SECONDS = 120
"""A machine that is busy with something else may take long for everything."""

ROOT = Path(__file__).parents[2]


def start_script(script: str, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start a Python script whose output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process, so that it can tidy up nothing."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def all_end(pids: Sequence[int]) -> bool:
    """Wait until none of the processes lives; False if one still does after a long time."""
    return all(ends(pid) for pid in pids)


def ends(pid: int, seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until a process has ended; False if it still lives after some seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()  # takes any number of open files
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(handle)


def children_of(pid: int) -> list[int]:
    """Return the living processes below one, however deep."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue  # it has just ended
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]
