"""Do new songs' audiences hold those who later played them? On real listening, by item.

    python -m benchmarks.quality.audience ../shared/data/lastfm-audio --embeddings embeddings.npz
    ... --embeddings embeddings-spotify.npz --standardise --seeds 0 1 2

A fifth of the items with an embedding are held out, an artist's all together, and onboarded by
their embeddings, with --texts by artist, genre and tags as well. For each of them all users are
ranked by its score, as `Recommender.audience` ranks them. Item-wise AUC is the probability that one
who later played the item stands above one who did not, recall@k the share of those who later played
it who are among the first k. Beside it: each source alone; the users in the order of how much they
have played, which is the same for every item; chance. The last line per seed compares the scores as
they are with scores that are standardised once more for each user, over the held-out items or over
the known ones.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset
from evaluation.metrics.ranking import audience_recall, item_auc
from evaluation.splitting.cold import cold_split
from recsys import Recommender, RecommenderConfig

KS = (20, 100)


def main() -> None:
    """Print a table of means over seeds."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embeddings", default="embeddings.npz", help="a file in the folder")
    parser.add_argument("--standardise", action="store_true", help="their columns")
    parser.add_argument("--texts", action="store_true", help="tell them of held-out items")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    dataset = load_folder(arguments.folder)
    stored = np.load(arguments.folder / arguments.embeddings)
    embeddings = pd.DataFrame(stored["embedding"], index=stored["item_id"])
    if arguments.standardise:
        embeddings = (embeddings - embeddings.mean()) / embeddings.std()
    rows = [measure(dataset, embeddings, seed, arguments) for seed in arguments.seeds]
    found = pd.concat(rows).groupby(level=0, sort=False)
    table = found.mean().round(3).astype(str)
    if len(rows) > 1:
        table = table + " ± " + found.std(ddof=1).round(3).astype(str)
    print(f"mean and deviation over seeds {arguments.seeds}")
    print(table.to_string())


def measure(dataset: MusicDataset, embeddings: pd.DataFrame, seed: int, arguments) -> pd.DataFrame:
    """Fit without the held-out items, onboard them and rank all users for each."""
    split = cold_split(dataset, seed=seed, among=set(embeddings.index))
    training, new = split.training(dataset), split.onboarding(dataset)
    if not arguments.texts:
        items = new.items.assign(**dict.fromkeys(new.items.columns.drop("item_id"), ""))
        new = MusicDataset.from_checked(items, new.audio, new.interactions, None)
    config = RecommenderConfig(seed=seed, threads=arguments.threads, tracking=False)
    own = embeddings[embeddings.index.isin(training.items["item_id"])]
    recommender = Recommender(config).fit(training, embeddings=own)
    cold = new.items["item_id"].tolist()
    recommender.onboard_many(new, embeddings=embeddings.loc[cold])
    model = recommender._fitted()
    users = np.array(list(model.users.ids), object)
    vectors = model.users.vectors(np.arange(len(users)))
    items = model.index.vectors(model.items.rows(cold))
    relevant = np.zeros((len(users), len(cold)), bool)
    later = dataset.interactions.iloc[split.test_rows]
    user = pd.Index(users).get_indexer(later["user_id"])
    item = pd.Index(cold).get_indexer(later["item_id"])
    relevant[user[user >= 0], item[user >= 0]] = True

    scores = (vectors @ items.T).astype(float)
    most = int(relevant.sum(axis=0).argmax())
    first = recommender.audience(cold[most], KS[-1])["user_id"]
    assert set(first) == set(users[np.argsort(-scores[:, most])[: KS[-1]]])
    known = model.state.item_vectors[model.state.user_counts > 0]
    spread = (vectors @ known.T).std(axis=1, keepdims=True)
    activity = np.diff(model.state.plays.indptr).astype(float)
    chance = np.random.default_rng(seed).random(scores.shape)
    figures = {"audience (fused score)": plain(scores, relevant)}
    for block in model.state.blocks:
        own = vectors[:, block.columns] @ items[:, block.columns].T
        figures[block.name] = plain(own.astype(float), relevant)
    same = np.repeat(activity[:, None], len(cold), axis=1)
    figures |= {
        "most active users": plain(same, relevant),
        "chance": plain(chance, relevant),
        "fused, standardised over held-out items": figure(scores, relevant),
        "fused, standardised over known items": plain(scores / spread, relevant),
    }
    print(
        f"seed {seed}: {len(users):,} users, {len(cold)} held-out items, "
        f"{relevant.sum(axis=0).mean():.1f} users later played one",
        flush=True,
    )
    names = ["item-wise AUC", *(f"recall@{k}" for k in KS)]
    table = pd.DataFrame(figures, index=names).T
    print(table.round(3).to_string(), flush=True)
    return table


def plain(scores: np.ndarray, relevant: np.ndarray) -> list[float]:
    """Item-wise AUC and recalls by the scores as they are, not standardised for each user."""
    items = np.flatnonzero(relevant.any(axis=0) & ~relevant.all(axis=0))
    found = [_of_item(scores[:, item], relevant[:, item]) for item in items]
    return np.mean(found, axis=0).tolist()


def _of_item(scores: np.ndarray, liked: np.ndarray) -> list[float]:
    ranks = pd.Series(scores).rank()
    n = int(liked.sum())
    auc = (ranks[liked].sum() - n * (n + 1) / 2) / (n * (len(liked) - n))
    found = [float(auc)]
    for k in KS:
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above, tied = scores > least, scores == least
        places = (k - above.sum()) / tied.sum()
        found.append(float(((above & liked).sum() + places * (tied & liked).sum()) / n))
    return found


def figure(scores: np.ndarray, relevant: np.ndarray) -> list[float]:
    """The same by the metrics of evaluations, which standardise each user's scores."""
    recalls = [float(audience_recall(scores, relevant, k).mean()) for k in KS]
    return [float(item_auc(scores, relevant).values.mean()), *recalls]


if __name__ == "__main__":
    main()
