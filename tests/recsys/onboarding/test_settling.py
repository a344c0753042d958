"""A file is complete when it has stayed the same, or was put into its place."""

import os
from pathlib import Path

import pytest

from recsys.onboarding.settling import FileStamp, SettlingFiles, stamps

NOW = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed

    def wall(self) -> float:
        return NOW + self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(clock: Clock) -> SettlingFiles:
    return SettlingFiles(2.0, patience=10, clock=clock, wall_clock=clock.wall)


def stamp(
    written: float, size: int = 100, *, changed: float | None = None, inode: int = 1
) -> FileStamp:
    """A file last written to at a time after NOW, to the millionth of a second."""
    changed = written if changed is None else changed
    times = (NOW * 10**9 + int(seconds * 10**9) + 1_001 for seconds in (written, changed))
    return FileStamp(inode, size, *times)


def test_a_file_settles_when_it_stays_the_same(files: SettlingFiles, clock: Clock) -> None:
    assert files.complete({"a": stamp(-1)}) == {}
    assert files.waiting
    clock.passed = 1.9
    assert files.complete({"a": stamp(1.5, 200)}) == {}  # it has grown
    clock.passed = 3.8
    assert files.complete({"a": stamp(1.5, 200)}) == {}
    clock.passed = 3.9
    assert files.complete({"a": stamp(1.5, 200)}) == {"a": stamp(1.5, 200)}
    assert not files.waiting


def test_what_was_old_when_first_seen_is_complete(files: SettlingFiles, clock: Clock) -> None:
    there = {"old": stamp(-2.1), "fresh": stamp(-1.9), "future": stamp(900)}
    assert list(files.complete(there)) == ["old"]
    clock.passed = 2.0
    assert set(files.complete(there)) == {"old", "fresh", "future"}


def test_a_growing_file_is_not_complete_because_its_clock_is_late(
    files: SettlingFiles, clock: Clock
) -> None:
    assert list(files.complete({"a": stamp(-500, 1)})) == ["a"]
    clock.passed = 1
    assert files.complete({"a": stamp(-499, 2)}) == {}
    clock.passed = 2
    assert files.complete({"a": stamp(-498, 3)}) == {}


@pytest.mark.parametrize(
    ("one", "complete"),
    [
        (stamp(-0.5, changed=-0.1), True),  # renamed into its place
        (stamp(-0.5, 0, changed=-0.1), False),  # nothing in it yet
        (stamp(-0.5), False),
        (stamp(-0.1, changed=-0.5), False),  # where the second time is that of its making
        (FileStamp(1, 9, (NOW - 1) * 10**9, NOW * 10**9 - 5), False),  # a coarse clock
        (FileStamp(1, 9, (NOW - 9) * 10**9, NOW * 10**9 - 5), True),  # moved from elsewhere
    ],
)
def test_what_was_put_into_its_place_is_complete_at_once(
    files: SettlingFiles, one: FileStamp, complete: bool
) -> None:
    assert bool(files.complete({"a": one})) is complete


def test_other_rights_do_not_make_a_file_incomplete(files: SettlingFiles, clock: Clock) -> None:
    files.complete({"a": stamp(-9)})
    clock.passed = 1
    assert files.complete({"a": stamp(-9, changed=0.9)})
    assert not files.complete({"a": stamp(0.9, inode=2)})  # another file in its place


def test_a_file_that_never_settles_is_named_once(files: SettlingFiles, clock: Clock) -> None:
    for second in range(30):
        clock.passed = second
        assert files.complete({"a": stamp(second, second + 1)}) == {}
        assert files.waiting == (second < 10)
        assert files.endless() == (["a"] if second == 10 else [])
    clock.passed = 40
    assert files.complete({"a": stamp(29, 30)})
    clock.passed = 41
    assert files.complete({"a": stamp(41, 50)}) == {}
    assert files.waiting  # the time runs anew
    assert files.complete({}) == {}
    assert not files.waiting


def test_stamps_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "dead").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    found = stamps(tmp_path, ["a", "dead", "loop", "none"])
    assert list(found) == ["a", "dead", "loop"]
    before = found["a"]
    os.utime(tmp_path / "a", ns=(1, 1))
    assert FileStamp.of(tmp_path / "a") != before
