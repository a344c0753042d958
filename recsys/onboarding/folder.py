"""Onboard all recordings of a folder: decode in other processes, embed and store in batches."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
from sqlalchemy import select

from datasets.arrays import Float32Array
from datasets.columns import ITEM_ID, ITEM_TEXT, PATH
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from datasets.safe_text import printable
from datasets.tables.frames import FrameLike
from datasets.tables.spellings import label_key
from datasets.tables.values import is_unicode
from embedding.audio.source import RecordingFile
from embedding.parallel import Crashed, in_processes
from recsys.database import schema
from recsys.database.catalog import Catalog
from recsys.database.read_write import batched
from recsys.database.song import Song, SongRecording
from recsys.model.live import LiveModel
from recsys.onboarding.folder_entries import FolderEntry, folder_entries

FILES_AT_ONCE = 32
"""Songs stored in one transaction: fewer make the disk slow, more are lost when killed."""

EMBEDDED_AT_ONCE = 8
"""Recordings embedded in one pass, small so that decoding processes do not wait."""

ADDED, UNCHANGED, FAILED = "added", "unchanged", "failed"


def onboard_folder(
    model: LiveModel,
    add: Callable[[Sequence[Song]], None],
    folder: Path,
    metadata: Path | FrameLike | None,
    *,
    workers: int,
    progress: bool,
) -> pd.DataFrame:
    """Add all recordings of a folder and its subfolders to a model.

    Songs are stored in batches, so that a killed run loses one batch at most. Recordings that the
    model already has, with the same texts, are not decoded again: a repeated run continues.

    Args:
        model: the model as of now.
        add: stores songs durably, all or none, and makes them recommendable.
        folder: the recordings.
        metadata: table of texts for the recordings, see ``folder_entries``.
        workers: processes that decode.
        progress: show a progress bar.

    Returns:
        item_id, path, status ("added", "unchanged" or "failed") and reason (of a failure).

    Raises:
        DataError: the folder or the metadata cannot be used.
        InvalidArgumentError: the model has no network, or `workers` < 1.
    """
    from embedding.hyperimage.extraction import crash_message, decode_recording

    if workers < 1:
        raise InvalidArgumentError(f"threads must be at least 1, not {workers}")
    embedder = model.audio
    entries = folder_entries(folder, metadata)
    known = _digests_of_unchanged(model.catalog, entries)
    batch = _Batch(model, add)
    results: dict[str, tuple[str, str]] = {}  # status and reason by path
    jobs, entry_of = [], {}
    for entry in entries:
        if entry.problem:
            results[entry.path] = FAILED, entry.problem
        else:
            file = RecordingFile(folder / entry.path, printable(entry.path))
            jobs.append(embedder.decoding_job(file, known.get(entry.item_id, ())))
            entry_of[file] = entry
    with (
        progress_bar("onboarding", len(entries), shown=progress) as advance,
        # Closed: when interrupted, the processes end at once.
        closing(in_processes(decode_recording, jobs, min(workers, len(jobs) or 1))) as decoded,
    ):
        advance(len(results))
        for job, result in decoded:
            entry = entry_of[job.file]
            if isinstance(result, Crashed):
                result = crash_message(job.file)
            if isinstance(result, str):
                results[entry.path] = FAILED, result.removeprefix(f"{job.file.name}: ")
            elif result.images is None:  # its digest is among the known ones
                results[entry.path] = UNCHANGED, ""
            else:
                song = _build_song(entry, embedder.song_recording(job.file, result.digest))
                try:
                    model.items.check_new([song])
                except InvalidArgumentError as error:
                    results[entry.path] = FAILED, str(error)
                else:
                    batch.add(song, result.images)
                    results[entry.path] = ADDED, ""
            advance(1)
        batch.store()
    for entry in entries:
        if results[entry.path][0] == ADDED and entry.item_id in batch.refused:
            results[entry.path] = FAILED, batch.refused[entry.item_id]
    return pd.DataFrame(
        [(entry.item_id, entry.path, *results[entry.path]) for entry in entries],
        columns=[ITEM_ID, PATH, "status", "reason"],
    )


class _Batch:
    """Songs that are decoded but not yet in the model."""

    def __init__(self, model: LiveModel, store: Callable[[Sequence[Song]], None]) -> None:
        self._embedder = model.audio
        self._range = model.state.embedding_range
        self._store = store
        self._decoded: list[tuple[Song, Float32Array]] = []
        self._embedded: list[Song] = []
        self.refused: dict[str, str] = {}
        """Items whose embedding the model cannot take, and why."""

    def add(self, song: Song, images: Float32Array) -> None:
        """Add a song with its hyper-images; embed or store when there are enough."""
        self._decoded.append((song, images))
        if len(self._decoded) + len(self._embedded) >= FILES_AT_ONCE:
            self.store()
        elif len(self._decoded) >= EMBEDDED_AT_ONCE:
            self._embed()

    def store(self) -> None:
        """Put all songs into the model, or none if that fails."""
        self._embed()
        songs, self._embedded = self._embedded, []
        self._store(songs)

    def _embed(self) -> None:
        decoded, self._decoded = self._decoded, []
        embedded = self._embedder.embed_images([images for _, images in decoded])
        for (song, _), one in zip(decoded, embedded, strict=True):
            if problem := self._range.problem(one.embedding):
                self.refused[song.item_id] = f"its embedding cannot be used: {problem}"
                continue
            self._embedded.append(replace(song, embedding=one.embedding, scores=one.scores))


def _digests_of_unchanged(
    catalog: Catalog, entries: Iterable[FolderEntry]
) -> Mapping[str, set[str]]:
    """Return the recordings' digests of items that the model has with the texts of their entry."""
    songs, recordings = schema.songs, schema.recordings
    texts_of = {entry.item_id: entry.texts for entry in entries}
    digests: dict[str, set[str]] = {}
    with catalog.transaction() as connection:
        for page in batched(item_id for item_id in texts_of if is_unicode(item_id)):
            columns = [songs.c[name] for name in (ITEM_ID, *ITEM_TEXT, "tags")]
            query = select(*columns).where(songs.c.item_id.in_(page))
            for item_id, *texts, tags in connection.execute(query):
                stored = {**dict(zip(ITEM_TEXT, texts, strict=True)), **json.loads(tags)}
                wanted = texts_of[item_id]
                if all(
                    label_key(name, stored.get(name, "")) == label_key(name, text)
                    for name, text in wanted.items()
                ):
                    digests[item_id] = set()
            query = select(recordings.c.item_id, recordings.c.digest)
            for item_id, digest in connection.execute(query.where(recordings.c.item_id.in_(page))):
                if item_id in digests:
                    digests[item_id].add(digest)
    return digests


def _build_song(entry: FolderEntry, recording: SongRecording) -> Song:
    title, artist, album, genre = (entry.texts.get(name, "") for name in ITEM_TEXT)
    tags = {name: text for name, text in entry.texts.items() if name not in ITEM_TEXT and text}
    return Song(entry.item_id, title, artist, album, genre, tags, recordings=(recording,))
