"""Files and the folders above them: made where they are missing, and gone where it fails."""

import os
from pathlib import Path

import pytest

from datasets.errors import ColdtuneError
from datasets.system.files import atomic_write, check_writable, open_regular, parents_created


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


class TestRegularFiles:
    """Opening anything else may wait for ever, or do something."""

    def test_a_file_and_a_link_to_it(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"text")
        (tmp_path / "b").symlink_to("a")
        for name in "ab":
            with open_regular(tmp_path / name) as stream:
                assert stream.read() == b"text"

    @pytest.mark.parametrize(
        ("kind", "said"), [("pipe", "is a pipe"), ("device", "is a device"), ("folder", "a folder")]
    )
    def test_what_is_no_file_is_refused(self, tmp_path: Path, kind: str, said: str) -> None:
        path = tmp_path / "a"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        with pytest.raises(OSError, match=f"{said}, not a file"):
            open_regular(path)

    def test_a_pipe_that_comes_into_its_place_is_not_waited_for(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"text")
        status = path.stat()
        path.unlink()
        os.mkfifo(path)
        monkeypatch.setattr(Path, "stat", lambda self, **_: status)
        with pytest.raises(OSError, match="is a pipe, not a file"):
            open_regular(path)

    @pytest.mark.parametrize(
        "name", ["table.csv", "arrays.npz", "settings.json", "encoder", "model"]
    )
    def test_every_reader_refuses_a_pipe(self, tmp_path: Path, name: str) -> None:
        from datasets.image_arrays import read_npz
        from datasets.tables.read_write import read_table
        from embedding import SongEncoder
        from recsys import Recommender
        from recsys.commands.options import read_object

        readers = {
            "table.csv": lambda path: read_table(path, ["item_id"]),
            "arrays.npz": read_npz,
            "settings.json": read_object,
            "encoder": lambda path: SongEncoder.load(path.parent),
            "model": lambda path: Recommender.load(path.parent),
        }
        path = tmp_path / {"encoder": "encoder.json", "model": "manifest.json"}.get(name, name)
        os.mkfifo(path)
        with pytest.raises(ColdtuneError, match=r"is a pipe, not a file$"):
            readers[name](path)
