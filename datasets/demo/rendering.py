"""Render songs to stereo audio, and write them as tagged files with several processes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.demo.catalogue import DemoSong
from datasets.demo.composition import Arrangement, NoteEvent, arrange
from datasets.demo.effects import (
    cabinet,
    chorus,
    duck,
    echo,
    equalise,
    high_pass,
    master,
    overdrive,
    reverb,
    surface_noise,
    tremolo,
    wah,
)
from datasets.demo.genres import GENRES
from datasets.demo.instruments import INSTRUMENTS, play_drum, play_note
from datasets.demo.planning import SongPlan, draw_artist, draw_plan
from datasets.errors import AudioError, DataError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.system.files import atomic_write
from datasets.system.processes import end_with_parent

SAMPLE_RATE = 22_050

_LOWEST_RATE = 8_000

_AMPLIFIED = {"electric guitar", "clean guitar", "muted guitar"}

# RMS of drums, bass, chords, layer and lead before mixing.
_MIX = (0.120, 0.095, 0.070, 0.040, 0.080)

_DRUM_LEVEL = {
    "kick": 1.0, "snare": 0.62, "rim": 0.40, "clap": 0.55, "hat": 0.20, "open hat": 0.24,
    "ride": 0.22, "crash": 0.30, "tom": 0.70, "shaker": 0.34, "tambourine": 0.26, "cowbell": 0.20,
}  # fmt: skip

_DRUM_PAN = {"hat": 0.35, "open hat": 0.35, "ride": -0.45, "crash": 0.5, "tom": -0.3,
             "shaker": -0.5, "tambourine": 0.45, "cowbell": 0.3, "rim": -0.15}  # fmt: skip


def compose_song(
    genre: str, artist_seed: int, song_seed: int, *, sample_rate: int = SAMPLE_RATE
) -> Float32Array:
    """Compose and render a song of one of the nine genres.

    Songs of the same genre and `artist_seed` are by the same artist. The same arguments always
    give the same samples.

    Args:
        genre: one of the nine genres.
        artist_seed: number of the artist, >= 0.
        song_seed: number of the song, >= 0.
        sample_rate: Hz, at least 8,000.

    Returns:
        float32 [2, samples], 10 to 16 s, peak under 0.70.

    Raises:
        InvalidArgumentError: if the genre is unknown, a seed negative or the rate too low.

    Examples:
        >>> compose_song("jazz", artist_seed=1, song_seed=2, sample_rate=8_000).shape[0]
        2
    """
    if sample_rate < _LOWEST_RATE:
        raise InvalidArgumentError(
            f"sample_rate is {sample_rate}; at least {_LOWEST_RATE} is needed"
        )
    if min(artist_seed, song_seed) < 0:
        raise InvalidArgumentError("artist_seed and song_seed must be 0 or more")
    return render_song(draw_plan(draw_artist(genre, artist_seed), song_seed), sample_rate)


def render_song(plan: SongPlan, rate: int = SAMPLE_RATE) -> Float32Array:
    """Render a plan to float32 [2, samples] at `rate` Hz."""
    score = arrange(plan)
    length = int(score.seconds * rate)
    rng = np.random.default_rng([plan.artist.seed, plan.seed, 4])
    sound, artist = plan.sound, plan.artist
    levels = [
        level * 10.0 ** ((usual + own) / 20.0)
        for level, usual, own in zip(_MIX, GENRES[artist.genre].mix, artist.gains, strict=True)
    ]
    kicks = np.array([hit.start for hit in score.drums.get("kick", [])])
    pump = 0.75 * max(0.0, sound.electronic - 0.55) / 0.45

    drums = _level(_drum_kit(score, plan, length, rng, rate), levels[0])
    bass = _spread(_bass(score, plan, length, rate), 0.0)
    rhythm = drums + _level(duck(bass, kicks, 0.6 * pump, rate), levels[1])
    chords = duck(_chords(score, plan, length, rate), kicks, pump, rate)
    layer = _amplify(
        _play(score.layer, plan.layer[0], plan, length, rate), plan.layer[0], plan, rate
    )
    layer = duck(_spread(layer, -artist.pan), kicks, pump, rate)
    lead = _amplify(_play(score.lead, plan.lead, plan, length, rate), plan.lead, plan, rate)
    front = _level(_spread(lead, 0.1 * artist.pan), levels[4])
    if artist.echo > 0.0:
        front = echo(front, 45.0 / sound.bpm, artist.echo, rate)
    melodic = _level(chords, levels[2]) + _level(layer, 1.7 * sound.density * levels[3]) + front
    send = high_pass(0.35 * rhythm + melodic, 180.0, rate)
    wet = reverb(send, artist.room, 1.0 - sound.brightness, rng, rate)
    mix = rhythm + melodic + np.float32(artist.wet * (1.5 - sound.density)) * wet
    return _finish(mix, plan, rng, rate)


def _finish(mix: Float32Array, plan: SongPlan, rng: np.random.Generator, rate: int) -> Float32Array:
    """Apply overdrive, equalisation, noise and mastering to the mix."""
    sound = plan.sound
    mix = overdrive(mix, 0.62 * sound.drive)
    mix = equalise(mix, lambda hertz: _record_tone(plan, hertz), rate)
    noise = surface_noise(plan.noise, 0.0035 * (1.3 - sound.brightness), mix.shape[1], rng)
    return master(mix + noise, plan.artist.loudness, rate)


def _record_tone(plan: SongPlan, hertz: Float64Array) -> Float64Array:
    """Return decibels by frequency: brightness, electronic sound and the artist's mastering."""
    sound, (bass, middle, treble) = plan.sound, plan.artist.tone

    def above(pivot: float) -> Float64Array:
        return 1.0 / (1.0 + np.square(pivot / hertz))

    decibels = 24.0 * (sound.brightness - 0.55) * above(900.0)
    decibels += 9.0 * (sound.electronic - 0.35) * (1.0 - above(110.0))
    decibels += bass + (middle - bass) * above(200.0) + (treble - middle) * above(2500.0)
    cutoff = 2500.0 * 5.0**sound.brightness
    return np.asarray(decibels - 10.0 * np.log10(1.0 + (hertz / cutoff) ** 4))


def _bass(score: Arrangement, plan: SongPlan, length: int, rate: int) -> Float32Array:
    """Render the bass, mono, doubled by a synthesizer as far as the song is electronic."""
    played = _play(score.bass, plan.bass[0], plan, length, rate)
    double = _play(score.bass, "square bass", plan, length, rate)
    both = _blend(_unit(played), _unit(double), 0.6 * plan.sound.electronic)
    return overdrive(both, 0.6 * plan.sound.drive)


def _chords(score: Arrangement, plan: SongPlan, length: int, rate: int) -> Float32Array:
    """Render the chords, stereo, doubled as the bass is, with the artist's effect."""
    name, artist = plan.chords[0], plan.artist
    played = _amplify(_play(score.chords, name, plan, length, rate), name, plan, rate)
    double = _play(score.chords, "super saw", plan, length, rate)
    both = _blend(_unit(played), _unit(double), 0.6 * plan.sound.electronic)
    if artist.modulation == "chorus":
        return chorus(both, 0.8, rate)
    if artist.modulation == "tremolo":
        both = tremolo(both, plan.sound.bpm / 30.0, 0.6, rate)
    return _spread(both, artist.pan)


def _play(
    notes: list[NoteEvent], name: str, plan: SongPlan, length: int, rate: int
) -> Float32Array:
    """Render all notes of a part, mono; equal notes are rendered once."""
    out = np.zeros(length, dtype=np.float32)
    made: dict[tuple[int, float, int], Float32Array] = {}
    for note in notes:
        key = (note.midi, round(note.seconds, 2), note.variant)
        if key not in made:
            made[key] = play_note(name, key[0], key[1], plan.sound.brightness, key[2], rate)
        _add(out, made[key], note.start, note.velocity, rate)
    return out


def _add(out: Float32Array, sound: Float32Array, start: float, level: float, rate: int) -> None:
    begin = int(start * rate)
    part = out[begin : begin + sound.size]
    part += np.float32(level) * sound[: part.size]


def _amplify(part: Float32Array, name: str, plan: SongPlan, rate: int) -> Float32Array:
    """Apply an amplifier to electric guitars, and light overdrive to organs and harmonicas."""
    sound = plan.sound
    if name in _AMPLIFIED:
        if name == "muted guitar" and plan.artist.modulation != "chorus":
            part = wah(part, sound.bpm / 120.0, rate)
        amount = (0.85 if name == "electric guitar" else 0.6) * sound.drive
        return cabinet(overdrive(part, amount), sound.brightness, rate)
    if INSTRUMENTS[name].family in {"organ", "harmonica", "synthesizer"}:
        return overdrive(part, 0.5 * sound.drive)
    return part


def _drum_kit(
    score: Arrangement, plan: SongPlan, length: int, rng: np.random.Generator, rate: int
) -> Float32Array:
    out = np.zeros((2, length), dtype=np.float32)
    tuning = 2.0 ** (plan.artist.swing * 0.5 - 0.25)
    for drum, hits in sorted(score.drums.items()):
        line = np.zeros(length, dtype=np.float32)
        takes = []
        for _ in range(2):
            played = play_drum(drum, plan.kit, tuning, plan.sound.brightness, rng, rate)
            if plan.kit != "machine":
                machine = play_drum(drum, "machine", tuning, plan.sound.brightness, rng, rate)
                played = _blend(played, machine, plan.sound.electronic)
            takes.append(played)
        for index, hit in enumerate(hits):
            _add(line, takes[index % 2], hit.start, hit.velocity, rate)
        out += np.float32(_DRUM_LEVEL[drum]) * _spread(line, _DRUM_PAN.get(drum, 0.0))
    return out


def _unit(part: Float32Array) -> Float32Array:
    return part / np.float32(np.sqrt(np.mean(np.square(part))) + 1e-6)


def _blend(first: Float32Array, second: Float32Array, share: float) -> Float32Array:
    out = np.zeros(max(first.size, second.size), dtype=np.float32)
    out[: first.size] += np.float32(1.0 - share) * first
    out[: second.size] += np.float32(share) * second
    return out


def _spread(mono: Float32Array, pan: float) -> Float32Array:
    """Pan mono to stereo, -1 left to 1 right, at equal power."""
    angle = (pan + 1.0) * np.pi / 4.0
    return np.stack([mono * np.float32(np.cos(angle)), mono * np.float32(np.sin(angle))])


def _level(part: Float32Array, rms: float) -> Float32Array:
    """Scale a part to an RMS measured where it is not silent."""
    power = np.square(part).sum(axis=0)
    sounding = power > 1e-6 * power.max(initial=0.0)
    if not sounding.any():
        return part
    return part * np.float32(rms / np.sqrt(float(power[sounding].mean()) / 2.0))


_BLOCK: Final = 16_384
"""Frames written at once; libsndfile crashes on an ogg file written in one piece."""

_BATCH: Final = 3
"""Songs of one task of a process."""

_FEW: Final = 8
"""Up to so many songs, one process is faster than several."""


@dataclass(frozen=True)
class SongTags:
    """Title, artist, album and genre in a recording's tags; "" if missing.

    Examples:
        >>> read_tags(recording)
        SongTags(title='', artist='', album='', genre='')
    """

    title: str
    artist: str
    album: str
    genre: str


def read_tags(path: Path) -> SongTags:
    """Read the tags of a wav, flac, ogg or mp3 file.

    Args:
        path: the recording.

    Returns:
        Title, artist, album and genre; "" where the file has none.

    Raises:
        AudioError: if the file cannot be read.

    Examples:
        >>> read_tags(recording).title
        ''
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return SongTags(file.title, file.artist, file.album, file.genre)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"{path} cannot be read: {error}") from None


def record_song(song: DemoSong, folder: Path) -> Path:
    """Render a song and write it under `folder` with its tags, 22,050 Hz stereo.

    Returns:
        The path of the file.

    Raises:
        DataError: if the file cannot be written.
    """
    import soundfile

    samples = np.ascontiguousarray(render_song(song.plan, SAMPLE_RATE).T)
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
    songs: Sequence[DemoSong], folder: Path, *, workers: int | None, progress: bool
) -> int:
    """Record the songs that have no file under `folder` yet.

    Files are written atomically, so those of an interrupted run are complete and kept.

    Args:
        songs: the songs.
        folder: the data set's folder.
        workers: number of processes; None: one for each core. The samples do not depend on it.
        progress: show a progress bar.

    Returns:
        The number of songs recorded.

    Raises:
        DataError: if a file cannot be written.
    """
    for leftover in (folder / "audio").glob(".demo-*"):
        leftover.unlink()  # partial file of a killed process
    missing = [song for song in songs if not (folder / song.path).exists()]
    with progress_bar("recording songs", len(songs), shown=progress) as advance:
        advance(len(songs) - len(missing))
        for count in _in_batches(missing, folder, workers):
            advance(count)
    return len(missing)


def _in_batches(songs: Sequence[DemoSong], folder: Path, workers: int | None) -> Iterator[int]:
    """Record all songs; yield the size of each finished batch."""
    from loky import ProcessPoolExecutor, cpu_count

    processes = cpu_count() if workers is None else workers
    if processes == 1 or len(songs) <= _FEW:
        for song in songs:
            yield _record_batch([song], folder)
        return
    executor = ProcessPoolExecutor(processes, initializer=end_with_parent, initargs=(os.getpid(),))
    try:
        batches = [
            executor.submit(_record_batch, songs[start : start + _BATCH], folder)
            for start in range(0, len(songs), _BATCH)
        ]
        for batch in as_completed(batches):
            yield batch.result()
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _record_batch(songs: Sequence[DemoSong], folder: Path) -> int:
    for song in songs:
        record_song(song, folder)
    return len(songs)
