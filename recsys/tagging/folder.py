"""Write into the tags of a folder's recordings what a model hears of them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import PATH
from datasets.errors import AudioError, DataError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.tables.recordings import ROOT, list_recordings
from datasets.texts.file_names import name_as_text
from datasets.texts.safe_text import printable
from embedding.audio.source import RecordingFile
from embedding.decoding.sound_digest import sound_digest
from embedding.hyperimage.inputs import AnyInputs, InputsOnDisk, folder_for_inputs
from embedding.parallel import Crashed
from recsys.content.familiarity import DOUBTED
from recsys.database.heard import named_values
from recsys.model.live import LiveModel
from recsys.onboarding.folder import EMBEDDED_AT_ONCE
from recsys.tagging.fields import TagField, fields_of
from recsys.tagging.files import (
    AudioTags,
    Entry,
    change_file,
    elsewhere,
    open_tags,
    same_entries,
    why_not,
)
from recsys.tagging.journal import (
    HeardBefore,
    HeardKey,
    JournalContent,
    JournalWriter,
    WrittenTags,
    check_folder,
    default_journal,
    open_journal,
    read_journal,
)

logger = logging.getLogger("coldtune")

SET, RENEWED, OVERWRITTEN, KEPT = "set", "renewed", "overwritten", "kept"
SAME, UNSURE, UNFAMILIAR, BROKEN = "unchanged", "unsure", "unfamiliar", "failed"

CHANGES = (SET, RENEWED, OVERWRITTEN)
"""What becomes of a field that gets another content."""


@dataclass(frozen=True)
class TaggingOptions:
    """How recordings are to be tagged; see `Recommender.tag_folder`.

    Examples:
        >>> TaggingOptions(least=0.8).overwrite
        False
    """

    least: float = 0.5
    overwrite: bool = False
    unfamiliar: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:  # NaN too
            raise InvalidArgumentError(f"least must be from 0 to 1, not {self.least}")


@dataclass(frozen=True)
class _Row:
    """A row of the report: a field of a file, or a file of which there is no field to tell."""

    path: str
    status: str
    reason: str = ""
    field: str = ""
    old: Sequence[str] = ()
    new: Sequence[str] = ()
    familiarity: float | None = None


def tag_folder(
    model: LiveModel,
    folder: Path,
    *,
    write: bool = False,
    options: TaggingOptions | None = None,
    journal: Path | None = None,
    workers: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Say what a model hears of a folder's recordings, or write it; see `Recommender.tag_folder`.

    Args:
        model: a model whose encoder predicts tags.
        folder: the recordings.
        write: write into the files.
        options: which values are written.
        journal: where to keep what was written; by default beside the folder.
        workers: processes that decode.
        progress: show a progress bar.

    Raises:
        DataError: the folder or the journal cannot be used.
        InvalidArgumentError: the model predicts no tags, or an argument is out of its range.

    Examples:
        >>> tag_folder(LiveModel.__new__(LiveModel), folder, options=TaggingOptions(least=2))
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: least must be from 0 to 1, not 2
    """
    options = options or TaggingOptions()
    if workers < 1:
        raise InvalidArgumentError(f"threads must be at least 1, not {workers}")
    if not model.audio.encoder.heads_:
        raise InvalidArgumentError(
            "this model predicts no tags of recordings, so there is nothing to write: its encoder "
            "was not trained to tell genres, moods or other tags"
        )
    if not folder.is_dir():
        raise DataError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    folder = folder.resolve()
    paths, passed_over = list_recordings(folder)
    if not paths:
        cause = [one.reason for one in passed_over if one.kind == ROOT]
        raise DataError(f"{folder} {cause[0] if cause else 'holds no recordings'}")
    place = default_journal(folder) if journal is None else journal
    rows: dict[str, list[_Row]] = {}
    with ExitStack() as stack:
        writer = stack.enter_context(open_journal(place, folder)) if write else None
        known = writer.content if writer is not None else read_journal(place)
        check_folder(place, known, folder)
        known = known or JournalContent(folder)
        advance = stack.enter_context(progress_bar("tagging", len(paths), shown=progress))
        run = _Tagging(model, folder, options, known, writer)
        try:
            for path, found in run.rows(paths, workers):
                rows[path] = found
                advance(1)
        except KeyboardInterrupt:
            done = sum(any(one.status in CHANGES for one in found) for found in rows.values())
            if write:
                logger.warning("%d files were tagged; the same command goes on from there", done)
            raise
    report = pd.DataFrame([
        {
            PATH: name_as_text(one.path), "field": one.field, "old": list(one.old),
            "new": list(one.new), "status": one.status, "reason": one.reason,
            "familiarity": np.nan if one.familiarity is None else one.familiarity,
        }
        for path in paths
        for one in rows[path]
    ])  # fmt: skip
    report.attrs.update(written=write, journal=str(place), passed_over=len(passed_over))
    return report


class _Tagging:
    """One run over a folder."""

    def __init__(
        self,
        model: LiveModel,
        folder: Path,
        options: TaggingOptions,
        known: JournalContent,
        writer: JournalWriter | None,
    ) -> None:
        self._state = model.state
        self._embedder = model.audio
        self._fit = model.revision[0]
        self._folder = folder
        self._options = options
        self._known = known
        self._writer = writer
        self._possible = _possible_fields(model.audio.encoder.heads_)

    def rows(self, paths: Sequence[str], workers: int) -> Iterator[tuple[str, list[_Row]]]:
        """Yield what becomes of each recording, in any order."""
        from embedding.hyperimage.extraction import (
            crash_message,
            decode_recording,
            in_processes_ahead,
        )

        waiting: dict[RecordingFile, str] = {}
        for path in paths:
            try:
                found = self._before_hearing(path)
            except AudioError as error:
                found = [_Row(path, BROKEN, str(error))]
            if found is None:
                waiting[RecordingFile(self._folder / path, printable(path))] = path
            else:
                yield path, found
        batch: list[tuple[str, str, AnyInputs]] = []
        with ExitStack() as stack:
            place = stack.enter_context(folder_for_inputs())
            jobs = [self._embedder.decoding_job(file, folder=place) for file in waiting]
            # Closed: when interrupted, the processes end at once.
            decoded = stack.enter_context(
                closing(in_processes_ahead(decode_recording, jobs, min(workers, len(jobs) or 1)))
            )
            for job, result in decoded:
                path = waiting[job.file]
                if isinstance(result, Crashed):
                    result = crash_message(job.file)
                if isinstance(result, str):
                    yield path, [_Row(path, BROKEN, result.removeprefix(f"{job.file.name}: "))]
                    continue
                assert result.inputs is not None  # no content is known to the job
                batch.append((path, result.sound, result.inputs))
                if len(batch) >= EMBEDDED_AT_ONCE:
                    yield from self._heard(batch)
                    batch = []
            yield from self._heard(batch)

    def _before_hearing(self, path: str) -> list[_Row] | None:
        """Return what becomes of a file that need not be heard; None if it has to be."""
        place = self._folder / path
        if problem := why_not(place):
            return [_Row(path, BROKEN, problem)]
        tags = open_tags(place)
        if self._possible and not self._options.overwrite:
            # In a library with tags, most of the time is saved so.
            own = [(one, self._own(tags, one)) for one in self._possible]
            if all(texts for _, texts in own):
                return [_Row(path, KEPT, field=one.name, old=texts) for one, texts in own]
        if self._known.heard:
            sound = sound_digest(place)
            heard = self._known.heard.get(self._key(sound))
            if heard is not None:
                return self._settle(path, sound, heard)
        return None

    def _own(self, tags: AudioTags, field: TagField) -> list[str]:
        """What somebody else than coldtune has written into a field, as far as one can tell."""
        texts = tags.texts(field)
        if not texts:
            return elsewhere(tags, field)
        if not self._known.written:
            return texts
        ours = self._known.is_ours(sound_digest(tags.path), field.name, tags.entries(field))
        return [] if ours else texts

    def _key(self, sound: str) -> HeardKey:
        return HeardKey(sound, self._fit, self._options.least, self._options.unfamiliar)

    def _heard(
        self, batch: Sequence[tuple[str, str, AnyInputs]]
    ) -> Iterator[tuple[str, list[_Row]]]:
        """Embed decoded recordings, and say or write what they sound like."""
        embedded = self._embedder.embed_inputs([inputs for _, _, inputs in batch])
        for _, _, inputs in batch:
            if isinstance(inputs, InputsOnDisk):
                inputs.remove()
        for (path, sound, _), one in zip(batch, embedded, strict=True):
            if problem := self._state.embedding_range.problem(one.embedding):
                yield path, [_Row(path, BROKEN, f"its embedding cannot be used: {problem}")]
                continue
            familiarity = self._state.familiarity_of(one.embedding, one.statistics)
            # What is not trusted is not written; if it is to be, it is as the encoder says it.
            heard = HeardBefore(familiarity, named_values(one.scores, self._options.least))
            if self._writer is not None:
                self._writer.add_heard(self._key(sound), heard)
            yield path, self._settle(path, sound, heard)

    def _settle(self, path: str, sound: str, heard: HeardBefore) -> list[_Row]:
        familiarity = heard.familiarity
        doubted = familiarity is not None and familiarity < DOUBTED
        if doubted and not self._options.unfamiliar:
            reason = f"it sounds unlike what the model has learned from ({familiarity:.3f})"
            return [_Row(path, UNFAMILIAR, reason, familiarity=familiarity)]
        wanted = fields_of(heard.named)
        if not wanted:
            reason = f"nothing is as probable as {self._options.least:g}"
            return [_Row(path, UNSURE, reason, familiarity=familiarity)]
        try:
            return self._settle_fields(path, sound, wanted, familiarity)
        except AudioError as error:
            return [_Row(path, BROKEN, str(error), familiarity=familiarity)]

    def _settle_fields(
        self,
        path: str,
        sound: str,
        wanted: Mapping[TagField, list[str]],
        familiarity: float | None,
    ) -> list[_Row]:
        tags = open_tags(self._folder / path)
        before: dict[TagField, list[Entry]] = {}
        after: dict[TagField, list[Entry]] = {}
        rows = []
        for field, values in wanted.items():
            entries, made = tags.entries(field), tags.made(field, values)
            old = tags.texts(field)
            own = elsewhere(tags, field) if not old else []
            if same_entries(entries, made):
                status = SAME
            elif old and self._known.is_ours(sound, field.name, entries):
                status = RENEWED
            elif not old and not own:
                status = SET
            else:
                status = OVERWRITTEN if self._options.overwrite else KEPT
            if status in CHANGES:
                before[field], after[field] = entries, made
            rows.append(
                _Row(path, status, "", field.name, old or own, values, familiarity=familiarity)
            )
        if after and self._writer is not None:
            self._write(tags, path, sound, before, after)
        return rows

    def _write(
        self,
        tags: AudioTags,
        path: str,
        sound: str,
        before: Mapping[TagField, list[Entry]],
        after: Mapping[TagField, list[Entry]],
    ) -> None:
        writer = self._writer
        assert writer is not None
        step = WrittenTags(
            path,
            sound,
            {field.name: entries for field, entries in before.items()},
            {field.name: entries for field, entries in after.items()},
            tags.bare,
            tags.path.stat().st_mtime_ns,
        )
        tags.put(after)
        change_file(tags, after, sound, announce=lambda: writer.add_written(step))


def _possible_fields(heads: Mapping[str, Any]) -> list[TagField]:
    """The fields that an encoder may fill, if that is known before it hears anything; else []."""
    scores = {tag: dict.fromkeys(map(str, values), 1.0) for tag, values in heads.items()}
    named = named_values(scores, 0.0)
    whole = [one for one in named if one.kind != "other"]
    # A mixed tag, and other tags, may fill further fields.
    return list(fields_of(whole)) if len(whole) == len(named) == len(heads) else []
