"""Embeddings in files: the formats, and errors that name the file, the row and the column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.embedding_files import read_embedding_file
from datasets.errors import DataError

IDS = ["a", "007", "ü"]
VECTORS = np.array([[0.5, -1], [2, 1e-3], [np.nan, 3]])


def _write(path: Path) -> Path:
    table = pd.DataFrame(VECTORS, columns=["x", "y"]).assign(item_id=IDS)
    match path.name:
        case "e.npz":
            np.savez(path, item_id=np.array(IDS), embedding=VECTORS)
        case "e.csv":
            table.to_csv(path, index=False)
        case "e.csv.gz":
            table.rename(columns={"item_id": "Item ID"}).to_csv(path, index=False, sep=";")
        case "e.parquet":
            table.to_parquet(path)
        case "index.parquet":
            table.set_index("item_id").to_parquet(path)
        case "lists.parquet":
            pd.DataFrame({"item_id": IDS, "embedding": list(VECTORS)}).to_parquet(path)
    return path


@pytest.mark.parametrize(
    "name", ["e.npz", "e.csv", "e.csv.gz", "e.parquet", "index.parquet", "lists.parquet"]
)
@pytest.mark.filterwarnings("ignore:.*is read as 'item_id'")
def test_every_format_gives_the_same(tmp_path, name):
    frame = read_embedding_file(_write(tmp_path / name))
    assert frame.index.tolist() == IDS
    np.testing.assert_array_equal(frame.to_numpy(), VECTORS)


def test_a_path_may_be_a_text(tmp_path):
    path = _write(tmp_path / "e.npz")
    pd.testing.assert_frame_equal(read_embedding_file(str(path)), read_embedding_file(path))
    for name in ("x" * 300, "x" * 300 + ".npz"):
        with pytest.raises(DataError, match="name too long"):
            read_embedding_file(str(tmp_path / name))


def test_whole_numbers_are_numbers(tmp_path):
    pd.DataFrame({"item_id": [1, 2], "x": [3, 4]}).to_parquet(tmp_path / "e.parquet")
    frame = read_embedding_file(tmp_path / "e.parquet")
    assert frame.index.tolist() == ["1", "2"]
    assert frame["x"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("song,x\na,1\n", "column 'item_id' missing; there are: 'song', 'x'"),
        ("item_id,x\na,1\nb,loud\n", "row 2: 'loud' in column 'x' is no number"),
        ("item_id,x\na,1\na,2\n", "item 'a' has more than one row"),
        ("item_id,x\n", "has no rows"),
        ("item_id\na\n", "has no columns beside item_id"),
        ("item_id,x\n,1\n", "row 1"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, words):
    file = tmp_path / "e.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_embedding_file(file)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"embedding": VECTORS}, "array 'item_id' missing; there are: 'embedding'"),
        ({"item_id": IDS}, "array 'embedding' missing"),
        ({"item_id": IDS, "embedding": VECTORS[:2]}, "not [3] and [2, 2]"),
        ({"item_id": IDS, "embedding": VECTORS[0]}, "not [3] and [2]"),
        ({"item_id": IDS, "embedding": VECTORS.astype(str)}, "not numbers"),
        ({"item_id": ["a", "a", "b"], "embedding": VECTORS}, "item 'a' has more than one row"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, words):
    np.savez(tmp_path / "e.npz", **{name: np.array(value) for name, value in arrays.items()})
    with pytest.raises(DataError) as caught:
        read_embedding_file(tmp_path / "e.npz")
    assert words in str(caught.value)


def test_lists_of_other_lengths(tmp_path):
    frame = pd.DataFrame({"item_id": ["a", "b"], "embedding": [[1.0, 2.0], [1.0]]})
    frame.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="row 2: 1 numbers, and 2 in row 1"):
        read_embedding_file(tmp_path / "e.parquet")


def test_no_file_and_a_folder(tmp_path):
    for name in ("none.npz", "none.csv", "none.parquet"):
        with pytest.raises(DataError, match=r"can.* be read: .*[Nn]o such file"):
            read_embedding_file(tmp_path / name)
    with pytest.raises(DataError, match="this is a folder"):
        read_embedding_file(tmp_path)
    (tmp_path / "text.npz").write_text("item_id")
    with pytest.raises(DataError, match=r"is not an \.npz file"):
        read_embedding_file(tmp_path / "text.npz")


def test_a_folder_of_parts_has_a_row_a_recording(tmp_path):
    rows = [("a", [1.0, 3.0], None), ("b", None, "no such file"), ("a", [3.0, 5.0], None)]
    for number, part in enumerate((rows[:1], rows[1:])):
        frame = pd.DataFrame(part, columns=["item_id", "embedding", "problem"])
        frame.to_parquet(tmp_path / f"part-{number}.parquet")
    found = read_embedding_file(tmp_path)
    assert found.index.tolist() == ["a"]
    assert found.to_numpy().tolist() == [[2.0, 4.0]]
    (tmp_path / "_temporary").mkdir()
    with pytest.raises(DataError, match="is not whole"):
        read_embedding_file(tmp_path)
