"""Listens: taken in once, durable, kept until their song comes; answers as ListenBrainz gives."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import liblistenbrainz
import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.listens.intake import ListenIntake
from recsys.service.listens.matching import Track
from recsys.service.listens.unmatched import Listen, UnmatchedListens, listens_file
from recsys.service.players.submissions import SubmissionError, read_submission
from recsys.service.serving import ServedModel
from tests.helpers.commands import Call
from tests.recsys.service.conftest import Client
from tests.recsys.service.players.conftest import Served

WHEN = 1_700_000_000
MBID = "f4a31f0a-51dd-4fa7-986d-3095c40c5ed9"

Keys = tuple[Path, str, str]


def listen(artist: str = "Artist 2", title: str = "Song 2", when: Any = WHEN, **info: Any) -> Any:
    told: dict[str, Any] = {"artist_name": artist, "track_name": title}
    if info:
        told["additional_info"] = info
    return {"listened_at": when, "track_metadata": told}


def body(*listens: Any, kind: str = "import") -> dict[str, Any]:
    return {"listen_type": kind, "payload": list(listens)}


def played(model: Recommender, user: str) -> dict[str, float]:
    """What a user has played since the fit."""
    return dict(model.live._plays.by_user.get(user, {}))


# ---------------------------------------------------------------------- a client library


def test_a_client(served: Served) -> None:
    client = liblistenbrainz.ListenBrainz(served.url)
    with pytest.raises(liblistenbrainz.errors.InvalidAuthTokenException):
        client.set_auth_token("wrong")
    client.set_auth_token(served.write)
    one = liblistenbrainz.Listen("Song 2", "Artist 2", listened_at=WHEN, release_name="Album",
                                 recording_mbid=MBID, tags=["jazz"])  # fmt: skip
    assert client.submit_single_listen(one) == {"status": "ok"}
    assert client.submit_single_listen(one) == {"status": "ok"}
    others = [liblistenbrainz.Listen(f"Song {n}", f"Artist {n % 10}", listened_at=WHEN + 300 * n)
              for n in (2, 3, 99)]  # fmt: skip
    assert client.submit_multiple_listens(others) == {"status": "ok"}
    now = liblistenbrainz.Listen("Song 4", "Artist 4")
    assert client.submit_playing_now(now) == {"status": "ok"}
    assert played(served.model, "ann")["s2"] == 2
    assert "s4" not in played(served.model, "ann")
    reader = liblistenbrainz.ListenBrainz(served.url)
    reader.set_auth_token(served.read)
    with pytest.raises(liblistenbrainz.errors.ListenBrainzAPIException) as raised:
        reader.submit_single_listen(one)
    assert (raised.value.status_code, "role" in raised.value.message) == (403, True)


# ---------------------------------------------------------------------- who listens


def test_tokens(client_of: Client, model: Recommender, keys: Keys) -> None:
    client, (_, read, write) = client_of(model, keys=keys[0]), keys
    valid = {"code": 200, "message": "Token valid.", "valid": True, "user_name": "ann"}
    header = {"Authorization": f"Token {write}"}
    assert client.get("/1/validate-token", headers=header).json() == valid
    assert client.get("/1/validate-token", params={"token": write}).json() == valid
    invalid = client.get("/1/validate-token", params={"token": read[:-1]})
    assert invalid.json() == {"code": 200, "message": "Token invalid.", "valid": False}
    missing = client.get("/1/validate-token")
    assert missing.status_code == 400
    assert missing.json() == {
        "code": 400, "error": "You need to provide an Authorization token.",
    }  # fmt: skip
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Token wrong"}, 401),
        ({"Authorization": write}, 401),
        ({"Authorization": f"Token {read}"}, 403),
        ({"Authorization": f"token {write}"}, 200),
    ):
        answer = client.post("/1/submit-listens", json=body(listen()), headers=headers)
        assert answer.status_code == status, answer.text
        assert status == 200 or answer.json()["code"] == status


def test_without_keys_the_token_is_the_name(client: TestClient, model: Recommender) -> None:
    headers = {"Authorization": "Token bo"}
    assert client.get("/1/validate-token", headers=headers).json()["user_name"] == "bo"
    assert client.post("/1/submit-listens", json=body(listen()), headers=headers).is_success
    assert played(model, "bo") == {"s2": 1}


# ---------------------------------------------------------------------- what is submitted


def cut(change: Callable[[Any], object]) -> Any:
    document = body(listen())
    change(document)
    return document


METADATA = "track_metadata"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "Cannot parse JSON document"),
        (b"\xff", "Cannot parse JSON document"),
        (b"[" * 100_000, "Cannot parse JSON document"),
        (b'{"listen_type":"single","payload":[{"listened_at":NaN}]}', "Cannot parse JSON"),
        ([], "Top level of JSON document should be a json object"),
        ({}, "Invalid JSON document submitted."),
        ({"payload": [listen()]}, "Invalid JSON document submitted."),
        (body(), "does not contain any listens"),
        ({"listen_type": "import", "payload": {}}, "should be a list of listens"),
        (body(listen(), kind="other"), "valid listen_type key"),
        (body(listen(), listen(), kind="single"), "more than listen for a single"),
        (body(*[listen()] * 1001), "Too many listens"),
        (body(listen(note="x" * 11_000)), "too large"),
        (body(listen(), listen(), listen(note="x" * 11_000)), "too large"),
        (body(None), "Listen is empty"),
        (body(3), "Listen is empty"),
        (body(listen(), kind="playing_now"), "must not contain listened_at"),
        (cut(lambda d: d["payload"][0].pop("listened_at")), "must contain the key listened_at"),
        (cut(lambda d: d["payload"][0].update(listened_at="soon")), "an int value"),
        (cut(lambda d: d["payload"][0].update(listened_at=None)), "an int value"),
        (cut(lambda d: d["payload"][0].update(listened_at=1)), "too low"),
        (cut(lambda d: d["payload"][0].update(listened_at=True)), "too low"),
        (cut(lambda d: d["payload"][0].update(listened_at=10**30)), "too high"),
        (cut(lambda d: d["payload"][0].pop(METADATA)), "must contain the key track_metadata"),
        (cut(lambda d: d["payload"][0].update(more=1)), "may only contain"),
        (cut(lambda d: d["payload"][0].update(track_metadata=None)), "null value"),
        (cut(lambda d: d["payload"][0].update(track_metadata=[])), "json object"),
        (cut(lambda d: d["payload"][0][METADATA].pop("track_name")), "required field"),
        (cut(lambda d: d["payload"][0][METADATA].update(track_name=" ")), "is empty"),
        (cut(lambda d: d["payload"][0][METADATA].update(artist_name=["a"])), "single string"),
        (cut(lambda d: d["payload"][0][METADATA].update(release_name=3)), "single string"),
        (cut(lambda d: d["payload"][0][METADATA].update(additional_info=3)), "json object"),
        (body(listen(title="a\0b")), "unicode null"),
        (b'{"listen_type":"import","payload":[{"listened_at":1700000000,"track_metadata":'
         b'{"artist_name":"a","track_name":"\\ud800"}}]}', "not valid Unicode"),
        (body(listen(recording_mbid="no")), "recording_mbid MBID format invalid"),
        (body(listen(artist_mbids=["no"])), "artist_mbids MBID format invalid"),
        (body(listen(tags=["a"] * 51)), "more than 50 items"),
        (body(listen(tags=["a" * 65])), "longer than 64 characters"),
        (body(listen(duration=1, duration_ms=1)), "both duration and duration_ms"),
        (body(listen(duration="x")), "should be a positive integer"),
        (body(listen(duration=10**9)), "too large, max permitted"),
    ],
)  # fmt: skip
def test_what_is_refused(document: Any, said: str) -> None:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(SubmissionError, match=said):
        read_submission(content)


def test_what_is_read(tmp_path: Path) -> None:
    soon = int(time.time()) + 3000
    told = listen(" Ana ", "Blue", str(soon), recording_mbid=MBID.upper(), track_mbid="",
                  file="/m/a.mp3", tags=["x"], duration_ms="20", artist_mbids=[None])  # fmt: skip
    told["track_metadata"]["release_name"] = "First"
    ((when, track),) = read_submission(json.dumps(body(told)).encode()).listens
    assert (when, track) == (soon, Track("Ana", "Blue", "First", (MBID,), "/m/a.mp3"))
    web = listen(origin_url="https://example.org/a.mp3")
    assert read_submission(json.dumps(body(web)).encode()).listens[0][1].path == ""


def test_refusals_are_answered_as_listenbrainz_does(client: TestClient) -> None:
    headers = {"Authorization": "Token bo"}
    answer = client.post("/1/submit-listens", content=b"{", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    large = json.dumps(body(*[listen(note="x" * 3000)] * 1000)).encode()
    assert len(large) > 3_000_000
    assert client.post("/1/submit-listens", content=large, headers=headers).json() == {
        "status": "ok"
    }
    answer = client.post("/1/submit-listens", content=b"x" * 10_500_000, headers=headers)
    assert answer.json() == {
        "code": 400, "error": "Payload too large. Payload cannot exceed 10240000 bytes",
    }  # fmt: skip
    answer = client.post("/1/submit-listens", content=b"x" * 12_000_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)


# ---------------------------------------------------------------------- what becomes of them


def test_a_listen_counts_once(client: TestClient, model: Recommender) -> None:
    headers = {"Authorization": "Token bo"}
    spelt = listen("ARTIST 2", "song  2")
    for sent in (body(listen(), spelt), body(spelt, kind="single"), body(listen())):
        assert client.post("/1/submit-listens", json=sent, headers=headers).is_success
    assert played(model, "bo") == {"s2": 1}
    client.post("/1/submit-listens", json=body(listen(when=WHEN + 1)), headers=headers)
    client.get("/rest/scrobble", params={"id": "s2", "u": "bo", "time": 1000 * WHEN + 500})
    assert played(model, "bo") == {"s2": 2}


def test_what_does_not_match_waits_for_its_song(client: TestClient, model: Recommender) -> None:
    headers = {"Authorization": "Token bo"}
    new = [listen("Ana", "Blue", WHEN + n) for n in range(3)]
    other = listen("<b>", "=1+1", WHEN, recording_mbid=MBID)
    for _ in range(2):
        sent = body(listen(), *new, other)
        assert client.post("/1/submit-listens", json=sent, headers=headers).is_success
    client.post("/1/submit-listens", json=body(new[0]), headers={"Authorization": "Token cy"})
    assert played(model, "bo") == {"s2": 1}
    found = client.get("/v1/listens/unmatched").json()
    assert (found["n_tracks"], found["n_listens"]) == (2, 5)
    assert found["tracks"][0] == {
        "artist": "Ana", "title": "Blue", "album": "", "mbids": [], "listens": 4, "users": 2,
        "first": WHEN, "last": WHEN + 2,
    }  # fmt: skip
    assert client.get("/v1/listens/unmatched", params={"k": 1, "start": 1}).json()["tracks"][0][
        "mbids"
    ] == [MBID]
    song = {"item_id": "x", "embedding": [1, 1, 1, 1], "title": "Blue", "artist": "Ana"}
    assert client.post("/v1/items", json=song).status_code == 201
    after = client.get("/v1/listens/unmatched").json()
    assert (after["n_tracks"], after["n_listens"]) == (1, 1)
    assert played(model, "bo") == {"s2": 1, "x": 3}
    assert played(model, "cy") == {"x": 1}
    client.post("/1/submit-listens", json=body(*new), headers=headers)  # sent again
    assert played(model, "bo")["x"] == 3


def test_they_wait_on_the_disk(model: Recommender, tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "model"
    model.save(folder)
    file = listens_file(folder)
    unknown = [Listen("bo", WHEN + n, Track("Ana", "Blue")) for n in range(3)]
    intake = ListenIntake(ServedModel(model), file=file)
    assert intake.take(unknown).kept == 3
    assert intake.take(unknown) == (0, 3, 0)
    model.save(folder)  # a save leaves them alone
    model.rebuild()
    assert len(UnmatchedListens(file)) == 3
    output = call("listens", folder).out
    assert "Ana\tBlue" in output
    assert json.loads(call("listens", folder, "--json").out)["n_listens"] == 3
    other = Recommender.load(folder)
    other.onboard(item_id="x", embedding=np.ones(4), title="Blue", artist="Ana")
    assert call("listens", folder, "--take-in").code == 0
    assert len(UnmatchedListens(file)) == 0
    other.refresh()
    assert played(other, "bo") == {"x": 3}


def test_a_service_takes_them_in_by_itself(
    client_of: Client, model: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    model.save(folder)
    with client_of(folder, refresh_seconds=0.05) as client:
        context = client.app.state.context  # type: ignore[attr-defined]
        assert context.served.wait(60)
        headers = {"Authorization": "Token bo"}
        sent = body(listen("Ana", "Blue"), listen("Ana", "Green"))
        assert client.post("/1/submit-listens", json=sent, headers=headers).is_success
        assert len(UnmatchedListens(listens_file(folder))) == 2
        model.onboard(item_id="x", embedding=np.ones(4), title="Blue", artist="Ana")
        until = time.monotonic() + 60
        while len(context.listens.waiting) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        model.refresh()
        assert played(model, "bo") == {"x": 1}


def test_an_item_that_is_taken_out_meanwhile(
    model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = ServedModel(model)
    intake = ListenIntake(served)
    play = intake.play

    def taken_out(*arguments: Any) -> Any:
        monkeypatch.setattr(intake, "play", play)
        model.remove("s2")
        return play(*arguments)

    monkeypatch.setattr(intake, "play", taken_out)
    report = intake.take([Listen("bo", WHEN, Track("Artist 2", "Song 2")),
                          Listen("bo", WHEN, Track("Artist 3", "Song 3"))])  # fmt: skip
    assert report == (1, 0, 1)


def test_plays_carry_their_time(model: Recommender) -> None:
    intake = ListenIntake(ServedModel(model))
    intake.take([Listen("bo", WHEN, Track("Artist 2", "Song 2"))])
    (play,) = model.live.catalog.changes().plays
    assert play.timestamp == pd.Timestamp(WHEN, unit="s").value


def test_a_file_that_is_none(tmp_path: Path, model: Recommender, client_of: Client) -> None:
    folder = tmp_path / "model"
    model.save(folder)
    listens_file(folder).write_bytes(b"no database" * 100)
    with client_of(folder) as client:
        assert client.app.state.context.served.wait(60)  # type: ignore[attr-defined]
        headers = {"Authorization": "Token bo"}
        answer = client.post("/1/submit-listens", json=body(listen("Ana", "B")), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, 503)
        assert str(tmp_path) not in answer.text
