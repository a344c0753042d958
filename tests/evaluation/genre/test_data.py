from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import DataError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.image_arrays import ImageArrays
from datasets.tables.values import object_array
from embedding.network.config import EncoderConfig
from evaluation.genre.data import cut_windows, from_arrays, from_dataset

PATENT, MODERN = EncoderConfig(), EncoderConfig(window=8)


def arrays(images, ids=None, labels=None, groups=None):
    n = len(images)
    return ImageArrays(
        images,
        object_array(ids or [f"s{number}" for number in range(n)]),
        object_array(labels or ["a", "b"] * (n // 2)),
        None if groups is None else object_array(groups),
        {},
    )


def test_windows_are_evenly_spaced_from_the_first_column_to_the_last():
    images = np.arange(2 * 10).reshape(2, 1, 1, 10)
    cut, owner = cut_windows(images, 4, 3)
    assert cut[:, 0, 0, 0].tolist() == [0, 3, 6, 10, 13, 16]
    assert cut[2, 0, 0].tolist() == [6, 7, 8, 9]
    assert owner.tolist() == [0, 0, 0, 1, 1, 1]
    assert cut_windows(images, 4, 1)[0][:, 0, 0, 0].tolist() == [3, 13]  # the middle
    assert len(cut_windows(images, 4, None)[0]) == 2 * 4  # half overlapping
    assert len(cut_windows(images, 10, None)[0]) == 2
    assert cut_windows(images, None, None)[0] is images
    for window, windows in ((11, 1), (0, 1), (4, 0)):
        with pytest.raises(InvalidArgumentError, match="window"):
            cut_windows(images, window, windows)


def test_bytes_become_shares_and_channels_are_kept():
    images = np.full((2, 3, 12, 16), 255, dtype=np.uint8)
    material = from_arrays(arrays(images), PATENT)
    assert material.images.dtype == np.float32
    assert material.images.shape == (2, 3, 12, 16)
    assert (material.images == 1).all()
    floats = from_arrays(arrays(np.full((2, 12, 16), 3.5)), PATENT)
    assert floats.images.shape == (2, 1, 12, 16)
    assert (floats.images == 3.5).all()


def test_wide_images_are_cut_unless_the_network_takes_windows_itself():
    wide = np.zeros((4, 12, 40), dtype=np.float32)
    cut = from_arrays(arrays(wide), PATENT)
    assert cut.images.shape == (4 * 6, 1, 12, 12)
    assert cut.recording.tolist() == np.repeat(range(4), 6).tolist()
    assert cut.sources["windows"] == "6 of 12 columns from each image of 40"
    assert from_arrays(arrays(wide), PATENT, window=20, windows=2).images.shape[0] == 8
    wide[:, :, 0] = 1
    middle = from_arrays(arrays(wide), PATENT, window=8, windows=1)
    assert (middle.window_statistics[:, 0] == 0).all()
    np.testing.assert_allclose(middle.statistics[:, 0], 1 / 40)
    whole = from_arrays(arrays(wide), MODERN)
    assert whole.images.shape == (4, 1, 12, 40)
    assert whole.sources["windows"] == "whole images of 40 columns, 8 at a time"
    with pytest.raises(InvalidArgumentError, match="--windows needs --window"):
        from_arrays(arrays(wide), MODERN, windows=3)


def test_rows_of_one_id_are_windows_of_one_recording():
    images = np.zeros((4, 12, 12), dtype=np.float32)
    images[1:3] = 1
    ids = ["y", "x", "x", "y"]
    material = from_arrays(arrays(images, ids, ["a", "b", "b", "a"], ["A", "", "", "A"]), PATENT)
    assert material.names.tolist() == ["x", "y"]
    assert material.recording.tolist() == [1, 0, 0, 1]
    assert material.labels.tolist() == ["b", "a"]
    assert material.artists.tolist() == ["x", "A"]  # one that is unknown stands for itself
    np.testing.assert_allclose(material.statistics[0], material.window_statistics[1])
    with pytest.raises(DataError, match="'x' has two values for its label: 'b' and 'a'"):
        from_arrays(arrays(images, ids, ["a", "b", "a", "a"]), PATENT)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three items by two artists, one with two recordings, and one file that is no sound."""
    for number in range(3):
        tone = 0.5 * np.sin(np.arange(3 * 8000) * 0.1 * (number + 1))
        soundfile.write(tmp_path / f"{number}.wav", tone, 8000)
    (tmp_path / "3.wav").write_text("no sound")
    items = {"item_id": list("xyz"), "title": ["X", "", "Z"], "artist": ["A", "A", ""]}
    pd.DataFrame({**items, "album": "", "genre": ["a", "b", "a"], "mood": "calm"}).to_csv(
        tmp_path / "items.csv", index=False
    )
    audio = {"item_id": list("xxyz"), "path": [f"{number}.wav" for number in range(4)]}
    pd.DataFrame(audio).to_csv(tmp_path / "audio.csv", index=False)
    plays = {"user_id": ["u"], "item_id": ["x"], "weight": [1]}
    pd.DataFrame(plays).to_csv(tmp_path / "interactions.csv", index=False)
    return tmp_path


@pytest.mark.slow
def test_recordings_of_a_data_set(folder):
    config = EncoderConfig(snippet={"seconds": 1.0}, hyperimage={"sample_rate": 8000})
    material = from_dataset(load_folder(folder), config, windows=2, workers=0)
    assert material.images.shape[0] == 3 * 2
    assert material.recording.tolist() == [0, 0, 1, 1, 2, 2]
    assert material.names.tolist() == ["X (0.wav)", "X (1.wav)", "y", "Z"]
    assert material.songs.tolist() == list("xxyz")
    assert material.artists.tolist() == ["A", "A", "A", "z"]
    assert material.labels.tolist() == list("aaba")
    assert material.window_statistics.shape == (6, 60)
    assert np.isnan(material.statistics[3]).all()
    assert len(material.notes) == 1
    assert "3.wav" in material.notes[0]
    mood = from_dataset(load_folder(folder), config, tag="mood", workers=0)
    assert set(mood.labels) == {"calm"}
    assert mood.label_plural == "values of “mood”"


def test_a_data_set_without_sound(folder):
    (folder / "audio.csv").unlink()
    with pytest.raises(DataError, match="the data set has no recordings"):
        from_dataset(load_folder(folder), PATENT)
