"""Watch a folder: onboard what arrives, notice what is renamed, changed or deleted.

Whatever wakes the watcher, it compares the folder with the model; so nothing depends on events that
may be lost, and one that starts again goes on where the last one ended, however that was.
"""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict, get_args

from datasets.errors import (
    BusyError,
    DataError,
    InvalidArgumentError,
    ReplacedError,
    UnknownItemError,
)
from datasets.progress import progress_bar
from datasets.tables.recordings import ROOT, UNREADABLE, FolderListing, list_recordings
from datasets.tables.values import format_value
from datasets.tagged_files import item_ids
from datasets.texts.file_names import name_as_text, name_from_text
from recsys.model.live import LiveModel
from recsys.onboarding.folder import (
    ADDED,
    DUPLICATE,
    FAILED,
    REMOVED,
    TWIN,
    UNCHANGED,
    UPDATED,
    Duplicates,
    FileOutcome,
    FolderComparison,
    LookedAtFiles,
    ModelWriter,
    check_onboarding,
)
from recsys.onboarding.folder_changes import EVERY, FolderChanges, folder_identity
from recsys.onboarding.folder_entries import FolderEntry
from recsys.onboarding.known_files import OTHER_SOUND, KnownFiles, StoredFile
from recsys.onboarding.settling import FileStamp, SettlingFiles, stamps

REPLACED, RENAMED, DELETED, RETURNED = "replaced", "renamed", "deleted", "returned"
MANY_DELETED, WAITING, BUSY = "many deleted", "waiting", "busy"
FOLDER_GONE, FOLDER_BACK = "folder gone", "folder back"
WATCHING, POLLING, STOPPED = "watching", "polling", "stopped"

Removal = Literal["none", "unplayed", "all"]
"""Which songs are taken out when their files are gone: none, those that nobody has played, all."""

LOOK_AGAIN = 60.0
"""Seconds after which the folder is listed again, should nothing have been told of a change."""

MANY = 20
"""Deleted files that are named one by one, where more than half of all are gone."""

_SHOWN_FROM = 20
"""Recordings to decode from which on a progress bar is shown."""

_STEP = 0.2
"""Seconds between two looks of a run that ends by itself."""


class WatchEvent(NamedTuple):
    """Something that a watcher has seen or done; what it says to be stored is stored.

    Examples:
        >>> WatchEvent("renamed", "new.mp3", "song-1", before="old.mp3")._asdict()["before"]
        'old.mp3'
    """

    event: str
    """Of a song: "added"; "replaced": another recording is at the path of a song that nobody has
    played, and is that song's now; "renamed": also moved; "updated": has other tags; "unchanged",
    with a reason; "duplicate"; "failed"; "waiting": does not stop being written; "deleted": its
    file is gone; "removed": and so is the song now; "returned". Of the folder: "many deleted",
    "folder gone", "folder back", "watching", "polling", "stopped", "busy"."""
    path: str = ""
    """Within the folder, as text."""
    item_id: str = ""
    before: str = ""
    """Of a renamed file: its path before, within the folder if it was there."""
    reason: str = ""
    predicted: str | None = None
    """Of what was added or replaced: its most probable genre, as `Recommender.onboard` says it;"""
    probability: float | None = None
    """the probability of that;"""
    familiarity: float | None = None
    """and how familiar it sounds (`recsys.content.familiarity`)."""


class WatchArguments(TypedDict, total=False):
    """The options of a `FolderWatcher`."""

    settle: float
    remove: Removal
    allow_mass_removal: bool
    duplicates: Duplicates
    dry_run: bool
    threads: int
    progress: bool
    poll: float | None


class WatchedModel(NamedTuple):
    """What a watcher needs of a recommender."""

    model: Callable[[], LiveModel]
    """The model as of now."""
    writer: Callable[[LiveModel], ModelWriter]
    """Changes it, with recordings that the given model has heard."""
    refresh: Callable[[], bool]
    """Takes in what other processes have done."""


class FolderWatcher:
    """Keeps a model and a folder of recordings together; `Recommender.watch_folder` makes one.

    Its only state is the model. A file that was deleted is believed to be gone once it has been
    missing for `settle` seconds, while the folder is there and nothing in it is being written.

    Args:
        watched: the recommender.
        folder: the folder.
        settle: seconds for which a file must stay the same to be complete.
        remove: which songs to take out when their files are gone.
        allow_mass_removal: take out more than half of the folder's songs at once, too: without, a
            disk that is not mounted costs nothing.
        duplicates: whether a new recording that sounds like another becomes an item.
        dry_run: change nothing, and yield what would be done.
        threads: processes that decode.
        progress: show progress bars.
        poll: seconds between two looks at the folder; None to wait for events.
        clock: seconds that never go back.
        wall_clock: seconds since 1970, as the times of files.
        pause: waits for seconds; `once` uses it.

    Raises:
        DataError: no such folder.
        InvalidArgumentError: a model without a network, or a value out of its range.

    Examples:
        >>> recommender.watch_folder(folder)
        Traceback (most recent call last):
            ...
        datasets.errors.InvalidArgumentError: this model was fitted without recordings of its own: \
onboard with embedding=
    """

    def __init__(
        self,
        watched: WatchedModel,
        folder: Path,
        *,
        settle: float = 2.0,
        remove: Removal = "none",
        allow_mass_removal: bool = False,
        duplicates: Duplicates = "keep",
        dry_run: bool = False,
        threads: int = 1,
        progress: bool = False,
        poll: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        if not (math.isfinite(settle) and settle >= 0):
            raise InvalidArgumentError(f"settle must be a number of seconds, not {settle}")
        if poll is not None and not (math.isfinite(poll) and poll > 0):
            raise InvalidArgumentError(f"poll must be a positive number of seconds, not {poll}")
        if remove not in get_args(Removal):
            raise InvalidArgumentError(
                f"remove must be one of {', '.join(get_args(Removal))}, not {format_value(remove)}"
            )
        check_onboarding(watched.model(), threads, duplicates)
        if not folder.is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise DataError(f"{folder} {problem}")
        self._watched = watched
        self._folder = folder.resolve()  # one spelling, however it is reached
        self._settle = settle
        self._remove = remove
        self._allow_mass_removal = allow_mass_removal
        self._duplicates = duplicates
        self._dry_run = dry_run
        self._threads = threads
        self._progress = progress
        self._poll = poll
        self._clock = clock
        self._stop = threading.Event()
        self._pause = self._stop.wait if pause is None else pause
        self._settling = SettlingFiles(settle, clock=clock, wall_clock=wall_clock)
        self._files = LookedAtFiles()
        self._compared: dict[str, FileStamp] | None = None
        """The files of the last comparison; None if there is to be another one anyway."""
        self._fit = ""
        self._handled: dict[str, FileStamp] = {}
        """Files whose outcome is known, as they were then: they are not decoded again."""
        self._told: dict[str, WatchEvent] = {}
        self._gone_since: dict[str, float] = {}
        """When the file of an item was first missed."""
        self._told_gone: set[str] = set()
        self._told_many = 0
        self._away = False
        self._due: float | None = None
        """When to compare again although nothing has changed."""
        self._looked_at = -math.inf

    def stop(self) -> None:
        """End in order: what is decoded is stored, and `events` or `once` return."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def events(self, wakeups: Iterable[bool] | None = None) -> Iterator[WatchEvent]:
        """Follow the folder until `stop` is called.

        Args:
            wakeups: whether something may have changed, each when the folder is to be looked at or
                some time has passed; what the system tells of the folder if not given.

        Raises:
            ArtifactError: the model is gone, or cannot be written.
        """
        changes = FolderChanges(self._folder, self._stop, self._poll)
        started = polling = False
        for changed in changes if wakeups is None else wakeups:
            if self.stopped:
                break
            if changes.problem and not polling:
                polling = True
                yield WatchEvent(
                    POLLING, reason=f"{changes.problem}: it is looked through every {EVERY:.0f} s"
                )
            if changed or self._is_due():
                yield from self.look()
            if not started and not self.stopped:
                started = True
                yield WatchEvent(WATCHING, reason=str(self._folder))
        yield WatchEvent(STOPPED, reason=str(self._folder))

    def once(self) -> Iterator[WatchEvent]:
        """Compare the folder with the model until nothing in it is being written, and end.

        Raises:
            DataError: the folder has disappeared.
            ArtifactError: the model is gone, or cannot be written.
            BusyError: another process has been writing to the model for too long.
        """
        self._due = self._clock()
        while not self.stopped:
            if self._is_due():
                for event in self.look():
                    if event.event == BUSY:
                        raise BusyError(event.reason)
                    yield event
            if self._away:
                raise DataError(f"{self._folder} is not there any more")
            if self._due is None and not self._settling.waiting:
                return
            self._pause(_STEP)

    def look(self) -> Iterator[WatchEvent]:
        """Look at the folder; where it has changed, compare it with the model."""
        self._due, self._looked_at = None, self._clock()
        try:
            yield from self._look()
        except (ReplacedError, UnknownItemError):
            self._again()  # another process has changed the model meanwhile
        except BusyError as error:
            self._again()
            yield WatchEvent(BUSY, reason=str(error))

    def _again(self, seconds: float = 0.0) -> None:
        """Compare again, after some seconds."""
        self._compared = None
        then = self._clock() + seconds
        self._due = then if self._due is None else min(self._due, then)

    def _is_due(self) -> bool:
        now = self._clock()
        return (
            self._away
            or self._settling.unfinished
            or (self._due is not None and now >= self._due)
            or now - self._looked_at >= LOOK_AGAIN
        )

    def _look(self) -> Iterator[WatchEvent]:
        root = folder_identity(self._folder)
        listing = list_recordings(self._folder)
        if root is None or any(one.kind == ROOT for one in listing.passed_over):
            if not self._away:
                self._away = True
                yield WatchEvent(
                    FOLDER_GONE, reason=f"{self._folder} is not there; it is waited for"
                )
            return
        if self._away:
            self._away, self._compared = False, None
            yield WatchEvent(FOLDER_BACK, reason=str(self._folder))
        there = stamps(self._folder, listing.recordings)
        complete = self._settling.complete(there)
        for path in self._settling.endless():
            self._compared = None
            yield WatchEvent(
                WAITING, name_as_text(path), reason="is still being written; it is waited for"
            )
        if complete == self._compared:
            return
        self._watched.refresh()
        compared = dict(complete)
        yield from self._compare(listing, complete, root)
        if self._due is None and not self.stopped:
            self._compared = compared

    def _compare(
        self, listing: FolderListing, complete: dict[str, FileStamp], root: tuple[int, int]
    ) -> Iterator[WatchEvent]:
        model = self._watched.model()
        writer = self._watched.writer(model)
        if model.revision[0] != self._fit:  # what another fit knows is another matter
            self._fit = model.revision[0]
            self._handled.clear()
        self._handled = {
            path: stamp for path, stamp in self._handled.items() if complete.get(path) == stamp
        }
        self._told = {path: one for path, one in self._told.items() if path in complete}
        known = KnownFiles(model.catalog)
        names = dict(zip(listing.recordings, item_ids(listing.recordings), strict=True))
        entries = [FolderEntry(path, names[path], {}) for path in sorted(complete)]
        looked = self._files.look_at(
            self._folder,
            entries,
            known,
            stamps=complete,
            stopped=lambda: self.stopped,
            progress=self._progress,
            least=_SHOWN_FROM,
        )
        if self.stopped:
            return
        fitted = model.state.info.get("dataset", {}).get("folder")
        data_set = Path(name_from_text(fitted)).resolve() if fitted else None
        placed = known.place_in(self._folder, [one.file for one in looked], data_set)
        if placed and not self._dry_run:
            writer.relocate(placed)
        comparison = FolderComparison(model, writer, self._folder, known, looked, self._duplicates)
        for outcome in self._outcomes(comparison):
            yield from self._tell(outcome, complete)
        if self.stopped or folder_identity(self._folder) != root:
            return
        unreadable = [one.path for one in listing.passed_over if one.kind == UNREADABLE]
        gone, kept = comparison.missing(unreadable)
        yield from self._deletions(gone, kept, comparison, writer)

    def _outcomes(self, comparison: FolderComparison) -> Generator[FileOutcome, None, None]:
        if self._dry_run:
            yield from comparison.expected(self._handled)
            return
        new = comparison.count_new(self._handled)
        shown = self._progress and new >= _SHOWN_FROM
        with progress_bar("onboarding", len(comparison), shown=shown) as advance:
            yield from comparison.outcomes(
                self._threads,
                left_alone=dict(self._handled),
                stopped=lambda: self.stopped,
                advance=advance,
            )

    # ------------------------------------------------------------------ what is said

    def _tell(self, outcome: FileOutcome, complete: dict[str, FileStamp]) -> Iterator[WatchEvent]:
        """Say what became of a file, unless that has been said."""
        entry = outcome.file.entry
        path, stamp = entry.path, complete[entry.path]
        if outcome.status == FAILED and FileStamp.of(self._folder / path) != stamp:
            self._again()  # it was changed or taken away while it was read
            return
        if outcome.status != DUPLICATE:  # the other one may go
            self._handled[path] = stamp
        item_id = outcome.own.item_id
        if item_id in self._told_gone:
            self._told_gone.discard(item_id)
            yield WatchEvent(RETURNED, entry.shown, item_id)
        event = self._event(outcome)
        if event is not None and self._told.get(path) != event:
            yield event
        if event is None:
            self._told.pop(path, None)
        else:
            self._told[path] = event

    def _event(self, outcome: FileOutcome) -> WatchEvent | None:
        shown, own, status = outcome.file.entry.shown, outcome.own, outcome.status
        twin = outcome.reason.startswith(TWIN)
        if status in (UPDATED, UNCHANGED) and outcome.before not in ("", outcome.file.path, shown):
            reason = outcome.reason if outcome.retagged or twin else ""
            return WatchEvent(RENAMED, shown, own.item_id, self._within(outcome.before), reason)
        if status == UNCHANGED and (twin or not outcome.reason or not outcome.retagged):
            return None
        if status == ADDED and own.relation == OTHER_SOUND and own.stored is not None:
            status = REPLACED
        item_id = "" if status == DUPLICATE else own.item_id
        heard = () if outcome.heard is None else outcome.heard[1:]
        return WatchEvent(status, shown, item_id, "", outcome.reason, *heard)

    def _within(self, path: str) -> str:
        return path.removeprefix(f"{name_as_text(str(self._folder))}/")

    def _deletions(
        self,
        gone: list[StoredFile],
        kept: int,
        comparison: FolderComparison,
        writer: ModelWriter,
    ) -> Iterator[WatchEvent]:
        """Say whose files are gone, and take out those songs that are to be."""
        now = self._clock()
        since = {one.item_id: self._gone_since.get(one.item_id, now) for one in gone}
        self._gone_since = since
        self._told_gone.intersection_update(since)
        if not gone:
            if self._told_many:
                self._told_many = 0
                yield WatchEvent(RETURNED, reason="the songs that were gone are there again")
            return
        if self._settling.waiting:
            self._again(self._settle)  # one of them may be what is being copied
            return
        ripe = max(since.values()) + self._settle
        if now < ripe:
            self._again(ripe - now)
            return
        many = len(gone) > kept
        held = many and not self._allow_mass_removal
        if held and len(gone) > MANY:
            if len(gone) != self._told_many:
                self._told_many = len(gone)
                yield self._many_deleted(gone, kept)
            return
        self._told_many = 0
        for one in gone:
            if self.stopped:
                return
            reason = ""
            if self._remove == "none":
                reason = "the song stays in the model"
            elif self._remove == "unplayed" and comparison.items.is_played(one.item_id):
                reason = "the song stays in the model, as it has listeners"
            elif held:
                reason = "the song stays in the model, as more than half of all are gone"
            if reason:
                if one.item_id not in self._told_gone:
                    self._told_gone.add(one.item_id)
                    yield WatchEvent(DELETED, self._within(one.path), one.item_id, reason=reason)
                continue
            if not self._dry_run:
                writer.remove(one.item_id)
            yield WatchEvent(REMOVED, self._within(one.path), one.item_id)

    def _many_deleted(self, gone: list[StoredFile], kept: int) -> WatchEvent:
        total = len(gone) + kept
        names = ", ".join(self._within(one.path) for one in gone[:3])
        what = f"{len(gone):,} of {total:,} songs are gone" if kept else f"all {total:,} are gone"
        reason = f"{what} ({names}, ...): is a disk missing? They stay in the model"
        return WatchEvent(MANY_DELETED, reason=reason)
