"""`coldtune serve` as a process: several workers, kills, replaced models, signals, raw sockets."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import ArtifactError, InvalidArgumentError
from recsys import Recommender
from recsys.service.server import _listening_socket, serve
from recsys.service.settings import ServiceSettings
from tests.helpers.commands import Call
from tests.helpers.fork_server import ForkServer, Program
from tests.helpers.kills import PATIENCE_SECONDS, all_end

pytestmark = pytest.mark.slow


class Running:
    """A service that runs, and requests to it, each on a connection of its own."""

    def __init__(self, process: Program, log: Path) -> None:
        self.process, self.log = process, log
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"coldtune serves .* at http://127\.0\.0\.1:(\d+)\n", said)
        assert found, f"{said!r}: {log.read_text()}"
        self.port = int(found[1])
        wait_until(lambda: self.get("/health/ready")[0] == 200)

    def request(
        self, method: str, address: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            sent = {"Content-Type": "application/json", **headers}
            connection.request(method, address, content, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = "json" in answer.headers.get("content-type", "")
            return answer.status, json.loads(text) if is_json and text else text
        finally:
            connection.close()

    def get(self, address: str) -> tuple[int, Any]:
        return self.request("GET", address)

    def workers(self) -> set[int]:
        """The processes that answer, as the log of requests tells."""
        logged = [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]
        return {one["process"] for one in logged if one["logger"] == "coldtune.access"}

    def lives(self) -> list[int]:
        """The workers that live."""
        return [pid for pid in self.workers() if Path(f"/proc/{pid}").exists()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


def wait_until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.05)


Serving = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="module")
def serving(fork_server: ForkServer) -> Serving:
    """``serving(model, "--workers", "2")``: the service in a process of its own."""

    @contextmanager
    def run(model: Path, *arguments: str | Path) -> Iterator[Running]:
        log = model.parent / "service.log"
        with log.open("w") as errors:
            process = fork_server.start(
                ["serve", str(model), "--port", "0", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            yield Running(process, log)
        finally:
            process.close()

    return run


@pytest.fixture
def folder(example_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(example_model, tmp_path / "model")
    return tmp_path / "model"


def play(user: str, item: str = "s1", batch: str | None = None) -> dict[str, Any]:
    return {"batch_id": batch, "plays": [{"user_id": user, "item_id": item}]}


def test_requests_under_way_are_finished(folder: Path, serving: Serving) -> None:
    with serving(folder) as service:
        content = json.dumps(play("late")).encode()
        head = (
            "POST /v1/plays HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.sendall(head.encode() + content[:10])
            # A second one is answered after the first has been begun.
            assert service.get("/v1/model")[0] == 200
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts(service.port))
            connection.sendall(content[10:])
            assert connection.recv(100).startswith(b"HTTP/1.1 202 ")
        assert service.process.wait(PATIENCE_SECONDS) == 0
        assert "Traceback" not in service.log.read_text()
    assert Recommender.load(folder).live.counts()["users"] == 61


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_what_is_no_request_costs_nothing(folder: Path, serving: Serving) -> None:
    (folder.parent / "config.json").write_text('{"header_seconds": 1}')
    draw = random.Random(0)
    requests = [
        b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/model HTTP/1.1\r\n\r\n", b"GET /v1/model HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://evil.example/v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/plays HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/plays HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/plays HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\nb: c\r\n\r\n",
        b"GET /v1/items/\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        *(bytes(draw.randrange(256) for _ in range(200)) for _ in range(30)),
    ]  # fmt: skip
    good = b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(100):
        spoilt = bytearray(good)
        spoilt[draw.randrange(len(good))] = draw.randrange(256)
        requests.append(bytes(spoilt))
    with serving(folder, "--config", folder.parent / "config.json") as service:
        slow = socket.create_connection(("127.0.0.1", service.port))  # sends nothing at all
        slow.settimeout(PATIENCE_SECONDS)
        for request in requests:
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.settimeout(PATIENCE_SECONDS)
                answer = b""
                try:
                    connection.sendall(request)
                    connection.shutdown(socket.SHUT_WR)
                    while part := connection.recv(65536):
                        answer += part
                except (ConnectionResetError, BrokenPipeError):
                    pass
            assert not answer or re.match(rb"HTTP/1\.1 [1234]\d\d ", answer), (request, answer)
            assert b"Traceback" not in answer
            if answer.startswith(b"HTTP/1.1 400"):
                assert b"application/problem+json" in answer
                assert b"nosniff" in answer
        assert slow.recv(1) == b""  # closed
        slow.close()
        assert service.get("/v1/model")[0] == 200
        assert '"level": "error"' not in service.log.read_text()
        assert service.stop() == 0


def test_heads_of_requests(folder: Path, serving: Serving) -> None:
    """What the parser alone would let through is refused; what is allowed is answered in order."""

    def talk(port: int, *parts: bytes) -> list[bytes]:
        """Status lines of the answers to what is sent, a part after the other."""
        answer = b""
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.02)
                while received := connection.recv(65536):
                    answer += received
            except OSError:  # closed before all was sent
                pass
        return re.findall(rb"HTTP/1\.1 \d\d\d", answer)

    def is_cut_off(port: int, beginning: bytes, part: bytes) -> bool:
        """Whether a connection is closed on which a part is sent again and again."""
        with socket.create_connection(("127.0.0.1", port)) as connection:
            try:
                connection.sendall(beginning)
                for _ in range(100):
                    connection.sendall(part)
                    time.sleep(0.02)
            except OSError:
                return True
        return False

    line, host = b"GET /health/live HTTP/1.1\r\n", b"Host: localhost\r\n"
    end = b"Connection: close\r\n\r\n"
    large = b"X: " + b"a" * 20_000 + b"\r\n"
    refused, fine = [b"HTTP/1.1 400"], [b"HTTP/1.1 200"]
    with serving(folder) as service:
        port = service.port
        assert talk(port, line + host + end) == fine
        assert talk(port, line, host[:3], host[3:], end[:-1], b"\n") == fine
        assert talk(port, line + host + large + end) == fine
        assert talk(port, line + end) == refused
        assert talk(port, line + host + host + end) == refused
        assert talk(port, line + host + 2 * large + end) == refused
        # A head without end takes no memory without end: the connection is closed.
        assert is_cut_off(port, line + host, b"X: " + b"a" * 15_000)
        assert is_cut_off(port, b"", b"\r\n" * 8_000)
        assert talk(port, line + host + b"\r\n" + line + host + end) == 2 * fine
        body = json.dumps({"history": ["s1"], "exclude": ["s2"] * 9_000}).encode()
        post = b"POST /v1/recommendations HTTP/1.1\r\nContent-Type: application/json\r\n"
        post += host + b"Content-Length: %d\r\n\r\n" % len(body) + body
        assert talk(port, post + line[:9], line[9:] + host + end) == 2 * fine
        assert service.stop() == 0


def test_connections_beyond_the_limit_are_told_so(folder: Path, serving: Serving) -> None:
    (folder.parent / "config.json").write_text('{"connections": 3}')
    with serving(folder, "--config", folder.parent / "config.json") as service:
        address = ("127.0.0.1", service.port)
        kept = [socket.create_connection(address) for _ in range(3)]
        connection = HTTPConnection(*address, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", "/v1/model")
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
            for one in kept:
                one.close()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == said["request_id"]
        assert said["type"] == "urn:coldtune:problem:overloaded"
        wait_until(lambda: service.get("/v1/model")[0] == 200)
        assert service.stop() == 0


def test_answers_are_sent_at_once() -> None:
    with _listening_socket(ServiceSettings(port=0)) as opened:
        client = socket.create_connection(opened.getsockname())
        accepted, _ = opened.accept()
        with client, accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_two_workers(folder: Path, serving: Serving) -> None:
    """What one takes in the others have; one that is killed is started again."""
    with serving(folder, "--workers", "2") as service:
        wait_until(lambda: service.get("/health/ready")[0] == 200 and len(service.workers()) == 2)
        wait_until(lambda: [service.get("/health/ready")[0] for _ in range(20)] == [200] * 20)

        def all_know(user: str) -> bool:
            answers = [service.get(f"/v1/users/{user}/recommendations")[1] for _ in range(20)]
            return all(one.get("fallback", "") is None for one in answers)

        assert service.request("POST", "/v1/plays", play("ann", batch="b"))[0] == 202
        wait_until(lambda: all_know("ann"))
        # A batch that is known is known to all.
        for _ in range(10):
            status, taken = service.request("POST", "/v1/plays", play("ann", batch="b"))
            assert (status, taken["plays"], taken["repeated"]) == (202, 0, 1)

        song = {"item_id": "n/1", "embedding": [1, 0, 0.1, 0]}
        assert service.request("POST", "/v1/items", song)[0] == 201
        wait_until(lambda: all(service.get("/v1/items/n%2F1")[0] == 200 for _ in range(20)))

        # Counted together, whoever is asked.
        asked = [service.get("/v1/model")[0] for _ in range(20)]
        assert asked == [200] * 20
        line = 'coldtune_requests_total{method="GET",route="/v1/model",status="200"} 20.0'
        for _ in range(5):
            figures = service.get("/metrics")[1]
            assert line in figures
            assert "coldtune_ready 2.0" in figures
            assert "coldtune_items 31.0" in figures

        killed = service.lives()[0]
        os.kill(killed, signal.SIGKILL)
        assert all_end([killed])
        wait_until(lambda: f"process {killed} has ended with -9" in service.log.read_text())
        wait_until(lambda: answers(service) and len(service.lives()) == 2)
        wait_until(lambda: [status_of(service) for _ in range(20)] == [200] * 20)
        workers = service.lives()
        assert service.stop() == 0
        assert all_end(workers)
        assert "Traceback" not in service.log.read_text()


def status_of(service: Running) -> int:
    try:
        return service.get("/health/ready")[0]
    except (OSError, HTTPException):  # of the process that was killed
        return 0


def answers(service: Running) -> bool:
    return status_of(service) == 200


def test_a_model_is_replaced_under_load(
    folder: Path, make_model: Callable[[], Path], serving: Serving
) -> None:
    other = make_model()
    with serving(folder, "--workers", "2") as service:
        wait_until(lambda: [service.get("/health/ready")[0] for _ in range(20)] == [200] * 20)
        failed: list[Any] = []
        generations: set[str] = set()
        done = threading.Event()

        def ask(number: int) -> None:
            count = 0
            while not done.is_set():
                count += 1
                try:
                    if count % 5:
                        status, said = service.get(f"/v1/users/u{count % 60}/recommendations")
                    else:
                        batch = f"{number}-{count}"
                        status, said = service.request("POST", "/v1/plays", play("x", batch=batch))
                    if status not in (200, 202):
                        failed.append((status, said))
                        return
                    generations.add(said["generation"])
                except Exception as error:
                    failed.append(error)
                    return

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                mine = Recommender.load(folder)
                mine.rebuild()  # replaced in place, with all that came
                Recommender.load(other).save(folder, replace=True)  # by another fit
                wanted = {one for one in generations if one}
                wait_until(lambda seen=frozenset(wanted): generations - seen or failed)  # type: ignore[misc]
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert failed == []
        assert len(generations) > 3
        assert service.stop() == 0
        log = service.log.read_text()
        assert "Traceback" not in log
    assert not [
        line
        for line in log.splitlines()
        if re.search(r'"status": 5\d\d', line) and "/health/ready" not in line
    ]


@pytest.fixture
def make_model(example_model: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        model = Recommender.load(example_model)
        model.save(tmp_path / "other")
        return tmp_path / "other"

    return make


@pytest.mark.parametrize("rounds", [1])
def test_nothing_acknowledged_is_lost(folder: Path, rounds: int, serving: Serving) -> None:
    """All processes are killed while plays and songs come; what was answered is there."""
    acknowledged: list[str] = []
    songs: list[str] = []
    for number in range(rounds):
        with serving(folder, "--workers", "2") as service:
            done = threading.Event()

            def send(number: int, service: Running, done: threading.Event) -> None:
                count = 0
                while not done.is_set():
                    count += 1
                    user, song = f"user-{number}-{count}", f"song-{number}-{count}"
                    new = {"item_id": song, "embedding": [1, 0, 0.1, 0]}
                    try:
                        if service.request("POST", "/v1/plays", play(user, batch=user))[0] == 202:
                            acknowledged.append(user)
                        if service.request("POST", "/v1/items", new)[0] == 201:
                            songs.append(song)
                    except (OSError, HTTPException, ValueError):
                        return

            sender = threading.Thread(target=send, args=(number, service, done))
            sender.start()
            known = len(songs)
            wait_until(lambda known=known: len(songs) > known + 3)  # type: ignore[misc]
            for pid in [service.process.pid, *service.lives()]:
                os.kill(pid, signal.SIGKILL)
            done.set()
            sender.join()
        opened = Recommender.load(folder)
        lists = opened.recommend_many(acknowledged, 1)
        assert not lists.attrs.get("fallback_users"), "plays that were acknowledged are lost"
        assert (opened.live.items.rows_or_none(songs) >= 0).all()


def test_a_model_that_cannot_be_opened(folder: Path, call: Call, tmp_path: Path) -> None:
    said = call("serve", tmp_path / "none")
    assert said.code == 1
    assert "none" in said.err
    assert len(said.err.splitlines()) == 1
    for file in folder.glob("g-*/*.npy"):
        file.write_bytes(b"x" * file.stat().st_size)
        break
    for workers in (1, 2):
        with pytest.raises(ArtifactError):
            serve(folder, ServiceSettings(port=0, workers=workers))


def test_what_cannot_be_served(folder: Path, call: Call, tmp_path: Path) -> None:
    def error(*arguments: str | Path) -> str:
        said = call("serve", folder, *arguments)
        assert said.code == 1
        assert len(said.err.splitlines()) == 1, said.err
        return said.err

    assert "--audio: " in error("--audio", tmp_path / "nowhere")
    assert "make a key with coldtune key add" in error("--keys", tmp_path / "nowhere")
    assert "without a file of keys" in error("--host", "0.0.0.0")
    assert "an origin is" in error("--cors", "*")
    assert "--copy is for models of MLflow" in error("--copy", tmp_path / "copy")
    (tmp_path / "config.json").write_text('{"max_kk": 1}')
    assert "max_kk" in error("--config", tmp_path / "config.json")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}: cannot be listened on" in error("--port", str(port))
        with pytest.raises(InvalidArgumentError, match="cannot be listened on"):
            serve(folder, ServiceSettings(port=port))
