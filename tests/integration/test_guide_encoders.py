"""The code of docs/encoders.md runs as it stands, and gives what the page says."""

import json
import re
from pathlib import Path

import pytest

import datasets.demo
from datasets.demo.make import make_demo
from recsys import Recommender
from tests.helpers.recommenders import QUICK

pytestmark = pytest.mark.usefixtures("decoded_here")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "encoders.md"


@pytest.mark.slow
def test_the_guide_s_code_runs(tmp_path: Path, monkeypatch) -> None:
    fit = Recommender.fit

    def fit_quickly(recommender: Recommender, *arguments: object, **named: object) -> Recommender:
        recommender.config = QUICK
        return fit(recommender, *arguments, **named)

    def few_songs(folder: str, *, n_songs: int):
        sizes = {"n_songs": n_songs, "n_artists": 9, "n_listeners": 30}
        return make_demo(Path(folder), **sizes, workers=1, progress=False)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Recommender, "fit", fit_quickly)
    monkeypatch.setattr(datasets.demo, "make_demo", few_songs)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{GUIDE.name}, block {number}", "exec"), names)
    assert names["model"].info["encoder"]["method"] == "the function loudness"
    heads = "heads for genre on the function loudness, frozen"
    assert names["on_top"].info["encoder"]["method"] == heads
    assert names["vectors"].shape == (60, 24 + 128)
    assert names["tuned"].taste_dimension_ == 16
    assert names["tagged"].heads_["energy"].tolist() == ["calm", "loud"]
    assert names["found"].embeddings.shape == (4, 24)
    song = names["music"].recording_paths()[0]
    assert len(names["with_it"].similar(song, 3)) == 3  # it hears


def test_the_guide_names_every_setting() -> None:
    from embedding.encoders.loading import ENCODER_NAMES
    from embedding.encoders.own.onnx import OnnxSettings, OnnxTag

    text = GUIDE.read_text(encoding="utf-8")
    for name in (*OnnxSettings.model_fields, *OnnxTag.model_fields):
        assert f"`{name}`" in text, name
    for name in ENCODER_NAMES:
        assert f"--encoder {name}" in text, name
    (settings,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert OnnxSettings.from_json(json.loads(settings)).tags["mood"].values == ("calm", "wild")
