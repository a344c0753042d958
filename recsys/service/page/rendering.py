"""Templates, and the files that pages load."""

import hashlib
import json
import secrets
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from datasets.texts.safe_text import printable
from recsys.service.bodies.answers import has_tag
from recsys.service.requests.context import context_of
from recsys.service.requests.middleware import PAGE_POLICY

_PACKAGE = "recsys.service.page"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

_HTMX = {
    "allowEval": False,
    "allowScriptTags": False,
    "includeIndicatorStyles": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "scrollBehavior": "auto",
    "responseHandling": [
        {"code": "204", "swap": False},
        {"code": "[23]..", "swap": True},
        {"code": "[45]..", "swap": True, "error": True},
    ],
}
"""Settings of htmx: nothing of what it is given runs as a program."""


def _finalize(value: Any) -> Any:
    """What is written of a value: texts of songs and users are never trusted."""
    return value if isinstance(value, Markup | int | float) else printable(str(value))


def _exact(value: str) -> Markup:
    """An id as it is, for attributes: escaped for HTML, but otherwise unchanged."""
    return escape(value)


def _ids(values: Iterable[str]) -> Markup:
    """Ids as JSON, for an attribute."""
    return escape(json.dumps(list(values)))


def _percent(share: float | None) -> str:
    """A share in words that are never certain: "over 99 %"."""
    if share is None or share != share:
        return ""
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{share * 100:.0f} %" if share >= 0.005 or share == 0 else "under 1 %"


def _query(**values: Any) -> str:
    """A query of an address; lists repeat their name."""
    return urlencode({name: one for name, one in values.items() if one not in (None, "")}, True)


@cache
def templates() -> Environment:
    """Return the templates; every text in them is escaped."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters["percent"] = _percent
    environment.filters["exact"] = _exact
    environment.filters["ids"] = _ids
    environment.globals["query"] = _query
    return environment


def is_part(request: Request) -> bool:
    """Return whether a page's script asks for a part of it, rather than a browser for all."""
    headers = request.headers
    return "hx-request" in headers and "hx-history-restore-request" not in headers


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page, or its main part where a page's script asks for it.

    Args:
        request: the request.
        template: file of the template.
        status: HTTP status.
        **values: what the template shows.
    """
    nonce = secrets.token_urlsafe(16)
    context = context_of(request)
    text = (
        templates()
        .get_template(template)
        .render(
            layout="part.html" if is_part(request) else "whole.html",
            nonce=nonce,
            htmx=json.dumps(_HTMX),
            has_keys=context.keys is not None,
            may_change=getattr(request.state, "may_change", False),
            is_known=getattr(request.state, "is_known", False),
            has_report=getattr(request.state, "has_report", False),
            path=request.url.path,
            **values,
        )
    )
    headers = {
        # wavesurfer.js puts its style into its own element; it is known by the nonce.
        "Content-Security-Policy": PAGE_POLICY.replace(
            "style-src 'self'", f"style-src 'self' 'nonce-{nonce}'"
        ),
        "Cache-Control": "no-store",
        "Vary": "Cookie, HX-Request",
    }
    content = text.encode("utf-8", "replace")
    return Response(content, status, headers, media_type="text/html; charset=utf-8")


@cache
def static_files() -> dict[str, tuple[bytes, str, str]]:
    """Return content, media type and tag of every file that pages load, by name."""
    found = {}
    root = resources.files(_PACKAGE) / "static"
    for folder, prefix in ((root, ""), (root / "vendor", "vendor/")):
        for one in folder.iterdir():
            suffix = "." + one.name.rpartition(".")[2]
            if one.is_file() and suffix in _TYPES:
                content = one.read_bytes()
                tag = hashlib.sha256(content).hexdigest()[:16]
                found[prefix + one.name] = content, _TYPES[suffix], f'"{tag}"'
    return found


def static_file(request: Request, name: str) -> Response | None:
    """Return a file that pages load; None if there is none of this name."""
    known = static_files().get(name)
    if known is None:
        return None
    content, kind, tag = known
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if has_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": kind})
