"""Items with few listeners: learned, predicted from sound, or shrunk between the two?

    python -m benchmarks.quality.semi_cold ../shared/data --splits 5
    python -m benchmarks.quality.semi_cold demo/catalogue --demo --splits 3

Of a fifth of the artists with a recording, others with every seed, each item with at least 30
listeners keeps 1, 2, 5, 10 or 20 of them, taken at random; the network never hears these artists.
nDCG@10 ranks these items among themselves for the users whose plays were taken away; the item-wise
AUC ranks those users, for one item, before the ones who never played it.

The first form needs real-mini and gtzan-logmel, as benchmarks.quality.cold_start does; the second a
demo catalogue (`coldtune demo`), whose listening is simulated. --cache keeps the embeddings for a
next run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.common import ImageEmbeddings, RecordedListening, argument_parser
from datasets.arrays import Float32Array
from datasets.folder import load_folder
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_split
from recsys.config import RecommenderConfig
from recsys.content.features import MetadataVocabulary, align_embeddings, artist_codes
from recsys.content.shrinkage import SIZES, apply_shrinkage
from recsys.data import ItemContent, TrainingData
from recsys.experiments.embeddings import FoldEncoders
from recsys.sources.registry import make_source

LEAST = 30

Embed = Callable[[set[str], RecommenderConfig], pd.DataFrame]


@dataclass(frozen=True)
class Material:
    """A data set, which of its items have a recording, and a network that misses some of them."""

    dataset: MusicDataset
    candidates: list[str]
    embed: Embed


def main() -> None:
    """Print a line for each number of listeners."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--demo", action="store_true", help="DATA is a demo catalogue")
    parser.add_argument("--source", choices=("als", "fm"), default="als")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--cache", type=Path, help="folder to keep the embeddings in")
    arguments = parser.parse_args()

    material = _demo(arguments.data) if arguments.demo else _real(arguments.data)
    rows = []
    for seed in range(arguments.splits):
        split = cold_split(material.dataset, 0.2, seed, among=material.candidates)
        held = set(split.cold_items)
        config = RecommenderConfig(seed=seed, threads=arguments.threads, tracking=False)
        name = f"{'demo' if arguments.demo else 'real'}-{seed}"
        embeddings = _embeddings(material, held, config, arguments.cache, name)
        rows += _try_sizes(material.dataset, embeddings, held, config, arguments.source)
    table = pd.DataFrame(rows)
    print(table.groupby("listeners").mean().drop(columns="seed").round(4).to_string())
    for metric in ("ndcg", "auc"):
        ends = table[[f"{metric} learned", f"{metric} predicted"]]
        gain = table[f"{metric} shrunk"] - ends.max(axis=1)
        by_size = gain.groupby(table.listeners).agg(["mean", "sem"]).round(4)
        print(f"\n{metric}: shrunk less the better end of the same split\n{by_size.to_string()}")


def _embeddings(
    material: Material, held: set[str], config: RecommenderConfig, cache: Path | None, name: str
) -> pd.DataFrame:
    """By a network that does not hear the held items, or as an earlier run kept them."""
    if cache is None:
        return material.embed(held, config)
    kept = cache / f"{name}.parquet"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        frame = material.embed(held, config)
        frame.columns = frame.columns.astype(str)
        frame.to_parquet(kept)
    return pd.read_parquet(kept)


def _real(folder: Path) -> Material:
    data = RecordedListening(folder)

    def embed(held: set[str], config: RecommenderConfig) -> pd.DataFrame:
        rest = [item for item in data.dataset.items["item_id"] if item not in held]
        frame = data.embeddings(data.dataset.take_items(rest), config, None)
        return ImageEmbeddings(data.clips, frame).embeddings(data.dataset)

    return Material(data.dataset, data.recorded, embed)


def _demo(folder: Path) -> Material:
    dataset = load_folder(folder)

    def embed(held: set[str], config: RecommenderConfig) -> pd.DataFrame:
        heard = dataset.audio[~dataset.audio["item_id"].isin(held)]
        training = MusicDataset.from_checked(
            dataset.items, heard, dataset.interactions, dataset.root
        )
        encoder = FoldEncoders(config, progress=True)(training)
        assert encoder is not None
        return encoder.embeddings(dataset)

    return Material(dataset, sorted(set(dataset.audio["item_id"])), embed)


def _try_sizes(
    dataset: MusicDataset,
    embeddings: pd.DataFrame,
    held: set[str],
    config: RecommenderConfig,
    name: str,
) -> list[dict[str, float]]:
    ids = pd.Index(dataset.items["item_id"], dtype=object)
    users, user_ids = pd.factorize(dataset.interactions["user_id"])
    entries = (
        dataset.interactions["weight"].to_numpy(np.float32),
        (users, ids.get_indexer(dataset.interactions["item_id"])),
    )
    plays = sp.csr_matrix(entries, shape=(len(user_ids), len(ids)))
    listeners = np.bincount(plays.indices, minlength=len(ids))
    judged = np.flatnonzero(ids.isin(held) & (listeners >= LEAST))
    own = config.replace(content_map=config.content_map.replace(shrinkage=0.0))
    vectors, known = align_embeddings(embeddings, ids, ignore_others=True)
    rows = []
    for size in SIZES:
        training = _thin(plays, judged, size, np.random.default_rng(config.seed))
        warm = np.bincount(training.indices, minlength=len(ids)) > 0
        metadata = MetadataVocabulary.learn(dataset.items, warm).encode(dataset.items)
        data = TrainingData(
            training,
            ItemContent(vectors, known, metadata),
            artist_codes(dataset.items),
            seed=config.seed,
            threads=config.n_threads,
        )
        source = make_source(name, own)
        learned = source.fit(data)
        found, shrunk = apply_shrinkage(
            source.map, data, learned, config.content_map, source.learn_items
        )
        predicted = source.item_vectors(data.content.take(judged))
        row = {"seed": config.seed, "listeners": size, "items": len(judged), "k": found.shrinkage}
        ways = {"learned": learned.items[judged], "predicted": predicted, "shrunk": shrunk[judged]}
        for way, items in ways.items():
            scores = learned.users @ items.T
            seen = training[:, judged].toarray() > 0
            wanted = (plays[:, judged].toarray() > 0) & ~seen
            row[f"ndcg {way}"] = _ndcg(scores, seen, wanted)
            row[f"auc {way}"] = _auc(scores, seen, wanted)
        rows.append(row)
    return rows


def _thin(
    plays: sp.csr_matrix, judged: np.ndarray, size: int, rng: np.random.Generator
) -> sp.csr_matrix:
    """The plays, of the judged items only those of ``size`` listeners."""
    table = plays.tocoo()
    keep = ~np.isin(table.col, judged)
    for item in judged:
        keep[rng.choice(np.flatnonzero(table.col == item), size, replace=False)] = True
    entries = (table.data[keep], (table.row[keep], table.col[keep]))
    return sp.csr_matrix(entries, shape=plays.shape)


def _ndcg(scores: Float32Array, seen: np.ndarray, wanted: np.ndarray, k: int = 10) -> float:
    """Mean nDCG@k of the users who want any of the items, [n_users, n_items] each."""
    asking = wanted.any(axis=1)
    order = np.argsort(-np.where(seen, -np.inf, scores)[asking], axis=1, kind="stable")[:, :k]
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = np.take_along_axis(wanted[asking], order, axis=1) @ discount[: order.shape[1]]
    ideal = np.cumsum(discount)[np.minimum(wanted[asking].sum(axis=1), k) - 1]
    return float((gain / ideal).mean())


def _auc(scores: Float32Array, seen: np.ndarray, wanted: np.ndarray) -> float:
    """Mean over items: how often a user who wants it scores above one who never played it."""
    from sklearn.metrics import roc_auc_score

    return float(
        np.mean(
            [
                roc_auc_score(wanted[~seen[:, item], item], scores[~seen[:, item], item])
                for item in range(scores.shape[1])
            ]
        )
    )


if __name__ == "__main__":
    main()
