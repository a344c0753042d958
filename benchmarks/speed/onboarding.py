"""How fast new recordings are recommendable: one file, with the share of each stage, and folders.

    python -m benchmarks.speed.onboarding --files 300
    ... --files 300 --folder recordings     # kept for the next time

The files are 3-minute mp3s (44.1 kHz, stereo, made for the purpose, each name a recording of its
own). The model has the network of the patent at its size, trained for one epoch on a few short
recordings, and lies on the disk: an item counts once its transaction is committed. The figure for
one file is what a program that keeps the model open sees: the median over files that were not seen
before, on one thread here and one decoding process, which wait for each other. Starting that
process is stated apart.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.music import MusicDataset
from datasets.system.files import file_digest
from embedding.audio.snippets import read_snippets
from embedding.audio.source import RecordingFile
from embedding.hyperimage.image import hyperimage
from recsys import Recommender, RecommenderConfig
from recsys.audio import RecordingEmbedder
from recsys.database.catalog import Catalog
from recsys.model.items import ItemTable
from recsys.model.state import FittedState

RATE = 44_100
SINGLE = 40
"""Recordings that are onboarded one by one."""


def main() -> None:
    """Print all figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="of the recordings; made where it is missing")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or Path(made) / "recordings"
        some_mp3s(folder, max(chosen.files, SINGLE))
        model = some_model(Path(made))
        single(model, folder)
        for processes in chosen.processes:
            whole(model, folder, chosen.files, processes)


def some_mp3s(folder: Path, count: int, seconds: int = 180) -> None:
    """Recordings of 3 minutes; made once, then written again with another ending each."""
    folder.mkdir(parents=True, exist_ok=True)
    original = folder / "0.mp3"
    if not original.exists():
        rng = np.random.default_rng(0)
        t = np.arange(30 * RATE) / RATE
        left = 0.2 * np.sin(2 * np.pi * 220 * t) * (np.modf(2 * t)[0] < 0.5)
        block = np.stack([left, left[::-1]], 1) + 0.02 * rng.normal(size=(len(t), 2))
        with soundfile.SoundFile(original, "w", RATE, 2, format="MP3") as stream:
            for _ in range(seconds // 30):
                stream.write(block.astype("f4"))
    content = original.read_bytes()
    for number in range(1, count):
        path = folder / f"{number}.mp3"
        if not path.exists():
            # An ID3v1 tag at the end: another file, and the same sound.
            path.write_bytes(content + b"TAG" + str(number).encode().ljust(125, b"\0"))
    print(f"{count} mp3s of {seconds} s, {len(content) / 1e6:.1f} MB each")


def some_model(folder: Path) -> Path:
    """A model whose network has its real size; what it tells is of no importance here."""
    rng = np.random.default_rng(1)
    ids = [f"item-{number}" for number in range(16)]
    for number, name in enumerate(ids):
        tone = np.sin(2 * np.pi * (220 + 60 * number) * np.arange(5 * RATE) / RATE)
        noise = 0.1 * rng.normal(size=len(tone))
        soundfile.write(folder / f"{name}.wav", 0.3 * tone + noise, RATE)
    plays = [
        (f"user-{user}", ids[item], 1.0)
        for user in range(40)
        for item in rng.choice(14, 5, replace=False)
    ]
    dataset = MusicDataset(
        items=pd.DataFrame(
            {
                "item_id": ids, "title": "", "artist": ids, "album": "",
                "genre": [("rock", "jazz")[number % 2] for number in range(len(ids))],
            }
        ),
        audio=pd.DataFrame({"item_id": ids, "path": [f"{name}.wav" for name in ids]}),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]),
        root=folder,
    )  # fmt: skip
    config = RecommenderConfig(
        threads=1, tracking=False, encoder={"epochs": 1, "threads": 1, "tags": ("genre",)}
    )
    model = Recommender(config).fit(dataset)
    model.save(folder / "model")
    print(f"network {config.encoder.architecture}")
    return folder / "model"


def single(path: Path, folder: Path) -> None:
    """One file after the other, and where the time goes."""
    model = Recommender.load(path)
    files = [folder / f"{number}.mp3" for number in range(SINGLE)]
    started = time.perf_counter()
    model.onboard(files[0], item_id="single-0")
    first = time.perf_counter() - started
    times: list[float] = []
    stages: dict[str, list[float]] = {}
    with (
        timed(RecordingEmbedder, "embed", stages),
        timed(RecordingEmbedder, "embed_inputs", stages),
        timed(FittedState, "fuse_content", stages),
        timed(ItemTable, "with_onboarded", stages),
        timed(Catalog, "put", stages),
    ):
        for number, file in enumerate(files[1:], start=1):
            started = time.perf_counter()
            model.onboard(file, item_id=f"single-{number}")
            times.append(time.perf_counter() - started)
    assert model.recommend("user-1", only=["single-1"])["cold"].all()
    whole_time = statistics.median(times)
    median = {name: statistics.median(values) for name, values in stages.items()}
    inside = by_hand(model, files)
    there = median["embed"] - median["embed_inputs"]
    shares = {
        "decoding the snippet": inside["decode"],
        "hyper-image": inside["picture"],
        "digest of the file": inside["digest"],
        "to the process and back": there - sum(inside.values()),
        "network": median["embed_inputs"],
        "vectors": median["fuse_content"] + median["with_onboarded"],
        "SQLite": median["put"],
        "rest (checks, the folder's lock)": (
            whole_time
            - sum(median[name] for name in ("embed", "fuse_content", "with_onboarded", "put"))
        ),
    }
    print(f"\none file, recommendable after {1000 * whole_time:.1f} ms (median of {len(times)})")
    print(f"the very first, with starting the process: {1000 * first:.0f} ms")
    for name, seconds in shares.items():
        print(f"  {name:34}{1000 * seconds:7.1f} ms {seconds / whole_time:6.0%}")


def by_hand(model: Recommender, files: list[Path]) -> dict[str, float]:
    """Medians of what the decoding process does, done here."""
    config = model.config.encoder
    wanted = config.hyperimage
    found: dict[str, list[float]] = {"decode": [], "picture": [], "digest": []}
    for path in files:
        file = RecordingFile(path, path.name)
        times = [time.perf_counter()]
        (snippet,) = read_snippets(
            file, config.snippet, wanted.sample_rate, channels=wanted.sound_channels
        )
        times.append(time.perf_counter())
        hyperimage(snippet.samples, wanted)
        times.append(time.perf_counter())
        file_digest(path)
        times.append(time.perf_counter())
        for name, seconds in zip(found, np.diff(times), strict=True):
            found[name].append(seconds)
    return {name: statistics.median(values) for name, values in found.items()}


@contextmanager
def timed(owner: Any, name: str, times: dict[str, list[float]]) -> Iterator[None]:
    """Note how long each call of a method takes, inside the block."""
    original: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            times.setdefault(name, []).append(time.perf_counter() - started)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def whole(path: Path, folder: Path, count: int, processes: int) -> None:
    """A folder at once, starting the processes included; then again, with nothing to do."""
    with tempfile.TemporaryDirectory() as place:
        chosen = Path(place) / f"of-{processes}"
        chosen.mkdir()
        for number in range(count):
            (chosen / f"{processes}-{number}.mp3").symlink_to((folder / f"{number}.mp3").resolve())
        model = Recommender.load(path)
        for what in ("added", "unchanged"):
            started = time.perf_counter()
            report = model.onboard_folder(chosen, threads=processes)
            seconds = time.perf_counter() - started
            assert (report["status"] == what).all(), report["reason"].max()
            print(
                f"folder of {count}, decoding processes: {processes}, "
                f"{count / seconds:.0f} files/s {what}"
            )


if __name__ == "__main__":
    main()
