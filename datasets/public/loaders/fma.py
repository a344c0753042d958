"""FMA, the Free Music Archive: mp3 clips of 30 s with genres, in three sizes.

`fma_metadata.zip` holds `fma_metadata/tracks.csv`, with a header of three rows (a group such as
`album`, a name such as `title`, then `track_id` and blanks) and line ends within quoted values, and
`genres.csv`. `fma_small.zip` holds `fma_small/000/000002.mp3` and so on: the track's number in six
digits, in a folder of its first three. Each size includes the smaller ones.

Some clips were cut after the end of their song and have no sound, or almost none (github.com
mdeff/fma, issues 4 and 8 and the wiki). They are skipped and reported: those of the small and the
medium set by the published list, those of the large set by their size.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import (
    MissingInputError,
    conversion_progress,
    extract_files,
    find_input,
    note_missing,
    open_member,
    report_skipped,
    text_frame,
    write_audio,
    write_items,
    write_no_interactions,
)

_CITATION: Final = (
    "M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson: FMA: a dataset for music"
    " analysis. ISMIR 2017. arXiv:1612.01840."
)
_LICENCE: Final = (
    "metadata CC BY 4.0; each clip under the Creative Commons licence its artist chose"
    " (tag 'licence'); for research"
)
_HOMEPAGE: Final = "https://github.com/mdeff/fma"

_SIZES: Final = ("small", "medium", "large")
SHORT: Final = frozenset({
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571,
    99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992,
})  # fmt: skip
"""Tracks of the small and medium sets whose clip is shorter than 30 s."""
LEAST_BYTES: Final = 4096
"""A clip without sound has about 1,800 bytes; one of 30 s has hundreds of thousands."""

_CLIP: Final = re.compile(r"(?:^|/)\d{3}/(\d{6})\.mp3$")
_WANTED: Final = {
    "subset": ("set", "subset"),
    "title": ("track", "title"),
    "artist": ("artist", "name"),
    "album": ("album", "title"),
    "genre": ("track", "genre_top"),
    "genres": ("track", "genres"),
    "split": ("set", "split"),
    "artist_id": ("artist", "id"),
    "released": ("album", "date_released"),
    "licence": ("track", "license"),
}


def _convert(source: Path, target: Path, *, size: str) -> None:
    """Write items and recordings of one size, from the zips or the folders they unpack to."""

    def choose_target(name: str) -> Path | None:
        found = _CLIP.search(name)
        return None if found is None else target / "audio" / found[1][:3] / f"{found[1]}.mp3"

    metadata = find_input(source, "fma_metadata.zip", "fma_metadata")
    titles = _genre_titles(metadata)
    try:
        clips = extract_files(find_input(source, f"fma_{size}.zip", f"fma_{size}"), choose_target)
        heard = True
    except MissingInputError as error:
        note_missing(error, "there are no recordings")
        clips, heard = {}, False
    places = {int(path.stem): path for path in clips.values()}
    subsets = _SIZES[: _SIZES.index(size) + 1]
    items, audio, left_out = [], [], []
    for track, values in _tracks(metadata):
        if values["subset"] not in subsets:
            continue
        path = places.get(track)
        problem = _problem(track, path)
        if heard and (path is None or problem is not None):
            left_out.append((f"{track:06d}", problem or ""))
            continue
        genres = [titles.get(number, number) for number in re.findall(r"\d+", values["genres"])]
        values["genres"] = "; ".join(genres)
        items.append((str(track), *(values[name] for name in _WANTED if name != "subset")))
        if path is not None:
            audio.append((str(track), path.relative_to(target).as_posix()))
    for path in set(places.values()) - {target / row[1] for row in audio}:
        path.unlink()
    report_skipped(target, left_out)
    columns = ("item_id", *(name for name in _WANTED if name != "subset"))
    write_items(target, text_frame(items, columns))
    write_audio(target, text_frame(audio, ("item_id", "path")))
    write_no_interactions(target)


def _problem(track: int, path: Path | None) -> str | None:
    """Return why a track is skipped, None if it is not."""
    if path is None:
        return "has no clip in the archive"
    if track in SHORT:
        return "its clip is shorter than 30 s"
    if path.stat().st_size < LEAST_BYTES:
        return f"its clip has {path.stat().st_size:,} bytes: no sound"
    return None


def _member(metadata: Path, name: str) -> str:
    return name if metadata.is_dir() else f"fma_metadata/{name}"


def _genre_titles(metadata: Path) -> dict[str, str]:
    """Return the title of each genre by its number, as text."""
    where = metadata / "genres.csv"
    with open_member(metadata, _member(metadata, "genres.csv")) as raw:
        reader = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
        if not {"genre_id", "title"} <= set(reader.fieldnames or ()):
            raise DataError(f"{where}: columns 'genre_id' and 'title' are expected")
        return {row["genre_id"]: row["title"] for row in reader}


def _tracks(metadata: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (track number, wanted values) of each track."""
    where = metadata / "tracks.csv"
    with (
        open_member(metadata, _member(metadata, "tracks.csv")) as raw,
        _long_values(),
        conversion_progress("tracks.csv", None) as advance,
    ):
        reader = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
        try:
            places = _places(where, reader)
            width = max(places.values()) + 1
            start = reader.line_num + 1
            for row in reader:
                if len(row) < width or not row[0].isdecimal():
                    raise DataError(f"{where}, line {start}: not a track as the header says")
                yield int(row[0]), {name: row[place].strip() for name, place in places.items()}
                start = reader.line_num + 1
                advance(1)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{where}, line {reader.line_num}: {error}") from None


def _places(where: Path, reader: Iterator[list[str]]) -> dict[str, int]:
    """Return the column of each wanted value, by the three header rows."""
    groups, names, last = next(reader, []), next(reader, []), next(reader, [])
    if not last or last[0] != "track_id" or len(groups) != len(names):
        raise DataError(f"{where}: a header of three rows that ends in 'track_id' is expected")
    places = {pair: column for column, pair in enumerate(zip(groups, names, strict=True))}
    missing = [".".join(pair) for pair in _WANTED.values() if pair not in places]
    if missing:
        raise DataError(f"{where}: no column {', '.join(missing)}")
    return {name: places[pair] for name, pair in _WANTED.items()}


@contextmanager
def _long_values() -> Iterator[None]:
    """Raise the csv module's field limit: some artists' biographies are longer."""
    before = csv.field_size_limit(1 << 26)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _dataset(size: str, description: str, sha1: str, length: int | None) -> PublicDataset:
    address = "https://os.unil.cloud.switch.ch/fma"
    converter: Callable[[Path, Path], None] = partial(_convert, size=size)
    return PublicDataset(
        name=f"fma-{size}",
        title=f"FMA: a dataset for music analysis ({size})",
        description=description,
        citation=_CITATION,
        licence=_LICENCE,
        homepage=_HOMEPAGE,
        files=(
            RemoteFile(
                "fma_metadata.zip",
                f"{address}/fma_metadata.zip",
                "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
                None,
            ),
            RemoteFile(f"fma_{size}.zip", f"{address}/fma_{size}.zip", f"sha1:{sha1}", length),
        ),
        convert=converter,
    )


FMA_SMALL: Final = _dataset(
    "small",
    "8,000 clips of 30 s, 8 genres of 1,000 (7.2 GiB); no listening.",
    "ade154f733639d52e35e32f5593efe5be76c6d70",
    7_679_594_875,
)
FMA_MEDIUM: Final = _dataset(
    "medium",
    "25,000 clips of 30 s, 16 genres (22 GiB); no listening.",
    "c67b69ea232021025fca9231fc1c7c1a063ab50b",
    None,
)
FMA_LARGE: Final = _dataset(
    "large",
    "106,574 clips of 30 s, 161 genres (93 GiB); no listening.",
    "497109f4dd721066b5ce5e5f250ec604dc78939e",
    100_306_112_191,
)
