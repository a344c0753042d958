"""What commands print fits a terminal of any width, and a pipe has a line for each row."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

from recsys.commands.printing import print_frame
from recsys.commands.recommend import shares_together
from tests.helpers.commands import Call

SONGS = pd.DataFrame(
    {
        "rank": [1, 2],
        "item_id": ["demo-0145", "demo-2"],
        "score": [2.7214, float("nan")],
        "title": ["A long title of many words that goes on and on", "[bold]\tB\x1b[2J"],
        "artist": ["\u9ed2\u6fa4\u660e and the band of his brother", ""],
        "cold": [True, False],
        "share_als": [0.25, 0.5],
        "share_popularity": [0.75, 0.0],
    }
)


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[pd.DataFrame, int], str]:
    """Print a frame to a terminal of some width."""

    def show(frame: pd.DataFrame, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        print_frame(frame)
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40, 20])
def test_a_terminal_of_any_width(shown: Callable[[pd.DataFrame, int], str], width: int) -> None:
    out = shown(shares_together(SONGS), width)
    assert "\x1b[2J" not in out
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)  # bold
    assert max(map(cell_len, out.splitlines())) <= width
    for text in ("demo-0145", "demo-2", "2.721", "[bold]", "brother", "0.25"):  # no word is cut
        assert text in out


def test_a_pipe_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_frame(SONGS)
    header, one, two = capsys.readouterr().out.splitlines()
    assert header.split("\t") == list(SONGS)
    assert one.split("\t") == [
        "1", "demo-0145", "2.721", SONGS["title"][0], SONGS["artist"][0], "yes", "0.250", "0.750",
    ]  # fmt: skip
    assert two.split("\t") == [
        "2", "demo-2", "", r"[bold]\tB\x1b[2J", "", "", "0.500", "0.000",
    ]  # fmt: skip


def test_shares_in_one_column() -> None:
    found = shares_together(SONGS)
    assert list(found)[-2:] == ["cold", "shares"]
    assert found["shares"].tolist() == ["popularity 0.75, als 0.25", "als 0.50"]


def test_the_list_of_data_sets(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = call("data", "list").out.splitlines()
    assert lines[0].split("\t") == ["name", "description", "licence", "how"]
    assert all(len(line.split("\t")) == 4 for line in lines)
    assert not any(line != line.strip() or "\u2026" in line or "\x1b" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["data", "list"], ["--help"], ["data", "list", "--json"]])
def test_a_reader_that_stops_ends_the_program_quietly(command: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # nobody reads
    with os.fdopen(writing, "wb") as pipe:
        process = subprocess.run(
            [sys.executable, "-m", "recsys.cli", *command],
            stdout=pipe, stderr=subprocess.PIPE, timeout=600, check=False,
        )  # fmt: skip
    assert process.stderr == b""
    assert process.returncode in (1, 141)  # 1 where Typer noticed it


@pytest.mark.slow
def test_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "recsys.cli", "data", "list"],
            stdout=full, stderr=subprocess.PIPE, timeout=600, check=False,
        )  # fmt: skip
    message = "error: nothing more can be written: No space left on device\n"
    assert process.stderr.decode() == message
    assert process.returncode == 1
