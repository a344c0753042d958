"""Calls of the command line within the process of the tests."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from recsys import cli


class Said(NamedTuple):
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``call("recommend", model, "user-2")``: the command without a process of its own."""

    def run_main(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["coldtune", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        else:
            code = 0
        return Said(code, *capsys.readouterr())

    return run_main
