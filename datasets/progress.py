"""Progress on the error stream: bars on a terminal, now and then a line where there is none.

A stage of long work has a bar of its own (`stage_bar`); what happens inside it may count its steps
there (`count_steps`) without being told whether anything is shown.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

_LONG = 2.0
"""Seconds from which on a stage is worth a line, and its bar stays when it is over."""

_MOST_SECONDS = 60.0
"""Lines come after 2, 4, 8 ... seconds, and then as often as this."""

_Advance = Callable[[int], None]


class _Display(Protocol):
    """Where steps are counted."""

    def add(self, title: str, total: int | None, done: int = 0) -> Any:
        """Begin to count under a title; return what `advance` and `remove` know it by."""

    def advance(self, task: Any, amount: int) -> None:
        """Count further steps."""

    def remove(self, task: Any) -> None:
        """End what was counted."""


_RUNNING: ContextVar["_Display | None"] = ContextVar("coldtune_progress", default=None)


@contextmanager
def progress_bar(
    title: str, total: int | None, *, shown: bool, done: int = 0, in_bytes: bool = False
) -> Iterator[_Advance]:
    """Show progress on the error stream inside the block: a bar on a terminal, else lines.

    Args:
        title: what is counted, shown left of the bar.
        total: number of steps or bytes; None if unknown.
        shown: whether to show anything; of no steps at all, nothing is.
        done: number already done.
        in_bytes: count bytes, and show the speed.

    Yields:
        A function to call with the number of steps or bytes done since its last call.

    Examples:
        >>> with progress_bar("files", 2, shown=False) as advance:
        ...     for _ in range(2):
        ...         advance(1)
    """
    if not shown or total == 0:
        yield lambda _amount: None
        return
    with _display(in_bytes=in_bytes) as display:
        task = display.add(title, total, done)
        yield lambda amount: display.advance(task, amount)


@contextmanager
def stage_bar(title: str, *, shown: bool) -> Iterator[None]:
    """Show a stage of long work inside the block: its name, how long it takes, its `count_steps`.

    Examples:
        >>> with stage_bar("index", shown=False):
        ...     pass
    """
    if not shown:
        yield
        return
    with _display(is_stage=True) as display:
        display.add(title, None)
        token = _RUNNING.set(display)
        try:
            yield
        finally:
            _RUNNING.reset(token)


@contextmanager
def count_steps(title: str, total: int | None) -> Iterator[_Advance]:
    """Count steps below the bar of the stage that runs; where none is shown, nothing is.

    Args:
        title: what is counted.
        total: number of steps; None if unknown.

    Yields:
        A function to call with the number of steps done since its last call.

    Examples:
        >>> with stage_bar("source fm", shown=False), count_steps("epochs", 2) as advance:
        ...     for _ in range(2):
        ...         advance(1)
    """
    display = _RUNNING.get()
    if display is None:
        yield lambda _amount: None
        return
    task = display.add(title, total)
    try:
        yield lambda amount: display.advance(task, amount)
    finally:
        display.remove(task)


@contextmanager
def _display(*, is_stage: bool = False, in_bytes: bool = False) -> Iterator[_Display]:
    from rich.console import Console

    console = Console(file=sys.stderr)
    on_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    lines = None if on_terminal else _Lines(in_bytes, is_stage)
    with lines or _Bars(console, in_bytes) as display:
        yield display


class _Bars:
    """Bars on a terminal, one below the other."""

    def __init__(self, console: Any, in_bytes: bool) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.text import Text

        class Steps(MofNCompleteColumn):
            """Steps done of all; nothing for a stage, which has none."""

            def render(self, task: Task) -> Text:
                return super().render(task) if task.fields["counted"] else Text()

        amounts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (Steps(),)
        parts = TextColumn("{task.description}"), BarColumn(), *amounts, TimeRemainingColumn()
        # What is printed meanwhile goes above the bar, but not where the output is another stream.
        together = sys.stdout.isatty()
        self._display = Progress(
            *parts, TimeElapsedColumn(), console=console, redirect_stdout=together
        )
        self._started = time.monotonic()
        self._first: Any = None

    def __enter__(self) -> "_Bars":
        self._display.start()
        return self

    def __exit__(self, *error: object) -> None:
        (first,) = (task for task in self._display.tasks if task.id == self._first)
        if first.total is None:  # a stage: it is over, and its bar full
            self._display.update(self._first, total=1, completed=1)
            if time.monotonic() - self._started < _LONG:
                self._display.live.transient = True
        self._display.stop()

    def add(self, title: str, total: int | None, done: int = 0) -> Any:
        counted = self._first is not None or total is not None
        task = self._display.add_task(title, total=total, completed=done, counted=counted)
        if self._first is None:
            self._first = task
        return task

    def advance(self, task: Any, amount: int) -> None:
        self._display.advance(task, amount)

    def remove(self, task: Any) -> None:
        self._display.remove_task(task)


class _Lines:
    """A line now and then, for a log; the last one when it is over.

    A stage that takes less than two seconds has none.
    """

    def __init__(self, in_bytes: bool, is_stage: bool) -> None:
        self._in_bytes = in_bytes
        self._is_stage = is_stage
        self._tasks: list[list[Any]] = []
        """Title, steps done and all steps of each that is counted."""
        self._over = threading.Event()
        self._started = time.monotonic()
        self._clock = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> "_Lines":
        self._clock.start()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._over.set()
        self._clock.join()
        if not self._is_stage or time.monotonic() - self._started >= _LONG:
            self._print(self._tasks[:1], "ended by an error after" if kind else "done in")

    def add(self, title: str, total: int | None, done: int = 0) -> Any:
        task = [title, done, total]
        self._tasks.append(task)
        return task

    def advance(self, task: Any, amount: int) -> None:
        task[1] += amount

    def remove(self, task: Any) -> None:
        self._tasks = [one for one in self._tasks if one is not task]

    def _tell(self) -> None:
        wait = _LONG
        while not self._over.wait(wait):
            self._print(list(self._tasks), "after")
            wait = min(2 * wait, _MOST_SECONDS)

    def _print(self, tasks: list[list[Any]], when: str) -> None:
        said = ", ".join(self._said(*task) for task in tasks)
        print(
            f"{said}: {when} {time.monotonic() - self._started:.0f} s", file=sys.stderr, flush=True
        )

    def _said(self, title: str, done: int, total: int | None) -> str:
        if self._in_bytes:
            whole = "" if total is None else f" of {total / 1e6:,.1f}"
            return f"{title} {done / 1e6:,.1f}{whole} MB"
        if total is None:
            return f"{title} {done:,}" if done else title
        return f"{title} {done:,} of {total:,}"
