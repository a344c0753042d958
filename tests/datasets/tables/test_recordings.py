"""What a folder of recordings holds, and what is passed over and why."""

import os
from pathlib import Path

import pytest

from datasets.tables.recordings import count_passed_over, find_recordings, list_recordings


def test_names_of_all_kinds_are_found(tmp_path: Path) -> None:
    names = ["a.mp3", "B.FLAC", "new\nline.wav", "tab\t.wav", "-dash.ogg", "🎵 שלום.m4a",
             "...Baby One More Time.mp3", f"{'x' * 251}.wav", "deep/er/a.mp3", "v.1.0.mp2",
             "e.m4b", "t.tta", "w.w64", "d.dsf", os.fsdecode(b"caf\xe9.wav")]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, passed_over = list_recordings(tmp_path)
    assert found == sorted(names) == find_recordings(tmp_path)
    assert passed_over == []


def test_what_is_passed_over_and_why(tmp_path: Path) -> None:
    for name in ("cover.jpg", "back.JPG", "README", "._a.mp3", ".trash/b.mp3", "sub/ok.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "other.wav").symlink_to(tmp_path / "sub" / "ok.mp3")
    found, passed_over = list_recordings(tmp_path)
    # Links that lead nowhere are reported when they are opened.
    assert found == ["gone.wav", "loop.wav", "other.wav", "sub/ok.mp3"]
    assert {one.path: one.reason for one in passed_over} == {
        "cover.jpg": "is no audio file by its suffix",
        "back.JPG": "is no audio file by its suffix",
        "README": "is no audio file by its suffix",
        "._a.mp3": "is hidden",
        ".trash": "is a hidden folder",
        "pipe.wav": "is not a regular file",
        "device.wav": "is not a regular file",
        "again": "is a link to a folder, which is not followed",
    }
    assert count_passed_over(passed_over).startswith("2 .jpg files, ")
    assert "1 files without a suffix" in count_passed_over(passed_over)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "a.wav").touch()
    original = os.scandir

    def scandir(path: Path):
        if Path(path).name in denied:
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    denied = {"secret"}
    found, (secret,) = list_recordings(tmp_path)
    assert found == ["a.wav"]
    assert secret == ("secret", "cannot be read: Permission denied", "unreadable folders")
    denied.add(tmp_path.name)
    assert list_recordings(tmp_path).passed_over[0].path == "."
