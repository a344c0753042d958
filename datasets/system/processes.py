"""Programs and worker processes that end with the process that started them, however it ends.

A process that is killed can end nothing. So a program gets a pipe whose other end this process
holds open, and is killed when that is closed; a worker looks now and then whether its parent lives.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from datasets.system.temporary import remove_left_overs

WATCH_SECONDS = 0.5
"""Interval at which a worker checks whether its parent is still running."""

# The program runs beside a watcher, in a process group of their own. The watcher waits for the end
# of the shell's input, which is a pipe from the process that started it, and kills the group.
_SUPERVISOR = """
ulimit -t "$1"; shift
exec 9<&0 </dev/null
"$@" 9<&- & program=$!
{ read -r _ <&9; kill -KILL 0; } >/dev/null 2>&1 & watcher=$!
wait $program; code=$?
kill -KILL $watcher 2>/dev/null; wait $watcher 2>/dev/null
exit $code
"""

FIRST_DESCRIPTOR = 10
"""Descriptors that a program inherits are at least this: the shell names lower ones itself."""

_held: set[int] = set()
"""Ends of the pipes of running programs."""


def _let_go() -> None:
    # A forked child would keep the programs of its parent alive.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def running_program(
    command: Sequence[str],
    *,
    cpu_seconds: int,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the duration of the block; it and all that it starts end with the block.

    They also end with this process, even if it is killed. Ctrl-C in the terminal does not reach
    them. Their input is empty; output and messages are pipes.

    Args:
        command: the program, with its whole path, and its arguments.
        cpu_seconds: processor time after which the program is killed.
        environment: variables; None for those of this process.
        pass_fds: descriptors that the program inherits, each at least `FIRST_DESCRIPTOR`.

    Raises:
        OSError: it cannot be started.

    Examples:
        >>> with running_program(["/bin/echo", "done"], cpu_seconds=10) as process:
        ...     process.stdout.read()
        b'done\\n'
    """
    posix = os.name == "posix"
    shell = shutil.which("sh", path="/bin:/usr/bin") if posix else None
    supervised = [shell, "-c", _SUPERVISOR, "sh", str(cpu_seconds), *command] if shell else command
    process = subprocess.Popen(
        supervised,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        pass_fds=pass_fds,
        start_new_session=posix,
        bufsize=0,
    )
    assert process.stdin is not None
    held = process.stdin.fileno()
    _held.add(held)
    try:
        yield process
    finally:
        _held.discard(held)
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


def end_with_parent(parent: int) -> None:
    """End this worker process when its parent ends, even if the parent is killed.

    The temporary folders that the parent then leaves are removed.

    Args:
        parent: process id of the parent, from the parent itself: it may have ended by now.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        try:
            remove_left_overs()
        finally:
            os._exit(1)

    # Ctrl-C reaches all processes of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
