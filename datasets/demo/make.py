"""Make the demo data set: a catalogue of composed songs with simulated listeners.

The songs are audio files that really differ in sound: nine genres, each with its own tempo range,
drum patterns, harmony, instruments, reverberation and noise; each artist is a variation of a genre
that borrows from a neighbouring one, each song a variation of its artist.

The plays are SIMULATED (see listeners.py). They show that a model recovers what was put in, not how
well it works for real listeners. Everything follows from the seed: the tables byte for byte and the
samples, whatever the number of processes.
"""

import json
import os
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import Field

from datasets.arguments import check_whole
from datasets.demo.catalogue import (
    audio_table,
    draw_catalogue,
    draw_new_song,
    items_table,
    truth_table,
)
from datasets.demo.genres import GENRES
from datasets.demo.listeners import simulate_listening
from datasets.demo.rendering import SAMPLE_RATE, record_missing, record_song
from datasets.errors import DataError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from datasets.settings import Settings
from datasets.system.files import read_text, write_text
from datasets.tables.read_write import write_table

_SETTINGS_FILE: Final = "demo.json"

_README: Final = """\
A demo catalogue of coldtune
============================

{songs} songs by {artists} artists in nine genres, and {listeners} listeners who played
{interactions} songs.

THE LISTENERS ARE SIMULATED. No person has ever played these songs. The music is composed by rule
and rendered by a program; names of artists, albums and songs are invented, and any likeness to
real ones is chance. Figures measured on this data show that a model finds what the simulation put
in. They say nothing about how well it would do with real music and real people.

  items.csv          item_id, title, artist, album, genre, and two tags: emotion (by the mode of
                     the harmony, and by tempo, distortion and density) and instrument (the lead)
  audio.csv          item_id and the path of its recording
  interactions.csv   user_id, item_id, weight (number of plays), timestamp (of the last play)
  audio/             the recordings: wav, flac, ogg and mp3, stereo, {rate} Hz
  truth/songs.csv    what only the simulation knows of a song: release, and its true tempo,
                     brightness, drive, electronic and density. For checks, never for training
  demo.json          the settings that make this very catalogue again

How a listener chooses: the sum of the song's popularity (Zipf), taste for its genre, nearness of
its sound (tempo, brightness, drive, electronic, density) to the sound this listener likes best, a
taste for its artist that cannot be heard, and chance. {unplayed} songs are so new that nobody has
played them.
"""


class DemoSettings(Settings):
    """Settings that determine a demo catalogue; kept in its folder as `demo.json`.

    Examples:
        >>> DemoSettings(seed=1).n_songs
        198
    """

    version: int = Field(1, ge=1, le=1, description="Changes when a seed would give other songs.")
    seed: int = Field(0, ge=0, lt=2**63, description="Start of all chance.")
    n_songs: int = Field(198, ge=len(GENRES), description="Songs, one recording each.")
    n_artists: int = Field(66, ge=len(GENRES), description="Artists, at most one for each song.")
    n_listeners: int = Field(900, ge=1, description="Simulated listeners.")


def make_demo(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_songs: int = 198,
    n_artists: int | None = None,
    n_listeners: int = 900,
    workers: int | None = None,
    progress: bool = True,
) -> MusicDataset:
    """Make a demo data set in `folder`, or finish an interrupted one.

    Args:
        folder: a new or empty folder, or one that was started with the same settings.
        seed: random seed; the same seed gives the same tables and samples.
        n_songs: number of songs of 10 to 16 s, stereo, 22,050 Hz, as wav, flac, ogg and mp3.
        n_artists: number of artists, spread evenly over the nine genres; None: a third of the
            songs.
        n_listeners: number of SIMULATED users; an eighth of the songs is played by none.
        workers: processes that render audio; None: one for each core.
        progress: show a progress bar.

    Returns:
        The data set.

    Raises:
        InvalidArgumentError: if a number is too small.
        DataError: if the folder holds something else, or cannot be written.

    Examples:
        >>> demo = make_demo(folder / "demo", n_songs=9, n_listeners=50, workers=1, progress=False)
        >>> counts = demo.summary()
        >>> counts["n_recordings"], counts["n_users"], counts["n_genres"]
        (9, 50, 9)
    """
    if workers is not None and workers < 1:
        raise InvalidArgumentError(f"workers is {workers}; it must be at least 1")
    settings = DemoSettings(
        seed=seed,
        n_songs=n_songs,
        n_artists=max(len(GENRES), n_songs // 3) if n_artists is None else n_artists,
        n_listeners=n_listeners,
    )
    songs = draw_catalogue(settings.seed, settings.n_songs, settings.n_artists)
    target = Path(folder)
    try:
        _claim(target, settings)
        record_missing(songs, target, workers=workers, progress=progress)
        interactions = simulate_listening(songs, settings.seed, settings.n_listeners)
        items = items_table(songs)
        readme = _README.format(
            songs=len(items),
            artists=items["artist"].nunique(),
            listeners=interactions["user_id"].nunique(),
            interactions=len(interactions),
            unplayed=len(set(items["item_id"]) - set(interactions["item_id"])),
            rate=f"{SAMPLE_RATE:,}",
        )
        write_text(target / "README.txt", readme)
        _write(truth_table(songs), target / "truth" / "songs.csv")
        _write(items, target / "items.csv")
        _write(audio_table(songs), target / "audio.csv")
        # Last, so that nothing less than a whole catalogue loads.
        _write(interactions, target / "interactions.csv")
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}") from None
    return load_folder(target)


def write_new_song(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    genre: str = "jazz",
    new_artist: bool = False,
) -> Path:
    """Render a song that is not in a demo catalogue, into its folder `new/`.

    The same arguments give the same song. `read_tags` reads its title, artist, album and genre.

    Args:
        folder: a demo catalogue.
        seed: number of the song.
        genre: one of the nine genres.
        new_artist: whether it is by a new artist, rather than by one of the catalogue.

    Returns:
        Path of the recording.

    Raises:
        InvalidArgumentError: if the genre is unknown or the seed negative.
        DataError: if `folder` is not a demo catalogue, or cannot be written.

    Examples:
        >>> _ = (folder / "demo.json").write_text('{"n_songs": 18, "n_artists": 9}')
        >>> from datasets.demo import read_tags
        >>> read_tags(write_new_song(folder, genre="jazz")).genre
        'jazz'
    """
    if genre not in GENRES:
        raise InvalidArgumentError(f"genre {genre!r} is not one of {', '.join(GENRES)}")
    check_whole("seed", seed, 0)
    target = Path(folder)
    settings = _read_settings(target)
    song = draw_new_song(
        settings.seed,
        settings.n_songs,
        settings.n_artists,
        number=seed,
        genre=genre,
        new_artist=new_artist,
    )
    return record_song(song, target)


def _claim(folder: Path, settings: DemoSettings) -> None:
    """Check that `folder` is new, empty, or was started with these settings."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    if (folder / _SETTINGS_FILE).exists():
        found = _read_settings(folder)
        for name, value in settings:
            if getattr(found, name) != value:
                raise DataError(
                    f"{folder} holds a demo catalogue with {name} {getattr(found, name)}, not"
                    f" {value}; choose another folder"
                )
        return
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no demo catalogue")
    write_text(folder / _SETTINGS_FILE, settings.model_dump_json(indent=2) + "\n")


def is_demo(folder: Path) -> bool:
    """Return whether a folder is a demo catalogue.

    Args:
        folder: any folder, or a path where none is.

    Examples:
        >>> is_demo(folder)
        False
    """
    if not (folder / _SETTINGS_FILE).is_file():
        return False
    try:
        _read_settings(folder)
    except DataError:
        return False
    return True


def _read_settings(folder: Path) -> DemoSettings:
    path = folder / _SETTINGS_FILE
    try:
        return DemoSettings.from_json(json.loads(read_text(path)))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no demo catalogue: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be used: {error}") from None


def _write(table: pd.DataFrame, path: Path) -> None:
    texts = {name: object for name in table.columns if table[name].dtype.kind not in "fiuM"}
    write_table(table.astype(texts), path)
