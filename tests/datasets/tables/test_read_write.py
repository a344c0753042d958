"""Parquet tables: columns of every type, and every kind of damage."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.folder import load_folder, save_folder
from tests.helpers.folders import assert_same, make, message_of, message_or_none


def write(folder: Path, **tables: Any) -> Path:
    """As ``folders.make`` without audio, and the given tables as Parquet: Arrow, frame or bytes."""
    make(folder, audio=None, **dict.fromkeys(tables.keys() - {"audio"}))
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if isinstance(table, bytes):
            path.write_bytes(table)
        elif isinstance(table, pd.DataFrame):
            table.to_parquet(path)
        else:
            pq.write_table(table, path)
    return folder


def item_table(ids: Any, **more: Any) -> pa.Table:
    blank = pa.array([None] * len(ids), type=pa.string())
    texts = dict.fromkeys(["title", "artist", "album", "genre"], blank)
    return pa.table({"item_id": ids, **texts, **more})


def play_table(**changes: Any) -> pa.Table:
    return pa.table({"user_id": ["u", "v"], "item_id": ["a", "b"], "weight": [1, 2]} | changes)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 10**18 + 1]),
        pa.array(["7", "1000000000000000001"]),
        pa.array(["7", "1000000000000000001"], type=pa.large_string()),
        pa.array(["7", "1000000000000000001"]).dictionary_encode(),
        pa.chunked_array([pa.array([x]).dictionary_encode() for x in ["7", f"{10**18 + 1}"]]),
    ],
)
def test_ids_of_any_type(tmp_path: Path, ids: Any) -> None:
    plays = play_table(user_id=ids, item_id=ids)
    dataset = load_folder(write(tmp_path, items=item_table(ids), interactions=plays))
    for values in (dataset.items["item_id"], dataset.interactions["user_id"]):
        assert list(values) == ["7", "1000000000000000001"]
        assert values.dtype == object
    assert list(dataset.items["title"]) == ["", ""]


def test_tags_of_any_type(tmp_path: Path) -> None:
    tags = {
        "year": pa.array([1959, None], type=pa.int32()),
        "tempo": [120.5, None],
        "live": [True, None],
        "day": pa.array([0, None], type=pa.date32()),
        "key": pa.array(["C", None]).dictionary_encode(),
        "none": pa.nulls(2),
    }
    dataset = load_folder(write(tmp_path, items=item_table(["a", "b"], **tags)))
    assert dataset.tags == list(tags)
    assert list(dataset.items.iloc[0, 5:]) == ["1959", "120.5", "true", "1970-01-01", "C", ""]
    assert list(dataset.items.iloc[1, 5:]) == [""] * 6


def test_row_numbers_that_pandas_saved_are_no_tag(tmp_path: Path) -> None:
    frame = item_table(["a", "x", "b"]).to_pandas()
    dataset = load_folder(write(tmp_path / "cut", items=frame[frame.item_id != "x"]))
    assert dataset.tags == []
    dataset = load_folder(write(tmp_path / "index", items=frame.set_index("item_id")))
    assert list(dataset.items["item_id"]) == ["a", "x", "b"]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1706725805, 1706725805]),
        pa.array([1706725805.0, 1706725805.0]),
        pa.array(["2024-01-31T18:30:05", "2024-01-31T19:30:05+01:00"]),
        pa.array([1706725805] * 2, type=pa.timestamp("s")),
        pa.array([1706725805] * 2, type=pa.timestamp("s", tz="Europe/Berlin")),
        pa.array([1706725805 * 10**9] * 2, type=pa.timestamp("ns")),
    ],
)
def test_times_of_any_type(tmp_path: Path, times: Any) -> None:
    dataset = load_folder(write(tmp_path, interactions=play_table(timestamp=times)))
    assert list(dataset.interactions["timestamp"]) == [pd.Timestamp("2024-01-31T18:30:05")] * 2


@pytest.mark.parametrize("kind", [pa.int8(), pa.float32(), pa.decimal128(9, 2), pa.uint64()])
def test_weights_of_any_type(tmp_path: Path, kind: Any) -> None:
    plays = play_table(weight=pa.array([1, 2], type=pa.int8()).cast(kind))
    weights = load_folder(write(tmp_path, interactions=plays)).interactions["weight"]
    assert list(weights) == [1.0, 2.0]
    assert weights.dtype == np.float64


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"", "interactions.parquet is not a Parquet file that can be read"),
        (b"user_id,item_id,weight\n", "interactions.parquet is not a Parquet file"),
        (pa.table({"user_id": ["u"]}), "columns 'item_id', 'weight' missing; there are: 'user"),
        (pa.table({}), "columns 'user_id', 'item_id', 'weight' missing; there are: none"),
        ({"weight": [1, None]}, "row 2, column 'weight': is missing"),
        ({"weight": [1, -2]}, "row 2, column 'weight': -2 is negative"),
        ({"weight": [1, float("nan")]}, "row 2, column 'weight': is missing or NaN"),
        ({"weight": [1, float("inf")]}, "row 2, column 'weight': is infinite"),
        ({"weight": ["1", "x"]}, "row 2, column 'weight': 'x' is not a number"),
        ({"weight": [[1], [2]]}, "row 1, column 'weight': is of type"),
        ({"item_id": ["a", "x"]}, "row 2, column 'item_id': 'x' is not among the items"),
        ({"item_id": ["a", None]}, "row 2, column 'item_id': is blank"),
        ({"item_id": [1.0, 2.0]}, "row 1, column 'item_id': 1.0 is of type float"),
        ({"item_id": [b"a", b"b"]}, "row 1, column 'item_id': b'a' is of type bytes"),
        ({"item_id": [{"x": 1}, {"x": 2}]}, "row 1, column 'item_id': is of type dict"),
        ({"user_id": pa.nulls(2)}, "row 1, column 'user_id': is blank (1 more such row)"),
        ({"user_id": ["u", "\0"]}, "row 2, column 'user_id': '\\x00' holds a NUL"),
        ({"timestamp": [1, None]}, "row 2, column 'timestamp': is missing"),
        ({"timestamp": ["2024", "x"]}, "row 2, column 'timestamp': 'x' is not a time"),
    ],
)
def test_damage_is_named(tmp_path: Path, table: Any, message: str) -> None:
    content = play_table(**table) if isinstance(table, dict) else table
    error = message_of(write(tmp_path, interactions=content))
    assert error.startswith("interactions.parquet")
    assert message in error


def test_a_file_cut_short(tmp_path: Path) -> None:
    folder = write(tmp_path, interactions=play_table())
    path = folder / "interactions.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert "interactions.parquet is not a Parquet file that can be read" in message_of(folder)


@pytest.mark.slow
def test_a_byte_changed(tmp_path: Path) -> None:
    """Values in a file that we wrote have a checksum: damage is noticed or does nothing."""
    dataset = load_folder(make(tmp_path / "source", audio=None))
    folder = save_folder(dataset, tmp_path / "saved", "parquet")
    path = folder / "interactions.parquet"
    whole = path.read_bytes()
    outcomes = {"noticed": 0, "harmless": 0}
    for position in range(0, len(whole), 7):
        damaged = bytes([whole[position] ^ 0xFF])
        path.write_bytes(whole[:position] + damaged + whole[position + 1 :])
        message = message_or_none(folder)
        if message is None:
            assert_same(load_folder(folder), dataset)
        outcomes["harmless" if message is None else "noticed"] += 1
        assert message is None or "interactions.parquet" in message
    assert outcomes["noticed"] > outcomes["harmless"] / 4 > 0
