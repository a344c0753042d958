"""The key of a browser, in a cookie that no script can read, and what it counts for.

A cookie is sent by the browser without anyone asking, so another page could make a browser send it.
Against that: it is `SameSite=Strict`, so that no page of another site sends it; of a request that a
browser says comes from another origin (`Sec-Fetch-Site`) it does not count; and a request that
changes something has to name its origin, which is compared with that of the service.
"""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.service.requests.context import ServiceContext, context_of

COOKIE = "coldtune_key"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})
_LONGEST = 500
"""Characters of a token at most."""


class KeyFromCookie:
    """Lets the cookie of a browser stand for the header that shows a key.

    Args:
        app: the application within.
        context: what the application shares.
    """

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and self._context.keys is not None:
            headers = Headers(scope=scope)
            token = token_in(headers.get("cookie", ""))
            if token and "authorization" not in headers and _is_own(scope["method"], headers):
                scope = {**scope, "headers": list(scope["headers"])}
                MutableHeaders(scope=scope)["Authorization"] = f"Bearer {token}"
        await self._app(scope, receive, send)


def _is_own(method: str, headers: Headers) -> bool:
    """Whether a request comes from a page of this service, as far as the browser tells."""
    if headers.get("sec-fetch-site", "none") not in _OWN:
        return False
    # The origin itself is compared where access is checked.
    return method in _SAFE or "origin" in headers


def token_in(header: str) -> str:
    """Return the token in a header Cookie, "" without one.

    Examples:
        >>> token_in("a=1; coldtune_key=ct_x-1"), token_in("coldtune_key=a b"), token_in("")
        ('ct_x-1', '', '')
    """
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    token = "" if found is None else found.value
    return token if is_token(token) else ""


def is_token(text: str) -> bool:
    """Return whether a text can be a token: printable ASCII without spaces, and not too long.

    Examples:
        >>> is_token("ct_x-1"), is_token("a\\r\\nb"), is_token("")
        (True, False, False)
    """
    return 0 < len(text) <= _LONGEST and all("!" <= letter <= "~" for letter in text)


def remember(request: Request, response: Response, token: str) -> None:
    """Let a browser keep a key until it is closed."""
    response.set_cookie(
        COOKIE, token, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )


def forget(request: Request, response: Response) -> None:
    """Let a browser forget its key."""
    response.delete_cookie(
        COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )


def _is_secure(request: Request) -> bool:
    """Whether the browser reaches the service by https, itself or by a proxy."""
    url = context_of(request).settings.url
    return request.url.scheme == "https" or url.startswith("https://")
