"""Thousands of malformed requests, drawn by a seed: none is an error of the service, none hangs."""

import copy
import json
import random
import tempfile
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.helpers.asgi import Client
from tests.recsys.service.conftest import problem

_SECONDS = 30.0
"""Within which each is answered, on a machine that may be busy."""

_TEXTS = [
    "", " ", "s1", "new-1", "u1", "..", "../../etc/passwd", "/etc/passwd", "%00", "\x00",
    "%2e%2e%2f",
    "a" * 5000, "é", "\u202e", "\u2028", "\ud800", "\ufffe", "'; DROP TABLE songs; --", "${7*7}",
    "<script>alert(1)</script>", "{{7*7}}", "\r\nSet-Cookie: a=b", "-1", "0", "1e999", "NaN",
    "null",
    "true", "[]", "{}", "9" * 400, "0x10", "1_0", "١", "only", "fused", "genre=jazz", "=", "a=",
    "file:///etc/passwd", "http://localhost/", "*", "%", "%zz", "+", ";", "a;b", "\\", '"', "'",
]  # fmt: skip

_VALUES = [
    *_TEXTS, None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 1.5, 1e308,
    -0.0,
    float("nan"), float("inf"), [], {}, [[]], [None], {"": ""}, {"a": {"b": [1]}}, ["s1"],
    {"s1": 1},
    {"s1": "1"}, {"s1": -1}, {"s1": float("nan")}, [["s1", 1]], ["s1", "s1"], [1, 2, 3, 4],
    [1e39, 0, 0, 0], ["x"] * 50, "2026-05-01", "0000-00-00", 1e18, {"genre": None},
    {"genre": ["jazz"]},
]  # fmt: skip

_BODIES: dict[str, dict[str, Any]] = {
    "/v1/recommendations": {
        "history": ["s1", "s4"], "k": 5, "exclude_seen": True, "exclude": ["s2"], "only": ["s3"],
        "where": {"genre": "jazz"}, "per_artist": 1, "diversity": 0.5,
        "popularity_correction": 0.5, "discovery": 0.5, "new": "only",
    },
    "/v1/explanations": {"history": {"s1": 1}, "item_id": "s3", "n": 2},
    "/v1/plays": {
        "batch_id": "b",
        "mode": "add",
        "plays": [
            {"user_id": "u1", "item_id": "s1", "weight": 1, "timestamp": 0, "event_id": "e"}
        ],
    },
    "/v1/playlists": {
        "seeds": ["s1"], "length": 5, "path": False, "by": "fused", "per_artist": 1, "exclude": [],
        "where": None, "include_seeds": True, "user_id": "u1", "playable": False,
    },
    "/v1/items": {
        "item_id": "n", "embedding": [1, 0, 0.1, 0], "title": "t", "artist": "a", "album": "b",
        "genre": "jazz", "tags": {"mood": "calm"},
    },
}  # fmt: skip

_PLACES = [
    "/v1/users/{}/recommendations", "/v1/users/{}/explanations/{}", "/v1/items", "/v1/items/{}",
    "/v1/items/{}/similar", "/v1/items/{}/audience", "/v1/items/{}/audio",
    "/v1/items/{}/hyperimage.png", "/v1/model", "/health/ready", "/metrics", "/v1/{}", "/{}",
    "/{}/{}",
]  # fmt: skip

_QUERIES = [
    "k", "q", "by", "n", "exclude_seen", "exclude", "only", "where", "per_artist", "diversity",
    "popularity_correction", "discovery", "new", "users", "", "k[]", "__proto__",
]  # fmt: skip

_HEADERS = [
    "X-Request-ID", "Range", "If-Range", "If-None-Match", "Accept", "Authorization", "Content-Type",
    "Origin", "Referer", "Cookie", "Accept-Encoding", "X-Forwarded-For", "X-HTTP-Method-Override",
    "Content-Encoding", "Expect", "X-Forwarded-Host", "Content-Length",
]  # fmt: skip

_TYPES = [
    "application/json", "application/json; charset=utf-16", "multipart/form-data",
    "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain", "",
    "application/json, text/html", "application/problem+json",
]  # fmt: skip


class _Requests:
    """Draws requests, most of which are wrong in one place."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def next(self) -> dict[str, Any]:
        draw = self._draw
        kind = draw.random()
        request = self._sent() if kind < 0.5 else self._asked()
        for _ in range(draw.choice([0, 0, 1, 3])):
            name = draw.choice(_HEADERS)
            value = draw.choice([*_TEXTS, "bytes=0-1", "bytes=9-1,2-", 'W/"a"', "*", "identity"])
            request["headers"][name] = value[:2000].encode("utf-8", "surrogatepass")
        return request

    def _asked(self) -> dict[str, Any]:
        draw = self._draw
        place = draw.choice(_PLACES)
        texts = [self._in_path(draw.choice(_TEXTS)) for _ in range(place.count("{}"))]
        asked = [
            (draw.choice(_QUERIES), draw.choice(_TEXTS).encode("utf-8", "surrogatepass"))
            for _ in range(draw.choice([0, 1, 1, 2, 5]))
        ]
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in asked)
        method = draw.choice(["GET"] * 6 + ["HEAD", "DELETE", "PUT", "PATCH", "OPTIONS", "FOO"])
        if draw.random() < 0.05:
            query = draw.choice(["%", "&&==&", "k=1;k=2", "%ff=%ff", "?", "k" * 3000])
        address = place.format(*texts) + ("?" + query if query else "")
        return {"method": method, "url": address, "headers": {}}

    def _in_path(self, text: str) -> str:
        raw = text.encode("utf-8", "surrogatepass")
        return quote(raw, safe="") if self._draw.random() < 0.7 else quote(raw, safe="/%;")

    def _sent(self) -> dict[str, Any]:
        draw = self._draw
        address = draw.choice(list(_BODIES))
        body = json.loads(json.dumps(_BODIES[address]))
        for _ in range(draw.choice([1, 1, 2, 4])):
            self._spoil(body)
        content = json.dumps(body).encode()
        if draw.random() < 0.3:
            content = self._damaged(content)
        kind = draw.choice(_TYPES) if draw.random() < 0.2 else "application/json"
        return {
            "method": "POST",
            "url": address,
            "content": content,
            "headers": {"Content-Type": kind.encode()},
        }

    def _spoil(self, body: Any) -> None:
        """Change one value, somewhere in it."""
        draw = self._draw
        while True:
            names = list(body) if isinstance(body, dict) else list(range(len(body)))
            if not names:
                return
            name = draw.choice(names)
            inner = body[name]
            if isinstance(inner, dict | list) and inner and draw.random() < 0.6:
                body = inner
                continue
            break
        how = draw.random()
        if how < 0.8:
            body[name] = copy.deepcopy(draw.choice(_VALUES))
        elif how < 0.9:
            del body[name]
        elif isinstance(body, dict):
            body[draw.choice(_TEXTS)] = copy.deepcopy(draw.choice(_VALUES))

    def _damaged(self, content: bytes) -> bytes:
        draw = self._draw
        how = draw.randrange(5)
        at = draw.randrange(len(content) + 1)
        if how == 0:
            return content[:at]
        if how == 1:
            return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
        if how == 2:
            return b"[" * draw.choice([100, 100_000])
        if how == 3:
            return content + content
        return draw.choice([b"", b"\x00", b"\xff\xfe", b'"', b"null", b"1" * 10_000, b"{}"])


_TELLING = ("Traceback", "root:x:", tempfile.gettempdir() + "/", 'File "')
"""What no answer may have in it."""


def check(client: Client | TestClient, request: dict[str, Any]) -> None:
    started = time.monotonic()
    answer = client.request(**request)
    is_fine = (
        time.monotonic() - started < _SECONDS
        and answer.status_code < 500
        and answer.headers["x-content-type-options"] == "nosniff"
        and "set-cookie" not in answer.headers
        and not any(told in answer.text for told in _TELLING)
    )
    assert is_fine, f"{request!r:.2000}: {answer.status_code} {answer.text[:500]}"
    if answer.status_code >= 400 and request["method"] != "HEAD":
        problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "number", [400, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_malformed_requests(client: TestClient, number: int) -> None:
    requests = _Requests(seed=number)
    with Client(client.app) as asking:  # type: ignore[arg-type]
        for _ in range(number):
            check(asking, requests.next())
        assert asking.request("GET", "/v1/users/u1/recommendations").status_code == 200


def _forms() -> list[Callable[[random.Random], bytes]]:
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    names = [b"file", b"title", b"tags", b"item_id", b"", b"\xff", b'a"b', b"x" * 3000]
    files = [b"", b'; filename="a.wav"', b'; filename="../a"', b"; filename*=UTF-8''%ff", b";;;"]
    contents = [b"", b"RIFF", b"\x00" * 100, b"{}", b"\xff\xfe", b"x" * 70_000]

    def whole(draw: random.Random) -> bytes:
        parts = [
            part % (draw.choice(names), draw.choice(files), draw.choice(contents))
            for _ in range(draw.randrange(5))
        ]
        return b"".join(parts) + draw.choice([b"--x--\r\n", b"", b"--x", b"--y--\r\n"])

    def damaged(draw: random.Random) -> bytes:
        content = bytearray(whole(draw) or b"-")
        for _ in range(draw.randrange(1, 9)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        return bytes(content)

    return [whole, damaged]


@pytest.mark.parametrize(
    "number", [60, pytest.param(1000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_malformed_forms(hearing_client: TestClient, number: int) -> None:
    draw = random.Random(number)
    for _ in range(number):
        content = draw.choice(_forms())(draw)
        headers = {"Content-Type": draw.choice(["multipart/form-data; boundary=x"] * 9 + _TYPES)}
        request = {"method": "POST", "url": "/v1/items", "content": content, "headers": headers}
        check(hearing_client, request)
