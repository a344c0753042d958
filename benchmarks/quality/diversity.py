"""What variety, a cap on artists and less popularity cost in accuracy, and what they bring.

    python -m benchmarks.quality.diversity ../shared/data/real-mini

A fifth of everybody's items is held out; lists of 20 are made at several values of one knob at a
time. nDCG@10 with the change against no knob and its 95 % interval (paired, by user), recall@20;
of the first ten: the share of pairs by different artists, one less the mean cosine between
pairs (of embeddings, or of all sources where there are none), the share of the catalogue that
anybody gets, and the mean number of listeners of what is recommended.

The items of real-mini are artists, so that a cap on artists does nothing there. The second table
is of the demo catalogue's SIMULATED listening, whose artists have several songs each; a song's
embedding is the sound it was composed for, and nothing is recorded. It shows how the cap works,
nothing about how people would take it.

The hybrid is ALS and the factorization machine, and content on the demo, equally weighted, so that
no weights are searched for.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.demo.catalogue import draw_catalogue, items_table, truth_table
from datasets.demo.genres import SOUND_PROPERTIES
from datasets.demo.listeners import simulate_listening
from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from evaluation.comparison.bootstrap import paired_difference
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ndcg, recall
from evaluation.splitting.warm import warm_split
from recsys import Recommender, RecommenderConfig
from recsys.ranking.similarity import unit_vectors

K = 20
FIRST = 10
PAIRS = np.triu_indices(FIRST, 1)
SETTINGS = (
    {},
    *({"diversity": value} for value in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)),
    *({"popularity_correction": value} for value in (0.1, 0.2, 0.3, 0.5, 1.0)),
    *({"per_artist": value} for value in (3, 2, 1)),
)


def main() -> None:
    """Print a table for real listening and one for the demo catalogue."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    real = load_folder(arguments.folder)
    real = MusicDataset.from_checked(real.items, empty_audio(), real.interactions, None)
    print(f"{arguments.folder.name}: {_size(real)}")
    print(_table(real, None, arguments.seed, arguments.threads))
    demo, embeddings = simulated(arguments.seed)
    print(f"\ndemo catalogue, SIMULATED listeners: {_size(demo)}")
    print(_table(demo, embeddings, arguments.seed, arguments.threads))


def simulated(seed: int) -> tuple[MusicDataset, pd.DataFrame]:
    """The demo catalogue larger than life, without its recordings; and the sound of its songs."""
    songs = draw_catalogue(seed, n_songs=2000, n_artists=250)
    sound = truth_table(songs).set_index("item_id")[list(SOUND_PROPERTIES)].astype(float)
    sound = (sound - sound.mean()) / sound.std()
    listening = simulate_listening(songs, seed, n_listeners=2000)
    return MusicDataset(items=items_table(songs), interactions=listening), sound


def _table(dataset: MusicDataset, embeddings: pd.DataFrame | None, seed: int, threads: int) -> str:
    split = warm_split(dataset, 0.2, seed)
    train, test = split.training(dataset), dataset.interactions.iloc[split.test_rows]
    sources = ("als", "fm") if embeddings is None else ("als", "fm", "content")
    weights = dict.fromkeys(sources, 1 / len(sources))
    config = RecommenderConfig(
        seed=seed, threads=threads, tracking=False, sources=sources,
        fm={"epochs": 15}, fusion={"warm": weights, "cold": weights},
    )  # fmt: skip
    start = time.perf_counter()
    model = Recommender(config).fit(train, embeddings=embeddings)
    print(f"fitted in {time.perf_counter() - start:.0f} s")
    users = test["user_id"].unique()
    encoder = HitEncoder(users, dataset.items["item_id"], test, train.interactions)
    library = model._model
    vectors = unit_vectors(library, "fused" if embeddings is None else "sound")
    artists = pd.factorize(library.items.texts("artist", np.arange(len(dataset.items))))[0]
    plain, rows = None, []
    for setting in SETTINGS:
        start = time.perf_counter()
        lists = model.recommend_many(users, K, **setting)
        seconds = time.perf_counter() - start
        hits = encoder.hits(lists, K)
        gain = ndcg(hits, FIRST)
        plain = gain if plain is None else plain
        change = paired_difference(gain, plain, seed=seed)
        first = library.items.rows(lists["item_id"][lists["rank"] <= FIRST]).reshape(-1, FIRST)
        cosine = np.einsum("uid,ujd->uij", vectors[first], vectors[first])
        other = artists[first][:, :, None] != artists[first][:, None, :]
        rows.append(
            {
                "knob": " ".join(f"{name} {value}" for name, value in setting.items()) or "none",
                "nDCG@10": gain.mean(),
                "change %": 100 * change.mean / plain.mean(),
                "low %": 100 * change.low / plain.mean(),
                "high %": 100 * change.high / plain.mean(),
                "recall@20": recall(hits, K).mean(),
                "other artist": other[:, *PAIRS].mean(),
                "1 - cosine": 1 - cosine[:, *PAIRS].mean(),
                "coverage %": 100 * len(np.unique(first)) / len(dataset.items),
                "listeners": library.state.user_counts[first].mean(),
                "users/s": len(users) / seconds,
            }
        )
    return pd.DataFrame(rows).round(4).to_string(index=False)


def _size(dataset: MusicDataset) -> str:
    table = dataset.interactions
    return (
        f"{table['user_id'].nunique()} users, {len(dataset.items)} items by "
        f"{dataset.items['artist'].nunique()} artists, {len(table)} interactions"
    )


if __name__ == "__main__":
    main()
