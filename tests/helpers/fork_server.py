"""Programs of their own processes, forked from one that has imported what they need.

A process that starts imports for seconds. A forked one is there within milliseconds, and is as much
a process of its own: with its own memory, signals, environment and end. What libraries read when
they are imported, such as the number of threads of BLAS, is the server's.
"""

import atexit
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import pytest

from tests.helpers.kills import PATIENCE_SECONDS, ROOT, ends

_IMPORTED = (
    "lightning_fabric", "pandas", "pyarrow.parquet", "scipy.sparse", "sklearn",
    "sqlalchemy", "torch",
    "embedding.encoders.song_encoder", "recsys.audio.recordings", "recsys.cli",
    "recsys.commands.catalogue.watch", "recsys.commands.recommend",
    "recsys.commands.training.train", "recsys.model.storage", "recsys.onboarding.watching",
    "recsys.recommender", "recsys.service.server", "recsys.training.fit",
)  # fmt: skip

_LONGEST_SECONDS = 600
"""What a whole command may take on a busy machine."""


class Program:
    """A program that runs; the methods are those of `subprocess.Popen`, and `close`."""

    def __init__(self, server: "ForkServer", pid: int, ends: list[int | None]) -> None:
        self._server, self.pid = server, pid
        self.returncode: int | None = None
        self.stdin = None if ends[0] is None else os.fdopen(ends[0], "w")
        self.stdout = None if ends[1] is None else os.fdopen(ends[1])
        self.stderr = None if ends[2] is None else os.fdopen(ends[2])

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            if not ends(self.pid, PATIENCE_SECONDS if timeout is None else timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or PATIENCE_SECONDS)
            self.returncode = self._server.ask("join", self.pid)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        """Read all that it says until its end."""
        if self.stdin is not None:
            self.stdin.close()
        said: dict[int, str] = {}

        def read(number: int, stream: IO[str]) -> None:
            said[number] = stream.read()

        streams = {1: self.stdout, 2: self.stderr}
        readers = [
            threading.Thread(target=read, args=(number, stream), daemon=True)
            for number, stream in streams.items()
            if stream is not None
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
            assert not reader.is_alive()
        return said.get(1), said.get(2)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, so that it can tidy up nothing."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End it, if it still runs, and close what is open."""
        self.kill()
        self.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()


class ForkServer:
    """The process that has imported everything.

    No other thread of Python runs in it, so that a fork is safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from tests.helpers.fork_server import serve; serve({other.fileno()})"
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[other.fileno()],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )

    def ask(self, what: str, argument: Any, descriptors: list[int] | None = None) -> Any:
        """Have it do something; return what comes of it."""
        with self._lock:
            message = json.dumps([what, argument]).encode()
            socket.send_fds(self._socket, [message], descriptors or [])
            return json.loads(self._socket.recv(1 << 16))

    def start(
        self,
        arguments: list[str],
        *,
        program: str = "from recsys.cli import main; main()",
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> Program:
        """Run a program with arguments; what is left out is as in `subprocess.Popen`."""
        own: list[int | None] = []
        given: list[int] = []
        to_close = []
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream == subprocess.PIPE:
                reading, writing = os.pipe()
                own.append(writing if number == 0 else reading)
                given.append(reading if number == 0 else writing)
                to_close.append(given[-1])
            elif stream is None:
                own.append(None)
                given.append(number)
            else:
                assert not isinstance(stream, int)
                own.append(None)
                given.append(stream.fileno())
        wanted = [program, arguments, os.fspath(cwd), dict(env or os.environ), start_new_session]
        try:
            pid = self.ask("start", wanted, given)
        finally:
            for descriptor in to_close:
                os.close(descriptor)
        return Program(self, pid, own)

    def run(self, arguments: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end."""
        pipe = subprocess.PIPE
        process = self.start(arguments, stdout=pipe, stderr=pipe, **options)
        try:
            out, err = process.communicate(_LONGEST_SECONDS)
        finally:
            process.close()
        return subprocess.CompletedProcess(arguments, process.wait(), out, err)

    def close(self) -> None:
        """End the server itself."""
        self._socket.close()
        self._process.wait()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """What forks programs, for all tests of a process."""
    opened = ForkServer()
    yield opened
    opened.close()


def serve(descriptor: int) -> None:
    """The life of the server: fork who is asked for, and say how they ended."""
    import importlib

    for name in _IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1
    with socket.socket(fileno=descriptor) as asked:
        while True:
            message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 3)
            if not message:
                os._exit(0)  # what it has imported need not be taken apart
            what, argument = json.loads(message)
            if what == "start":
                answer: int | None = os.fork()
                if answer == 0:
                    asked.close()
                    _become(*argument, descriptors)
                for one in descriptors:
                    os.close(one)
            else:
                ended, status = os.waitpid(argument, os.WNOHANG if what == "poll" else 0)
                answer = os.waitstatus_to_exitcode(status) if ended else None
            asked.send(json.dumps(answer).encode())


def _become(
    program: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    new_session: bool,
    descriptors: list[int],
) -> NoReturn:
    """Be the program: what Python does around a script, and its end."""
    if new_session:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=os.isatty(1))
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0, closefd=False), errors="backslashreplace", write_through=True
    )
    code: Any = 0
    try:
        exec(program, {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code or 0)
