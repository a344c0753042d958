"""Is a kind of music, or a sound, that was never learned from told apart? On gtzan-logmel.

    python -m benchmarks.quality.familiarity ../shared/data/gtzan-logmel
    python -m benchmarks.quality.familiarity ../shared/data/gtzan-logmel --networks classical metal

One genre after the other is left out, with a fifth of the artists of the others, and familiarity is
learned from the rest by statistics of the images. Printed are: the AUC by which clips of the genre
are less familiar than those of the artists left out, which are of known kinds; how familiar these
are (mean .5 and a share of .05 below .05, if familiarity means what it says) and those of the
genre; and the same AUC of sounds that are no music. With --networks, a network of the patent's
recipe is trained without each of these genres (two processor minutes each), and the same is printed
by its embeddings, with the confidence and the expected calibration error of its probabilities of
clips by the artists left out: as they are, and with a temperature that half of these artists have
taught, measured on the other half; the mean over many draws of this half.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.arrays import Float32Array, IntArray, StrArray
from embedding import EncoderConfig, SongEncoder
from embedding.hyperimage.statistics import image_statistics
from embedding.network.calibration import expected_calibration_error
from evaluation.genre.splits import assign_folds
from recsys.content.familiarity import Description, learn_familiarity

RATE = 22_050
WINDOW, WINDOWS = 65, 5
DRAWS = 20
"""Of artists that teach a temperature."""

SOUNDS = ("white noise", "pink noise", "pure tone", "hum", "clicks")


def main() -> None:
    """Print a line for each genre."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="*", default=[], help="genres to train without")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    clips = pd.read_csv(arguments.folder / "clips.csv")
    images = np.load(arguments.folder / "logmel.npz")["logmel"]
    others, kinds = strange_images(12, arguments.seed)
    whole = np.concatenate([images, others])
    genre, artists = clips.genre.to_numpy(object), clips.artist_group.to_numpy()
    fold = assign_folds(genre, artists.astype(object), 5, arguments.seed, noun="artists")
    described = image_statistics((whole[:, None] / 255).astype(np.float32))
    for number, left_out in enumerate(sorted(set(genre))):
        learned = np.flatnonzero((fold != number % 5) & (genre != left_out))
        unheard = np.flatnonzero((fold == number % 5) & (genre != left_out))
        novel = np.flatnonzero(genre == left_out)
        rows = (learned, unheard, novel)
        print(f"{left_out}, by statistics: {told(described, artists, rows, kinds, 'sound')}")
        if left_out not in arguments.networks:
            continue
        config = EncoderConfig(threads=1, seed=arguments.seed)
        encoder = SongEncoder(config).fit(
            windows(images[learned]).reshape(-1, 1, images.shape[1], WINDOW),
            np.repeat(genre[learned], WINDOWS),
            groups=np.repeat(artists[learned], WINDOWS),
        )
        flat = windows(whole).reshape(-1, 1, images.shape[1], WINDOW)
        vectors, tags = encoder.embed_and_predict(flat)
        embedded = vectors.reshape(len(whole), WINDOWS, -1).mean(axis=1)
        print(f"{left_out}, by embedding: {told(embedded, artists, rows, kinds, 'embedding')}")
        p = tags["genre"].reshape(len(whole), WINDOWS, -1).mean(axis=1)
        print(
            f"{left_out}: mean confidence {p[learned].max(axis=1).mean():.2f} on what was learned, "
            f"{p[unheard].max(axis=1).mean():.2f} on artists left out, "
            f"{p[novel].max(axis=1).mean():.2f} on {left_out}; "
            f"{errors(encoder, images, unheard, clips, arguments.seed)}"
        )


def told(
    described: Float32Array,
    artists: IntArray,
    rows: tuple[IntArray, IntArray, IntArray],
    kinds: StrArray,
    kind: Description,
) -> str:
    """Describe how familiar artists left out, the genre left out, and other sounds are."""
    from sklearn.metrics import roc_auc_score

    learned, unheard, novel = rows
    found, _ = learn_familiarity(described[learned], artists[learned], kind)
    assert found is not None
    usual, new = found.of(described[unheard]), found.of(described[novel])

    def auc(values: np.ndarray) -> float:
        truth = np.repeat([0, 1], [len(usual), len(values)])
        return float(roc_auc_score(truth, -np.concatenate([usual, values])))

    sounds = found.of(described[-len(kinds) :])
    each = ", ".join(f"{name} {auc(sounds[kinds == name]):.2f}" for name in SOUNDS)
    return (
        f"AUC {auc(new):.3f}; artists left out: mean {usual.mean():.2f}, "
        f"{np.mean(usual < 0.05):.1%} below .05; the genre: median {np.median(new):.2f}, "
        f"{np.mean(new < 0.05):.1%} below .05; AUC of {each}; "
        f"most familiar of these {sounds.max():.3f}"
    )


def errors(
    encoder: SongEncoder, images: np.ndarray, unheard: IntArray, clips: pd.DataFrame, seed: int
) -> str:
    """Calibration errors of clips by half of the artists left out; the other half teaches.

    Halves are drawn many times, as one of them is only some thirty clips.
    """
    artists = clips.artist_group.to_numpy()[unheard]
    labels = clips.genre.to_numpy()[unheard]
    flat = windows(images[unheard]).reshape(-1, 1, images.shape[1], WINDOW)
    wanted = labels[:, None] == encoder.classes_
    names = np.unique(artists)
    rng = np.random.default_rng(seed)

    def predicted() -> Float32Array:
        p = encoder.predict_proba(flat)
        return p.reshape(len(unheard), WINDOWS, -1).mean(axis=1)

    bare = predicted()
    found = []
    for _ in range(DRAWS):
        teaching = np.isin(artists, rng.choice(names, len(names) // 2, replace=False))
        taught = np.repeat(teaching, WINDOWS)
        encoder.calibrate(
            flat[taught],
            np.repeat(labels[teaching], WINDOWS),
            groups=np.repeat(artists[teaching], WINDOWS),
            recording=np.repeat(np.arange(teaching.sum()), WINDOWS),
        )
        rest = ~teaching
        before, after = (
            expected_calibration_error(p[rest], wanted[rest]) for p in (bare, predicted())
        )
        temperature = encoder.calibration_["genre"].temperature
        found.append((before, after, after > before, temperature))
    before, after, worse, temperature = np.mean(found, axis=0)
    return (
        f"calibration error, mean of {DRAWS} draws: {before:.3f}, with a temperature {after:.3f} "
        f"(worse in {worse:.0%} of the draws, mean temperature {temperature:.2f})"
    )


def windows(images: np.ndarray) -> Float32Array:
    """Evenly spaced windows, float32 [clips, WINDOWS, 1, rows, WINDOW]."""
    starts = np.linspace(0, images.shape[2] - WINDOW, WINDOWS).astype(int)
    cut = np.stack([images[:, None, :, start : start + WINDOW] for start in starts], axis=1)
    return (cut / 255).astype(np.float32)


def strange_images(n: int, seed: int) -> tuple[np.ndarray, StrArray]:
    """Log-mel images of sounds that are no music, like those of the data set, and their kinds."""
    import librosa

    rng = np.random.default_rng(seed)
    time = np.arange(30 * RATE) / RATE
    made = []
    for kind in SOUNDS:
        for _ in range(n):
            noise = rng.standard_normal(len(time))
            if kind == "pink noise":
                frequency = np.maximum(np.fft.rfftfreq(len(time), 1 / RATE), 20)
                y = np.fft.irfft(np.fft.rfft(noise) / np.sqrt(frequency), len(time))
            elif kind == "pure tone":
                y = np.sin(2 * np.pi * rng.uniform(150, 3000) * time) + 1e-5 * noise
            elif kind == "hum":
                y = 1e-4 * np.sin(2 * np.pi * 50 * time) + 1e-5 * noise
            elif kind == "clicks":
                y = 1e-4 * noise
                y[rng.integers(0, len(y), rng.integers(20, 90))] = 1
            else:
                y = noise
            mel = librosa.feature.melspectrogram(y=y.astype(np.float32), sr=RATE, n_mels=128)
            level = librosa.power_to_db(mel, ref=np.max, top_db=80)
            columns = np.minimum(np.rint(np.arange(387) * 3.34).astype(int), level.shape[1] - 1)
            made.append(np.rint((level[:, columns] + 80) / 80 * 255).astype(np.uint8))
    return np.stack(made), np.repeat(SOUNDS, n).astype(object)


if __name__ == "__main__":
    main()
