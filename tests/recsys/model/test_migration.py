"""Models of older formats: they open, say what they said, and are saved in the format of today."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.errors import ArtifactError
from recsys import Recommender
from recsys.model import artifact
from tests.helpers.folders import file_contents

MODELS = Path(__file__).parent / "models"
"""For each format there has been, models as they were saved, and what they answered."""


@pytest.fixture(params=sorted(path.name for path in MODELS.iterdir()))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A model of an older format, of the test's own, and its answers."""
    folder = MODELS / request.param
    place = Path(shutil.copytree(folder / "model", tmp_path / "model"))
    return place, json.loads((folder / "answers.json").read_text(encoding="utf-8"))


def check_list(found: Any, wanted: list[list[Any]]) -> None:
    assert found["item_id"].tolist() == [item for item, _ in wanted]
    np.testing.assert_allclose(found["score"], [score for _, score in wanted], atol=1e-4)


def check(recommender: Recommender, wanted: dict[str, Any]) -> None:
    for user, answer in wanted["users"].items():
        check_list(recommender.recommend(user, k=8), answer)
    history = recommender.recommend(history={"item-1": 3, "cold-38": 1}, k=8)
    check_list(history, wanted["history"])
    similar = recommender.similar("new-1", k=5)
    check_list(similar, wanted["similar"])
    assert similar[["title", "artist", "genre"]].to_numpy().tolist() == wanted["texts"]
    assert recommender.info["onboarded"] == len(wanted["onboarded"])
    library = recommender._fitted()
    assert [song.item_id for song in library.catalog.onboarded()] == wanted["onboarded"]


def test_an_old_model_answers_as_it_did_and_its_folder_stays(
    old: tuple[Path, dict[str, Any]],
) -> None:
    folder, wanted = old
    before = file_contents(folder)
    check(Recommender.load(folder), wanted)
    assert file_contents(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_old_model_is_saved_in_the_format_of_today(
    old: tuple[Path, dict[str, Any]], tmp_path: Path, elsewhere: bool
) -> None:
    folder, wanted = old
    target = tmp_path / "new" if elsewhere else folder
    Recommender.load(folder).save(target)
    assert artifact.read_manifest(target)["format_version"] == artifact.FORMAT_VERSION
    check(Recommender.load(target), wanted)


def test_an_old_model_takes_new_songs(old: tuple[Path, dict[str, Any]]) -> None:
    folder, wanted = old
    recommender = Recommender.load(folder)
    width = recommender._fitted().state.embeddings.shape[1]
    recommender.onboard(embedding=np.ones(width), item_id="after", title="After")
    loaded = Recommender.load(folder)
    assert loaded.info["onboarded"] == len(wanted["onboarded"]) + 1
    assert loaded.recommend("user-0", k=1, only=["after"])["title"].tolist() == ["After"]


@pytest.mark.slow
def test_every_damage_to_an_old_model_is_noticed(old: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = old
    for path in sorted(folder.rglob("*.*")):
        original = path.read_bytes()
        flipped = bytearray(original)
        flipped[len(original) // 2] ^= 1
        damages = [original[:-1], original + b"\0", None]
        if path.name != "catalog.sqlite":  # of which a middle may hold nothing, once it has changed
            damages.append(bytes(flipped))
        for content in damages:
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(ArtifactError, match=re.escape(path.name)):
                Recommender.load(folder)
        path.write_bytes(original)
    Recommender.load(folder)
