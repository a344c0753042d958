"""Does a network that learns from plays know better who will like a new song?

    python -m benchmarks.quality.taste                       # the demo's 198 songs, five folds
    python -m benchmarks.quality.taste --songs 1200 --listeners 2500 --only-fold 0 1

On demo catalogues of any size. Every fold holds out artists: neither a network nor ALS nor any map
sees them. Two networks a fold, of the same seed: one learns the tags alone (genre, emotion and
instrument, as the demo does), the other the
collaborative vectors of the songs as well. Beside them the true genre, and what the simulation
knows of the sound, which is what a perfect ear would hear. The item-wise AUC of the held-out songs,
by ALS with mapped embeddings; differences are paired by song.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from benchmarks.quality.cold_start import artist_folds
from datasets.demo.genres import SOUND_PROPERTIES
from datasets.demo.make import make_demo
from datasets.music import MusicDataset
from datasets.system.files import cache_folder
from evaluation.comparison.bootstrap import mean_interval
from evaluation.comparison.comparison import compare
from evaluation.splitting.split import Split
from recsys import RecommenderConfig
from recsys.audio import embed_dataset, train_encoder
from recsys.experiments.embeddings import GivenEmbeddings
from recsys.experiments.models import model_factories
from recsys.training.taste import taste_vectors

TAGS, TASTE, GENRE, EAR = "tags alone", "tags and taste", "the true genre", "a perfect ear"
MODEL = "als+audio"


def main() -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--songs", type=int, default=198)
    parser.add_argument("--listeners", type=int, default=900)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only-fold", type=int, nargs="*", help="some of them, from 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    started = time.perf_counter()
    folder = cache_folder() / f"demo-{chosen.songs}-{chosen.listeners}-{chosen.seed}"
    dataset = make_demo(folder, seed=chosen.seed, n_songs=chosen.songs,
                        n_listeners=chosen.listeners, workers=chosen.threads)  # fmt: skip
    config = RecommenderConfig(seed=chosen.seed, threads=chosen.threads, tracking=False)
    config = config.replace(
        encoder=config.encoder.replace(
            tags=("genre", "emotion", "instrument"), epochs=chosen.epochs, taste_songs=20, threads=1
        )
    )
    played = sorted(set(dataset.interactions["item_id"]))
    splits = artist_folds(dataset, played, chosen)
    values: dict[str, list[np.ndarray]] = {}
    with threadpool_limits(chosen.threads):
        for number in range(chosen.folds) if chosen.only_fold is None else chosen.only_fold:
            for name, auc in item_auc(dataset, splits[number], config, folder).items():
                values.setdefault(name, []).append(auc)
    _print({name: np.concatenate(parts) for name, parts in values.items()})
    print(f"{time.perf_counter() - started:.0f} s")


def item_auc(
    dataset: MusicDataset, split: Split, config: RecommenderConfig, folder: Path
) -> dict[str, np.ndarray]:
    """Item-wise AUC of each held-out song by what is heard of it."""
    training = split.training(dataset)
    taste = taste_vectors(training, config)
    assert taste is not None
    print(f"{split.name}: {len(split.cold_items)} songs held out, taste of {len(taste)} learned")
    frames = {GENRE: _genres(dataset), EAR: _sound(dataset, folder)}
    for name, target in ((TAGS, None), (TASTE, taste)):
        encoder = train_encoder(training, config.network, taste=target, workers=1, progress=True)
        frames[name] = embed_dataset(dataset, encoder, workers=1, progress=True).embeddings
    models = {}
    for name, frame in frames.items():
        given = GivenEmbeddings(frame)
        models[name] = model_factories([MODEL], config, encoders=given)[MODEL]
    found = compare(models, dataset, [split], ks=(10,), progress=True)
    return {
        model: auc for (_, _, model, metric, _), auc in found.values.items() if metric == "item_auc"
    }


def _genres(dataset: MusicDataset) -> pd.DataFrame:
    return pd.get_dummies(dataset.items.set_index("item_id")["genre"]).astype(np.float32)


def _sound(dataset: MusicDataset, folder: Path) -> pd.DataFrame:
    """Genre and the properties of sound that listeners care about."""
    truth = pd.read_csv(folder / "truth" / "songs.csv", index_col="item_id")
    sound = truth[list(SOUND_PROPERTIES)]
    heard = ((sound - sound.mean()) / sound.std()).add_prefix("sound: ")
    return _genres(dataset).join(heard).astype(np.float32)


def _print(values: dict[str, np.ndarray]) -> None:
    print("\n| | item-wise AUC | less that by the genre | less that by tags alone |")
    print("|---|---|---|---|")
    for name in (GENRE, TAGS, TASTE, EAR):
        cells = [f"{np.nanmean(values[name]):.3f}"]
        for other in (GENRE, TAGS):
            gain = values[name] - values[other]
            interval = mean_interval(gain[np.isfinite(gain)])
            cells.append(f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"{len(values[GENRE])} songs; intervals: 95 %, by bootstrap over songs")


if __name__ == "__main__":
    main()
