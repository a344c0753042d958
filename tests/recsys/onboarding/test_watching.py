"""A watched folder and its model stay together, whatever happens to either of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import mutagen
import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import BusyError, DataError, InvalidArgumentError, ReplacedError
from embedding.hyperimage import extraction
from recsys import Recommender, cli
from recsys.onboarding import FolderWatcher, watching
from recsys.onboarding import folder as folder_onboarding
from recsys.onboarding.watching import LOOK_AGAIN
from tests.helpers.commands import Call
from tests.helpers.fork_server import ForkServer, Program
from tests.helpers.kills import PATIENCE_SECONDS
from tests.helpers.recordings import write_song

HOUR = 3600.0
"""A file that a test has just written is not complete before the clock of the test says so."""


class Watched:
    """A model on the disk and a folder, whose watchers have a clock that the test moves."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model, self.folder, self.time = model, folder, 0.0

    def watcher(self, recommender: Recommender | None = None, **options: object) -> FolderWatcher:
        settings = {"settle": HOUR, "clock": lambda: self.time, "pause": self.wait, **options}
        return (recommender or self.recommender()).watch_folder(self.folder, **settings)  # type: ignore[arg-type]

    def recommender(self) -> Recommender:
        return Recommender.load(self.model)

    def wait(self, _seconds: float = 0.0) -> None:
        self.time += HOUR / 2

    def once(self, **options: object) -> list[tuple[str, str, str]]:
        """What a run says that ends when the folder is quiet: event, path, item."""
        return said(self.watcher(**options).once())

    def onboarded(self) -> dict[str, str]:
        """Paths of the recordings in the folder by item."""
        catalog = self.recommender()._fitted().catalog
        return {
            song.item_id: one.path.removeprefix(f"{self.folder}/")
            for song in catalog.songs()
            for one in song.recordings
        }


def said(events: Iterator[watching.WatchEvent]) -> list[tuple[str, str, str]]:
    return [(one.event, one.path, one.item_id) for one in events]


@pytest.fixture
def watched(hearing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """An empty folder and a model of its own; recordings are decoded in this process."""

    def decoded(function, jobs, workers):
        for job in jobs:
            yield job, function(job)

    monkeypatch.setattr(extraction, "in_processes_ahead", decoded)
    (tmp_path / "folder").mkdir()
    return Watched(Path(shutil.copytree(hearing_model, tmp_path / "model")), tmp_path / "folder")


@pytest.fixture
def library(watched: Watched) -> Watched:
    """Three songs in the folder, which the model has."""
    for number, name in enumerate("abc"):
        write_song(watched.folder / f"{name}.flac", 50 + number)
    assert {one[0] for one in watched.once()} == {"added"}
    return watched


def play(watched: Watched, item_id: str) -> None:
    plays = pd.DataFrame({"user_id": ["user-1"], "item_id": [item_id], "weight": [1.0]})
    watched.recommender().update(plays)


# ------------------------------------------------------------------ what arrives


def test_what_arrives_is_added_and_a_restart_finds_nothing_new(watched: Watched) -> None:
    watcher = watched.watcher()
    assert said(watcher.once()) == []  # an empty folder is one
    write_song(watched.folder / "a.wav", 60)
    write_song(watched.folder / "deep" / "er" / "b.FLAC", 61)
    for name in ("x.wav.part", "y.mp3.crdownload", "z.wav~", ".hidden.wav", "notes.txt"):
        (watched.folder / name).write_text("no song")
    (watched.folder / "loop").symlink_to(watched.folder)
    assert said(watcher.look()) == []  # they may still be written
    assert sorted(said(watcher.once())) == [
        ("added", "a.wav", "a"), ("added", "deep/er/b.FLAC", "deep/er/b"),
    ]  # fmt: skip
    assert said(watcher.once()) == watched.once() == []
    lists = watched.recommender().recommend("user-1", only=["a", "deep/er/b"])
    assert set(lists["item_id"]) == {"a", "deep/er/b"}
    (watched.folder / "x.wav.part").unlink()
    write_song(watched.folder / "x.wav", 62)
    assert said(watcher.once()) == [("added", "x.wav", "x")]


def test_a_file_that_is_still_written_is_waited_for(watched: Watched) -> None:
    source = write_song(watched.folder.parent / "source.wav", 60).read_bytes()
    growing, watcher = watched.folder / "a.wav", watched.watcher()
    for part in range(6):
        growing.write_bytes(source[: 1000 * part])
        assert said(watcher.look()) == ([("waiting", "a.wav", "")] if part == 4 else [])
        watched.wait()
    growing.write_bytes(source)
    assert said(watcher.once()) == []  # a run that ends does not wait for ever
    for _ in range(2):
        watched.wait()
        assert watcher._is_due()  # one that does not end does
    assert said(watcher.look()) == [("added", "a.wav", "a")]
    assert not watcher._is_due()


def test_what_was_taken_too_early_is_taken_again(watched: Watched) -> None:
    source = write_song(watched.folder.parent / "source.wav", 60).read_bytes()
    (watched.folder / "a.wav").write_bytes(source[:8000])
    watcher = watched.watcher()
    assert [one[0] for one in said(watcher.once())] in (["added"], ["failed"])
    (watched.folder / "a.wav").write_bytes(source)
    assert said(watcher.once())[0][0] in ("added", "replaced")
    write_song(watched.folder / "b.wav", 60)  # the same sound
    assert watched.once(duplicates="skip") == [("duplicate", "b.wav", "")]


def test_a_bad_file_is_named_once_and_tried_again_when_it_changes(watched: Watched) -> None:
    bad = watched.folder / "bad.wav"
    bad.write_text("no sound")
    (watched.folder / "dead.wav").symlink_to("nowhere.wav")
    watcher = watched.watcher()
    assert sorted(said(watcher.once())) == [
        ("failed", "bad.wav", "bad"),
        ("failed", "dead.wav", "dead"),
    ]
    write_song(watched.folder / "good.wav", 60)
    assert said(watcher.once()) == [("added", "good.wav", "good")]
    bad.write_text("still no sound")
    assert said(watcher.once()) == [("failed", "bad.wav", "bad")]
    write_song(bad, 61)
    assert said(watcher.once()) == [("added", "bad.wav", "bad")]


def test_names_of_every_kind(watched: Watched) -> None:
    raw = os.fsdecode(b"caf\xe9.wav")
    write_song(watched.folder / "a.wav", 60).rename(watched.folder / raw)
    write_song(watched.folder / unicodedata.normalize("NFD", "Beyoncé.wav"), 61)
    write_song(watched.folder / "new\nline.wav", 62)
    watcher = watched.watcher()
    assert len(said(watcher.once())) == 3
    composed = unicodedata.normalize("NFC", "Beyoncé.wav")
    (watched.folder / unicodedata.normalize("NFD", "Beyoncé.wav")).rename(watched.folder / composed)
    (watched.folder / raw).rename(watched.folder / "CAFE.wav")
    (watched.folder / "new\nline.wav").rename(watched.folder / "New\nLine.wav")
    assert sorted(one[:2] for one in said(watcher.once())) == [
        ("renamed", composed), ("renamed", "CAFE.wav"), ("renamed", "New\nLine.wav"),
    ]  # fmt: skip
    assert watched.once() == []
    assert len(watched.onboarded()) == 11


# ------------------------------------------------------------------ what changes


def test_renamed_and_moved_files_stay_what_they_are(library: Watched) -> None:
    play(library, "b")
    watcher = library.watcher()
    assert said(watcher.once()) == []
    (library.folder / "a.flac").rename(library.folder / "x.flac")
    (library.folder / "deep").mkdir()
    (library.folder / "b.flac").rename(library.folder / "deep" / "b.flac")
    (library.folder / "c.flac").rename(library.folder / "a.flac")
    events = sorted(watcher.once())
    assert [(one.event, one.before, one.path, one.item_id) for one in events] == [
        ("renamed", "c.flac", "a.flac", "c"),
        ("renamed", "b.flac", "deep/b.flac", "b"),
        ("renamed", "a.flac", "x.flac", "a"),
    ]
    assert library.once() == []
    paths = library.onboarded()
    assert (paths["a"], paths["b"], paths["c"]) == ("x.flac", "deep/b.flac", "a.flac")


def test_a_file_renamed_while_nobody_watches(library: Watched) -> None:
    (library.folder / "a.flac").rename(library.folder / "x.flac")
    (library.folder / "b.flac").unlink()
    assert sorted(library.once()) == [("deleted", "b.flac", "b"), ("renamed", "x.flac", "a")]


def test_other_tags_are_taken_in(library: Watched) -> None:
    watcher = library.watcher()
    assert said(watcher.once()) == []
    file = mutagen.File(library.folder / "a.flac")
    file["TITLE"] = "Another"
    file.save()
    assert said(watcher.once()) == [("updated", "a.flac", "a")]
    found = library.recommender().search("Another")
    assert found["item_id"].tolist() == ["a"]


def test_another_song_at_an_old_path(library: Watched) -> None:
    play(library, "b")
    watcher = library.watcher()
    assert said(watcher.once()) == []
    for number, name in enumerate("ab"):
        write_song(library.folder / f"{name}.flac", 70 + number)
    assert sorted(said(watcher.once())) == [
        ("failed", "b.flac", "b"),  # it has listeners: it stays the song that they know
        ("replaced", "a.flac", "a"),
    ]
    assert said(watcher.once()) == []


# ------------------------------------------------------------------ what goes


def test_what_is_deleted_is_said_once(library: Watched) -> None:
    watcher = library.watcher()
    content = (library.folder / "a.flac").read_bytes()
    (library.folder / "a.flac").unlink()
    assert said(watcher.once()) == [("deleted", "a.flac", "a")]
    assert said(watcher.once()) == []
    assert "a" in library.onboarded()
    (library.folder / "a.flac").write_bytes(content)
    assert said(watcher.once()) == [("returned", "a.flac", "a")]


def test_songs_are_taken_out_where_that_is_wanted(library: Watched) -> None:
    play(library, "a")
    (library.folder / "a.flac").unlink()
    assert library.once(dry_run=True, remove="all") == [("removed", "a.flac", "a")]
    assert library.once(remove="unplayed") == [("deleted", "a.flac", "a")]
    assert library.once(remove="all") == [("removed", "a.flac", "a")]
    (library.folder / "b.flac").unlink()
    assert library.once(remove="unplayed") == [("removed", "b.flac", "b")]
    assert set(library.onboarded()) & set("abc") == {"c"}


def test_a_disk_that_is_missing_costs_nothing(
    library: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = library.watcher(remove="all")
    away = library.folder.rename(library.folder.parent / "away")
    assert said(watcher.look()) == [("folder gone", "", "")]
    assert said(watcher.look()) == []
    library.folder.mkdir()  # a place where nothing is mounted
    library.wait()
    assert said(watcher.look()) == [("folder back", "", "")]
    assert sorted(said(watcher.once())) == [("deleted", f"{name}.flac", name) for name in "abc"]
    monkeypatch.setattr(watching, "MANY", 2)
    (event,) = library.watcher(remove="all").once()
    assert event.event == "many deleted"
    assert event.reason.startswith("all 3 are gone (a.flac, b.flac, c.flac, ...)")
    library.folder.rmdir()
    away.rename(library.folder)
    assert sorted(said(watcher.once())) == [("returned", f"{name}.flac", name) for name in "abc"]
    for name in "ab":
        (library.folder / f"{name}.flac").unlink()
    assert {one[0] for one in library.once(remove="all")} == {"deleted"}
    events = library.once(remove="all", allow_mass_removal=True)
    assert events == [("removed", "a.flac", "a"), ("removed", "b.flac", "b")]


def test_what_is_only_away_for_a_moment_is_not_gone(library: Watched) -> None:
    watcher = library.watcher(remove="all")
    content = (library.folder / "a.flac").read_bytes()
    (library.folder / "a.flac").unlink()
    assert said(watcher.look()) == []
    library.wait()
    assert said(watcher.look()) == []  # half the time
    (library.folder / "moved.flac").write_bytes(content)  # as from one disk to another
    library.wait()
    assert said(watcher.look()) == []  # for what is being copied may be what is missing
    assert said(watcher.once()) == [("renamed", "moved.flac", "a")]


def test_songs_of_the_fit_are_followed_too(watched: Watched, hearing_model: Path) -> None:
    for song in hearing_model.parent.glob("*.wav"):
        (watched.folder / song.name).write_bytes(song.read_bytes())
    watcher = watched.watcher(remove="unplayed")
    titles = {("updated", f"song-{n}.wav", f"song-{n}") for n in (6, 7)}  # they had none
    assert set(said(watcher.once())) == titles
    (watched.folder / "song-1.wav").rename(watched.folder / "one.wav")
    assert said(watcher.once()) == [("renamed", "one.wav", "song-1")]
    for number in (2, 6):
        (watched.folder / f"song-{number}.wav").unlink()
    assert watched.once(remove="unplayed") == [
        ("deleted", "song-2.wav", "song-2"), ("removed", "song-6.wav", "song-6"),
    ]  # fmt: skip
    assert watched.onboarded()["song-1"] == "one.wav"
    with watched.recommender()._fitted().catalog.snapshot() as catalog:
        catalog.verify()


# ------------------------------------------------------------------ others, and the end


def test_another_process_changes_the_model(watched: Watched) -> None:
    watcher = watched.watcher(recommender := watched.recommender())
    write_song(watched.folder / "a.wav", 60)
    assert said(watcher.once()) == [("added", "a.wav", "a")]
    other = watched.recommender()
    other.rebuild()
    write_song(watched.folder / "b.wav", 61)
    assert said(watcher.once()) == [("added", "b.wav", "b")]
    other.refresh()
    other.remove("a")
    write_song(watched.folder / "c.wav", 62)
    # Whoever took out a song wants it out, while its file stays as it is.
    assert said(watcher.once()) == [("added", "c.wav", "c")]
    assert recommender.info["now"]["items"] == 10


def test_a_model_that_is_replaced_or_locked_meanwhile(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = watched.recommender()
    add, errors = recommender._add_songs, [ReplacedError("replaced"), BusyError("locked")]

    def fail_first(*arguments, **named):
        if errors:
            raise errors.pop(0)
        add(*arguments, **named)

    monkeypatch.setattr(recommender, "_add_songs", fail_first)
    write_song(watched.folder / "a.wav", 60)
    watcher = watched.watcher(recommender)
    with pytest.raises(BusyError, match="locked"):
        list(watcher.once())
    assert said(watcher.once()) == [("added", "a.wav", "a")]


def test_a_stop_leaves_nothing_half_done(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_onboarding, "FILES_AT_ONCE", 2)
    for number in range(8):
        write_song(watched.folder / f"{number}.wav", 60 + number)
    watcher, first = watched.watcher(), []
    for event in watcher.once():
        first.append(event.item_id)
        watcher.stop()
    assert 2 <= len(first) < 8
    assert set(watched.onboarded()) >= set(first)
    assert len(watched.onboarded()) == 8 + len(first)
    assert {one[2] for one in watched.once()} == {str(n) for n in range(8)} - set(first)


def test_a_dry_run_changes_nothing(library: Watched) -> None:
    write_song(library.folder / "new.wav", 60)
    (library.folder / "a.flac").rename(library.folder / "x.flac")
    before = library.recommender()._fitted().revision
    expected = [("added", "new.wav", "new"), ("renamed", "x.flac", "a")]
    assert sorted(library.once(dry_run=True)) == expected
    assert library.recommender()._fitted().revision == before
    assert sorted(library.once()) == expected


def test_wake_ups(watched: Watched) -> None:
    watcher = watched.watcher(settle=0)
    told: list[str] = []

    def wakeups() -> Iterator[bool]:
        yield True
        assert told == ["watching"]
        write_song(watched.folder / "a.wav", 60)
        yield False  # nobody has told of it
        assert told == ["watching"]
        watched.time += LOOK_AGAIN
        yield False  # found nevertheless
        assert told[1:] == ["added"]
        watcher.stop()
        yield True

    for event in watcher.events(wakeups()):
        told.append(event.event)  # noqa: PERF401 - wakeups looks at what has been told
    assert told == ["watching", "added", "stopped"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settle": -1}, "settle must be"),
        ({"settle": float("nan")}, "settle must be"),
        ({"poll": 0}, "poll must be"),
        ({"remove": "some"}, "remove must be one of none, unplayed, all"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"duplicates": "no"}, "duplicates must be"),
    ],
)
def test_what_cannot_be_asked_for(
    watched: Watched, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        watched.watcher(**options)


def test_what_cannot_be_watched(watched: Watched, fit_quickly: Callable[..., Recommender]) -> None:
    with pytest.raises(InvalidArgumentError, match="onboard with embedding="):
        fit_quickly().watch_folder(watched.folder)
    watched.folder.rmdir()
    with pytest.raises(DataError, match="does not exist"):
        watched.watcher()
    watched.folder.touch()
    with pytest.raises(DataError, match="is not a folder"):
        watched.watcher()
    watched.folder.unlink()
    watched.folder.mkdir()
    watcher = watched.watcher()
    watched.folder.rmdir()
    with pytest.raises(DataError, match="is not there any more"):
        list(watcher.once())


# ------------------------------------------------------------------ the command


def test_the_command(call: Call, watched: Watched) -> None:
    write_song(watched.folder / "a.wav", 60)
    (watched.folder / "bad.mp3").write_text("no sound")
    begin = ("watch", watched.model, watched.folder, "--settle", 0)
    code, out, _ = call(*begin, "--dry-run")
    assert (code, out) == (
        0, "would be added: a.wav (item a)\nwould be added: bad.mp3 (item bad)\n",
    )  # fmt: skip
    code, out, _ = call(*begin, "--once", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert sorted((row["event"], row["path"]) for row in rows) == [
        ("added", "a.wav"), ("failed", "bad.mp3"),
    ]  # fmt: skip
    (added,) = [row for row in rows if row["event"] == "added"]
    assert 0 <= added["familiarity"] <= 1
    assert added["predicted"]
    assert 0 <= added["probability"] <= 1
    (watched.folder / "bad.mp3").unlink()
    (watched.folder / "a.wav").rename(watched.folder / "b.wav")
    assert call(*begin, "--once").out == "renamed: a.wav -> b.wav (item a)\n"
    write_song(watched.folder / "c.wav", 61)
    said = call(*begin, "--once").out
    assert re.fullmatch(
        r"added: c\.wav \(item c\): it sounds like \w+ \(\d+%\), familiarity [01]\.\d\d(; .*)?\n",
        said,
    )
    (watched.folder / "b.wav").unlink()
    code, out, err = call(*begin, "--once")
    assert out == "deleted: b.wav (item a): the song stays in the model\n"
    assert err == "--remove takes out songs whose files are gone\n"
    assert call(*begin, "--once", "--remove").out == "removed: b.wav (item a)\n"
    assert call("watch", watched.model, "none", "--once") == (1, "", "error: none does not exist\n")
    assert "settle must be" in call(*begin[:3], "--settle", -1).err


def test_what_sounds_strange_is_said_in_the_line_of_its_event(call: Call, watched: Watched) -> None:
    rng = np.random.default_rng(0)
    noise = 0.2 * rng.standard_normal(5 * 22050)
    soundfile.write(watched.folder / "noise.wav", noise, 22050)
    said = call("watch", watched.model, watched.folder, "--settle", 0, "--once").out
    assert said.startswith("added: noise.wav (item noise): ")
    assert "unlike what the model has learned from (familiarity 0.0" in said
    assert said.count("recommended more carefully") == said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_command_in_order(
    call: Call, watched: Watched, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    if number == signal.SIGINT:  # ignored, as in what a script of the shell runs beside itself
        signal.signal(number, signal.SIG_IGN)

    def wakeups(changes: object) -> Iterator[bool]:
        yield True
        write_song(watched.folder / "late.wav", 60)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # as a terminal and a program above both send it
        yield True

    monkeypatch.setattr(watching.FolderChanges, "__iter__", wakeups)
    try:
        code, out, err = call("watch", watched.model, watched.folder, "--settle", 0)
        after = signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"{what}: {watched.folder}" for what in ("watching", "stopped")]
    assert after in (before, cli._end, signal.SIG_IGN)


def start(fork_server: ForkServer, watched: Watched) -> Program:
    return fork_server.start(
        ["watch", str(watched.model), str(watched.folder), "--settle", "0.2", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"COLDTUNE_TRACKING": "0"},
    )


def read_until(process: Program, wanted: set[str]) -> list[str]:
    """Lines of a process, until one begins with each of those wanted."""
    assert process.stdout is not None
    lines: list[str] = []
    too_late = threading.Timer(PATIENCE_SECONDS, process.kill)
    too_late.start()
    try:
        while not all(any(line.startswith(begin) for line in lines) for begin in wanted):
            line = process.stdout.readline()
            assert line, (wanted, lines, process.stderr and process.stderr.read())
            lines.append(line.rstrip("\n"))
    finally:
        too_late.cancel()
    return lines


@pytest.mark.slow
def test_a_process_follows_a_folder_and_ends_when_asked(
    fork_server: ForkServer, watched: Watched
) -> None:
    process = start(fork_server, watched)
    try:
        read_until(process, {f"watching: {watched.folder}"})
        write_song(watched.folder / "deep" / "a.wav", 60)
        read_until(process, {"added: deep/a.wav (item deep/a)"})
        (watched.folder / "deep").rename(watched.folder / "other")
        read_until(process, {"renamed: deep/a.wav -> other/a.wav (item deep/a)"})
        (watched.folder / "other" / "a.wav").rename(watched.folder / os.fsdecode(b"caf\xe9.wav"))
        read_until(process, {r"renamed: other/a.wav -> caf\xe9.wav (item deep/a)"})
        write_song(watched.folder / "b.wav", 61)
        read_until(process, {"added: b.wav (item b)"})
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, err) == (0, "")
        assert out == f"stopped: {watched.folder}\n"
    finally:
        process.close()


@pytest.mark.slow
def test_a_killed_process_loses_nothing(
    fork_server: ForkServer, watched: Watched, tmp_path: Path
) -> None:
    quiet = Watched(Path(shutil.copytree(watched.model, tmp_path / "other model")), watched.folder)
    for number in range(40):
        write_song(watched.folder / f"{number}.wav", 60 + number)
    process = start(fork_server, watched)
    try:
        read_until(process, {"added: 0.wav (item 0)"})
    finally:
        process.close()
    for name in ("1.wav", "38.wav"):
        (watched.folder / name).rename(watched.folder / f"renamed {name}")
    (watched.folder / "2.wav").unlink()
    until = time.monotonic() + PATIENCE_SECONDS
    while True:  # the lock of the killed process is free once the system has ended it
        try:
            watched.once(remove="all")
            break
        except BusyError:
            assert time.monotonic() < until
    assert quiet.once() != []
    ours, theirs = watched.onboarded(), quiet.onboarded()
    # A file that was renamed before it was heard has the id of its new name.
    assert sorted(ours.values()) == sorted(theirs.values())
    assert watched.once() == quiet.once() == []
