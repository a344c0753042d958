"""`coldtune serve` as a process of its own, and requests to it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

_PROGRAM = "from recsys.cli import main; main()"
_PATIENCE = 300.0
"""Seconds until something that has to happen counts as never happening."""


class Service:
    """A service that runs on a port of the loopback interface."""

    def __init__(self, process: "subprocess.Popen[str]", key: str | None) -> None:
        assert process.stdout is not None
        self.process, self._key = process, key
        said = process.stdout.readline().split()
        if not said:
            raise RuntimeError("the service did not start; its log says why")
        self.address = said[-1]

    @property
    def pid(self) -> int:
        """The first process; the workers are below it."""
        return self.process.pid

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer of one request, on a connection of its own."""
        host = self.address.removeprefix("http://")
        connection = HTTPConnection(host, timeout=_PATIENCE)
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Token {self._key}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def wait(self, workers: int) -> None:
        """Wait until every worker is ready, as far as many answers in a row tell."""
        until = time.monotonic() + _PATIENCE
        in_a_row = 0
        while in_a_row < 20 * workers:
            try:
                ready = self.request("GET", "/health/ready")[0] == 200
            except OSError:
                ready = False
            in_a_row = in_a_row + 1 if ready else 0
            if not ready:
                time.sleep(0.1)
            if time.monotonic() > until:
                raise TimeoutError("the service is not ready")

    def processes(self) -> list[int]:
        """The processes of the service, the first one first."""
        found, todo = [], [self.pid]
        while todo:
            one = todo.pop()
            try:
                children = Path(f"/proc/{one}/task/{one}/children").read_text()
            except OSError:
                continue
            found.append(one)
            todo += [int(child) for child in children.split()]
        return found

    def memory(self) -> float:
        """MiB of all processes; what several share counts once."""
        total = 0.0
        for one in self.processes():
            try:
                rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(
                int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:"
            )
        return total / 1024


@contextmanager
def serving(
    model: Path,
    *arguments: str,
    log: Path,
    key: str | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Service]:
    """Serve a model until the end of the block, where the service is stopped.

    Args:
        model: A saved model, which the service may change.
        arguments: Further options of `coldtune serve`.
        log: The file that takes what the service logs.
        key: The API key of all requests.
        environment: That of the processes, in place of this one's.
    """
    command = [sys.executable, "-c", _PROGRAM, "serve", str(model), "--port", "0", *arguments]
    with (
        log.open("a") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        try:
            yield Service(process, key)
        finally:
            process.send_signal(signal.SIGTERM)
