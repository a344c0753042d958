"""docs/hyperimages.md: its code runs, and its table is the table of transforms."""

import re
from pathlib import Path

import numpy as np
import pytest

from embedding.hyperimage.config import Band, HyperImageConfig
from embedding.transforms.table import TRANSFORMS

PAGE = (Path(__file__).parents[2] / "docs" / "hyperimages.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "hyperimages.md", "exec"), names)
    assert names["S"].shape == (1025, 259)
    assert sorted({note.midi for note in names["notes"]}) == [57, 61, 64]
    assert names["image"].shape == (3, 128, 216)
    assert names["both"].shape == (1, 128, 128)
    assert isinstance(names["found"].images, np.memmap)
    assert names["found"].images.shape == (2, 1, 128, 128)
    assert (names["again"].extracted, names["freed"]) == (0, 0)


def test_its_table() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    table = {cells[0].strip("`"): cells[1:] for cells in rows if len(cells) == 5}
    assert list(table) == list(TRANSFORMS)
    for transform in TRANSFORMS.values():
        title, axis, value, source = table[transform.name]
        assert (title, value, source) == (transform.title, transform.value, transform.source)
        if transform.kind == "picture":
            assert axis.startswith(transform.axis.quantity)
            assert transform.axis.unit in axis
            assert axis.endswith("(log)") == (transform.axis.scale == "log")
        else:
            assert axis == f"({transform.kind})"


def test_it_names_every_setting() -> None:
    for settings in (Band, HyperImageConfig):
        for name in settings.model_fields:
            assert name in PAGE, name
