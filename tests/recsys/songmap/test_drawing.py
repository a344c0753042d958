"""The map's page and picture: what they hold, and that the page works in a browser."""

import base64
import html
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError
from embedding.projection import Projection
from recsys.songmap.drawing import write_map_html, write_map_png
from recsys.songmap.layout import SongMap, _groups, song_map
from tests.helpers.programs import needs
from tests.helpers.reports import in_browser

EVIL = "</script><script>alert(1)</script> <b>bold</b>"


def make_map(count: int, **changes) -> SongMap:
    """A map of songs at known points."""
    labels = np.array([("jazz", "rock", "")[n % 3] for n in range(count)], object)
    songs = pd.DataFrame(
        {
            "item_id": [f"id-{n}" for n in range(count)],
            "title": [f"Title {n}" for n in range(count)],
            "artist": [f"Artist {n // 2}" for n in range(count)],
            "album": "",
            "genre": labels,
        }
    )
    points = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return SongMap(
        songs=changes.pop("songs", songs),
        projection=Projection(points, np.array([0.5, 0.3, 0.1])),
        groups=_groups(labels),
        method="pca",
        by="genre",
        embeddings="sound",
        total=count,
        **changes,
    )


def page_data(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="songs">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_every_song_is_where_it_belongs(tmp_path):
    drawn = make_map(7)
    write_map_html(drawn, tmp_path / "map.html")
    data = page_data(tmp_path / "map.html")
    points = np.frombuffer(base64.b64decode(data["points"]), "<i2").reshape(-1, 3)
    expected = drawn.projection.points - np.ptp(drawn.projection.points, axis=0) / 2
    expected -= expected.min(axis=0) + np.ptp(expected, axis=0) / 2
    np.testing.assert_allclose(points / 32767, expected / np.abs(expected).max(), atol=2e-5)
    groups = np.frombuffer(base64.b64decode(data["group"]), np.uint8)
    names = [data["groups"][number]["name"] for number in groups]
    assert names == ["jazz", "rock", "unknown"] * 2 + ["jazz"]
    assert [group["n"] for group in data["groups"]] == [3, 2, 2]
    assert data["title"]["values"][3] == "Title 3"
    artists = [data["artist"]["values"][row] for row in data["artist"]["rows"]]
    assert artists == drawn.songs["artist"].tolist()
    assert data["axes"] == ["PC1 (50.0%)", "PC2 (30.0%)", "PC3 (10.0%)"]
    assert "recording" not in data


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_shows_texts_as_they_are(fit_quickly, tmp_path):
    recommender = fit_quickly()
    recommender.onboard(embedding=np.eye(8)[0], item_id="new", title=EVIL, genre=EVIL)
    write_map_html(song_map(recommender._model), tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2  # the songs and what draws them
    addresses = re.findall(r"""<(?:script|link|img|audio)[^>]*(?:src|href)="([^"]*)""", page)
    assert addresses == ["data:,"]
    assert "default-src 'none'" in page
    data = page_data(tmp_path / "map.html")
    assert EVIL in data["title"]["values"]
    assert len(data["id"]["values"]) == 91


def test_a_page_is_small(tmp_path):
    for count, most in ((61, 50_000), (1_000, 100_000)):
        write_map_html(make_map(count), tmp_path / "map.html")
        assert (tmp_path / "map.html").stat().st_size < most


def test_texts_that_turn_others_around_are_shown_escaped(tmp_path):
    songs = make_map(4).songs.assign(title=["\u202etxt", "\x1b[2J", "", "é"])
    write_map_html(make_map(4, songs=songs), tmp_path / "map.html")
    assert page_data(tmp_path / "map.html")["title"]["values"] == [
        "\\u202etxt", "\\x1b[2J", "", "é",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["map.html", "maps/of/songs/map.html"])
def test_recordings_are_linked_from_where_the_page_is(tmp_path, place):
    names = ["a b.mp3", "100%.wav", "né#1?.flac"]
    folder = tmp_path / "music"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    files = {f"id-{n}": folder / name for n, name in enumerate(names)}
    out = tmp_path / place
    write_map_html(make_map(5, recordings=files), out)
    data = page_data(out)
    assert data["recording"][3:] == ["", ""]
    for address, name in zip(data["recording"], names, strict=False):
        whole = data["folder"] + address
        assert not set(whole) & set(" #?")
        assert (out.parent / unquote(whole)).resolve() == (folder / name).resolve()


def test_the_recordings_of_one_folder_beside_the_page(tmp_path):
    (tmp_path / "one.mp3").write_bytes(b"")
    write_map_html(make_map(4, recordings={"id-2": tmp_path / "one.mp3"}), tmp_path / "map.html")
    data = page_data(tmp_path / "map.html")
    assert data["folder"] + data["recording"][2] == "one.mp3"


_FRAMES = """<!doctype html><body>
<iframe width="1280" height="800" style="border:0" srcdoc="{page}"></iframe>
<iframe width="390" height="844" style="border:0" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {{
    const inside = frame.contentDocument, root = inside.documentElement;
    const fits = root.scrollWidth <= frame.width && root.scrollHeight <= frame.height;
    const map = inside.getElementById("map").getBoundingClientRect();
    const field = inside.getElementById("find");
    field.value = "titlé 12 artist";
    field.dispatchEvent(new frame.contentWindow.Event("input"));
    const rows = [...inside.querySelectorAll("#found [role=option]")];
    const found = rows.map((row) => row.textContent);
    field.dispatchEvent(
      new frame.contentWindow.KeyboardEvent("keydown", {{ key: "Enter", cancelable: true }}));
    const audio = inside.querySelector("#song audio");
    return {{
      drawn: root.dataset.drawn, fits, map: [Math.round(map.width), Math.round(map.height)], found,
      chosen: inside.querySelector("#song h2 span").textContent,
      audio: audio && audio.getAttribute("src"),
      near: inside.querySelectorAll("#song li").length,
      list: field.getAttribute("aria-expanded"),
    }};
  }});
  document.body.dataset.seen = JSON.stringify(seen);
}});
</script>"""


@pytest.mark.slow
@needs("chromium")
@pytest.mark.parametrize("count", [61, 3000])  # few are drawn as shapes, many as pixels
def test_in_a_browser_it_fits_and_finds_a_song(tmp_path, count):
    drawn = make_map(count, recordings={"id-12": tmp_path / "twelve.mp3"})
    write_map_html(drawn, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    (tmp_path / "frames.html").write_text(_FRAMES.format(page=html.escape(page)), encoding="utf-8")
    seen = in_browser(tmp_path / "frames.html", width=1700)
    assert seen.messages == []
    assert seen.requests == []
    wide, narrow = json.loads(html.unescape(re.search(r'data-seen="(.*?)"', seen.page)[1]))
    for one in (wide, narrow):
        assert one["drawn"] == str(count)
        assert one["fits"]
        assert one["found"][0] == "Title 12Artist 6 · jazz"
        assert one["chosen"] == "Title 12"
        assert one["audio"] == "twelve.mp3"
        assert one["near"] == 5
        assert one["list"] == "false"
    assert wide["map"][0] > 900
    assert wide["map"][1] > 650
    assert narrow["map"][0] == 390
    assert narrow["map"][1] > 350


@pytest.mark.slow
def test_the_picture(fit_quickly, tmp_path):
    from matplotlib.image import imread

    recommender = fit_quickly()
    recommender.onboard(embedding=np.eye(8)[0], item_id="new", genre="$x_{")  # no formula
    write_map_png(song_map(recommender._model), tmp_path / "map.png")
    image = imread(tmp_path / "map.png")
    assert image.shape[:2] == (1200, 1950)
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 100


@pytest.mark.parametrize("write", [write_map_html, write_map_png])
def test_a_place_that_cannot_be_written(fitted, tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write(song_map(fitted._model), tmp_path / "file" / "map.html")
