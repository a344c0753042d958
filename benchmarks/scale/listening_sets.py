"""Converting public data sets of listening: lines a second, and memory as the lines grow.

    python -m benchmarks.scale.listening_sets
    ... --lines 500000,2000000 --only lastfm-1k

Files in the published formats are made up, of each number of lines but with the same 1,000 users,
20,000 items and at most 300 items a user: items and, for lastfm-1k and yambda, the pairs of a user
and an item are held in memory, lines are not. Each is converted in a process of its own, on
one thread, without the reading afterwards that `coldtune data get` does. Memory is the peak of the
process above what it had once the modules were imported (Linux: VmHWM).
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.common import argument_parser
from datasets.public.registry import public_dataset

USERS, ITEMS, PLAYED = 1_000, 20_000, 300
START = datetime(2009, 5, 4)


def main() -> None:
    """Make the files, convert each, print a table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--lines", default="500000,2000000", help="numbers of lines, by commas")
    parser.add_argument("--only", help="one set")
    parser.add_argument("--convert", nargs=3, metavar=("SET", "SOURCE", "TARGET"))
    arguments = parser.parse_args()
    if arguments.convert is not None:
        print(json.dumps(measured(*arguments.convert)))
        return
    print(f"{'set':20} {'lines':>10} {'file':>9} {'seconds':>8} {'lines/s':>9} {'memory':>8}")
    for name, make in MAKERS.items():
        if arguments.only not in (None, name):
            continue
        for lines in map(int, arguments.lines.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                source, target = Path(folder) / "published", Path(folder) / "converted"
                source.mkdir()
                target.mkdir()
                make(source, lines)
                size = sum(path.stat().st_size for path in source.iterdir())
                found = in_a_process(name, source, target)
            rate = lines / found["seconds"]
            print(
                f"{name:20} {lines:10,} {size / 1e6:6.0f} MB {found['seconds']:8.1f} {rate:9,.0f}"
                f" {found['megabytes']:5.0f} MB"
            )


def in_a_process(name: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds and peak memory of one conversion."""
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale.listening_sets",
        "--convert",
        name,
        str(source),
        str(target),
    ]
    done = subprocess.run(command, env=os.environ | one, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(name: str, source: str, target: str) -> dict[str, float]:
    """Convert in this process."""
    import pyarrow.parquet  # noqa: F401 (its memory is not the conversion's)

    dataset = public_dataset(name)
    before = peak_kilobytes()
    start = time.perf_counter()
    dataset.convert(Path(source), Path(target))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": (peak_kilobytes() - before) / 1024}


def peak_kilobytes() -> int:
    """Most memory this process had so far; getrusage would count that of its parent."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def drawn(lines: int) -> tuple[list[int], list[int]]:
    """(user, item) of each line, users one after the other, as the published files have them."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(0, USERS, lines))
    items = (users * 37 + rng.integers(0, PLAYED, lines)) % ITEMS
    return users.tolist(), items.tolist()


def mbid(number: int) -> str:
    """Something of the form of a MusicBrainz id; one in ten is not known."""
    return "" if number % 10 == 0 else f"{number:08x}-bd35-4e99-8624-24a6e15f133a"


def write_packed(path: Path, name: str, text: str) -> None:
    """Write a tar.gz or zip of one file."""
    content = path.with_suffix(".plain")
    content.write_text(text, encoding="utf-8")
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(content, name)
    else:
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.add(content, f"folder/{name}")
    content.unlink()


def lastfm_1k(source: Path, lines: int) -> None:
    """One line a play."""
    from datasets.public.loaders.lastfm_1k import ARCHIVE, PLAYS_FILE

    text = "".join(
        f"user_{user:06d}\t{START - timedelta(seconds=60 * n):%Y-%m-%dT%H:%M:%SZ}\t{mbid(item + 1)}"
        f"\tArtist {item // 10}\t{mbid(item)}\tThe track of number {item}\n"
        for n, (user, item) in enumerate(zip(*drawn(lines), strict=True))
    )
    write_packed(source / ARCHIVE, PLAYS_FILE, text)


def lastfm_360k(source: Path, lines: int) -> None:
    """One line an artist of a user."""
    from datasets.public.loaders.lastfm_360k import ARCHIVE, PLAYS_FILE

    text = "".join(
        f"{user:040x}\t{mbid(item)}\tthe artist of number {item}\t{n % 1000 + 1}\n"
        for n, (user, item) in enumerate(zip(*drawn(lines), strict=True))
    )
    write_packed(source / ARCHIVE, PLAYS_FILE, text)


def taste_profile(source: Path, lines: int) -> None:
    """Triplets; names of all songs, a hundred wrong matches."""
    from datasets.public.loaders.msd_taste_profile import (
        MISMATCHES_FILE,
        TRACKS_FILE,
        TRIPLETS_FILE,
    )

    songs = [f"SO{item:016d}" for item in range(ITEMS)]
    text = "".join(
        f"{user:040x}\t{songs[item]}\t{n % 9 + 1}\n"
        for n, (user, item) in enumerate(zip(*drawn(lines), strict=True))
    )
    write_packed(source / f"{TRIPLETS_FILE}.zip", TRIPLETS_FILE, text)
    names = (f"TR{n:016d}<SEP>{song}<SEP>Artist<SEP>Title\n" for n, song in enumerate(songs))
    (source / TRACKS_FILE).write_text("".join(names))
    wrong = (f"ERROR: <{song} TRAAAAA> a  -  b  !=  c  -  d\n" for song in songs[:100])
    (source / MISMATCHES_FILE).write_text("".join(wrong))


def movielens(source: Path, lines: int) -> None:
    """Ratings in the format of 20m."""
    ratings = "".join(
        f"{user},{item},{n % 5 + 1}.0,{1_000_000_000 + n}\n"
        for n, (user, item) in enumerate(zip(*drawn(lines), strict=True))
    )
    (source / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{ratings}")
    films = "".join(f'{item},"Film, The (1995)",Drama|War\n' for item in range(ITEMS))
    (source / "movies.csv").write_text(f"movieId,title,genres\n{films}")


def yambda(source: Path, lines: int) -> None:
    """Listens, and 128 numbers for each track."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    users, items = (np.array(column, np.uint32) for column in drawn(lines))
    rng = np.random.default_rng(1)
    listens = {
        "uid": users,
        "timestamp": rng.integers(0, 26_000_000, lines).astype(np.uint32),
        "item_id": items,
        "played_ratio_pct": rng.integers(0, 101, lines).astype(np.uint16),
    }
    pq.write_table(pa.table(listens), source / "listens.parquet", row_group_size=1 << 18)
    tracks = np.arange(ITEMS, dtype=np.uint32)
    vectors = pa.array(rng.normal(size=(ITEMS, 128)).tolist(), pa.list_(pa.float64()))
    table = pa.table({"item_id": tracks, "normalized_embed": vectors})
    pq.write_table(table, source / "embeddings.parquet", row_group_size=1 << 13)
    for name in ("artist", "album"):
        mapping = pa.table({f"{name}_id": tracks // 10, "item_id": tracks})
        pq.write_table(mapping, source / f"{name}_item_mapping.parquet")


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "lastfm-1k": lastfm_1k,
    "lastfm-360k": lastfm_360k,
    "msd-taste-profile": taste_profile,
    "yambda-50m": yambda,
    "movielens-20m": movielens,
}

if __name__ == "__main__":
    main()
