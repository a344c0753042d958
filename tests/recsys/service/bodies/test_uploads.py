"""Uploads: heard in a process of their own, named by their content, refused in a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from tests.recsys.service.conftest import problem

Files = Any


def upload(client: TestClient, song: Path, name: str | None = None, **texts: str) -> Any:
    files = {"file": (song.name if name is None else name, song.read_bytes(), "audio/wav")}
    return client.post("/v1/items", files=files, data=texts)


def generation(client: TestClient) -> str:
    return str(client.get("/v1/model").json()["generation"])


def test_a_recording_is_heard_kept_and_in_lists(hearing_client: TestClient, songs: Path) -> None:
    texts = {"title": "Neu", "artist": "Sängerin", "tags": '{"mood": "calm"}', "item_id": "up/1"}
    answer = upload(hearing_client, songs / "song-3.wav", "Mein Lied.WAV", **texts)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["item_id"] == "up/1"
    assert said["predicted"] in ("rock", "jazz")
    assert 0 <= said["familiarity"] <= 1
    place = answer.headers["location"]
    assert place == "/v1/items/up%2F1"
    item = hearing_client.get(place).json()
    assert (item["title"], item["artist"], item["tags"]) == ("Neu", "Sängerin", {"mood": "calm"})
    assert (item["cold"], item["heard"], item["playable"]) == (True, True, True)
    assert hearing_client.get(f"{place}/audio").content == (songs / "song-3.wav").read_bytes()
    near = hearing_client.get(f"{place}/similar", params={"by": "sound", "k": 1}).json()["items"]
    assert near[0]["item_id"] == "song-3"
    only = {"history": ["song-1"], "only": ["up/1"]}
    listed = hearing_client.post("/v1/recommendations", json=only).json()["items"]
    assert [one["item_id"] for one in listed] == ["up/1"]
    # Kept by the digest of its content, and by no name that a client gave.
    kept = hearing_client.app.state.context.settings.uploads  # type: ignore[attr-defined]
    assert all(len(one.stem) == 64 for one in kept.iterdir())
    # On the disk: whoever opens the model has it.
    folder = hearing_client.app.state.context.served.folder  # type: ignore[attr-defined]
    assert Recommender.load(folder).search("Neu", 1)["item_id"].tolist() == ["up/1"]


def test_the_same_again_is_the_same_item(hearing_client: TestClient, songs: Path) -> None:
    first = upload(hearing_client, songs / "song-4.wav")
    again = upload(hearing_client, songs / "song-4.wav", "other.wav")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["item_id"] == again.json()["item_id"]
    played = upload(hearing_client, songs / "song-4.wav", item_id="song-1")
    assert problem(played, 409)["item_id"] == "song-1"


@pytest.mark.parametrize("name", ["../../evil.wav", "/etc/x.wav", "a\\..\\b.wav", "", "x" * 500])
def test_names_are_names(hearing_client: TestClient, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF and nothing")
    answer = upload(hearing_client, broken, name)
    document = problem(answer, 422)
    assert "/" not in document["detail"].partition(":")[0]
    assert "\\" not in document["detail"].partition(":")[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.wav", b"no sound at all"),
        ("empty.mp3", b""),
        ("zeros.flac", bytes(5000)),
        ("playlist.m3u8", b"#EXTM3U\nfile:///etc/passwd\n"),
        ("concat.mp3", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
        ("page.html", b"<script>alert(1)</script>"),
        ("no suffix", b"ID3\x04" + bytes(200)),
        ("head.ogg", b"OggS" + b"\xff" * 300),
    ],
)
def test_what_is_no_recording_changes_nothing(
    hearing_client: TestClient, name: str, content: bytes
) -> None:
    before = generation(hearing_client)
    answer = hearing_client.post("/v1/items", files={"file": (name, content)})
    document = problem(answer, 422)
    assert document["title"] == "Unusable recording"
    assert document["detail"].startswith(name)
    assert (document["file"], document["field"]) == (name, "file")
    assert "root:" not in answer.text
    assert generation(hearing_client) == before


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"item_id": " "}, "item_id"),
        ({"item_id": "x" * 1001}, "item_id"),
        ({"title": "x" * 2001}, "title"),
        ({"tags": "{"}, "tags"),
        ({"tags": "[]"}, "tags"),
        ({"tags": '{"a": 1}'}, "tags.a"),
        ({"tags": "[" * 60_000}, "tags"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_form_that_is_wrong(
    hearing_client: TestClient, songs: Path, texts: dict[str, str], field: str
) -> None:
    assert problem(upload(hearing_client, songs / "song-3.wav", **texts), 422)["field"] == field


def test_a_form_without_a_recording(hearing_client: TestClient) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for headers, body in (
        ({"Content-Type": "multipart/form-data"}, b"--x--\r\n"),
        (form, b"nothing of a form"),
        (form, b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno end'),
        (form, b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n"),
        (
            form,
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 99 + b"--x--",
        ),
        (form, b"--x\r\n" + b"X-Header: 1\r\n" * 10_000 + b"\r\n\r\n--x--\r\n"),
        (form, b"--x--\r\n"),
    ):
        answer = hearing_client.post("/v1/items", content=body, headers=headers)
        assert answer.status_code in (400, 422), answer.text
        assert problem(answer, answer.status_code)["field"]


def test_an_upload_that_is_too_large(hearing_client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(1 << 16)

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = hearing_client.post("/v1/items", content=endless(), headers=form)
    assert "4,194,304 bytes" in problem(answer, 413)["detail"]


def test_a_recording_that_is_too_long(hearing_client: TestClient, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "long.wav", np.full(61 * 8000, 0.1), 8000)
    answer = upload(hearing_client, tmp_path / "long.wav")
    assert "at most 60 s" in problem(answer, 422)["detail"]


def test_a_model_that_hears_nothing(client: TestClient, songs: Path) -> None:
    document = problem(upload(client, songs / "song-3.wav"), 422)
    assert "embedding" in document["detail"]
