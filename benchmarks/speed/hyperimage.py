"""Time of the stacked hyper-image against librosa, and of a folder of recordings.

    python -m benchmarks.speed.hyperimage [RECORDING ...]

Without recordings it uses made-up sound. First, for each 5 s snippet, on one thread and decoding
apart, in one run, alternately:

- bare STFT: our power spectrogram alone, the floor
- ours: the whole hyper-image (six transforms, resized, normalised, stacked)
- librosa: its six functions, each from the waveform, with their defaults
- librosa, same values: the six with our parameters (no tuning estimate, tonnetz from an STFT
  chromagram, a tempogram of 192 frames)

Then files a second for a folder of 3-minute mp3s (44.1 kHz, stereo, made for the purpose, each name
a link to the same file), a 5 s snippet from the middle of each, by one process and by two, and
which share of the time is decoding.
"""

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from datasets.arrays import Float32Array
from embedding import HyperImageConfig, SnippetConfig, transforms
from embedding.audio.snippets import load_snippets
from embedding.hyperimage.extraction import extract
from embedding.hyperimage.image import hyperimage

ROUNDS = 20
FILES = 400
RATE = 22050
CONFIG = HyperImageConfig()


def bare_stft(y: Float32Array) -> object:
    return transforms.power_spectrogram(y)


def ours(y: Float32Array) -> object:
    return hyperimage(y, CONFIG)


def librosa_defaults(y: Float32Array) -> object:
    feature = librosa.feature
    return (
        feature.chroma_stft(y=y, sr=RATE),
        feature.tempogram(y=y, sr=RATE),
        librosa.power_to_db(feature.melspectrogram(y=y, sr=RATE)),
        feature.mfcc(y=y, sr=RATE),
        feature.spectral_contrast(y=y, sr=RATE),
        feature.tonnetz(y=y, sr=RATE),
    )


def librosa_same_values(y: Float32Array) -> dict[str, Float32Array]:
    feature = librosa.feature
    chroma = {"y": y, "sr": RATE, "tuning": 0.0}
    return {
        "chroma": feature.chroma_stft(**chroma),
        "tempogram": feature.tempogram(y=y, sr=RATE, win_length=CONFIG.tempogram_frames),
        "mel": librosa.power_to_db(feature.melspectrogram(y=y, sr=RATE)),
        "mfcc": feature.mfcc(y=y, sr=RATE),
        "contrast": feature.spectral_contrast(y=y, sr=RATE),
        "tonnetz": feature.tonnetz(chroma=feature.chroma_stft(**chroma)),
    }


def our_values(y: Float32Array) -> dict[str, Float32Array]:
    S = transforms.power_spectrogram(y)
    log_mel = transforms.decibels(transforms.mel(S=S))
    onsets = transforms.onset_strength(log_mel=log_mel)
    return {
        "chroma": transforms.chroma(S=S),
        "tempogram": transforms.tempogram(onsets=onsets, win_length=CONFIG.tempogram_frames),
        "mel": log_mel,
        "mfcc": transforms.mfcc(log_mel=log_mel),
        "contrast": transforms.contrast(S=S),
        "tonnetz": transforms.tonnetz(S=S),
    }


def made_up_sound(seed: int) -> Float32Array:
    rng = np.random.default_rng(seed)
    time_ = np.arange(5 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * p * time_) for p in rng.uniform(80, 2000, 8))
    beat = np.exp(-8 * np.modf(rng.uniform(1.5, 3) * time_)[0])
    return (0.05 * tones * beat + 0.02 * rng.normal(size=len(time_))).astype(np.float32)


def made_up_mp3(path: Path, seconds: int = 180) -> None:
    """Half a minute of sound again and again, written block by block."""
    rate = 44100
    rng = np.random.default_rng(0)
    time_ = np.arange(30 * rate) / rate
    left = 0.2 * np.sin(2 * np.pi * 220 * time_) * (np.modf(2 * time_)[0] < 0.5)
    block = (np.stack([left, left[::-1]], 1) + 0.02 * rng.normal(size=(len(time_), 2))).astype("f4")
    with soundfile.SoundFile(path, "w", rate, 2, format="MP3") as stream:
        for _ in range(seconds // 30):
            stream.write(block)


def folder_speed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "0.mp3"
        made_up_mp3(original)
        paths = [original]
        for number in range(1, FILES):
            paths.append(original.with_name(f"{number}.mp3"))
            paths[-1].hardlink_to(original)
        decoding, picturing = [], []
        with threadpool_limits(1):
            for path in paths[: FILES // 4]:
                start = time.perf_counter()
                (y,) = load_snippets(path, SnippetConfig(), RATE)
                middle = time.perf_counter()
                hyperimage(y, CONFIG)
                decoding.append(middle - start)
                picturing.append(time.perf_counter() - middle)
        decode, picture = statistics.median(decoding), statistics.median(picturing)
        print(f"\nfolder of {FILES} mp3s of 3 minutes, {original.stat().st_size / 1e6:.1f} MB each")
        print(
            f"a file, one thread: decoding {1000 * decode:.1f} ms, "
            f"hyper-image {1000 * picture:.1f} ms, decoding is {decode / (decode + picture):.0%}"
        )
        for workers in (1, 2):
            start = time.perf_counter()
            found = extract(paths, SnippetConfig(), CONFIG, workers=workers)
            seconds = time.perf_counter() - start
            assert len(found.images) == FILES
            print(
                f"{workers} process{'es' if workers > 1 else ''}: {FILES / seconds:.0f} files/s, "
                "starting them included"
            )


def main() -> None:
    warnings.filterwarnings("ignore")
    compare([Path(argument) for argument in sys.argv[1:]])
    folder_speed()


def compare(paths: list[Path]) -> None:
    snippets = [load_snippets(path, SnippetConfig(), RATE)[0] for path in paths]
    snippets = snippets or [made_up_sound(seed) for seed in range(5)]
    kinds: dict[str, Callable[[Float32Array], object]] = {
        "bare STFT": bare_stft,
        "ours": ours,
        "librosa": librosa_defaults,
        "librosa, same values": librosa_same_values,
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    with threadpool_limits(1):
        for kind in kinds.values():
            kind(snippets[0])  # filter banks and compiled code are made on the first call
        for round_number in range(ROUNDS):
            y = snippets[round_number % len(snippets)]
            for name, kind in kinds.items():
                start = time.perf_counter()
                kind(y)
                times[name].append(1000 * (time.perf_counter() - start))
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"5 s snippets, one thread, {ROUNDS} rounds over {len(snippets)} snippets, milliseconds")
    print(f"{'':22}{'median':>9}{'best':>9}{'':5}median / ours")
    for name, value in median.items():
        best = min(times[name])
        print(f"{name:22}{value:9.2f}{best:9.2f}{'':5}{value / median['ours']:.2f}")
    print(f"\nours / bare STFT: {median['ours'] / median['bare STFT']:.2f}")
    print("\nlargest difference from librosa, of the largest value")
    for y in snippets[:1]:
        mine, theirs = our_values(y), librosa_same_values(y)
        for name in mine:
            difference = np.abs(mine[name] - theirs[name]).max() / np.abs(theirs[name]).max()
            print(f"{name:22}{difference:9.1e}")


if __name__ == "__main__":
    main()
