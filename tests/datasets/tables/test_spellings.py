"""Spellings of one id or label are one, with a warning; what only looks alike stays apart."""

import warnings
from typing import Any

import pandas as pd
import pytest

from datasets.errors import DataWarning, UnknownItemError
from datasets.music import MusicDataset

NFC, NFD = "Beyonc\u00e9", "Beyonce\u0301"
COLUMNS = {"title": "", "artist": "", "album": "", "genre": ""}


def items(ids: Any = ("a", "b", "c"), **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"item_id": list(ids), **COLUMNS, **more})


def plays(users: Any, ids: Any) -> pd.DataFrame:
    return pd.DataFrame({"user_id": list(users), "item_id": list(ids), "weight": 1.0})


@pytest.mark.parametrize("column", ["genre", "mood"])
@pytest.mark.parametrize("other", ["Rock", " rock", "rock\t", "ROCK", "\uff52\uff4f\uff43\uff4b"])
def test_labels_that_differ_in_case_width_or_spaces_are_one(column: str, other: str) -> None:
    with pytest.warns(DataWarning, match=f"items, column '{column}': .*1 rows.* as 'rock'"):
        found = MusicDataset(items(**{column: ["rock", other, "rock"]}))
    assert found.items[column].tolist() == ["rock"] * 3
    with pytest.warns(DataWarning):
        found = MusicDataset(items(**{column: ["rock", other, other]}))
    assert found.items[column].tolist() == [other.strip()] * 3


def test_two_forms_of_an_accent_are_one_label() -> None:
    for column in ("genre", "artist", "album"):
        with pytest.warns(DataWarning):
            found = MusicDataset(items(**{column: [NFD, NFC, NFC]}))
        assert found.items[column].tolist() == [NFC] * 3


def test_what_is_one_spelling_is_kept_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = MusicDataset(
            items(
                genre=[" Rock ", " Rock ", "Pop"], artist=["AIR", "Air", "air"],
                title=["A", "a", "A "], album=["X", "x", "y"],
            )
        )  # fmt: skip
    assert found.items["genre"].tolist() == [" Rock ", " Rock ", "Pop"]
    assert found.items["artist"].tolist() == ["AIR", "Air", "air"]


def test_the_genres_of_recordings_are_those_of_the_items(tmp_path: Any) -> None:
    for name in ("1.wav", "2.wav", "3.wav"):
        (tmp_path / name).write_bytes(b"")
    audio = pd.DataFrame(
        {"item_id": ["a", "b", "c"], "path": ["1.wav", "2.wav", "3.wav"], "genre": ["Rock"] * 3}
    )
    with pytest.warns(DataWarning, match="'rock' .2 rows. as 'Rock'"):
        found = MusicDataset(items(genre=["rock", "rock", ""]), audio, root=tmp_path)
    assert found.recording_labels().tolist() == ["Rock"] * 3
    assert found.items["genre"].tolist() == ["Rock", "Rock", ""]


def test_plays_name_items_and_users_in_either_form() -> None:
    table = plays([NFC, NFD, NFC, "u"], ["a", NFD, NFC, "a"])
    with pytest.warns(DataWarning) as told:
        found = MusicDataset(items(["a", NFC]), None, table)
    assert found.interactions["item_id"].tolist() == ["a", NFC, NFC, "a"]
    assert found.interactions["user_id"].tolist() == [NFC, NFC, NFC, "u"]
    assert found.summary()["n_users"] == 2
    messages = [str(one.message) for one in told]
    assert messages == [
        "interactions, column 'user_id': ids are taken for the same text in another Unicode form: "
        r"'Beyonce\u0301' for 'Beyonc\xe9'",
        "interactions, column 'item_id': ids are taken for the same text in another Unicode form: "
        r"'Beyonce\u0301' for 'Beyonc\xe9'",
    ]
    with pytest.warns(DataWarning):  # the items decide, not Unicode
        found = MusicDataset(items(["a", NFD]), None, table)
    assert found.interactions["item_id"].tolist() == ["a", NFD, NFD, "a"]


def test_recordings_name_items_in_either_form(tmp_path: Any) -> None:
    (tmp_path / "1.wav").write_bytes(b"")
    audio = pd.DataFrame({"item_id": [NFD], "path": ["1.wav"]})
    with pytest.warns(DataWarning, match="audio, column 'item_id'"):
        found = MusicDataset(items(["a", NFC]), audio, root=tmp_path)
    assert found.audio["item_id"].tolist() == [NFC]


def test_two_items_that_look_the_same_stay_two_and_are_named() -> None:
    with pytest.warns(DataWarning) as told:
        found = MusicDataset(items([NFC, "a", NFD]), None, plays("uv", [NFC, NFD]))
    assert found.items["item_id"].tolist() == [NFC, "a", NFD]
    assert found.interactions["item_id"].tolist() == [NFC, NFD]
    (message,) = (str(one.message) for one in told)
    assert message.startswith(r"items: items 'Beyonc\xe9' (row 1) and 'Beyonce\u0301' (row 3) are")


def test_case_and_spaces_count_in_ids() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = MusicDataset(
            items(["A", "a", " a"]), None, plays(["U", "u", "u "], ["A", "a", " a"])
        )
    assert found.summary()["n_users"] == 3


def test_items_are_taken_out_by_either_form() -> None:
    dataset = MusicDataset(items([NFC, "b"]))
    with pytest.warns(DataWarning, match="item_ids: "):
        assert dataset.take_items([NFD]).items["item_id"].tolist() == [NFC]
    with pytest.warns(DataWarning):
        assert dataset.drop_items([NFD]).items["item_id"].tolist() == ["b"]
    with pytest.raises(UnknownItemError):
        dataset.take_items(["Beyonce"])
