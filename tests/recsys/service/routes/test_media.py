"""Recordings in parts, only from folders that were named, and their pictures."""

import io
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from matplotlib.image import imread
from starlette.testclient import TestClient

from recsys.service.routes.media import read_range
from tests.recsys.service.conftest import Client, problem

AUDIO = "/v1/items/song-1/audio"


@pytest.fixture(scope="module")
def content(songs: Path) -> bytes:
    return (songs / "song-1.wav").read_bytes()


def test_a_whole_recording(hearing_client: TestClient, content: bytes) -> None:
    answer = hearing_client.get(AUDIO)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(content))
    head = hearing_client.head(AUDIO)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(content))
    known = hearing_client.get(AUDIO, headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-1", slice(-1, None)),
        ("bytes=-500", slice(-500, None)),
        ("bytes=5-999999999", slice(5, None)),
        ("bytes=-999999999", slice(0, None)),
        ("Bytes=0-9", slice(0, 10)),
        ("bytes= 0-9", slice(0, 10)),
    ],
)
def test_a_part(hearing_client: TestClient, content: bytes, wanted: str, part: slice) -> None:
    answer = hearing_client.get(AUDIO, headers={"Range": wanted})
    expected = content[part]
    assert (answer.status_code, answer.content) == (206, expected)
    start, end, _ = part.indices(len(content))
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=9-5", "bytes=x-y", "bytes=--1", "bytes", "bytes=", "bytes=-", "seconds=0-1",
        "bytes=0-1,5-9", "bytes=0x1-2", "bytes=1 2-3", "bytes=\xb2-",
    ],
)  # fmt: skip
def test_what_is_no_single_part_gets_everything(
    hearing_client: TestClient, content: bytes, wanted: str
) -> None:
    """RFC 9110, 14.2: a server may ignore the header, and must ignore what it does not know."""
    header = {"Range": wanted.encode("latin-1")}
    answer = hearing_client.get(AUDIO, headers=header)  # type: ignore[arg-type]
    assert (answer.status_code, answer.content) == (200, content)


@pytest.mark.parametrize(
    "wanted",
    ["bytes=999999999-", "bytes=" + "9" * 40 + "-", "bytes=-0", "bytes=99999999-999999999"],
)
def test_a_part_that_is_not_there(hearing_client: TestClient, content: bytes, wanted: str) -> None:
    answer = hearing_client.get(AUDIO, headers={"Range": wanted})
    problem(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_a_part_of_another_version_is_the_whole(hearing_client: TestClient, content: bytes) -> None:
    tag = hearing_client.get(AUDIO).headers["etag"]
    part = {"Range": "bytes=0-9"}
    assert hearing_client.get(AUDIO, headers={**part, "If-Range": tag}).status_code == 206
    for other in ('"x"', f"W/{tag}", "Sun, 29 Nov 2026 08:00:00 GMT"):
        answer = hearing_client.get(AUDIO, headers={**part, "If-Range": other})
        assert (answer.status_code, answer.content) == (200, content)


def test_an_empty_file() -> None:
    assert [read_range(text, 0) for text in ("bytes=0-", "bytes=-1", "bytes=0-0")] == ["none"] * 3


@pytest.mark.parametrize(
    "name",
    [
        "../song-1.wav", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd",
        "song-1/../../../etc/passwd", "song-1%00.wav", "C:\\boot.ini", "file:///etc/passwd",
        "\\\\host\\share",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(hearing_client: TestClient, name: str) -> None:
    for form in (name, quote(name, safe=""), quote(quote(name, safe=""), safe="")):
        for end in ("audio", "hyperimage.png"):
            answer = hearing_client.get(f"/v1/items/{form}/{end}")
            assert answer.status_code in (404, 422)
            assert "root:" not in answer.text


def test_only_folders_that_were_named(
    client_of: Client, hearing_model: Path, songs: Path, tmp_path: Path
) -> None:
    """Without folders there is no sound; a link out of one leads nowhere."""
    from recsys import Recommender

    music = tmp_path / "music"
    music.mkdir()
    inside, outside = music / "in.wav", tmp_path / "out.wav"
    shutil.copy(songs / "song-1.wav", inside)
    shutil.copy(songs / "song-2.wav", outside)
    shutil.copytree(hearing_model, tmp_path / "model")
    model = Recommender.load(tmp_path / "model")
    client = client_of(model, audio_folders=(music,))
    silent = client_of(model)
    for item, path in (("in", inside), ("out", outside)):
        model.onboard(path, item_id=item)
    assert client.get("/v1/items/in/audio").status_code == 200
    assert client.get("/v1/items/in").json()["playable"] is True
    for one, item in ((client, "out"), (silent, "in"), (client, "song-1")):
        assert problem(one.get(f"/v1/items/{item}/audio"), 404)["title"] == "No recording"
        assert one.get(f"/v1/items/{item}").json()["playable"] is False
    inside.unlink()
    inside.symlink_to(outside)  # a link in the folder, to what is not in it
    assert problem(client.get("/v1/items/in/audio"), 404)
    inside.unlink()
    os.mkfifo(inside)  # a pipe that nobody writes to: no request may wait for it
    assert problem(client.get("/v1/items/in/audio"), 404)
    inside.unlink()
    assert problem(client.get("/v1/items/in/audio"), 404)
    assert problem(client.get("/v1/items/in/hyperimage.png"), 404)


def test_a_picture(hearing_client: TestClient) -> None:
    address = "/v1/items/song-1/hyperimage.png"
    answer = hearing_client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert imread(io.BytesIO(answer.content), format="png").ndim == 3
    known = hearing_client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304
    assert hearing_client.get(address).content == answer.content
    assert problem(hearing_client.get("/v1/items/none/hyperimage.png"), 404)["item_id"] == "none"


def test_a_playlist_for_players(hearing_client: TestClient) -> None:
    header = {"Accept": "audio/x-mpegurl"}
    answer = hearing_client.post("/v1/playlists", json={"seeds": ["song-1"]}, headers=header)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("audio/x-mpegurl")
    lines = answer.text.splitlines()
    assert lines[0] == "#EXTM3U"
    addresses = [line for line in lines if not line.startswith("#")]
    assert addresses[0] == f"http://localhost{AUDIO}"
    for address in addresses:
        assert hearing_client.get(address, headers={"Range": "bytes=0-3"}).content == b"RIFF"
    wrong = {**header, "Host": "localhost:80\\evil"}
    asked = hearing_client.post("/v1/playlists", json={"seeds": ["song-1"]}, headers=wrong)
    assert asked.status_code in (400, 403)
