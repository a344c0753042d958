"""Who will like it, by the recording alone: encoders side by side, one artist out at a time.

    python -m benchmarks.quality.encoders ../shared/data/real-mini
    ... --without network      # trains no networks: two minutes
    ... --encoder FOLDER       # a saved encoder beside them, such as a model's

For each artist with a recording and ten listeners: listeners are represented by the mean of the
sounds of the other artists they play, and the item-wise AUC says how well the artist's own
listeners are told from other people (the metric of `evaluation`, free of popularity; .5 is chance).
Only listeners of two or more artists with recordings take part. Sounds are standardised over the
other artists and scaled to length 1, as the content source does. Intervals are over artists. Beside
MusiCNN's layers: heads on it for genre, or for genre and the vectors of ALS, and a network, each
trained without the artist, once for each of them; statistics of the images; means and deviations of
MFCCs; and the true genre.

The seconds are of one core: a recording read, and its vector computed.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from benchmarks.quality.similarity import mfcc
from datasets.errors import DataWarning
from datasets.folder import load_folder
from datasets.music import MusicDataset
from datasets.system.files import cache_folder
from embedding import (
    EncoderConfig,
    FineTunedEncoder,
    HeadConfig,
    SongEncoder,
    SoundStatistics,
)
from embedding.encoders import Encoder, MusiCNN, load_encoder
from embedding.encoders.songs import embed_recordings, mean_by_recording
from embedding.hyperimage.extraction import extract_inputs
from evaluation.comparison.bootstrap import mean_interval, paired_difference
from evaluation.genre.data import GenreMaterial, from_dataset
from evaluation.metrics.ranking import item_auc

LISTENERS = 10
"""Least number of listeners of an artist."""

TIMED = 12
"""Recordings that the seconds are the mean of."""

Vectors = Callable[[np.ndarray], np.ndarray]
"""Vectors of all recordings, made without those of the held-out ones."""


def main() -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=20, help="of each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], help="network, heads, statistics")
    parser.add_argument("--encoder", type=Path, action="append", default=[], help="a saved one")
    chosen = parser.parse_args()
    dataset = load_folder(chosen.data)
    config = EncoderConfig(epochs=chosen.epochs, seed=chosen.seed, threads=chosen.threads)
    with threadpool_limits(chosen.threads):
        cache = cache_folder() / "hyperimages"
        material = from_dataset(dataset, config, workers=chosen.threads, cache=cache, progress=True)
        compared = sounds(dataset, material, config, chosen.encoder, set(chosen.without))
        report(dataset, material, compared)


def sounds(
    dataset: MusicDataset,
    material: GenreMaterial,
    config: EncoderConfig,
    folders: list[Path],
    without: set[str],
) -> dict[str, tuple[Vectors, float | None]]:
    """What is compared by name: vectors of recordings, and the seconds that one takes."""
    paths = dataset.recording_paths()
    compared: dict[str, tuple[Vectors, float | None]] = {}

    def add(name: str, vectors: Vectors, seconds: float | None = None) -> None:
        compared[name] = vectors, seconds

    def fixed(values: np.ndarray) -> Vectors:
        return lambda held: values

    musicnn = MusiCNN()
    musicnn.torch_module()  # says what to do where it was not fetched, before recordings are read
    inputs = extract_inputs(paths, musicnn.front_end, workers=1, progress=True)
    layers = musicnn.features(inputs.images)
    layers["mean_pool and max_pool"] = np.hstack([layers["mean_pool"], layers["max_pool"]])
    cost = seconds(musicnn, paths)
    for layer, values in layers.items():
        own = mean_by_recording(values, inputs.recording, len(paths))
        add(f"MusiCNN, {layer}, {own.shape[1]}-d", fixed(own), cost)
    if "heads" not in without:
        known = Known(layers["penultimate"], musicnn)
        for title, with_taste in (("genre", False), ("genre and taste", True)):
            add(
                f"MusiCNN, penultimate, heads for {title}",
                with_heads(dataset, known, inputs.recording, with_taste),
                cost,
            )
    for folder in folders:
        encoder = load_encoder(folder)
        add(f"{encoder!r}", fixed(embedded(encoder, paths)), seconds(encoder, paths))
    if "network" not in without:
        encoder = SongEncoder(config.replace(epochs=1)).fit(material.images[:20], ["a", "b"] * 10)
        add("network trained on the others", trained(material, config), seconds(encoder, paths))
    if "statistics" not in without:
        encoder = SoundStatistics(config).fit(material.images)
        add("statistics of the image", fixed(embedded(encoder, paths)), seconds(encoder, paths))
    add("MFCC means and deviations", fixed(mfcc(material)))
    add("true genre", fixed(pd.get_dummies(material.labels).to_numpy(np.float32)))
    return {name: found for name, found in compared.items() if name not in without}


class Known:
    """Vectors that were computed before, in the place of the encoder that computed them."""

    def __init__(self, vectors: np.ndarray, encoder: Encoder) -> None:
        self.vectors = vectors
        self.front_end, self.dimension = encoder.front_end, vectors.shape[1]
        self.heads_: dict[str, np.ndarray] = {}

    def embed_and_predict(self, inputs: np.ndarray) -> tuple[np.ndarray, dict]:
        """Return the vectors themselves."""
        return inputs, {}


def with_heads(
    dataset: MusicDataset, known: Known, recording: np.ndarray, with_taste: bool
) -> Vectors:
    """Vectors of heads that are trained on a frozen encoder without the recordings held out."""
    genres = dataset.recording_labels("genre").to_numpy()
    artists = dataset.recording_artists().to_numpy()
    items = dataset.audio["item_id"].to_numpy()

    def vectors(held: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(~np.isin(recording, held))
        of = recording[rows]
        taste = collaborative(dataset, set(items[held]))[of] if with_taste else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # genres of one artist
            tuned = FineTunedEncoder(known, HeadConfig(threads=1)).fit(
                known.vectors[rows], genres[of], taste, groups=artists[of]
            )
        values = tuned.embed_and_predict(known.vectors)[0]
        return mean_by_recording(values, recording, len(items))

    return vectors


def collaborative(dataset: MusicDataset, held: set[str]) -> np.ndarray:
    """ALS vectors of the recorded items, learned without the plays of some; NaN for none."""
    from implicit.cpu.als import AlternatingLeastSquares

    plays = dataset.interactions[~dataset.interactions["item_id"].isin(held)]
    users, items = pd.factorize(plays["user_id"])[0], pd.factorize(plays["item_id"])
    matrix = csr_matrix((np.full(len(plays), 10, np.float32), (users, items[0])))
    model = AlternatingLeastSquares(
        64, regularization=20, iterations=10, random_state=0, num_threads=1
    )
    model.fit(matrix, show_progress=False)
    return (
        pd.DataFrame(model.item_factors, index=items[1])
        .reindex(dataset.audio["item_id"])
        .to_numpy(np.float32)
    )


def embedded(encoder: Encoder, paths: list[Path]) -> np.ndarray:
    """The vectors of recordings."""
    inputs = extract_inputs(paths, encoder.front_end, workers=1, progress=True)
    return embed_recordings(encoder, inputs.images, inputs.recording, len(paths))[0]


def trained(material: GenreMaterial, config: EncoderConfig) -> Vectors:
    """Vectors of a network that is trained on genres without the recordings held out."""

    def vectors(held: np.ndarray) -> np.ndarray:
        of = material.recording
        known = np.isin(of, held, invert=True) & (material.labels[of] != "")
        encoder = SongEncoder(config).fit(
            material.images[known],
            material.labels[of[known]],
            groups=material.artists[of[known]],
        )
        return mean_by_recording(encoder.embed(material.images), of, len(material.labels))

    return vectors


def seconds(encoder: Encoder, paths: list[Path]) -> float:
    """Processor seconds for one recording: reading, its inputs, its vector."""
    chosen = paths[:: max(1, len(paths) // TIMED)][: TIMED + 1]
    for path in chosen[:1]:  # imports, tables
        encoder.embed_and_predict(extract_inputs([path], encoder.front_end, workers=0).images)
    started = time.process_time()
    for path in chosen[1:]:
        encoder.embed_and_predict(extract_inputs([path], encoder.front_end, workers=0).images)
    return (time.process_time() - started) / len(chosen[1:])


def report(
    dataset: MusicDataset,
    material: GenreMaterial,
    compared: dict[str, tuple[Vectors, float | None]],
) -> None:
    """Print item-wise AUC with intervals, and the difference from the true genre."""
    found = {}
    for name, (vectors, _) in compared.items():
        found[name] = content_auc(dataset, vectors)
        print(f"{name}: {found[name].mean():.3f}", flush=True)
    artists, users = listening(dataset)[1].shape[::-1]
    print(f"\n{artists} artists with {LISTENERS} listeners or more, {users} listeners")
    print("\n| encoder | item-wise AUC | less the true genre | s a song |\n|---|---|---|---|")
    for name, values in found.items():
        own, cost = mean_interval(values), compared[name][1]
        gain = paired_difference(values, found["true genre"])
        print(
            f"| {name} | {own.mean:.3f} ({own.low:.3f} to {own.high:.3f}) "
            f"| {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) "
            f"| {'' if cost is None else f'{cost:.3f}'} |"
        )


def listening(dataset: MusicDataset) -> tuple[list[str], np.ndarray]:
    """Artists with recordings and enough listeners, and who plays them [n_users, n_artists]."""
    plays = dataset.interactions[dataset.interactions["item_id"].isin(dataset.audio["item_id"])]
    counts = plays.groupby("item_id")["user_id"].nunique()
    artists = sorted(counts.index[counts >= LISTENERS])
    table = pd.crosstab(plays["user_id"], plays["item_id"])[artists].to_numpy() > 0
    return artists, table[table.sum(axis=1) >= 2]


def content_auc(dataset: MusicDataset, vectors: Vectors) -> np.ndarray:
    """Item-wise AUC of each artist, whose recordings nobody's vector and no network has heard."""
    artists, plays = listening(dataset)
    of_recording = dataset.audio["item_id"].to_numpy()
    scores = np.empty(plays.shape)
    for column, artist in enumerate(artists):
        held = np.flatnonzero(of_recording == artist)
        by_recording = vectors(held)
        heard = np.stack([by_recording[of_recording == name].mean(axis=0) for name in artists])
        rest = np.arange(len(artists)) != column
        scale = heard[rest].std(axis=0)
        scale = np.where(scale > 1e-6 * scale.max(), scale, np.inf)
        standard = (heard - heard[rest].mean(axis=0)) / scale
        unit = standard / np.linalg.norm(standard, axis=1, keepdims=True)
        others = plays & rest
        profile = others @ unit / others.sum(axis=1, keepdims=True)
        scores[:, column] = profile @ unit[column]
    return item_auc(scores, plays).values


if __name__ == "__main__":
    main()
