"""The code in README.md and the guides runs as it stands, block after block."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.demo.make import make_demo, write_new_song
from embedding import EncoderConfig, SnippetConfig, SongEncoder

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_blocks(page: Path) -> dict[str, object]:
    names: dict[str, object] = {}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    return names


def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "quickstart.md")
    assert len(names["recommender"].recommend(names["user"], k=10)) == 10
    assert (tmp_path / "model" / "manifest.json").is_file()


def test_recommending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "recommending.md")
    assert names["report"].users == names["dataset"].summary()["n_users"]
    assert names["why"].item_id == names["item"]


def test_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "serving.md")
    for who in ("recommender", "reader"):
        found = names[who].recommend("somebody new", k=5)
        assert "fallback" not in found.attrs
        assert not {"new-1", "demo-0001", "demo-0004"} & set(found["item_id"])


def test_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "network.md")
    assert names["encoder"].classes_.tolist() == ["dub", "jazz", "ska"]
    first = names["report"][0]
    assert (first.shape, first.parameters, first.multiply_adds) == ((64, 26, 26), 14464, 9734400)


def test_composition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = rng.random((12, 1, 128, 128), dtype=np.float32)
    config = EncoderConfig(
        architecture="IC(5,5,4)PF(8)O", epochs=1, threads=1, snippet=SnippetConfig(seconds=0.5)
    )
    SongEncoder(config).fit(images, ["jazz", "pop", "rock"] * 4).save("encoder")
    names = run_blocks(ROOT / "docs" / "composition.md")
    assert names["composition"].image.shape == (1, 128, 128)
    assert names["pictures"].shape == (4, 1, 128, 128)
    assert names["sound"].grad.isfinite().all()
    assert (tmp_path / "mix.flac").is_file()


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_demo("demo/catalogue", n_songs=27, n_artists=9, n_listeners=80, progress=False)
    shutil.copy(write_new_song("demo/catalogue"), "new.mp3")
    names = run_blocks(ROOT / "README.md")
    assert names["recommender"].info["onboarded"] == 1
    assert (tmp_path / "model" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
