"""The command that follows a folder: `coldtune watch`."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from datasets.errors import ReplacedError
from datasets.texts.safe_text import printable
from recsys.commands.options import Model
from recsys.commands.printing import echo, print_json

if TYPE_CHECKING:
    from recsys.onboarding.watching import WatchEvent

_TRIES = 10

_FORCED = 1.0
"""Seconds after the first signal from which on another one ends the program at once."""


def watch(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="A folder of recordings.")],
    once: Annotated[
        bool, typer.Option("--once", help="Compare the folder with the model once, and end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and end; change nothing.")
    ] = False,
    remove: Annotated[
        bool,
        typer.Option(
            "--remove", help="Take out songs whose files are gone, if nobody has played them."
        ),
    ] = False,
    remove_played: Annotated[
        bool,
        typer.Option(
            "--remove-played", help="Take out played ones too, with their plays since the fit."
        ),
    ] = False,
    allow_mass_removal: Annotated[
        bool,
        typer.Option(
            "--allow-mass-removal",
            help="With --remove: even if more than half of the folder's songs are gone.",
        ),
    ] = False,
    settle: Annotated[
        float, typer.Option(help="Seconds for which a file must stay the same to be complete.")
    ] = 2.0,
    poll: Annotated[
        bool,
        typer.Option(
            "--poll", help="Look through the folder now and then: for folders of the network."
        ),
    ] = False,
    every: Annotated[
        float | None, typer.Option(help="With --poll: seconds between two looks; 5 by default.")
    ] = None,
    duplicates: Annotated[
        Literal["keep", "skip"],
        typer.Option(help="New files that sound like another one become items, or not."),
    ] = "keep",
    threads: Annotated[
        int | None, typer.Option(help="Processes that decode; as configured by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each event.")
    ] = False,
) -> None:
    """Follow a folder: onboard what arrives, notice what is renamed, changed or deleted.

    Its state is the model: when it starts, it compares the whole folder with it. Ctrl-C or SIGTERM
    ends it, after the song that is being written. Deleted files are reported; --remove takes
    their songs out.
    """
    from recsys import Recommender
    from recsys.onboarding.folder_changes import EVERY

    stopping = [(stopped := threading.Event()).set]
    with _stopping(lambda: [stop() for stop in stopping]):
        for tries in range(_TRIES):
            try:
                recommender = Recommender.load(model)
                break
            except ReplacedError:
                if tries == _TRIES - 1:
                    raise
        options: dict[str, Any] = {} if threads is None else {"threads": threads}
        watcher = recommender.watch_folder(
            folder,
            settle=settle,
            remove="all" if remove_played else "unplayed" if remove else "none",
            allow_mass_removal=allow_mass_removal,
            duplicates=duplicates,
            dry_run=dry_run,
            progress=not as_json and sys.stderr is not None and sys.stderr.isatty(),
            poll=(EVERY if every is None else every) if poll or every is not None else None,
            **options,
        )
        stopping.append(watcher.stop)
        if stopped.is_set():
            watcher.stop()
        hinted = remove or remove_played or as_json
        for event in watcher.once() if once or dry_run else watcher.events():
            if as_json:
                mark = {"dry_run": True} if dry_run else {}
                print_json({**event._asdict(), **mark}, indent=None)
                continue
            echo(_line(event, dry_run=dry_run))
            if event.event == "deleted" and not hinted:
                hinted = True
                echo("--remove takes out songs whose files are gone", err=True)


def _line(event: "WatchEvent", *, dry_run: bool) -> str:
    """An event as a line of text."""
    from recsys.content.familiarity import caution
    from recsys.onboarding.prediction import said_of_sound

    would = "would be " if dry_run and event.event in _DONE else ""
    path, item, before, reason = map(
        printable, (event.path, event.item_id, event.before, event.reason)
    )
    words = f"{before} -> {path}" if before else path
    parts = [f"{words} (item {item})" if item and words else words, reason]
    heard = printable(said_of_sound(event.predicted, event.probability, event.familiarity))
    parts.append("; ".join(filter(None, [heard, caution(event.familiarity)])))
    return ": ".join([f"{would}{event.event}", *filter(None, parts)])


_DONE = frozenset({"added", "replaced", "renamed", "updated", "removed"})
"""Events that say what was done to the model."""


@contextmanager
def _stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Within the block, ask to stop when a signal says so; another one later ends at once."""
    first: list[float] = []

    def handle(number: int, frame: object) -> None:
        if first and time.monotonic() - first[0] > _FORCED:
            before = handlers[number]
            if callable(before):
                before(number, frame)
            return
        if not first:
            first.append(time.monotonic())
            if sys.stderr is not None and sys.stderr.isatty():
                # Not by a stream, which may be in the midst of writing.
                with suppress(OSError):
                    os.write(2, b"\nstopping (once more ends at once)\n")
        stop()

    handlers: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None:
            continue
        if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:  # as under nohup
            continue
        with suppress(ValueError):  # not the main thread
            handlers[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)
