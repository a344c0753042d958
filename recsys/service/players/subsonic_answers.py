"""Answers of the OpenSubsonic API as XML, JSON and JSONP."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from starlette.responses import Response

API_VERSION = "1.16.1"
"""The newest version of the Subsonic API, which OpenSubsonic extends."""

_NAMESPACE = "http://subsonic.org/restapi"

_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}(?:\.[A-Za-z_$][A-Za-z0-9_$]{0,63}){0,4}")

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for."""


class SubsonicError(Exception):
    """Ends a request with an error of the API.

    Args:
        code: code of the specification: 0 generic, 10 a parameter is missing, 20 and 30 versions,
            40 to 44 authentication, 50 not allowed, 70 not found.
        message: what is wrong, in a sentence.
        status: HTTP status; the API answers 200 unless the service itself fails.
    """

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def is_callback(name: str) -> bool:
    """Return whether a name may be that of a function that JSONP calls.

    Examples:
        >>> is_callback("player.show"), is_callback("alert(1)//")
        (True, False)
    """
    return _CALLBACK.fullmatch(name) is not None


def subsonic_document(
    version: str, members: Mapping[str, Any] | None = None, error: SubsonicError | None = None
) -> dict[str, Any]:
    """Return the content of an answer.

    Args:
        version: version of this server.
        members: what the answer holds.
        error: what went wrong.

    Examples:
        >>> document = subsonic_document("0.1.0", {"license": {"valid": True}})
        >>> document["status"], document["openSubsonic"], document["license"]
        ('ok', True, {'valid': True})
    """
    document: dict[str, Any] = {
        "status": "ok" if error is None else "failed",
        "version": API_VERSION,
        "type": "coldtune",
        "serverVersion": version,
        "openSubsonic": True,
    }
    if error is not None:
        document["error"] = {"code": error.code, "message": error.message}
    return document | dict(members or {})


def write_answer(
    document: Mapping[str, Any], form: str = "xml", callback: str = "", status: int = 200
) -> Response:
    """Return an answer in the form that was asked for.

    Args:
        document: what `subsonic_document` returns.
        form: "xml", "json" or "jsonp".
        callback: the function that JSONP calls; `is_callback` has been asked of it.
        status: HTTP status.

    Examples:
        >>> ok = subsonic_document("0.1.0", {"song": {"id": "s1", "isDir": False}})
        >>> write_answer(ok).body.decode().partition("><")[2]
        'song id="s1" isDir="false" /></subsonic-response>'
        >>> write_answer(ok, "jsonp", "show").body[:12]
        b'/**/show({"s'
    """
    if form == "xml":
        return Response(
            _as_xml(document),
            status,
            media_type="application/xml",
            headers={"Vary": "Authorization"},
        )
    text = json.dumps({"subsonic-response": _finite(document)}, separators=(",", ":"))
    kind = "application/json"
    if form == "jsonp":
        # The comment keeps the answer from being anything but a script.
        text, kind = f"/**/{callback}({text});", "application/javascript"
    return Response(text, status, media_type=kind, headers={"Vary": "Authorization"})


def _as_xml(document: Mapping[str, Any]) -> bytes:
    root = ElementTree.Element("subsonic-response", {"xmlns": _NAMESPACE})
    _fill(root, document)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _fill(element: ElementTree.Element, members: Mapping[str, Any]) -> None:
    """Single values are attributes, others are elements, a list as one element for each value."""
    for name, value in members.items():
        if isinstance(value, Mapping):
            _fill(ElementTree.SubElement(element, name), value)
        elif isinstance(value, list | tuple):
            for one in value:
                child = ElementTree.SubElement(element, name)
                if isinstance(one, Mapping):
                    _fill(child, one)
                else:
                    child.text = _text(one)
        elif value is not None:
            element.set(name, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _NOT_IN_XML.sub("\ufffd", str(value))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return -1
    return value
