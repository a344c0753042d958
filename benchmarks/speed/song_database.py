"""How fast the song database is, and which journal suits it.

    python -m benchmarks.speed.song_database --songs 100000
    python -m benchmarks.speed.song_database --songs 20000 --publish postgresql://me@/postgres?host=/tmp

Songs have 192-d embeddings and ten scores. First the journals: a rollback journal synced at every
step (what a model's own database has) against a write-ahead log. Then a large catalogue: filled,
copied, listed, searched and checked; then published to a database by URL (an SQLite file where
none is given), and published again with nothing changed.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.common import argument_parser, timed
from recsys.database.catalog import Catalog
from recsys.database.published import SongDatabase
from recsys.database.queries import SongFilter, count_songs, list_scores, list_songs
from recsys.database.song import Song

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae",
          "rock")  # fmt: skip
COMMITS = 150


def main() -> None:
    """Print all timings."""
    parser = argument_parser(__doc__)
    parser.add_argument("--songs", type=int, default=20_000)
    parser.add_argument("--publish", metavar="URL", help="where to publish to; it is filled")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for mode, synchronous in (("DELETE", "EXTRA"), ("WAL", "FULL")):
            journal(Path(folder), mode, synchronous)
        catalogue(Path(folder), chosen.songs)
        publication(Path(folder), chosen.publish)


def journal(folder: Path, mode: str, synchronous: str) -> None:
    """One song a transaction; then what the file alone holds, as somebody would copy it."""
    path = folder / f"{mode}.sqlite"
    Catalog.in_memory().copy_to(path)
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
    catalog = Catalog.open(path)
    with closing(catalog._engine.raw_connection()) as raw:  # the only one of the pool
        raw.execute(f"PRAGMA synchronous = {synchronous}")
    started = time.perf_counter()
    for song in some_songs(COMMITS):
        catalog.put([song])
    seconds = time.perf_counter() - started
    shutil.copy(path, folder / "copy.sqlite")
    with closing(sqlite3.connect(folder / "copy.sqlite")) as copy:
        (held,) = copy.execute("SELECT COUNT(*) FROM songs").fetchone()
    print(f"{mode}, {synchronous}: {COMMITS / seconds:.0f} songs/s, one a transaction; "
          f"the file alone has {held} of {COMMITS}")  # fmt: skip
    catalog.close()


def catalogue(folder: Path, count: int) -> None:
    """A large catalogue: filled, listed, checked."""
    memory = Catalog.in_memory()
    path = folder / "catalog.sqlite"
    timed(f"fill with {count:,} songs", lambda: memory.fill(some_songs(count)))
    timed("write to a file", lambda: memory.copy_to(path))
    memory.close()
    catalog = Catalog.open(path)
    with catalog.transaction() as connection:
        jazz, rare = SongFilter("jazz"), SongFilter(search=f"number {count - 1}")
        timed("list 20", lambda: list_songs(connection, SongFilter(), 20))
        timed("list 20 of a genre", lambda: list_songs(connection, jazz, 20))
        timed("count a genre", lambda: count_songs(connection, jazz))
        timed("search, one found", lambda: list_songs(connection, rare, 20))
        timed("search, none found", lambda: list_songs(connection, SongFilter(search="zzz"), 20))
        timed("scores of 20", lambda: list_scores(connection, SongFilter(), 20))
    timed("check every row", catalog.verify)
    catalog.close()


def publication(folder: Path, url: str | None) -> None:
    """The catalogue published, and again."""
    catalog = Catalog.open(folder / "catalog.sqlite")
    with closing(
        SongDatabase.open(url or f"sqlite:///{folder / 'public.sqlite'}", create=True)
    ) as database:
        for what in ("publish", "publish again"):
            print(timed(what, lambda: database.publish(catalog)))
    catalog.close()


def some_songs(count: int) -> Iterator[Song]:
    """Songs like those of a catalogue, the same every time."""
    rng = np.random.default_rng(0)
    for n in range(count):
        yield Song(
            f"song:{n:08d}", f"Title number {n}", f"Artist {n // 10}", f"Album {n // 12}",
            GENRES[n % 10], {"mood": "dark"}, rng.standard_normal(192).astype(np.float32),
            {"genre": dict(zip(GENRES, rng.dirichlet(np.ones(10)).tolist(), strict=True))},
        )  # fmt: skip


if __name__ == "__main__":
    main()
