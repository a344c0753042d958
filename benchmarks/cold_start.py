"""Cold start on real recordings and real listening: who likes an artist nobody has played yet?

    python benchmarks/cold_start.py ../shared/data --splits 5

The listening is Last.fm's (real-mini), the recordings are log-mel images (gtzan-logmel) of 103 of
its artists. A fifth of those artists is held out, others with every seed: neither the network, nor
ALS, LightFM or any map sees them. They are ranked among themselves and among all artists; the
item-wise AUC ranks the listeners for one artist and is free of popularity. Controls: shuffled
audio, and the true genre in place of audio.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.folder import load_folder
from datasets.music import MusicDataset, no_audio
from embedding import SongEncoder
from evaluation.comparison import compare
from evaluation.splits import cold_split
from recsys.config import RecommenderConfig
from recsys.lineup import CONTROLS, lineup

WIDTH = 65
WINDOWS = 5
MODELS = ("hybrid", "content", "als+audio", "lightfm+audio", "popularity", "random")


class ImageHearing:
    """A network trained on the clips of artists that are not held out."""

    def __init__(self, clips: pd.DataFrame, images: np.ndarray, cold: set[str], config) -> None:
        self.clips = clips
        held_groups = set(clips.artist_group[clips.item_id.isin(cold)])
        used = np.flatnonzero(~clips.artist_group.isin(held_groups))
        rows = np.repeat(used, WINDOWS)
        self.encoder = SongEncoder(config).fit(
            images[used].reshape(-1, *images.shape[2:]),
            clips.genre.to_numpy()[rows],
            groups=clips.artist_group.to_numpy()[rows],
            progress=True,
        )
        embedded = self.encoder.embed(images.reshape(-1, *images.shape[2:]))
        by_clip = embedded.reshape(len(clips), WINDOWS, -1).mean(axis=1)
        self.frame = pd.DataFrame(by_clip).groupby(clips.item_id.to_numpy()).mean()

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        return self.frame[self.frame.index.isin(dataset.items["item_id"])]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        dummies = pd.get_dummies(self.clips.genre).astype(np.float32)
        frame = dummies.groupby(self.clips.item_id.to_numpy()).mean()
        return frame[frame.index.isin(dataset.items["item_id"])]


def main() -> None:
    """Print the table of all splits together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()

    dataset = load_folder(arguments.data / "real-mini")
    # The recordings of this benchmark are the images, so the data set's own are left out.
    dataset = MusicDataset.from_checked(dataset.items, no_audio(), dataset.interactions, None)
    clips = pd.read_csv(arguments.data / "gtzan-logmel" / "clips.csv").fillna({"item_id": ""})
    images = _windows(np.load(arguments.data / "gtzan-logmel" / "logmel.npz")["logmel"])
    items = sorted(set(clips.item_id) - {""})

    tables = []
    for seed in range(arguments.splits):
        split = cold_split(dataset, 0.2, seed, among=items)
        config = RecommenderConfig(seed=seed, threads=arguments.threads, tracking=False)
        hearing: dict[str, ImageHearing] = {}

        def ears(training: MusicDataset, split=split, config=config, hearing=hearing):
            if "network" not in hearing:
                cold = set(split.cold_items)
                hearing["network"] = ImageHearing(clips, images, cold, config.network)
            return hearing["network"]

        makers = lineup(MODELS, config, ears=ears)
        controls = {name: CONTROLS[name] for name in makers if name in CONTROLS}
        comparison = compare(makers, dataset, [split], ks=(10,), controls=controls, progress=True)
        tables.append(comparison.table.assign(split_seed=seed))
    table = pd.concat(tables)
    shown = table[table.metric.isin(["ndcg", "item_auc"])]
    pivot = shown.pivot_table(
        index="model", columns=["candidates", "metric"], values="mean", aggfunc=["mean", "std"]
    )
    print(pivot.round(3).to_string())


def _windows(logmel: np.ndarray) -> np.ndarray:
    """float32 [clips, WINDOWS, 1, 128, WIDTH], evenly spaced."""
    starts = np.linspace(0, logmel.shape[2] - WIDTH, WINDOWS).astype(int)
    cut = np.stack([logmel[:, :, start : start + WIDTH] for start in starts], axis=1)
    return (cut[:, :, None] / 255).astype(np.float32)


if __name__ == "__main__":
    main()
