"""Files and the folders above them: made where they are missing, and gone where it fails."""

from pathlib import Path

import pytest

from datasets.files import atomic_write, check_writable, parents_created


def test_folders_that_were_made_go_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"

    def write() -> None:
        with atomic_write(path) as temporary:
            assert temporary.parent == path.parent
            raise KeyboardInterrupt

    def beside() -> None:
        with parents_created(path):
            (tmp_path / "a" / "other.txt").write_text("of somebody else")
            raise KeyError

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        beside()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "other.txt"]


def test_folders_stay_where_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("text")
    assert path.read_text() == "text"
    assert list(path.parent.iterdir()) == [path]


def test_a_look_whether_a_file_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there.txt"
    there.write_text("text")
    check_writable(there)
    check_writable(tmp_path / "a" / "b" / "new.txt")
    for path in (tmp_path, there / "below.txt", Path("/proc/none/file.txt")):
        with pytest.raises(OSError, match=r"folder|directory|exists"):
            check_writable(path)
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_text() == "text"
