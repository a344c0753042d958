"""Do songs that sound alike have the same genre, and the same artist?

    python -m benchmarks.quality.similarity                                  # the demo catalogue
    python -m benchmarks.quality.similarity ../shared/data/real-mini
    python -m benchmarks.quality.similarity ../shared/data/gtzan-logmel --folds 2 --epochs 12
    python -m benchmarks.quality.similarity ../shared/data/real-mini --encoder musicnn
    python -m benchmarks.quality.similarity ../shared/data/gtzan-logmel --folds 5 --recipe modern

Of each recording the ten nearest by sound, as `similar(by="sound")` has it, by the cosine of the
centred embeddings, out of the whole collection: the share of the same genre, where the recording's
own artist is left out, and the share by the same artist. The network never heard the artists that
it is asked for: it is trained once a fold, with these artists held out. Beside it the cosine of
means and deviations of 20 MFCCs, each standardised over the collection, and chance. --encoder puts
an encoder that was trained elsewhere in the place of the network; it learns nothing here. Precision
divides by ten, so that artists with fewer than eleven recordings have a ceiling below 1.
"""

import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.demo.make import make_demo
from datasets.folder import load_folder
from datasets.image_arrays import is_image_arrays, read_image_arrays
from datasets.system.files import cache_folder
from embedding import EncoderConfig, SongEncoder
from embedding.encoders import MusiCNN, load_encoder
from embedding.encoders.songs import embed_recordings, mean_by_recording
from embedding.hyperimage.extraction import extract_inputs
from evaluation.comparison.bootstrap import mean_interval
from evaluation.genre.data import GenreMaterial, from_arrays, from_dataset
from evaluation.neighbours import retrieval_precision

K = 10
COEFFICIENTS = 20


def main() -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="data set or arrays; default: the demo")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--recipe", choices=("patent", "modern"), default="patent")
    parser.add_argument("--epochs", type=int, help="20 by default; of modern, those of the recipe")
    parser.add_argument("--windows", type=int, default=3, help="windows of each array")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encoder", help="musicnn, or the folder of a saved encoder")
    chosen = parser.parse_args()
    started = time.perf_counter()
    config = EncoderConfig.recipe(chosen.recipe, seed=chosen.seed, threads=chosen.threads)
    if chosen.epochs is not None or chosen.recipe == "patent":
        config = config.replace(epochs=20 if chosen.epochs is None else chosen.epochs)
    with threadpool_limits(chosen.threads):
        material = load(chosen.data, config, chosen.windows, chosen.threads)
        print(f"{len(material.labels)} recordings, {len(set(material.labels) - {''})} genres, "
              f"{len(set(material.artists))} artists; {chosen.folds} folds")  # fmt: skip
        pretrained = None
        if chosen.encoder is not None:
            pretrained = by_encoder(chosen.data, chosen.encoder, chosen.threads)
        report(material, config, chosen.folds, pretrained)
    print(f"{time.perf_counter() - started:.0f} s")


def load(data: Path | None, config: EncoderConfig, windows: int, threads: int) -> GenreMaterial:
    """The recordings with their labels, artists and statistics."""
    if data is not None and is_image_arrays(data):
        arrays = read_image_arrays(data)
        if config.window is not None:  # the network takes windows itself
            return from_arrays(arrays, config)
        window = min(arrays.images.shape[-1], 65)  # five seconds of gtzan-logmel's columns
        return from_arrays(arrays, config, window=window, windows=windows)
    cache = cache_folder() / "hyperimages"
    if data is None:
        dataset = make_demo(cache_folder() / "demo-similarity", workers=threads)
    else:
        dataset = load_folder(data)
    return from_dataset(dataset, config, workers=threads, cache=cache, progress=True)


def by_encoder(data: Path, name: str, threads: int) -> np.ndarray:
    """Vectors of all recordings of a data set by an encoder."""
    paths = load_folder(data).recording_paths()
    encoder = MusiCNN() if name == "musicnn" else load_encoder(name)
    inputs = extract_inputs(paths, encoder.front_end, workers=threads, progress=True)
    return embed_recordings(encoder, inputs.images, inputs.recording, len(paths))[0]


def report(
    material: GenreMaterial, config: EncoderConfig, folds: int, pretrained: np.ndarray | None
) -> None:
    """Measure fold by fold, and print the means over all recordings."""
    from sklearn.model_selection import StratifiedGroupKFold

    heard = np.flatnonzero(np.isfinite(material.statistics).all(axis=1) & (material.labels != ""))
    genres, artists = material.labels[heard], material.artists[heard]
    cepstrum = mfcc(material)[heard]
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=config.seed)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    learned = "network" if pretrained is None else "encoder"
    for train, test in split.split(heard, genres, artists):
        if pretrained is None:
            vectors_of_network = embeddings(material, config, heard, heard[train])
        else:
            vectors_of_network = pretrained[heard] - pretrained[heard].mean(axis=0)
        sounds = {
            learned: vectors_of_network,
            "MFCC means and deviations": cepstrum,
        }
        for name, vectors in sounds.items():
            for question, labels, groups in (("genre", genres, artists), ("artist", artists, None)):
                result = retrieval_precision(vectors, labels, K, groups=groups, queries=test)
                found.setdefault((name, question), []).append(result.precision)
                found.setdefault(("chance", question), []).append(result.chance)
                found.setdefault(("ceiling", question), []).append(result.ceiling)
    print(f"\n| precision@{K} | genre, other artists | artist |\n|---|---|---|")
    for name in (learned, "MFCC means and deviations", "chance", "ceiling"):
        cells = []
        for question in ("genre", "artist"):
            interval = mean_interval(np.concatenate(found[name, question]))
            # Chance and ceiling are no estimates.
            bounds = f" ({interval.low:.3f} to {interval.high:.3f})"
            cells.append(f"{interval.mean:.3f}" + bounds * (name not in ("chance", "ceiling")))
        print(f"| {name} | {' | '.join(cells)} |")
    for question in ("genre", "artist"):
        print(f"queries for {question}: {sum(map(len, found[learned, question]))}")


def embeddings(
    material: GenreMaterial, config: EncoderConfig, heard: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Centred embeddings [heard] of a network that was trained on some recordings."""
    rows = np.flatnonzero(np.isin(material.recording, train))
    of = material.recording[rows]
    encoder = SongEncoder(config).fit(
        material.images[rows], material.labels[of], groups=material.artists[of], progress=True
    )
    by_image = encoder.embed(material.images)
    vectors = mean_by_recording(by_image, material.recording, len(material.labels))[heard]
    return vectors - vectors.mean(axis=0)


def mfcc(material: GenreMaterial) -> np.ndarray:
    """Means and deviations of the cepstral coefficients, standardised, [n, 40].

    The statistics end with three blocks: means, deviations, and deviations of the change.
    """
    values = material.statistics[:, -3 * COEFFICIENTS : -COEFFICIENTS]
    return (values - np.nanmean(values, axis=0)) / np.maximum(np.nanstd(values, axis=0), 1e-9)


if __name__ == "__main__":
    main()
