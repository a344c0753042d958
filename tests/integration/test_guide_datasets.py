"""The code in docs/datasets.md runs as it stands, and its tables name every public data set."""

import re
from pathlib import Path

import pandas as pd
import pytest

from datasets.music import MusicDataset
from datasets.public.loaders.gtzan import BROKEN, GTZAN_GENRES
from datasets.public.registry import NAMES, public_dataset
from embedding import SongEncoder
from recsys import Recommender, RecommenderConfig

pytestmark = pytest.mark.usefixtures("decoded_here")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    said = capsys.readouterr().out
    promised = re.findall(r"^(?:print\(.*\)  )?# ([<({].*)$", "".join(blocks), re.MULTILINE)
    assert promised == said.splitlines()

    # What the page says in words: a network that learned from tagged recordings serves a
    # recommender that learned from plays, and tagged recordings can be onboarded.
    music, encoder = names["music"], names["encoder"]
    assert isinstance(music, MusicDataset)
    assert isinstance(encoder, SongEncoder)
    known = music.drop_items(["song 6", "song 7"])
    plays = pd.DataFrame(
        [(f"u{user}", f"song {song}", 1) for user in range(12) for song in range(6)
         if (user + song) % 2],
        columns=["user_id", "item_id", "weight"],
    )  # fmt: skip
    played = MusicDataset(known.items, known.audio, plays, known.root)
    config = RecommenderConfig(threads=1, tracking=False, sources=("als", "content"))
    recommender = Recommender(config).fit(played, encoder=encoder)
    added = recommender.onboard_many(music.take_items(["song 6", "song 7"]))
    assert added["status"].tolist() == ["heard", "heard"]
    assert "song 7" in recommender.recommend("u0", k=8)["item_id"].tolist()


def test_every_set_is_in_both_tables() -> None:
    first, second = re.findall(
        r"^\| name \|.*\n\|-.*\n((?:\|.*\n)+)", PAGE.read_text("utf-8"), re.M
    )
    for table in (first, second):
        cells = " ".join(line.split("|")[1] for line in table.splitlines())
        told = re.findall(r"`([^`]+)`", cells)
        for name in NAMES:
            stem = name.rpartition("-")[0]
            # As in `movielens-100k`, `-1m` or `fma-*`.
            assert {name, f"{stem}-*", name.removeprefix(stem)} & set(told), name


def test_gtzan_has_as_many_clips_in_the_list_as_on_the_page() -> None:
    published = 100 * len(GTZAN_GENRES)
    counted = f"published, {published - len(BROKEN):,} without the broken one"
    (row,) = re.findall(r"^\| `gtzan` \| 10 .*$", PAGE.read_text("utf-8"), re.M)
    for text in (row, public_dataset("gtzan").description):
        assert f"{published:,} clips" in text
        assert counted in text
