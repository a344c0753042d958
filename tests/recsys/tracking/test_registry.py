"""Models of MLflow, fetched to be opened, served and changed."""

import os
import shutil
from pathlib import Path

import mlflow
import pytest

from datasets.errors import ArtifactError, InvalidArgumentError
from recsys import Recommender
from recsys.tracking.model import log_model
from recsys.tracking.registry import fetch_model, is_logged

pytestmark = pytest.mark.slow


@pytest.fixture
def saved(example_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(example_model, tmp_path / "my model")
    return tmp_path / "my model"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_registered_model(saved: Path, place: Path, data: Path) -> None:
    assert log_model(saved, register="my songs") == "models:/my songs/1"
    folder = fetch_model("models:/my songs/1")
    assert folder.is_relative_to(data / "coldtune" / "models")
    copy = Recommender.load(folder)
    expected = Recommender.load(saved)
    same = [one.recommend("u1", k=5)["item_id"].tolist() for one in (copy, expected)]
    assert same[0] == same[1]
    # What comes to the copy is there the next time, and not in another version.
    copy.remove("s3")
    assert fetch_model("models:/my songs/1") == folder
    assert Recommender.load(folder).info["now"]["items"] == 29
    assert log_model(saved, register="my songs") == "models:/my songs/2"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    client.set_registered_model_alias("my songs", "best", "1")
    assert fetch_model("models:/my songs@best") == folder
    newest = fetch_model("models:/my songs/latest")
    assert newest == fetch_model(str(Path("models://my songs/2"))) != folder
    assert Recommender.load(newest).info["now"]["items"] == 30
    # Elsewhere, by name; nothing else is left.
    assert fetch_model("models:/my songs/2", place / "copy") == place / "copy"
    assert sorted(one.name[:2] for one in (data / "coldtune" / "models").iterdir()) == ["my", "my"]
    assert "MLFLOW_TRACKING_URI" not in os.environ
    for uri, said in (
        ("models:/my songs/9", "cannot be fetched"),
        ("models:/nothing/1", "cannot be fetched"),
        ("models:/nothing/latest", "there is no model of this name"),
        ("models:/my songs@none", "cannot be fetched"),
        ("models:/my songs/newest", "a version is a number or latest"),
    ):
        with pytest.raises(ArtifactError, match=said) as raised:
            fetch_model(uri)
        assert "\n" not in str(raised.value)


def test_without_a_store_none_is_made(place: Path) -> None:
    (place / "mlflow.db").unlink()
    with pytest.raises(ArtifactError, match=r"there is no mlflow\.db in"):
        fetch_model("models:/songs/1")
    assert list(place.iterdir()) == []


def test_a_folder_is_no_model_of_mlflow() -> None:
    assert not is_logged(Path("models/songs"))
    with pytest.raises(InvalidArgumentError, match="models:/NAME/VERSION"):
        fetch_model("songs")
