"""Around every request: ids, headers, limits, what is told of errors."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.requests.logs import JsonLines
from recsys.service.requests.middleware import SAFE_HEADERS
from tests.recsys.service.conftest import Client, problem

SONG = {"item_id": "n", "embedding": [1, 0, 0.1, 0]}


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/v1/model"), ("GET", "/health/ready"), ("GET", "/metrics"), ("GET", "/nothing"),
        ("PUT", "/v1/model"), ("GET", "/v1/items/x"), ("GET", "/v1/items?q="),
        ("HEAD", "/v1/model"), ("POST", "/v1/plays"), ("GET", "/v1/openapi.json"),
        ("TRACE", "/v1/model"),
    ],
)  # fmt: skip
def test_every_answer_has_safe_headers(client: TestClient, method: str, address: str) -> None:
    answer = client.request(method, address)
    for name, value in SAFE_HEADERS.items():
        assert name == "Cache-Control" or answer.headers[name] == value
    assert "'unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"]
    assert "server" not in answer.headers
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("given", ["a", "Trace-1.2_3", "x" * 100])
def test_the_id_of_a_request_comes_back(client: TestClient, given: str) -> None:
    answer = client.get("/v1/model", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    wrong = client.get("/v1/items/x", headers={"X-Request-ID": given})
    assert problem(wrong, 404)["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 101, "a b", "a\r\nSet-Cookie: x=1", "é", "<b>", "a;b"])
def test_an_id_that_could_end_a_line_does_not(client: TestClient, given: str) -> None:
    raw = given.encode("utf-8")
    answer = client.get("/v1/model", headers={b"X-Request-ID": raw})  # type: ignore[dict-item]
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != given
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "\x00", "é\u2028"])
def test_no_text_becomes_a_header(client: TestClient, model: Recommender, text: str) -> None:
    answer = client.post("/v1/items", json={**SONG, "item_id": f"i{text}", "title": text})
    assert answer.status_code in (201, 422)
    assert "x-evil" not in answer.headers
    assert answer.headers.get("location", "").isascii()
    answer = client.post("/v1/playlists", json={"seeds": [f"s1{text}"]})
    assert problem(answer, 422)["field"].startswith("seeds")


def test_head_is_get_without_the_content(client: TestClient) -> None:
    for address in ("/v1/model", "/v1/users/u1/recommendations", "/health/live", "/v1/items/x"):
        shown, asked = client.get(address), client.head(address)
        assert asked.status_code == shown.status_code
        assert asked.content == b""
        same = ("etag", "content-type")
        assert [asked.headers.get(one) for one in same] == [shown.headers.get(one) for one in same]


def test_large_bodies_are_refused(client_of: Client, model: Recommender) -> None:
    client = client_of(model, max_body=2000, max_upload=5000)
    before = model.live
    many = {"plays": [{"user_id": "ann", "item_id": "s1"}] * 100}
    answer = client.post("/v1/plays", json=many)
    assert "2,000 bytes" in problem(answer, 413)["detail"]
    assert answer.headers["connection"] == "close"

    def stream() -> Iterator[bytes]:  # no length is told
        yield b'{"plays": ['
        for _ in range(1000):
            yield b'{"user_id": "ann", "item_id": "s1"},'

    header = {"Content-Type": "application/json"}
    assert problem(client.post("/v1/plays", content=stream(), headers=header), 413)
    assert problem(client.post("/v1/items", content=b"[" * 5001, headers=header), 413)
    assert problem(client.post("/v1/items", content=b"[" * 4000, headers=header), 400)
    assert model.live is before


def test_a_slow_body_is_given_up(client_of: Client, model: Recommender) -> None:
    app = client_of(model, upload_seconds=0.05).app
    begun = iter([{"type": "http.request", "body": b'{"plays', "more_body": True}])
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        for message in begun:
            return message
        await asyncio.Event().wait()  # and then nothing more
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/plays", "raw_path": b"/v1/plays",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "client": None,
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"),
                    (b"content-length", b"99")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"did not arrive in time" in sent[1]["body"]


def test_a_slow_question_is_given_up(
    client_of: Client, model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object, **__: object) -> None:
        time.sleep(0.2)

    monkeypatch.setattr("recsys.service.routes.recommendations.user_list", slow)
    client = client_of(model, read_seconds=0.01, read_threads=1, read_queue=0)
    answer = client.get("/v1/users/u1/recommendations")
    assert problem(answer, 503)["title"] == "Too slow"
    assert answer.headers["retry-after"] == "1"
    # The thread still computes: there is no room for another question.
    answer = client.get("/v1/users/u1/recommendations?k=2")
    assert problem(answer, 503)["title"] == "Overloaded"


def test_an_error_of_our_own_is_told_by_its_id_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "/srv/secret/place"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot do this with {secret}")

    monkeypatch.setattr("recsys.service.routes.recommendations.user_list", broken)
    answer = client.get("/v1/users/u1/recommendations")
    document = problem(answer, 500)
    assert secret not in answer.text
    assert "Traceback" not in answer.text
    assert "RuntimeError" not in answer.text
    logged = [JsonLines().format(one) for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(logged) == 1
    assert secret in logged[0]
    assert document["request_id"] in logged[0]
    assert "traceback" in logged[0]


def test_a_log_line_has_no_line_break_in_it(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="coldtune.access"):
        client.get("/v1/items/%0a%1b[2J%e2%80%a8")
    (line,) = [JsonLines().format(one) for one in caplog.records]
    assert "\n" not in line
    assert "\x1b" not in line
    assert '"status": 422' in line or '"status": 404' in line


def test_no_place_of_the_machine_is_told(hearing_client: TestClient, songs: Path) -> None:
    client = hearing_client
    for answer in (
        client.get("/v1/model"),
        client.get("/v1/items/song-1"),
        client.get("/v1/openapi.json"),
        client.get("/metrics"),
        client.post("/v1/items", files={"file": ("x.wav", b"RIFF")}),
        client.post("/v1/playlists", json={"seeds": ["song-1"]}),
        client.get("/v1/users/u1/recommendations"),
    ):
        assert answer.status_code < 500
        for place in (songs, songs.parent, Path.cwd(), Path(tempfile.gettempdir())):
            assert str(place) not in answer.text
