"""The processes that listen: one, or several that share a socket, and how they start and end."""

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import c_bool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from datasets.errors import ArtifactError, ColdtuneError, InvalidArgumentError
from datasets.system.temporary import temporary_folder
from recsys.model.artifact import read_manifest
from recsys.service.app import create_app
from recsys.service.problems import MEDIA_TYPE, RETRY, Problem
from recsys.service.requests.keys import KeyFile
from recsys.service.requests.logs import set_up_logs
from recsys.service.requests.metrics import FIGURES_FOLDER
from recsys.service.requests.middleware import SAFE_HEADERS
from recsys.service.serving import ServedModel
from recsys.service.settings import ServiceSettings

logger = logging.getLogger("coldtune.service")

_LARGEST_HEAD = 32 << 10
"""Bytes of the head of a request."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)

_LOOK_SECONDS = 0.2
"""Interval at which the processes are looked at."""

_PAUSE = 3.0
"""Seconds after which a process is started again that has ended sooner than this."""


def serve(
    model: Path | str,
    settings: ServiceSettings | None = None,
    *,
    listening: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve a saved model until a signal (SIGINT, SIGTERM) ends it.

    Requests under way are finished, for `ServiceSettings.stop_seconds` at most; what is written is
    written whole in any case. Logs are lines of JSON on the standard error output.

    Args:
        model: the folder of a saved model.
        settings: settings of the service.
        listening: called with the address as soon as connections are accepted.

    Raises:
        ArtifactError: there is no model, or it cannot be opened.
        InvalidArgumentError: the address cannot be listened on, or a folder of the settings or
            the file of keys is not there.
        DataError: the file of keys is none.

    Examples:
        >>> serve("model", ServiceSettings(port=8080))  # doctest: +SKIP
    """
    settings = ServiceSettings() if settings is None else settings
    folder = Path(model).absolute()
    read_manifest(folder)
    _check_files(settings)
    with _listening_socket(settings) as opened:
        listening(_address(opened, settings))
        if settings.workers == 1:
            if problem := _work(opened, folder, settings, parent=None):
                raise ArtifactError(problem)
        else:
            _Workers(opened, folder, settings).run()


def _check_files(settings: ServiceSettings) -> None:
    """Check what the settings name, before anything is started.

    Raises:
        InvalidArgumentError: a folder, or the file of keys, that is not there.
        DataError: a file that is none of keys.
    """
    for folder in settings.audio_folders:
        if not folder.is_dir():
            raise InvalidArgumentError(f"--audio: {folder} is no folder")
    if settings.keys is not None:
        if not settings.keys.exists():
            raise InvalidArgumentError(
                f"--keys: {settings.keys} is not there; make a key with coldtune key add"
            )
        KeyFile(settings.keys).keys()
    if settings.uploads is not None:
        try:
            settings.uploads.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgumentError(
                f"--uploads: {settings.uploads} cannot be made: {error.strerror}"
            ) from None


@contextmanager
def _listening_socket(settings: ServiceSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    host = settings.host.strip("[]")
    try:
        opened = socket.create_server((host, settings.port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidArgumentError(
            f"{host}:{settings.port}: cannot be listened on: {reason}"
        ) from None
    with opened:
        opened.set_inheritable(True)
        # For every connection: asyncio leaves it out for sockets that were made elsewhere, and an
        # answer, whose head and content are sent one after the other, would wait 40 ms for the
        # client's acknowledgement.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened


def _address(opened: socket.socket, settings: ServiceSettings) -> str:
    host = settings.host.strip("[]")
    port = opened.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# ---------------------------------------------------------------------- one process


class _LimitedProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, within limits whose problems are said as all others are.

    Attributes:
        header_seconds: within which the head of a request has to arrive.
        most_connections: those beyond are told to come again, and closed.
    """

    header_seconds = 10.0
    most_connections = 1024
    _timer: asyncio.TimerHandle | None = None
    _awaits_head = True
    """Whether the head of a request is awaited, the first one of all or one that has begun."""
    _head = 0
    """Bytes of it that have arrived after those that came with its first ones."""
    _begun = 0
    """Requests that have begun on this connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self.app = _too_many_connections
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        begun = self._begun
        super().data_received(data)
        if not self._awaits_head:
            self._end_timer()
            return
        self._head = self._head + len(data) if self._begun == begun else 0
        if self._head > _LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("")
        self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaits_head = True
        self._begun += 1

    def on_headers_complete(self) -> None:
        self._awaits_head = False
        own = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        hosts = sum(name == b"host" for name, _ in self.headers)
        is_newer = self.parser.get_http_version() == "1.1"
        if own > _LARGEST_HEAD or hosts > 1 or (is_newer and not hosts):
            raise ValueError("not the head of a request")  # answered with 400
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request as everything else is answered."""
        problem = Problem(400, "invalid-request", "this is no request of HTTP")
        headers, content = _closing_answer(problem)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["HTTP/1.1 400 Bad Request", *lines, "", ""])
        self.transport.write(head.encode("ascii") + content)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._close_late)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # the request before it is being answered
        elif self._awaits_head and not self.transport.is_closing():
            self.transport.close()


def _closing_answer(problem: Problem) -> tuple[dict[str, str], bytes]:
    """Headers and content of an answer after which a connection is closed."""
    request_id = uuid.uuid4().hex
    content = json.dumps({**problem.document(), "request_id": request_id}).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(content)),
        "Connection": "close",
        "X-Request-ID": request_id,
        **(problem.headers or {}),
        **SAFE_HEADERS,
    }
    return headers, content


async def _too_many_connections(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request on a connection that is one too many."""
    problem = Problem(
        503, "overloaded", "too many connections are open here; try again", headers=RETRY
    )
    headers, content = _closing_answer(problem)
    raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status_code, "headers": raw})
    await send({"type": "http.response.body", "body": content})


class _Server(uvicorn.Server):
    """A server that ends in order: when asked to, when its parent is gone, without a model."""

    def __init__(
        self,
        config: uvicorn.Config,
        served: ServedModel,
        parent: int | None,
        one_is_ready: c_bool | None,
    ) -> None:
        super().__init__(config)
        self._served = served
        self._parent = parent
        self._one_is_ready = one_is_ready
        self._is_loaded = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal; another one more than a second later ends at once."""
        first: list[float] = []

        def stop(number: int, frame: object) -> None:
            if first and time.monotonic() - first[0] > 1.0:
                self.force_exit = True
            if not first:
                first.append(time.monotonic())
            self.should_exit = True

        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, stop) for number in _STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        if self._served.is_ready and not self._is_loaded:
            self._is_loaded = True
            gc.freeze()  # what is loaded stays: to look through it takes a quarter of a second
            if self._one_is_ready is not None:
                self._one_is_ready.value = True
        orphaned = self._parent is not None and os.getppid() != self._parent
        failed = self._served.failure is not None and not self._served.is_ready
        return await super().on_tick(counter) or orphaned or failed


def _work(
    opened: socket.socket,
    folder: Path,
    settings: ServiceSettings,
    parent: int | None = None,
    *,
    load_first: bool = False,
    one_is_ready: c_bool | None = None,
) -> str:
    """Answer requests until the end; return why there is no model, "" if there is one.

    Args:
        opened: the socket that requests come from.
        folder: the model's.
        settings: the service's.
        parent: the process with which this one ends.
        load_first: take requests only when the model is there, as others take them meanwhile;
            without it they are told that it is being loaded.
        one_is_ready: true when one of several processes has the model. Those that load it first
            wait for it, so that nobody who had an answer is told that the model is being loaded.
    """
    set_up_logs()
    served = ServedModel(folder, settings.refresh_seconds)
    while load_first and not served.is_ready:
        served.look()
        if served.failure is not None:
            return _reason(served.failure)
    while load_first and one_is_ready is not None and not one_is_ready.value:
        if os.getppid() != parent:
            return ""
        time.sleep(_LOOK_SECONDS / 4)
    limits = {
        "header_seconds": settings.header_seconds,
        "most_connections": settings.connections,
    }
    protocol = type("Protocol", (_LimitedProtocol,), limits)
    config = uvicorn.Config(
        create_app(served, settings),
        http=protocol,
        ws="none",
        loop="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(settings.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
    )
    # Questions are small and many: threads within one only take time from the others.
    with threadpool_limits(1, user_api="blas"):
        uvloop.run(_Server(config, served, parent, one_is_ready).serve(sockets=[opened]))
    if served.failure is not None and not served.is_ready:
        return _reason(served.failure)
    return ""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ColdtuneError) else f"cannot be opened: {error!r}"


# ---------------------------------------------------------------------- several


def _worker(
    opened: socket.socket,
    folder: str,
    settings: dict[str, Any],
    parent: int,
    load_first: bool,
    one_is_ready: c_bool,
) -> None:
    """What each of several processes runs."""
    chosen = ServiceSettings.from_json(settings)
    problem = _work(
        opened, Path(folder), chosen, parent, load_first=load_first, one_is_ready=one_is_ready
    )
    if problem:
        logger.error("%s", problem)
        raise SystemExit(_NO_MODEL)


_NO_MODEL = 3
"""Exit code of a process that found no model."""


class _Workers:
    """The processes that share a socket; one that dies is started again."""

    def __init__(self, opened: socket.socket, folder: Path, settings: ServiceSettings) -> None:
        self._socket = opened
        self._settings = settings
        self._arguments = (str(folder), json.loads(settings.model_dump_json()), os.getpid())
        self._spawn = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[BaseProcess, float]] = {}
        self._ended: dict[int, float] = {}
        """Those that have ended, and when they are started again."""
        self._stopped = threading.Event()
        self._restarted = False
        """Whether a process was started again: others may answer, even if it finds no model."""
        # A byte that all share: an event is never set if a process is killed that waits for it.
        self._one_is_ready: c_bool = self._spawn.RawValue(c_bool, False)

    def run(self) -> None:
        """Start the processes and keep them running until a signal comes.

        Raises:
            ArtifactError: the model cannot be opened.
        """
        set_up_logs()
        with ExitStack() as stack:
            figures = stack.enter_context(temporary_folder())
            before = os.environ.get(FIGURES_FOLDER)
            os.environ[FIGURES_FOLDER] = str(figures)
            stack.callback(_restore, before)
            handlers = {one: signal.signal(one, self._stop) for one in _STOPPING}
            stack.callback(lambda: [signal.signal(one, old) for one, old in handlers.items()])
            stack.callback(self._end)
            for number in range(self._settings.workers):
                self._start(number)
            while not self._stopped.wait(_LOOK_SECONDS):
                self._look()

    def _stop(self, number: int, frame: object) -> None:
        self._stopped.set()

    def _start(self, number: int) -> None:
        # One answers from the beginning, be it that the model is being loaded.
        load_first = self._restarted or number > 0
        process = self._spawn.Process(
            target=_worker,
            args=(self._socket, *self._arguments, load_first, self._one_is_ready),
            name=f"coldtune-{number}",
        )
        process.start()
        self._processes[number] = process, time.monotonic()

    def _look(self) -> None:
        for number, (process, since) in list(self._processes.items()):
            if process.is_alive():
                continue
            if process.exitcode == _NO_MODEL and not self._restarted:
                raise ArtifactError("the model cannot be opened; the log says why")
            lived = time.monotonic() - since
            if number not in self._ended:
                logger.error("process %s has ended with %s", process.pid, process.exitcode)
                _forget_figures(process.pid)
                # Not again and again at once: what has ended it may be there for a while.
                self._ended[number] = time.monotonic() + (_PAUSE if lived < _PAUSE else 0.0)
            if time.monotonic() >= self._ended[number]:
                del self._ended[number]
                self._restarted = True
                self._one_is_ready.value = True  # or never, where the first one has ended
                self._start(number)

    def _end(self) -> None:
        """Ask all to stop, and wait; those that do not are killed."""
        processes = [process for process, _ in self._processes.values()]
        for process in processes:
            if process.is_alive():
                process.terminate()
        until = time.monotonic() + self._settings.stop_seconds + 5
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _restore(before: str | None) -> None:
    os.environ.pop(FIGURES_FOLDER, None)
    if before is not None:
        os.environ[FIGURES_FOLDER] = before


def _forget_figures(process: int | None) -> None:
    """What a process counted stays; what it told of itself goes."""
    from prometheus_client import multiprocess

    with suppress(Exception):
        multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
