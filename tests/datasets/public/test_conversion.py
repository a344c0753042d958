"""Helpers of converters."""

from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.public.conversion import (
    read_lines,
)


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\xc2\x85still\n\nl\xe9")
    found = read_lines(path)
    assert [next(found), next(found), next(found)] == [(1, "one"), (2, "two\x85still"), (3, "")]
    with pytest.raises(DataError, match=r"text, line 4: byte 0xe9 is not utf-8"):
        next(found)
    assert [text for _, text in read_lines(path, "latin-1")][3] == "lé"
