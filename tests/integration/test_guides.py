"""The code in README.md and the guides runs as it stands, block after block."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import datasets.demo
from datasets.demo.make import make_demo, write_new_song
from datasets.folder import load_folder
from datasets.music import MusicDataset
from embedding import EncoderConfig, SnippetConfig, SongEncoder
from recsys import Recommender

pytestmark = pytest.mark.usefixtures("decoded_here")

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


WEIGHTS = dict.fromkeys(("als", "fm", "ease", "content", "popularity"), 0.2)
SMALL = {
    "threads": 1,
    "als": {"factors": 8, "iterations": 2, "regularization": 0.01},
    "fm": {"components": 8, "epochs": 2},
    "fusion": {"warm": WEIGHTS, "cold": WEIGHTS},
    "encoder": EncoderConfig(
        architecture="IC(5,5,8)PF(16)O",
        epochs=2,
        threads=1,
        snippet=SnippetConfig(seconds=2),
        hyperimage={"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
    ),
}
"""Settings in place of a guide's own: that its code runs is tested, and not how well it learns."""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo catalogue of most guides."""
    folder = tmp_path_factory.mktemp("demo") / "catalogue"
    make_demo(folder, n_songs=27, n_artists=9, n_listeners=80, workers=1, progress=False)
    return folder


@pytest.fixture
def quick(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recommenders are small, and a demo catalogue, of any size, is one that is there already."""
    fit = Recommender.fit

    def fit_small(recommender: Recommender, *arguments: object, **named: object) -> Recommender:
        recommender.config = recommender.config.replace(**SMALL)
        return fit(recommender, *arguments, **named)

    def copy_demo(folder: str, **_named: object) -> MusicDataset:
        shutil.copytree(catalogue, folder)
        return load_folder(folder)

    monkeypatch.setattr(Recommender, "fit", fit_small)
    monkeypatch.setattr(datasets.demo, "make_demo", copy_demo)


def run_blocks(page: Path) -> dict[str, object]:
    names: dict[str, object] = {}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "quickstart.md")
    assert len(names["recommender"].recommend(names["user"], k=10)) == 10
    assert (tmp_path / "model" / "manifest.json").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_recommending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "recommending.md")
    assert names["report"].users == names["dataset"].summary()["n_users"]
    assert names["why"].item_id == names["item"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "serving.md")
    for who in ("recommender", "reader"):
        found = names[who].recommend("somebody new", k=5)
        assert "fallback" not in found.attrs
        assert not {"new-1", "demo-0001", "demo-0004"} & set(found["item_id"])


def test_reliability() -> None:
    run_blocks(ROOT / "docs" / "reliability.md")


@pytest.mark.slow
def test_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "network.md")
    assert names["encoder"].classes_.tolist() == ["dub", "jazz", "ska"]
    first = names["report"][0]
    assert (first.shape, first.parameters, first.multiply_adds) == ((64, 26, 26), 14464, 9734400)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_readme(catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(catalogue, "demo/catalogue")
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
