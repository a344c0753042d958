"""Size of a song map's page, and how fast it is in a browser.

    python -m benchmarks.speed.song_map [SONGS ...]

Writes pages of made-up songs of sixteen genres (61, 3,000, 10,000 and 100,000 or SONGS) to a
temporary folder: bytes, bytes a song, seconds to write. Where Chromium is found it opens each page
without a graphics card, at 1280 x 800 and 390 x 844, and the page's own script is timed: from the
beginning to the first picture, one picture while the map is turned (mean of thirty), the first
search and a further one.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from embedding.projection import Projection
from recsys.songmap import SongMap, write_map_html
from recsys.songmap.layout import _groups

WORDS = ("blue", "night", "river", "golden", "city", "empty", "dance", "heart", "winter", "fire")
SIZES = ((1280, 800), (390, 844))

# Pictures are drawn when the browser asks for one; here at once, so that they can be timed.
TIMED = """
const began = performance.now();
window.requestAnimationFrame = (act) => { act(); return 0; };
"""
MEASURE = """
{
  const first = performance.now() - began;
  const map = document.getElementById("map"), box = map.getBoundingClientRect();
  map.setPointerCapture = () => {};
  const move = (kind, x) => map.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, pointerType: "mouse", buttons: 1, clientX: box.left + x, clientY: box.top + 200,
  }));
  move("pointerdown", 100);
  const start = performance.now();
  for (let n = 1; n <= 30; n++) move("pointermove", 100 + 6 * n);
  const turning = (performance.now() - start) / 30;
  const field = document.getElementById("find");
  const search = (words) => {
    const start = performance.now();
    field.value = words;
    field.dispatchEvent(new Event("input"));
    return performance.now() - start;
  };
  const seen = { first, turning, search: search("river 7"), again: search("river 77") };
  document.documentElement.dataset.seen = JSON.stringify(seen);
}
"""


def made_up(count: int) -> SongMap:
    """A map of so many songs with ordinary texts."""
    random = np.random.default_rng(0)
    genre = random.integers(0, 16, count)
    points = 2 * random.normal(size=(16, 3))[genre] + random.normal(size=(count, 3))
    labels = np.array([f"genre {number}" for number in genre], object)
    artists = random.integers(0, count // 8 + 1, count)
    words = random.choice(WORDS, (count, 2))
    songs = pd.DataFrame(
        {
            "item_id": [f"song-{number:06d}" for number in range(count)],
            "title": [f"{one.title()} {two.title()}" for one, two in words],
            "artist": [f"The {WORDS[n % 10].title()} Band {n}" for n in artists],
            "album": "",
            "genre": labels,
        }
    )
    projection = Projection(points.astype(np.float32), np.array([0.4, 0.2, 0.1]))
    return SongMap(songs, projection, _groups(labels), "pca", "genre", "sound", count)


def in_browser(program: str, page: Path, size: tuple[int, int]) -> dict[str, float]:
    """Milliseconds of the page's script in a frame of this size."""
    text = page.read_text(encoding="utf-8").replace("<script>", f"<script>{TIMED}", 1)
    text = text.replace("</body>", f"<script>{MEASURE}</script></body>")
    timed = page.with_name("timed.html")
    timed.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--window-size={size[0]},{size[1]}", "--dump-dom", timed.as_uri(),
        ],
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    return json.loads(html.unescape(re.search(r'data-seen="(.*?)"', done.stdout)[1]))


def main() -> None:
    """Print a line for each number of songs, and one for each size of window."""
    program = shutil.which("chromium")
    for count in map(int, sys.argv[1:] or (61, 3_000, 10_000, 100_000)):
        drawn = made_up(count)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            page = Path(folder) / "map.html"
            started = time.perf_counter()
            write_map_html(drawn, page)
            seconds = time.perf_counter() - started
            size = page.stat().st_size
            print(
                f"{count:>7,} songs: {size:>9,} bytes, {size / count:.0f} a song, {seconds:.2f} s"
            )
            for window in SIZES if program else ():
                seen = in_browser(program, page, window)
                told = ", ".join(f"{name} {value:.0f} ms" for name, value in seen.items())
                print(f"          {window[0]} x {window[1]}: {told}")


if __name__ == "__main__":
    main()
