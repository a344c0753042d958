"""The code of docs/evaluation.md runs as it stands, in order."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

pytestmark = pytest.mark.usefixtures("decoded_here")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


@pytest.fixture
def my_music(tmp_path, monkeypatch):
    """A folder "my-music" of 18 short recordings by 18 artists in two genres, 20 listeners."""
    folder = tmp_path / "my-music"
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"s{n:02d}" for n in range(18)]
    for n, name in enumerate(names):
        tone = np.sin(np.arange(22050) * (0.02 if n % 2 else 0.2)) * 0.3
        soundfile.write(folder / f"{name}.wav", tone + rng.normal(0, 0.05, 22050), 22050)
    items = pd.DataFrame({"item_id": names, "title": names, "artist": names, "album": ""})
    items["genre"] = ["jazz" if n % 2 else "rock" for n in range(18)]
    items.to_csv(folder / "items.csv", index=False)
    audio = pd.DataFrame({"item_id": names, "path": [f"{name}.wav" for name in names]})
    audio.to_csv(folder / "audio.csv", index=False)
    plays = [(f"u{u}", i, 1) for u in range(20) for i in rng.choice(names, 8, replace=False)]
    frame = pd.DataFrame(plays, columns=["user_id", "item_id", "weight"])
    frame.to_csv(folder / "interactions.csv", index=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_guide_s_code_runs(my_music):
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 8
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert len(names["ndcg"]) == len(names["users"]) == 20
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert set(names["curve"]["fraction"]) == {0.25, 0.5, 1.0}
    assert report["genre"]["facts"]["recordings"] == 18
    assert "Genre from sound" in Path("report.html").read_text(encoding="utf-8")
