"""MovieLens: ratings of films, to compare collaborative methods with published results.

There is no music: films are the items. A rating of 4 stars or more is one interaction of weight 1
at its time; lower ones are dropped (He et al. 2017 use every rating, Liang et al. 2018 those of 4
or more; results are comparable only under the same rule). Formats:

- 100k: `u.data` (user, film, rating, seconds since 1970, tab-separated), `u.item` (latin-1, by `|`:
  id, title, two dates, an address, then 0 or 1 for each genre) and `u.genre` (`Action|1`).
- 1m: `ratings.dat` and `movies.dat` (latin-1), by `::`; several genres by `|`.
- 20m, 25m: `ratings.csv` and `movies.csv` with headers; titles with a comma are quoted.

`genre` is the first of the tag `genres`, `year` is taken from the end of the title; `artist` is
blank. The checksums are those that GroupLens publishes beside the files, as others cite them.
"""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from datasets.errors import DataError
from datasets.public.base import PublicDataset, RemoteFile
from datasets.public.conversion import MissingInputError, note_missing, text_frame, write_items
from datasets.public.parquet import interaction_writer
from datasets.public.text_tables import SkippedRows, clean_text, read_archived_lines

_CITATION: Final = (
    "F. M. Harper, J. A. Konstan: The MovieLens Datasets: History and Context. ACM TiiS"
    " 5(4), 2015. doi:10.1145/2827872."
)
_LICENCE: Final = "research use, no redistribution, by the README of the set"

LIKED: Final = 4.0
"""Fewest stars of a rating that counts as an interaction."""

_YEAR: Final = re.compile(r"\((\d{4})\)$")
_NO_GENRE: Final = ("unknown", "(no genres listed)")
_Rows = Iterator[tuple[int, list[str]]]


def _convert(source: Path, target: Path, *, size: str) -> None:
    """Write films, and who liked them, from the zip of one size or its folder."""
    try:
        films = dict(_films(source, size))
    except MissingInputError as error:
        note_missing(error, "films have no titles and genres")
        films = {film: ("", []) for film in _rated(source, size)}
    items = []
    for film, (title, genres) in films.items():
        listed = [genre for genre in genres if genre and genre not in _NO_GENRE]
        year = _YEAR.search(title)
        first = listed[0] if listed else ""
        items.append((film, title, first, "; ".join(listed), year[1] if year else ""))
    write_items(target, text_frame(items, ("item_id", "title", "genre", "genres", "year")))
    name, separator = _ratings(size)
    left_out, kept = SkippedRows(name), 0
    with interaction_writer(target, times=True) as add:
        for number, line in _lines(source, name, size):
            if number == 1 and name.endswith(".csv"):
                if line != "userId,movieId,rating,timestamp":
                    raise DataError(f"{name}, line 1: another header than is published")
                continue
            fields = line.split(separator)
            try:
                user, film, rating, time = fields
                stars, seconds = float(rating), int(time)
            except ValueError:
                left_out.add("not user, film, rating and time", number)
                continue
            if film not in films:
                left_out.add("the film is not listed", number)
            elif stars >= LIKED:
                add(user, film, 1.0, seconds)
                kept += 1
        left_out.report(target, kept)


def _ratings(size: str) -> tuple[str, str]:
    """The file of ratings and its separator."""
    files = {"100k": ("u.data", "\t"), "1m": ("ratings.dat", "::")}
    return files.get(size, ("ratings.csv", ","))


def _rated(source: Path, size: str) -> Iterator[str]:
    """Yield the film of each rating, where no file lists them."""
    name, separator = _ratings(size)
    for number, line in _lines(source, name, size):
        fields = line.split(separator)
        if len(fields) == 4 and not (number == 1 and name.endswith(".csv")):
            yield fields[1]


def _films(source: Path, size: str) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """Yield (film, (title, genres)) in the order of the file."""
    names = _genre_names(source) if size == "100k" else []
    for name, number, fields in _film_rows(source, size):
        if len(fields) != (5 + len(names) if names else 3):
            raise DataError(f"{name}, line {number}: {len(fields)} values are not those of a film")
        if names:
            flags = zip(names, fields[5:], strict=True)
            genres = [genre for genre, flag in flags if flag == "1"]
        else:
            genres = fields[2].split("|")
        yield fields[0], (clean_text(fields[1]), genres)


def _film_rows(source: Path, size: str) -> Iterator[tuple[str, int, list[str]]]:
    if size in ("100k", "1m"):
        name, separator = ("u.item", "|") if size == "100k" else ("movies.dat", "::")
        for number, line in _lines(source, name, size, "latin-1"):
            if line:
                yield name, number, line.split(separator)
        return
    name = "movies.csv"
    reader = csv.reader(line for _, line in _lines(source, name, size))
    if next(reader, None) != ["movieId", "title", "genres"]:
        raise DataError(f"{name}, line 1: another header than is published")
    for row in reader:
        yield name, reader.line_num, row


def _genre_names(source: Path) -> list[str]:
    return [line.split("|")[0] for _, line in _lines(source, "u.genre", "100k") if line]


def _lines(
    source: Path, name: str, size: str, encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, str]]:
    return read_archived_lines(source, name, f"ml-{size}.zip", encoding=encoding)


def _dataset(size: str, description: str, md5: str) -> PublicDataset:
    converter: Callable[[Path, Path], None] = partial(_convert, size=size)
    return PublicDataset(
        name=f"movielens-{size}",
        title=f"MovieLens {size}",
        description=f"{description} Films, not music: for comparing collaborative methods.",
        citation=_CITATION,
        licence=_LICENCE,
        homepage=f"https://grouplens.org/datasets/movielens/{size}/",
        files=(
            RemoteFile(
                f"ml-{size}.zip",
                f"https://files.grouplens.org/datasets/movielens/ml-{size}.zip",
                f"md5:{md5}",
                None,
            ),
        ),
        convert=converter,
    )


MOVIELENS_100K: Final = _dataset(
    "100k",
    "100,000 ratings, 943 users, 1,682 films.",
    "0e33842e24a9c977be4e0107933c0723",
)
MOVIELENS_1M: Final = _dataset(
    "1m",
    "1,000,209 ratings, 6,040 users, 3,883 films.",
    "c4d9eecfca2ab87c1945afe126590906",
)
MOVIELENS_20M: Final = _dataset(
    "20m",
    "20,000,263 ratings, 138,493 users, 27,278 films.",
    "cd245b17a1ae2cc31bb14903e1204af3",
)
MOVIELENS_25M: Final = _dataset(
    "25m",
    "25,000,095 ratings, 162,541 users, 62,423 films.",
    "6b51fb2759a8657d3bfcbfc42b592ada",
)
