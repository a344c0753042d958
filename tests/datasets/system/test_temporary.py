"""Temporary folders and files: none stays after any end, none of a living process goes."""

import errno
import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import ColdtuneError, DiskFullError
from datasets.system.files import atomic_write
from datasets.system.temporary import PREFIX, remove_left_overs, room_for, temporary_folder

LIVING = """
import sys
from pathlib import Path
from datasets.system.files import atomic_write
from datasets.system.temporary import temporary_folder
place = Path(sys.argv[1])
with temporary_folder(place) as folder, atomic_write(place / "report.csv") as file:
    (folder / "sub").mkdir()
    (folder / "sub" / "x").write_text("x")
    print(folder.name, file.name, flush=True)
    input()
"""


def start(place: Path) -> tuple["subprocess.Popen[str]", set[str]]:
    """Start a process that has a temporary folder and a temporary file; return their names."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, set(process.stdout.readline().split())


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(
    tmp_path: Path, end: signal.Signals
) -> None:
    killed, left = start(tmp_path)
    living, kept = start(tmp_path)
    try:
        assert names(tmp_path) == left | kept
        killed.send_signal(end)
        killed.wait()
        with temporary_folder(tmp_path) as own:
            assert names(tmp_path) - kept - {own.name} == {n for n in left if n.startswith(".")}
        with atomic_write(tmp_path / "report.csv") as file:
            file.write_text("whole")
        assert names(tmp_path) == kept | {"report.csv"}
        living.communicate("\n")
        assert names(tmp_path) == {"report.csv"}
    finally:
        living.kill()
        living.wait()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError, None])
def test_nothing_stays_after_an_error(tmp_path: Path, error: type[BaseException] | None) -> None:
    def work() -> None:
        with temporary_folder(tmp_path) as folder, atomic_write(tmp_path / "f" / "x.txt"):
            (folder / "file").write_text("x")
            if error is not None:
                raise error

    if error is None:
        work()
        assert names(tmp_path) == {"f"}
    else:
        with pytest.raises(error):
            work()
        assert names(tmp_path) == set()


def test_other_folders_and_files_stay(tmp_path: Path) -> None:
    (tmp_path / "coldtune-holidays").mkdir()
    (tmp_path / "coldtune-abcd1234").mkdir()
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / f".{PREFIX}notes").write_text("x")
    before = names(tmp_path)
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "file").write_text("x")
    (tmp_path / f"{PREFIX}link").symlink_to(target)
    remove_left_overs(tmp_path)
    with atomic_write(tmp_path / "x.csv") as file:
        file.write_text("x")
    assert names(tmp_path) >= before | {"x.csv"}
    assert (target / "file").read_text() == "x"


def test_a_forked_child_removes_nothing_of_its_parent(tmp_path: Path) -> None:
    block = temporary_folder(tmp_path)
    folder = block.__enter__()
    child = os.fork()
    if child == 0:
        remove_left_overs(tmp_path)
        block.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
    block.__exit__(None, None, None)
    assert names(tmp_path) == set()


def _no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 5, 5000))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "sub"))
    for write, n_bytes in ((lambda: None, 6000), (_no_room, 0), (_no_room, 3)):
        message = _error(lambda n=n_bytes, w=write: _write(tmp_path / "sub", n, w))
        assert str(tmp_path / "sub") in message
        assert "the index" in message
        assert "5,000 bytes are free" in message
        assert "TMPDIR" in message
        assert len(message.splitlines()) == 1
        assert not n_bytes or f"{n_bytes:,} bytes are needed" in message
    monkeypatch.setattr("tempfile.mkdtemp", _no_room)
    with pytest.raises(DiskFullError, match="a temporary folder"), temporary_folder():
        pass


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), room_for(tmp_path, "x"):
        raise PermissionError(errno.EACCES, "no")


def _write(place: Path, n_bytes: int, write: Callable[[], object]) -> None:
    with room_for(place, "the index", n_bytes):
        write()


def _error(work: Callable[[], object]) -> str:
    with pytest.raises(ColdtuneError) as caught:
        work()
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOSPC
    return str(caught.value)
