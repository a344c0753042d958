"""What embedding features cost LightFM: seconds an epoch by SGD and in closed form, side by side.

    python -m benchmarks.speed.lightfm_features ../shared/data/real-mini

One thread, on the listening of a folder. The embeddings stand in for real ones: factors of ALS,
rotated at random into as many columns as wanted, with as much noise again, so that every song has
one that says something; a genre of twenty stands in for metadata. All ways take turns, an epoch
each, so that whatever else the machine does meets all of them alike. The closed form trains on
identity and metadata and adds one regression, cross-validated, to the whole training.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from recsys.config import ALSConfig, ContentMapConfig, FMConfig
from recsys.content.mapping import ContentMap
from recsys.data import ItemContent, TrainingData
from recsys.sources.als import ALSSource
from recsys.sources.lightfm_model import (
    EmbeddingFeatures,
    binary_interactions,
    feature_matrix,
    identity_matrix,
    n_epochs,
    new_model,
    train_model,
)

WIDE, NARROW, COMPONENTS = 192, 64, 16
GENRES = 20
FACTORS = 48

T = TypeVar("T")


def main() -> None:
    """Print one line for each way: median seconds an epoch, and how many times identity's."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=3, help="measured of each way, after one")
    parser.add_argument("--components", type=int, default=FMConfig().components)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config = FMConfig(components=arguments.components)
    with threadpool_limits(1):
        data = listening(arguments.folder, arguments.seed)
        _report(data, config, arguments.epochs)


def listening(folder: Path, seed: int) -> TrainingData:
    """The plays of a folder and stand-in content of all items, WIDE columns of embedding."""
    dataset = load_folder(folder)
    users, user_ids = dataset.interactions["user_id"].factorize()
    items, item_ids = dataset.interactions["item_id"].factorize()
    ones = np.ones(len(users), np.float32)
    plays = sp.csr_matrix((ones, (users, items)), shape=(len(user_ids), len(item_ids)))
    plays.data[:] = 1
    n = plays.shape[1]
    nothing = ItemContent(
        np.zeros((n, 0), np.float32), np.zeros(n, bool), sp.csr_matrix((n, 0), dtype=np.float32)
    )
    data = TrainingData(plays, nothing, np.arange(n), seed=seed, threads=1)
    als = ALSSource(ALSConfig(factors=FACTORS, iterations=5), ContentMapConfig(shrinkage=0))
    factors = als.fit(data).items
    factors /= factors.std()
    rng = np.random.default_rng(seed)
    told = factors @ rng.standard_normal((FACTORS, WIDE)) / np.sqrt(FACTORS)
    embeddings = (told + rng.standard_normal(told.shape)).astype(np.float32)
    genre = np.argmax(factors @ rng.standard_normal((FACTORS, GENRES)), axis=1)
    metadata = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), genre)), shape=(n, GENRES))
    content = ItemContent(embeddings, np.ones(n, bool), metadata)
    return TrainingData(plays, content, data.artists, seed=seed, threads=1)


def _report(data: TrainingData, config: FMConfig, epochs: int) -> None:
    content = data.content
    everything = np.arange(len(content))
    played = binary_interactions(data, everything)
    narrow = ItemContent(content.embeddings[:, :NARROW], content.has_embedding, content.metadata)
    pca = config.replace(embedding_features="pca", pca_components=COMPONENTS)
    dense = config.replace(embedding_features="dense")

    def by_descent(content: ItemContent, scheme: FMConfig) -> sp.csr_matrix:
        return feature_matrix(content, EmbeddingFeatures.fit(content, scheme))

    features: dict[str, sp.csr_matrix] = {
        "identity": sp.identity(len(content), dtype=np.float32, format="csr"),
        "identity + metadata": identity_matrix(content),
        f"PCA {COMPONENTS}": by_descent(content, pca),
        f"dense {NARROW}": by_descent(narrow, dense),
        f"dense {WIDE}": by_descent(content, dense),
    }
    models = {name: new_model(config, data.seed) for name in features}
    seconds: dict[str, list[float]] = {name: [] for name in features}
    for turn in range(epochs + 1):
        for name, matrix in features.items():
            took, vectors = _timed(
                lambda name=name, matrix=matrix: train_model(
                    models[name], played, matrix, epochs=1, threads=1
                )
            )
            if turn:  # the first epoch samples few negatives for every positive
                seconds[name].append(took)
            if name == "identity + metadata":
                targets = vectors.items
    maps = {}
    for width, part in ((NARROW, narrow), (WIDE, content)):
        maps[width], _ = _timed(
            lambda part=part: ContentMap.fit(
                part, targets, data.user_counts, data.artists, ContentMapConfig()
            )
        )

    passes = n_epochs(config, played.nnz)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    print(
        f"{played.nnz} plays of {played.shape[1]} songs, {config.components} components, one "
        f"thread, median of {epochs} epochs"
    )
    rows = [(name, median[name], features[name].nnz / len(content)) for name in features]
    for width, total in maps.items():
        name = f"closed form, embedding of {width}"
        epoch = median["identity + metadata"] + total / passes
        rows.append((name, epoch, features["identity + metadata"].nnz / len(content)))
    for name, epoch, entries in sorted(rows, key=lambda row: row[1]):
        ratio = epoch / median["identity"]
        print(f"{name:30s} {epoch:8.3f} s an epoch {ratio:7.2f} × identity {entries:6.1f} features")
    for width, total in maps.items():
        print(
            f"The regression on an embedding of {width} takes {total:.2f} s once, shared above "
            f"among the {passes} epochs of a fit; all epochs on identity take "
            f"{passes * median['identity']:.1f} s."
        )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
