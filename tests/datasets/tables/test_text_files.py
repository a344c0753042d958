"""Text files as people have them: compressed, from Excel, in UTF-16, with ids one a line."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from datasets.errors import DataError
from datasets.folder import load_folder
from datasets.tables.read_write import read_ids, read_table

TABLE = 'user_id;item_id;weight\nann;1;2,5\nbob;"2\n3";1\n'
EXPECTED = [["ann", "1", "2.5"], ["bob", "2\n3", "1"]]


def zstandard(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    ".zst": zstandard,
}  # fmt: skip


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("declared", ["", "sep=;\n", "SEP=;\r\n", '"sep=;"\r\n'])
def test_files_of_other_programs(tmp_path: Path, suffix: str, encoding: str, declared: str) -> None:
    path = tmp_path / f"plays.csv{suffix}"
    path.write_bytes(PACKERS[suffix]((declared + TABLE).encode(encoding)))
    table = read_table(path, ["user_id", "item_id", "weight"])
    assert list(table.frame) == ["user_id", "item_id", "weight"]
    assert table.frame.to_numpy().tolist() == EXPECTED
    assert table.origin.place(1) == f"line {4 if declared else 3}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    path = tmp_path / "plays.csv"
    path.write_bytes(TABLE.replace("\n", end).encode())
    found = read_table(path, ["user_id"]).frame.to_numpy().tolist()
    assert found == [["ann", "1", "2.5"], ["bob", f"2{end}3", "1"]]


def test_what_a_file_is_counts_and_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "plays.csv"
    path.write_bytes(gzip.compress(TABLE.encode()))
    assert read_table(path, ["user_id"]).frame.to_numpy().tolist() == EXPECTED
    path.write_bytes((TABLE.replace("2,5", "2")).encode())
    read_table(path, []).frame.to_parquet(tmp_path / "other.parquet")
    path.write_bytes((tmp_path / "other.parquet").read_bytes())
    assert list(read_table(path, []).frame) == ["user_id", "item_id", "weight"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a workbook or archive; save the table as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "is an Excel workbook; save the table as CSV"),
        (b"ARROW1\0\0", "is an Arrow"),
        (b"%PDF-1.7", "is a PDF document"),
        (gzip.compress(TABLE.encode() * 100, mtime=0)[:40], "is damaged: Compressed file ended"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-8] + bytes(8), "is damaged: CRC check failed"),
        (bz2.compress(TABLE.encode())[:20], "is damaged"),
        (lzma.compress(TABLE.encode())[:30], "is damaged"),
        (b"\xff\xfeu\0s", "is not valid UTF-16"),
        (b"", "is empty"),
        (b"sep=;\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
    ],
)
def test_other_files_are_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "plays.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_table(path, ["user_id"])
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("separator", "weights", "expected"),
    [
        (";", ["2,5", "1"], ["2.5", "1"]),
        ("\t", ["2,5", "0,25"], ["2.5", "0.25"]),
        (";", ["1,250", "2,5"], ["1.250", "2.5"]),
        (";", ["1,250", "12,500"], ["1,250", "12,500"]),  # thousands, perhaps
        (";", ["0,250", "0,500"], ["0.250", "0.500"]),  # no thousands begin with 0
        (";", ["1.5", "2,5"], ["1.5", "2,5"]),
        (";", ["1.234,5", "2"], ["1.234,5", "2"]),
        (";", ["2,5,1", "2"], ["2,5,1", "2"]),
    ],
)
def test_decimal_commas(
    tmp_path: Path, separator: str, weights: list[str], expected: list[str]
) -> None:
    path = tmp_path / "plays.csv"
    lines = [separator.join(("user_id", "item_id", "weight"))]
    lines += [separator.join(("u", "i", weight)) for weight in weights]
    path.write_text("\n".join(lines))
    assert read_table(path, ["weight"]).frame["weight"].tolist() == expected


@pytest.mark.parametrize("suffix", [".csv.gz", ".tsv", ".tsv.xz", ".csv.zst", ".csv.bz2"])
def test_a_data_set_of_compressed_tables(tmp_path: Path, suffix: str) -> None:
    mark = "\t" if suffix.startswith(".tsv") else ","
    texts = {
        "items": "item_id,title,artist,album,genre\na,A,,,\n",
        "interactions": "user_id,item_id,weight\nu,a,1\n",
    }
    for name, text in texts.items():
        packed = PACKERS["." + suffix.split(".")[2] if suffix.count(".") > 1 else ""]
        (tmp_path / f"{name}{suffix}").write_bytes(packed(text.replace(",", mark).encode()))
    assert load_folder(tmp_path).summary()["n_interactions"] == 1
    (tmp_path / "items.csv").write_text(texts["items"])
    if suffix != ".csv":
        with pytest.raises(DataError, match=r"has both items\.csv and items\..*; keep one"):
            load_folder(tmp_path)


# ------------------------------------------------------------------ ids


@pytest.mark.parametrize(
    "content",
    [
        "ann\nbob\n7\n",
        "\ufeffann\r\nbob\r\n\r\n7",
        "user_id\nann\nbob\n7\n",
        "User ID\nann\nbob\n7\n",
        '"user_id"\n"ann"\n"bob"\n"7"\n',
        "user_id,age\nann,30\nbob,40\n7,50\n",
        "age;user_id\n30;ann\n40;bob\n50;7\n",
        "sep=;\nage;user_id\n30;ann\n40;bob\n50;7\n",
        " ann \n\n bob\n7",
        "ann\rbob\r7\r",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_ids_one_a_line_or_in_a_column(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"users.txt{suffix}"
    path.write_bytes(PACKERS[suffix](content.encode()))
    assert list(read_ids(path, "user_id", is_id=lambda text: False)) == ["ann", "bob", "7"]


def test_ids_of_a_parquet_file(tmp_path: Path) -> None:
    table = pa.table({"age": [1, 2], "user_id": [7, 8]})
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "users.parquet")
    assert list(read_ids(tmp_path / "users.parquet", "user_id", is_id=lambda _: False)) == [
        "7",
        "8",
    ]
    with pytest.raises(DataError, match="column 'item_id' missing"):
        list(read_ids(tmp_path / "users.parquet", "item_id", is_id=lambda _: False))


def test_a_header_that_is_an_id(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("user_id\nann\n")
    assert list(read_ids(path, "user_id", is_id={"user_id"}.__contains__)) == ["user_id", "ann"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user_id,age\nann,30\nbob\n", "line 3: 1 values, but the header names 2 columns"),
        (b"user_id,age\nann,30\n,40\n", "line 3: is blank"),
        (b"ann\nb\0b\n", "line 2: .* holds a NUL character"),
        (b"ann\nb\xffb\n", "line 2: byte 0xff is not UTF-8"),
        (b"user_id,User ID\n1,2\n", "two columns are named 'user_id'"),
    ],
)
def test_what_is_no_list_of_ids(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_ids(path, "user_id", is_id=lambda text: False))


def test_ids_with_quotes_and_separators_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text('o"neill\nAC;DC\n"quoted\n')
    found = list(read_ids(path, "user_id", is_id=lambda text: False))
    assert found == ['o"neill', "AC;DC", '"quoted']
