"""Progress bars that count bytes or steps, on the error stream.

A progress bar on the terminal, or none.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(
    title: str, total: int | None, *, shown: bool, done: int = 0, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how much was done since it was last called.

    total: how much there is, None where nobody knows. done: how much was done before.
    """
    if not shown:
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
    with Progress(*parts, console=Console(file=sys.stderr)) as display:
        task = display.add_task(title, total=total, completed=done)
        yield lambda amount: display.advance(task, amount)


@contextmanager
def progress_bar(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many steps were done since it was last called.

    The bar goes to the error stream, so that printed results stay clean.
    """
    if not shown:
        yield lambda _steps: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)
