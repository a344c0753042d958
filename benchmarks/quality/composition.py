"""How well compositions meet their label, over all labels of an encoder and several seeds.

    python -m benchmarks.quality.composition demo/catalogue [--seeds 0,1,2] [--sounds DIR]
    python -m benchmarks.quality.composition ../shared/data/gtzan-logmel [--seeds 0]
    python -m benchmarks.quality.composition ENCODER [--judge OTHER_ENCODER]

The folder is a data set, whose recordings train the network and the judge; or one with log-mel
images of real music (uint8, 128 mel bands, 12.9 columns a second, and their genres): both are then
trained on 5 s windows of those, and what the network makes of the middle of each real clip is
printed first; or one that SongEncoder.save wrote (of a saved model: MODEL/g-*/encoder). For each
label and seed, and both ways of composing:

- picture: probability of the label for the composed hyper-image
- sound: for the rendered sound by the whole path: written to a file, decoded, cut, hyper-image, CNN
- judge: the same sound classified by another network that was not used in composing; one trained on
  the same recordings with another seed shows how far a composition is more than a trick on the
  network it was made for
- s: seconds for composing
"""

import time
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from benchmarks.common import argument_parser
from datasets.arrays import Float32Array
from datasets.folder import load_folder
from datasets.image_arrays import ImageArrays, is_image_arrays, read_image_arrays
from embedding import EncoderConfig, HyperImageConfig, SongEncoder
from embedding.composition.composer import CompositionConfig, compose, roundtrip_images, write_sound
from embedding.composition.goals import labels
from embedding.composition.image_inversion import dream
from embedding.hyperimage.config import Band
from embedding.network.storage import ENCODER_MANIFEST
from recsys.audio import train_encoder

WINDOW = 64
"""Columns of log-mel images in 5 s."""

WAYS = {"notes": compose, "patent": dream}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sounds", type=Path, help="folder to write the sounds to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder
    judge: SongEncoder | None
    if is_image_arrays(folder):
        encoder, judge = trained(folder, seed=0), trained(folder, seed=1)
        print_real(folder, encoder)
    elif not (folder / ENCODER_MANIFEST).is_file():
        encoder, judge = (
            train_encoder(
                load_folder(folder), EncoderConfig(seed=seed, threads=1), workers=1, progress=True
            )
            for seed in (0, 1)
        )
    else:
        encoder = SongEncoder.load(folder)
        judge = SongEncoder.load(arguments.judge) if arguments.judge else None
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    print(f"one thread, seeds {arguments.seeds}; mean over the seeds, least in brackets")
    columns = ["picture", "sound", *(["judge"] if judge else []), "s"]
    print(f"{'':16}{'':8}" + "".join(f"{name:>14}" for name in columns))
    for label in encoder.classes_.tolist():
        for way, make in WAYS.items():
            rows = []
            for seed in seeds:
                goal = labels(encoder, {label: 1})
                started = time.perf_counter()
                composition = make(encoder, goal, CompositionConfig(seed=seed))
                row = {"s": time.perf_counter() - started}
                rendered = roundtrip_images(encoder, composition)
                row["picture"] = goal.match(encoder, composition.image[None])
                row["sound"] = goal.match(encoder, rendered)
                if judge:
                    row["judge"] = labels(judge, {label: 1}).match(judge, rendered)
                rows.append(row)
                if arguments.sounds:
                    name = f"{label.replace('/', '-')}-{way}-{seed}.flac"
                    write_sound(arguments.sounds / name, composition.sound, composition.sample_rate)
            results[way] += rows
            print(line(label, way, rows, columns), flush=True)
    for way, rows in results.items():
        print(line("all", way, rows, columns))


def trained(folder: Path, *, seed: int) -> SongEncoder:
    """The patent's network on 5 s windows of log-mel images."""
    arrays = read_image_arrays(folder)
    picture = HyperImageConfig(layout=(Band(transform="mel", rows=128),), width=WINDOW)
    config = EncoderConfig(
        hyperimage=picture, window=WINDOW, epochs=25, seed=seed, threads=1, accelerator="cpu"
    )
    return SongEncoder(config).fit(brightness(arrays), arrays.labels, arrays.groups)


def print_real(folder: Path, encoder: SongEncoder) -> None:
    arrays = read_image_arrays(folder)
    start = (arrays.images.shape[2] - WINDOW) // 2
    found = encoder.predict_proba(brightness(arrays)[..., start : start + WINDOW])
    print("probability of its own label for the real clips it was trained on: median, largest")
    for column, label in enumerate(encoder.classes_.tolist()):
        own = found[arrays.labels == label, column]
        print(f"{label:16}{np.median(own):8.3f}{own.max():8.3f}")


def brightness(arrays: ImageArrays) -> Float32Array:
    return (arrays.images[:, None] / np.float32(255)).astype(np.float32)


def line(label: str, way: str, rows: list[dict[str, float]], columns: list[str]) -> str:
    cells = []
    for name in columns:
        values = [row[name] for row in rows]
        cells.append(
            f"{mean(values):14.1f}"
            if name == "s"
            else f"{mean(values):.3f} ({min(values):.3f})".rjust(14)
        )
    return f"{label:16}{way:8}" + "".join(cells)


if __name__ == "__main__":
    main()
