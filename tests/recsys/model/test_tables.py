"""The lookup of rows by id: what a pandas.Index answers, from parts that stay on the disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import ArtifactError
from recsys.model import tables as ids
from recsys.model.artifact import load_array, save_array
from recsys.model.tables import (
    HashedIdIndex,
    TextColumn,
    hash_ids,
    read_string_table,
    row_of,
    sorted_hashes,
    text_array,
    write_string_table,
)
from tests.helpers.thorough import times

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def index_of(ids: list[str]) -> HashedIdIndex:
    texts = pd.Series(ids, dtype=object)
    return HashedIdIndex(texts, *sorted_hashes(texts))


@pytest.mark.slow
@settings(max_examples=times(70, 200))
@given(known=st.lists(texts, unique=True, max_size=30), wanted=st.lists(texts, max_size=30))
def test_the_rows_are_those_of_a_pandas_index(known: list[str], wanted: list[str]) -> None:
    wanted += known[::-2]
    expected = pd.Index(known, dtype=object).get_indexer(pd.Index(wanted, dtype=object))
    found = index_of(known).get_indexer(pd.Index(wanted, dtype=object))
    assert found.tolist() == expected.tolist()
    assert found.dtype == np.intp
    for lookup in (index_of(known), pd.Index(known, dtype=object)):
        assert [row_of(lookup, one) for one in wanted] == expected.tolist()


def test_texts_are_read_row_by_row_from_columns_of_any_kind(tmp_path: Path) -> None:
    texts = ["", "a", "Ünï\u2028", "a", "🎵"]
    table = pd.DataFrame({"title": texts})
    write_string_table(tmp_path / "t.arrow", table)
    mapped = read_string_table(tmp_path / "t.arrow")["title"]
    pieces = pd.concat([mapped, mapped], ignore_index=True)
    for column in (mapped, pieces, table["title"], table["title"].astype(object)):
        found = TextColumn(column).take(np.array([4, 0, 2, 2]))
        assert found.tolist() == [texts[row] for row in (4, 0, 2, 2)]
        assert found.dtype == object
        assert TextColumn(column).take(np.array([], np.intp)).tolist() == []
    for some in (texts, [""], []):
        own = np.array([*some, None], object)[:-1]
        given, inferred = pd.DataFrame({"a": text_array(own)}), pd.DataFrame({"a": own})
        pd.testing.assert_frame_equal(given, inferred)


def test_ids_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def three_hashes(given: object) -> np.ndarray:
        return np.array([len(one) % 3 for one in given], np.uint64)  # type: ignore[attr-defined]

    monkeypatch.setattr(ids, "hash_ids", three_hashes)
    known = ["", "a", "b", "cc", "dd", "ee", "fff", "gggg"]
    lookup = index_of(known)
    assert lookup.get_indexer([*known, "x", "xx", "xxx"]).tolist() == [*range(8), -1, -1, -1]
    rows = [lookup.row(one) for one in [*known, "x", "xx", "xxx"]]
    assert rows == [*range(8), -1, -1, -1]


def test_what_is_no_text_is_not_there() -> None:
    lookup = index_of(["1", "nan", "None"])
    assert lookup.get_indexer([1, None, float("nan"), "1", b"1"]).tolist() == [-1, -1, -1, 0, -1]
    assert [row_of(lookup, one) for one in (1, None, "1", b"1")] == [-1, -1, 0, -1]
    assert lookup.get_indexer([]).tolist() == []
    assert index_of([]).get_indexer(["a"]).tolist() == [-1]


def test_hashes_are_the_same_on_every_machine() -> None:
    # BLAKE2b with a digest of 8 bytes, as b2sum -l 64 prints it, read as little-endian.
    assert hash_ids(["", "abc", "é"]).tolist() == [
        int.from_bytes(bytes.fromhex(digest), "little")
        for digest in ("e4a6a0577479b2b4", "d8bb14d833d59559", "cb1abf8beff3192f")
    ]


def test_mapped_from_files(tmp_path: Path) -> None:
    known = ["a", "", "음악", "x" * 1000, "A"]
    write_string_table(tmp_path / "t.arrow", pd.DataFrame({"item_id": known, "title": known[::-1]}))
    for name, array in zip(("hashes", "rows"), sorted_hashes(known), strict=True):
        save_array(tmp_path, name, array)
    table = read_string_table(tmp_path / "t.arrow")
    assert table["title"].iloc[[2, 0]].to_numpy(dtype=object).tolist() == ["음악", "A"]
    parts = [load_array(tmp_path, name) for name in ("hashes", "rows")]
    assert all(isinstance(part.base, np.memmap) for part in parts)
    lookup = HashedIdIndex(table["item_id"], *parts)
    assert lookup.get_indexer(["A", "b", "음악", ""]).tolist() == [4, -1, 2, 1]
    assert [*lookup] == known
    assert (len(lookup), lookup[3]) == (5, "x" * 1000)
    assert lookup[np.array([4, 0])].tolist() == ["A", "a"]
    assert lookup[1:3].tolist() == ["", "음악"]


def test_parts_that_do_not_fit_are_refused() -> None:
    hashes, rows = sorted_hashes(["a", "b"])
    with pytest.raises(ValueError, match="does not fit"):
        HashedIdIndex(pd.Series(["a"], dtype=object), hashes, rows)


def test_no_columns_and_no_rows(tmp_path: Path) -> None:
    write_string_table(tmp_path / "t.arrow", pd.DataFrame({"item_id": []}, dtype=object))
    assert read_string_table(tmp_path / "t.arrow")["item_id"].tolist() == []


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"nonsense" * 100])
def test_a_file_that_is_no_table_of_texts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.arrow").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"t\.arrow: cannot be read"):
        read_string_table(tmp_path / "t.arrow")
