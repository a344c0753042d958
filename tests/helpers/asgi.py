"""Requests to an application in this thread, written as a hostile client would, and cheap."""

import asyncio
from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx
from fastapi import FastAPI

Message = MutableMapping[str, Any]


class Client:
    """Asks an application what its server would, a millisecond each.

    A client for people mends addresses, follows redirects, keeps cookies and answers from another
    thread: thousands of requests take minutes with one. Here path, query and headers reach the
    application as they are given, as uvicorn hands them on. An exception of the application
    is raised.

    Args:
        app: the application.
        starts: whether it is started and stopped; not if it runs already.
    """

    def __init__(self, app: FastAPI, *, starts: bool = True) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        self._life: AbstractAsyncContextManager[Any] | None = None
        if starts:
            self._life = app.router.lifespan_context(app)

    def __enter__(self) -> Self:
        if self._life is not None:
            self._runner.run(self._life.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._life is not None:
            self._runner.run(self._life.__aexit__(kind, error, trace))
        self._runner.close()

    def request(
        self,
        method: str,
        url: str,
        content: bytes = b"",
        headers: dict[str, bytes] | None = None,
    ) -> httpx.Response:
        """Return the answer to a request for a path, with a query after the first "?"."""
        return self._runner.run(self._request(method, url, content, headers or {}))

    async def _request(
        self, method: str, url: str, content: bytes, headers: dict[str, bytes]
    ) -> httpx.Response:
        path, _, query = url.partition("?")
        sent = [(b"host", b"localhost")]
        sent += [(name.lower().encode(), value) for name, value in headers.items()]
        if content and not any(name == b"content-length" for name, _ in sent):
            sent.append((b"content-length", b"%d" % len(content)))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": sent,
            "client": ("127.0.0.1", 50000),
            "server": ("localhost", 80),
        }
        messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
        answered = asyncio.Event()
        status, answer_headers, parts = 0, [], []

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status, answer_headers
            if message["type"] == "http.response.start":
                status, answer_headers = message["status"], list(message["headers"])
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                answered.set()

        await self._app(scope, receive, send)
        return httpx.Response(status, headers=answer_headers, content=b"".join(parts))
