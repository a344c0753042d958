"""Lines of published tables, packed or not, and what is left out of them."""

import zipfile
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.public.conversion import SKIPPED_FILE
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines
from tests.helpers.archives import tar

TEXT = "one\r\nzwölf\n".encode()
LINES = [(1, "one"), (2, "zwölf")]


def test_the_same_wherever_it_is(tmp_path: Path) -> None:
    for name in ("plain", "folder", "tar", "zip"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "t.tsv").write_bytes(TEXT)
    (tmp_path / "folder" / "set").mkdir()
    (tmp_path / "folder" / "set" / "t.tsv").write_bytes(TEXT)
    # What a Mac adds to archives, and a name that merely ends alike.
    others = {"set/._t.tsv": b"mac", "set/not-t.tsv": b"other"}
    tar(tmp_path / "tar" / "set.tar.gz", {**others, "set/t.tsv": TEXT})
    with zipfile.ZipFile(tmp_path / "zip" / "set.zip", "w") as archive:
        for name, content in {**others, "set/t.tsv": TEXT}.items():
            archive.writestr(name, content)
    archives = ("set.tar.gz", "set.zip")
    for place in ("plain", "folder", "tar", "zip"):
        assert list(read_archived_lines(tmp_path / place, "t.tsv", *archives)) == LINES


def test_nowhere_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no t\.tsv"):
        list(read_archived_lines(tmp_path, "t.tsv"))
    with pytest.raises(DataError, match=r"has no set\.tar\.gz and no t\.tsv"):
        list(read_archived_lines(tmp_path, "t.tsv", "set.tar.gz"))
    tar(tmp_path / "set.tar.gz", {"other.tsv": TEXT})
    with pytest.raises(DataError, match=r"set\.tar\.gz has no t\.tsv"):
        list(read_archived_lines(tmp_path, "t.tsv", "set.tar.gz"))
    content = "\n".join(str(number * number) for number in range(100_000)).encode()
    tar(tmp_path / "set.tar.gz", {"t.tsv": content})
    whole = (tmp_path / "set.tar.gz").read_bytes()
    (tmp_path / "set.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"set\.tar\.gz"):
        list(read_archived_lines(tmp_path, "t.tsv", "set.tar.gz"))
    (tmp_path / "set.zip").write_bytes(b"no zip at all")
    with pytest.raises(DataError, match=r"set\.zip is damaged or not an archive"):
        list(read_archived_lines(tmp_path, "t.tsv", "set.zip"))


def test_tidy() -> None:
    assert clean_text(' a\0b  "c"\t\u3000d\x85') == 'a b "c" d'


def test_left_out(tmp_path: Path) -> None:
    left_out = SkippedRows("t.tsv")
    with pytest.raises(DataError, match="there are none"):
        left_out.report(tmp_path, 0)
    left_out.report(tmp_path, 5)
    assert not (tmp_path / SKIPPED_FILE).exists()
    for number in range(3, 1300):
        left_out.add("3 values, not 4", number)
    left_out.add("no plays", 7)
    other = SkippedRows("u.tsv")
    other.add("odd", 9)
    with pytest.raises(DataError, match="no line can be used: 1,297 lines: 3 values, not 4; the f"):
        left_out.report(tmp_path, 0)
    left_out.report(tmp_path, 1, other)
    assert (tmp_path / SKIPPED_FILE).read_text().splitlines() == [
        "what,why",
        't.tsv,"1,297 lines: 3 values, not 4; the first is line 3"',
        "t.tsv,1 lines: no plays; the first is line 7",
        "u.tsv,1 lines: odd; the first is line 9",
    ]
