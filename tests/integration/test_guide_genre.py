"""The code of docs/genre.md runs as it stands, in order."""

import re
from pathlib import Path

import numpy as np
import pytest

from evaluation.genre.splits import SPLITS

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "genre.md"


@pytest.mark.slow
def test_the_guide_s_code_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    bright = np.arange(24) % 2
    images = rng.normal(0, 0.1, (24, 32, 80)) + bright[:, None, None] * 0.5
    np.savez(
        tmp_path / "logmel.npz",
        images=images.astype(np.float32),
        genre=np.array(["jazz", "rock"])[bright],
        artist=np.array([f"artist {number // 3}" for number in range(24)]),
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert names["result"].mean["precision@1"] == 1.0
    assert Path("report/genre.html").is_file()
    assert len(list(Path("report/folds").iterdir())) == 2 * 2 * 3


def test_the_guide_names_every_split():
    text = GUIDE.read_text(encoding="utf-8")
    for name in SPLITS:
        assert f"| `{name}`" in text
