"""Recording the demo's songs: real audio files, made by several processes, never made twice."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from datasets.demo.catalogue import Song
from datasets.demo.rendering import SAMPLE_RATE, render
from datasets.errors import AudioError, DataError
from datasets.files import atomic_write

_BLOCK: Final = 16_384
"""Frames written at once: libsndfile crashes on an ogg written in one piece."""

_BATCH: Final = 3
"""Songs a process is given at a time."""

_FEW: Final = 8
"""Up to here starting processes costs more than it saves."""


@dataclass(frozen=True)
class SongTags:
    """What a recording says about itself; ``""`` where it says nothing."""

    title: str
    artist: str
    album: str
    genre: str


def read_tags(path: Path) -> SongTags:
    """The tags inside a wav, flac, ogg or mp3 file.

    Raises:
        AudioError: if the file cannot be read.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return SongTags(file.title, file.artist, file.album, file.genre)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"{path} cannot be read: {error}") from None


def record(song: Song, folder: Path) -> Path:
    """Render a song and write it under ``folder`` with its tags, 22,050 Hz stereo; its path.

    Raises:
        DataError: if the file cannot be written.
    """
    import soundfile

    samples = np.ascontiguousarray(render(song.plan, SAMPLE_RATE).T)
    path = folder / song.path
    try:
        with (
            atomic_write(path) as temporary,
            soundfile.SoundFile(temporary, "w", SAMPLE_RATE, samples.shape[1]) as file,
        ):
            file.title, file.artist, file.album = song.title, song.performer, song.album
            file.genre = song.plan.artist.genre
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{path} cannot be written: {error}") from None
    return path


def record_missing(
    songs: Sequence[Song], folder: Path, *, workers: int | None, progress: bool
) -> int:
    """Record the songs that have no file under ``folder`` yet; how many that were.

    A file appears whole or not at all, so what an interrupted run left is complete and is not
    made again. ``workers`` processes share the work; None is one for each core this process may
    use. The samples do not depend on it.

    Raises:
        DataError: if a file cannot be written.
    """
    for leftover in (folder / "audio").glob(".demo-*"):
        leftover.unlink()  # half a file of a process that was killed
    missing = [song for song in songs if not (folder / song.path).exists()]
    with _bar("recording songs", len(songs), shown=progress) as advance:
        advance(len(songs) - len(missing))
        for count in _in_batches(missing, folder, workers):
            advance(count)
    return len(missing)


def _in_batches(songs: Sequence[Song], folder: Path, workers: int | None) -> Iterator[int]:
    """Record all; yield how many each finished batch had."""
    from loky import ProcessPoolExecutor, cpu_count

    processes = cpu_count() if workers is None else workers
    if processes == 1 or len(songs) <= _FEW:
        for song in songs:
            yield _record_batch([song], folder)
        return
    # Idle processes end by themselves, also when this one was killed without a farewell.
    executor = ProcessPoolExecutor(processes, timeout=10)
    try:
        batches = [
            executor.submit(_record_batch, songs[start : start + _BATCH], folder)
            for start in range(0, len(songs), _BATCH)
        ]
        for batch in as_completed(batches):
            yield batch.result()
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _record_batch(songs: Sequence[Song], folder: Path) -> int:
    for song in songs:
        record(song, folder)
    return len(songs)


@contextmanager
def _bar(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on the error stream, or none; yields what to tell it the steps done."""
    if not shown:
        yield lambda _steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)
