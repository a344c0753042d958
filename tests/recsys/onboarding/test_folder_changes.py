"""Wake-ups: the system tells of changes; where it cannot, the folder is looked at now and then."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.onboarding.folder_changes import FolderChanges, folder_identity


@pytest.fixture
def told() -> None:
    """Needs the library that tells of changes."""
    pytest.importorskip("watchfiles")


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def next_change(wakeups: Iterator[bool]) -> bool:
    """Wait for a wake-up that says that something has changed."""
    return next(changed for changed in wakeups if changed)


@pytest.mark.usefixtures("told")
def test_changes_are_told(tmp_path: Path, stop: threading.Event) -> None:
    changes = FolderChanges(tmp_path, stop)
    wakeups = iter(changes)
    assert next(wakeups)  # whatever happened before
    (tmp_path / "deep").mkdir()
    assert next_change(wakeups)
    (tmp_path / "deep" / "a.wav").write_text("1")
    assert next_change(wakeups)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")).write_text("1")  # no text
    assert next_change(wakeups)
    (tmp_path / "b.wav").write_text("1")
    assert next_change(wakeups)
    assert changes.problem == ""
    stop.set()
    assert True not in wakeups


@pytest.mark.usefixtures("told")
def test_a_folder_that_comes_back_is_watched_again(tmp_path: Path, stop: threading.Event) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    wakeups = iter(FolderChanges(folder, stop))
    assert next(wakeups)
    folder.rename(tmp_path / "away")
    assert next_change(wakeups)
    assert next(wakeups)  # gone
    folder.mkdir()
    assert next_change(wakeups)
    (folder / "a.wav").write_text("1")
    assert next_change(wakeups)


@pytest.mark.usefixtures("told")
def test_links_to_folders_are_not_followed(tmp_path: Path, stop: threading.Event) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    (folder / "deep").mkdir(parents=True)
    (other / "x").mkdir(parents=True)
    (folder / "link").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    wakeups = iter(FolderChanges(folder, stop))
    assert next(wakeups)
    (other / "x" / "a.wav").write_text("1")
    assert not next(wakeups)
    (folder / "deep" / "er").mkdir()
    assert next_change(wakeups)
    (folder / "deep" / "er" / "a.wav").write_text("1")
    assert next_change(wakeups)


def test_without_the_library_it_is_looked_now_and_then(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.setattr("recsys.onboarding.folder_changes.EVERY", 0.01)
    changes = FolderChanges(tmp_path, stop)
    wakeups = iter(changes)
    assert next(wakeups)
    assert next_change(wakeups)
    assert "pip install watchfiles" in changes.problem


@pytest.mark.usefixtures("told")
def test_where_the_system_has_no_watches_left(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(*_paths: Path, **_options: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", watch)
    changes = FolderChanges(tmp_path, stop)
    assert next(iter(changes))
    assert changes.problem == "its changes cannot be told (OS file watch limit reached)"


def test_what_identifies_a_folder(tmp_path: Path) -> None:
    assert folder_identity(tmp_path) == (tmp_path.stat().st_dev, tmp_path.stat().st_ino)
    (tmp_path / "file").touch()
    assert folder_identity(tmp_path / "file") is folder_identity(tmp_path / "none") is None
