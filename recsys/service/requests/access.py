"""Who may do what: keys and their roles, pages of other origins, names of this machine."""

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import DataError
from datasets.texts.safe_text import printable
from datasets.texts.suggestions import did_you_mean
from recsys.service.problems import RETRY, Problem
from recsys.service.requests.context import context_of
from recsys.service.requests.keys import Key, Role
from recsys.service.settings import is_loopback

logger = logging.getLogger("coldtune.service")

API = "/v1"
"""Address below which the routes for programs are."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

SCHEME = {"type": "http", "scheme": "bearer", "description": "A key that `coldtune key` made."}
"""How a request shows its key, as OpenAPI says it."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ReadingRoute(APIRoute):
    """A route that needs a key that allows to ask. Checked before the body is read."""

    role: Role = "read"

    def get_route_handler(self) -> Handler:
        """Return the handler with the check before it."""
        handle = super().get_route_handler()
        role = self.role
        named = [str(one.alias) for one in self.dependant.query_params]
        is_strict = self.path.startswith(f"{API}/")

        async def checked(request: Request) -> Response:
            check_access(request, role)
            if is_strict:
                _check_query(request, named)
            return await handle(request)

        return checked


class ChangingRoute(ReadingRoute):
    """A route that needs a key that allows to change the model."""

    role: Role = "write"


def reading_routes(prefix: str = API) -> APIRouter:
    """Return a router of routes that ask, below an address."""
    return APIRouter(prefix=prefix, route_class=ReadingRoute)


def changing_routes(prefix: str = API) -> APIRouter:
    """Return a router of routes that change the model, below an address."""
    return APIRouter(prefix=prefix, route_class=ChangingRoute)


def check_access(request: Request, role: Role, token: str | None = None) -> Key | None:
    """Check that a request may do what a role allows, and return its key.

    Args:
        request: the request.
        role: what it needs.
        token: the token that it shows; None to look in its header.

    Raises:
        Problem: 401 without a known key, 403 with one that does not allow it, 503 while the file
            of keys cannot be read.
    """
    check_origin(request)
    keys = context_of(request).keys
    if keys is None:
        return None
    token = token_of(request) if token is None else token
    try:
        key = keys.identify(token) if token else None
    except DataError as error:
        logger.error("%s", error)
        raise Problem(503, "keys-unusable", "the keys cannot be read now", headers=RETRY) from None
    if key is None:
        said = "the key is not known here" if token else "a key is needed: Authorization: Bearer"
        raise Problem(401, "unauthorized", said, headers={"WWW-Authenticate": "Bearer"})
    request.state.key = key.name
    if not key.allows(role):
        raise Problem(403, "forbidden", f"key {key.name!r} may not do this: its role is {key.role}")
    return key


def token_of(request: Request) -> str:
    """Return the token that a request shows in its header, "" without one.

    ``Authorization: Bearer TOKEN``, or ``Token TOKEN`` as ListenBrainz' clients send it.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def check_origin(request: Request) -> None:
    """Refuse what a page of another origin makes a browser send.

    A browser sends some requests to any address, without asking first. Without keys only names of
    this machine are answered, so that no other name that leads here (DNS rebinding) can be used.

    Raises:
        Problem: 403.
    """
    settings = context_of(request).settings
    host = request.headers.get("host", "")
    if settings.keys is None and not is_loopback(_host_name(host)):
        raise Problem(403, "forbidden", "without keys only this machine is answered, by its name")
    origin = request.headers.get("origin")
    if origin is None or request.method in _SAFE:
        return
    own = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
    if settings.url:
        parts = urlsplit(settings.url)
        own.add(f"{parts.scheme}://{parts.netloc}".lower())
    if origin.lower() not in own and origin not in settings.origins:
        raise Problem(403, "forbidden", "pages of this origin may not send this")


def _check_query(request: Request, named: Sequence[str]) -> None:
    """Raise a problem (422) for a parameter that the route does not have: it would do nothing."""
    for name in request.query_params:
        if name not in named:
            hint = did_you_mean(name, named)
            detail = f"there is no parameter {printable(name)[:100]!r} here{hint}"
            raise Problem(422, "invalid-request", detail, field=printable(name)[:100])


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
