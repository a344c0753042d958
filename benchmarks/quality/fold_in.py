"""Fold-in of new users: one solve per source, or one in the fused space? Against trained users.

    python -m benchmarks.quality.fold_in ../shared/data/real-mini
    python -m benchmarks.quality.fold_in ../shared/data/real-mini --hybrid

A fifth of the interactions is held out as the test; a fifth of the users is then left out of
training and folded in from what is left of their history. nDCG@10 over those users, all items.
`recsys.sources.fold_in.least_squares` is the solve per source with ridge `RIDGE`.

--hybrid does the same by the public API with all the default sources: `recommend(history=...)` for
the users left out, against `recommend_many` of a model that was trained on them. Recordings are
left out, as 29 of 17,632 items have one.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from evaluation.comparison.bootstrap import paired_difference
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ndcg
from evaluation.splitting.split import Split
from evaluation.splitting.warm import warm_split
from recsys import Recommender
from recsys.config import RecommenderConfig
from recsys.data import ItemContent, TrainingData
from recsys.fusion import fuse_items, fuse_users, make_blocks
from recsys.sources.fold_in import ALPHA
from recsys.sources.registry import make_source

WEIGHTS = {"als": 0.3, "fm": 0.7}
SOURCES = ("als", "fm")
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)


def main() -> None:
    """Print one line for each way to get the held-out users' vectors."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hybrid", action="store_true")
    arguments = parser.parse_args()

    dataset = load_folder(arguments.folder)
    split = warm_split(dataset, 0.2, arguments.seed)
    if arguments.hybrid:
        _hybrid(dataset, split, arguments.seed)
        return
    users, user_ids = dataset.interactions["user_id"].factorize()
    items, item_ids = dataset.interactions["item_id"].factorize()
    shape = (len(user_ids), len(item_ids))

    def matrix(rows: np.ndarray) -> sp.csr_matrix:
        entries = (np.ones(len(rows), np.float32), (users[rows], items[rows]))
        plays = sp.csr_matrix(entries, shape=shape)
        plays.data[:] = 1
        return plays

    train, test = matrix(split.train_rows), matrix(split.test_rows)
    held = np.random.default_rng(arguments.seed).random(shape[0]) < 0.2
    new = np.flatnonzero(held & (np.diff(test.indptr) > 0) & (np.diff(train.indptr) > 0))
    config = RecommenderConfig(seed=arguments.seed)

    def learn(plays: sp.csr_matrix):
        content = ItemContent(
            np.zeros((shape[1], 0), np.float32),
            np.zeros(shape[1], bool),
            sp.csr_matrix((shape[1], 0), dtype=np.float32),
        )
        data = TrainingData(
            plays, content, np.arange(shape[1]), config.seed, threads=config.n_threads
        )
        vectors = {name: make_source(name, config).fit(data) for name in SOURCES}
        cold = data.user_counts == 0
        parts = {name: pair.items for name, pair in vectors.items()}
        blocks = make_blocks(parts, cold, WEIGHTS, WEIGHTS)
        return vectors, blocks, fuse_items(blocks, parts, cold)

    def report(name: str, user_vectors: np.ndarray, item_vectors: np.ndarray) -> None:
        print(f"{_ndcg(user_vectors @ item_vectors.T, train[new], test[new]):.4f}  {name}")

    vectors, blocks, fused = learn(train)
    report("trained on", fuse_users(blocks, {n: v.users[new] for n, v in vectors.items()}), fused)

    without = train.tolil()
    without[np.flatnonzero(held)] = 0
    vectors, blocks, fused = learn(without.tocsr())
    histories = [train.indices[train.indptr[user] : train.indptr[user + 1]] for user in new]
    for ridge in RIDGES:
        folded = {
            block.name: np.stack(
                [_solve(vectors[block.name].items[rows], block.gram, ridge) for rows in histories]
            )
            for block in blocks
        }
        report(f"one solve per source, ridge {ridge}", fuse_users(blocks, folded), fused)
    gram = fused.T.astype(np.float64) @ fused
    for ridge in RIDGES:
        solved = [_solve(fused[rows], gram, ridge) for rows in histories]
        report(f"one solve in the fused space, ridge {ridge}", np.stack(solved), fused)


def _hybrid(dataset: MusicDataset, split: Split, seed: int) -> None:
    train = split.training(dataset)
    train = MusicDataset.from_checked(train.items, empty_audio(), train.interactions, None)
    test = dataset.interactions.iloc[split.test_rows].groupby("user_id")["item_id"].agg(set)
    users = np.array(sorted(test.index))
    new = users[np.random.default_rng(seed).random(len(users)) < 0.2]
    config = RecommenderConfig(seed=seed, tracking=False)

    known = Recommender(config).fit(train).recommend_many(new, 10)
    is_new = train.interactions["user_id"].isin(set(new)).to_numpy()
    histories = train.interactions[is_new].groupby("user_id")
    others = Recommender(config).fit(train.take_interactions(np.flatnonzero(~is_new)))
    folded = pd.concat(
        others.recommend(history=dict(zip(plays["item_id"], plays["weight"], strict=True))).assign(
            user_id=user
        )
        for user, plays in histories
    )
    encoder = HitEncoder(new, train.items["item_id"], dataset.interactions.iloc[split.test_rows])
    trained = ndcg(encoder.hits(known, 10), 10)
    found = ndcg(encoder.hits(folded[["user_id", "rank", "item_id", "score"]], 10), 10)
    print(f"{trained.mean():.4f}  trained on ({len(new)} users)")
    print(f"{found.mean():.4f}  recommend(history=...), {found.mean() / trained.mean():.1%}")
    gap = paired_difference(found, trained)
    print(f"difference {gap.mean:+.4f} ({gap.low:+.4f}, {gap.high:+.4f})")


def _solve(history: np.ndarray, gram: np.ndarray, ridge: float) -> np.ndarray:
    """`recsys.sources.fold_in.least_squares` with a ridge to choose."""
    X = history.astype(np.float64)
    penalty = ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    left = gram + penalty + (ALPHA - 1) * X.T @ X
    return np.linalg.solve(left, ALPHA * X.sum(axis=0)).astype(np.float32)


def _ndcg(scores: np.ndarray, seen: sp.csr_matrix, relevant: sp.csr_matrix, k: int = 10) -> float:
    scores = scores.copy()
    scores[seen.nonzero()] = -np.inf
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = np.take_along_axis(relevant.toarray() > 0, top, axis=1) @ discount
    ideal = np.cumsum(discount)[np.minimum(np.diff(relevant.indptr), k) - 1]
    return float((gain / ideal).mean())


if __name__ == "__main__":
    main()
