"""OpenSubsonic: answers as the specification has them, also by a client library."""

import hashlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libopensonic
import numpy as np
import pytest
from libopensonic.errors import AuthError, CredentialError, DataNotFoundError, SonicError
from starlette.testclient import TestClient

from recsys import Recommender
from tests.recsys.service.conftest import Client
from tests.recsys.service.players.conftest import Served

Keys = tuple[Path, str, str]


def ask(client: TestClient, method: str, status: int = 200, **params: Any) -> dict[str, Any]:
    answer = client.get(f"/rest/{method}", params={"f": "json", **params})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()["subsonic-response"]
    assert (document["version"], document["type"]) == ("1.16.1", "coldtune")
    assert document["openSubsonic"] is True
    return document


def code(document: dict[str, Any]) -> int:
    assert document["status"] == "failed"
    assert document["error"]["message"]
    found: int = document["error"]["code"]
    return found


def matches(document: dict[str, Any]) -> list[tuple[str, float]]:
    assert document["status"] == "ok", document
    return [(one["entry"]["id"], one["similarity"]) for one in document["sonicMatch"]]


# ---------------------------------------------------------------------- a client library


def test_a_client_with_a_key(served: Served) -> None:
    client = libopensonic.Connection(served.url[: -len(f":{served.port}")], port=served.port,
                                     api_key=served.read)  # fmt: skip
    try:
        assert client.ping()
        extensions = {one.name: one.versions for one in client.get_open_subsonic_extensions()}
        assert extensions == {"apiKeyAuthentication": [1], "formPost": [1], "sonicSimilarity": [1]}
        assert client.token_info().username == "u1"
        assert client.get_license()["license"]["valid"] is True

        expected = served.model.similar("s1", k=4)
        found = client.get_sonic_similar_tracks("s1", count=4)
        assert [one.entry.id for one in found] == expected["item_id"].tolist()
        assert [one.similarity for one in found] == pytest.approx(
            np.clip(expected["score"], 0, 1), abs=1e-5
        )
        path = client.find_sonic_path("s1", "s2", count=6)
        assert (path[0].entry.id, path[-1].entry.id, len(path)) == ("s1", "s2", 6)
        assert path[0].similarity == 1

        song = client.get_song("s1")
        assert (song.title, song.artist, song.genre) == ("Song 1", "Artist 1", "jazz")
        assert (client.search3("song 7", song_count=5).song or [])[0].id == "s7"
        assert client.get_similar_songs2("s1", count=3)
        with pytest.raises(DataNotFoundError, match="nothing"):
            client.get_sonic_similar_tracks("nothing")
        with pytest.raises(AuthError, match="role"):
            client.scrobble("s1")
    finally:
        client.cleanup()


def test_a_client_with_a_password(served: Served) -> None:
    options: dict[str, Any] = {"port": served.port, "username": "ann"}
    client = libopensonic.Connection("http://127.0.0.1", password=served.write, legacy_auth=True,
                                     **options)  # fmt: skip
    wrong = libopensonic.Connection("http://127.0.0.1", password="no", legacy_auth=True, **options)
    by_token = libopensonic.Connection("http://127.0.0.1", password=served.write, **options)
    try:
        assert client.ping()
        users = served.model.info["now"]["users"]
        assert client.scrobble("s4", listen_time=1_700_000_000)
        assert client.scrobble("s4", listen_time=1_700_000_000)  # again: the same play
        assert client.scrobble("s5", submission=False)  # only playing now
        assert served.model.info["now"]["users"] == users + 1
        history = served.model.explain("ann", "s2").to_dict()
        assert "s4" in str(history)
        with pytest.raises(CredentialError):
            wrong.ping()
        with pytest.raises(SonicError, match="apiKey"):
            by_token.ping()
    finally:
        for one in (client, wrong, by_token):
            one.cleanup()


# ---------------------------------------------------------------------- who asks


def test_ways_to_authenticate(client_of: Client, model: Recommender, keys: Keys) -> None:
    client, (_, key, _) = client_of(model, keys=keys[0]), keys
    encoded = "enc:" + key.encode().hex()
    token = hashlib.md5(f"{key}salt".encode(), usedforsecurity=False).hexdigest()
    for params in ({"apiKey": key}, {"u": "bo", "p": key}, {"u": "bo", "p": encoded}):
        assert ask(client, "ping", **params)["status"] == "ok"
    header = {"Authorization": f"Bearer {key}"}
    assert "ok" in client.get("/rest/ping?f=json", headers=header).text
    for params, expected in (
        ({}, 10),
        ({"u": "bo"}, 10),
        ({"u": "bo", "p": "wrong"}, 40),
        ({"u": "bo", "p": "enc:zz"}, 40),
        ({"u": "bo", "t": token, "s": "salt"}, 41),
        ({"u": "bo", "apiKey": key}, 43),
        ({"p": key, "apiKey": key}, 43),
        ({"u": "bo", "p": key, "t": token, "s": "salt"}, 43),
        ({"apiKey": "wrong"}, 44),
        ({"apiKey": key, "v": "2.0.0"}, 30),
        ({"apiKey": key, "v": "0.9"}, 20),
    ):
        assert code(ask(client, "getSonicSimilarTracks", id="s1", **params)) == expected, params
    assert ask(client, "getOpenSubsonicExtensions")["status"] == "ok"
    assert key not in str(ask(client, "getUser", apiKey=key))


def test_without_keys_nobody_is_asked(client: TestClient) -> None:
    assert ask(client, "ping")["status"] == "ok"
    assert ask(client, "ping", u="bo", t="x", s="y")["status"] == "ok"
    assert ask(client, "ping", u="bo", apiKey="x")["error"]["code"] == 43


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
    ids=["another origin", "another name"],
)
def test_pages_of_other_origins_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/rest/scrobble", params={"f": "json", "id": "s1", "u": "b"},
                        headers=headers)  # fmt: skip
    assert answer.json()["subsonic-response"]["error"]["code"] == 50


# ---------------------------------------------------------------------- forms of answers


def test_xml_is_the_usual_form(client: TestClient) -> None:
    answer = client.get("/rest/getSonicSimilarTracks.view", params={"id": "s1", "count": 2})
    assert answer.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(answer.content)
    space = "{http://subsonic.org/restapi}"
    assert (root.tag, root.get("status")) == (f"{space}subsonic-response", "ok")
    assert root.get("openSubsonic") == "true"
    found = root.findall(f"{space}sonicMatch")
    assert [float(one.get("similarity", "")) for one in found] == sorted(
        (float(one.get("similarity", "")) for one in found), reverse=True
    )
    entry = found[0].find(f"{space}entry")
    assert entry is not None
    assert entry.get("isDir") == "false"
    extensions = ElementTree.fromstring(client.get("/rest/getOpenSubsonicExtensions").content)
    one = extensions.findall(f"{space}openSubsonicExtensions")[-1]
    assert (one.get("name"), one.findtext(f"{space}versions")) == ("sonicSimilarity", "1")


def test_jsonp_calls_a_function(client: TestClient) -> None:
    answer = client.get("/rest/ping", params={"f": "jsonp", "callback": "a.show"})
    assert answer.headers["content-type"].startswith("application/javascript")
    assert answer.text.startswith('/**/a.show({"subsonic-response":')
    assert answer.text.endswith("});")
    for callback in ("", "alert(1)//", "a b", "x" * 500):
        params = {"f": "jsonp", "callback": callback}
        wrong = client.get("/rest/ping", params=params)
        assert wrong.json()["subsonic-response"]["status"] == "failed"
    wrong = client.get("/rest/ping?f=yaml")
    assert 'status="failed"' in wrong.text


def test_parameters_in_a_form(client: TestClient) -> None:
    answer = client.post("/rest/getSong", params={"f": "json"}, data={"id": "s3"})
    assert answer.json()["subsonic-response"]["song"]["title"] == "Song 3"


def test_texts_that_xml_has_no_form_for(client_of: Client, model: Recommender) -> None:
    model.onboard(item_id="odd", embedding=np.ones(4), title='<b>"&\x08\x1b]0;', artist="a\ud7ff")
    text = client_of(model).get("/rest/getSong", params={"id": "odd"}).content
    song = ElementTree.fromstring(text)[0]
    assert song.get("title") == '<b>"&\ufffd\ufffd]0;'


# ---------------------------------------------------------------------- methods


def test_similar_tracks_by_sound_and_taste(client: TestClient, model: Recommender) -> None:
    for by in ("sound", "taste", "fused"):
        found = matches(ask(client, "getSonicSimilarTracks", id="s1", count=5, by=by))
        expected = model.similar("s1", k=5, by=by)
        assert [one for one, _ in found] == expected["item_id"].tolist()
        assert all(0 <= similarity <= 1 for _, similarity in found)
    assert len(matches(ask(client, "getSonicSimilarTracks", id="s1"))) == 10
    assert matches(ask(client, "getSonicSimilarTracks", id="s1", count=0)) == []


def test_a_path_from_song_to_song(client: TestClient, model: Recommender) -> None:
    found = matches(ask(client, "findSonicPath", startSongId="s1", endSongId="s2", count=5))
    expected = model.playlist(["s1", "s2"], length=5, path=True)
    assert [one for one, _ in found] == expected["item_id"].tolist()
    assert (found[0], found[-1][0]) == (("s1", 1.0), "s2")
    whole = matches(ask(client, "findSonicPath", startSongId="s1", endSongId="s2"))
    assert 2 < len(whole) <= 25
    assert len({one for one, _ in whole}) == len(whole)
    two = matches(ask(client, "findSonicPath", startSongId="s1", endSongId="s2", count=2))
    assert [one for one, _ in two] == ["s1", "s2"]
    same = matches(ask(client, "findSonicPath", startSongId="s1", endSongId="s1"))
    assert same == [("s1", 1.0)]


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("getSonicSimilarTracks", {}, 10),
        ("getSonicSimilarTracks", {"id": ""}, 10),
        ("getSonicSimilarTracks", {"id": "no"}, 70),
        ("getSonicSimilarTracks", {"id": "/etc/passwd"}, 70),
        ("getSonicSimilarTracks", {"id": "s1", "count": "ten"}, 0),
        ("getSonicSimilarTracks", {"id": "s1", "count": "-1"}, 0),
        ("getSonicSimilarTracks", {"id": "s1", "by": "smell"}, 0),
        ("findSonicPath", {"startSongId": "s1"}, 10),
        ("findSonicPath", {"endSongId": "s1"}, 10),
        ("findSonicPath", {"startSongId": "s1", "endSongId": "no"}, 70),
        ("findSonicPath", {"startSongId": "s1", "endSongId": "s2", "count": "1"}, 0),
        ("getSong", {"id": "x" * 2000}, 0),
        ("search3", {}, 10),
        ("stream", {"id": "s1"}, 70),
        ("getCoverArt", {"id": "s1"}, 70),
        ("scrobble", {"id": "s1"}, 10),
        ("scrobble", {"id": "no", "u": "bo"}, 70),
        ("scrobble", {"id": "s1", "u": "bo", "time": "yesterday"}, 0),
        ("scrobble", {"id": "s1", "u": "bo", "time": "99999999999999"}, 0),
    ],
)
def test_what_is_wrong_has_its_code(
    client: TestClient, method: str, params: dict[str, str], expected: int
) -> None:
    assert code(ask(client, method, **params)) == expected


def test_methods_that_are_not_known(client: TestClient) -> None:
    for method in ("getPodcasts", "..%2Fv1%2Fmodel", "a/b", "ping.view.view"):
        assert code(ask(client, method, status=404)) == 0


def test_search_and_its_pages(client: TestClient) -> None:
    whole = [
        song["id"]
        for start in (0, 12, 24)
        for song in ask(client, "search3", query='""', songCount=12, songOffset=start)[
            "searchResult3"
        ]["song"]
    ]
    assert len(whole) == len(set(whole)) == 30
    assert ask(client, "search2", query="nothing*")["searchResult2"]["song"] == []
    songs = ask(client, "search3", query="Song 12*", songCount=1)["searchResult3"]["song"]
    assert [song["id"] for song in songs] == ["s12"]


def test_recordings_and_pictures(hearing_client: TestClient) -> None:
    client = hearing_client
    found = ask(client, "search3", query="", songCount=1)
    song = found["searchResult3"]["song"][0]
    assert (song["suffix"], song["contentType"]) == ("wav", "audio/wav")
    assert "path" not in song
    part = client.get("/rest/stream", params={"id": song["id"]}, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    for _ in range(30):  # a busy machine takes longer to start the process that draws
        picture = client.get("/rest/getCoverArt", params={"id": song["coverArt"]})
        if picture.status_code != 503:
            break
    assert picture.content.startswith(b"\x89PNG")
    user = ask(client, "getUser", u="bo")["user"]
    assert (user["username"], user["streamRole"], user["adminRole"]) == ("bo", True, False)
