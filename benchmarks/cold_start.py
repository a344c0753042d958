"""Cold start on real recordings and real listening: who likes an artist nobody has played yet?

    python benchmarks/cold_start.py ../shared/data --folds 5 --cache /tmp/cold-start
    python benchmarks/cold_start.py ../shared/data --folds 5 --cache /tmp/cold-start --choices

The listening is Last.fm's (real-mini), the recordings are log-mel images (gtzan-logmel) of 103 of
its artists. Every fold holds out some of those artists, all folds together each of them once:
neither the network, nor ALS, LightFM or any map sees them. They are ranked among themselves and
among all artists; the item-wise AUC ranks the listeners for one artist and is free of popularity.

Controls: shuffled audio; the true genre in place of audio; the audio's ranking, but the same for
everybody; popularity that knows the listeners of the held-out artists. --choices puts every kind
of content map and every way to give LightFM embeddings side by side. --cache keeps what each
fold's network heard, so that a repeat trains none.
"""

import argparse
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from datasets.files import write_text
from datasets.folder import load_folder
from datasets.music import MusicDataset, no_audio
from embedding import SongEncoder
from embedding.network.config import EncoderConfig
from evaluation.comparison.comparison import compare
from evaluation.model import ModelFactory
from evaluation.models.baselines import PopularityOracle
from evaluation.models.controls import POPULARITY_ORACLE
from evaluation.splitting.split import Split, artist_groups
from recsys.config import ContentMapConfig, FMConfig, RecommenderConfig
from recsys.experiments.models import lineup, meanings

WIDTH = 65
WINDOWS = 5
MODELS = ("hybrid", "content", "als+audio", "lightfm+audio", "popularity", "random")


class ImageHearing:
    """Embeddings of the artists by a network that was trained without those held out."""

    def __init__(self, clips: pd.DataFrame, frame: pd.DataFrame) -> None:
        self.clips = clips
        self.frame = frame

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        return self.frame[self.frame.index.isin(dataset.items["item_id"])]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        dummies = pd.get_dummies(self.clips.genre).astype(np.float32)
        frame = dummies.groupby(self.clips.item_id.to_numpy()).mean()
        return frame[frame.index.isin(dataset.items["item_id"])]


def main() -> None:
    """Print the table of all folds together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only-fold", type=int, default=None, help="one of them, from 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--recipe", choices=("patent", "modern"), default="patent")
    parser.add_argument("--epochs", type=int, default=None, help="of the network")
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--choices", action="store_true")
    arguments = parser.parse_args()

    dataset = load_folder(arguments.data / "real-mini")
    # The recordings of this benchmark are the images, so the data set's own are left out.
    dataset = MusicDataset.from_checked(dataset.items, no_audio(), dataset.interactions, None)
    clips = pd.read_csv(arguments.data / "gtzan-logmel" / "clips.csv").fillna({"item_id": ""})
    images = np.load(arguments.data / "gtzan-logmel" / "logmel.npz")["logmel"]
    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    config = RecommenderConfig(
        seed=arguments.seed,
        threads=arguments.threads,
        tracking=False,
        encoder=EncoderConfig.recipe(arguments.recipe, **changes),
    )
    splits = artist_folds(dataset, sorted(set(clips.item_id) - {""}), arguments)
    if arguments.only_fold is not None:
        splits = [splits[arguments.only_fold]]

    values: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for split in splits:
        frame = _heard(clips, images, set(split.cold_items), config.network, arguments.cache)
        hearing = ImageHearing(clips, frame)

        def ears(training: MusicDataset, hearing=hearing) -> ImageHearing:
            return hearing

        makers = lineup(MODELS, config, ears=ears)
        if arguments.choices:
            makers |= choices(config, ears)
        makers[POPULARITY_ORACLE] = lambda: PopularityOracle(dataset, config.seed)
        controls = meanings(makers)
        comparison = compare(makers, dataset, [split], ks=(10,), controls=controls, progress=True)
        for (_, candidates, model, metric, _), figures in comparison.values.items():
            if metric in ("ndcg", "item_auc"):
                values.setdefault((model, candidates, metric), []).append(figures)
    _print(values, len(splits))


def artist_folds(dataset: MusicDataset, items: list[str], arguments) -> list[Split]:
    """Splits that hold out each of the items once, an artist's all together."""
    ids = dataset.items["item_id"]
    groups = artist_groups(dataset)
    names = np.unique(groups[ids.isin(items)])
    order = np.random.default_rng(arguments.seed).permutation(len(names))
    splits = []
    for number, part in enumerate(np.array_split(order, arguments.folds)):
        own = groups.isin(names[part])
        cold, withheld = ids[own & ids.isin(items)], ids[own & ~ids.isin(items)]
        played = dataset.interactions["item_id"]
        split = Split(
            f"fold {number}",
            "cold",
            np.flatnonzero(~played.isin(ids[own])),
            np.flatnonzero(played.isin(cold)),
            cold_items=tuple(cold),
            excluded_items=tuple(withheld),
            by="artist",
            settings={"folds": arguments.folds, "seed": arguments.seed},
        )
        split.check(dataset)
        splits.append(split)
    return splits


def choices(config: RecommenderConfig, ears: Callable) -> dict[str, ModelFactory]:
    """ALS and LightFM with every kind of content map, LightFM with embeddings in every way."""
    made: dict[str, ModelFactory] = {}

    def add(title: str, model: str, **changes) -> None:
        made[title] = lineup([model], config.replace(**changes), ears=ears)[model]

    for kind in get_args(ContentMapConfig.model_fields["kind"].annotation):
        map_ = config.content_map.replace(kind=kind)
        add(f"als, {kind} map", "als+audio", content_map=map_)
        add(f"lightfm, closed form, {kind} map", "lightfm+audio", content_map=map_)
    for scheme in get_args(FMConfig.model_fields["embedding_features"].annotation):
        if scheme != "closed-form":  # that is the ridge map, above
            fm = config.fm.replace(embedding_features=scheme)
            add(f"lightfm, {scheme}", "lightfm+audio", fm=fm)
    return made


def _heard(
    clips: pd.DataFrame,
    images: np.ndarray,
    cold: set[str],
    config: EncoderConfig,
    cache: Path | None,
) -> pd.DataFrame:
    """Mean embedding of each item by a network trained without the cold items' artists."""
    held_groups = set(clips.artist_group[clips.item_id.isin(cold)])
    used = np.flatnonzero(~clips.artist_group.isin(held_groups))
    heard = sha256("\n".join(clips["clip"].iloc[used]).encode()).hexdigest()
    name = f"{config.digest()[:16]}-{heard[:16]}.csv"
    kept = None if cache is None else cache / name
    if kept is not None and kept.exists():
        return pd.read_csv(kept, index_col="item_id").astype(np.float32)
    # A network with windows of its own choosing gets whole images.
    pictures = _whole(images) if config.window else _windows(images)
    rows = np.repeat(used, pictures.shape[1])
    encoder = SongEncoder(config).fit(
        pictures[used].reshape(-1, *pictures.shape[2:]),
        clips.genre.to_numpy()[rows],
        groups=clips.artist_group.to_numpy()[rows],
        progress=True,
    )
    embedded = encoder.embed(pictures.reshape(-1, *pictures.shape[2:]))
    by_clip = embedded.reshape(*pictures.shape[:2], -1).mean(axis=1)
    frame = pd.DataFrame(by_clip).groupby(clips.item_id.to_numpy()).mean()
    frame = frame[frame.index != ""].rename_axis("item_id")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, frame.to_csv(lineterminator="\n"))
    return frame


def _print(values: dict[tuple[str, str, str], list[np.ndarray]], folds: int) -> None:
    """Means over all held-out artists (item-wise AUC) and over the folds' users (nDCG), ± the
    standard error of the former over artists, of the latter over folds."""
    rows = {}
    for (model, candidates, metric), parts in values.items():
        by_item = metric == "item_auc"
        figures = np.concatenate(parts) if by_item else np.array([part.mean() for part in parts])
        spread = figures.std(ddof=1) / np.sqrt(len(figures)) if len(figures) > 1 else np.nan
        title = f"{metric} {candidates}" if by_item else f"{metric}@10 {candidates}"
        rows.setdefault(model, {})[title] = f"{figures.mean():.3f} ± {spread:.3f}"
        if by_item:
            n = len(figures)
    table = pd.DataFrame(rows).T
    print(f"{folds} folds, {n} held-out artists with an item-wise AUC")
    print(table.sort_values(table.columns[-1], ascending=False).to_string())


def _windows(logmel: np.ndarray) -> np.ndarray:
    """float32 [clips, WINDOWS, 1, 128, WIDTH], evenly spaced."""
    starts = np.linspace(0, logmel.shape[2] - WIDTH, WINDOWS).astype(int)
    cut = np.stack([logmel[:, :, start : start + WIDTH] for start in starts], axis=1)
    return (cut[:, :, None] / 255).astype(np.float32)


def _whole(logmel: np.ndarray) -> np.ndarray:
    """float32 [clips, 1, 1, 128, columns]."""
    return (logmel[:, None, None] / 255).astype(np.float32)


if __name__ == "__main__":
    main()
