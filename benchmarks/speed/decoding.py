"""Time of a 5 s snippet from the middle of a long recording against decoding all of it.

    python -m benchmarks.speed.decoding [MINUTES]
    python -m benchmarks.speed.decoding folders [FILES]

The second form compares folders of three-minute recordings by processor time: how many files a
second a core makes hyper-images of (`embedding.hyperimage.extract`), mp3 and, by ffmpeg, m4a and
aac, alternately in one run, ffmpeg's own time and its start included.

The first form:

Makes a stereo recording of ten minutes (or MINUTES) at 44.1 kHz in each format, in a temporary
folder, and reads it in one run, alternately, one thread:

- snippet: `embedding.audio.load_snippets` of 5 s from the middle at 22,050 Hz, all of it:
  opening, finding the place, decoding, mixing, resampling
- end: the same from the end, the worst case of a format without an index
- all: the same function for the whole recording as a sequence of windows of 5 s
- bare: decoding all of it with libsndfile and nothing else, the floor of "all"
"""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from embedding import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.hyperimage import HyperImageConfig, extract

ROUNDS = 7
ROUNDS_OF_ALL = 3
RATE = 44_100
FORMATS = ("mp3", "flac", "wav", "ogg")


def write_recording(path: Path, minutes: float) -> None:
    """Tones that change every second over a little noise, left and right different.

    Second by second, because libsndfile crashes where a long ogg is written at once.
    """
    rng = np.random.default_rng(0)
    t = np.arange(RATE)[:, None] / RATE
    with soundfile.SoundFile(path, "w", RATE, 2) as stream:
        for _ in range(round(60 * minutes)):
            pitch = 110 * 2 ** rng.uniform(0, 4, size=2)
            tone = np.sin(2 * np.pi * pitch * t) * np.exp(-3 * t)
            stream.write(0.3 * tone + 0.02 * rng.standard_normal((RATE, 2)))


def decode_all(path: Path) -> None:
    with soundfile.SoundFile(path) as stream:
        for _ in stream.blocks(1 << 16, dtype="float32", always_2d=True):
            pass


def milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - start)


FOLDERS = {
    "mp3": ("-c:a", "libmp3lame", "-b:a", "128k"),
    "m4a": ("-c:a", "aac", "-b:a", "128k"),
    "aac": ("-c:a", "aac", "-b:a", "128k"),
    "webm": ("-c:a", "libopus", "-b:a", "96k"),
}
"""Formats of the folders, and ffmpeg's options for them."""


def processor_seconds() -> float:
    """Processor time of this process and of the programs that it ran."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare_folders(files: int) -> None:
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        source = Path(folder) / "source.wav"
        write_recording(source, 3)
        paths: dict[str, list[Path]] = {}
        for extension, options in FOLDERS.items():
            first = Path(folder) / f"0.{extension}"
            command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), *options, str(first)]
            subprocess.run(command, check=True)
            paths[extension] = [Path(folder) / f"{n}.{extension}" for n in range(files)]
            for path in paths[extension][1:]:
                shutil.copy(first, path)
        extract(paths["mp3"][:1], SnippetConfig(), HyperImageConfig(), workers=0)
        rates: dict[str, list[float]] = {extension: [] for extension in FOLDERS}
        for _ in range(ROUNDS_OF_ALL):
            for extension in FOLDERS:
                before = processor_seconds()
                found = extract(paths[extension], SnippetConfig(), HyperImageConfig(), workers=0)
                assert found.extracted == files, found.failures
                rates[extension].append(files / (processor_seconds() - before))
    print(f"{files} files of 3 min, stereo, 44.1 kHz; medians of {ROUNDS_OF_ALL} rounds")
    for extension, values in rates.items():
        rate = statistics.median(values)
        ratio = statistics.median(rates["mp3"]) / rate
        print(f"{extension:6}{rate:7.1f} files/s a core, {ratio:4.1f} times the time of mp3")


def main() -> None:
    if sys.argv[1:2] == ["folders"]:
        compare_folders(int(sys.argv[2]) if len(sys.argv) > 2 else 48)
        return
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    middle, end = SnippetConfig(), SnippetConfig(position="end")
    whole = SnippetConfig(position="whole")
    print(
        f"{minutes:g} min, stereo, 44.1 kHz; one thread; medians of {ROUNDS} rounds, milliseconds"
    )
    print(f"{'':6}{'MB':>7}{'snippet':>9}{'end':>9}{'all':>9}{'bare':>9}{'all / snippet':>15}")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for extension in FORMATS:
            path = Path(folder) / f"long.{extension}"
            write_recording(path, minutes)
            kinds: dict[str, Callable[[], object]] = {
                "snippet": lambda path=path: load_snippets(path, middle, 22_050),
                "end": lambda path=path: load_snippets(path, end, 22_050),
                "all": lambda path=path: load_snippets(path, whole, 22_050),
                "bare": lambda path=path: decode_all(path),
            }
            kinds["snippet"]()  # the first call loads libraries and the file itself
            times: dict[str, list[float]] = {name: [] for name in kinds}
            for number in range(ROUNDS):
                for name, kind in kinds.items():
                    if number < ROUNDS_OF_ALL or name in ("snippet", "end"):
                        times[name].append(milliseconds(kind))
            median = {name: statistics.median(values) for name, values in times.items()}
            print(
                f"{extension:6}{path.stat().st_size / 1e6:7.1f}{median['snippet']:9.1f}"
                f"{median['end']:9.1f}{median['all']:9.0f}{median['bare']:9.0f}"
                f"{median['all'] / median['snippet']:15.0f}"
            )
            path.unlink()


if __name__ == "__main__":
    main()
