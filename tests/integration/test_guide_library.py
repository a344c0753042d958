"""The code and the commands of docs/library.md run as they stand, in order."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recsys import Recommender
from tests.helpers.commands import Call
from tests.integration.test_guides import SMALL

pytestmark = pytest.mark.usefixtures("decoded_here")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "library.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder "my-music" and a file "new.wav" in the working directory."""
    names = ["morning", "noon", "evening", "night", "dawn", "dusk"]
    (tmp_path / "my-music").mkdir()
    for number, path in enumerate(
        [*(Path("my-music") / f"{n}.wav" for n in names), Path("new.wav")]
    ):
        noise = np.random.default_rng(number).standard_normal(2 * 11025)
        tone = np.sin(2 * np.pi * (200 + 90 * number) * np.arange(len(noise)) / 11025)
        soundfile.write(tmp_path / path, 0.3 * tone + 0.02 * number * noise, 11025)
    monkeypatch.chdir(tmp_path)
    fit = Recommender.fit

    def fit_small(recommender: Recommender, *arguments: object, **named: object) -> Recommender:
        recommender.config = recommender.config.replace(**SMALL)
        return fit(recommender, *arguments, **named)

    monkeypatch.setattr(Recommender, "fit", fit_small)
    return tmp_path


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)


@pytest.mark.slow
def test_the_code(place: Path) -> None:
    names: dict[str, object] = {}
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        exec(compile(block, GUIDE.name, "exec"), names)
    model = names["recommender"]
    assert isinstance(model, Recommender)
    assert list(model.info["blend"]["warm"]) == ["als", "fm", "ease", "content", "popularity"]
    assert model.recommend("somebody", k=2).attrs["fallback"] == "popular"
    assert model.info["encoder"]["method"] == "statistics of sound"
    assert (place / "model" / "manifest.json").is_file()


@pytest.mark.slow
def test_the_commands(place: Path, call: Call) -> None:
    lines = [line.partition("#")[0] for block in blocks("bash") for line in block.splitlines()]
    for line in filter(str.strip, lines):
        said = call(*shlex.split(line)[1:])
        assert said.code == 0, (line, said.err)
    assert (place / "mornings.m3u8").read_text(encoding="utf-8").startswith("#EXTM3U")
