"""What several benchmarks share: arguments, timing, recordings with listening."""

import argparse
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from datasets.system.files import write_text
from embedding import EncoderConfig, SongEncoder
from recsys import RecommenderConfig
from recsys.audio import LEARNED_PLAYS
from recsys.data import TasteVectors
from recsys.training.taste import taste_vectors

WIDTH = 65
"""Columns of a window of the images: 5 s."""
WINDOWS = 5
"""Windows of each clip that the network sees."""


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of the benchmark as it stands."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=formatter)


def timed(what: str, action: Callable[[], Any]) -> Any:
    """Do something and print how long it took."""
    started = time.perf_counter()
    result = action()
    print(f"{what}: {time.perf_counter() - started:.3f} s")
    return result


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark that trains networks: seed, threads, recipe, epochs, cache."""
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--recipe", choices=("patent", "modern"), default="patent")
    parser.add_argument("--epochs", type=int, default=None, help="of the network")
    parser.add_argument("--taste-weight", type=float, default=None, help="0: tags alone")
    parser.add_argument("--taste-songs", type=int, default=None, help="fewest to learn taste from")
    parser.add_argument("--cache", type=Path, default=None, help="keeps the embeddings")


def network_config(arguments: argparse.Namespace) -> RecommenderConfig:
    """The recommender's settings that `add_network_arguments` asks for."""
    given = {name: getattr(arguments, name) for name in ("epochs", "taste_weight", "taste_songs")}
    changes = {name: value for name, value in given.items() if value is not None}
    return RecommenderConfig(
        seed=arguments.seed,
        threads=arguments.threads,
        tracking=False,
        encoder=EncoderConfig.recipe(arguments.recipe, **changes),
    )


class RecordedListening:
    """Last.fm's listening (real-mini) and log-mel images (gtzan-logmel) of 103 of its artists."""

    def __init__(self, data: Path) -> None:
        """Read both from the folder that holds them."""
        dataset = load_folder(data / "real-mini")
        # The recordings are the images, so the data set's own are left out.
        self.dataset = MusicDataset.from_checked(
            dataset.items, empty_audio(), dataset.interactions, None
        )
        self.clips = pd.read_csv(data / "gtzan-logmel" / "clips.csv").fillna({"item_id": ""})
        self.images = np.load(data / "gtzan-logmel" / "logmel.npz")["logmel"]

    @property
    def recorded(self) -> list[str]:
        """The artists with images, sorted."""
        return sorted(set(self.clips.item_id) - {""})

    def embeddings(
        self, training: MusicDataset, config: RecommenderConfig, cache: Path | None
    ) -> pd.DataFrame:
        """Mean embedding of each artist by a network trained on the artists of a training side.

        Clips of the other artists' whole groups are left out of the training. With a cache, what an
        earlier run computed is read.
        """
        clips, images = self.clips, self.images
        cold = set(self.recorded) - set(training.items["item_id"])
        held_groups = set(clips.artist_group[clips.item_id.isin(cold)])
        taste = taste_vectors(training, config, recorded=self.recorded)
        learned = "" if taste is None else taste.digest()
        network = config.network
        used = np.flatnonzero(~clips.artist_group.isin(held_groups))
        trained_on = sha256("\n".join(clips["clip"].iloc[used]).encode()).hexdigest()
        name = f"{network.digest()[:16]}-{trained_on[:16]}{learned[:16]}.csv"
        kept = None if cache is None else cache / name
        if kept is not None and kept.exists():
            frame = pd.read_csv(kept, index_col="item_id").astype(np.float32)
            return _marked(frame, taste)
        # A network with windows of its own choosing gets whole images.
        pictures = _whole(images) if network.window else _windows(images)
        rows = np.repeat(used, pictures.shape[1])
        encoder = SongEncoder(network).fit(
            pictures[used].reshape(-1, *pictures.shape[2:]),
            clips.genre.to_numpy()[rows],
            groups=clips.artist_group.to_numpy()[rows],
            taste=None if taste is None else taste.of(pd.Index(clips.item_id.to_numpy()[rows])),
            progress=True,
        )
        embedded = encoder.embed(pictures.reshape(-1, *pictures.shape[2:]))
        by_clip = embedded.reshape(*pictures.shape[:2], -1).mean(axis=1)
        frame = pd.DataFrame(by_clip).groupby(clips.item_id.to_numpy()).mean()
        frame = frame[frame.index != ""].rename_axis("item_id")
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, frame.to_csv(lineterminator="\n"))
        return _marked(frame, taste)


class ImageEmbeddings:
    """Embeddings of the artists by a network that was trained without those held out.

    What the models of an evaluation take in place of a network trained on recordings.
    """

    def __init__(self, clips: pd.DataFrame, frame: pd.DataFrame) -> None:
        self.clips = clips
        self.frame = frame

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        """Those of the items of a data set."""
        return self.frame[self.frame.index.isin(dataset.items["item_id"])]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        """The true genres in place of embeddings, for the control."""
        dummies = pd.get_dummies(self.clips.genre).astype(np.float32)
        frame = dummies.groupby(self.clips.item_id.to_numpy()).mean()
        return frame[frame.index.isin(dataset.items["item_id"])]


def _marked(frame: pd.DataFrame, taste: TasteVectors | None) -> pd.DataFrame:
    """Embeddings that say whose plays they have learned from."""
    if taste is not None:
        frame.attrs[LEARNED_PLAYS] = taste.learned_plays()
    return frame


def _windows(logmel: np.ndarray) -> np.ndarray:
    """Evenly spaced windows, float32 [clips, WINDOWS, 1, 128, WIDTH]."""
    starts = np.linspace(0, logmel.shape[2] - WIDTH, WINDOWS).astype(int)
    cut = np.stack([logmel[:, :, start : start + WIDTH] for start in starts], axis=1)
    return (cut[:, :, None] / 255).astype(np.float32)


def _whole(logmel: np.ndarray) -> np.ndarray:
    """Whole images, float32 [clips, 1, 1, 128, columns]."""
    return (logmel[:, None, None] / 255).astype(np.float32)
