"""Cold start on real recordings and real listening: who likes an artist nobody has played yet?

    python -m benchmarks.quality.cold_start ../shared/data --folds 5 --cache /tmp/cold-start
    ... --choices

The listening is Last.fm's (real-mini), the recordings are log-mel images (gtzan-logmel) of 103 of
its artists. Every fold holds out some of those artists, all folds together each of them once:
neither the network, nor ALS, LightFM or any map sees them. They are ranked among themselves and
among all artists; the item-wise AUC ranks the listeners for one artist and is free of popularity.

Controls: shuffled audio; the true genre in place of audio; the audio's ranking, but the same for
everybody; popularity that knows the listeners of the held-out artists. --choices puts every kind
of content map and every way to give LightFM embeddings side by side. --cache keeps what each
fold's network heard, so that a repeat trains none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from benchmarks.common import (
    ImageEmbeddings,
    RecordedListening,
    add_network_arguments,
    argument_parser,
    network_config,
)
from datasets.music import MusicDataset
from evaluation.comparison.comparison import compare
from evaluation.model import ModelFactory
from evaluation.models.baselines import PopularityOracle
from evaluation.models.controls import POPULARITY_ORACLE
from evaluation.splitting.split import Split, artist_groups
from recsys.config import ContentMapConfig, FMConfig, RecommenderConfig
from recsys.experiments.models import control_meanings, model_factories

MODELS = ("hybrid", "content", "als+audio", "lightfm+audio", "popularity", "random")


def main() -> None:
    """Print the table of all folds together."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only-fold", type=int, default=None, help="one of them, from 0")
    add_network_arguments(parser)
    parser.add_argument("--choices", action="store_true")
    arguments = parser.parse_args()

    data, config = RecordedListening(arguments.data), network_config(arguments)
    dataset = data.dataset
    splits = artist_folds(dataset, data.recorded, arguments)
    if arguments.only_fold is not None:
        splits = [splits[arguments.only_fold]]

    values: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for split in splits:
        frame = data.embeddings(split.training(dataset), config, arguments.cache)
        embeddings = ImageEmbeddings(data.clips, frame)

        def encoders(training: MusicDataset, embeddings=embeddings) -> ImageEmbeddings:
            return embeddings

        makers = model_factories(MODELS, config, encoders=encoders)
        if arguments.choices:
            makers |= choices(config, encoders)
        makers[POPULARITY_ORACLE] = lambda: PopularityOracle(dataset, config.seed)
        controls = control_meanings(makers)
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


def choices(config: RecommenderConfig, encoders: Callable) -> dict[str, ModelFactory]:
    """ALS and LightFM with every kind of content map, LightFM with embeddings in every way."""
    made: dict[str, ModelFactory] = {}

    def add(title: str, model: str, **changes) -> None:
        made[title] = model_factories([model], config.replace(**changes), encoders=encoders)[model]

    for kind in get_args(ContentMapConfig.model_fields["kind"].annotation):
        map_ = config.content_map.replace(kind=kind)
        add(f"als, {kind} map", "als+audio", content_map=map_)
        add(f"lightfm, closed form, {kind} map", "lightfm+audio", content_map=map_)
    for scheme in get_args(FMConfig.model_fields["embedding_features"].annotation):
        if scheme != "closed-form":  # that is the ridge map, above
            fm = config.fm.replace(embedding_features=scheme)
            add(f"lightfm, {scheme}", "lightfm+audio", fm=fm)
    return made


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


if __name__ == "__main__":
    main()
