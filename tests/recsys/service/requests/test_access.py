"""Keys and roles, pages of other origins, names of this machine."""

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from datasets.errors import InvalidArgumentError
from recsys import Recommender
from recsys.service.requests.keys import KeyFile
from recsys.service.requests.logs import JsonLines
from recsys.service.settings import ServiceSettings
from tests.recsys.service.conftest import Client, problem

PLAYS = {"plays": [{"user_id": "ann", "item_id": "s1"}]}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def locked(client_of: Client, model: Recommender, keys: KeyFile) -> TestClient:
    """A client of a service that asks for keys."""
    return client_of(model, keys=keys.path)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_known_key_nothing_is_told(locked: TestClient, keys: KeyFile) -> None:
    token = keys.add("player", "write")
    for headers in ({}, bearer("x"), bearer(token[:-1]), {"Authorization": f"Basic {token}"}):
        for method, address in (
            ("GET", "/v1/model"), ("GET", "/v1/users/u1/recommendations"), ("GET", "/metrics"),
            ("GET", "/v1/items/s1/audio"), ("POST", "/v1/plays"), ("POST", "/v1/items"),
            ("POST", "/v1/playlists"), ("DELETE", "/v1/items/s1"),
        ):  # fmt: skip
            answer = locked.request(method, address, headers=headers)
            assert "key" in problem(answer, 401)["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
    # What tells whether the service is there needs none.
    assert locked.get("/health/live").status_code == 200
    assert locked.get("/health/ready").status_code == 200


def test_roles(locked: TestClient, keys: KeyFile, model: Recommender) -> None:
    reader, writer = bearer(keys.add("r", "read")), bearer(keys.add("w", "write"))
    assert locked.get("/v1/model", headers=reader).status_code == 200
    assert locked.get("/metrics", headers=reader).status_code == 200
    seeds = {"seeds": ["s1"]}
    assert locked.post("/v1/playlists", json=seeds, headers=reader).status_code == 200
    before = model.live
    song = {"item_id": "n", "embedding": [1, 0, 0.1, 0]}
    for answer in (
        locked.post("/v1/plays", json=PLAYS, headers=reader),
        locked.post("/v1/items", json=song, headers=reader),
        locked.delete("/v1/items/s1", headers=reader),
    ):
        assert "its role is read" in problem(answer, 403)["detail"]
    assert model.live is before
    assert locked.post("/v1/plays", json=PLAYS, headers=writer).status_code == 202
    assert locked.get("/v1/model", headers=writer).status_code == 200


def test_keys_come_and_go_while_it_runs(locked: TestClient, keys: KeyFile) -> None:
    token = keys.add("player", "read")
    assert locked.get("/v1/model", headers=bearer(token)).status_code == 200
    keys.remove("player")
    assert locked.get("/v1/model", headers=bearer(token)).status_code == 401
    keys.path.write_text("{")
    answer = locked.get("/v1/model", headers=bearer(token))
    assert problem(answer, 503)["title"] == "Keys unusable"
    assert str(keys.path.parent) not in answer.text


def test_no_key_stands_in_the_log(
    locked: TestClient, keys: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    token = keys.add("player", "read")
    with caplog.at_level(logging.INFO):
        locked.get("/v1/model", headers=bearer(token), params={"apiKey": token})
        locked.get("/v1/model", headers=bearer("wrong-" + token))
    lines = [JsonLines().format(one) for one in caplog.records]
    assert any('"key": "player"' in line for line in lines)
    assert not [line for line in lines if token in line]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_without_keys_it_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(InvalidArgumentError, match="without a file of keys"):
        ServiceSettings(host=host)
    assert ServiceSettings(host=host, keys=Path("keys.json")).keys


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "0.0.0.0:80", ""])
def test_another_name_that_leads_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/v1/model", headers={"Host": host})
    assert "by its name" in problem(answer, 403)["detail"]
    for own in ("localhost:80", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/v1/model", headers={"Host": own}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil"])
def test_a_page_elsewhere_can_send_nothing(client: TestClient, origin: str) -> None:
    answer = client.post("/v1/plays", json=PLAYS, headers={"Origin": origin})
    assert "origin" in problem(answer, 403)["detail"]
    assert client.delete("/v1/items/s1", headers={"Origin": origin}).status_code == 403
    read = client.get("/v1/model", headers={"Origin": origin})
    assert "access-control-allow-origin" not in read.headers
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/v1/plays", headers=asked).status_code == 405
    own = {"Origin": "http://localhost"}
    assert client.post("/v1/plays", json=PLAYS, headers=own).status_code == 202


def test_origins_that_are_named(client_of: Client, model: Recommender) -> None:
    client = client_of(model, origins=("https://music.example",))
    named = {"Origin": "https://music.example"}
    asked = {
        **named,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    before = client.options("/v1/plays", headers=asked)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == "https://music.example"
    answer = client.post("/v1/plays", json=PLAYS, headers=named)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == "https://music.example"
    assert (
        "etag"
        in client.get("/v1/model", headers=named).headers["access-control-expose-headers"].lower()
    )
    # Problems, too: the page could not read them otherwise.
    wrong = client.post("/v1/plays", json={}, headers=named)
    assert wrong.headers["access-control-allow-origin"] == "https://music.example"
    other = client.get("/v1/model", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("origin", ["*", "music.example", "https://a.example/x", "https://*.e"])
def test_origins_that_cannot_be(origin: str) -> None:
    with pytest.raises(InvalidArgumentError, match="an origin is a scheme and a host"):
        ServiceSettings(origins=(origin,))


def test_the_description_says_how_a_key_is_shown(client: TestClient) -> None:
    document: dict[str, Any] = client.get("/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
