"""Music4All and Music4All-Onion: songs, plays with times, clips, and computed features.

Music4All is given on request. Its tables are named `.csv` and tab-separated, with headers:
`id_information` (id, artist, song, album_name), `id_genres` (id, genres: several, by commas),
`id_tags`, `id_lang`, `id_metadata` (spotify_id, release year, valence, tempo and so on) and
`listening_history` (user, song, timestamp as `2019-02-20 12:28`). Clips of 30 s are
`audios/ID.mp3`.

Onion is public: a larger listening history of the same songs, as counts (user_id, track_id, count),
and features of audio, lyrics and videos, all `.tsv.bz2` with headers. It has no names; they are
taken from `id_information.csv` if that is beside its files. Its musicnn features (50 numbers a
song) become the item embeddings, `embeddings.parquet`.
"""

import bz2
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import (
    extract_files,
    find_input,
    read_lines,
    report_skipped,
    text_frame,
    write_audio,
    write_items,
)
from datasets.public.parquet import embedding_writer, interaction_writer

_CITATION: Final = (
    "I. A. Pegoraro Santana et al.: Music4All: a new music database and its applications."
    " IWSSIP 2020, 399-404."
)
_LICENCE: Final = "for research only, by agreement with its authors"
_HOMEPAGE: Final = "https://sites.google.com/view/contact4music4all"
_ONION_CITATION: Final = (
    "M. Moscati, E. Parada-Cabaleiro, Y. Deldjoo, E. Zangerle, M. Schedl: Music4All-Onion."
    " CIKM 2022. doi:10.1145/3511808.3557656."
)
_ONION_LICENCE: Final = (
    "Creative Commons; its record at Zenodo says which (CC BY 4.0 for the second version)"
)
_ONION_HOMEPAGE: Final = "https://zenodo.org/records/6609677"

_ZENODO: Final = "https://zenodo.org/records/6609677/files"
_BY_HAND: Final = (
    "Ask its authors, https://sites.google.com/view/contact4music4all; the"
    " folder holds id_information.csv, id_genres.csv and listening_history.csv and, where you"
    " want them, id_tags.csv, id_lang.csv, id_metadata.csv and audios/."
)

TAGS: Final = (
    "spotify_id", "popularity", "release", "danceability", "energy", "key", "mode", "valence",
    "tempo", "duration_ms",
)  # fmt: skip
"""Columns of `id_metadata.csv` that become tags."""
COUNTS_FILE: Final = "userid_trackid_count.tsv.bz2"
FEATURES_FILE: Final = "id_musicnn.tsv.bz2"

_ITEM: Final = ("item_id", "title", "artist", "album", "genre")

_ONION_FILES: Final = (
    RemoteFile(
        COUNTS_FILE,
        f"{_ZENODO}/{COUNTS_FILE}?download=1",
        "md5:314b51196a9c8f333c7fefc0711760a1",
        None,
    ),
    RemoteFile(FEATURES_FILE, f"{_ZENODO}/{FEATURES_FILE}?download=1", "", None),
)


def _convert(source: Path, target: Path) -> None:
    """Write items, clips and plays of Music4All."""
    items = _items(source)
    genres = _column(source / "id_genres.csv", "genres")
    tables = {"genres": genres}
    tables |= {
        name: _column(source / f"id_{name}.csv", name)
        for name in ("tags", "lang")
        if (source / f"id_{name}.csv").exists()
    }
    if (source / "id_metadata.csv").exists():
        for name in TAGS:
            tables[name] = _column(source / "id_metadata.csv", name)
    rows = [
        (
            *(song, title, artist, album, _first(genres.get(song, ""))),
            *(table.get(song, "") for table in tables.values()),
        )
        for song, (title, artist, album) in items.items()
    ]
    clips = _clips(source, target, set(items))
    audio = [(song, clips[song]) for song in items if song in clips]
    write_items(target, text_frame(rows, (*_ITEM, *tables)))
    if audio:
        write_audio(target, text_frame(audio, ("item_id", "path")))
    left_out = []
    if audio:
        left_out = [(song, "has no clip") for song in items if song not in clips]
    unknown = 0
    path = source / "listening_history.csv"
    with interaction_writer(target, times=True) as add:
        for number, (user, song, time) in _rows(path, ("user", "song", "timestamp")):
            try:
                when = datetime.fromisoformat(time)
            except ValueError:
                raise DataError(f"{path}, line {number}: {time!r} is not a time") from None
            if song in items:
                add(user, song, 1.0, when)
            else:
                unknown += 1
    if unknown:
        left_out.append((path.name, f"{unknown:,} plays of songs that are not listed"))
    report_skipped(target, left_out)


def _convert_onion(source: Path, target: Path) -> None:
    """Write items, play counts and embeddings of Onion; names from Music4All if available."""
    named = _items(source) if (source / "id_information.csv").exists() else {}
    genres = _column(source / "id_genres.csv", "genres") if named else {}
    path = source / FEATURES_FILE
    features = _records(path)
    _, header = next(features, (1, []))
    if len(header) < 2 or header[0] != "id":
        raise DataError(f"{path}, line 1: a header that begins with 'id' is expected")
    songs: dict[str, None] = {}
    with embedding_writer(target, len(header) - 1) as add:
        for number, fields in features:
            if len(fields) != len(header):
                raise DataError(f"{path}, line {number}: {len(fields)} values, not {len(header)}")
            try:
                add(fields[0], [float(value) for value in fields[1:]])
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
            songs[fields[0]] = None
    rows = []
    for song in songs:
        title, artist, album = named.get(song, ("", "", ""))
        rows.append((song, title, artist, album, _first(genres.get(song, ""))))
    write_items(target, text_frame(rows, _ITEM))
    path, unknown = source / COUNTS_FILE, 0
    with interaction_writer(target, times=False) as add:
        for number, (user, song, count) in _rows(path, ("user_id", "track_id", "count")):
            if not count.isdecimal():
                raise DataError(f"{path}, line {number}: {count!r} is not a number of plays")
            if song in songs:
                add(user, song, float(count))
            else:
                unknown += 1
    if unknown:
        report_skipped(target, [(path.name, f"{unknown:,} counts of songs without features")])


def _items(source: Path) -> dict[str, tuple[str, str, str]]:
    """Return (title, artist, album) by song, in the order of the file."""
    path = source / "id_information.csv"
    found: dict[str, tuple[str, str, str]] = {}
    for number, (song, artist, title, album) in _rows(path, ("id", "artist", "song", "album_name")):
        if song in found:
            raise DataError(f"{path}, line {number}: {song!r} is there already")
        found[song] = (title, artist, album)
    return found


def _column(path: Path, name: str) -> dict[str, str]:
    return {song: value for _, (song, value) in _rows(path, ("id", name))}


def _rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values of these columns) of every line; quotes are ordinary characters."""
    records = _records(path)
    _, header = next(records, (1, []))
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(f"{path}, line 1: no column {', '.join(missing)}")
    places = [header.index(name) for name in names]
    for number, fields in records:
        if len(fields) != len(header):
            problem = f"{len(fields)} values, but the header names {len(header)}"
            raise DataError(f"{path}, line {number}: {problem}")
        yield number, [fields[place] for place in places]


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of a tab-separated file, packed by bzip2 or not; no blank lines."""
    if path.suffix == ".bz2":
        plain = path.with_suffix("")
        found = find_input(path.parent, path.name, plain.name)
        opened = read_lines(found, stream=bz2.open) if found == path else read_lines(found)
    else:
        opened = read_lines(find_input(path.parent, path.name))
    for number, line in opened:
        if line:
            yield number, line.split("\t")


def _first(genres: str) -> str:
    return genres.split(",")[0].strip()


def _clips(source: Path, target: Path, songs: set[str]) -> dict[str, str]:
    """Return the path in `target` of each song's clip; empty if no clips were given."""
    if not (source / "audios").is_dir():
        return {}

    def choose_target(name: str) -> Path | None:
        file = Path(name)
        wanted = file.suffix.lower() == ".mp3" and file.stem in songs
        return target / "audio" / file.name if wanted else None

    found = extract_files(source / "audios", choose_target)
    return {path.stem: path.relative_to(target).as_posix() for path in found.values()}


MUSIC4ALL: Final = PublicDataset(
    name="music4all",
    title="Music4All",
    description="109,269 songs with clips of 30 s, 5.1 million plays with times; on request.",
    citation=_CITATION,
    licence=_LICENCE,
    homepage=_HOMEPAGE,
    files=(),
    convert=_convert,
    by_hand=_BY_HAND,
)
MUSIC4ALL_ONION: Final = PublicDataset(
    name="music4all-onion",
    title="Music4All-Onion",
    description=(
        "The 109,269 songs of Music4All with musicnn embeddings, 56,512 of them played by 119,140"
        " users (50 million counts); names only beside Music4All's id_information.csv and"
        " id_genres.csv."
    ),
    citation=_ONION_CITATION,
    licence=_ONION_LICENCE,
    homepage=_ONION_HOMEPAGE,
    files=_ONION_FILES,
    convert=_convert_onion,
)
