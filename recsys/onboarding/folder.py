"""Whole folders of new recordings: decoded in other processes, added batch by batch.

What is added is on the disk (where the model is) batch by batch, so that a run that was killed
loses one batch at most; a repeat hears only what is not in the model yet.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import select

from datasets.arrays import Float32Array
from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, ITEM_TEXT, PATH, TITLE
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from datasets.tables.values import is_unicode
from embedding.audio.source import RecordingFile, printable
from embedding.parallel import Crashed, in_processes
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.read_write import batched
from recsys.database.song import Song, SongRecording
from recsys.model.live import LiveModel
from recsys.onboarding.folder_entries import FolderEntry, folder_entries

if TYPE_CHECKING:
    from embedding.hyperimage.extraction import DecodedRecording, DecodingJob

BATCH = 32
"""Recordings that are stored at once; fewer make the disk slow, more are lost in a kill."""

AT_ONCE = 8
"""Recordings that are embedded at once: before the decoding processes run out of work."""

ADDED, UNCHANGED, FAILED = "added", "unchanged", "failed"


def onboard_folder(
    library: LiveModel,
    add: Callable[[Sequence[Song]], None],
    folder: Path,
    metadata: Path | pd.DataFrame | None,
    *,
    workers: int,
    progress: bool,
) -> pd.DataFrame:
    """Add the recordings of a folder, see ``Recommender.onboard_folder``.

    add: stores songs durably and makes them recommendable, all of them or none. workers: processes
    that decode.
    """
    from embedding.hyperimage.extraction import decode_recording

    if workers < 1:
        raise InvalidArgumentError(f"threads must be at least 1, not {workers}")
    run = _Run(library, add)
    wanted = folder_entries(folder, metadata)
    stored = _stored(library.catalog, [entry.item_id for entry in wanted])
    with progress_bar("onboarding", len(wanted), shown=progress) as advance:
        jobs, waiting = [], {}
        for entry in wanted:
            if entry.problem:
                run.report(entry, FAILED, entry.problem)
                advance(1)
            else:
                job = run.job(entry, folder, stored.get(entry.item_id))
                waiting[job.file] = entry
                jobs.append(job)
        # Ended at once, and not some time later, when this is interrupted.
        with closing(in_processes(decode_recording, jobs, min(workers, len(jobs) or 1))) as results:
            for job, result in results:
                run.take(waiting[job.file], job, result)
                advance(1)
        run.store()
    return pd.DataFrame(
        [run.reports[entry.path] for entry in wanted], columns=[ITEM_ID, PATH, "status", "reason"]
    )


@dataclass(frozen=True)
class _Arrived:
    """A recording that was decoded, and is not in the model yet."""

    entry: FolderEntry
    recording: SongRecording
    images: Float32Array


class _Run:
    """One folder on its way into a model."""

    def __init__(self, library: LiveModel, add: Callable[[Sequence[Song]], None]) -> None:
        self._model = library
        self._embedder = library.audio
        self._add = add
        self._arrived: list[_Arrived] = []
        self._heard: list[tuple[FolderEntry, Song]] = []
        self.reports: dict[str, tuple[str, str, str, str]] = {}
        """By path."""

    def job(self, entry: FolderEntry, folder: Path, stored: "_Stored | None") -> "DecodingJob":
        """What to ask of a process; what the model holds unchanged is not decoded again."""
        file = RecordingFile(folder / entry.path, printable(entry.path))
        same = stored is not None and stored.says(entry.texts)
        return self._embedder.decoding_job(
            file, stored.digests if stored is not None and same else set()
        )

    def take(
        self, entry: FolderEntry, job: "DecodingJob", result: "DecodedRecording | str | Crashed"
    ) -> None:
        """A recording came back from a process."""
        from embedding.hyperimage.extraction import crash_message

        if isinstance(result, Crashed):
            result = crash_message(job.file)
        if isinstance(result, str):
            self.report(entry, FAILED, result.removeprefix(f"{job.file.name}: "))
        elif result.images is None:
            self.report(entry, UNCHANGED)
        else:
            recording = self._embedder.recording(job.file, result.digest)
            try:
                self._model.items.check_new([_song(entry, recording)])
            except InvalidArgumentError as error:
                self.report(entry, FAILED, str(error))
                return
            self._arrived.append(_Arrived(entry, recording, result.images))
            if len(self._arrived) + len(self._heard) >= BATCH:
                self.store()
            elif len(self._arrived) >= AT_ONCE:
                self._hear()

    def store(self) -> None:
        """Add what has arrived: all of it, or, where this fails, none."""
        self._hear()
        heard, self._heard = self._heard, []
        self._add([song for _, song in heard])
        for entry, _ in heard:
            self.report(entry, ADDED)

    def _hear(self) -> None:
        arrived, self._arrived = self._arrived, []
        sounds = self._embedder.embed_images([one.images for one in arrived])
        for one, sound in zip(arrived, sounds, strict=True):
            song = replace(_song(one.entry, one.recording), **vars(sound))
            self._heard.append((one.entry, song))

    def report(self, entry: FolderEntry, status: str, reason: str = "") -> None:
        """What has become of an entry."""
        self.reports[entry.path] = (entry.item_id, entry.path, status, reason)


@dataclass(frozen=True)
class _Stored:
    """What the model holds of an item."""

    texts: dict[str, str]
    digests: set[str]
    """Of the contents of its recordings."""

    def says(self, texts: Mapping[str, str]) -> bool:
        """Whether these texts are there already."""
        return all(self.texts.get(name, "") == text for name, text in texts.items())


def _stored(catalog: Catalog, item_ids: Iterable[str]) -> dict[str, _Stored]:
    """What the model holds of the items that it has."""
    songs, recordings = schema.songs, schema.recordings
    found: dict[str, _Stored] = {}
    columns = [songs.c[name] for name in (ITEM_ID, *ITEM_TEXT, "tags")]
    with catalog.transaction() as connection:
        for page in batched(item for item in item_ids if is_unicode(item)):
            query = select(*columns).where(songs.c.item_id.in_(page))
            for item_id, *texts, tags in connection.execute(query):
                own = dict(zip(ITEM_TEXT, texts, strict=True))
                found[item_id] = _Stored({**own, **json.loads(tags)}, set())
            heard = select(recordings.c.item_id, recordings.c.digest)
            for item_id, digest in connection.execute(heard.where(recordings.c.item_id.in_(page))):
                found[item_id].digests.add(digest)
    return found


def _song(entry: FolderEntry, recording: SongRecording) -> Song:
    texts = entry.texts
    return Song(
        item_id=entry.item_id,
        title=texts.get(TITLE, ""),
        artist=texts.get(ARTIST, ""),
        album=texts.get(ALBUM, ""),
        genre=texts.get(GENRE, ""),
        tags={name: text for name, text in texts.items() if name not in ITEM_TEXT and text},
        recordings=(recording,),
    )
