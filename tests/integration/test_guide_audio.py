"""The code of docs/audio.md runs as it stands, and gives what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "audio.md"


@pytest.mark.slow
def test_the_guide_s_code_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{GUIDE.name}, block {number}", "exec"), names)
    assert names["vectors"].shape == (8, 192)
    assert names["scores"].shape == (24, 2)
    np.testing.assert_array_equal(names["same"], names["y"])
    np.testing.assert_allclose(names["vector"][0], names["vectors"][0], rtol=1e-3)
    assert len(names["windows"]) == 5
    assert names["waveform"].samples.shape == (2, 110_250)
    assert names["waveform"].start == 0.5
    assert Path("chroma.png").read_bytes().startswith(b"\x89PNG")


def test_the_guide_names_every_setting_and_part() -> None:
    from embedding.audio.config import Position, SnippetConfig

    text = GUIDE.read_text(encoding="utf-8")
    for name in (*SnippetConfig.model_fields, *Position.__args__):
        assert f"`{name}`" in text, name
