"""Listens become plays: at once where their track is an item, or when its song has come.

Each play carries the id of an event made of the user, the second and the item, so that a listen
counts once however often and by whichever player it is sent.
"""

import hashlib
import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from datasets.errors import ColdtuneError, UnknownItemError
from datasets.system.locks import Order, ThreadLock
from datasets.texts.file_names import name_from_text
from recsys.model.live import LiveModel
from recsys.model.updates import UpdateReport
from recsys.recommender import Recommender
from recsys.service.listens.matching import Track, find_items
from recsys.service.listens.unmatched import Listen, UnmatchedListens, UnmatchedTrack

if TYPE_CHECKING:
    from recsys.service.serving import ServedModel

logger = logging.getLogger("coldtune.service")

_PAGE = 1000
"""Tracks that are matched, and listens that are taken in, at once."""

_TRIES = 5
"""Attempts where an item is taken out between its match and its play."""


class IntakeReport(NamedTuple):
    """What became of listens."""

    plays: int
    """Those that are plays now."""
    repeated: int
    """Those that were known."""
    kept: int
    """Those that wait for their songs now."""


class ListenIntake:
    """Takes in what players and scrobblers report, and what of it waits.

    Args:
        served: the model.
        folders: folders from which paths of recordings may start.
        file: keeps the listens that wait; None keeps them in memory.

    Examples:
        >>> from recsys.service import ServedModel
        >>> intake = ListenIntake(ServedModel(recommender))
        >>> intake.take([Listen("ann", 1_700_000_000, Track("Artist 2", "Song 2")),
        ...              Listen("ann", 1_700_000_300, Track("Ana", "Blue"))])
        IntakeReport(plays=1, repeated=0, kept=1)
        >>> _ = recommender.onboard(
        ...     item_id="b", embedding=np.ones(4), title="Blue", artist="Ana"
        ... )
        >>> intake.settle(), len(intake.waiting)
        (1, 0)
    """

    def __init__(
        self, served: "ServedModel", folders: Iterable[Path] = (), file: Path | None = None
    ) -> None:
        self._served = served
        self._folders = [one.absolute() for one in folders]
        self.waiting = UnmatchedListens(file)
        self._settling = ThreadLock("listens that wait for their songs", Order.JOB)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="coldtune-listens")
        self._is_asked = threading.Event()
        self._settled: tuple[str, int] = ("", 0)
        """The fit and the number of rows up to which no listen that waits has an item."""

    def find(self, live: LiveModel, tracks: Sequence[Track], since: int = 0) -> list[str | None]:
        """Find the items that tracks are; see `find_items`."""
        fitted = live.state.info["dataset"].get("folder")
        folders = [*self._folders, Path.cwd()]
        if fitted is not None:
            folders.insert(0, Path(name_from_text(fitted)).absolute())
        return find_items(live, tracks, folders, since=since)

    def take(self, listens: Sequence[Listen]) -> IntakeReport:
        """Take in listens: durably, when this returns.

        Raises:
            ColdtuneError: they could not be stored. Send them again: what was stored counts once.
        """
        for _ in range(_TRIES):
            live = self._served.live
            found = self.find(live, [one.track for one in listens])
            waiting = [one for one, item in zip(listens, found, strict=True) if item is None]
            matched = [(one, item) for one, item in zip(listens, found, strict=True) if item]
            try:
                report = self.play(matched)
            except UnknownItemError:  # taken out a moment ago
                continue
            kept = self.waiting.keep(waiting)
            if self._served.live.revision != live.revision:
                self._settled = "", 0  # what has come meanwhile may be what these wait for
            repeated = report.repeated + len(waiting) - kept
            return IntakeReport(report.plays, repeated, kept)
        raise ColdtuneError("items are taken out faster than plays can be taken in; try again")

    def play(self, matched: Sequence[tuple[Listen, str]]) -> UpdateReport:
        """Take in listens to items as plays.

        Raises:
            ColdtuneError: as `Recommender.update`.
        """
        if not matched:
            return UpdateReport(0, 0, 0, 0, 0)
        times = [one.listened_at for one, _ in matched]
        table = pd.DataFrame(
            {
                "user_id": pd.Series([one.user_id for one, _ in matched], dtype=object),
                "item_id": pd.Series([item for _, item in matched], dtype=object),
                "weight": 1.0,
                "timestamp": pd.to_datetime(pd.Series(times), unit="s", utc=True),
                "event_id": pd.Series([_event(*one) for one in matched], dtype=object),
            }
        )
        return self._served.change(lambda one: _update(one, table))

    # ------------------------------------------------------------------ what waits

    def settle(self) -> int:
        """Take in the listens that wait for songs that are items now; return how many.

        Raises:
            ColdtuneError: the model or the file cannot be written.
        """
        with self._settling.held("taking them in"):
            live = self._served.live
            fit, rows = live.revision[0], len(live.items)
            since = self._settled[1] if self._settled[0] == fit else 0
            if since == rows:
                return 0
            since = since if since < rows else 0  # rows were given up: numbers are others
            taken, last = 0, -1
            while page := self.waiting.tracks(_PAGE, after=last):
                last = page[-1].number
                taken += self._settle(live, page, since)
            self._settled = fit, rows
            return taken

    def settle_soon(self) -> None:
        """Do so in a thread of its own, unless nothing has changed or it is asked for already."""
        if not self._served.is_ready or self._is_asked.is_set():
            return
        live = self._served.live
        if self._settled != (live.revision[0], len(live.items)):
            self._is_asked.set()
            with suppress(RuntimeError):  # the service is being stopped
                self._executor.submit(self._settle_quietly)

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _settle_quietly(self) -> None:
        self._is_asked.clear()
        try:
            if taken := self.settle():
                logger.info("%d listens that waited for their songs are plays now", taken)
        except Exception as error:
            said = error if isinstance(error, ColdtuneError) else repr(error)
            logger.warning("listens that wait could not be taken in: %s", said)

    def _settle(self, live: LiveModel, page: Sequence[UnmatchedTrack], since: int) -> int:
        items = self.find(live, [one.track for one in page], since)
        found = {one.track: (one, item) for one, item in zip(page, items, strict=True) if item}
        taken = 0
        for listens in self.waiting.of_tracks([one for one, _ in found.values()], _PAGE):
            try:
                report = self.play([(one, found[one.track][1]) for one in listens])
            except UnknownItemError:  # taken out meanwhile; they wait on
                continue
            self.waiting.forget(listens)
            taken += report.plays
        return taken


def _update(recommender: Recommender, table: pd.DataFrame) -> UpdateReport:
    return recommender.update(table)


def _event(listen: Listen, item_id: str) -> str:
    """The id of the event that a listen to an item is."""
    told = f"{listen.listened_at}\n{len(listen.user_id)}\n{listen.user_id}\n{item_id}"
    return f"listen:{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"
