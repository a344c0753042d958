"""Digests of large files: those of small ones, and no change that they do not show."""

import hashlib
from pathlib import Path

import pytest

from recsys.model import artifact as digests
from recsys.model.artifact import CHUNK, digest_files


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_a_small_file_has_its_sha256_and_a_large_one_that_of_its_chunks(tmp_path: Path) -> None:
    large = bytes(range(256)) * (CHUNK // 256) * 2 + b"rest"
    contents = {"empty": b"", "small": b"abc", "one": large[:CHUNK], "large": large}
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    chunks = [large[:CHUNK], large[CHUNK : 2 * CHUNK], b"rest"]
    assert digest_files(paths) == [
        *(sha256(contents[name]).hex() for name in ("empty", "small", "one")),
        sha256(b"".join(map(sha256, chunks))).hex(),
    ]
    assert digest_files(paths, whole=True) == [sha256(one).hex() for one in contents.values()]
    assert digest_files([]) == []


def test_every_byte_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK", 10)
    path = tmp_path / "file"
    content = bytes(range(35))
    found = set()
    for place in range(35):
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        found.update(digest_files([path]))
    path.write_bytes(content[10:20] + content[:10] + content[20:])  # chunks change places
    found.update(digest_files([path]))
    path.write_bytes(content)
    assert len(found | {*digest_files([path])}) == 37


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        digest_files([tmp_path / "gone"])
    assert error.value.filename == str(tmp_path / "gone")
