"""Covers, outlines of sound, and the map as data."""

import io
import threading
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.page.artwork import draw_cover, draw_figure, hue_of
from recsys.service.page.media import Kept, outline_of
from tests.recsys.service.conftest import problem


def an_item(client: TestClient) -> str:
    live = client.app.state.context.served.live  # type: ignore[attr-defined]
    return str(live.items.ids(np.array([0]))[0])


def test_a_song_without_a_recording_has_a_figure(client: TestClient) -> None:
    answer = client.get("/page/cover", params={"item": "s1"})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<svg")
    assert answer.text != client.get("/page/cover", params={"item": "s2"}).text
    problem(client.get("/page/cover", params={"item": "s99"}), 404)


def test_a_song_with_a_recording_has_its_hyperimage(hearing_client: TestClient) -> None:
    item_id = an_item(hearing_client)
    for _ in range(20):  # a busy machine gives up a picture at first, and then has a figure
        answer = hearing_client.get("/page/cover", params={"item": item_id})
        if answer.headers["cache-control"] != "no-store":
            break
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as cover:
        assert cover.size == (320, 320)
    outline = hearing_client.get("/page/outline", params={"item": item_id}).json()
    assert outline["seconds"] > 0
    assert 0 < len(outline["peaks"]) <= 400
    assert max(outline["peaks"]) == 1


def test_the_outline_of_a_recording(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(22_050), 0.5 * np.ones(22_050)])
    soundfile.write(tmp_path / "half.wav", sound, 22_050)
    seconds, peaks = outline_of(tmp_path / "half.wav")
    assert seconds == 2
    assert len(peaks) == 100
    assert peaks[:49] == [0] * 49
    assert peaks[51:] == [1] * 49
    soundfile.write(tmp_path / "silent.wav", np.zeros(2205), 22_050)
    assert max(outline_of(tmp_path / "silent.wav")[1]) == 0


def test_an_outline_needs_a_recording_that_may_be_listened_to(client: TestClient) -> None:
    assert problem(client.get("/page/outline", params={"item": "s1"}), 404)["item_id"] == "s1"


def test_covers_are_alike_for_songs_that_are_alike() -> None:
    rng = np.random.default_rng(0)
    vector = rng.normal(size=64).astype(np.float32)
    near = vector + 0.05 * rng.normal(size=64).astype(np.float32)
    apart = abs(hue_of(vector, "a") - hue_of(near, "b"))
    assert min(apart, 360 - apart) < 10
    assert hue_of(None, "a") != hue_of(None, "b")
    picture = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (16, 24, 4), np.uint8)).save(picture, "PNG")
    assert draw_cover(picture.getvalue(), 10) != draw_cover(picture.getvalue(), 200)
    assert "nan" not in draw_figure(np.ones(3, np.float32), "a", 10)


def test_the_map_and_songs_that_are_not_drawn(client: TestClient, model: Recommender) -> None:
    first = client.get("/page/map.json")
    drawn = first.json()
    assert drawn["total"] == len(drawn["points"]) == len(drawn["id"]) == 30
    assert {group["name"] for group in drawn["groups"]} == {"jazz", "rock"}
    assert max(abs(part) for point in drawn["points"] for part in point) == 1000
    assert drawn["extra"] == []
    known = client.get("/page/map.json", headers={"If-None-Match": first.headers["etag"]})
    assert known.status_code == 304
    model.onboard(item_id="n", embedding=np.ones(4))
    later = client.get("/page/map.json", headers={"If-None-Match": first.headers["etag"]})
    assert "n" in later.json()["id"]


def test_what_is_kept_is_made_once_and_forgotten_in_turn() -> None:
    kept, made = Kept(2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, lambda key=key: made.append(key))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
    threads = [threading.Thread(target=kept.get, args=(n % 5, lambda: None)) for n in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_no_recording_is_read_outside_of_the_named_folders(
    hearing_client: TestClient, songs: Path, tmp_path: Path
) -> None:
    context = hearing_client.app.state.context  # type: ignore[attr-defined]
    item_id = an_item(hearing_client)
    before = context.settings
    try:
        context.settings = before.replace(audio_folders=(tmp_path,), uploads=None)
        problem(hearing_client.get("/page/outline", params={"item": item_id}), 404)
        assert "data-play" in hearing_client.get("/song", params={"item": item_id}).text
        page = hearing_client.get("/song", params={"item": item_id}).text
        assert all("hidden" in part.partition(">")[0] for part in page.split("data-play ")[1:])
    finally:
        context.settings = before
