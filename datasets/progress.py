"""Progress bars on the error stream, so that printed results stay clean."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    title: str, total: int | None, *, shown: bool, done: int = 0, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on the error stream inside the block.

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
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amounts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    parts = (TextColumn("{task.description}"), BarColumn(), *amounts, TimeRemainingColumn())
    # What is printed meanwhile goes above the bar, but not where the output is another stream.
    console, together = Console(file=sys.stderr), sys.stdout.isatty()
    with Progress(*parts, console=console, redirect_stdout=together) as display:
        task = display.add_task(title, total=total, completed=done)
        yield lambda amount: display.advance(task, amount)
