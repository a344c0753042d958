"""Around every request: its id, limits, safe headers, a line in the log, and figures.

It is the outermost part of the application and lets no exception out.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.service.problems import Problem, log_error, problem_of
from recsys.service.requests.access import API
from recsys.service.requests.context import ServiceContext
from recsys.service.requests.logs import ACCESS

REQUEST_ID = "X-Request-ID"

_ID = re.compile(r"[A-Za-z0-9._\-]{1,100}")
"""What a client may give as the id of its request: nothing that could end a header or a line."""

UPLOADS = frozenset({("POST", f"{API}/items")})
"""Method and path of requests that may be as large as an upload."""

LARGER = {("POST", "/1/submit-listens"): 11_000_000}
"""Bytes that further requests may have, where these are more than the settings allow."""

_SEND_SECONDS = 60.0
"""Time within which a client has to take a part of an answer."""

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; font-src 'self'; connect-src 'self' blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of answers for programs, and of pages for people."""

SAFE_HEADERS = {
    "Content-Security-Policy": API_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Headers of all answers that have no others of these names."""

_CLOSE = {"Connection": "close"}


class Around:
    """The outermost ASGI application; see the module.

    Args:
        app: the application within.
        context: what the application shares.
    """

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                return
            await self._app(scope, receive, send)
            return
        own = {**scope, "state": dict(scope.get("state", {}))}
        request = _Request(own, receive, send, self._context)
        try:
            await self._app(own, request.receive, request.send)
        except ClientDisconnect:  # nobody is there to be answered
            pass
        except Exception as error:
            await request.fail(error)
        finally:
            request.finish()


class _Request:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, context: ServiceContext) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._method = scope["method"] if scope["method"] in _METHODS else "other"
        self._context = context
        self._started = time.monotonic()
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        state: MutableMapping[str, Any] = scope["state"]
        state["request_id"] = self.id
        state["is_head"] = scope["method"] == "HEAD"
        if scope["method"] == "HEAD":  # answered as GET is, without the content
            scope["method"] = "GET"
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self._path = raw.decode("ascii", "backslashreplace")
        if self._path.startswith(f"{API}/"):
            # Left as it was sent: an id may have a slash in it, which is sent as %2F.
            scope["path"] = self._path
        settings = context.settings
        what = scope["method"], self._path
        self._most = settings.max_upload if what in UPLOADS else settings.max_body
        self._most = max(self._most, LARGER.get(what, 0))
        self._until = self._started + settings.upload_seconds
        self._length = headers.get("content-length", "")
        self._has_body = self._length not in ("", "0") or "transfer-encoding" in headers
        self._received = self._sent = 0
        self._is_received = self._is_answered = False
        self._status = 0

    async def receive(self) -> Message:
        """Receive a part of the body, unless it is too large or too slow."""
        if self._is_received:
            return await self._receive()  # waits for the end of the connection
        if self._length.isdecimal() and int(self._length[:18]) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                408, "request-timeout", "the body of the request did not arrive in time",
                headers=_CLOSE,
            ) from None  # fmt: skip
        if message["type"] != "http.request":
            self._is_received = True
            return message
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise self._too_large()
        self._is_received = not message.get("more_body", False)
        return message

    def _too_large(self) -> Problem:
        detail = f"the body of this request has more than {self._most:,} bytes"
        return Problem(413, "content-too-large", detail, headers=_CLOSE)

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers that all have."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_answered = True
            headers = MutableHeaders(scope=message)
            if self._has_body and not self._is_received:
                headers["Connection"] = "close"  # what comes of the body is of no use any more
            headers[REQUEST_ID] = self.id
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            if self._context.settings.origins:
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        else:
            if self._method == "HEAD":
                message["body"] = b""
            self._sent += len(message.get("body", b""))
        await _in_time(self._send, message)

    async def fail(self, error: Exception) -> None:
        """Answer what went wrong; if the answer has begun, the connection is closed."""
        problem = problem_of(error, self._context.scrubber)
        log_error(error, self.id, problem)
        if self._is_answered:
            self._status = 499 if isinstance(error, TimeoutError) else 500
            return
        try:
            await problem.response(self.id)(self._scope, self._receive, self.send)
        except Exception as again:  # the client is gone
            log_error(again, self.id, problem)

    def finish(self) -> None:
        """Write the line of the log, and count."""
        scope = self._scope
        route = getattr(scope.get("route"), "path", "") or "unknown"
        seconds = time.monotonic() - self._started
        status = self._status or 499  # the client went away
        self._context.metrics.count_request(self._method, route, status, seconds)
        client = scope.get("client")
        facts = {
            "request_id": self.id,
            "method": self._method,
            "route": route,
            "path": self._path[:500],
            "status": status,
            "milliseconds": round(1000 * seconds, 2),
            "bytes": self._sent,
            "client": client[0] if client else None,
            "key": scope.get("state", {}).get("key"),
        }
        ACCESS.info("%s %s %d", self._method, route, status, extra=facts)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _in_time(send: Callable[[Message], Awaitable[None]], message: Message) -> None:
    """Send, unless the client takes nothing for too long."""
    async with asyncio.timeout(_SEND_SECONDS):
        await send(message)
