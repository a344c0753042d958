"""MovieLens in its three formats."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.public.base import PublicDataset, fetch
from datasets.public.loaders.movielens import (
    MOVIELENS_1M,
    MOVIELENS_20M,
    MOVIELENS_25M,
    MOVIELENS_100K,
)

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip


def flags(*genres: str) -> str:
    return "|".join("1" if genre in genres else "0" for genre in GENRES)


RATINGS = [("196", "242", "3", "881250949"), ("186", "302", "5", "891717742"),
           ("22", "242", "4", "878887116")]  # fmt: skip
TOY, LES = "Toy Story (1995)", "Misérables, Les (1995)"
FILES = {
    "100k": {
        "u.data": "".join("\t".join(row) + "\n" for row in RATINGS),
        "u.genre": "".join(f"{genre}|{n}\n" for n, genre in enumerate(GENRES)) + "\n",
        "u.item": (
            f"242|{TOY}|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|"
            f"{flags('Animation', 'Comedy')}\n"
            f"302|{LES}|01-Jan-1995||http://us.imdb.com/|{flags('Drama')}\n"
            f"267|unknown||||{flags('unknown')}\n"
        ),
    },
    "1m": {
        "ratings.dat": "".join("::".join(row) + "\n" for row in RATINGS),
        "movies.dat": f"242::{TOY}::Animation|Comedy\n302::{LES}::Drama\n267::unknown::\n",
    },
    "20m": {
        "ratings.csv": "userId,movieId,rating,timestamp\r\n"
        + "".join(f"{u},{i},{r}.0,{t}\r\n" for u, i, r, t in RATINGS)
        + "22,302,3.5,878887117\r\n",
        "movies.csv": "movieId,title,genres\r\n"
        f'242,{TOY},Animation|Comedy\r\n302,"{LES}",Drama\r\n267,unknown,(no genres listed)\r\n',
    },
}


def publish(folder: Path, size: str, *, packed: bool = True, **changed: str) -> Path:
    folder.mkdir()
    encoding = "utf-8" if size == "20m" else "latin-1"
    files = {name: text.encode(encoding) for name, text in FILES[size].items()}
    files |= {name.replace("_", "."): text.encode(encoding) for name, text in changed.items()}
    if packed:
        with zipfile.ZipFile(folder / f"ml-{size}.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"ml-{size}/{name}", content)
    else:
        (folder / f"ml-{size}").mkdir()
        for name, content in files.items():
            (folder / f"ml-{size}" / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("size", "dataset"), [("100k", MOVIELENS_100K), ("1m", MOVIELENS_1M), ("20m", MOVIELENS_20M)]
)
def test_all_formats_give_the_same(
    tmp_path: Path, size: str, dataset: PublicDataset, packed: bool
) -> None:
    source = publish(tmp_path / "published", size, packed=packed)
    music = fetch(dataset, tmp_path / "out", source=source, progress=False)
    assert music.items.drop(columns=["artist", "album"]).values.tolist() == [
        ["242", TOY, "Animation", "Animation; Comedy", "1995"],
        ["302", LES, "Drama", "Drama", "1995"],
        ["267", "unknown", "", "", ""],
    ]
    assert music.interactions.values.tolist() == [
        ["186", "302", 1.0, pd.Timestamp(891717742, unit="s")],
        ["22", "242", 1.0, pd.Timestamp(878887116, unit="s")],
    ]
    assert not (tmp_path / "out" / "left-out.csv").exists()


def test_25m_is_read_as_20m_is(tmp_path: Path) -> None:
    publish(tmp_path / "published", "20m", packed=False)
    source = tmp_path / "published" / "ml-20m"
    assert (
        len(fetch(MOVIELENS_25M, tmp_path / "out", source=source, progress=False).interactions) == 2
    )


def test_left_out(tmp_path: Path) -> None:
    text = "196\t242\t4\t881250949\n1\t9\t5\t881250949\n1\t242\n1\t242\tfive\t1\n"
    source = publish(tmp_path / "published", "100k", u_data=text)
    music = fetch(MOVIELENS_100K, tmp_path / "out", source=source, progress=False)
    assert len(music.interactions) == 1
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        "u.data,1 lines: the film is not listed; the first is line 2",
        'u.data,"2 lines: not user, film, rating and time; the first is line 3"',
    ]


@pytest.mark.parametrize(
    ("size", "changed", "problem"),
    [
        ("100k", {"u_item": "1|Toy\n"}, "u.item, line 1: 2 values are not those of a film"),
        ("20m", {"movies_csv": "id,title\n"}, "movies.csv, line 1: another header"),
        ("20m", {"ratings_csv": "user,film\n1,2\n"}, "ratings.csv, line 1: another header"),
        ("1m", {"ratings_dat": "1,2,3,4\n"}, "ratings.dat: no line can be used"),
    ],
)
def test_another_format(tmp_path: Path, size: str, changed: dict[str, str], problem: str) -> None:
    source = publish(tmp_path / "published", size, **changed)
    dataset = {"100k": MOVIELENS_100K, "1m": MOVIELENS_1M, "20m": MOVIELENS_20M}[size]
    with pytest.raises(DataError, match=problem):
        fetch(dataset, tmp_path / "out", source=source, progress=False)
