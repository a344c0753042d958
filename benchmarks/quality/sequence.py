"""Does a head over a song's windows beat the mean of them?

    python -m benchmarks.quality.sequence                                      # songs of two parts
    python -m benchmarks.quality.sequence ../shared/data/gtzan-logmel --cache sequence-networks

Without data: songs of two parts, each a song of the demo's composer by other artists and of other
genres, one twice as long as the other. Three questions: the genre of the longer part, the genre of
the first part, and both genres (the share of songs whose two likeliest tags they are). With data:
one genre for each clip, 12 windows of 5 s.

The network is trained once a fold, on artists that are not tested; then each kind of head is
trained with several seeds on the network's vectors, and compared with the mean song by song.
Intervals are of artists drawn anew, 95 %.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.demo import compose_song
from datasets.demo.genres import GENRES
from embedding import EncoderConfig, HyperImageConfig, SongEncoder
from embedding.encoders.songs import embed_recordings
from embedding.hyperimage import hyperimage
from embedding.network.sequence.training import learn_sequences
from embedding.network.targets import make_targets
from embedding.network.training import TrainingJob
from evaluation.genre.splits import assign_folds

KINDS = ("mean", "attention", "recurrent")

PARTS, WINDOWS, SECONDS = 6, 4, 2.5
"""Of the made songs: artists a genre, windows of a part at most, and seconds of a window."""

SONGS = {"training": 240, "test": 120}
"""Songs made of parts, in each fold."""

DRAWN = 2000
"""Draws of artists."""


@dataclass(frozen=True)
class Question:
    """Songs of one fold with what is asked of them."""

    name: str
    fold: int
    config: EncoderConfig
    images: np.ndarray
    recording: np.ndarray
    labels: np.ndarray
    """Of each recording; several are separated by ``;``."""
    artists: np.ndarray
    test: np.ndarray
    """Recordings that are tested; the others are trained on."""


def main() -> None:
    """Print a table a question."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="gtzan-logmel; default: made songs")
    parser.add_argument("--folds", type=int, default=None, help="3 of made songs, 5 of data")
    parser.add_argument("--epochs", type=int, default=None, help="15 of made songs, 60 of data")
    parser.add_argument("--seeds", type=int, default=3, help="of the heads")
    parser.add_argument("--seed", type=int, default=0, help="of networks and songs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=None, help="keeps the trained networks")
    chosen = parser.parse_args()
    started = time.process_time()
    with threadpool_limits(chosen.threads):
        config = EncoderConfig(seed=chosen.seed, threads=chosen.threads)
        questions = (
            clips(chosen.data, config.replace(epochs=chosen.epochs or 60), chosen.folds or 5)
            if chosen.data
            else made_songs(
                config.replace(epochs=chosen.epochs or 15), chosen.folds or 3, chosen.cache
            )
        )
        rows = [row for question in questions for row in answers(question, chosen)]
    report(pd.DataFrame(rows), chosen.seed)
    print(f"{time.process_time() - started:.0f} processor seconds")


def clips(data: Path, config: EncoderConfig, folds: int) -> Iterator[Question]:
    """Each clip is a wide image, which windows of 5 s cover."""
    table = pd.read_csv(data / "clips.csv")
    images = (np.load(data / "logmel.npz")["logmel"][:, None] / 255).astype(np.float32)
    genres, artists = table.genre.to_numpy(object), table.artist_group.to_numpy(object)
    fold = assign_folds(genres, artists, folds, 0, noun="artists")
    for number in range(folds):
        yield Question(
            "genre of 30 s clips", number, config.replace(window=64), images,
            np.arange(len(images)), genres, artists, np.flatnonzero(fold == number),
        )  # fmt: skip


def made_songs(config: EncoderConfig, folds: int, cache: Path | None) -> Iterator[Question]:
    """Songs of a long and a short part, in any order, of two genres and two artists."""
    image = HyperImageConfig(height=64, width=64)
    config = config.replace(
        architecture="IC(2,5,16)PC(1,3,32)PF(64)O", optimiser="adamw", learning_rate=2e-3,
        hyperimage=image,
    )  # fmt: skip
    genres = list(GENRES)
    parts = [(genre, artist) for genre in genres for artist in range(PARTS)]
    kept = None if cache is None else cache / f"parts-{PARTS}.npy"
    if kept is not None and kept.exists():
        pictures = np.load(kept)
    else:
        pictures = np.stack([_windows(*part, image) for part in parts])
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, pictures)
    windows = dict(zip(parts, pictures, strict=True))
    for number in range(folds):
        rng = np.random.default_rng([config.seed, number])
        images, recording, first, longer, both, artists = [], [], [], [], [], []
        for side, n in SONGS.items():
            known = [a for a in range(PARTS) if (a % folds == number) == (side == "test")]
            for _ in range(n):
                pair = [(str(g), int(rng.choice(known))) for g in rng.choice(genres, 2, False)]
                lengths = rng.permutation([WINDOWS, WINDOWS // 2])
                song = [windows[part][:m] for part, m in zip(pair, lengths, strict=True)]
                recording += [len(first)] * int(lengths.sum())
                images += song
                first.append(pair[0][0])
                longer.append(pair[int(lengths.argmax())][0])
                both.append(";".join(genre for genre, _ in pair))
                artists.append(f"{pair[0]} {pair[1]}")
        test = np.arange(SONGS["training"], sum(SONGS.values()))
        of_song = np.concatenate(images), np.array(recording)
        tags = config.replace(loss="binary_cross_entropy")
        for name, settings, labels in (
            ("genre of the longer part", config, longer),
            ("genre of the first part", config, first),
            ("both genres", tags, both),
        ):
            yield Question(name, number, settings, *of_song, np.array(labels, object),
                           np.array(artists, object), test)  # fmt: skip


def _windows(genre: str, artist: int, image: HyperImageConfig) -> np.ndarray:
    """Hyper-images of the first windows of a song: [WINDOWS, 1, height, width]."""
    sound = compose_song(genre, artist, 0, sample_rate=image.sample_rate).mean(axis=0)
    n = round(SECONDS * image.sample_rate)
    return np.stack([hyperimage(sound[k * n : (k + 1) * n], image) for k in range(WINDOWS)])


def answers(question: Question, chosen) -> Iterator[dict]:  # type: ignore[no-untyped-def]
    """Train, and say of each tested song and kind of head how right it was."""
    trained_on = np.flatnonzero(~np.isin(question.recording, question.test))
    labels = question.labels[question.recording[trained_on]]
    artists = question.artists[question.recording[trained_on]]
    of = question.recording[trained_on]
    images = question.images[trained_on]
    plain = _network(question, images, labels, artists, of, chosen.cache)
    targets = make_targets(
        labels, len(labels), ("genre",), several=question.config.loss == "binary_cross_entropy"
    )
    for kind in KINDS:
        for seed in range(1 if kind == "mean" else chosen.seeds):
            encoder = plain
            if kind != "mean":
                config = question.config.replace(seed=chosen.seed + seed, sequence=kind)
                encoder = SongEncoder(config)
                encoder.heads_, encoder.image_shape_ = plain.heads_, plain.image_shape_
                network = copy.deepcopy(plain.torch_module())
                job = TrainingJob(images, targets, config, np.empty(0, np.int64))
                learn_sequences(network, job, kind, of, None, progress=False)
                encoder._network = network
            mask = np.isin(question.recording, question.test)
            _, scores = embed_recordings(
                encoder, question.images[mask], question.recording[mask], len(question.labels)
            )
            right = _right(scores["genre"][question.test], encoder, question)
            print(f"{question.name}, fold {question.fold + 1}, {kind}, seed {seed}: "
                  f"{right[:, 0].mean():.3f}", flush=True)  # fmt: skip
            for number, (one, three) in zip(question.test, right, strict=True):
                yield {
                    "question": question.name, "kind": kind, "seed": seed,
                    "song": f"{question.fold} {number}", "artist": question.artists[number],
                    "rank-1": one, "rank-3": three,
                }  # fmt: skip


def _network(question: Question, images, labels, artists, of, cache):  # type: ignore[no-untyped-def]
    """The network of a fold, from the cache if it is there."""
    folder = None
    if cache is not None:
        name = f"{question.name} {question.config.epochs} {question.config.seed} {question.fold}"
        folder = cache / name.replace(" ", "-")
        if folder.exists():
            return SongEncoder.load(folder)
    encoder = SongEncoder(question.config).fit(images, labels, artists, recording=of)
    if folder is not None:
        encoder.save(folder)
    return encoder


def _right(scores: np.ndarray, encoder: SongEncoder, question: Question) -> np.ndarray:
    """Whether the label is the likeliest and among the likeliest three, or shares of labels."""
    order = encoder.classes_[np.argsort(-scores, axis=1)]
    found = []
    for names, wanted in zip(order, question.labels[question.test], strict=True):
        values = wanted.split(";")
        found.append(
            [np.isin(names[: len(values)], values).mean(), np.isin(values, names[:3]).mean()]
        )
    return np.array(found)


def report(rows: pd.DataFrame, seed: int) -> None:
    """Means over songs and seeds, and differences from the mean with intervals."""
    for question, own in rows.groupby("question", sort=False):
        print(f"\n{question}: {own.song.nunique()} songs\n")
        print("| | rank-1 | less the mean | rank-3 | less the mean |\n|---|---|---|---|---|")
        by_song = own.groupby(["kind", "artist", "song"], sort=False)[["rank-1", "rank-3"]].mean()
        for kind in KINDS:
            cells = [kind]
            for measure in ("rank-1", "rank-3"):
                values = by_song.loc[kind][measure]
                apart = values - by_song.loc["mean"][measure]
                low, high = _interval(apart, seed)
                cells += [f"{values.mean():.3f}",
                          "" if kind == "mean" else f"{apart.mean():+.3f} ({low:+.3f} to {high:+.3f})"]  # fmt: skip  # noqa: E501
            print(f"| {' | '.join(cells)} |")


def _interval(values: pd.Series, seed: int) -> tuple[float, float]:
    """95 % interval of the mean over songs, of artists drawn anew."""
    groups = values.groupby(level="artist")
    totals, counts = groups.sum().to_numpy(), groups.count().to_numpy()
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(totals), (DRAWN, len(totals)))
    low, high = np.quantile(totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    main()
