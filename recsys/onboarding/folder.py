"""Onboard all recordings of a folder: decode in other processes, embed and store in batches."""

import json
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from sqlalchemy import select

from datasets.columns import GENRE, ITEM_ID, ITEM_TEXT, PATH, TITLE
from datasets.errors import InvalidArgumentError, UnknownItemError
from datasets.progress import progress_bar
from datasets.system.files import file_digest
from datasets.tables.frames import FrameLike
from datasets.tables.recordings import UNREADABLE
from datasets.tables.spellings import label_key
from datasets.tags import ALL_GENRES, read_file_tags
from datasets.texts.file_names import name_as_text
from datasets.texts.safe_text import printable
from embedding.audio.source import RecordingFile
from embedding.decoding.sound_digest import sound_digest
from embedding.hyperimage.inputs import AnyInputs, InputsOnDisk, folder_for_inputs
from embedding.parallel import Crashed, available_cores
from recsys.audio.recordings import RecordingEmbedder
from recsys.content.familiarity import careful_scores
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.read_write import batched, read_songs_of
from recsys.database.song import Song, SongRecording
from recsys.model.live import LiveModel
from recsys.onboarding.folder_entries import FolderEntry, folder_entries
from recsys.onboarding.known_files import (
    NEW,
    PERHAPS,
    SAME,
    Assignment,
    FoundFile,
    KnownFiles,
    StoredFile,
)
from recsys.onboarding.recordings import OnboardingResult

FILES_AT_ONCE = 32
"""Songs stored in one transaction: fewer make the disk slow, more are lost when killed."""

EMBEDDED_AT_ONCE = 8
"""Recordings embedded in one pass, small so that decoding processes do not wait."""

ADDED, UPDATED, UNCHANGED, FAILED = "added", "updated", "unchanged", "failed"
DUPLICATE, MISSING, REMOVED = "duplicate", "missing", "removed"

TWIN = "sounds the same as "
"""How the reason of a recording begins that has the same sound as another one, which it names."""

Duplicates = Literal["keep", "skip"]
"""What becomes of a new file whose sound another file or item has: an item of its own, or none."""

SAME_SOUND = 0.9999
"""Cosine from which two embeddings are those of one sound, where its digest is not known."""


class ModelWriter(NamedTuple):
    """The changes that onboarding a folder makes to a model, each durable when it returns."""

    add: Callable[[Sequence[Song]], None]
    """Stores songs, all or none, and makes them recommendable."""
    retell: Callable[[Sequence[Song]], None]
    """Gives songs that were onboarded since the fit, and may have been played, other texts."""
    remove: Callable[[str], None]
    """Takes an item out."""
    relocate: Callable[[Mapping[str, Mapping[str, str]]], None]
    """Stores where recordings are now: by item, the path by the digest of the content."""


class FileOutcome(NamedTuple):
    """What became of a file of the folder; what is said to be stored is stored."""

    file: FoundFile
    own: Assignment
    """The item of the file."""
    status: str
    reason: str = ""
    heard: OnboardingResult | None = None
    """Of a file that was added: what it sounds like."""

    @property
    def retagged(self) -> bool:
        """Whether something was written into the file since the model got to know it."""
        return self.own.stored is not None and self.own.stored.digest != self.file.digest

    @property
    def before(self) -> str:
        """Where the recording was, if it is the same and was elsewhere; "" otherwise."""
        stored = self.own.stored
        return stored.path if stored is not None and self.own.relation == SAME else ""


def onboard_folder(
    model: LiveModel,
    writer: ModelWriter,
    folder: Path,
    metadata: Path | FrameLike | None,
    *,
    workers: int,
    progress: bool,
    duplicates: Duplicates = "keep",
    remove_missing: bool = False,
) -> pd.DataFrame:
    """Add all recordings of a folder and its subfolders to a model.

    Songs are stored in batches, so that a killed run loses one batch at most. Recordings that the
    model has already, under whatever name and with whatever tags, are not decoded again: a repeated
    run continues.

    Args:
        model: the model as of now.
        writer: changes the model.
        folder: the recordings.
        metadata: table of texts for the recordings, see ``folder_entries``.
        workers: processes that decode.
        progress: show a progress bar.
        duplicates: whether a new recording that sounds like another becomes an item.
        remove_missing: take out the songs of earlier runs whose files are gone.

    Returns:
        item_id, path, status and reason; see `Recommender.onboard_folder`.

    Raises:
        DataError: the folder or the metadata cannot be used.
        InvalidArgumentError: the model has no network, or an argument is none of its values.
    """
    check_onboarding(model, workers, duplicates)
    entries, passed_over = folder_entries(folder, metadata)
    folder = folder.resolve()  # one spelling, however it is reached
    known = KnownFiles(model.catalog)
    model = model.reopened()  # with what other processes have stored
    files = LookedAtFiles()
    looked = files.look_at(
        folder, [one for one in entries if not one.problem], known, progress=progress
    )
    comparison = FolderComparison(model, writer, folder, known, looked, duplicates)
    results: dict[str, tuple[str, str, str]] = {}  # item id, status and reason by path
    for entry in entries:
        if entry.problem:
            results[entry.path] = entry.item_id, FAILED, entry.problem
    with progress_bar("onboarding", len(entries), shown=progress) as advance:
        advance(len(results))
        for one in comparison.outcomes(workers, advance=advance):
            results[one.file.entry.path] = one.own.item_id, one.status, one.reason
    rows = [
        (item_id, entry.shown, status, reason)
        for entry in entries
        for item_id, status, reason in (results[entry.path],)
    ]
    unreadable = [one.path for one in passed_over if one.kind == UNREADABLE]
    gone = comparison.missing(unreadable)
    rows += _missing(gone, folder, writer.remove if remove_missing else None)
    report = pd.DataFrame(rows, columns=[ITEM_ID, PATH, "status", "reason"])
    report.attrs["passed_over"] = [
        {"path": name_as_text(one.path), "reason": one.reason, "kind": one.kind}
        for one in passed_over
    ]
    return report


def check_onboarding(model: LiveModel, workers: int, duplicates: str) -> None:
    """Check that a model can take in a folder, and how it is to do it.

    Raises:
        InvalidArgumentError: the model has no network, or an argument is none of its values.
    """
    _ = model.audio
    if workers < 1:
        raise InvalidArgumentError(f"threads must be at least 1, not {workers}")
    if duplicates not in get_args(Duplicates):
        raise InvalidArgumentError(
            f"duplicates must be {' or '.join(get_args(Duplicates))}, not {duplicates!r}"
        )


class FolderComparison:
    """The recordings of a folder beside what a model has of them.

    Args:
        model: the model as of now.
        writer: changes the model.
        folder: the folder, absolute.
        known: the recordings of the model.
        looked: all recordings of the folder that may be read now.
        duplicates: whether a new recording that sounds like another becomes an item.

    Raises:
        InvalidArgumentError: the model has no network.
    """

    def __init__(
        self,
        model: LiveModel,
        writer: ModelWriter,
        folder: Path,
        known: KnownFiles,
        looked: Sequence["LookedAt"],
        duplicates: Duplicates = "keep",
    ) -> None:
        self._embedder = model.audio
        self._writer = writer
        self._folder = folder
        self._known = known
        self._looked = looked
        self._duplicates = duplicates
        self._assigned = known.assign(folder, [one.file for one in looked])
        self.items = _Items(model, [own.item_id for own in self._assigned.values()])

    def outcomes(
        self,
        workers: int,
        *,
        left_alone: Collection[str] = (),
        stopped: Callable[[], bool] = bool,
        advance: Callable[[int], object] = bool,
    ) -> Generator[FileOutcome, None, None]:
        """Make the model know the recordings, in batches; yield what became of each.

        What has to be decoded comes last, in any order.

        Args:
            workers: processes that decode.
            left_alone: paths of recordings that are not decoded, and of which nothing is yielded
                if they would have to be.
            stopped: whether to end early, with what is decoded already stored.
            advance: is told of each recording that is done with, yielded or not.
        """
        from embedding.hyperimage.extraction import (
            crash_message,
            decode_recording,
            in_processes_ahead,
        )

        batch = _Batch(self._embedder, self.items, self._writer)
        waiting = {}
        for one in self._looked:
            entry, own = one.file.entry, self._assigned[one.file.entry.path]
            note = f"{TWIN}{printable(own.twin)}" if own.twin else ""
            if self._is_unwanted(one, own):
                yield FileOutcome(one.file, own._replace(item_id=""), DUPLICATE, note)
            elif own.relation == SAME:
                status, reason = _retell(one, own, self.items, batch, self._writer)
                yield from batch.settled(FileOutcome(one.file, own, status, reason or note))
            elif entry.path in left_alone:
                advance(1)
                continue
            else:
                file = RecordingFile(self._folder / entry.path, printable(entry.path))
                waiting[file] = one, own, note
                continue
            advance(1)
            if stopped():
                break
        files = [] if stopped() else list(waiting)
        processes = min(workers, len(waiting) or 1)
        with ExitStack() as stack:
            folder = stack.enter_context(folder_for_inputs())
            jobs = [self._embedder.decoding_job(file, folder=folder) for file in files]
            # Closed: when interrupted, the processes end at once.
            decoded = stack.enter_context(
                closing(in_processes_ahead(decode_recording, jobs, processes))
            )
            for job, result in decoded:
                one, own, note = waiting[job.file]
                if isinstance(result, Crashed):
                    result = crash_message(job.file)
                if isinstance(result, str):
                    status, reason = FAILED, result.removeprefix(f"{job.file.name}: ")
                else:
                    assert result.inputs is not None  # no content is known to the job
                    recording = self._embedder.song_recording(job.file, result.digest, result.sound)
                    if own.relation == PERHAPS:
                        if batch.sounds_like(result.inputs, self.items.song(own.item_id)):
                            own = own._replace(relation=SAME)
                        else:
                            own = Assignment(own.otherwise, NEW, twin=own.twin)
                    if own.relation == SAME:
                        status, reason = _retell(one, own, self.items, batch, self._writer)
                    else:
                        status, reason = _add(one, own, self.items, recording, result.inputs, batch)
                outcome = FileOutcome(one.file, own, status, reason or note)
                yield from batch.settled(outcome)
                advance(1)
                if stopped():
                    break
            decoded.close()
            batch.store()
        yield from batch.settled()

    def __len__(self) -> int:
        return len(self._looked)

    def count_new(self, left_alone: Collection[str] = ()) -> int:
        """Count the recordings that `outcomes` decodes, duplicates of others among them."""
        return sum(
            own.relation != SAME and path not in left_alone for path, own in self._assigned.items()
        )

    def expected(self, left_alone: Collection[str] = ()) -> Iterator[FileOutcome]:
        """Yield what `outcomes` would, as far as that can be known without decoding anything."""
        for one in self._looked:
            entry, own = one.file.entry, self._assigned[one.file.entry.path]
            note = f"{TWIN}{printable(own.twin)}" if own.twin else ""
            if self._is_unwanted(one, own):
                yield FileOutcome(one.file, own._replace(item_id=""), DUPLICATE, note)
            elif own.relation == SAME:
                texts, stored = one.texts(self.items.texts(own.item_id), own), own.stored
                told = _means_the_same(texts, self.items.texts(own.item_id))
                moved = stored is not None and stored.path not in (one.file.path, entry.shown)
                status = UNCHANGED if (told and not moved) or self._is_told(own) else UPDATED
                yield FileOutcome(one.file, own, status, note)
            elif entry.path not in left_alone:
                yield FileOutcome(one.file, own, ADDED, note)

    def _is_told(self, own: Assignment) -> bool:
        """Return whether the texts of an item are part of what the fit has learned."""
        items = self.items
        return items.is_played(own.item_id) and items.is_of_the_fit(own.item_id)

    def missing(self, unreadable: Sequence[str]) -> tuple[list[StoredFile], int]:
        """List what the model has of this folder and is no longer there; see `KnownFiles.missing`.

        Args:
            unreadable: paths in the folder that could not be looked into.
        """
        claimed = {own.item_id for own in self._assigned.values()}
        return self._known.missing(self._folder, claimed, unreadable)

    def _is_unwanted(self, one: "LookedAt", own: Assignment) -> bool:
        """Return whether a recording is a duplicate of which no item is to be made."""
        skipped = self._duplicates == "skip" and not one.file.entry.named
        return bool(own.twin) and own.relation == NEW and skipped


@dataclass(frozen=True)
class LookedAt:
    """A file of the folder with its tags."""

    file: FoundFile
    tags: Mapping[str, str]

    def texts(self, stored: Mapping[str, str], own: Assignment) -> dict[str, str]:
        """Return title, artist, album, genre and tags that the item is to have.

        The table comes first. Tags that were written since the item was stored come before what is
        stored, and the others after it; the file's name is a title if there is none.
        """
        texts = dict(stored)
        written = own.stored is None or own.stored.digest != self.file.digest
        for name, text in self.tags.items():
            if written or not texts.get(name):
                texts[name] = text
        if written and self.tags.get(GENRE) and ALL_GENRES not in self.tags:
            texts.pop(ALL_GENRES, None)
        texts.update({name: text for name, text in self.file.entry.texts.items() if text})
        before = "" if own.stored is None else Path(own.stored.path).stem
        if texts.get(TITLE, "") in ("", before) and not self.tags.get(TITLE):
            texts[TITLE] = self.file.entry.texts.get(TITLE) or Path(self.file.entry.shown).stem
        return {name: text for name, text in texts.items() if text}


class _Items:
    """Texts and recordings of the items of a model that files were found for."""

    def __init__(self, model: LiveModel, item_ids: Iterable[str]) -> None:
        self.model = model
        self._texts = _stored_texts(model.catalog, item_ids)

    def texts(self, item_id: str) -> dict[str, str]:
        """Return the texts that are stored, without empty ones."""
        return self._texts.get(item_id, {})

    def song(self, item_id: str) -> Song:
        """Read an item of the model with its embedding."""
        with self.model.catalog.transaction() as connection:
            for song in read_songs_of(connection, [item_id]):
                return song
        raise UnknownItemError(f"item {item_id!r} was taken out meanwhile; run this again")

    def is_played(self, item_id: str) -> bool:
        """Return whether somebody has played the item."""
        try:
            rows = self.model.items.rows([item_id])
        except UnknownItemError:  # stored, but not used: its embedding is damaged
            return False
        return not self.model.items.is_cold(rows)[0]

    def is_of_the_fit(self, item_id: str) -> bool:
        """Return whether the fit knows the item."""
        return self.model.items.fitted_rows([item_id])[0] is not None


Stamp = tuple[int, ...]
"""What the file system says of a file and changes with it: inode, size, times."""


class LookedAtFiles:
    """Digests and tags of files; those of a file whose stamp has stayed are not read again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Stamp, LookedAt]] = {}

    def look_at(
        self,
        folder: Path,
        entries: Sequence[FolderEntry],
        known: KnownFiles,
        *,
        stamps: Mapping[str, Stamp] | None = None,
        stopped: Callable[[], bool] = bool,
        progress: bool = False,
        least: int = 1,
    ) -> list[LookedAt]:
        """Read digests and tags of files; those that cannot be read are left to decoding.

        Args:
            folder: the folder, absolute.
            entries: its files.
            known: the recordings of the model.
            stamps: by path, taken before; files without one are read always.
            stopped: whether to end early; then files are missing from the result.
            progress: show a progress bar,
            least: if so many files at least have to be read.
        """
        stamps = stamps or {}
        seen: dict[str, tuple[Stamp, LookedAt]] = {}
        unread = []
        for entry in entries:
            stamp, before = stamps.get(entry.path), self._seen.get(entry.path)
            if stamp is None or before is None or before[0] != stamp:
                unread.append(entry)
            else:
                file = replace(before[1].file, entry=entry)
                seen[entry.path] = stamp, replace(before[1], file=file)
        shown = progress and len(unread) >= least
        read = _look_at(folder, unread, known, stopped=stopped, progress=shown)
        found = {one.file.entry.path: one for one in read}
        for path, one in found.items():
            if stamp := stamps.get(path):
                seen[path] = stamp, one
        self._seen = seen
        found.update({path: one for path, (_, one) in seen.items()})
        return [found[entry.path] for entry in entries if entry.path in found]


def _look_at(
    folder: Path,
    entries: Sequence[FolderEntry],
    known: KnownFiles,
    *,
    stopped: Callable[[], bool],
    progress: bool,
) -> list[LookedAt]:
    def look(entry: FolderEntry) -> LookedAt:
        path, digest, sound = folder / entry.path, "", ""
        with suppress(OSError, ValueError):
            if path.is_file():  # opening a pipe would wait
                digest = file_digest(path)
                sound = known.sound_of(digest) or sound_digest(path)
        found = FoundFile(entry, name_as_text(str(path)), digest, sound)
        return LookedAt(found, read_file_tags(path).texts if digest else {})

    looked: list[LookedAt] = []
    if not entries:
        return looked
    # Threads are enough: hashing and reading release the GIL.
    with (
        progress_bar("looking at files", len(entries), shown=progress) as advance,
        ThreadPoolExecutor(available_cores()) as threads,
    ):
        try:
            for one in threads.map(look, entries):
                looked.append(one)
                advance(1)
                if stopped():
                    threads.shutdown(wait=False, cancel_futures=True)
                    break
        except BaseException:
            # When interrupted, the files that were not looked at yet are not waited for.
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return looked


def _retell(
    one: LookedAt,
    own: Assignment,
    items: _Items,
    batch: "_Batch",
    writer: ModelWriter,
) -> tuple[str, str]:
    """Give an item whose recording is known its new texts and path; return status and reason."""
    stored = items.texts(own.item_id)
    texts = one.texts(stored, own)
    moved = own.stored is not None and own.stored.path not in (one.file.path, one.file.entry.shown)
    unchanged = _means_the_same(texts, stored)
    if unchanged and not moved:
        return UNCHANGED, ""
    if items.is_played(own.item_id) and items.is_of_the_fit(own.item_id):
        # The fit's texts are part of what it has learned; where the file is, is not.
        if moved and own.stored is not None and Path(own.stored.path).is_absolute():
            batch.relocate(own.item_id, own.stored.digest, one.file.path)
        return UNCHANGED, "" if unchanged else "has other texts now, which a new fit will read"
    song = items.song(own.item_id)
    recordings = tuple(
        replace(recording, path=one.file.path, digest=one.file.digest, sound=one.file.sound)
        if own.stored is not None and recording.digest == own.stored.digest
        else recording
        for recording in song.recordings
    )
    song = replace(_with_texts(song, texts), recordings=recordings)
    if items.is_played(own.item_id):
        writer.retell([song])
    else:
        batch.add_embedded(song)
    return UPDATED, ""


def _means_the_same(texts: Mapping[str, str], stored: Mapping[str, str]) -> bool:
    """Return whether texts are the stored ones, whatever the spelling of a label."""
    return texts.keys() == stored.keys() and all(
        label_key(name, text) == label_key(name, stored[name]) for name, text in texts.items()
    )


def _add(
    one: LookedAt,
    own: Assignment,
    items: _Items,
    recording: SongRecording,
    inputs: AnyInputs,
    batch: "_Batch",
) -> tuple[str, str]:
    """Add a decoded recording as an item, or to one; return status and reason."""
    stored = items.texts(own.item_id)
    texts = one.texts(stored, own)
    song = replace(_with_texts(Song(own.item_id), texts), recordings=(recording,))
    try:
        items.model.items.check_new([song])
    except InvalidArgumentError as error:
        if own.relation != NEW and batch.sounds_like(inputs, items.song(own.item_id)):
            return UNCHANGED, ""  # retagged before digests of sounds were stored
        return FAILED, str(error)
    batch.add(song, inputs)
    return ADDED, ""


def _with_texts(song: Song, texts: Mapping[str, str]) -> Song:
    title, artist, album, genre = (texts.get(name, "") for name in ITEM_TEXT)
    tags = {name: text for name, text in texts.items() if name not in ITEM_TEXT}
    return replace(song, title=title, artist=artist, album=album, genre=genre, tags=tags)


def _missing(
    missing: tuple[Sequence[StoredFile], int],
    folder: Path,
    remove: Callable[[str], None] | None,
) -> list[tuple[str, str, str, str]]:
    """Report, and take out if wanted, the songs of earlier runs whose files are gone."""
    gone, kept = missing
    inside = f"{name_as_text(str(folder))}/"
    status, reason = MISSING, "is gone since an earlier run"
    if remove is not None and gone and not kept:
        reason += "; as all songs of earlier runs are, so that none is taken out"
    elif remove is not None:
        status, reason = REMOVED, "is gone since an earlier run, and so is its item now"
        for one in gone:
            remove(one.item_id)
    return [(one.item_id, one.path.removeprefix(inside), status, reason) for one in gone]


class _Batch:
    """Songs that are decoded but not yet in the model, and what is to be said of them then."""

    def __init__(self, embedder: RecordingEmbedder, items: _Items, writer: ModelWriter) -> None:
        self._embedder = embedder
        self._state = items.model.state
        self._writer = writer
        self._decoded: list[tuple[Song, AnyInputs]] = []
        self._embedded: list[Song] = []
        self._moved: dict[str, dict[str, str]] = {}
        self._refused: dict[str, str] = {}
        """Items whose embedding the model cannot take, and why."""
        self._heard: dict[str, OnboardingResult] = {}
        """What songs sound like of which nothing was said yet."""
        self._outcomes: list[FileOutcome] = []

    def add(self, song: Song, inputs: AnyInputs) -> None:
        """Add a song with the inputs of the encoder; embed or store when there are enough."""
        self._decoded.append((song, inputs))
        self._store_if_many()
        if len(self._decoded) >= EMBEDDED_AT_ONCE:
            self._embed()

    def add_embedded(self, song: Song) -> None:
        """Add a song that has its embedding; store when there are enough."""
        self._embedded.append(song)
        self._store_if_many()

    def relocate(self, item_id: str, digest: str, path: str) -> None:
        """Note where a recording is now; store when there are enough."""
        self._moved.setdefault(item_id, {})[digest] = path
        self._store_if_many()

    def settled(self, *outcomes: FileOutcome) -> Iterator[FileOutcome]:
        """Take outcomes, and yield those of which everything is stored."""
        self._outcomes += outcomes
        if self._decoded or self._embedded or self._moved:
            return
        ready, self._outcomes = self._outcomes, []
        for one in ready:
            reason = self._refused.get(one.own.item_id)
            if one.status != ADDED:
                yield one
            elif reason is not None:
                yield one._replace(status=FAILED, reason=reason)
            else:
                yield one._replace(heard=self._heard.pop(one.own.item_id, None))

    def sounds_like(self, inputs: AnyInputs, song: Song) -> bool:
        """Return whether the embedding of these inputs of the encoder is that of a song."""
        if song.embedding is None:
            return False
        (one,) = self._embedder.embed_inputs([inputs])
        lengths = np.linalg.norm(one.embedding) * np.linalg.norm(song.embedding)
        return bool(one.embedding @ song.embedding > SAME_SOUND * lengths)

    def _store_if_many(self) -> None:
        if len(self._decoded) + len(self._embedded) + len(self._moved) >= FILES_AT_ONCE:
            self.store()

    def store(self) -> None:
        """Put all songs into the model, or none if that fails."""
        self._embed()
        songs, self._embedded = self._embedded, []
        self._writer.add(songs)
        if self._moved:
            moved, self._moved = self._moved, {}
            self._writer.relocate(moved)

    def _embed(self) -> None:
        decoded, self._decoded = self._decoded, []
        embedded = self._embedder.embed_inputs([inputs for _, inputs in decoded])
        for _, inputs in decoded:
            if isinstance(inputs, InputsOnDisk):
                inputs.remove()
        for (song, _), one in zip(decoded, embedded, strict=True):
            if problem := self._state.embedding_range.problem(one.embedding):
                self._refused[song.item_id] = f"its embedding cannot be used: {problem}"
                continue
            familiarity = self._state.familiarity_of(one.embedding, one.statistics)
            scores = careful_scores(one.scores, familiarity)
            heard = replace(song, embedding=one.embedding, scores=scores, familiarity=familiarity)
            self._embedded.append(heard)
            self._heard[song.item_id] = OnboardingResult.from_song(heard)


def _stored_texts(catalog: Catalog, item_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the texts of items of the model, without empty ones."""
    songs = schema.songs
    columns = [songs.c[name] for name in (ITEM_ID, *ITEM_TEXT, "tags")]
    found: dict[str, dict[str, str]] = {}
    with catalog.transaction() as connection:
        for page in batched(item_ids):
            for item_id, *texts, tags in connection.execute(
                select(*columns).where(songs.c.item_id.in_(page))
            ):
                whole = {**dict(zip(ITEM_TEXT, texts, strict=True)), **json.loads(tags)}
                found[item_id] = {name: text for name, text in whole.items() if text}
    return found
