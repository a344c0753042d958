"""Progress: bars on a terminal, lines where there is none, nothing where it is not wanted."""

import os
import pty
import subprocess
import sys
import threading

import pytest

from datasets import progress
from datasets.progress import count_steps, progress_bar, stage_bar

PROGRAM = """
from datasets import progress
from datasets.progress import count_steps, progress_bar, stage_bar
progress._LONG = 0.0
with stage_bar("blend weights", shown=True), count_steps("epochs", 3) as advance:
    advance(2)
with progress_bar("files", 2, shown=True) as advance:
    advance(2)
print("result")
"""


def on_terminal(program: str) -> str:
    """What a program prints to a terminal, both streams together."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0
    return said.decode()


@pytest.mark.slow
def test_a_terminal_has_bars_with_the_names_of_the_stages() -> None:
    said = on_terminal(PROGRAM)
    for name in ("blend weights", "epochs", "files", "2/2", "━", "result"):
        assert name in said


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Lines come at once; the event is set when one was printed."""
    monkeypatch.setattr(progress, "_LONG", 0.0)
    told = threading.Event()
    whole = progress._Lines._print

    def print_line(self: progress._Lines, tasks: list, when: str) -> None:
        whole(self, tasks, when)
        if tasks:
            told.set()

    monkeypatch.setattr(progress._Lines, "_print", print_line)
    monkeypatch.setattr(progress, "_MOST_SECONDS", 0.05)
    return told


def test_a_log_has_lines_without_carriage_returns(told_at_once, capfd) -> None:
    with stage_bar("blend weights", shown=True), count_steps("epochs", 3) as advance:
        advance(2)
        told_at_once.clear()
        assert told_at_once.wait(60)
    said = capfd.readouterr().err
    assert "blend weights, epochs 2 of 3: after 0 s\n" in said
    assert said.endswith("blend weights: done in 0 s\n")
    assert "\r" not in said
    assert "\x1b" not in said


def test_bytes_and_steps_have_their_amounts(told_at_once, capfd) -> None:
    with progress_bar("weights.npz", 3_000_000, shown=True, in_bytes=True, done=500_000) as advance:
        advance(1_000_000)
    with progress_bar("songs", None, shown=True) as advance:
        advance(1200)
    said = capfd.readouterr().err.splitlines()
    assert "weights.npz 1.5 of 3.0 MB: done in 0 s" in said
    assert "songs 1,200: done in 0 s" in said


def test_a_stage_that_fails_says_so(told_at_once, capfd) -> None:
    with pytest.raises(ValueError, match="wrong"), stage_bar("index", shown=True):
        raise ValueError("wrong")
    assert capfd.readouterr().err.splitlines()[-1] == "index: ended by an error after 0 s"


def test_what_is_counted_has_a_line_at_its_end_however_short(capfd) -> None:
    with progress_bar("songs", 3, shown=True) as advance:
        advance(3)
    assert capfd.readouterr().err == "songs 3 of 3: done in 0 s\n"


def test_stages_that_are_short_and_what_is_not_wanted_say_nothing(monkeypatch, capfd) -> None:
    monkeypatch.setattr(progress, "_LONG", 60.0)
    with stage_bar("index", shown=True), count_steps("parts", 2) as advance:
        advance(1)
    with stage_bar("index", shown=False), count_steps("parts", 2) as advance:
        advance(1)
    with count_steps("parts", 2) as advance:
        advance(2)
    with progress_bar("nothing", 0, shown=True) as advance:
        advance(0)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_every_stage_of_a_fit_is_named_in_a_log(told_at_once, tastes, capfd) -> None:
    from recsys import Recommender
    from tests.helpers.models import CONFIG

    dataset, embeddings = tastes
    Recommender(CONFIG).fit(dataset, embeddings=embeddings, progress=True)
    said = capfd.readouterr().err
    for name in ("blend weights", "source als", "fusion", "song database", "index"):
        assert f"{name}: done in" in said
    assert "\r" not in said


def test_a_program_without_a_terminal_prints_lines() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert b"\r" not in done.stderr
    assert b"blend weights" in done.stderr
    assert done.stdout == b"result\n"
