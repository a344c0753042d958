"""Saving: what is saved loads the same, and nothing is lost when it fails."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import folder as folder_module
from datasets.errors import DataError, InvalidArgumentError
from datasets.folder import load_folder, save_folder
from datasets.music import MusicDataset
from tests.helpers.folders import ITEMS, assert_same, make, message_of


@pytest.fixture
def dataset(tmp_path: Path) -> MusicDataset:
    plays = "user_id,item_id,weight,timestamp\nu,a,0.1,1.5\nv,b,1e300,2024-01-31\n"
    return load_folder(make(tmp_path / "source", interactions=plays))


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_what_is_saved_loads_the_same(dataset: MusicDataset, tmp_path: Path, format: Any) -> None:
    (tmp_path / "source" / "a.wav").write_bytes(b"sound")
    folder = save_folder(dataset, tmp_path / "new" / "saved", format)
    assert_same(load_folder(folder), dataset)
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.wav", f"audio.{format}", f"interactions.{format}", f"items.{format}",
    ]  # fmt: skip
    assert (folder / "a.wav").read_bytes() == b"sound"


def test_csv_is_as_a_person_would_write_it(dataset: MusicDataset, tmp_path: Path) -> None:
    folder = save_folder(dataset.take_interactions([0]), tmp_path / "saved")
    assert (folder / "items.csv").read_text() == ITEMS
    assert (folder / "interactions.csv").read_text() == (
        "user_id,item_id,weight,timestamp\nu,a,0.1,1970-01-01T00:00:01.500000000\n"
    )


def test_no_rows(dataset: MusicDataset, tmp_path: Path) -> None:
    empty = dataset.drop_items(["a"]).take_interactions([])
    for format in folder_module.FORMATS:
        assert_same(load_folder(save_folder(empty, tmp_path / format, format)), empty)


def test_a_folder_of_recordings_becomes_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.wav").touch()
    audio = pd.DataFrame({"item_id": ["a"], "path": ["x.wav"]})
    dataset = MusicDataset(pd.read_csv(make(tmp_path / "t") / "items.csv"), audio, root=tmp_path)
    assert_same(load_folder(save_folder(dataset, tmp_path)), dataset)


def test_recordings_without_a_root_are_gathered(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    places = [tmp_path / "1" / "x.wav", tmp_path / "2" / "x.wav", folder / "audio" / "x-2.wav"]
    for place in places:
        place.parent.mkdir(parents=True)
        place.write_text(str(place))
    rows = [0, 1, 2, 1]
    items = load_folder(make(tmp_path / "t")).items
    audio = pd.DataFrame({"item_id": "a", "path": [places[row] for row in rows]})
    saved = load_folder(save_folder(MusicDataset(items, audio), folder))
    assert list(saved.audio["path"]) == [
        "audio/x.wav", "audio/x-3.wav", "audio/x-2.wav", "audio/x-3.wav",
    ]  # fmt: skip
    texts = [path.read_text() for path in saved.recording_paths()]
    assert texts == [str(places[row]) for row in rows]


def test_a_data_set_is_never_written_over(dataset: MusicDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source/items.csv exists; save into a folder that"):
        save_folder(dataset, tmp_path / "source", "parquet")
    assert_same(load_folder(tmp_path / "source"), dataset)


def test_another_recording_is_never_written_over(dataset: MusicDataset, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav").write_bytes(b"another")
    with pytest.raises(DataError, match=r"other/a\.wav exists and is another recording"):
        save_folder(dataset, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["a.wav"]


@pytest.mark.parametrize("failing", ["audio", "interactions"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(
    dataset: MusicDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    error: BaseException,
) -> None:
    write_table = folder_module.write_table

    def fail(table: pd.DataFrame, path: Path) -> None:
        if path.stem == failing:
            raise error
        write_table(table, path)

    monkeypatch.setattr(folder_module, "write_table", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError
    with pytest.raises(expected, match=r"No space left|"):
        save_folder(dataset, tmp_path / "saved")
    assert list((tmp_path / "saved").rglob("*")) == []
    monkeypatch.undo()
    assert_same(load_folder(save_folder(dataset, tmp_path / "saved")), dataset)


def test_a_kill_leaves_nothing_that_loads(dataset: MusicDataset, tmp_path: Path) -> None:
    script = """
import os, sys
from datasets import folder
write_table = folder.write_table
folder.write_table = lambda table, path: (
    os._exit(9) if path.stem == "interactions" else write_table(table, path)
)
folder.save_folder(folder.load_folder(sys.argv[1]), sys.argv[2])
"""
    arguments = [str(tmp_path / "source"), str(tmp_path / "saved")]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert killed.returncode == 9
    assert (tmp_path / "saved" / "items.csv").exists()
    assert "has no interactions.csv" in message_of(tmp_path / "saved")
    assert_same(load_folder(tmp_path / "source"), dataset)


def test_bad_arguments(dataset: MusicDataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"format 'xlsx': csv or parquet is expected"):
        save_folder(dataset, tmp_path / "saved", "xlsx")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is not a folder"):
        save_folder(dataset, tmp_path / "file")
    with pytest.raises(DataError, match="cannot be written"):
        save_folder(dataset, tmp_path / "file" / "below")


def test_a_recording_that_is_gone(dataset: MusicDataset, tmp_path: Path) -> None:
    (tmp_path / "source" / "a.wav").unlink()
    with pytest.raises(DataError, match=r"cannot be written: .*a\.wav"):
        save_folder(dataset, tmp_path / "saved")


# Everything that a CSV or Parquet writer has ever tripped over, and anything else.
nasty = st.one_of(
    st.sampled_from(
        ["NA", "nan", "null", "None", "007", "1e5", "-0", "true", "日本", " x ", "\\N"]
    ),
    st.sampled_from(
        ['"', '""', "'", ",", ";", "\t", "#", "\\", "\ufeff", "\u2028", "\x85", "\x1a"]
    ),
    st.sampled_from(["\r", "\n", "\r\n", "a\rb"]),
)
text = st.one_of(nasty, st.text(max_size=8)).filter(lambda value: "\0" not in value)
identifier = text.filter(lambda value: value != "" and not value.isspace())
weight = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
moment = st.integers(-9 * 10**18, 9 * 10**18).map(lambda ns: np.datetime64(ns, "ns"))


@st.composite
def music(draw: st.DrawFn) -> MusicDataset:
    ids = draw(st.lists(identifier, min_size=1, max_size=5, unique=True))
    standard = {"item_id", "title", "artist", "album", "genre"}
    tags = draw(st.lists(identifier, max_size=2, unique_by=str.strip))
    tags = [tag for tag in tags if tag.strip() not in standard]

    def column(values: st.SearchStrategy[Any], size: int) -> pd.Series:  # type: ignore[type-arg]
        listed = draw(st.lists(values, min_size=size, max_size=size))
        return pd.Series(listed, dtype=object)

    texts = {name: column(text, len(ids)) for name in ["title", "artist", "album", "genre", *tags]}
    size = draw(st.integers(0, 6))
    plays = {
        "user_id": column(identifier, size),
        "item_id": column(st.sampled_from(ids), size),
        "weight": column(weight, size),
    }
    if draw(st.booleans()):
        plays["timestamp"] = column(moment, size)
    return MusicDataset(
        pd.DataFrame({"item_id": pd.Series(ids, dtype=object), **texts}),
        interactions=pd.DataFrame(plays),
    )


@pytest.mark.parametrize("format", ["csv", "parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=music())
def test_any_data_set_survives_saving(
    tmp_path_factory: pytest.TempPathFactory, format: Any, dataset: MusicDataset
) -> None:
    folder = save_folder(dataset, tmp_path_factory.mktemp("any") / "saved", format)
    assert_same(load_folder(folder), dataset)
